//! The step that searches: prices, the warm-up that all searches share, and the network that comes out.

use super::{Guide, Run};
use crate::{
    app::config::Stage,
    base::{Result, fsio},
    learn::{
        derive::{Limits, Repair, derive, repair},
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
    /// The network that was derived.
    pub(in crate::app) subnet: Subnet,
    /// Version of the table whose prices the search was given.
    pub(in crate::app) table_version: u32,
    /// How it came to spend its budget, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::app) repair: Option<Repair>,
}

/// The search and its warmed-up start, built when a round first needs them.
pub(in crate::app) struct Searcher<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) guide: &'a Guide,
    pub(super) warm: Option<(Search<'a>, Snapshot)>,
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

    /// The network that `rule` makes of a search's end: under a budget, repaired with the weights of `search`.
    fn choose(
        &self,
        outcome: &SearchOutcome,
        search: Option<&Search>,
        guide: &Guide,
        rule: &DeriveSettings,
        prices: &Prices,
    ) -> Result<(Subnet, Option<Repair>)> {
        let derived = derive(&self.space, outcome, rule, prices)?;
        let (Some(budget), Some(search)) = (rule.budget(), search) else { return Ok((derived, None)) };
        let limits = Limits { space: &self.space, prices, budget, parameters: &self.parameters()? };
        let judge = search.judge(&guide.judging()?.rows)?;
        let (subnet, repair) = repair(&limits, &judge, &outcome.theta, derived, self.progress)?;
        self.progress.say(&format!("  {repair}"));
        Ok((subnet, Some(repair)))
    }
}

impl<'a> Searcher<'a> {
    pub(in crate::app) fn new(run: &'a Run<'a>, guide: &'a Guide) -> Self {
        Self { run, guide, warm: None }
    }

    /// Searches with the prices of `table`, of which `latency` is paid, and derives one network by `rule`: under a budget, with the
    /// multiplier that it asks for, and repaired. What is found is kept in `folder` of the run.
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
        let (name, choice) = (outcome_file(folder), subnet_file(folder));
        let chosen = |outcome: &SearchOutcome, search: Option<&Search>| {
            by_leader(run.ranks, || {
                run.journal.remember(&choice, || {
                    let (subnet, repair) = run.choose(outcome, search, self.guide, rule, &prices)?;
                    Ok(Searched { subnet, table_version: table.version, repair })
                })
            })
        };
        if rule.budget().is_some() {
            // The weights that networks are judged with end with the search, so the choice is a part of it.
            run.lead(|| match run.journal.path(&choice).exists() {
                true => Ok(()),
                false => fsio::remove(&run.journal.path(&name)),
            })?;
        }
        let outcome = run.journal.remember_training(run.ranks, &name, |keeper| {
            let (search, _) = warmed_up(run, self.guide, &mut self.warm)?;
            let curves = run.curves(&format!("search/{}", folder.replace("rounds/", "round")));
            let outcome = search.run(&prices, &*curves, keeper)?;
            chosen(&outcome, Some(search))?;
            Ok(outcome)
        })?;
        let searched = chosen(&outcome, None)?;
        by_leader(run.ranks, || run.space.verify(&searched.subnet, &run.journal.path(&choice)))?;
        Ok((outcome, searched))
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
            teacher: &guide.teacher,
            soft: &guide.soft,
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

/// Where θ, p and the epochs of a search are kept.
pub(super) fn outcome_file(folder: &str) -> String {
    format!("{folder}/search.json")
}

/// Where the network that a search derived is kept.
pub(super) fn subnet_file(folder: &str) -> String {
    format!("{folder}/subnet.json")
}
