//! Static quantisation: which layers of a network become integers, and with which ranges, from what they did on
//! calibration rows; and what any number format costs in ranking.
//!
//! Weights are symmetric with a scale per output. The channels of a layer's input are brought to one scale where that helps. Of each
//! layer's input the range is found by every method, and the one whose layer, alone in integers, moves the logits least is taken;
//! tables that the first layer reads as bytes are rounded with the errors of a row taken together. Then all layers are integers
//! together; while that costs more than three quarters of what the gate allows, the layer goes back to floats that loses most for
//! what it saves. Three quarters, because the gate is on other rows and in engines.

mod calibration;
mod equalise;
mod judge;
mod ranges;
mod report;
mod simulate;
mod tables;
mod weights;

pub use judge::{GateLimits, Judge, ListKind, Lists, ScoreLoss};
pub use report::{LayerFormat, LayerReport, QuantisationReport};
pub use simulate::Reference;

use super::{
    form::Form,
    format::{Affine, IntegerLayer, Integers},
};
use crate::{
    base::{
        Error, Result,
        check::{self, Checked},
        names::RangeMethod,
    },
    data::dataset::Dataset,
    learn::network::{Dense, Network},
};
use calibration::Calibration;
use serde::{Deserialize, Serialize};

/// How a network is quantised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantiseSettings {
    /// Rows that ranges and losses are found on, at most.
    pub rows: usize,
    /// Methods that a range is chosen from.
    pub methods: Vec<RangeMethod>,
    /// The share of values that the method `"percentile"` leaves below the upper end.
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

/// Every layer of `network` in integers, whatever it costs: for one that is timed and never served.
pub fn every_layer(
    network: &Network,
    form: &Form,
    data: &Dataset,
    rows: &[u32],
    settings: &QuantiseSettings,
) -> Result<Integers> {
    Ok(Calibration::new(network, form, (data, rows), settings)?.each_alone()?.0)
}

/// One layer with weights of 8 bits, for inputs that are known to lie in a range.
pub(super) fn plain_layer(dense: &Dense, input: Affine) -> IntegerLayer {
    weights::quantise(dense, input, &vec![true; dense.inputs], weights::largest(&dense.bias), 8)
}

/// A network with layers in integers.
#[derive(Debug, Clone)]
pub struct Quantised {
    /// The network that the integers belong to. In floats its logits are those of the one that was given, but for tables in the steps
    /// of the first layer's bytes.
    pub network: Network,
    /// Its layers in integers.
    pub integers: Integers,
    /// How they were found.
    pub report: QuantisationReport,
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
) -> Result<Quantised> {
    let judged = &rows[..rows.len().min(settings.rows)];
    let asked: Vec<u32> = (0..traffic.map_or(0, Dataset::rows).min(settings.rows) as u32).collect();
    let (seen, seen_rows) = traffic.map_or((data, judged), |traffic| (traffic, &asked[..]));
    if judged.is_empty() || seen_rows.is_empty() {
        return Err(Error::usage("there are no rows to calibrate on", "choose rows of the data or a trace"));
    }
    let calibration = Calibration::new(network, form, (seen, seen_rows), settings)?;
    let (equalised, which) = calibration.equalised(form)?;
    let calibration = Calibration::new(&equalised, form, (seen, seen_rows), settings)?;
    let (mut integers, mut layers) = calibration.each_alone()?;
    layers.iter_mut().zip(which).for_each(|(layer, which)| layer.equalised = which);
    let rounded = integers.layers[0].as_ref().map(|first| calibration.rounded(first.input)).transpose()?;
    let judge = Judge::new(network, data, judged, rows, settings.limits.top_k)?;
    let aim = settings.limits.with_a_margin();
    let (served, loss, logit_error_pct) = loop {
        let first = rounded.as_ref().filter(|_| integers.layers[0].is_some());
        let served = first.map_or(&equalised, |rounded| &rounded.network);
        let loss = judge.loss_of(&Reference::in_integers(served, &integers), data, judged)?;
        let error = calibration.error_of(&integers, rounded.as_ref());
        if loss.within(&aim) {
            break (served, loss, error);
        }
        let Some((dearest, without)) = calibration.dearest(&integers, rounded.as_ref()) else {
            break (served, loss, error);
        };
        integers.layers[dearest] = None;
        layers[dearest].format = LayerFormat::Fp32;
        layers[dearest].reason = Some(format!(
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
    Ok(Quantised { network: served.clone(), integers, report })
}

#[cfg(test)]
mod tests;
