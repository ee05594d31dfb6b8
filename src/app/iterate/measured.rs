//! The steps that time: probes for the first table; whole networks, residuals and the corrected table of each round.

use super::{Run, meter::NamedModel, training::Trained};
use crate::{
    app::{
        config::Stage,
        package::{Provers, draw, prove_in},
    },
    base::{
        Result,
        names::EngineName,
        rng::{self, Generator},
    },
    data::schema::Side,
    export::{self, Metadata},
    measure::{probe::ProbePlan, prove::ParityReport},
    price::{
        LayerPrices,
        agreement::Residual,
        calibrate::{Calibration, Evidence, calibrate},
        observation::Observation,
        table::{LatencyTable, Operation, SCHEMA_VERSION},
    },
    space::{InputWidths, SearchSpace, Subnet},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

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
    /// Spread of that, in percent.
    pub(super) baseline_noise_pct: f64,
    /// Networks that stayed too noisy after all repeats.
    pub(super) void: Vec<String>,
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
    /// What the table learns from. The plain DNN may lie outside the search space, so it is not among them; nor is what
    /// stayed noisier than `max_noise_pct`.
    fn fitted(&self, max_noise_pct: f64) -> Vec<Observation> {
        let fitted = self.diverse.iter().chain([&self.winner]);
        fitted.filter(|network| network.noise_pct <= max_noise_pct).cloned().collect()
    }

    /// Networks that stayed noisier than `max_noise_pct`.
    fn void(&self, max_noise_pct: f64) -> Vec<String> {
        let all = [&self.winner, &self.baseline].into_iter().chain(&self.diverse).chain(&self.held_out);
        let noisy = all.filter(|network| network.noise_pct > max_noise_pct);
        noisy.map(|network| network.network.clone()).collect()
    }
}

/// The table that was given instead of probes, from the run's folder.
const GIVEN_TABLE: &str = "tables/given.json";

/// Rows on which the networks that are only timed are proved.
const SHAPE_ROWS: usize = 1000;

impl Run<'_> {
    /// What the first round pays with: the given table, or probes of every layer of the space, alone, on every engine.
    pub(super) fn first_table(&self) -> Result<LatencyTable> {
        match self.experiment.table_path() {
            Some(path) => {
                self.journal.remember_document(GIVEN_TABLE, SCHEMA_VERSION, || self.given_table(&path))
            }
            None => self.journal.remember_document("tables/v1.json", SCHEMA_VERSION, || self.probe()),
        }
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
            let prices = table.prices(&self.meter.context(engine)?, target.candidates)?;
            for operation in &plan.operations {
                match *operation {
                    Operation::First { user, item, to } => {
                        prices.first_ms(InputWidths { user: user as f64, item: item as f64 }, to)?;
                    }
                    Operation::Layer { from, to } => {
                        prices.layer_ms(from, to)?;
                    }
                }
            }
        }
        Ok(table)
    }

    fn probe_plan(&self) -> Result<ProbePlan> {
        let target = &self.settings.target;
        ProbePlan::for_space(&self.space, self.mean_cardinality(), target.layout, &[target.candidates])
    }

    fn probe(&self) -> Result<LatencyTable> {
        let candidates = self.settings.target.candidates;
        let max_noise_pct = self.settings.probe.max_noise_pct;
        let mut table = LatencyTable::new("isolated layer probes");
        for &engine in &self.settings.target.engines {
            let context = self.meter.context(engine)?;
            let entries = self.journal.remember(&format!("tables/probed/{engine}.json"), || {
                self.progress.stage(&format!("probe every layer on {engine}"), 0);
                self.meter.probe(engine, &self.space, self.mean_cardinality())
            })?;
            let noisy = entries.iter().filter(|entry| entry.noise_pct > max_noise_pct).count();
            if noisy > 0 {
                let of = entries.len();
                self.progress.say(&format!(
                    "{noisy} of {of} layers on {engine} stayed noisier than {max_noise_pct} %: their prices are doubtful"
                ));
            }
            for entry in entries {
                table.insert(&context, candidates, entry)?;
            }
        }
        Ok(table)
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
        let draws = |purpose: &str| rng::generator(self.seed(Stage::Rounds), purpose);
        let held_out = random_subnets(&self.space, counts.held_out, &[], draws("held out"));
        let diverse =
            random_subnets(&self.space, counts.diverse, &held_out, draws(&format!("diverse {round}")));
        let mut all = BTreeMap::new();
        for &engine in &self.settings.target.engines {
            let measured = self.measure(round, engine, winner, baseline, &diverse, &held_out)?;
            let fitted = measured.fitted(self.settings.probe.max_noise_pct);
            all.insert(engine, (self.meter.context(engine)?, fitted, measured));
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
        let file = format!("tables/v{}.json", next.version);
        let next = self.journal.remember_document(&file, SCHEMA_VERSION, || Ok(next))?;
        let mut engines = BTreeMap::new();
        for ((engine, (_, _, measured)), calibration) in all.iter().zip(calibrations) {
            let prices = table.prices(&calibration.context, calibration.candidates)?;
            engines.insert(
                *engine,
                EngineCalibration {
                    winner: Residual::of(&measured.winner, &prices)?,
                    baseline_ms: measured.baseline.measured_ms,
                    baseline_noise_pct: measured.baseline.noise_pct,
                    void: measured.void(self.settings.probe.max_noise_pct),
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
            let times = self.meter.service(engine, &models, self.traffic()?.as_ref())?;
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

    /// The ONNX file of an untrained network of this shape, proved like one that will be served but on fewer rows.
    fn shape_of(&self, subnet: &Subnet) -> Result<NamedModel> {
        let id = subnet.id(&self.space);
        let path = self.journal.path(&format!("shapes/{id}.onnx"));
        self.journal.remember_document(&format!("shapes/{id}.json"), ParityReport::SCHEMA_VERSION, || {
            self.progress.stage(&format!("prove the shape {id}"), 0);
            let network = self.untrained(subnet)?;
            let metadata = Metadata { subnet: id.clone(), ..Metadata::default() };
            export::onnx(&network, self.settings.target.layout, &metadata)?.write(&path)?;
            let rows = draw(&self.loaded.split.valid, SHAPE_ROWS, self.seed(Stage::Rounds));
            let target = &self.settings.target;
            let provers = Provers { engines: &target.engines, options: &target.session_options() };
            prove_in(provers, &network, &path, &self.loaded.dataset, &rows)
        })?;
        Ok(NamedModel { name: id, path })
    }
}

/// Random subnets of any operators that differ in their shapes from each other and from all `known` ones: the number of
/// features is spread evenly on a logarithmic scale from 4 to all of them. A small space may hold fewer than `count`.
fn random_subnets(space: &SearchSpace, count: usize, known: &[Subnet], mut rng: Generator) -> Vec<Subnet> {
    let mut shapes: BTreeSet<Shape> = known.iter().map(|subnet| shape(space, subnet)).collect();
    let mut subnets = Vec::new();
    for attempt in 0..count * 20 {
        if subnets.len() == count {
            break;
        }
        let share = ((attempt % count) as f64 + 0.5) / count as f64;
        let subnet = random_subnet(space, share, &mut rng);
        if shapes.insert(shape(space, &subnet)) {
            subnets.push(subnet);
        }
    }
    subnets
}

/// What a latency depends on: hidden widths, and input widths of both sides. Two subnets of one shape are one
/// measurement to the table, whatever their features.
type Shape = (Vec<usize>, [u64; 2]);

fn shape(space: &SearchSpace, subnet: &Subnet) -> Shape {
    let input = subnet.input_widths(space);
    (subnet.layer_widths(), [input.user, input.item].map(f64::to_bits))
}

fn random_subnet(space: &SearchSpace, share: f64, rng: &mut Generator) -> Subnet {
    let all = space.features.len();
    let fewest = all.min(4) as f64;
    let count = (fewest * (all as f64 / fewest).powf(share)).round() as usize;
    let mut features: Vec<usize> = (0..all).collect();
    rng::shuffle(&mut features, rng);
    let count = count.clamp(1, all);
    // Without a feature of the candidate all would score alike, and nothing is computed once per user.
    let item = features.iter().position(|&i| space.features[i].kind.side() == Side::Item);
    if let Some(item) = item.filter(|&item| item >= count) {
        features.swap(0, item);
    }
    features.truncate(count);
    features.sort_unstable();
    let operators =
        space.mixops.iter().map(|operators| operators[rng.random_range(0..operators.len())]).collect();
    Subnet { features, operators }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind},
        price::fixtures,
        space::Operator,
    };

    #[test]
    fn random_subnets_never_share_a_shape_with_a_known_one() {
        // One user and one item feature, both always chosen, and two operators: two shapes in all.
        let space = fixtures::space(&[&[16, 0]]);
        let draw = |known: &[Subnet]| random_subnets(&space, 5, known, rng::generator(1, "test"));
        let both = draw(&[]);
        assert_eq!(both.len(), 2);
        assert_ne!(both[0].layer_widths(), both[1].layer_widths());
        assert_eq!(draw(&both[..1]), both[1..]);
        assert_eq!(draw(&both), []);
    }

    #[test]
    fn subnets_of_equal_widths_have_one_shape_though_their_features_differ() {
        let features = (0..6).map(|i| fixtures::feature(&format!("f{i}"), 4)).collect();
        let space = SearchSpace::new(features, vec![vec![Operator::Mlp(8)]]).unwrap();
        // Four of six features have fifteen sets, and one shape.
        let found = random_subnets(&space, 12, &[], rng::generator(1, "test"));
        let shapes: BTreeSet<Shape> = found.iter().map(|subnet| shape(&space, subnet)).collect();
        assert_eq!(shapes.len(), found.len());
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn every_random_subnet_reads_something_of_the_candidate() {
        let feature = |i: usize| {
            let kind = if i == 0 { Kind::Item } else { Kind::User };
            Feature { kind, ..fixtures::feature(&format!("f{i}"), 1 + i) }
        };
        let space = SearchSpace::new((0..30).map(feature).collect(), vec![vec![Operator::Mlp(8)]]).unwrap();
        let found = random_subnets(&space, 20, &[], rng::generator(1, "test"));
        assert_eq!(found.len(), 20);
        assert!(found.iter().all(|subnet| subnet.input_widths(&space).item == 1.0));
    }

    #[test]
    fn networks_that_stayed_noisy_correct_nothing_and_are_named() {
        let network = |network: &str, noise_pct| Observation {
            network: network.to_owned(),
            widths: vec![],
            input: InputWidths { user: 1.0, item: 1.0 },
            measured_ms: 1.0,
            noise_pct,
        };
        let measured = Measured {
            winner: network("winner", 3.0),
            baseline: network("baseline", 9.0),
            diverse: vec![network("quiet", 0.5), network("noisy", 3.1)],
            held_out: vec![network("unseen", 4.0)],
        };
        let fitted: Vec<_> = measured.fitted(3.0).into_iter().map(|o| o.network).collect();
        assert_eq!(fitted, ["quiet", "winner"]);
        assert_eq!(measured.void(3.0), ["baseline", "noisy", "unseen"]);
    }
}
