//! The step that searches: prices, the warm-up that all searches share, and the network that comes out: derived, under a budget
//! repaired and else with features exchanged, and then set beside its neighbours by training.

use super::{Guide, Run, judged::Trials};
use crate::{
    app::config::Stage,
    base::{Result, fsio},
    learn::{
        derive::{Field, Finalist, Limits, Repair, derive, exchange_features, finals, repair},
        embedding::{InputFeature, input_features},
        exchange::by_leader,
        params::Snapshot,
        price_term::Prices,
        search::{Scene, Search, SearchOutcome},
        settings::DeriveSettings,
        train::Rows,
    },
    price::{memory::Parameters, resolved::TablePrices, table::LatencyTable, target::LatencyTarget},
    space::Subnet,
};
use serde::{Deserialize, Serialize};

/// The supernet at the end of its warm-up.
pub(in crate::app) const WARM_UP: &str = "warmup.safetensors";

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::app) struct Searched {
    /// The network that was found.
    pub(in crate::app) subnet: Subnet,
    /// Version of the table whose prices the search was given.
    pub(in crate::app) table_version: u32,
    /// What the supernet's judgement made of what θ and α derived, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::app) repair: Option<Repair>,
    /// Those that were trained to choose one, where any were: what the search ended with is the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::app) finalists: Vec<Finalist>,
}

/// What θ, α and the supernet's weights make of a search.
#[derive(Serialize, Deserialize)]
pub(super) struct Derived {
    pub(super) subnet: Subnet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repair: Option<Repair>,
}

/// The search and its warmed-up start, built when a round first needs them.
pub(in crate::app) struct Searcher<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) guide: &'a Guide,
    pub(super) warm: Option<(Search<'a>, Snapshot)>,
    trials: Option<Trials<'a>>,
}

impl Run<'_> {
    /// What the target's engine takes for layers, as `table` has it.
    pub(in crate::app) fn layer_prices(&self, table: &LatencyTable) -> Result<TablePrices> {
        let target = &self.settings.target;
        let context = by_leader(self.ranks, || self.meter.context(target.engine))?;
        table.prices(&context, target.candidates)
    }

    /// What a search by `rule` pays.
    pub(in crate::app) fn paid<'p>(
        &'p self,
        layers: &'p TablePrices,
        target: &'p dyn LatencyTarget,
        rule: &DeriveSettings,
    ) -> Prices<'p> {
        Prices {
            schema: &self.schema,
            features: self.feature_prices.clone(),
            layers,
            target,
            budget_ms: rule.budget().map(|budget| budget.limit_ms()),
        }
    }

    /// What networks of the space take in memory.
    pub(super) fn parameters(&self) -> Result<Parameters> {
        let every: Vec<usize> = (0..self.space.features.len()).collect();
        let features = input_features(&self.space.features, &every, &self.loaded.dataset)?;
        Ok(Parameters::new(features.iter().map(InputFeature::parameters).collect()))
    }

    /// Fails where no network keeps the limits of `rule`, whatever a search finds: that is known as soon as the prices are.
    fn check_limits(&self, rule: &DeriveSettings, prices: &Prices) -> Result<()> {
        let Some(budget) = rule.budget() else { return Ok(()) };
        Limits { space: &self.space, prices, budget, parameters: &self.parameters()? }.check()
    }

    /// The network that `rule` makes of a search's end, and what the weights of `search` make of that: under a budget repaired, else
    /// with features exchanged.
    fn derive(
        &self,
        outcome: &SearchOutcome,
        search: Option<&Search>,
        guide: &Guide,
        rule: &DeriveSettings,
        prices: &Prices,
    ) -> Result<Derived> {
        let subnet = derive(&self.space, outcome, rule, prices)?;
        let Some(search) = search.filter(|_| self.settings.judges_networks()) else {
            return Ok(Derived { subnet, repair: None });
        };
        let judge = search.judge(&guide.judging()?.rows)?;
        let (space, theta, progress) = (&self.space, &outcome.theta, self.progress);
        let (subnet, repair) = match rule.budget() {
            Some(budget) => {
                let limits = Limits { space, prices, budget, parameters: &self.parameters()? };
                repair(&limits, &judge, theta, subnet, progress)?
            }
            None => exchange_features(space, prices, &judge, subnet, progress)?,
        };
        self.progress.say(&format!("  {repair}"));
        Ok(Derived { subnet, repair: Some(repair) })
    }
}

impl<'a> Searcher<'a> {
    pub(in crate::app) fn new(run: &'a Run<'a>, guide: &'a Guide) -> Self {
        Self { run, guide, warm: None, trials: None }
    }

    /// Searches with the prices of `table`, of which `latency` is paid, and finds one network by `rule`: under a budget, with the
    /// multiplier that it asks for; what θ and α derive is repaired or has features exchanged, and where `[finals]` says so, training has
    /// the last word. What is found is kept in `folder` of the run.
    pub(in crate::app) fn search(
        &mut self,
        folder: &str,
        table: &LatencyTable,
        latency: &dyn LatencyTarget,
        rule: &DeriveSettings,
    ) -> Result<(SearchOutcome, Searched)> {
        let run = self.run;
        run.progress.say(&format!("{folder} pays with table v{}", table.version));
        let layers = run.layer_prices(table)?;
        let prices = run.paid(&layers, latency, rule);
        by_leader(run.ranks, || run.check_limits(rule, &prices))?;
        let (outcome, derived) = self.derived(folder, rule, &prices)?;
        let file = subnet_file(folder);
        let searched = match by_leader(run.ranks, || run.journal.recall(&file))? {
            Some(known) => known,
            None => {
                let (subnet, finalists) = self.finals(&outcome.theta, &derived.subnet, rule, &prices)?;
                let repair = derived.repair;
                let found = Searched { subnet, table_version: table.version, repair, finalists };
                by_leader(run.ranks, || run.journal.remember(&file, || Ok(found)))?
            }
        };
        by_leader(run.ranks, || run.space.verify(&searched.subnet, &run.journal.path(&file)))?;
        Ok((outcome, searched))
    }

    /// The search, and the network that is derived from it.
    fn derived(
        &mut self,
        folder: &str,
        rule: &DeriveSettings,
        prices: &Prices,
    ) -> Result<(SearchOutcome, Derived)> {
        let run = self.run;
        let (name, choice) = (outcome_file(folder), derived_file(folder));
        let chosen = |outcome: &SearchOutcome, search: Option<&Search>| {
            by_leader(run.ranks, || {
                run.journal.remember(&choice, || run.derive(outcome, search, self.guide, rule, prices))
            })
        };
        if run.settings.judges_networks() {
            // The weights that networks are judged with end with the search, so the choice is a part of it.
            run.lead(|| match run.journal.path(&choice).exists() {
                true => Ok(()),
                false => fsio::remove(&run.journal.path(&name)),
            })?;
        }
        let outcome = run.journal.remember_training(run.ranks, &name, |keeper| {
            let (search, _) = warmed_up(run, self.guide, &mut self.warm)?;
            let curves = run.curves(&format!("search/{}", folder.replace("rounds/", "round")));
            let outcome = search.run(prices, &*curves, keeper)?;
            chosen(&outcome, Some(search))?;
            Ok(outcome)
        })?;
        let derived = chosen(&outcome, None)?;
        by_leader(run.ranks, || run.space.verify(&derived.subnet, &run.journal.path(&choice)))?;
        Ok((outcome, derived))
    }

    /// The network that training prefers among `first` and its neighbours, where that is asked, and all that were trained. A budget is
    /// spent on features by `theta`.
    pub(super) fn finals(
        &mut self,
        theta: &[f64],
        first: &Subnet,
        rule: &DeriveSettings,
        prices: &Prices,
    ) -> Result<(Subnet, Vec<Finalist>)> {
        let run = self.run;
        if !run.settings.finals.layers {
            return Ok((first.clone(), Vec::new()));
        }
        let (space, parameters) = (&run.space, run.parameters()?);
        let limits = rule.budget().map(|budget| Limits { space, prices, budget, parameters: &parameters });
        let [lambda, lambda2] = [run.settings.search.lambda, run.settings.search.lambda2];
        let field = Field { space, prices, theta, limits: limits.as_ref(), lambda, lambda2 };
        let trials = self.trials()?;
        let (subnet, finalists) = finals(&field, first.clone(), &mut |subnet| trials.quality(subnet))?;
        // Without a budget the highest AUC need not be the one that is taken.
        let judge = if limits.is_some() { "AUC" } else { "log loss and price" };
        run.progress.say(&format!(
            "  {} of {} networks that were trained is the best by {judge}; the first was {}",
            subnet.id(space),
            finalists.len(),
            first.id(space)
        ));
        Ok((subnet, finalists))
    }

    /// Tells what networks are worth once they are trained.
    pub(super) fn trials(&mut self) -> Result<&Trials<'a>> {
        if self.trials.is_none() {
            self.trials = Some(Trials::new(self.run, self.guide)?);
        }
        Ok(self.trials.as_ref().expect("set above"))
    }
}

/// The search at the end of its warm-up, which no price influences, with its state there; made at the first call.
pub(super) fn warmed_up<'a, 'w>(
    run: &'a Run<'a>,
    guide: &'a Guide,
    warm: &'w mut Option<(Search<'a>, Snapshot)>,
) -> Result<&'w mut (Search<'a>, Snapshot)> {
    if warm.is_none() {
        let split = guide.judging.as_ref().map_or(&run.loaded.split, |judging| &judging.split);
        let scene = Scene {
            rows: Rows { data: &run.loaded.dataset, split, ranks: run.ranks },
            held_out: guide.held_out.as_deref(),
            teacher: guide.teacher(),
            soft: &guide.first_scores,
            settings: &run.settings.search,
            seed: run.seed(Stage::Search),
        };
        let mut search = Search::new(&run.space, scene)?;
        let path = run.journal.path(WARM_UP);
        let mut keeper = run.journal.keeper(WARM_UP);
        if by_leader(run.ranks, || Ok(path.exists()))? {
            run.lead(|| search.load(&path))?;
            search.share()?;
        } else {
            search.warm_up(&*run.curves("search/warm-up"), &mut keeper)?;
            run.lead(|| search.save(&path))?;
        }
        keeper.clear()?;
        let snapshot = search.snapshot()?;
        *warm = Some((search, snapshot));
    }
    let warm = warm.as_mut().expect("set above");
    warm.0.restore(&warm.1)?;
    Ok(warm)
}

/// Where the rounds' files are.
pub(super) fn round_folder(round: usize) -> String {
    format!("rounds/{round}")
}

/// Where the files of the budgets' searches are, counted from 1.
pub(super) fn budget_folder(budget: usize) -> String {
    format!("budgets/{budget}")
}

/// Where θ, p and the epochs of a search are kept.
pub(super) fn outcome_file(folder: &str) -> String {
    format!("{folder}/search.json")
}

/// Where is kept what θ, α and the supernet's weights make of it.
pub(super) fn derived_file(folder: &str) -> String {
    format!("{folder}/derived.json")
}

/// Where the network that was found is kept.
pub(super) fn subnet_file(folder: &str) -> String {
    format!("{folder}/subnet.json")
}
