//! A ranking that is made to know prices: which features a budget should buy, when each is worth its strength.
//!
//! A ranking says what a feature is worth and not what it costs, and a price is rarely one feature's own. The first feature of a
//! stored row pays the trip, and where rows are asked for at once the slowest pays for all ([`FeaturePrices`]). Walked down from
//! its first feature, a ranking buys one dear feature, and nothing is left for the forty that would have come with each other. So
//! features are bought in bundles. At each step the bundle of the largest
//!
//! ```text
//! Σ_{f∈B} max(strength_f, 0)  /  (T(S ∪ B) − T(S))
//! ```
//!
//! is taken that fits, where S is what was bought before and T the price of features and layers together: the greedy rule of
//! budgeted coverage (Khuller, Moss and Naor 1999). B is the strongest of some features, as many of them as the ratio rises with:
//!
//! * of each fetch group, whose trip is paid once;
//! * of all features that cost no more by themselves than a given one: what the slowest already pays for.
//!
//! Where all features cost the same, this is the order of the ranking. Features of no strength come last, as long as they fit. A network
//! has a feature of the item's side: baskets are begun with the strongest that the budget pays for and with the cheapest, and the one of
//! more strength in all is taken.
//!
//! [`FeaturePrices`]: crate::price::feature::FeaturePrices

use crate::{
    base::Result,
    learn::{derive::Price, price_term::Prices},
    space::{Operator, SearchSpace, Subnet},
};

/// What costs next to nothing counts as this share of the budget.
const LEAST_SHARE: f64 = 1e-3;

/// The network of these operators on the features of the most strength per millisecond that `limit_ms` pays for, features and mean
/// service time together. `must_keep` and `never` are honoured, and one feature of the item's side is taken in any case. Deterministic.
///
/// None where the budget does not pay for any such network.
///
/// # Panics
///
/// Where there are not as many `strengths` as features of the space.
pub fn by_worth(
    space: &SearchSpace,
    strengths: &[f64],
    operators: &[Operator],
    limit_ms: f64,
    prices: &Prices,
) -> Result<Option<Subnet>> {
    assert_eq!(strengths.len(), space.features.len(), "one strength per feature");
    let basket = Basket { space, strengths, operators, limit_ms, prices };
    let mut best: Option<(f64, Vec<usize>)> = None;
    for first in basket.starts()? {
        let chosen = basket.filled(first)?;
        let strength = chosen.iter().map(|&i| strengths[i].max(0.0)).sum();
        if best.as_ref().is_none_or(|&(most, _)| strength > most) {
            best = Some((strength, chosen));
        }
    }
    Ok(best.map(|(_, chosen)| basket.on(&chosen)))
}

/// What is bought, and with what.
struct Basket<'a> {
    space: &'a SearchSpace,
    strengths: &'a [f64],
    operators: &'a [Operator],
    limit_ms: f64,
    prices: &'a Prices<'a>,
}

/// Features that are bought together.
struct Bundle {
    features: Vec<usize>,
    /// Strength per ms.
    worth: f64,
}

impl Basket<'_> {
    /// What a network has in any case: the features to keep, and where none of these is of the item's side one that is, the strongest
    /// or the cheapest. Only what the budget pays for.
    fn starts(&self) -> Result<Vec<Vec<usize>>> {
        let kept: Vec<usize> =
            (0..self.strengths.len()).filter(|&i| self.space.features[i].must_keep).collect();
        if kept.iter().any(|&i| self.space.of_item(i)) {
            return Ok(if self.fits(&kept)? { vec![kept] } else { Vec::new() });
        }
        let mut affordable = Vec::new();
        for feature in self.missing(&kept).into_iter().filter(|&i| self.space.of_item(i)) {
            let with = [&kept[..], &[feature]].concat();
            let price_ms = self.price_ms(&with)?;
            if price_ms <= self.limit_ms {
                affordable.push((price_ms, with));
            }
        }
        let strongest = affordable.first().cloned();
        let cheapest = affordable.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(strongest.into_iter().chain(cheapest).map(|(_, with)| with).collect())
    }

    /// Bundles as long as there are any that fit, then what still does.
    fn filled(&self, mut chosen: Vec<usize>) -> Result<Vec<usize>> {
        while let Some(bundle) = self.best_bundle(&chosen)? {
            chosen.extend(bundle.features);
        }
        for feature in self.missing(&chosen) {
            chosen.push(feature);
            if !self.fits(&chosen)? {
                chosen.pop();
            }
        }
        Ok(chosen)
    }

    /// What to buy next; none where nothing that is worth anything fits.
    fn best_bundle(&self, chosen: &[usize]) -> Result<Option<Bundle>> {
        let mut best: Option<Bundle> = None;
        for shelf in self.shelves(chosen)? {
            if let Some(bundle) = self.bundle_of(chosen, &shelf)?
                && best.as_ref().is_none_or(|best| bundle.worth > best.worth)
            {
                best = Some(bundle);
            }
        }
        Ok(best)
    }

    /// Features that share costs, each list by falling strength.
    fn shelves(&self, chosen: &[usize]) -> Result<Vec<Vec<usize>>> {
        let missing: Vec<usize> =
            self.missing(chosen).into_iter().filter(|&i| self.strengths[i] > 0.0).collect();
        let mut alone = vec![f64::INFINITY; self.strengths.len()];
        for &feature in &missing {
            alone[feature] = self.price_ms(&[chosen, &[feature]].concat())?;
        }
        let mut levels: Vec<f64> = missing.iter().map(|&i| alone[i]).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        levels.retain(|&level| level <= self.limit_ms);
        let of = |member: &dyn Fn(usize) -> bool| missing.iter().copied().filter(|&i| member(i)).collect();
        let no_dearer = levels.into_iter().map(|level| of(&|i| alone[i] <= level));
        let groups = self.prices.features.groups.iter().filter(|group| group.features.len() > 1);
        let together = groups.map(|group| of(&|i| group.features.iter().any(|&(feature, _)| feature == i)));
        Ok(no_dearer.chain(together).collect())
    }

    /// The first features of a shelf, as many as strength per ms rises with. What does not fit is left standing.
    fn bundle_of(&self, chosen: &[usize], shelf: &[usize]) -> Result<Option<Bundle>> {
        let before_ms = self.price_ms(chosen)?;
        let mut found: Option<Bundle> = None;
        let (mut with, mut strength) = (chosen.to_vec(), 0.0);
        for &feature in shelf {
            with.push(feature);
            let price_ms = self.price_ms(&with)?;
            if price_ms > self.limit_ms {
                with.pop();
                continue;
            }
            strength += self.strengths[feature];
            let worth = strength / (price_ms - before_ms).max(LEAST_SHARE * self.limit_ms);
            if found.as_ref().is_some_and(|found| worth < found.worth) {
                break;
            }
            found = Some(Bundle { features: with[chosen.len()..].to_vec(), worth });
        }
        Ok(found)
    }

    /// Features that may still be bought, by falling strength.
    fn missing(&self, chosen: &[usize]) -> Vec<usize> {
        let mut missing: Vec<usize> = (0..self.strengths.len())
            .filter(|&i| !self.space.features[i].never && !chosen.contains(&i))
            .collect();
        missing.sort_by(|&a, &b| self.strengths[b].total_cmp(&self.strengths[a]));
        missing
    }

    fn fits(&self, chosen: &[usize]) -> Result<bool> {
        Ok(self.price_ms(chosen)? <= self.limit_ms)
    }

    fn price_ms(&self, chosen: &[usize]) -> Result<f64> {
        Ok(Price::of(self.space, &self.on(chosen), self.prices)?.total_ms())
    }

    fn on(&self, chosen: &[usize]) -> Subnet {
        Subnet::new(chosen.to_vec(), self.operators.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind, Schema},
        learn::{derive::Extent, derive::of_ranking, settings::Budget},
        price::{
            feature::{FetchGroup, Fetching},
            fixtures::{feature, schema, space_of},
            linear::LinearPrices,
            target::MeanService,
        },
    };

    /// Layers cost nothing: what a feature costs is what fetching it costs.
    const LAYERS: LinearPrices =
        LinearPrices { column_ms: 0.0, slope_ms: 0.0, layer_ms: 0.0, user_share: 1.0, fixed_ms: 0.0 };

    fn priced_at(fetch_ms: &[f64]) -> Vec<Feature> {
        let one = |(i, &fetch_ms): (usize, &f64)| Feature { fetch_ms, ..feature(&format!("f{i}"), 2) };
        fetch_ms.iter().enumerate().map(one).collect()
    }

    fn bought(schema: &Schema, prices: &Prices, strengths: &[f64], limit_ms: f64) -> Option<Vec<usize>> {
        let space = space_of(schema.features.clone(), &[&[8]]);
        let found = by_worth(&space, strengths, &[Operator::Mlp(8)], limit_ms, prices).unwrap();
        found.map(|subnet| subnet.features)
    }

    /// What a schema with these features buys, γ being 0.1 ms.
    fn of(features: Vec<Feature>, strengths: &[f64], limit_ms: f64) -> Option<Vec<usize>> {
        let schema = Schema { gamma_ms: 0.1, ..schema(features) };
        bought(&schema, &Prices::declared(&schema, &LAYERS, &MeanService), strengths, limit_ms)
    }

    fn plainly(features: &[Feature], strengths: &[f64], limit_ms: f64) -> Vec<usize> {
        let schema = Schema { gamma_ms: 0.1, ..schema(features.to_vec()) };
        let space = space_of(features.to_vec(), &[&[8]]);
        let prices = Prices::declared(&schema, &LAYERS, &MeanService);
        let extent = Extent::Within(Budget::of_mean(limit_ms), &prices);
        of_ranking(&space, strengths, vec![Operator::Mlp(8)], extent).unwrap().features
    }

    #[test]
    fn many_cheap_features_go_before_one_dear_one() {
        // 8 ms and 0.1 for the first, 1 ms once and 0.1 each for the others. 1.0 / 8.1 = 0.12 is less than 9·0.3 / 1.9 = 1.42.
        let features = priced_at(&[8.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let strengths = [1.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3];
        assert_eq!(plainly(&features, &strengths, 8.25), [0, 1], "the ranking's own order");
        assert_eq!(of(features.clone(), &strengths, 8.25).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        // With 9 ms both fit.
        assert_eq!(of(features, &strengths, 9.0).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_dear_feature_that_is_worth_its_price_is_bought() {
        // 30 / 8.1 = 3.7 is more than 1.42, and the dear one pays for the time of the others.
        let features = priced_at(&[8.0, 1.0, 1.0, 1.0]);
        assert_eq!(of(features, &[30.0, 0.5, 0.4, 0.3], 8.35).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn features_of_one_row_pay_its_trip_together() {
        // One after the other: three of a row with a trip of 3 ms, three that cost 1 ms each, of which the first is kept, and a stronger one
        // that costs as much as one of the row. Alone the first of the row is worth 0.4 / 3.1 = 0.13 and each of the cheap ones 0.3;
        // the row is worth 1.2 / 3.3 = 0.36.
        let mut features = priced_at(&[0.0; 7]);
        features[3].must_keep = true;
        let schema = schema(features);
        let row = |trip_ms: f64, features: Vec<(usize, f64)>| FetchGroup {
            source: schema.features[0].source,
            trip_ms,
            features,
        };
        let mut prices = Prices::declared(&schema, &LAYERS, &MeanService);
        prices.features.fetching = Fetching::InTurn;
        prices.features.groups = vec![
            row(3.0, vec![(0, 0.1), (1, 0.1), (2, 0.1)]),
            row(1.0, vec![(3, 0.0)]),
            row(1.0, vec![(4, 0.0)]),
            row(1.0, vec![(5, 0.0)]),
            row(3.1, vec![(6, 0.0)]),
        ];
        let strengths = [0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.45];
        assert_eq!(bought(&schema, &prices, &strengths, 4.4).unwrap(), [0, 1, 2, 3]);
        // Where the row does not fit, the others are bought; two of its features are worth 0.8 / 3.2 = 0.25 only.
        assert_eq!(bought(&schema, &prices, &strengths, 3.25).unwrap(), [3, 4, 5]);
    }

    #[test]
    fn equal_prices_leave_the_order_of_the_ranking() {
        let features = priced_at(&[1.0; 7]);
        let strengths = [0.2, 0.7, 0.1, 0.6, 0.3, 0.5, 0.4];
        for count in 1..=7 {
            // 1 ms for the slowest, and γ for each.
            let limit_ms = 1.0 + 0.1 * f64::from(count) + 1e-9;
            assert_eq!(
                of(features.clone(), &strengths, limit_ms).unwrap(),
                plainly(&features, &strengths, limit_ms)
            );
        }
        assert_eq!(of(features, &strengths, 1.0), None, "the budget pays for none");
    }

    #[test]
    fn the_one_feature_of_the_items_side_is_the_cheapest_only_where_that_fills_the_budget_better() {
        let mut features = priced_at(&[0.1, 0.5, 0.5]);
        features[1].kind = Kind::User;
        // Beside the user's, the budget pays for one of the item's side.
        assert_eq!(of(features.clone(), &[0.001, 0.5, 0.4], 0.7).unwrap(), [1, 2]);
        // The stronger one alone would take all of it.
        features[2].fetch_ms = 0.6;
        assert_eq!(of(features, &[0.001, 0.5, 0.4], 0.7).unwrap(), [0, 1]);
    }

    #[test]
    fn what_the_schema_decides_overrules_worth_and_features_without_any_come_last() {
        let mut features = priced_at(&[1.0; 5]);
        features[0].never = true;
        features[4].must_keep = true;
        let strengths = [0.9, 0.0, -0.2, 0.1, -0.5];
        for (count, wanted) in [(1, vec![4]), (2, vec![3, 4]), (3, vec![1, 3, 4]), (4, vec![1, 2, 3, 4])] {
            let limit_ms = 1.0 + 0.1 * f64::from(count) + 1e-9;
            assert_eq!(of(features.clone(), &strengths, limit_ms).unwrap(), wanted);
        }
    }
}
