//! The same in candle's own operations: for other devices, and to compare with.

use super::{Incoming, Plan, Source};
use candle_core::{Result, Tensor};

/// [`super::mix`] in candle's own operations.
pub(super) fn plain(
    plan: &Plan,
    moving: &Tensor,
    fixed: Option<&Tensor>,
    weights: &Tensor,
    coefficients: &Tensor,
) -> Result<Tensor> {
    let entry = |j: usize| {
        let Incoming { source, column, width, .. } = plan.incoming[j];
        let tensor =
            if source == Source::Moving { moving } else { fixed.expect("a plan with a fixed entry") };
        tensor.narrow(1, column, width)?.contiguous()
    };
    let coefficient = |place: usize| coefficients.narrow(0, place, 1);
    let (entries, operators) = (plan.incoming.len(), plan.outgoing.len());
    let mut outputs = Vec::with_capacity(operators);
    for (k, out) in plan.outgoing.iter().enumerate() {
        let mut sum: Option<Tensor> = None;
        for (j, incoming) in plan.incoming.iter().enumerate() {
            let weights = weights.narrow(1, out.weight_column, out.width)?;
            let weight = weights.narrow(0, incoming.weight_row, incoming.width)?.contiguous()?;
            let bias = weights.narrow(0, incoming.weight_row + incoming.width, 1)?.contiguous()?;
            let y = entry(j)?.matmul(&weight)?.broadcast_add(&bias)?.relu()?;
            let y = y.broadcast_mul(&coefficient(j)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + y)?,
                None => y,
            });
        }
        let mut output = sum.expect("some entry comes in").broadcast_mul(&coefficient(entries + k)?)?;
        if let Some(j) = out.passed {
            output = (output + entry(j)?.broadcast_mul(&coefficient(entries + operators + k)?)?)?;
        }
        outputs.push(output);
    }
    Tensor::cat(&outputs, 1)
}
