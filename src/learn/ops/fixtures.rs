//! Comparing an operation with plain candle: outputs and gradients.

use crate::{base::rng, learn::values};
use candle_core::{Device, Shape, Tensor, Var};

/// A variable of seeded normal draws.
pub(super) fn leaf(name: &str, shape: impl Into<Shape>) -> Var {
    let shape = shape.into();
    let draws = rng::normals(shape.elem_count(), 1.0, &mut rng::generator(7, name));
    Var::from_tensor(&Tensor::from_vec(draws, shape, &Device::Cpu).unwrap()).unwrap()
}

/// The output, and the gradients of Σ w·output by `leaves`, with weights w that tell every output from every other.
pub(super) fn gradients(output: &Tensor, leaves: &[&Var]) -> Vec<Option<Vec<f32>>> {
    let weights = leaf("weights of the outputs", output.shape());
    let gradients = (output * weights.detach()).unwrap().sum_all().unwrap().backward().unwrap();
    let mut all = vec![Some(values(output).unwrap())];
    all.extend(leaves.iter().map(|leaf| gradients.get(leaf).map(|g| values(g).unwrap())));
    all
}

/// Compares what [`gradients`] gave, relative to the largest value of each, or to 1: a sum of draws of size 1 may cancel
/// out. Every leaf must have a gradient but those at
/// the `constant` places, which must have none.
pub(super) fn assert_close(ours: &[Option<Vec<f32>>], candles: &[Option<Vec<f32>>], constant: &[usize]) {
    for (i, (ours, candles)) in ours.iter().zip(candles).enumerate() {
        assert_eq!(ours.is_none(), constant.contains(&i), "whether there is a gradient at {i}");
        let Some(ours) = ours else { continue };
        let candles = candles.as_ref().unwrap_or_else(|| panic!("{i}: candle has no gradient"));
        assert_eq!(ours.len(), candles.len(), "{i}");
        let scale = candles.iter().fold(1f32, |most, v| most.max(v.abs()));
        for (place, (a, b)) in ours.iter().zip(candles).enumerate() {
            assert!((a - b).abs() <= 2e-5 * scale, "{i}[{place}]: {a}, candle has {b} of {scale}");
        }
    }
}
