//! Embedding tables in steps of the bytes that the first layer takes, where errors of one row cancel out.
//!
//! An entry of a table has the same rounding error whenever its id comes, so what matters is what the errors of a whole row do to
//! the logit together. With g the gradient of the logit by the feature's vector, the errors e of a row change it by g·e, and on
//! average over the calibration rows by eᵀ·E\[g gᵀ\]·e squared. From the nearest steps on, each entry in turn goes to the step that makes
//! this least.

use crate::{
    export::format::{Affine, FirstPart},
    learn::{
        network::{Embedding, Mlp, NetworkInput},
        ops::{
            matrix::{Matrix, MatrixMut},
            product::{Write, multiply},
        },
    },
};

/// A share of the mean of the diagonal that is added to it: calibration rows do not know every direction.
const DAMPING: f64 = 0.1;

/// How often each entry of a row is looked at.
const SWEEPS: usize = 2;

/// E\[g gᵀ\] of one feature, `width × width`.
pub(super) type Moments = Vec<f64>;

/// Of every feature, from the inputs of each layer on calibration rows.
pub(super) fn moments(network: Mlp<'_>, inputs: &[Vec<f32>]) -> Vec<Moments> {
    let gradients = gradients(network, inputs);
    let mut begin = 0;
    let of = |input: &NetworkInput| {
        let width = input.width;
        let mut sums = vec![0.0; width * width];
        for row in gradients.chunks_exact(network.layers[0].inputs) {
            let own = &row[begin..begin + width];
            for (sums, &a) in sums.chunks_exact_mut(width).zip(own) {
                sums.iter_mut().zip(own).for_each(|(sum, &b)| *sum += f64::from(a) * f64::from(b));
            }
        }
        begin += width;
        sums
    };
    network.inputs.iter().map(of).collect()
}

/// The gradient of the logit by the network's input, for every row.
fn gradients(network: Mlp<'_>, inputs: &[Vec<f32>]) -> Vec<f32> {
    let rows = inputs[0].len() / network.layers[0].inputs;
    let mut behind = vec![1.0; rows];
    for (index, layer) in network.layers.iter().enumerate().rev() {
        let mut before = vec![0.0; rows * layer.inputs];
        let out = MatrixMut::new(&mut before, rows, layer.inputs, layer.inputs);
        let behind_matrix = Matrix::new(&behind, rows, layer.outputs, layer.outputs);
        let weight = Matrix::new(&layer.weight, layer.inputs, layer.outputs, layer.outputs);
        multiply(out, Write::Over, 1.0, behind_matrix, weight.transposed());
        if index > 0 {
            before.iter_mut().zip(&inputs[index]).for_each(|(g, &x)| *g *= f32::from(x > 0.0));
        }
        behind = before;
    }
    behind
}

/// `inputs` with the tables of single ids that become bytes in steps of `affine`. What is embedded otherwise is rounded in the request.
pub(super) fn rounded(
    inputs: &[NetworkInput],
    features: &[FirstPart],
    moments: &[Moments],
    affine: Affine,
) -> Vec<NetworkInput> {
    let mut rounded = inputs.to_vec();
    for ((input, part), moments) in rounded.iter_mut().zip(features).zip(moments) {
        if let (Embedding::Table { rows }, FirstPart::Bytes) = (&mut input.embedding, part) {
            let moments = damped(moments, input.width);
            rows.chunks_exact_mut(input.width).for_each(|row| round(row, &moments, affine));
        }
    }
    rounded
}

fn damped(moments: &[f64], width: usize) -> Moments {
    let mut damped = moments.to_vec();
    let mean = (0..width).map(|at| moments[at * (width + 1)]).sum::<f64>() / width as f64;
    (0..width).for_each(|at| damped[at * (width + 1)] += DAMPING * mean);
    damped
}

/// The steps of one row, as values.
fn round(row: &mut [f32], moments: &[f64], affine: Affine) {
    let scale = f64::from(affine.scale);
    let wanted: Vec<f64> = row.iter().map(|&x| f64::from(x) / scale).collect();
    let mut steps: Vec<f64> = row.iter().map(|&x| f64::from(affine.steps(x))).collect();
    let (least, most) = (f64::from(affine.steps(f32::MIN)), f64::from(affine.steps(f32::MAX)));
    for _ in 0..SWEEPS {
        for at in 0..row.len() {
            let of = &moments[at * row.len()..][..row.len()];
            let others = (0..row.len()).filter(|&other| other != at);
            let pull: f64 = others.map(|other| of[other] * (wanted[other] - steps[other])).sum();
            let best = (wanted[at] + pull / of[at]).round_ties_even();
            if best.is_finite() {
                steps[at] = best.clamp(least, most);
            }
        }
    }
    row.iter_mut().zip(steps).for_each(|(x, steps)| *x = affine.scale * steps as f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::schema::Side, learn::network::Dense};

    const STEPS: Affine = Affine { scale: 0.5, zero_point: 100 };

    #[test]
    fn an_error_that_cannot_be_avoided_is_taken_back_where_it_does_the_same_to_the_logit() {
        // The logit sees the sum. 0.4 and 0.3 of a step are both nearest to 0, and their sum is nearest to 1.
        let mut row = [0.2f32, 0.15];
        round(&mut row, &damped(&[1.0; 4], 2), STEPS);
        assert_eq!(row, [0.5, 0.0]);
        // It sees the difference, which is next to nothing.
        let mut row = [0.2f32, 0.15];
        round(&mut row, &damped(&[1.0, -1.0, -1.0, 1.0], 2), STEPS);
        assert_eq!(row, [0.0, 0.0]);
        // Nothing is known: the nearest steps, inside of the range.
        let mut row = [0.6f32, -90.0];
        round(&mut row, &damped(&[0.0; 4], 2), STEPS);
        assert_eq!(row, [0.5, -50.0]);
    }

    #[test]
    fn gradients_are_those_of_the_active_units() {
        // Of two hidden units, 2x + y and x − y, the second is off in the second row; the logit is 3 times the one less the other.
        let first = Dense { inputs: 2, outputs: 2, weight: vec![2.0, 1.0, 1.0, -1.0], bias: vec![0.0; 2] };
        let second = Dense { inputs: 2, outputs: 1, weight: vec![3.0, -1.0], bias: vec![0.0] };
        let layers = [first, second];
        let input = NetworkInput {
            feature: "v".to_owned(),
            side: Side::Item,
            width: 2,
            embedding: Embedding::Table { rows: vec![0.2, 0.15] },
        };
        let inputs = [input];
        let network = Mlp { inputs: &inputs, layers: &layers };
        let seen = [vec![2.0, 1.0, 1.0, 2.0], vec![5.0, 1.0, 4.0, 0.0]];
        assert_eq!(gradients(network, &seen), [5.0, 4.0, 6.0, 3.0]);
        assert_eq!(moments(network, &seen), [[61.0, 38.0, 38.0, 25.0]]);
    }

    #[test]
    fn only_tables_that_become_bytes_are_in_steps() {
        let input =
            |embedding| NetworkInput { feature: "v".to_owned(), side: Side::Item, width: 1, embedding };
        let inputs = [
            input(Embedding::Table { rows: vec![0.6] }),
            input(Embedding::Table { rows: vec![0.6] }),
            input(Embedding::Pooled { rows: vec![0.6], length: 2 }),
        ];
        let parts = [FirstPart::Bytes, FirstPart::Addend, FirstPart::Bytes];
        let found = rounded(&inputs, &parts, &[vec![1.0], vec![1.0], vec![1.0]], STEPS);
        assert_eq!(found[0].embedding, Embedding::Table { rows: vec![0.5] });
        assert_eq!(found[1..], inputs[1..]);
    }
}
