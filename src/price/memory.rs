//! What a network takes in memory: its trained numbers in single precision.
//!
//! ```text
//! N = Σ_{i∈F} n_i + Σ_layers (inputs + 1)·outputs,    n_i = cardinality·width of a table, 2·width of a number
//! ```

use super::{
    cheapest::cheapest_operators,
    path::{Step, steps},
};
use crate::{
    base::Result,
    space::{Operator, SearchSpace, Subnet},
};

/// Bytes of a trained number.
const BYTES: f64 = 4.0;
/// Bytes of a megabyte.
const MEGABYTE: f64 = 1e6;

/// Trained numbers of every feature of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    of_features: Vec<usize>,
}

impl Parameters {
    /// `of_features` counts what each feature's embedding holds, in schema order.
    pub fn new(of_features: Vec<usize>) -> Self {
        Self { of_features }
    }

    /// N of a network.
    pub fn of(&self, space: &SearchSpace, subnet: &Subnet) -> usize {
        let embeddings: usize = subnet.features.iter().map(|&i| self.of_features[i]).sum();
        let input = width(space, &subnet.features);
        let layer = |step| match step {
            Step::First { to } => (input + 1) * to,
            Step::Layer { from, to } => (from + 1) * to,
        };
        embeddings + steps(&subnet.layer_widths()).map(layer).sum::<usize>()
    }

    /// Size of a network in megabytes (10⁶ bytes), four bytes a number.
    pub fn megabytes(&self, space: &SearchSpace, subnet: &Subnet) -> f64 {
        self.of(space, subnet) as f64 * BYTES / MEGABYTE
    }

    /// The operators of the smallest network on these features.
    pub fn smallest_operators(&self, space: &SearchSpace, features: &[usize]) -> Result<Vec<Operator>> {
        let input = width(space, features);
        let numbers = |from: usize, to: usize| Ok(((from + 1) * to) as f64);
        cheapest_operators(&space.mixops, |to| numbers(input, to), numbers)
    }
}

/// Columns of the whole input, rows of items included.
fn width(space: &SearchSpace, features: &[usize]) -> usize {
    features.iter().map(|&i| space.features[i].width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::fixtures::{every_choice, feature, space_of};

    #[test]
    fn tables_and_layers_are_counted() {
        let space = space_of(vec![feature("a", 2), feature("b", 3)], &[&[8, 0], &[4, 0]]);
        let parameters = Parameters::new(vec![20, 6]);
        let of = |features: &[usize], operators: [Operator; 2]| {
            parameters.of(&space, &Subnet { features: features.to_vec(), operators: operators.to_vec() })
        };
        let (wide, narrow, zero) = (Operator::Mlp(8), Operator::Mlp(4), Operator::Zero);
        assert_eq!(of(&[0, 1], [wide, narrow]), 26 + 6 * 8 + 9 * 4 + 5);
        assert_eq!(of(&[1], [zero, zero]), 6 + 4);
        let all = Subnet { features: vec![0, 1], operators: vec![wide, narrow] };
        assert!((parameters.megabytes(&space, &all) - 115.0 * 4e-6).abs() < 1e-12);
    }

    #[test]
    fn the_smallest_operators_are_those_of_the_enumeration() {
        // Fifty columns into the output node are more than a narrow layer between them saves, and a Mixop without zero takes one.
        for mixops in [&[&[8, 2, 0][..], &[4, 2]], &[&[8, 4], &[2, 0]]] {
            let space = space_of(vec![feature("a", 50)], mixops);
            let parameters = Parameters::new(vec![500]);
            let size = |operators: &[Operator]| {
                parameters.of(&space, &Subnet { features: vec![0], operators: operators.to_vec() })
            };
            let found = size(&parameters.smallest_operators(&space, &[0]).unwrap());
            assert_eq!(Some(found), every_choice(&space).iter().map(|o| size(o)).min());
        }
    }
}
