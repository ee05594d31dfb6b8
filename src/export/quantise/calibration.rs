//! What a network did on calibration rows, and what becomes of its logits when layers compute in integers.

use super::{
    LayerFormat, LayerReport, QuantiseSettings,
    equalise::{divisors, equalised},
    ranges::Observed,
    simulate, tables, weights,
};
use crate::{
    base::{Result, names::RangeMethod},
    data::dataset::Dataset,
    export::{
        form::Form,
        format::{Affine, FirstPart, IntegerLayer, Integers},
        layers::Inputs,
    },
    learn::network::{Body, Mlp, Network, PlainOnly},
};
use std::borrow::Cow;

/// The error, as a share of the one before, from which on equalising is worth it: rounding alone moves it a little.
const WORTHWHILE: f64 = 0.99;

/// What a network did on the calibration rows.
pub(super) struct Calibration<'a> {
    network: &'a Network,
    plain: Mlp<'a>,
    settings: &'a QuantiseSettings,
    seen: (&'a Dataset, &'a [u32]),
    features: Vec<FirstPart>,
    /// Input of each layer: rows × its inputs.
    inputs: Vec<Vec<f32>>,
    logits: Vec<f32>,
    /// Standard deviation of the logits.
    spread: f64,
}

/// A first layer's tables in steps of its bytes.
pub(super) struct Rounded {
    /// The network with them.
    pub(super) network: Network,
    /// Its input on the calibration rows.
    input: Vec<f32>,
}

impl<'a> Calibration<'a> {
    /// Of `network` as it is served in `form`, on those rows of the data.
    pub(super) fn new(
        network: &'a Network,
        form: &Form,
        seen: (&'a Dataset, &'a [u32]),
        settings: &'a QuantiseSettings,
    ) -> Result<Self> {
        let plain = network.mlp(PlainOnly::Integers)?;
        let floats = Integers::floats(plain.layers.len());
        let mut inputs = vec![plain.embed(seen.0, seen.1)?];
        for index in 0..plain.layers.len() {
            let mut y = simulate::layer(plain, &floats, index, &inputs[index]);
            if index + 1 < plain.layers.len() {
                y.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            inputs.push(y);
        }
        let logits = inputs.pop().unwrap_or_default();
        // Of rows with one and the same logit, such as a single one, the error is in percent of 1.
        let spread = Some(deviation(&logits)).filter(|&spread| spread > 0.0).unwrap_or(1.0);
        let features = Inputs::new(plain.inputs, plain.layers[0].outputs, form).for_integers();
        Ok(Self { network, plain, settings, seen, features, inputs, logits, spread })
    }

    /// The network with the channels of the layers equalised that lose less so, each alone in integers over its whole range; and
    /// which layers these are.
    pub(super) fn equalised(&self, form: &Form) -> Result<(Network, Vec<bool>)> {
        let layers = self.plain.layers;
        let mut all: Vec<Vec<f32>> =
            (0..layers.len()).map(|i| divisors(&layers[i], &self.inputs[i], &self.in_bytes(i))).collect();
        let network = equalised(self.network, &all)?;
        // Divided outputs of a layer change the scales of its sums alone, so that one network tells of all layers.
        let divided = Calibration::new(&network, form, self.seen, self.settings)?;
        let better = |index| divided.whole_range_error(index) < WORTHWHILE * self.whole_range_error(index);
        let which: Vec<bool> = (0..layers.len()).map(better).collect();
        for (divisors, _) in all.iter_mut().zip(&which).filter(|(_, which)| !**which) {
            divisors.fill(1.0);
        }
        Ok((equalised(self.network, &all)?, which))
    }

    /// The error with layer `index` alone in integers, its range from the least to the largest value; infinite where it cannot be.
    fn whole_range_error(&self, index: usize) -> f64 {
        let Some(observed) = self.observed(index) else { return f64::INFINITY };
        let affine = observed.affine(RangeMethod::MinMax, self.settings.percentile);
        let [layer, _] = self.integers(index, affine, &self.inputs[index]);
        self.error_alone(index, layer, &self.inputs[index]).0
    }

    /// The error with `layer` in the place of that one, on this input of it; and the layer.
    fn error_alone(&self, index: usize, layer: IntegerLayer, x: &[f32]) -> (f64, IntegerLayer) {
        let mut alone = self.floats();
        alone.layers[index] = Some(layer);
        let error = self.error_pct(&simulate::logits(self.plain, &alone, index, x.to_vec()));
        (error, alone.layers.swap_remove(index).expect("just put there"))
    }

    fn floats(&self) -> Integers {
        let Integers { layers, .. } = Integers::floats(self.plain.layers.len());
        Integers { layers, features: self.features.clone() }
    }

    /// The tables that a first layer of these bytes reads.
    pub(super) fn rounded(&self, affine: Affine) -> Result<Rounded> {
        let moments = tables::moments(self.plain, &self.inputs);
        let inputs = tables::rounded(self.plain.inputs, &self.features, &moments, affine);
        let network = Network { inputs, body: Body::Mlp(self.plain.layers.to_vec()) };
        let input = network.mlp(PlainOnly::Integers)?.embed(self.seen.0, self.seen.1)?;
        Ok(Rounded { network, input })
    }

    /// Every layer in integers by its best method, judged alone.
    pub(super) fn each_alone(&self) -> Result<(Integers, Vec<LayerReport>)> {
        let mut integers = self.floats();
        let mut reports = Vec::new();
        for index in 0..self.plain.layers.len() {
            let mut tried = self.tried(index)?;
            tried.retain(|(_, (error, _))| error.is_finite());
            tried.sort_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
            // From the worst to the best, so that the better of a method's two is what stays.
            let errors = tried.iter().rev().map(|(method, (error, _))| (*method, *error));
            let logit_error_pct = errors.collect();
            let best = tried.into_iter().next();
            let reason = match &best {
                Some(_) => None,
                None if index == 0 && !self.features.contains(&FirstPart::Bytes) => {
                    Some("nothing is multiplied per candidate: the item table holds its product".to_owned())
                }
                None => Some("its numbers or those of its input are not finite".to_owned()),
            };
            reports.push(LayerReport {
                layer: format!("layer{}", index + 1),
                format: if best.is_some() { LayerFormat::Int8 } else { LayerFormat::Fp32 },
                reason,
                method: best.as_ref().map(|(method, _)| *method),
                equalised: false,
                logit_error_pct,
            });
            integers.layers[index] = best.map(|(_, (_, layer))| layer);
        }
        Ok((integers, reports))
    }

    /// Layer `index` by every method, as it is and with its bias moved, with the error of each alone.
    fn tried(&self, index: usize) -> Result<Vec<(RangeMethod, (f64, IntegerLayer))>> {
        let Some(observed) = self.observed(index) else { return Ok(Vec::new()) };
        let mut tried = Vec::new();
        for &method in &self.settings.methods {
            let affine = observed.affine(method, self.settings.percentile);
            let x = match index {
                0 => Cow::Owned(self.rounded(affine)?.input),
                _ => Cow::Borrowed(&self.inputs[index]),
            };
            let two = self.integers(index, affine, &x);
            tried.extend(two.map(|layer| (method, self.error_alone(index, layer, &x))));
        }
        Ok(tried)
    }

    /// Which channels of a layer's input become bytes.
    fn in_bytes(&self, index: usize) -> Vec<bool> {
        match index {
            0 => simulate::columns(self.plain, &self.features, FirstPart::Bytes),
            _ => vec![true; self.plain.layers[index].inputs],
        }
    }

    /// The values that would become bytes.
    fn observed(&self, index: usize) -> Option<Observed> {
        let input = &self.inputs[index];
        if index > 0 {
            return Observed::new(input.iter().copied());
        }
        let bytes = self.in_bytes(0);
        let of_rows = input.chunks_exact(bytes.len().max(1));
        let values: Vec<f32> = of_rows
            .flat_map(|row| row.iter().zip(&bytes).filter_map(|(&value, &byte)| byte.then_some(value)))
            .collect();
        Observed::new(values.into_iter())
    }

    /// Layer `index` with these bytes, which are given `x`: as it is, and with its bias moved so that the mean of each output over
    /// the rows stays. The latter is worse where the mean is that of a few values far outside the range.
    fn integers(&self, index: usize, input: Affine, x: &[f32]) -> [IntegerLayer; 2] {
        let dense = &self.plain.layers[index];
        let wanted = simulate::layer(self.plain, &self.floats(), index, &self.inputs[index]);
        let bits = self.settings.weight_bits;
        let layer = weights::quantise(dense, input, &self.in_bytes(index), weights::largest(&wanted), bits);
        let mut alone = self.floats();
        alone.layers[index] = Some(layer.clone());
        let found = simulate::layer(self.plain, &alone, index, x);
        let mut errors = vec![0.0; dense.outputs];
        for (wanted, found) in wanted.chunks_exact(dense.outputs).zip(found.chunks_exact(dense.outputs)) {
            errors
                .iter_mut()
                .zip(wanted.iter().zip(found))
                .for_each(|(sum, (w, f))| *sum += f64::from(w - f));
        }
        let rows = (wanted.len() / dense.outputs) as f64;
        let mut moved = layer.clone();
        moved.bias.iter_mut().zip(errors).for_each(|(bias, error)| *bias += (error / rows) as f32);
        [layer, moved]
    }

    /// The error with those layers in integers together, and these tables where the first one is among them.
    pub(super) fn error_of(&self, integers: &Integers, rounded: Option<&Rounded>) -> f64 {
        let rounded = rounded.filter(|_| integers.layers[0].is_some());
        let x = rounded.map_or(&self.inputs[0], |rounded| &rounded.input);
        self.error_pct(&simulate::logits(self.plain, integers, 0, x.clone()))
    }

    /// Root mean squared difference to the float logits, in percent of their standard deviation.
    fn error_pct(&self, logits: &[f32]) -> f64 {
        let squares = logits.iter().zip(&self.logits).map(|(a, b)| f64::from(a - b).powi(2));
        let error = (squares.sum::<f64>() / logits.len() as f64).sqrt();
        100.0 * error / self.spread
    }

    /// The integer layer that is to go back to floats, and the error without it; None when all are floats. Of every layer it is asked
    /// how much of the squared error it causes, and what it saves: multiplications in integers. The one that costs most for what it
    /// saves goes.
    pub(super) fn dearest(&self, integers: &Integers, rounded: Option<&Rounded>) -> Option<(usize, f64)> {
        let error = self.error_of(integers, rounded);
        let without = |index: usize| {
            let mut rest = integers.clone();
            rest.layers[index] = None;
            let remains = self.error_of(&rest, rounded);
            let columns = self.in_bytes(index).into_iter().filter(|&bytes| bytes).count();
            let saved = (columns * self.plain.layers[index].outputs) as f64;
            (index, remains, (error.powi(2) - remains.powi(2)) / saved)
        };
        let candidates = (0..integers.layers.len()).filter(|&index| integers.layers[index].is_some());
        let worst = candidates.map(without).max_by(|(_, _, a), (_, _, b)| a.total_cmp(b));
        worst.map(|(index, remains, _)| (index, remains))
    }
}

fn deviation(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
}
