//! One step of (8): a mask is drawn, Loss1 moves θ, Loss2 moves α and the supernet's weights.

use super::Search;
use crate::{
    base::Result,
    data::dataset::Batch,
    learn::{
        Learn, losses,
        mask::THETA,
        optimizer::{AdamW, Rates},
        price_term::{Prices, probability_values},
        scalar,
        settings::GradientBlock,
        supernet::ALPHA,
        teacher::masked,
        train::labels_and_weights,
        values,
    },
};
use candle_core::{Device, Tensor};
use candle_nn::ops::sigmoid;

/// Which parameters a step moves, and what it pays.
pub(in crate::learn) enum Phase<'a> {
    /// The weights alone, without latency.
    WarmUp,
    /// Everything. `ramp` scales λ and λ2; `progress` runs from 0 to 1 over the search.
    Search { prices: &'a Prices<'a>, ramp: f64, progress: f64 },
}

/// The two losses of a batch.
pub(in crate::learn) struct Terms {
    /// Absent in the warm-up.
    pub(in crate::learn) loss1: Option<Tensor>,
    /// Equation (7).
    pub(in crate::learn) loss2: Tensor,
}

impl Search<'_> {
    /// One step of (8). Returns Loss1 and Loss2.
    pub(super) fn step(&mut self, batch: &Batch, phase: &Phase, optimizer: &mut AdamW) -> Result<(f64, f64)> {
        let settings = self.scene.settings;
        let progress = match phase {
            Phase::WarmUp => 0.0,
            Phase::Search { progress, .. } => *progress,
        };
        let gates = self.mask.draw(&settings.gate, progress, &mut self.masks_rng)?;
        self.step_with(batch, &gates, phase, optimizer)
    }

    /// One step under the drawn gates `[1, features]`. Returns Loss1 and Loss2.
    pub(in crate::learn) fn step_with(
        &self,
        batch: &Batch,
        gates: &Tensor,
        phase: &Phase,
        optimizer: &mut AdamW,
    ) -> Result<(f64, f64)> {
        let terms = self.terms(batch, gates, phase)?;
        let loss = match &terms.loss1 {
            Some(loss1) => (loss1 + &terms.loss2).learn("add Loss1 and Loss2")?,
            None => terms.loss2.clone(),
        };
        optimizer.step(&loss.backward().learn("differentiate the loss")?, 1.0)?;
        let loss1 = terms.loss1.as_ref().map_or(Ok(0.0), scalar)?;
        Ok((loss1, scalar(&terms.loss2)?))
    }

    /// Loss1 and Loss2 of a batch under the drawn gates `[1, features]`.
    pub(in crate::learn) fn terms(&self, batch: &Batch, gates: &Tensor, phase: &Phase) -> Result<Terms> {
        let settings = self.scene.settings;
        let embedded = self.scene.teacher.embed(batch)?;
        let gated = masked(self.scene.teacher, &embedded, gates)?;
        let input = match settings.gradient_block {
            GradientBlock::On => gated.detach(),
            GradientBlock::Off => gated.clone(),
        };
        let (labels, weights) = labels_and_weights(batch)?;
        let p = self.supernet.probabilities()?;
        let logits = self.supernet.forward(&input, &p)?;
        let soft: Vec<f32> = batch.index.iter().map(|&row| self.scene.soft[row as usize]).collect();
        let soft = Tensor::new(soft, &Device::Cpu).learn("read the teacher's scores")?;
        let ranking = losses::cross_entropy(&logits, &labels, &weights)?;
        let distilled = losses::distillation(&soft, &sigmoid(&logits).learn("score a batch")?)?;
        let mut loss2 = weigh(&ranking, 1.0 - settings.lambda1)?;
        loss2 = (loss2 + weigh(&distilled, settings.lambda1)?).learn("add losses")?;
        let Phase::Search { prices, ramp, .. } = phase else { return Ok(Terms { loss1: None, loss2 }) };

        let theta = self.mask.theta()?;
        let theta_values: Vec<f64> = values(&theta)?.into_iter().map(f64::from).collect();
        let expected = prices.expected(self.supernet.space(), &theta_values, &probability_values(&p)?)?;
        let latency2 = prices.loss2_term(&expected, &p)?;
        loss2 = (loss2 + weigh(&latency2, settings.lambda2 * ramp)?).learn("add losses")?;
        let ranking1 =
            losses::cross_entropy(&self.frozen.forward(&gated, &batch.partitions)?, &labels, &weights)?;
        let latency1 =
            prices.loss1_term(self.supernet.space(), &expected, &theta, settings.price_first_layer)?;
        let loss1 = (ranking1 + weigh(&latency1, settings.lambda * ramp)?).learn("add losses")?;
        Ok(Terms { loss1: Some(loss1), loss2 })
    }

    pub(in crate::learn) fn optimizer(&self, theta_rate: f64, alpha_rate: f64) -> AdamW {
        let settings = self.scene.settings;
        let mut optimizer = AdamW::default();
        for (name, var) in self.params.iter() {
            let rates = if name == THETA {
                Rates { learning_rate: theta_rate, weight_decay: 0.0 }
            } else if name.starts_with(ALPHA) {
                Rates { learning_rate: alpha_rate, weight_decay: 0.0 }
            } else {
                Rates { learning_rate: settings.learning_rate, weight_decay: settings.weight_decay }
            };
            if rates.learning_rate > 0.0 {
                optimizer.add(var, rates);
            }
        }
        optimizer
    }
}

fn weigh(term: &Tensor, weight: f64) -> Result<Tensor> {
    (term * weight).learn("weigh a loss")
}
