//! The steps that time: probes for the first table; whole networks, residuals and the corrected table of each round.

use super::{Run, meter::NamedModel, training::Trained};
use crate::{
    app::config::Stage,
    base::{
        Result,
        names::EngineName,
        rng::{self, Generator},
    },
    export::{self, Metadata},
    price::{
        agreement::Residual,
        calibrate::{Calibration, Evidence, calibrate},
        observation::Observation,
        table::LatencyTable,
    },
    space::{SearchSpace, Subnet},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a round's measurements came to.
#[derive(Serialize, Deserialize)]
pub(super) struct Calibrated {
    /// The table that the next round pays with.
    pub(super) next: LatencyTable,
    /// Per engine: the networks, predicted by the old and the new table, against their measurement.
    pub(super) engines: BTreeMap<EngineName, EngineCalibration>,
}

/// One engine's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct EngineCalibration {
    /// The winner, with the table that the search paid with.
    pub(super) winner: Residual,
    /// The plain DNN's measured service time.
    pub(super) baseline_ms: f64,
    /// All other networks, before and after the correction.
    pub(super) calibration: Calibration,
}

/// The measured networks of one round on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    winner: Observation,
    baseline: Observation,
    diverse: Vec<Observation>,
    held_out: Vec<Observation>,
}

impl Measured {
    /// What the table learns from. The plain DNN may lie outside the search space, so it is not among them.
    fn fitted(&self) -> Vec<Observation> {
        self.diverse.iter().chain([&self.winner]).cloned().collect()
    }
}

impl Run<'_> {
    /// Version 1 of the table: every layer of the space, alone, on every engine.
    pub(super) fn probe(&self) -> Result<LatencyTable> {
        self.journal.remember("tables/v1.json", || {
            let candidates = self.settings.target.candidates;
            let mut table = LatencyTable::new("isolated layer probes");
            for &engine in &self.settings.target.engines {
                let context = self.meter.context(engine)?;
                self.progress.stage(&format!("probe every layer on {engine}"), 0);
                for entry in self.meter.probe(engine, &self.space, self.mean_cardinality())? {
                    table.insert(&context, candidates, entry)?;
                }
            }
            Ok(table)
        })
    }

    /// Rows of the average embedding table, for probes that gather from tables of realistic size.
    fn mean_cardinality(&self) -> usize {
        let features = &self.loaded.dataset.features;
        let rows: usize = features.iter().map(|f| f.cardinality as usize).sum();
        (rows / features.len()).max(2)
    }

    /// Measures the round's winner, the plain DNN and random subnets, and corrects the table.
    pub(super) fn calibrate(
        &self,
        round: usize,
        winner: &Trained,
        baseline: &Trained,
        table: &LatencyTable,
    ) -> Result<Calibrated> {
        let counts = &self.settings.rounds;
        // The held-out networks are the same in every round, so that rounds can be compared.
        let held_out = self.random_subnets("held out", counts.held_out, &BTreeSet::new());
        let known: BTreeSet<String> = held_out.iter().map(|s| s.id(&self.space)).collect();
        let diverse = self.random_subnets(&format!("diverse {round}"), counts.diverse, &known);
        let mut all = BTreeMap::new();
        for &engine in &self.settings.target.engines {
            let measured = self.measure(round, engine, winner, baseline, &diverse, &held_out)?;
            all.insert(engine, (self.meter.context(engine)?, measured.fitted(), measured));
        }
        let candidates = self.settings.target.candidates;
        let evidence: Vec<Evidence> = all
            .values()
            .map(|(context, fitted, measured)| Evidence {
                context,
                candidates,
                fitted,
                held_out: &measured.held_out,
            })
            .collect();
        let (next, calibrations) = calibrate(table, &evidence)?;
        let next = self.journal.remember(&format!("tables/v{}.json", next.version), || Ok(next))?;
        let mut engines = BTreeMap::new();
        for ((engine, (_, _, measured)), calibration) in all.iter().zip(calibrations) {
            let prices = table.prices(&calibration.context, calibration.candidates)?;
            engines.insert(
                *engine,
                EngineCalibration {
                    winner: Residual::of(&measured.winner, &prices)?,
                    baseline_ms: measured.baseline.measured_ms,
                    calibration,
                },
            );
        }
        let engines = self.journal.remember(&format!("rounds/{round}/residuals.json"), || Ok(engines))?;
        Ok(Calibrated { next, engines })
    }

    fn measure(
        &self,
        round: usize,
        engine: EngineName,
        winner: &Trained,
        baseline: &Trained,
        diverse: &[Subnet],
        held_out: &[Subnet],
    ) -> Result<Measured> {
        self.journal.remember(&format!("rounds/{round}/measured/{engine}.json"), || {
            let mut models = vec![winner.finished.model(), baseline.finished.model()];
            for subnet in diverse.iter().chain(held_out) {
                models.push(self.shape_of(subnet)?);
            }
            self.progress.stage(&format!("time {} networks on {engine}", models.len()), 0);
            let times = self.meter.service(engine, &models)?;
            let subnets = [&winner.finished.subnet, &baseline.finished.subnet]
                .into_iter()
                .chain(diverse)
                .chain(held_out);
            let mut observed = subnets
                .zip(times)
                .map(|(subnet, time)| Observation::of(&self.space, subnet, time.mean_ms, time.noise_pct));
            let mut next = || observed.next().expect("one time per model");
            Ok(Measured {
                winner: next(),
                baseline: next(),
                diverse: diverse.iter().map(|_| next()).collect(),
                held_out: held_out.iter().map(|_| next()).collect(),
            })
        })
    }

    /// The ONNX file of an untrained network of this shape.
    fn shape_of(&self, subnet: &Subnet) -> Result<NamedModel> {
        let id = subnet.id(&self.space);
        let path = self.journal.path(&format!("shapes/{id}.onnx"));
        if !path.exists() {
            let metadata = Metadata { subnet: id.clone(), ..Metadata::default() };
            export::onnx(&self.untrained(subnet)?, self.settings.target.layout, &metadata)?.write(&path)?;
        }
        Ok(NamedModel { name: id, path })
    }

    /// Distinct random subnets: the number of features spread evenly on a logarithmic scale from 4 to all of them, any
    /// operators.
    fn random_subnets(&self, purpose: &str, count: usize, known: &BTreeSet<String>) -> Vec<Subnet> {
        let mut rng = rng::generator(self.seed(Stage::Rounds), purpose);
        let mut known = known.clone();
        let mut subnets = Vec::new();
        // A tiny space may have fewer distinct subnets than wanted.
        for attempt in 0..count * 20 {
            if subnets.len() == count {
                break;
            }
            let share = (subnets.len() as f64 + 0.5) / count as f64;
            let subnet = random_subnet(&self.space, share, &mut rng);
            if known.insert(subnet.id(&self.space)) || attempt + 1 == count * 20 {
                subnets.push(subnet);
            }
        }
        subnets
    }
}

fn random_subnet(space: &SearchSpace, share: f64, rng: &mut Generator) -> Subnet {
    let all = space.features.len();
    let fewest = all.min(4) as f64;
    let count = (fewest * (all as f64 / fewest).powf(share)).round() as usize;
    let mut features: Vec<usize> = (0..all).collect();
    rng::shuffle(&mut features, rng);
    features.truncate(count.clamp(1, all));
    features.sort_unstable();
    let operators =
        space.mixops.iter().map(|operators| operators[rng.random_range(0..operators.len())]).collect();
    Subnet { features, operators }
}
