//! COLD (Wang et al. 2020, arXiv 2007.16122): a squeeze-and-excitation layer weighs every feature of every row,
//!
//! ```text
//! s = σ(W·[e_1 … e_M] + b),   v_i = s_i · e_i
//! ```
//!
//! and a plain DNN reads v. Both are trained together; the mean of s_i over the data ranks the features. The network on those that
//! are kept is a plain DNN again, trained from scratch.

use super::{Learned, Setup};
use crate::{
    base::{
        Result,
        progress::Progress,
        rng::{self, Generator},
    },
    data::{
        batches,
        dataset::{Batch, Dataset},
        lists::Lists,
    },
    learn::{
        Learn,
        checkpoint::Keeper,
        embedding::{EmbeddingBank, InputFeature, input_features},
        importance::{Importance, Method, Strengths, some_of},
        ops::{
            dense::Follow,
            gate::{Columns, gate},
        },
        params::{DenseParams, Next, Params},
        settings::{ColdSettings, TrainSettings},
        student::{Lesson, Student},
        train::{Trainable, fit},
        values,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use std::sync::Arc;

/// Name of W and b in [`Params`].
const SQUEEZE: &str = "squeeze";

/// Embeddings weighed row by row, and a plain DNN on them.
#[derive(Debug)]
pub struct Cold<'a> {
    student: Student<'a>,
    squeeze: DenseParams,
    columns: Columns,
}

impl<'a> Cold<'a> {
    /// An untrained network over `features` with hidden layers of `widths`.
    pub fn new(
        features: Vec<InputFeature>,
        widths: &[usize],
        settings: &TrainSettings,
        lesson: Lesson<'a>,
        seed: u64,
    ) -> Result<Self> {
        let mut student = Student::new(features, widths, settings, lesson, seed)?;
        let (width, count) = (student.bank().width(), student.bank().features().len());
        let squeeze = DenseParams::new(student.params_mut(), SQUEEZE, width, count, Next::Output)?;
        Ok(Self { columns: student.bank().gate_columns(), student, squeeze })
    }

    /// s `[rows, features]` of embeddings `[rows, width]`.
    pub fn weights(&self, embedded: &Tensor) -> Result<Tensor> {
        self.squeeze
            .forward(embedded, Follow::Nothing)
            .and_then(|logits| sigmoid(&logits))
            .learn("weigh features")
    }

    /// v `[rows, width]`.
    fn weighed(&self, embedded: &Tensor) -> Result<Tensor> {
        gate(embedded, &self.weights(embedded)?, &self.columns).learn("weigh features")
    }

    /// The mean of s over the rows, by feature.
    pub fn mean_weights(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<Importance>> {
        let features = self.bank().features();
        let mut sums = vec![0.0; features.len()];
        batches::ahead(batches::chunks(rows).map(|index| Batch::of(data, index)), |batch| {
            let weights = values(&self.weights(&self.bank().lookup(&batch)?)?)?;
            for row in weights.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, &s)| *sum += f64::from(s));
            }
            Ok(())
        })?;
        let mean = |(feature, sum): (&InputFeature, f64)| {
            Importance::plain(feature.name.clone(), sum / rows.len() as f64)
        };
        Ok(features.iter().zip(sums).map(mean).collect())
    }
}

impl Trainable for Cold<'_> {
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
        let weighed = self.weighed(embedded)?;
        self.student.loss(&weighed, batch)
    }

    fn lists(&self) -> Option<Arc<Lists>> {
        self.student.lists()
    }

    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.student.scores_of(&self.weighed(&self.bank().lookup(batch)?)?)
    }
}

/// Trains COLD over all features that may be selected, and ranks them.
pub fn cold(
    setup: &Setup,
    settings: &ColdSettings,
    progress: &dyn Progress,
    keeper: &mut Keeper,
) -> Result<Learned> {
    settings.check()?;
    let &Setup { space, rows, lesson, seed } = setup;
    let features = input_features(&space.features, &space.selectable(), rows.data)?;
    let mut network = Cold::new(features, &settings.widths, &settings.train, lesson, seed)?;
    let fit = fit(&mut network, rows, &settings.train, seed, progress, keeper)?;
    let judged = some_of(&rows.split.train, settings.rows, rng::derive(seed, "rows that COLD is judged on"))?;
    let strengths = Strengths::of_network(Method::Cold, space, &network.mean_weights(rows.data, &judged)?)?;
    Ok(Learned { strengths, fit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::progress::Silent,
        learn::fixtures::{
            every_row, mixed,
            planted::{assert_first, planted},
            scramble,
        },
    };

    /// Over linear layers: logit = Σ_i s_i·⟨e_i, w_i⟩ + c.
    fn linear() -> (Cold<'static>, Batch) {
        let (schema, loaded) = mixed();
        let every: Vec<usize> = (0..schema.features.len()).collect();
        let features = input_features(&schema.features, &every, &loaded.dataset).unwrap();
        let train = TrainSettings { dropout: 0.0, ..Default::default() };
        let network = Cold::new(features, &[], &train, Lesson::Labels, 1).unwrap();
        scramble(network.params());
        (network, Batch::of(&loaded.dataset, &every_row(&loaded.dataset)))
    }

    fn parameter(network: &Cold, name: &str) -> Vec<f32> {
        let (_, var) = network.params().iter().find(|(known, _)| *known == name).unwrap();
        values(var).unwrap()
    }

    #[test]
    fn scores_and_gradients_are_the_closed_form_of_a_linear_network() {
        let (mut network, batch) = linear();
        let (width, count) = (network.bank().width(), network.bank().features().len());
        let embedded = network.bank().lookup(&batch).unwrap();
        let inputs = values(&embedded).unwrap();
        let [weight, bias, w, c] = ["squeeze.weight", "squeeze.bias", "output.weight", "output.bias"]
            .map(|n| parameter(&network, n));
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let scores = network.scores(&batch).unwrap();
        let (mut by_bias, mut by_weight) = (vec![0.0; count], vec![0.0; width * count]);
        for (row, (x, score)) in inputs.chunks_exact(width).zip(scores).enumerate() {
            let s: Vec<f64> = (0..count)
                .map(|i| {
                    let sum =
                        (0..width).map(|k| f64::from(x[k]) * f64::from(weight[k * count + i])).sum::<f64>();
                    sigmoid(sum + f64::from(bias[i]))
                })
                .collect();
            let own: Vec<f64> = (0..count)
                .map(|i| network.bank().columns(i).map(|k| f64::from(x[k]) * f64::from(w[k])).sum())
                .collect();
            let logit = s.iter().zip(&own).map(|(s, own)| s * own).sum::<f64>() + f64::from(c[0]);
            assert!((sigmoid(logit) - f64::from(score)).abs() < 1e-5);
            // ∂L/∂b_i = mean (p − y)·⟨e_i, w_i⟩·s_i·(1 − s_i), and ∂L/∂W_ki the same times x_k.
            for i in 0..count {
                let part = (sigmoid(logit) - f64::from(batch.labels[row])) * own[i] * s[i] * (1.0 - s[i]);
                by_bias[i] += part / batch.rows() as f64;
                (0..width)
                    .for_each(|k| by_weight[k * count + i] += part * f64::from(x[k]) / batch.rows() as f64);
            }
        }
        let gradients = network.loss(&embedded, &batch).unwrap().backward().unwrap();
        for (name, wanted) in [("squeeze.bias", by_bias), ("squeeze.weight", by_weight)] {
            let (_, var) = network.params().iter().find(|(known, _)| *known == name).unwrap();
            let found = values(gradients.get(var).unwrap()).unwrap();
            assert!(wanted.iter().any(|w| w.abs() > 1e-3), "{name}: slopes of 0 compare nothing");
            for (found, wanted) in found.into_iter().zip(wanted) {
                assert!((f64::from(found) - wanted).abs() < 1e-5, "{name}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn the_ranking_is_the_mean_of_the_weights() {
        let (network, batch) = linear();
        let (_, loaded) = mixed();
        let weights = network.weights(&network.bank().lookup(&batch).unwrap()).unwrap();
        let count = network.bank().features().len();
        let weights = values(&weights).unwrap();
        let found = network.mean_weights(&loaded.dataset, &batch.index).unwrap();
        for (i, importance) in found.iter().enumerate() {
            let mean = weights.iter().skip(i).step_by(count).sum::<f32>() / batch.rows() as f32;
            assert!((importance.value - f64::from(mean)).abs() < 1e-6);
        }
        assert!(found.iter().any(|importance| (importance.value - found[0].value).abs() > 0.05));
    }

    #[test]
    fn the_features_that_matter_come_first() {
        for seed in 1..=3 {
            let planted = planted(seed);
            let settings = ColdSettings { widths: vec![16], train: planted.train(), ..Default::default() };
            let learned = cold(&planted.setup(), &settings, &Silent, &mut Keeper::none()).unwrap();
            assert_first(&learned.strengths);
        }
    }
}
