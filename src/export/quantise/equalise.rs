//! Channels of a tensor on one scale, so that a range that all of them share is as wide as each needs.
//!
//! A channel of a layer's input is divided by a number above 0, and the layer's weights for it are multiplied by the same. Embeddings
//! and the layer before take the division: ReLU lets it through. In floats nothing changes (Nagel and others, "Data-Free
//! Quantization Through Weight Equalization and Bias Correction", ICCV 2019; with an exponent, Xiao and others,
//! "SmoothQuant", ICML 2023).

use super::weights::largest;
use crate::{
    base::Result,
    learn::network::{Dense, Embedding, Network, NetworkInput, PlainOnly},
};

/// Weights below this share of the layer's largest count as that share: an input that counts for next to nothing goes into next to
/// nothing of the range.
const LEAST_WEIGHT: f32 = 1e-6;

/// How much of a channel's range goes from the input into the weights. All of it serves the input best; weights, whose scale each
/// output has for itself, lose a little by it.
const EXPONENT: f32 = 0.8;

/// What the inputs of `dense` are divided by. `x` are those of calibration rows, row after row; a channel that is not `scaled` or
/// that was 0 on all rows keeps its scale.
pub(super) fn divisors(dense: &Dense, x: &[f32], scaled: &[bool]) -> Vec<f32> {
    let mut tops = vec![0.0f32; dense.inputs];
    for row in x.chunks_exact(dense.inputs) {
        tops.iter_mut().zip(row).for_each(|(top, x)| *top = top.max(x.abs()));
    }
    let least = LEAST_WEIGHT * largest(&dense.weight);
    let weights = dense.weight.chunks_exact(dense.outputs);
    let each = tops.into_iter().zip(weights).zip(scaled);
    let divisor = |((top, weights), &scaled): ((f32, &[f32]), &bool)| {
        let divisor = top.powf(EXPONENT) / largest(weights).max(least).powf(1.0 - EXPONENT);
        if scaled && top > 0.0 && divisor.is_normal() { divisor } else { 1.0 }
    };
    each.map(divisor).collect()
}

/// `network` with the input of each layer divided by `divisors`, and the same logits.
///
/// Fails for other networks than plain ones.
pub(super) fn equalised(network: &Network, divisors: &[Vec<f32>]) -> Result<Network> {
    network.mlp(PlainOnly::Integers)?;
    let mut network = network.clone();
    let mut at = 0;
    for input in &mut network.inputs {
        divide_embedding(input, &divisors[0][at..at + input.width]);
        at += input.width;
    }
    for (index, layer) in network.body.layers_mut().into_iter().enumerate() {
        let outputs = layer.outputs;
        for (row, divisor) in layer.weight.chunks_exact_mut(outputs).zip(&divisors[index]) {
            row.iter_mut().for_each(|weight| *weight *= divisor);
        }
        if let Some(next) = divisors.get(index + 1) {
            layer.weight.chunks_exact_mut(outputs).for_each(|row| divide(row, next));
            divide(&mut layer.bias, next);
        }
    }
    Ok(network)
}

fn divide_embedding(input: &mut NetworkInput, divisors: &[f32]) {
    match &mut input.embedding {
        Embedding::Table { rows } | Embedding::Pooled { rows, .. } => {
            rows.chunks_exact_mut(divisors.len()).for_each(|row| divide(row, divisors));
        }
        Embedding::Number { scale, missing } => {
            [scale, missing].into_iter().for_each(|values| divide(values, divisors));
        }
    }
}

fn divide(values: &mut [f32], divisors: &[f32]) {
    values.iter_mut().zip(divisors).for_each(|(value, divisor)| *value /= divisor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{
            dataset::{Dataset, EncodedFeature, Slot},
            schema::Side,
        },
        learn::network::Body,
    };

    #[test]
    fn a_channel_is_divided_by_powers_of_its_range_and_of_its_weights() {
        // 32^0.8 / (1/32)^0.2 = 16·2; what was 0 or is not to be scaled stays. A weight of 0 counts as 2·10⁻⁶.
        let dense = Dense { inputs: 4, outputs: 1, weight: vec![1.0 / 32.0, 1.0, 0.0, 2.0], bias: vec![0.0] };
        let found = divisors(&dense, &[-32.0, 0.0, 3.0, 5.0, 8.0, 0.0, 3.0, 1.0], &[true, true, true, false]);
        assert!((found[0] - 32.0).abs() < 1e-4, "{found:?}");
        assert!((found[2] - 3f32.powf(0.8) / 2e-6f32.powf(0.2)).abs() < 1e-3, "{found:?}");
        assert_eq!([found[1], found[3]], [1.0, 1.0]);
    }

    #[test]
    fn an_equalised_network_has_the_same_logits() {
        let input = |feature: &str, embedding| NetworkInput {
            feature: feature.to_owned(),
            side: Side::Item,
            width: 2,
            embedding,
        };
        let inputs = vec![
            input("id", Embedding::Table { rows: vec![0.5, -3.0, 4.0, 0.25] }),
            input("x", Embedding::Number { scale: vec![1.0, -2.0], missing: vec![0.5, 0.75] }),
        ];
        let first = Dense {
            inputs: 4,
            outputs: 2,
            weight: vec![0.3, -0.4, 0.5, 0.6, -0.7, 0.2, 0.1, 0.9],
            bias: vec![0.2, -0.1],
        };
        let second = Dense { inputs: 2, outputs: 1, weight: vec![1.5, -0.5], bias: vec![0.3] };
        let network = Network { inputs, body: Body::Mlp(vec![first, second]) };
        let feature = |name: &str, slot, cardinality| EncodedFeature { name: name.into(), slot, cardinality };
        let data = Dataset {
            features: vec![
                feature("id", Slot::Ids { start: 0, length: 1 }, 2),
                feature("x", Slot::Number { index: 0 }, 0),
            ],
            ids: crate::data::ids::Ids::from_rows(1, &[0, 1, 1]),
            number_slots: 1,
            numbers: vec![0.5, -1.5, f32::NAN].into(),
            labels: vec![0.0; 3].into(),
            ..Dataset::default()
        };
        let divided = equalised(&network, &[vec![2.0, 0.5, 3.0, 10.0], vec![7.0, 0.2]]).unwrap();
        let (exact, found) =
            (network.score(&data, &[0, 1, 2]).unwrap(), divided.score(&data, &[0, 1, 2]).unwrap());
        exact.iter().zip(&found).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{exact:?} {found:?}"));
        let Embedding::Table { rows } = &divided.inputs[0].embedding else { panic!("a table") };
        assert_eq!(*rows, [0.25, -6.0, 2.0, 0.5]);
    }
}
