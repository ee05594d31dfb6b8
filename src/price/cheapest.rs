//! The cheapest way through the Mixops: a shortest path over the keys that are alive after each of them.
//!
//! A network's layers cost a sum in which every term depends on two neighbours only, so with C_0(Input) = 0
//!
//! ```text
//! C_i(w_k) = min_w C_{i−1}(w) + T(w→w_k),   C_i(w) also = C_{i−1}(w) by the zero operator,   C = min_w C_L(w) + T(w→1)
//! ```
//!
//! is exact, in as many steps as the Mixops have pairs and not as the space has paths (Bellman 1958, "On a routing problem").

use crate::{
    base::Result,
    space::{Key, Operator},
};
use std::collections::BTreeMap;

/// One operator per Mixop whose layers cost least together, where `first` prices the first layer by its width and `layer` a later
/// one from width to width; the output node's is 1. Of equal paths the one stays that was found first, in the order of the
/// operators.
pub fn cheapest_operators(
    mixops: &[Vec<Operator>],
    first: impl Fn(usize) -> Result<f64>,
    layer: impl Fn(usize, usize) -> Result<f64>,
) -> Result<Vec<Operator>> {
    let price = |from: Key, to: usize| match from {
        Key::Input => first(to),
        Key::Width(from) => layer(from, to),
    };
    let mut alive = BTreeMap::from([(Key::Input, (0.0, Vec::new()))]);
    for operators in mixops {
        let mut next: BTreeMap<Key, (f64, Vec<Operator>)> = BTreeMap::new();
        for (&key, (cost, path)) in &alive {
            for &operator in operators {
                let (to, cost) = match operator {
                    Operator::Mlp(width) => (Key::Width(width), cost + price(key, width)?),
                    Operator::Zero => (key, *cost),
                };
                if next.get(&to).is_none_or(|(known, _)| cost < *known) {
                    next.insert(to, (cost, [path.as_slice(), &[operator]].concat()));
                }
            }
        }
        alive = next;
    }
    let mut best: Option<(f64, Vec<Operator>)> = None;
    for (key, (cost, path)) in alive {
        let cost = cost + price(key, 1)?;
        if best.as_ref().is_none_or(|(known, _)| cost < *known) {
            best = Some((cost, path));
        }
    }
    Ok(best.expect("some key is always alive").1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::rng,
        price::fixtures::{every_choice, feature, space_of},
        space::Subnet,
    };
    use rand::RngExt;

    #[test]
    fn no_path_of_the_enumeration_is_cheaper_under_random_prices() {
        let space = space_of(vec![feature("x", 4)], &[&[8, 4, 0], &[0, 4, 8, 2], &[4, 0, 2]]);
        let mut with_zero = 0;
        for seed in 0..50 {
            let price = |from: usize, to: usize| -> Result<f64> {
                Ok(rng::generator(seed, &format!("{from} {to}")).random::<f64>() * (1.0 + from as f64))
            };
            // The input is told from a layer of its width.
            let cost = |operators: &[Operator]| -> f64 {
                let widths = Subnet { features: vec![0], operators: operators.to_vec() }.layer_widths();
                let from = std::iter::once(99).chain(widths.iter().copied());
                let to = widths.iter().copied().chain([1]);
                from.zip(to).map(|(from, to)| price(from, to).unwrap()).sum()
            };
            let found = cheapest_operators(&space.mixops, |to| price(99, to), price).unwrap();
            let least = every_choice(&space).iter().map(|o| cost(o)).fold(f64::INFINITY, f64::min);
            assert!((cost(&found) - least).abs() < 1e-12, "{found:?} costs {}, not {least}", cost(&found));
            with_zero += usize::from(found.contains(&Operator::Zero) && found != [Operator::Zero; 3]);
        }
        assert!(with_zero > 10, "the cheapest path is hardly ever one with some zero operators");
    }

    #[test]
    fn a_missing_price_is_handed_on() {
        let missing = |_: usize, _: usize| Err(crate::base::Error::usage("no price", "probe it"));
        assert!(cheapest_operators(&[vec![Operator::Mlp(4)]], |_| Ok(0.0), missing).is_err());
    }
}
