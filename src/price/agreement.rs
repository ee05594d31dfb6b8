//! How well predicted latencies agree with measured ones.

use super::{LayerPrices, observation::Observation};
use crate::base::{Result, rank::kendall_tau};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a table knew a network's shape (its layers over its input widths) when it predicted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// It holds a measurement of it: the prediction shows a fit.
    Seen,
    /// It does not: the prediction is one.
    Unseen,
}

/// Predicted against measured latency of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Residual {
    /// The network.
    pub network: String,
    /// Whether the table that predicted had seen this shape.
    pub shape: Shape,
    /// What the table said.
    pub predicted_ms: f64,
    /// What the measurement said.
    pub measured_ms: f64,
    /// (predicted − measured) / measured, in percent.
    pub residual_pct: f64,
    /// Standard error of the measurement, in percent.
    pub noise_pct: f64,
}

impl Residual {
    /// The prediction of `prices` beside the measurement.
    pub fn of(observation: &Observation, prices: &dyn LayerPrices, shape: Shape) -> Result<Self> {
        let predicted_ms = observation.predicted_ms(prices)?;
        let measured_ms = observation.measured_ms;
        Ok(Self {
            network: observation.network.clone(),
            shape,
            predicted_ms,
            measured_ms,
            residual_pct: 100.0 * (predicted_ms - measured_ms) / measured_ms,
            noise_pct: observation.noise_pct,
        })
    }
}

/// Agreement over several networks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// How many.
    pub networks: usize,
    /// Mean of |residual|, in percent.
    pub mape_pct: f64,
    /// Mean residual, in percent: positive when the table is too dear.
    pub bias_pct: f64,
    /// Of the networks so many percent are at most 5 percent off.
    pub within_5_pct: f64,
    /// Of the networks so many percent are at most 10 percent off.
    pub within_10_pct: f64,
    /// Kendall's τ-b between predicted and measured; absent for fewer than two networks or constant values.
    pub kendall_tau: Option<f64>,
    /// Mean spread of the measurements, in percent: no prediction can be better than this.
    pub noise_pct: f64,
}

impl Agreement {
    /// Statistics of `residuals`; None without any.
    pub fn of(residuals: &[Residual]) -> Option<Self> {
        let mean =
            |of: &dyn Fn(&Residual) -> f64| residuals.iter().map(of).sum::<f64>() / residuals.len() as f64;
        let within = |pct: f64| 100.0 * mean(&|r| f64::from(u8::from(r.residual_pct.abs() <= pct)));
        let column = |of: fn(&Residual) -> f64| residuals.iter().map(of).collect::<Vec<_>>();
        (!residuals.is_empty()).then(|| Self {
            networks: residuals.len(),
            mape_pct: mean(&|r| r.residual_pct.abs()),
            bias_pct: mean(&|r| r.residual_pct),
            within_5_pct: within(5.0),
            within_10_pct: within(10.0),
            kendall_tau: kendall_tau(&column(|r| r.predicted_ms), &column(|r| r.measured_ms)),
            noise_pct: mean(&|r| r.noise_pct),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{price::linear::LinearPrices, space::InputWidths};

    fn residual(predicted_ms: f64, measured_ms: f64, noise_pct: f64) -> Residual {
        let prices = LinearPrices {
            column_ms: 0.0,
            slope_ms: 0.0,
            layer_ms: 0.0,
            user_share: 0.0,
            fixed_ms: predicted_ms,
        };
        let input = InputWidths { user: 1.0, item: 1.0 };
        let observation = Observation {
            network: "n".into(),
            widths: vec![],
            input,
            load: Default::default(),
            measured_ms,
            noise_pct,
            cold_ms: None,
            origin: 0,
        };
        Residual::of(&observation, &prices, Shape::Unseen).unwrap()
    }

    #[test]
    fn statistics_of_hand_made_residuals() {
        // +20 %, −4 %, +10 % and 0; the first two change places in the order.
        let residuals = [
            residual(1.2, 1.0, 1.0),
            residual(1.056, 1.1, 2.0),
            residual(2.2, 2.0, 3.0),
            residual(4.0, 4.0, 2.0),
        ];
        assert!((residuals[0].residual_pct - 20.0).abs() < 1e-9);
        let found = Agreement::of(&residuals).unwrap();
        assert_eq!(found.networks, 4);
        assert!((found.mape_pct - 34.0 / 4.0).abs() < 1e-9);
        assert!((found.bias_pct - 26.0 / 4.0).abs() < 1e-9);
        assert_eq!(found.within_5_pct, 50.0);
        assert!((found.kendall_tau.unwrap() - 4.0 / 6.0).abs() < 1e-12);
        assert!((found.noise_pct - 2.0).abs() < 1e-12);
    }

    #[test]
    fn shares_count_networks_inside_their_band() {
        let residuals = [residual(1.04, 1.0, 0.0), residual(0.92, 1.0, 0.0), residual(1.2, 1.0, 0.0)];
        let found = Agreement::of(&residuals).unwrap();
        assert!((found.within_5_pct - 100.0 / 3.0).abs() < 1e-12);
        assert!((found.within_10_pct - 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(Agreement::of(&[]), None);
    }
}
