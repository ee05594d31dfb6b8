//! A table held against whole networks that it never saw: how far predictions lie from measurements, beside how far two
//! measurements of one network lie apart.

use super::{
    agreement::{Agreement, Residual, Shape},
    observation::Observation,
    table::{LatencyTable, TableContext},
};
use crate::base::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Above this repeat noise, in percent, a measurement judges no table.
const VOID_PCT: f64 = 3.0;

/// A table under one set of circumstances at one candidate count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BucketCheck {
    /// The circumstances.
    pub context: TableContext,
    /// Candidates per request.
    pub candidates: usize,
    /// Over all networks. Its `noise_pct` is the repeat noise: the mean distance of two measurements of one network.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// The repeat noise is above 3 %: the figures say as much of the machine as of the table.
    pub void: bool,
    /// The network of the largest |residual|.
    pub worst: Residual,
    /// Every network: measured is the mean of two measurements, noise their distance in percent of it.
    pub residuals: Vec<Residual>,
}

/// An observation of two independent measurements of `network`, in ms: their mean, with their distance as its noise.
pub fn repeated(network: &Observation, times_ms: [f64; 2]) -> Observation {
    let measured_ms = (times_ms[0] + times_ms[1]) / 2.0;
    let noise_pct = 100.0 * (times_ms[0] - times_ms[1]).abs() / measured_ms.max(f64::MIN_POSITIVE);
    Observation { measured_ms, noise_pct, ..network.clone() }
}

impl BucketCheck {
    /// The prices of `table` against `networks`, which were measured as [`repeated`] says and are none that it has seen; None
    /// without any.
    pub fn of(
        table: &LatencyTable,
        context: &TableContext,
        candidates: usize,
        networks: &[Observation],
    ) -> Result<Option<Self>> {
        let prices = table.prices(context, candidates)?;
        let residuals: Vec<Residual> =
            networks.iter().map(|o| Residual::of(o, &prices, Shape::Unseen)).collect::<Result<_>>()?;
        let worst =
            residuals.iter().max_by(|a, b| a.residual_pct.abs().total_cmp(&b.residual_pct.abs())).cloned();
        Ok(Agreement::of(&residuals).zip(worst).map(|(agreement, worst)| Self {
            context: context.clone(),
            candidates,
            agreement,
            void: agreement.noise_pct > VOID_PCT,
            worst,
            residuals,
        }))
    }

    /// Whether the table keeps a limit on the mean |residual|, in percent. A void measurement shows that of nothing.
    pub fn keeps(&self, max_mape_pct: f64) -> bool {
        !self.void && self.agreement.mape_pct <= max_mape_pct
    }
}
