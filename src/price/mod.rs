//! What a network costs: the latency table, prediction, and calibration. Pure functions that return a value and its
//! gradient; no tensors, no clocks. All latencies are in milliseconds.

pub mod agreement;
pub mod calibrate;
pub mod cheapest;
pub mod check;
pub mod choice;
mod cholesky;
pub mod correction;
pub mod curve;
mod entry;
pub mod expected;
pub mod feature;
pub mod fetch_table;
#[cfg(test)]
pub(crate) mod fixtures;
mod grid;
pub mod input;
pub(crate) mod interpolate;
mod least_squares;
pub mod linear;
mod matrix;
pub mod memory;
pub mod merge;
pub mod observation;
pub mod origin;
pub mod path;
pub mod resolved;
pub mod table;
pub mod target;
pub mod widths;

use crate::{
    base::Result,
    space::{InputLoad, InputWidths},
};

/// Price of a first layer and how it changes with the input's widths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstLayerPrice {
    /// Milliseconds.
    pub ms: f64,
    /// ∂ms/∂user width.
    pub d_user: f64,
    /// ∂ms/∂item width.
    pub d_item: f64,
}

/// Prices of single layers: what the search pays with. `to` = 1 is the output node.
pub trait LayerPrices: Send + Sync {
    /// T of the first layer, from the network's input to width `to`, without what [`LayerPrices::input`] prices apart.
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice>;
    /// T of a later layer, from width `from` to width `to`.
    fn layer_ms(&self, from: usize, to: usize) -> Result<f64>;
    /// What every network costs once, whatever its layers.
    fn fixed_ms(&self) -> f64;
    /// Prices in ms per unit of what the input is made of, paid once per network; 0 where the first layer's price holds
    /// all of it.
    fn input(&self) -> InputLoad {
        InputLoad::default()
    }
    /// Whether items have rows, so that a network whose request holds nothing of the candidates still tells them apart.
    fn has_item_rows(&self) -> bool {
        false
    }
}
