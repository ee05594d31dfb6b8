//! Prices in closed form, for tests and benches that need to know the answer.

use super::{FirstLayerPrice, LayerPrices};
use crate::{base::Result, space::InputWidths};

/// T(w→k) = slope·w·k + layer, and column·w more for the first layer, whose user columns count `user_share` of an item
/// column. The default is free.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinearPrices {
    /// Milliseconds per column that the first layer gathers.
    pub column_ms: f64,
    /// Milliseconds per multiply-add.
    pub slope_ms: f64,
    /// Milliseconds per layer.
    pub layer_ms: f64,
    /// Price of a user column relative to an item column.
    pub user_share: f64,
    /// Milliseconds per network.
    pub fixed_ms: f64,
}

impl LayerPrices for LinearPrices {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let d_item = self.column_ms + self.slope_ms * to as f64;
        let d_user = self.user_share * d_item;
        Ok(FirstLayerPrice { ms: d_user * input.user + d_item * input.item + self.layer_ms, d_user, d_item })
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        Ok(self.slope_ms * from as f64 * to as f64 + self.layer_ms)
    }

    fn fixed_ms(&self) -> f64 {
        self.fixed_ms
    }
}
