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
    learn::{Learn, device::device, losses, settings::Replacement, values},
};
use candle_core::{DType, Tensor, Var};

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
        let leaf = |tensor: &Tensor| Var::from_tensor(tensor).learn("embed a batch");
        let embedded = leaf(&bank.lookup(&batch)?)?;
        let ones = Tensor::ones((batch.rows(), 1), DType::F32, device()).learn("open a gate")?;
        let gate = leaf(&ones)?;
        let routing = match routes {
            Some(_) => Routing::Mixed { gate: &gate, shares: &shares },
            None => Routing::Own,
        };
        // The mean over the rows: the gradient at a row is that of its own loss times w_r / Σ w.
        let loss = losses::ranking(&model.logits(&embedded, &batch.partitions, &routing)?, &batch)?;
        let gradients = loss.backward().learn("differentiate the loss")?;
        let of = |leaf: &Var| gradients.get(leaf).map(values).transpose();
        // A network that does not read the leaf at all has no gradient.
        let slopes = of(&embedded)?.unwrap_or_default();
        let by_routing = of(&gate)?.unwrap_or_else(|| vec![0.0; batch.rows()]);
        let inputs = values(&embedded)?;
        for (f, sum) in sums.iter_mut().enumerate() {
            let columns = bank.columns(f);
            let mut change = 0.0;
            for ((slopes, inputs), by_routing) in
                slopes.chunks_exact(bank.width()).zip(inputs.chunks_exact(bank.width())).zip(&by_routing)
            {
                let part: f64 = (columns.clone())
                    .map(|c| f64::from(slopes[c]) * f64::from(replaced_by[c] - inputs[c]))
                    .sum();
                let routed = if routes == Some(f) { -f64::from(*by_routing) } else { 0.0 };
                change += (part + routed).abs();
            }
            *sum += weight * change;
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
