//! FSCD (Ma et al., SIGIR 2021, arXiv 2105.07706): feature gates with a prior by complexity, in front of a plain DNN.
//!
//! ```text
//! c_i = γ1·fetch_i + γ2·width_i + γ3·cardinality_i      each from 0 to 1
//! θ_i = 1 − σ(c_i)                                       prior probability of keeping feature i
//! α_i = ln((1 − θ_i)/θ_i) = c_i                          what keeping it costs
//! z_i = σ((logit δ_i + logit u) / τ),  u uniform         concrete relaxation of Bernoulli(δ_i)
//! L   = cross entropy of the DNN on z ⊗ e + ρ·Σ_i α_i·z_i
//! ```
//!
//! One draw per batch. The learned δ_i ranks the features; while it scores, the network multiplies every embedding by its δ.
//! Fine-tuning is training the network on the chosen features from scratch.
//!
//! What the paper leaves open: fetch_i is what feature i alone would cost ([`FeaturePrices`]) by the dearest one's cost, width_i its
//! embedding's width by the widest one's, cardinality_i is ln(1 + cardinality) by the largest, because vocabularies differ by
//! orders of magnitude. ρ is 1 / training rows in the paper, a setting here.

use super::{Learned, Setup};
use crate::{
    base::{Result, progress::Progress, rng::Generator},
    data::{dataset::Batch, lists::Lists},
    learn::{
        Learn,
        checkpoint::Keeper,
        device::device,
        embedding::{EmbeddingBank, InputFeature, input_features},
        importance::{Importance, Method, Strengths},
        mask::{Mask, THETA},
        ops::gate::{Columns, gate},
        optimizer::ParamGroup,
        params::Params,
        settings::{Annealing, FscdSettings, Gate, RateSchedule, TrainSettings},
        student::Student,
        train::{Trainable, fit},
    },
    price::feature::FeaturePrices,
    space::SearchSpace,
};
use candle_core::Tensor;
use std::sync::Arc;

/// Gated embeddings, and a plain DNN on them.
#[derive(Debug)]
pub struct Fscd<'a> {
    student: Student<'a>,
    mask: Mask,
    columns: Columns,
    /// ρ·α of every feature `[1, features]`.
    penalty: Tensor,
    settings: FscdSettings,
}

impl<'a> Fscd<'a> {
    /// An untrained network over all features that may be selected. `prices` says what they cost to fetch.
    pub fn new(setup: &Setup<'a>, prices: &FeaturePrices, settings: &FscdSettings) -> Result<Self> {
        let &Setup { space, rows, lesson, seed } = setup;
        let chosen = space.selectable();
        let features = input_features(&space.features, &chosen, rows.data)?;
        let penalty: Vec<f32> = complexities(space, &chosen, &features, prices, settings)
            .into_iter()
            .map(|c| (settings.prior_weight * c) as f32)
            .collect();
        let mut student = Student::new(features, &settings.widths, &settings.train, lesson, seed)?;
        let gated: Vec<_> = chosen.iter().map(|&i| space.features[i].clone()).collect();
        let FscdSettings { gate_start, temperature, .. } = *settings;
        let gate = Gate::Relaxed {
            start_temperature: temperature,
            end_temperature: temperature,
            schedule: Annealing::default(),
        };
        Ok(Self {
            mask: Mask::new(&gated, gate_start, gate, student.params_mut())?,
            columns: student.bank().gate_columns(),
            student,
            penalty: Tensor::new(penalty, device()).and_then(|p| p.unsqueeze(0)).learn("price gates")?,
            settings: settings.clone(),
        })
    }

    /// δ of every feature that is gated, in the order of the network.
    pub fn gates(&self) -> Result<Vec<Importance>> {
        let each = self.bank().features().iter().zip(self.mask.theta_values()?);
        let importance =
            |(feature, value): (&InputFeature, f64)| Importance::plain(feature.name.clone(), value);
        Ok(each.map(importance).collect())
    }
}

impl Trainable for Fscd<'_> {
    fn params(&self) -> &Params {
        self.student.params()
    }

    fn bank(&self) -> &EmbeddingBank {
        self.student.bank()
    }

    fn generator(&mut self) -> &mut Generator {
        self.student.generator()
    }

    fn loss(&mut self, embedded: &Tensor, batch: &Batch) -> Result<Tensor> {
        let gates = self.mask.draw(self.student.generator())?;
        let gated = gate(embedded, &gates, &self.columns).learn("gate features")?;
        let fitted = self.student.loss(&gated, batch)?;
        // Of a shard, the part of the prior that its rows are of the batch.
        let share = batch.part.as_ref().map_or(1.0, |part| batch.rows() as f64 / part.row_total);
        let sum = || fitted + ((gates * &self.penalty)?.sum_all()? * share)?;
        sum().learn("add the prior")
    }

    fn lists(&self) -> Option<Arc<Lists>> {
        self.student.lists()
    }

    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        let gates = self.mask.theta()?.unsqueeze(0).learn("open gates")?;
        let gated = gate(&self.bank().lookup(batch)?, &gates, &self.columns).learn("gate features")?;
        self.student.scores_of(&gated)
    }

    fn group(&self, name: &str, settings: &TrainSettings) -> ParamGroup {
        if name != THETA {
            return self.student.group(name, settings);
        }
        let FscdSettings { gate_learning_rate: learning_rate, gate_scaling: scaling, .. } = self.settings;
        ParamGroup { learning_rate, weight_decay: 0.0, scaling, schedule: RateSchedule::CONSTANT }
    }
}

/// c of the `chosen` features, which the data encode as `features`.
fn complexities(
    space: &SearchSpace,
    chosen: &[usize],
    features: &[InputFeature],
    prices: &FeaturePrices,
    settings: &FscdSettings,
) -> Vec<f64> {
    let by_largest = |numbers: Vec<f64>| {
        let largest = numbers.iter().copied().fold(0.0, f64::max);
        // Where all are 0, none is more complex than another.
        numbers.into_iter().map(move |number| if largest > 0.0 { number / largest } else { 0.0 })
    };
    let fetch = chosen.iter().map(|&i| prices.selected_ms(&[i], space.features.len())).collect();
    let widths = features.iter().map(|feature| feature.width as f64).collect();
    let cardinalities = features.iter().map(|feature| f64::from(feature.cardinality).ln_1p()).collect();
    by_largest(fetch)
        .zip(by_largest(widths))
        .zip(by_largest(cardinalities))
        .map(|((fetch, width), cardinality)| {
            settings.fetch_weight * fetch
                + settings.width_weight * width
                + settings.cardinality_weight * cardinality
        })
        .collect()
}

/// Trains FSCD over all features that may be selected, and ranks them. `prices` says what they cost to fetch.
pub fn fscd(
    setup: &Setup,
    prices: &FeaturePrices,
    settings: &FscdSettings,
    progress: &dyn Progress,
    keeper: &mut Keeper,
) -> Result<Learned> {
    settings.check()?;
    let mut network = Fscd::new(setup, prices, settings)?;
    let fit = fit(&mut network, setup.rows, &settings.train, setup.seed, progress, keeper)?;
    let strengths = Strengths::of_network(Method::Fscd, setup.space, &network.gates()?)?;
    Ok(Learned { strengths, fit })
}

#[cfg(test)]
mod tests;
