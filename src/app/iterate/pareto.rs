//! Networks for several budgets: teacher, table and warm-up once, then for each budget a network in two ways, of which the better is
//! kept, trained and measured.
//!
//! The first way is the search by gradients with its multiplier and repair; the second is evolution with the weights of the warm-up,
//! which all budgets share. Both networks of a budget are trained from scratch, and cross-validation on the training rows decides: the
//! validation rows choose nothing here, so what is reported of them is no luck of a choice. The better one is
//! then trained on all training rows, like a network of [`iterate`](super::iterate()).
//!
//! ```text
//! RUN/  budgets/evolved/N.json            the fittest network within budget N and the generations before it
//!       budgets/N/search.json, derived.json, subnet.json: the search by gradients, and its network
//!       judged/ID/FOLD.json               a training that is judged on training rows that it did not see
//!       budgets/service.json, replay.json the kept networks, timed together, and under replayed traffic
//!       pareto.json                       what is returned
//! ```

use super::{
    NamedModel, NetworkSummary, ReplaySummary, Run, RunRequest, ServiceTime, Traffic,
    judged::Trials,
    searcher::{Searcher, budget_folder, warmed_up},
    traffic::Replayed,
    training::Trained,
};
use crate::{
    app::config::Stage,
    base::{Error, Result, names::EngineName},
    learn::{
        derive::{Evolved, Known, Limits, Price, evolve},
        exchange::by_leader,
        settings::{Budget, DeriveSettings},
    },
    price::{
        table::{LatencyTable, TableContext},
        target::{LatencyTarget, MeanService},
    },
    space::Subnet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The file in the run directory.
pub(super) const FILE: &str = "pareto.json";
/// Version of [`Pareto`].
pub(super) const SCHEMA_VERSION: u32 = 1;

/// How a network was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// θ and α by gradients under the budget's multiplier, derived, repaired and set beside its neighbours by training.
    Gradient,
    /// Evolution with the weights of the warmed-up supernet, and its neighbours by training.
    Evolution,
}

/// The network of one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Canonical id.
    pub subnet: String,
    /// Price of its features and its predicted mean service time, in ms.
    pub predicted_ms: f64,
    /// AUC once trained, on training rows that it was not trained on, by cross-validation: what decides between the ways.
    pub held_out_auc: f64,
}

/// One budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParetoPoint {
    /// Features and mean service time together, in ms.
    pub budget_ms: f64,
    /// The way whose network is kept; the gradients' where both found the same or are equally good.
    pub won: Way,
    /// What the search by gradients found.
    pub gradient: Candidate,
    /// What evolution found.
    pub evolution: Candidate,
    /// The network that is kept, trained on all training rows.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Price of its features: equation (4).
    pub feature_ms: f64,
    /// That and the measured mean service time.
    pub measured_ms: f64,
    /// Standard error of the service time, in percent.
    pub noise_pct: f64,
    /// The service time stayed noisier than `probe.max_noise_pct` after all repeats: it shows nothing.
    #[serde(default)]
    pub void: bool,
    /// Whether what was measured is within the budget. A measurement that is too noisy to be believed shows that of nothing.
    pub within: bool,
    /// Whether no other network is at least as fast and as good, and better in one of both: by measured time and held-out AUC.
    pub on_front: bool,
    /// Under replayed traffic; absent where the data names no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySummary>,
}

/// Why what was measured does not show that a budget is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It is above the budget.
    Above,
    /// It is too noisy to show anything.
    Void,
}

impl ParetoPoint {
    /// None where the budget is kept.
    pub fn doubt(&self) -> Option<Doubt> {
        match (self.void, self.within) {
            (true, _) => Some(Doubt::Void),
            (false, true) => None,
            (false, false) => Some(Doubt::Above),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Above => "ABOVE",
            Self::Void => "VOID",
        })
    }
}

/// Networks for several budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pareto {
    /// Version of this layout.
    pub schema_version: u32,
    /// Whose service times are paid and measured.
    pub engine: EngineName,
    /// Version of the table that all searches paid with.
    pub table_version: u32,
    /// By rising budget.
    pub points: Vec<ParetoPoint>,
}

/// What was timed together.
#[derive(Serialize, Deserialize)]
struct Timed {
    context: TableContext,
    times: Vec<ServiceTime>,
}

/// The better network of a budget.
struct Kept {
    won: Way,
    candidates: [Candidate; 2],
    held_out_auc: f64,
    trained: Trained,
}

/// Searches the budgets of `[pareto]`. What is said of ranks at [`iterate`](super::iterate()) holds here; a finished front is
/// given at once.
///
/// Fails when no network of the space keeps the least budget.
pub fn pareto(request: RunRequest) -> Result<Pareto> {
    let run = Run::open(request)?;
    if let Some(known) = by_leader(run.ranks, || run.journal.recall_document(FILE, SCHEMA_VERSION))? {
        return Ok(known);
    }
    run.check_budgets_of_the_mean()?;
    let (guide, table) = run.until_first_search()?;
    let mut searcher = Searcher::new(&run, &guide);
    let budgets = run.budgets(&table)?;
    let evolved = searcher.evolved(&table, &budgets)?;
    let mut kept = Vec::new();
    for (at, (&budget, evolved)) in budgets.iter().zip(&evolved).enumerate() {
        let rule = DeriveSettings::Budget(budget);
        let (outcome, searched) = searcher.search(&budget_folder(at + 1), &table, &MeanService, &rule)?;
        // Both ways end in finals: who tries more often on the same rows seems the better.
        let layers = run.layer_prices(&table)?;
        let prices = run.paid(&layers, &MeanService, &rule);
        let (evolved, _) = searcher.finals(&outcome.theta, &evolved.subnet, &rule, &prices)?;
        kept.push(run.better(searcher.trials()?, &table, budget, [&searched.subnet, &evolved])?);
    }
    by_leader(run.ranks, || {
        run.journal.remember_document(FILE, SCHEMA_VERSION, || run.front(&budgets, &kept, &table))
    })
}

impl Run<'_> {
    pub(super) fn check_budgets_of_the_mean(&self) -> Result<()> {
        if self.objective().is_none() {
            return Ok(());
        }
        Err(Error::usage(
            "derive.objective states a percentile under load, and several budgets are of the mean",
            "remove it, or search one objective at a time",
        ))
    }

    /// The budgets, ascending, with the memory cap of `[derive]`.
    fn budgets(&self, table: &LatencyTable) -> Result<Vec<Budget>> {
        let layers = self.layer_prices(table)?;
        let prices = self.paid(&layers, &MeanService, &DeriveSettings::default());
        let whole = self.space.widest();
        let cheapest = crate::learn::derive::cheapest(&self.space, &prices)?;
        let price_ms =
            |subnet: &Subnet| -> Result<f64> { Ok(Price::of(&self.space, subnet, &prices)?.total_ms()) };
        let (cheapest_ms, whole_ms) = (price_ms(&cheapest)?, price_ms(&whole)?);
        let memory_mb = self.settings.derive.budget().and_then(|budget| budget.memory_mb);
        let parameters = self.parameters()?;
        let budgets = self.settings.pareto.budgets_ms(cheapest_ms, whole_ms);
        let budgets: Vec<Budget> =
            budgets.into_iter().map(|ms| Budget { memory_mb, ..Budget::of_mean(ms) }).collect();
        for &budget in &budgets {
            Limits { space: &self.space, prices: &prices, budget, parameters: &parameters }.check()?;
        }
        let said: Vec<String> = budgets.iter().map(|budget| format!("{:.3}", budget.limit_ms())).collect();
        self.progress.say(&format!(
            "budgets of {} ms; the cheapest network costs {cheapest_ms:.3} ms, the whole {whole_ms:.3} ms",
            said.join(", ")
        ));
        Ok(budgets)
    }

    /// Trains the networks of both ways and keeps the better.
    fn better(
        &self,
        trials: &Trials,
        table: &LatencyTable,
        budget: Budget,
        found: [&Subnet; 2],
    ) -> Result<Kept> {
        let layers = self.layer_prices(table)?;
        let prices = self.paid(&layers, &MeanService, &DeriveSettings::Budget(budget));
        let candidate = |subnet: &Subnet| -> Result<Candidate> {
            Ok(Candidate {
                subnet: subnet.id(&self.space),
                predicted_ms: Price::of(&self.space, subnet, &prices)?.total_ms(),
                held_out_auc: trials.quality(subnet)?.auc,
            })
        };
        let candidates: [Candidate; 2] = [candidate(found[0])?, candidate(found[1])?];
        let won = match candidates[1].held_out_auc > candidates[0].held_out_auc {
            true => Way::Evolution,
            false => Way::Gradient,
        };
        self.progress.say(&format!(
            "budget of {:.3} ms: held-out AUC {:.4} by gradients, {:.4} by evolution",
            budget.limit_ms(),
            candidates[0].held_out_auc,
            candidates[1].held_out_auc
        ));
        let trained = self.retrain(trials.guide, found[won as usize], table.version)?;
        let held_out_auc = candidates[won as usize].held_out_auc;
        Ok(Kept { won, candidates, held_out_auc, trained })
    }

    /// Measures the kept networks and tells which of them are on the front.
    fn front(&self, budgets: &[Budget], kept: &[Kept], table: &LatencyTable) -> Result<Pareto> {
        let engine = self.settings.target.engine;
        let (models, place) = each_once(kept);
        const SERVICE: &str = "budgets/service.json";
        let timed: Timed = self.journal.remember(SERVICE, || {
            self.progress.measuring(&format!("time {} networks on {engine}", models.len()));
            let times = self.meter.service(engine, &models, None)?;
            Ok(Timed { context: self.meter.context(engine)?, times })
        })?;
        self.check_measured_here(SERVICE, engine, &timed.context)?;
        let replays = self.replays(engine, &models)?;
        let measured: Vec<(f64, f64)> = kept
            .iter()
            .zip(&place)
            .map(|(kept, &at)| {
                let feature_ms = self.feature_ms(&kept.trained.finished.subnet);
                (feature_ms + timed.times[at].mean_ms, kept.held_out_auc)
            })
            .collect();
        let on_front = non_dominated(&measured);
        let points = budgets.iter().zip(kept).enumerate().map(|(i, (budget, kept))| {
            let time = timed.times[place[i]];
            let [gradient, evolution] = kept.candidates.clone();
            let void = time.noise_pct > self.settings.probe.max_noise_pct;
            ParetoPoint {
                budget_ms: budget.limit_ms(),
                won: kept.won,
                gradient,
                evolution,
                network: self.network_summary(&kept.trained),
                feature_ms: self.feature_ms(&kept.trained.finished.subnet),
                measured_ms: measured[i].0,
                noise_pct: time.noise_pct,
                void,
                within: !void && measured[i].0 <= budget.limit_ms(),
                on_front: on_front[i],
                replay: replays.as_ref().map(|replays| ReplaySummary::of(&replays[place[i]], None)),
            }
        });
        Ok(Pareto {
            schema_version: SCHEMA_VERSION,
            engine,
            table_version: table.version,
            points: points.collect(),
        })
    }

    /// The networks under the run's requests, where there are some.
    fn replays(&self, engine: EngineName, models: &[NamedModel]) -> Result<Option<Vec<Replayed>>> {
        let Some(traffic) = self.traffic()? else { return Ok(None) };
        let replayed = self.journal.remember("budgets/replay.json", || {
            self.progress.measuring(&format!("replay {} networks on {engine}", models.len()));
            let traffic = Traffic { hlogs: self.journal.path("budgets/replay"), ..traffic };
            self.replay_models(engine, models, &traffic)
        });
        replayed.map(Some)
    }
}

/// The networks, each once however many budgets kept it, and which of them is whose: nothing is measured twice.
fn each_once(kept: &[Kept]) -> (Vec<NamedModel>, Vec<usize>) {
    let mut models: Vec<NamedModel> = Vec::new();
    let place = |kept: &Kept| {
        let model = kept.trained.finished.model();
        models.iter().position(|known| *known == model).unwrap_or_else(|| {
            models.push(model);
            models.len() - 1
        })
    };
    let places = kept.iter().map(place).collect();
    (models, places)
}

impl Searcher<'_> {
    /// The fittest network of every budget, with the weights of the warm-up.
    fn evolved(&mut self, table: &LatencyTable, budgets: &[Budget]) -> Result<Vec<Evolved>> {
        let Self { run, guide, .. } = *self;
        let layers = run.layer_prices(table)?;
        let target: &dyn LatencyTarget = &MeanService;
        let prices = run.paid(&layers, target, &DeriveSettings::default());
        let (search, _) = warmed_up(run, guide, &mut self.warm)?;
        by_leader(run.ranks, || {
            let judge = search.judge(&guide.judging()?.rows)?;
            let mut known = Known::new(&judge);
            let parameters = run.parameters()?;
            let (settings, seed) = (&run.settings.evolution, run.seed(Stage::Search));
            let evolve = |(at, &budget): (usize, &Budget)| {
                let limits = Limits { space: &run.space, prices: &prices, budget, parameters: &parameters };
                run.journal.remember(&format!("budgets/evolved/{}.json", at + 1), || {
                    let evolved = evolve(&limits, &mut known, settings, seed, run.progress)?;
                    run.progress.say(&format!(
                        "evolved {} within {:.3} ms: {:.3} ms, AUC {:.4} with the warm-up's weights",
                        evolved.subnet.id(&run.space),
                        budget.limit_ms(),
                        evolved.price_ms,
                        evolved.auc
                    ));
                    Ok(evolved)
                })
            };
            budgets.iter().enumerate().map(evolve).collect()
        })
    }
}

/// Which of these (ms, AUC) no other is at least as good as in both and better than in one.
fn non_dominated(points: &[(f64, f64)]) -> Vec<bool> {
    let dominates = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 >= b.1 && a != b;
    points.iter().map(|point| !points.iter().any(|other| dominates(other, point))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_on_the_front_unless_another_is_as_fast_and_as_good_and_better_in_one() {
        let points =
            [(1.0, 0.70), (2.0, 0.72), (2.5, 0.71), (3.0, 0.72), (4.0, 0.73), (4.0, 0.73), (0.9, 0.69)];
        assert_eq!(non_dominated(&points), [true, true, false, false, true, true, true]);
        assert_eq!(non_dominated(&[]), [false; 0]);
    }
}
