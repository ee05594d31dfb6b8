//! Weights as signed bytes, symmetric, with a scale for each output.

use crate::{
    export::format::{Affine, IntegerLayer},
    learn::network::Dense,
};

/// Sums in i32 hold an addend of 2³¹ steps. One that is eight times larger than any that was seen still fits.
const LARGEST_ADDEND: f32 = (1u32 << 28) as f32;

/// The largest magnitude, 0 of no values.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// `dense` with weights of `bits` bits. Rows that are not `used` become 0 and count for no scale. `largest` is the largest
/// magnitude that was seen of its sums: no scale may be so small that such an addend does not fit.
pub(super) fn quantise(dense: &Dense, input: Affine, used: &[bool], largest: f32, bits: u32) -> IntegerLayer {
    let top = ((1 << (bits - 1)) - 1) as f32;
    let rows = || dense.weight.chunks_exact(dense.outputs).zip(used);
    let mut scales = vec![0.0f32; dense.outputs];
    for (row, _) in rows().filter(|(_, used)| **used) {
        scales.iter_mut().zip(row).for_each(|(scale, w)| *scale = scale.max(w.abs()));
    }
    let least = (largest / LARGEST_ADDEND / input.scale).max(f32::MIN_POSITIVE);
    scales.iter_mut().for_each(|scale| *scale = (*scale / top).max(least));
    let weight = rows().flat_map(|(row, &used)| {
        let whole = |(w, scale): (&f32, &f32)| (w / scale).round_ties_even().clamp(-top, top) as i8;
        row.iter().zip(&scales).map(move |pair| if used { whole(pair) } else { 0 })
    });
    let weight = weight.collect();
    IntegerLayer { input, weight, weight_scales: scales, bias: dense.bias.clone() }
}
