//! One concrete network as the sum of its layers.

use super::LayerPrices;
use crate::{
    base::{Error, Result},
    space::{Input, InputWidths, SearchSpace, Subnet},
};
use serde::{Deserialize, Serialize};

/// One layer of a concrete network: the unit in which prices are looked up and corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// From the network's input, whatever its widths, to width `to`.
    First {
        /// Outputs.
        to: usize,
    },
    /// From width `from` to width `to`.
    Layer {
        /// Inputs.
        from: usize,
        /// Outputs; 1 is the output node.
        to: usize,
    },
}

/// The layers of a network with the given hidden widths, the output node last.
pub fn steps(widths: &[usize]) -> impl Iterator<Item = Step> + '_ {
    let from = std::iter::once(None).chain(widths.iter().copied().map(Some));
    let to = widths.iter().copied().chain(std::iter::once(1));
    from.zip(to).map(|(from, to)| match from {
        None => Step::First { to },
        Some(from) => Step::Layer { from, to },
    })
}

/// T of one step of a concrete network.
///
/// A network that reads nothing of the candidate is refused: it would score all candidates alike, and under the layout
/// `user-once` it would be another graph than any that was probed. A search may still ask for the price of a small expected
/// width: that is [`LayerPrices::first_ms`].
pub fn step_ms(step: Step, input: InputWidths, prices: &dyn LayerPrices) -> Result<f64> {
    match step {
        Step::First { .. } if input.item == 0.0 && !prices.has_item_rows() => Err(Error::usage(
            "a network without item or interactive features scores all candidates alike, and has no price",
            "choose at least one feature of kind item or interactive",
        )),
        Step::First { to } => Ok(prices.first_ms(input, to)?.ms),
        Step::Layer { from, to } => prices.layer_ms(from, to),
    }
}

/// Price of a network with the given hidden widths: the fixed part, what its input is made of, and every layer's T.
pub fn path_ms(widths: &[usize], input: impl Into<Input>, prices: &dyn LayerPrices) -> Result<f64> {
    let Input { widths: columns, load } = input.into();
    let once_ms = prices.fixed_ms() + prices.input().dot(&load);
    steps(widths).try_fold(once_ms, |sum, step| Ok(sum + step_ms(step, columns, prices)?))
}

/// Price of one network of the space. Equals equation (6) with all mass on its operators.
pub fn subnet_ms(space: &SearchSpace, subnet: &Subnet, prices: &dyn LayerPrices) -> Result<f64> {
    path_ms(&subnet.layer_widths(), subnet.input(space), prices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::linear::LinearPrices;

    #[test]
    fn a_path_costs_its_fixed_part_and_each_layer_once() {
        let prices =
            LinearPrices { column_ms: 0.0, slope_ms: 0.001, layer_ms: 0.01, user_share: 0.5, fixed_ms: 0.3 };
        let input = InputWidths { user: 10.0, item: 20.0 };
        // First (5 + 20)·4, then 4·2, then the output 2·1; three layers.
        let expected = 0.3 + 0.001 * (25.0 * 4.0 + 8.0 + 2.0) + 3.0 * 0.01;
        assert!((path_ms(&[4, 2], input, &prices).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn a_network_that_reads_nothing_of_the_candidate_has_no_price_but_an_expectation_may_come_near_it() {
        let prices =
            LinearPrices { column_ms: 0.0, slope_ms: 0.001, layer_ms: 0.01, user_share: 0.5, fixed_ms: 0.3 };
        let input = InputWidths { user: 10.0, item: 0.0 };
        let refused = path_ms(&[4, 2], input, &prices).unwrap_err();
        assert!(matches!(refused, Error::Usage { .. }) && refused.to_string().contains("alike"), "{refused}");
        assert!(prices.first_ms(input, 4).is_ok());
        struct WithRows(LinearPrices);
        impl LayerPrices for WithRows {
            fn first_ms(&self, input: InputWidths, to: usize) -> Result<crate::price::FirstLayerPrice> {
                self.0.first_ms(input, to)
            }
            fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
                self.0.layer_ms(from, to)
            }
            fn fixed_ms(&self) -> f64 {
                self.0.fixed_ms()
            }
            fn has_item_rows(&self) -> bool {
                true
            }
        }
        assert!(path_ms(&[4, 2], input, &WithRows(prices)).is_ok(), "rows tell the candidates apart");
    }

    #[test]
    fn without_hidden_layers_the_input_meets_the_output_node() {
        assert_eq!(steps(&[]).collect::<Vec<_>>(), [Step::First { to: 1 }]);
        assert_eq!(
            steps(&[8, 4]).collect::<Vec<_>>(),
            [Step::First { to: 8 }, Step::Layer { from: 8, to: 4 }, Step::Layer { from: 4, to: 1 }]
        );
    }
}
