//! Static quantisation: which layers of a network become integers, and with which ranges, from what they did on
//! calibration rows; and what any number format costs in ranking.
//!
//! Weights are symmetric with a scale per output. Of each layer's input the range is found by every method, and the one
//! whose layer, alone in integers, moves the logits least is taken. Then all layers are integers together; while that
//! costs more than three quarters of what the gate allows, the layer goes back to floats without which the logits move least.
//! Three quarters, because the gate is on other rows and in engines.

mod judge;
mod ranges;
mod simulate;
mod weights;

pub use judge::{GateLimits, Judge, ListKind, Lists, ScoreLoss};
pub use simulate::Reference;

use super::{
    form::Form,
    format::{Affine, FirstPart, IntegerLayer, Integers},
    layers::Inputs,
};
use crate::{
    base::{
        Error, Result,
        check::{self, Checked},
        names::RangeMethod,
    },
    data::dataset::Dataset,
    learn::network::{Dense, Mlp, Network, PlainOnly},
};
use ranges::Observed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a network is quantised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantiseSettings {
    /// Rows that ranges and losses are found on, at most.
    pub rows: usize,
    /// Methods that a range is chosen from.
    pub methods: Vec<RangeMethod>,
    /// The share of values that [`RangeMethod::Percentile`] leaves below the upper end.
    pub percentile: f64,
    /// Bits of a weight, 7 or 8. Kernels without VNNI add two products of bytes in 16 bits, which 8 bits can overflow.
    pub weight_bits: u32,
    /// What int8 may cost.
    pub limits: GateLimits,
}

impl Default for QuantiseSettings {
    fn default() -> Self {
        Self {
            rows: 8192,
            methods: RangeMethod::ALL.to_vec(),
            percentile: 0.9999,
            weight_bits: 8,
            limits: GateLimits::default(),
        }
    }
}

impl QuantiseSettings {
    /// The ranges of the settings.
    pub fn check(&self) -> Checked {
        check::at_least("rows", self.rows, 1)?;
        let fix = "name min-max, percentile or least-squares";
        check::ensure(!self.methods.is_empty(), "methods", "no method would find a range", fix)?;
        check::inside("percentile", self.percentile)?;
        let bits = format!("{} bits are none of 7 and 8", self.weight_bits);
        check::ensure(matches!(self.weight_bits, 7 | 8), "weight_bits", bits, "give 7 or 8")?;
        self.limits.check()
    }
}

/// What became of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// Its name in the graph.
    pub layer: String,
    /// `int8` or `fp32`.
    pub format: LayerFormat,
    /// Why it stayed float; absent for int8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How the range of its input was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<RangeMethod>,
    /// Root mean squared change of the logit with this layer alone in integers, in percent of the logit's standard
    /// deviation, by method.
    pub logit_error_pct: BTreeMap<RangeMethod, f64>,
}

/// Number format of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerFormat {
    /// Integers.
    Int8,
    /// Floats.
    Fp32,
}

/// What quantisation did, found on calibration rows by computing with the same integers as engines do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantisationReport {
    /// Version of this format.
    pub schema_version: u32,
    /// Calibration rows.
    pub rows: usize,
    /// Labelled rows that the loss was found on.
    pub judged_rows: usize,
    /// Bits of a weight.
    pub weight_bits: u32,
    /// One per layer.
    pub layers: Vec<LayerReport>,
    /// What the lists of the overlap are.
    pub lists: ListKind,
    /// What int8 costs on the judged rows and on lists like them.
    pub loss: ScoreLoss,
    /// Root mean squared change of the logit, in percent of its standard deviation.
    pub logit_error_pct: f64,
}

impl QuantisationReport {
    /// The file of a package that holds it.
    pub const FILE: &str = "quantisation.json";
    /// Version of this format that this program writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// A line per layer: its format, its loss by each method, and why it stayed float.
    pub fn table(&self) -> String {
        let line = |layer: &LayerReport| {
            let errors = layer.logit_error_pct.iter().map(|(method, pct)| {
                let chosen = if layer.method == Some(*method) { "*" } else { "" };
                format!("{method}{chosen} {pct:.3} %")
            });
            let errors = errors.collect::<Vec<_>>().join(", ");
            let format = match layer.format {
                LayerFormat::Int8 => "int8",
                LayerFormat::Fp32 => "fp32",
            };
            let reason = layer.reason.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            format!("{} {format}: logit error {errors}{reason}", layer.layer)
        };
        let lines: Vec<_> = self.layers.iter().map(line).collect();
        let Self { rows, judged_rows, logit_error_pct: error, loss, .. } = self;
        format!(
            "{}\ntogether: logit error {error:.3} % on {rows} calibration rows, {loss} on {judged_rows} rows of the training",
            lines.join("\n")
        )
    }
}

/// Every layer of `network` in integers, whatever it costs: for one that is timed and never served.
pub fn every_layer(
    network: &Network,
    form: &Form,
    data: &Dataset,
    rows: &[u32],
    settings: &QuantiseSettings,
) -> Result<Integers> {
    let network = network.mlp(PlainOnly::Integers)?;
    Ok(Calibration::new(network, form, data, rows, settings)?.each_alone().0)
}

/// One layer with weights of 8 bits, for inputs that are known to lie in a range.
pub(super) fn plain_layer(dense: &Dense, input: Affine) -> IntegerLayer {
    weights::quantise(dense, input, &vec![true; dense.inputs], largest(&dense.bias), 8)
}

/// What a network did on the calibration rows.
struct Calibration<'a> {
    network: Mlp<'a>,
    settings: &'a QuantiseSettings,
    features: Vec<FirstPart>,
    /// Input of each layer: rows × its inputs.
    inputs: Vec<Vec<f32>>,
    logits: Vec<f32>,
    /// Standard deviation of the logits.
    spread: f64,
}

/// Chooses integers for `network` as it is served in `form`. Losses show on `rows` of `data`, which have labels and stand in
/// random order: the first of them, and lists that are made of all. Ranges are found on the same first rows, or on those of
/// `traffic`, which have no labels.
///
/// Fails without rows, or when the data lacks a feature of the network.
pub fn quantise(
    network: &Network,
    form: &Form,
    data: &Dataset,
    rows: &[u32],
    traffic: Option<&Dataset>,
    settings: &QuantiseSettings,
) -> Result<(Integers, QuantisationReport)> {
    let judged = &rows[..rows.len().min(settings.rows)];
    let asked: Vec<u32> = (0..traffic.map_or(0, Dataset::rows).min(settings.rows) as u32).collect();
    let (seen, seen_rows) = traffic.map_or((data, judged), |traffic| (traffic, &asked[..]));
    if judged.is_empty() || seen_rows.is_empty() {
        return Err(Error::usage("there are no rows to calibrate on", "choose rows of the data or a trace"));
    }
    let plain = network.mlp(PlainOnly::Integers)?;
    let calibration = Calibration::new(plain, form, seen, seen_rows, settings)?;
    let (mut integers, mut layers) = calibration.each_alone();
    let judge = Judge::new(network, data, judged, rows, settings.limits.top_k)?;
    let aim = settings.limits.with_a_margin();
    let (loss, logit_error_pct) = loop {
        let loss = judge.loss_of(&Reference::in_integers(network, &integers), data, judged)?;
        let error = calibration.error_pct(&calibration.logits_of(&integers));
        if loss.within(&aim) {
            break (loss, error);
        }
        let Some((worst, without)) = calibration.least_without(&integers) else { break (loss, error) };
        integers.layers[worst] = None;
        layers[worst].format = LayerFormat::Fp32;
        layers[worst].reason = Some(format!(
            "in integers too much was lost: {loss} and logit error {error:.3} % with it, {without:.3} % without it"
        ));
    };
    let report = QuantisationReport {
        schema_version: QuantisationReport::SCHEMA_VERSION,
        rows: seen_rows.len(),
        judged_rows: judged.len(),
        weight_bits: settings.weight_bits,
        layers,
        lists: judge.lists().kind(),
        loss,
        logit_error_pct,
    };
    Ok((integers, report))
}

impl<'a> Calibration<'a> {
    fn new(
        network: Mlp<'a>,
        form: &Form,
        data: &Dataset,
        rows: &[u32],
        settings: &'a QuantiseSettings,
    ) -> Result<Self> {
        let floats = Integers::floats(network.layers.len());
        let mut inputs = vec![network.embed(data, rows)?];
        for index in 0..network.layers.len() {
            let mut y = simulate::layer(network, &floats, index, &inputs[index]);
            if index + 1 < network.layers.len() {
                y.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            inputs.push(y);
        }
        let logits = inputs.pop().unwrap_or_default();
        // Of rows with one and the same logit, such as a single one, the error is in percent of 1.
        let spread = Some(deviation(&logits)).filter(|&spread| spread > 0.0).unwrap_or(1.0);
        let features = Inputs::new(network.inputs, network.layers[0].outputs, form).for_integers();
        Ok(Self { network, settings, features, inputs, logits, spread })
    }

    /// Every layer in integers by its best method, judged alone.
    fn each_alone(&self) -> (Integers, Vec<LayerReport>) {
        let mut integers =
            Integers { layers: vec![None; self.network.layers.len()], features: self.features.clone() };
        let mut reports = Vec::new();
        for index in 0..self.network.layers.len() {
            let layer = format!("layer{}", index + 1);
            let mut tried = Vec::new();
            if let Some(observed) = self.observed(index) {
                for &method in &self.settings.methods {
                    let affine = observed.affine(method, self.settings.percentile);
                    for candidate in self.integers(index, affine) {
                        let mut alone = integers.clone();
                        alone.layers = vec![None; self.network.layers.len()];
                        alone.layers[index] = Some(candidate);
                        let x = self.inputs[index].clone();
                        let error = self.error_pct(&simulate::logits(self.network, &alone, index, x));
                        tried.push((method, error, alone.layers.swap_remove(index)));
                    }
                }
            }
            tried.retain(|(_, error, _)| error.is_finite());
            tried.sort_by(|(_, a, _), (_, b, _)| a.total_cmp(b));
            // From the worst to the best, so that the better of a method's two is what stays.
            let errors = tried.iter().rev().map(|(method, error, _)| (*method, *error));
            let logit_error_pct = errors.collect();
            let best = tried.into_iter().next();
            reports.push(match best {
                Some((method, _, chosen)) => {
                    integers.layers[index] = chosen;
                    let (method, format) = (Some(method), LayerFormat::Int8);
                    LayerReport { layer, format, reason: None, method, logit_error_pct }
                }
                None => {
                    let reason = match index == 0 && !self.features.contains(&FirstPart::Bytes) {
                        true => "nothing is multiplied per candidate: the item table holds its product",
                        false => "its numbers or those of its input are not finite",
                    };
                    let reason = Some(reason.to_owned());
                    LayerReport { layer, format: LayerFormat::Fp32, reason, method: None, logit_error_pct }
                }
            });
        }
        (integers, reports)
    }

    /// The values that would become bytes.
    fn observed(&self, index: usize) -> Option<Observed> {
        let input = &self.inputs[index];
        if index > 0 {
            return Observed::new(input.iter().copied());
        }
        let bytes = simulate::columns(self.network, &self.features, FirstPart::Bytes);
        let of_rows = input.chunks_exact(bytes.len().max(1));
        let values: Vec<f32> = of_rows
            .flat_map(|row| row.iter().zip(&bytes).filter_map(|(&value, &byte)| byte.then_some(value)))
            .collect();
        Observed::new(values.into_iter())
    }

    /// Layer `index` with these bytes: as it is, and with its bias moved so that the mean of each output over the rows stays. The
    /// latter is worse where the mean is that of a few values far outside the range.
    fn integers(&self, index: usize, input: Affine) -> [IntegerLayer; 2] {
        let dense = &self.network.layers[index];
        let used = if index == 0 {
            simulate::columns(self.network, &self.features, FirstPart::Bytes)
        } else {
            vec![true; dense.inputs]
        };
        let x = &self.inputs[index];
        let floats = Integers::floats(self.network.layers.len());
        let wanted = simulate::layer(self.network, &floats, index, x);
        let layer = weights::quantise(dense, input, &used, largest(&wanted), self.settings.weight_bits);
        let mut alone = Integers { layers: floats.layers, features: self.features.clone() };
        alone.layers[index] = Some(layer.clone());
        let found = simulate::layer(self.network, &alone, index, x);
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

    fn logits_of(&self, integers: &Integers) -> Vec<f32> {
        simulate::logits(self.network, integers, 0, self.inputs[0].clone())
    }

    /// Root mean squared difference to the float logits, in percent of their standard deviation.
    fn error_pct(&self, logits: &[f32]) -> f64 {
        let squares = logits.iter().zip(&self.logits).map(|(a, b)| f64::from(a - b).powi(2));
        let error = (squares.sum::<f64>() / logits.len() as f64).sqrt();
        100.0 * error / self.spread
    }

    /// The integer layer without which the logits move least, and by how much; None when all are floats.
    fn least_without(&self, integers: &Integers) -> Option<(usize, f64)> {
        let without = |index: usize| {
            let mut rest = integers.clone();
            rest.layers[index] = None;
            (index, self.error_pct(&self.logits_of(&rest)))
        };
        let candidates = (0..integers.layers.len()).filter(|&index| integers.layers[index].is_some());
        candidates.map(without).min_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

fn deviation(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests;
