//! A network of hand-chosen widths on the features that a ranking puts first: what the search is compared with at equal count and
//! at equal latency.

use crate::{
    base::{Error, Result},
    learn::{
        derive::{Extent, of_ranking},
        importance::Strengths,
    },
    space::{Operator, SearchSpace, Subnet},
};

/// The network with hidden layers of `widths` on the features that `strengths` puts first, as many as `extent` allows. `must_keep`
/// and `never` of the schema are honoured, and one feature of the item's side is taken in any case.
///
/// Fails when the strengths are of another space, and where [`of_ranking`] does.
pub fn ranked(
    space: &SearchSpace,
    strengths: &Strengths,
    widths: &[usize],
    extent: Extent,
) -> Result<Subnet> {
    let wrong = |problem: String| Error::usage(problem, "rank the features of this space again");
    if strengths.values.len() != space.features.len() {
        return Err(wrong(format!(
            "{} strengths for the {} features of the space",
            strengths.values.len(),
            space.features.len()
        )));
    }
    if let Some(at) = strengths.values.iter().position(|value| !value.is_finite()) {
        let (value, name) = (strengths.values[at], &space.features[at].name);
        return Err(wrong(format!("the strength of `{name}` is {value}")));
    }
    let operators = widths.iter().map(|&width| Operator::Mlp(width)).collect();
    of_ranking(space, &strengths.values, operators, extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::schema::{Feature, Kind, Schema},
        learn::{importance::Method, price_term::Prices, settings::Budget},
        price::{
            fixtures::{feature, schema, space_of},
            linear::LinearPrices,
            target::MeanService,
        },
    };

    const LAYERS: LinearPrices =
        LinearPrices { column_ms: 0.0, slope_ms: 0.01, layer_ms: 0.5, user_share: 1.0, fixed_ms: 1.0 };

    /// Two of the user and three of the item, of width 2; the first costs 4 ms to fetch, the others 1.
    fn features() -> Vec<Feature> {
        let mut features: Vec<_> = (0..5).map(|i| feature(&format!("f{i}"), 2)).collect();
        features[0].kind = Kind::User;
        features[1].kind = Kind::User;
        features[0].fetch_ms = 4.0;
        features
    }

    fn strengths(values: [f64; 5]) -> Strengths {
        Strengths { of: Method::Permutation, values: values.to_vec() }
    }

    #[test]
    fn a_ranking_is_walked_down_to_a_count_or_a_budget() {
        let schema = Schema { gamma_ms: 0.1, ..schema(features()) };
        // The space's own operators are not asked.
        let space = space_of(schema.features.clone(), &[&[64, 0]]);
        let prices = Prices::declared(&schema, &LAYERS, &MeanService);
        // Strengths below 0 rank as others do.
        let order = strengths([0.5, 0.4, -0.3, -0.2, -0.1]);
        let of = |extent| ranked(&space, &order, &[8, 4], extent).unwrap();
        let two = of(Extent::Count(2));
        assert_eq!(two.features, [0, 4], "one of the item is among them");
        assert_eq!(two.operators, [Operator::Mlp(8), Operator::Mlp(4)]);
        assert_eq!(of(Extent::Count(4)).features, [0, 1, 3, 4]);
        let within = |budget_ms| {
            let budget = Budget { budget_ms: Some(budget_ms), ..Budget::default() };
            of(Extent::Within(budget, &prices)).features
        };
        // Layers cost 1 + 3·0.5 + 0.01·(8·4 + 4) = 2.86 and 0.16 per feature, which costs 0.1 more to fetch, the slowest its time.
        let cost = |slowest_ms: f64, count: f64| 2.86 + slowest_ms + 0.26 * count;
        assert_eq!(within(cost(4.0, 2.0) + 1e-9), [0, 4]);
        assert_eq!(within(cost(4.0, 2.0) - 1e-9), [1, 2, 3, 4], "the dear one is passed over");
        assert_eq!(within(cost(1.0, 2.0) + 1e-9), [1, 4]);
    }

    #[test]
    fn what_the_schema_decides_overrules_a_ranking() {
        let mut features = features();
        features[2].must_keep = true;
        features[0].never = true;
        let space = space_of(features, &[&[64, 0]]);
        let chosen = ranked(&space, &strengths([0.9, 0.1, 0.0, 0.5, 0.3]), &[8], Extent::Count(2)).unwrap();
        assert_eq!(chosen.features, [2, 3]);
    }

    #[test]
    fn strengths_of_another_space_are_refused() {
        let space = space_of(features(), &[&[64, 0]]);
        let refused = |values: Vec<f64>| {
            let strengths = Strengths { of: Method::Taylor, values };
            ranked(&space, &strengths, &[8], Extent::Count(2)).unwrap_err().to_string()
        };
        assert!(refused(vec![0.0; 4]).contains("4 strengths for the 5 features"));
        assert!(refused(vec![0.0, 0.0, f64::NAN, 0.0, 0.0]).contains("`f2` is NaN"));
    }
}
