//! What a search says of itself: curves on the way, and a report of every epoch.

use super::{Scene, Search, SearchEpoch, state::Position};
use crate::{
    base::{
        Result,
        progress::{Pace, Progress},
    },
    data::dataset::Batch,
    learn::{
        Learn,
        device::device,
        price_term::{Prices, probability_values},
        teacher::masked,
        train::{metrics_of, score_shares},
        values,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use std::fmt;

impl fmt::Display for SearchEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  epoch {}: loss1 {:.4}, loss2 {:.4}, supernet AUC {:.4}, Σθ {:.1}, features {:.3} ms, network {:.3} ms, λ {:.3}",
            self.epoch,
            self.loss1,
            self.loss2,
            self.metrics.auc.unwrap_or(f64::NAN),
            self.expected_features,
            self.feature_ms,
            self.network_ms,
            self.lambda
        )
    }
}

impl Search<'_> {
    /// θ, α, p, the expected latency, the `share` of λ and λ2 that is paid, and the step sizes as points of curves.
    pub(super) fn record_state(
        &self,
        step: u64,
        share: f64,
        prices: &Prices,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Scene { settings, .. } = self.scene;
        let space = self.supernet.space();
        let theta = self.mask.theta_values()?;
        let p = probability_values(&self.supernet.probabilities()?)?;
        let alpha = probability_values(self.supernet.alphas())?;
        let expected = self.expected(prices)?;
        let point = |tag: &str, value: f64| progress.record(Pace::Seldom, tag, step, value);
        for (feature, &theta) in space.features.iter().zip(&theta) {
            point(&format!("theta/{}", feature.name), theta);
        }
        for (i, operators) in space.mixops.iter().enumerate() {
            for (k, operator) in operators.iter().enumerate() {
                point(&format!("alpha/mixop{}/{operator}", i + 1), alpha[i][k]);
                point(&format!("probability/mixop{}/{operator}", i + 1), p[i][k]);
            }
        }
        point("latency/features_ms", expected.feature.ms);
        point("latency/network_ms", expected.network.ms);
        point("latency/total_ms", expected.total_ms());
        point("expected_features", theta.iter().sum());
        point("lambda/of_features", settings.lambda * share);
        point("lambda/of_network", settings.lambda2 * share);
        let passed = step as f64 / (self.steps() * settings.epochs as u64) as f64;
        point("learning_rate/weights", settings.learning_rate * settings.schedule.factor(passed));
        point("learning_rate/theta", settings.theta_learning_rate * settings.theta_schedule.factor(passed));
        point("learning_rate/alpha", settings.alpha_learning_rate * settings.alpha_schedule.factor(passed));
        Ok(())
    }

    /// The epoch that has come to its end.
    pub(super) fn epoch_report(&self, at: &Position, prices: &Prices) -> Result<SearchEpoch> {
        let p = self.supernet.probabilities()?;
        let theta = self.mask.theta_values()?;
        let expected = self.expected(prices)?;
        let open: Vec<f32> = theta.iter().map(|&t| f32::from(u8::from(t > 0.5))).collect();
        let gates = Tensor::new(open, device()).and_then(|t| t.unsqueeze(0)).learn("open gates")?;
        let rows = self.scene.rows;
        let score = |batch: &Batch| {
            let embedded = self.scene.teacher.embed(batch)?;
            let logits =
                self.supernet.forward(&masked(self.scene.teacher, &embedded, &gates)?.detach(), &p)?;
            values(&sigmoid(&logits).learn("score a batch")?)
        };
        let scores = score_shares(rows.data, rows.ranks, &rows.split.valid, score)?;
        Ok(SearchEpoch {
            epoch: at.epoch,
            loss1: at.sum1 / self.steps() as f64,
            loss2: at.sum2 / self.steps() as f64,
            metrics: metrics_of(&scores, rows.data, &rows.split.valid),
            feature_ms: expected.feature.ms,
            network_ms: expected.network.ms,
            expected_features: theta.iter().sum(),
            expected_ms: expected.total_ms(),
            lambda: self.scene.settings.lambda * at.share,
            lambda2: self.scene.settings.lambda2 * at.share,
        })
    }
}
