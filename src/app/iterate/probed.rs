//! What the first round pays with: a table that was given, or probes of every layer of the space.

use super::Run;
use crate::{
    app::{config::Stage, probe::table_rows},
    base::{Error, Result, names::EngineName},
    measure::probe::{Networks, ProbePlan},
    price::{
        LayerPrices,
        table::{LatencyTable, Operation, SCHEMA_VERSION, TableContext, Value},
    },
    space::InputWidths,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// The table that was given instead of probes, from the run's folder.
pub(super) const GIVEN_TABLE: &str = "tables/given.json";
/// The table of the probes.
pub(super) const PROBED_TABLE: &str = "tables/v1.json";

/// Every layer on one engine, and under which circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Probed {
    context: TableContext,
    values: Vec<Value>,
}

/// How far the prices of single layers may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProbeSummary {
    /// Layers that were probed, first ones of every input among them.
    pub layers: usize,
    /// Those that stayed noisier than `probe.max_noise_pct`: their prices are doubtful.
    pub noisy: usize,
}

impl ProbeSummary {
    /// Of the noise of every price in percent.
    fn of(noise_pct: impl Iterator<Item = f64>, max_noise_pct: f64) -> Self {
        noise_pct.fold(Self { layers: 0, noisy: 0 }, |Self { layers, noisy }, noise_pct| Self {
            layers: layers + 1,
            noisy: noisy + usize::from(noise_pct > max_noise_pct),
        })
    }

    /// A line about doubtful prices on `engine`; nothing where there are none.
    pub(super) fn doubt(&self, engine: EngineName) -> String {
        let Self { layers, noisy } = self;
        match noisy {
            0 => String::new(),
            _ => format!(
                "{noisy} of {layers} layers on {engine} stayed noisy when probed: their prices are doubtful\n"
            ),
        }
    }
}

impl Run<'_> {
    /// What the first round pays with: the given table, or probes of every layer of the space, alone, on every engine.
    pub(in crate::app) fn first_table(&self) -> Result<LatencyTable> {
        match self.experiment.table_path() {
            Some(path) => {
                self.journal.remember_document(GIVEN_TABLE, SCHEMA_VERSION, || self.given_table(&path))
            }
            None => self.journal.remember_document(PROBED_TABLE, SCHEMA_VERSION, || self.probe()),
        }
    }

    /// Where it is kept, from the run's folder.
    pub(super) fn first_table_file(&self) -> &'static str {
        if self.experiment.table_path().is_some() { GIVEN_TABLE } else { PROBED_TABLE }
    }

    /// Fails when a table is given that cannot pay for the space.
    pub(super) fn check_given_table(&self) -> Result<()> {
        match self.experiment.table_path() {
            Some(path) if !self.journal.path(GIVEN_TABLE).exists() => self.given_table(&path).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn given_table(&self, path: &Path) -> Result<LatencyTable> {
        let table = LatencyTable::load(path)?;
        let target = &self.settings.target;
        let plan = self.probe_plan()?;
        for &engine in &target.engines {
            let context = self.meter.context(engine)?;
            // What the rounds measure is filed under this very count, so that no line between others will do.
            table.bucket(&context, target.candidates)?;
            let prices = table.prices(&context, target.candidates)?;
            table.check_features(&context, target.candidates, &plan.gathered().features, "")?;
            self.doubt_given(&table, &context)?;
            for operation in plan.subjects.iter().filter_map(|subject| plan.operation(subject)) {
                match operation {
                    Operation::Call => {}
                    Operation::First { user, item, to } => {
                        prices.first_ms(InputWidths { user: user as f64, item: item as f64 }, to)?;
                        prices.check_grid(to)?;
                    }
                    Operation::Layer { from, to } => {
                        prices.layer_ms(from, to)?;
                    }
                }
            }
        }
        Ok(table)
    }

    /// Says what of a given table is of no use, or doubtful.
    fn doubt_given(&self, table: &LatencyTable, context: &TableContext) -> Result<()> {
        let bucket = table.bucket(context, self.settings.target.candidates)?;
        let unpriced = bucket.unpriced();
        if unpriced > 0 {
            self.progress.say(&format!(
                "note: {unpriced} networks of the given table have layers on {} that it has no price for: they correct nothing; merge \
                 all its shards together",
                context.engine
            ));
        }
        if let Some(doubt) = bucket.between_widths.and_then(|error| error.doubt()) {
            self.progress.say(&format!("note: {} on {}", doubt, context.engine));
        }
        Ok(())
    }

    /// Every layer that a network of the space can have; whole networks are measured by the rounds.
    pub(super) fn probe_plan(&self) -> Result<ProbePlan> {
        let target = &self.settings.target;
        // As `table probe --encoders` has it, so that a table of one serves the other.
        let cardinalities = table_rows(&self.schema, Some(&self.loaded.encoders), 0)?;
        let (candidates, seed) = (&[target.candidates], self.seed(Stage::Probe));
        ProbePlan::for_space(&self.space, &cardinalities, target.layout, candidates, Networks::NONE, seed)
    }

    fn probe(&self) -> Result<LatencyTable> {
        let candidates = self.settings.target.candidates;
        let max_noise_pct = self.settings.probe.max_noise_pct;
        let mut table = LatencyTable::new("isolated layer probes");
        for &engine in &self.settings.target.engines {
            let file = format!("tables/probed/{engine}.json");
            let Probed { context, values } = self.journal.remember(&file, || {
                self.progress.measuring(&format!("probe every layer on {engine}"));
                let values = self.meter.probe(engine, &self.probe_plan()?)?;
                Ok(Probed { context: self.meter.context(engine)?, values })
            })?;
            self.check_measured_here(&file, engine, &context)?;
            let ProbeSummary { layers, noisy } =
                ProbeSummary::of(values.iter().map(Value::noise_pct), max_noise_pct);
            if noisy > 0 {
                self.progress.say(&format!(
                    "{noisy} of {layers} layers on {engine} stayed noisier than {max_noise_pct} %: their prices are doubtful"
                ));
            }
            for value in values {
                table.insert_value(&context, candidates, value)?;
            }
        }
        table.state_origin(None, Some(self.probe_plan()?.gathered()));
        table.corrected(|_| true)
    }

    /// Per engine, how many prices of the first table stayed noisy.
    pub(super) fn probe_summaries(&self, first: &LatencyTable) -> Result<BTreeMap<EngineName, ProbeSummary>> {
        let max_noise_pct = self.settings.probe.max_noise_pct;
        let target = &self.settings.target;
        let summary = |&engine: &EngineName| {
            let bucket = first.bucket(&self.meter.context(engine)?, target.candidates)?;
            // First layers stand apart, by their inputs; they were probed like the others.
            let inputs = bucket.inputs.iter().map(|entry| entry.noise_pct);
            let noise_pct = bucket.entries.iter().map(|entry| entry.noise_pct).chain(inputs);
            Ok((engine, ProbeSummary::of(noise_pct, max_noise_pct)))
        };
        target.engines.iter().map(summary).collect()
    }

    /// Fails when what was kept in `file` had been measured under other circumstances than this machine's: times of two
    /// hosts do not go into one run.
    pub(super) fn check_measured_here(
        &self,
        file: &str,
        engine: EngineName,
        measured: &TableContext,
    ) -> Result<()> {
        let here = self.meter.context(engine)?;
        if *measured == here {
            return Ok(());
        }
        Err(Error::usage(
            format!(
                "{} was measured with {measured}, and this would go on with {here}",
                self.journal.path(file).display()
            ),
            "go on where it was measured, or start a new run with another --out",
        ))
    }
}
