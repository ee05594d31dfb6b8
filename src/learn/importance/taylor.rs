//! First-order Taylor importance of whole embeddings, as in SHARK (Zhang et al., CIKM 2023, arXiv 2308.09395), whose
//! *F-Permutation* estimates what permuting a feature would do without permuting anything:
//!
//! ```text
//! L(ē_f) − L(e_f) ≈ ⟨∂L/∂e_f, ē_f − e_f⟩           one row; the other features as they are
//! importance_f    = Σ_r w_r·|⟨∂L_r/∂e_f, ē_f − e_f⟩| / Σ_r w_r
//! ```
//!
//! ē_f is the mean embedding over the judged rows and L_r the row's cross entropy. The absolute value is taken per row: what
//! changes the loss of one row up and of another down still tells them apart. With 0 in place of ē_f it is the criterion of
//! Molchanov et al. (ICLR 2017), |⟨∂L/∂e_f, e_f⟩|, which also counts what a feature adds to every row alike.

use super::{Attributable, Importance, Judged, Routing};
use crate::{
    base::{Error, Result, progress::Progress},
    data::dataset::Batch,
    learn::{Learn, device::device, losses, settings::Replacement, values},
};
use candle_core::{DType, Tensor, Var};
use std::ops::Range;

/// The importance of every feature that `model` reads, in its order.
pub fn taylor(
    model: &dyn Attributable,
    judged: &Judged,
    replacement: Replacement,
    progress: &dyn Progress,
) -> Result<Vec<Importance>> {
    let bank = model.bank();
    progress.stage("Taylor importance", judged.rows.len() as u64);
    let replaced_by = match replacement {
        Replacement::Mean => judged.mean_embedding(bank)?,
        Replacement::Zero => vec![0.0; bank.width()],
    };
    let routes = judged.routes(bank);
    let shares = judged.data.partition_shares(judged.rows);
    let (mut sums, mut total, mut done) = (vec![0.0; bank.features().len()], 0.0, 0);
    judged.each_batch(|batch| {
        let weight: f64 = batch.weights.iter().map(|&w| f64::from(w)).sum();
        let slopes = Slopes::of(model, &batch, routes.is_some(), &shares)?;
        for (f, sum) in sums.iter_mut().enumerate() {
            *sum += weight * slopes.change(bank.columns(f), &replaced_by, routes == Some(f));
        }
        total += weight;
        done += batch.rows();
        progress.advance(done as u64, "");
        Ok(())
    })?;
    if total == 0.0 {
        let problem = "all rows that features are judged on have the weight 0";
        return Err(Error::usage(problem, "judge on more rows, or look at the column of weights"));
    }
    let importance = |(feature, sum): (&crate::learn::embedding::InputFeature, f64)| {
        Importance::plain(feature.name.clone(), sum / total)
    };
    Ok(bank.features().iter().zip(sums).map(importance).collect())
}

/// How the loss of a batch rises with what a network reads.
struct Slopes {
    width: usize,
    /// The embeddings, `rows × width`.
    inputs: Vec<f32>,
    /// By each of them. Empty where the network reads none.
    by_input: Vec<f32>,
    /// By how much of the routing is known, per row.
    by_routing: Vec<f32>,
}

impl Slopes {
    /// `shares` are those of the partitions, among which rows are divided where the routing `is_mixed`.
    fn of(model: &dyn Attributable, batch: &Batch, is_mixed: bool, shares: &[f32]) -> Result<Self> {
        let leaf = |tensor: &Tensor| Var::from_tensor(tensor).learn("embed a batch");
        let embedded = leaf(&model.bank().lookup(batch)?)?;
        let ones = Tensor::ones((batch.rows(), 1), DType::F32, device()).learn("open a gate")?;
        let gate = leaf(&ones)?;
        let routing = match is_mixed {
            true => Routing::Mixed { gate: &gate, shares },
            false => Routing::Own,
        };
        // The mean over the rows: the gradient at a row is that of its own loss times w_r / Σ w.
        let loss = losses::ranking(&model.logits(&embedded, &batch.partitions, &routing)?, batch)?;
        let gradients = loss.backward().learn("differentiate the loss")?;
        let of = |leaf: &Var| gradients.get(leaf).map(values).transpose();
        Ok(Self {
            width: model.bank().width(),
            inputs: values(&embedded)?,
            // A network that does not read the leaf at all has no gradient.
            by_input: of(&embedded)?.unwrap_or_default(),
            by_routing: of(&gate)?.unwrap_or_else(|| vec![0.0; batch.rows()]),
        })
    }

    /// Σ_r |⟨∂L/∂e_f, ē_f − e_f⟩| of the feature in those columns, with the routing taken back where it `routes`.
    fn change(&self, columns: Range<usize>, replaced_by: &[f32], routes: bool) -> f64 {
        let rows = self.by_input.chunks_exact(self.width).zip(self.inputs.chunks_exact(self.width));
        let row = |((slopes, inputs), by_routing): ((&[f32], &[f32]), &f32)| {
            let part: f64 =
                (columns.clone()).map(|c| f64::from(slopes[c]) * f64::from(replaced_by[c] - inputs[c])).sum();
            let routed = if routes { -f64::from(*by_routing) } else { 0.0 };
            (part + routed).abs()
        };
        rows.zip(&self.by_routing).map(row).sum()
    }
}
