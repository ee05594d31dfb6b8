//! The step that times whole networks: residuals and the corrected table of each round.

use super::{Run, meter::NamedModel, training::Trained};
use crate::{
    app::{
        config::Stage,
        package::{Provers, draw, prove_in},
    },
    base::{
        Result,
        names::{Embeddings, EngineName, Precision},
        rng,
    },
    export::{self, Form, Format, Metadata, Reference, quantise::every_layer},
    measure::prove::{ParityReport, tolerance},
    price::{
        agreement::Residual,
        calibrate::{Calibration, Evidence, calibrate},
        observation::Observation,
        table::{LatencyTable, SCHEMA_VERSION, TableContext},
    },
    space::{Subnet, design::random_subnets},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
pub(in crate::app) struct EngineCalibration {
    /// The winner, with the table that the search paid with.
    pub(in crate::app) winner: Residual,
    /// The winner's measured service time.
    pub(in crate::app) winner_time: MeasuredTime,
    /// The plain DNN's.
    pub(in crate::app) baseline_time: MeasuredTime,
    /// Networks that stayed too noisy after all repeats.
    pub(in crate::app) void: Vec<String>,
    /// All other networks, before and after the correction.
    pub(in crate::app) calibration: Calibration,
}

/// A measured service time with what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasuredTime {
    /// The median over blocks of the mean of a block's runs without their slowest quarter.
    pub ms: f64,
    /// Its standard error, in percent.
    pub noise_pct: f64,
    /// It stayed noisier than `probe.max_noise_pct` after all repeats: it shows nothing.
    pub void: bool,
}

impl MeasuredTime {
    fn of(network: &Observation, max_noise_pct: f64) -> Self {
        let Observation { measured_ms: ms, noise_pct, .. } = *network;
        Self { ms, noise_pct, void: noise_pct > max_noise_pct }
    }
}

/// The measured networks of one round on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    context: TableContext,
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

    /// What judges predictions: a network that stayed noisier than `max_noise_pct` cannot tell a good one from a bad one.
    fn judging(&self, max_noise_pct: f64) -> Vec<Observation> {
        self.held_out.iter().filter(|network| network.noise_pct <= max_noise_pct).cloned().collect()
    }

    /// Networks that stayed noisier than `max_noise_pct`.
    fn void(&self, max_noise_pct: f64) -> Vec<String> {
        let all = [&self.winner, &self.baseline].into_iter().chain(&self.diverse).chain(&self.held_out);
        let noisy = all.filter(|network| network.noise_pct > max_noise_pct);
        noisy.map(|network| network.network.clone()).collect()
    }
}

/// Rows on which the networks that are only timed are proved.
const SHAPE_ROWS: usize = 1000;

/// Rows on which the ranges of their integers are found.
const RANGE_ROWS: usize = 256;

impl Run<'_> {
    /// Measures the round's winner, the plain DNN and random subnets, and corrects the table.
    pub(super) fn calibrate(
        &self,
        round: usize,
        winner: &Trained,
        baseline: &Trained,
        table: &LatencyTable,
    ) -> Result<Calibrated> {
        let [diverse, held_out] = self.drawn_subnets(round);
        let max_noise_pct = self.settings.probe.max_noise_pct;
        let mut all = BTreeMap::new();
        for &engine in &self.settings.target.engines {
            let measured = self.measure(round, engine, winner, baseline, &diverse, &held_out)?;
            let (fitted, held_out) = (measured.fitted(max_noise_pct), measured.judging(max_noise_pct));
            all.insert(engine, (fitted, held_out, measured));
        }
        let candidates = self.settings.target.candidates;
        let evidence: Vec<Evidence> = all
            .values()
            .map(|(fitted, held_out, measured)| Evidence {
                context: &measured.context,
                candidates,
                fitted,
                held_out,
            })
            .collect();
        let (next, calibrations) = calibrate(table, &evidence)?;
        let file = format!("tables/v{}.json", next.version);
        let next = self.journal.remember_document(&file, SCHEMA_VERSION, || Ok(next))?;
        let mut engines = BTreeMap::new();
        for ((engine, (_, _, measured)), calibration) in all.iter().zip(calibrations) {
            let prices = table.prices(&calibration.context, candidates)?;
            let seen = table.bucket(&calibration.context, candidates)?.shape_of(&measured.winner);
            engines.insert(
                *engine,
                EngineCalibration {
                    winner: Residual::of(&measured.winner, &prices, seen)?,
                    winner_time: MeasuredTime::of(&measured.winner, max_noise_pct),
                    baseline_time: MeasuredTime::of(&measured.baseline, max_noise_pct),
                    void: measured.void(max_noise_pct),
                    calibration,
                },
            );
        }
        let engines = self.journal.remember(&format!("rounds/{round}/residuals.json"), || Ok(engines))?;
        Ok(Calibrated { next, engines })
    }

    /// Networks that are timed in a round beside its winner: those that correct the table, and those that judge it.
    pub(super) fn drawn_subnets(&self, round: usize) -> [Vec<Subnet>; 2] {
        let counts = &self.settings.rounds;
        // The held-out networks are the same in every round, so that rounds can be compared.
        let draws = |purpose: &str| rng::generator(self.seed(Stage::Rounds), purpose);
        let held_out = random_subnets(&self.space, counts.held_out, &[], draws("held out"));
        let diverse =
            random_subnets(&self.space, counts.diverse, &held_out, draws(&format!("diverse {round}")));
        [diverse, held_out]
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
        let file = format!("rounds/{round}/measured/{engine}.json");
        let measured: Measured = self.journal.remember(&file, || {
            let mut models = vec![winner.finished.model(), baseline.finished.model()];
            for subnet in diverse.iter().chain(held_out) {
                models.push(self.shape_of(subnet)?);
            }
            self.progress.measuring(&format!("time {} networks on {engine}", models.len()));
            // Random ids, as the probes: a table that mixed them with a trace's would fit its layers to the difference.
            let times = self.meter.service(engine, &models, None)?;
            let subnets = [&winner.finished.subnet, &baseline.finished.subnet]
                .into_iter()
                .chain(diverse)
                .chain(held_out);
            let mut observed = subnets
                .zip(times)
                .map(|(subnet, time)| Observation::of(&self.space, subnet, time.mean_ms, time.noise_pct));
            let mut next = || observed.next().expect("one time per model");
            Ok(Measured {
                context: self.meter.context(engine)?,
                winner: next(),
                baseline: next(),
                diverse: diverse.iter().map(|_| next()).collect(),
                held_out: held_out.iter().map(|_| next()).collect(),
            })
        })?;
        self.check_measured_here(&file, engine, &measured.context)?;
        Ok(measured)
    }

    /// The ONNX file of an untrained network of this shape, proved like one that will be served but on fewer rows.
    fn shape_of(&self, subnet: &Subnet) -> Result<NamedModel> {
        let id = subnet.id(&self.space);
        let path = self.journal.path(&format!("shapes/{id}.onnx"));
        self.journal.remember_document(&format!("shapes/{id}.json"), ParityReport::SCHEMA_VERSION, || {
            self.progress.stage(&format!("prove the shape {id}"), 0);
            let network = self.untrained(subnet)?;
            let metadata = Metadata { subnet: id.clone(), ..Metadata::default() };
            let form = Form::of(self.settings.target.layout, &self.schema);
            let (precision, data) = (self.settings.target.precision, &self.loaded.dataset);
            let format = match precision {
                Precision::Fp32 => Format::Fp32,
                Precision::Fp16 => Format::Fp16,
                Precision::Int8 => {
                    let rows = draw(&self.loaded.split.train, RANGE_ROWS, self.seed(Stage::Rounds));
                    Format::Int8(every_layer(&network, &form, data, &rows, &self.settings.quantise)?)
                }
            };
            export::onnx_in(&format, &network, form, &metadata)?.write(&path)?;
            let rows = draw(&self.loaded.split.valid, SHAPE_ROWS, self.seed(Stage::Rounds));
            let target = &self.settings.target;
            let (options, stop) = (&target.session_options(), Some(self.journal.stop()));
            let provers = Provers { engines: &target.engines, options, stop };
            let stored = format.stored(&network, Embeddings::Inside);
            let reference = Reference::of(&stored, &format);
            Ok(prove_in(provers, reference, &path, data, &rows, tolerance(precision))?.0)
        })?;
        Ok(NamedModel { name: id, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        price::fixtures::context,
        space::{InputLoad, InputWidths},
    };

    #[test]
    fn networks_that_stayed_noisy_correct_and_judge_nothing_and_are_named() {
        let network = |network: &str, noise_pct| Observation {
            network: network.to_owned(),
            widths: vec![],
            input: InputWidths { user: 1.0, item: 1.0 },
            load: InputLoad::default(),
            measured_ms: 1.0,
            noise_pct,
            cold_ms: None,
            origin: 0,
        };
        let measured = Measured {
            context: context(),
            winner: network("winner", 3.0),
            baseline: network("baseline", 9.0),
            diverse: vec![network("quiet", 0.5), network("noisy", 3.1)],
            held_out: vec![network("unseen", 4.0), network("judge", 1.0)],
        };
        let fitted: Vec<_> = measured.fitted(3.0).into_iter().map(|o| o.network).collect();
        assert_eq!(fitted, ["quiet", "winner"]);
        assert_eq!(measured.void(3.0), ["baseline", "noisy", "unseen"]);
        let judges: Vec<_> = measured.judging(3.0).into_iter().map(|o| o.network).collect();
        assert_eq!(judges, ["judge"], "what is too noisy to correct the table is too noisy to judge it");
        assert!(
            MeasuredTime::of(&measured.baseline, 3.0).void && !MeasuredTime::of(&measured.winner, 3.0).void
        );
    }
}
