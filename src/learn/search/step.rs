//! One step of (8): a mask is drawn, Loss1 moves θ, Loss2 moves α and the supernet's weights.

use super::Search;
use crate::{
    base::Result,
    data::{dataset::Batch, schema::Schema},
    learn::{
        Learn,
        exchange::sum_gradients,
        losses,
        mask::THETA,
        optimizer::{AdamW, ParamGroup, Scaling},
        paths,
        price_term::{Prices, probability_values},
        scalar,
        settings::{GradientBlock, Paths},
        supernet::ALPHA,
        teacher::masked,
        values,
    },
};
use candle_core::Tensor;

/// Which parameters a step moves, and what it pays.
pub(in crate::learn) enum Phase<'a> {
    /// The weights alone, without latency. `progress` runs from 0 to 1 over the warm-up.
    WarmUp { progress: f64 },
    /// Everything. `share` of λ and λ2 is paid; `progress` runs from 0 to 1 over the search.
    Search { prices: &'a Prices<'a>, share: f64, progress: f64 },
}

impl Phase<'_> {
    /// The share of the phase that has passed.
    fn progress(&self) -> f64 {
        match self {
            Self::WarmUp { progress } | Self::Search { progress, .. } => *progress,
        }
    }
}

/// The rows of one step.
pub(in crate::learn) struct Batches {
    /// Loss2 sees these.
    pub(in crate::learn) train: Batch,
    /// Loss1 sees these, or those of Loss2.
    pub(in crate::learn) held_out: Option<Batch>,
}

/// What a step leaves to chance.
pub(in crate::learn) struct Drawn {
    /// `[1, features]`.
    pub(in crate::learn) gates: Tensor,
    /// p of every Mixop, which the latency is expected under.
    pub(in crate::learn) p: Vec<Tensor>,
    /// p of the operators that this step trains.
    pub(in crate::learn) paths: Vec<Tensor>,
}

/// The two losses of a step.
pub(in crate::learn) struct Terms {
    /// Absent in the warm-up.
    pub(in crate::learn) loss1: Option<Tensor>,
    /// Equation (7).
    pub(in crate::learn) loss2: Tensor,
    /// The value of (7) without latency.
    taught: f64,
}

/// What came of a step.
pub(in crate::learn) struct Stepped {
    loss1: f64,
    loss2: f64,
    taught: f64,
    /// Loss1's gradient to the free parameters of θ, once it has one.
    by_free: Option<Vec<f32>>,
}

impl Search<'_> {
    /// These gates, and every operator.
    #[cfg(test)]
    pub(in crate::learn) fn every_path(&self, gates: Tensor) -> Drawn {
        let p = self.supernet.probabilities().unwrap();
        Drawn { gates, paths: p.clone(), p }
    }

    /// One step of (8). Returns Loss1 and Loss2.
    pub(super) fn step(
        &mut self,
        batches: &Batches,
        phase: &Phase,
        optimizer: &mut AdamW,
    ) -> Result<(f64, f64)> {
        let settings = self.scene.settings;
        let gates = self.mask.draw(&mut self.masks_rng)?;
        let p = self.supernet.probabilities()?;
        let drawn = paths::draw(settings.paths, self.supernet.alphas(), &p, &mut self.paths_rng)?;
        let stepped = self.step_with(batches, &Drawn { gates, p, paths: drawn }, phase, optimizer)?;
        self.mask.settle(&self.params)?;
        self.seen.add(stepped.taught, stepped.by_free.as_deref());
        Ok((stepped.loss1, stepped.loss2))
    }

    /// One step under the given draws.
    pub(in crate::learn) fn step_with(
        &self,
        batches: &Batches,
        drawn: &Drawn,
        phase: &Phase,
        optimizer: &mut AdamW,
    ) -> Result<Stepped> {
        let terms = self.terms(batches, drawn, phase)?;
        let loss = match &terms.loss1 {
            Some(loss1) => (loss1 + &terms.loss2).learn("add Loss1 and Loss2")?,
            None => terms.loss2.clone(),
        };
        let mut gradients = loss.backward().learn("differentiate the loss")?;
        let mut losses = [terms.loss1.as_ref().map_or(Ok(0.0), scalar)?, scalar(&terms.loss2)?, terms.taught];
        sum_gradients(self.scene.rows.ranks, &mut gradients, optimizer.vars(), &mut losses)?;
        optimizer.step(&gradients, phase.progress())?;
        let [loss1, loss2, taught] = losses;
        let free = self.params.iter().find(|(name, _)| *name == THETA).map(|(_, var)| var);
        let by_free = free.and_then(|free| gradients.get(free)).map(values).transpose()?;
        Ok(Stepped { loss1, loss2, taught, by_free: by_free.filter(|_| terms.loss1.is_some()) })
    }

    /// Loss1 and Loss2 under the given draws, or what this rank adds to them.
    pub(in crate::learn) fn terms(&self, batches: &Batches, drawn: &Drawn, phase: &Phase) -> Result<Terms> {
        let settings = self.scene.settings;
        let batch = &batches.train;
        let Drawn { gates, p, paths } = drawn;
        let gated = self.gated(batch, gates)?;
        let mut loss2 = self.taught(batch, &gated, paths)?;
        let taught = scalar(&loss2)?;
        let Phase::Search { prices, share, .. } = phase else {
            return Ok(Terms { loss1: None, loss2, taught });
        };
        if let (Paths::Sampled { count: 1 }, Some(baseline)) = (settings.paths, self.seen.baseline) {
            // The baseline is the whole batch's.
            let usual = if self.scene.rows.ranks.leads() { baseline } else { 0.0 };
            let choice = paths::by_score(p, paths, taught - usual)?;
            loss2 = (loss2 + choice).learn("add losses")?;
        }

        let mut loss1 = match &batches.held_out {
            Some(judge) => self.judged(judge, &self.gated(judge, gates)?, gates, prices.schema)?,
            None => self.judged(batch, &gated, gates, prices.schema)?,
        };
        // Every rank adds what its rows say; what the whole batch pays is added once.
        if self.scene.rows.ranks.leads() {
            let theta = self.mask.theta()?;
            let theta_values: Vec<f64> = values(&theta)?.into_iter().map(f64::from).collect();
            let space = self.supernet.space();
            let expected = prices.expected(space, &theta_values, &probability_values(p)?)?;
            let latency1 = prices.loss1_term(&expected, &theta, settings.price_first_layer)?;
            let latency2 = prices.loss2_term(&expected, p)?;
            loss1 = (loss1 + weigh(&latency1, settings.lambda * share)?).learn("add losses")?;
            loss2 = (loss2 + weigh(&latency2, settings.lambda2 * share)?).learn("add losses")?;
        }
        Ok(Terms { loss1: Some(loss1), loss2, taught })
    }

    /// The masked embeddings of a batch.
    fn gated(&self, batch: &Batch, gates: &Tensor) -> Result<Tensor> {
        masked(self.scene.teacher, &self.scene.teacher.embed(batch)?, gates)
    }

    /// Loss1's first term: the frozen teacher on masked embeddings.
    fn judged(&self, batch: &Batch, gated: &Tensor, gates: &Tensor, schema: &Schema) -> Result<Tensor> {
        let logits = match schema.partition_feature() {
            Some(feature) => {
                let gate = gates.narrow(1, feature, 1).learn("read the partition's gate")?;
                self.frozen.forward_where_known(gated, &batch.partitions, &gate, &self.shares)?
            }
            None => self.frozen.forward(gated, &batch.partitions)?,
        };
        losses::ranking(&logits, batch)
    }

    /// Loss2 without latency: the supernet on masked embeddings, against the labels and r(x).
    fn taught(&self, batch: &Batch, gated: &Tensor, p: &[Tensor]) -> Result<Tensor> {
        let settings = self.scene.settings;
        let logits = match settings.gradient_block {
            GradientBlock::On => self.supernet.forward(&gated.detach(), p)?,
            GradientBlock::Off => self.supernet.forward(gated, p)?,
        };
        match settings.distillation_loss.of_lists() {
            None => losses::taught(&logits, batch, self.scene.soft, settings.lambda1),
            Some(loss) => losses::taught_in_lists(&logits, batch, self.scene.soft, settings.lambda1, loss),
        }
    }

    /// AdamW over θ, α and the weights, each group at its own rate; a rate of 0 leaves its group at rest.
    pub(in crate::learn) fn optimizer(&self, theta_rate: f64, alpha_rate: f64) -> Result<AdamW> {
        let settings = self.scene.settings;
        let mut optimizer = AdamW::default();
        for (name, var) in self.params.iter() {
            let group = if name == THETA {
                ParamGroup {
                    learning_rate: theta_rate,
                    weight_decay: 0.0,
                    scaling: settings.theta_scaling,
                    schedule: settings.theta_schedule,
                }
            } else if name.starts_with(ALPHA) {
                ParamGroup {
                    learning_rate: alpha_rate,
                    weight_decay: 0.0,
                    scaling: Scaling::Each,
                    schedule: settings.alpha_schedule,
                }
            } else {
                ParamGroup {
                    learning_rate: settings.learning_rate,
                    weight_decay: settings.weight_decay,
                    scaling: Scaling::Each,
                    schedule: settings.schedule,
                }
            };
            if group.learning_rate > 0.0 {
                optimizer.add(var, group)?;
            }
        }
        Ok(optimizer)
    }
}

fn weigh(term: &Tensor, weight: f64) -> Result<Tensor> {
    (term * weight).learn("weigh a loss")
}
