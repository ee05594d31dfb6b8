use super::*;
use crate::{
    base::names::Layout,
    data::schema::{Kind, Refresh},
    price::fixtures::{feature, schema},
};
use proptest::prelude::*;

fn features() -> Vec<Feature> {
    [(Source::Matching, 1.0), (Source::Matching, 4.0), (Source::Store, 2.0), (Source::Store, 6.0)]
        .into_iter()
        .map(|(source, fetch_ms)| Feature { source, fetch_ms, ..feature("f", 8) })
        .collect()
}

fn declared_of(features: Vec<Feature>, beta_ms: f64, gamma_ms: f64) -> FeaturePrices {
    FeaturePrices::declared(&Schema { beta_ms, gamma_ms, ..schema(features) })
}

fn declared(beta_ms: f64, gamma_ms: f64) -> FeaturePrices {
    declared_of(features(), beta_ms, gamma_ms)
}

/// Two rows of the store: features 0 and 2 in one, 1 and 3 in the other; 4 comes with the request.
fn rows(fetching: Fetching) -> FeaturePrices {
    let group = |source, trip_ms, features: &[(usize, f64)]| FetchGroup {
        source,
        trip_ms,
        features: features.to_vec(),
    };
    FeaturePrices {
        groups: vec![
            group(Source::Store, 1.0, &[(0, 0.1), (2, 0.3)]),
            group(Source::Store, 0.8, &[(1, 0.2), (3, 0.05)]),
            group(Source::Matching, 0.0, &[(4, 0.4)]),
        ],
        fetching,
        beta_ms: 0.01,
        gamma_ms: 0.02,
    }
}

#[test]
fn the_slower_source_counts_with_its_slowest_feature_and_its_expected_size() {
    // F1: max(0.5, 2) + 0.1·1 = 2.1; F2: max(2, 1.5) + 0.2·1.25 = 2.25.
    let found = declared(0.1, 0.2).expected(&[0.5, 0.5, 1.0, 0.25]);
    assert!((found.ms - 2.25).abs() < 1e-12);
    assert_eq!(found.d_theta, [0.0, 0.0, 2.0 + 0.2, 0.2]);
    // A higher β turns it: 2 + 0.5·1 = 2.5.
    let found = declared(0.5, 0.2).expected(&[0.5, 0.5, 1.0, 0.25]);
    assert!((found.ms - 2.5).abs() < 1e-12);
    assert_eq!(found.d_theta, [0.5, 4.0 + 0.5, 0.0, 0.0]);
}

#[test]
fn what_items_have_rows_for_is_not_fetched() {
    let mut features = features();
    features.iter_mut().for_each(|feature| feature.kind = Kind::Interactive);
    // The slowest of F1 and the one that decides F2.
    for i in [1, 2] {
        (features[i].kind, features[i].refresh) = (Kind::Item, Refresh::Daily);
    }
    let space = SearchSpace::new(features.clone(), vec![]).unwrap();
    let theta = [0.5, 0.5, 1.0, 0.25];
    let prices = declared_of(features, 0.1, 0.2);
    let plain = prices.clone().fetched_in(&space).expected(&theta);
    assert!((plain.ms - 2.25).abs() < 1e-12, "{plain:?}");
    // F1: 0.5 + 0.1·0.5 = 0.55; F2: 1.5 + 0.2·0.25 = 1.55.
    let cached = space.served_in(Layout::ItemCached);
    let found = prices.fetched_in(&cached).expected(&theta);
    assert!((found.ms - 1.55).abs() < 1e-12, "{found:?}");
    assert_eq!(found.d_theta, [0.0, 0.0, 0.0, 6.2]);
    // Rows of two features each: of the first only feature 0 is left, of the second only 3, with their trips.
    let five = [cached.features.clone(), vec![cached.features[0].clone()]].concat();
    let cached = SearchSpace::new(five, vec![]).unwrap().served_in(Layout::ItemCached);
    let left = rows(Fetching::InTurn).fetched_in(&cached);
    let kept: Vec<_> = left.groups.iter().map(|group| (group.trip_ms, group.features.clone())).collect();
    assert_eq!(kept, [(1.0, vec![(0, 0.1)]), (0.8, vec![(3, 0.05)]), (0.0, vec![(4, 0.4)])]);
}

#[test]
fn a_source_without_features_costs_nothing() {
    let matching = declared_of(features()[..2].to_vec(), 0.1, 100.0).expected(&[1.0, 1.0]);
    assert!((matching.ms - 4.2).abs() < 1e-12);
    assert_eq!(declared_of(vec![], 1.0, 1.0).expected(&[]).ms, 0.0);
    // One that expects no feature does not pay either.
    let store_off = declared(0.1, 100.0).expected(&[1.0, 1.0, 0.0, 0.0]);
    assert!((store_off.ms - 4.2).abs() < 1e-12);
}

#[test]
fn a_tie_follows_the_first_feature_of_the_matching_stage() {
    let twins: Vec<Feature> = [Source::Store, Source::Matching, Source::Matching]
        .into_iter()
        .map(|source| Feature { source, fetch_ms: 2.0, ..feature("f", 8) })
        .collect();
    let found = declared_of(twins, 0.0, 0.0).expected(&[0.5, 0.5, 0.5]);
    assert_eq!(found.d_theta, [0.0, 2.0, 0.0]);
}

#[test]
fn the_first_feature_of_a_row_pays_the_trip_and_each_its_own() {
    let ms = |fetching, chosen: &[usize]| rows(fetching).selected_ms(chosen, 5);
    for (chosen, together, in_turn) in [
        (&[][..], 0.0, 0.0),
        (&[0], 1.1 + 0.02, 1.1 + 0.02),
        (&[0, 2], 1.4 + 0.04, 1.4 + 0.04),
        (&[0, 1, 2], 1.4 + 0.06, 2.4 + 0.06),
        (&[4], 0.41, 0.41),
        (&[1, 3, 4], 1.05 + 0.04, 1.05 + 0.04 + 0.41),
    ] {
        assert!((ms(Fetching::Together, chosen) - together).abs() < 1e-12, "{chosen:?}");
        assert!((ms(Fetching::InTurn, chosen) - in_turn).abs() < 1e-12, "{chosen:?}");
    }
}

#[test]
fn in_turn_the_expectation_is_the_mean_over_every_choice() {
    let prices = rows(Fetching::InTurn);
    let theta = [0.3, 0.8, 0.6, 0.25, 0.4];
    let choices = (0..32u32).map(|mask| (0..5).filter(|i| mask >> i & 1 == 1).collect::<Vec<usize>>());
    let mean: f64 = choices
        .map(|chosen| {
            let share = (0..5).map(|i| if chosen.contains(&i) { theta[i] } else { 1.0 - theta[i] });
            share.product::<f64>() * prices.selected_ms(&chosen, 5)
        })
        .sum();
    assert!((prices.expected(&theta).ms - mean).abs() < 1e-12);
}

/// Rows of either source: what the trip costs, and what each of their features adds.
fn any_groups() -> impl Strategy<Value = Vec<FetchGroup>> {
    let row = (any::<bool>(), 0.0f64..3.0, prop::collection::vec(0.0f64..2.0, 1..4));
    prop::collection::vec(row, 1..6).prop_map(|rows| {
        let mut next = 0;
        let group = |(store, trip_ms, own): (bool, f64, Vec<f64>)| {
            let source = if store { Source::Store } else { Source::Matching };
            let features: Vec<(usize, f64)> = (next..).zip(own).collect();
            next += features.len();
            FetchGroup { source, trip_ms, features }
        };
        rows.into_iter().map(group).collect()
    })
}

/// Prices over these rows, in either way to fetch them.
fn any_prices() -> impl Strategy<Value = FeaturePrices> {
    (any_groups(), 0.0f64..0.5, 0.0f64..0.5, any::<bool>()).prop_map(
        |(groups, beta_ms, gamma_ms, in_turn)| {
            let fetching = if in_turn { Fetching::InTurn } else { Fetching::Together };
            FeaturePrices { groups, fetching, beta_ms, gamma_ms }
        },
    )
}

/// More features than [`any_groups`] has.
const MANY: usize = 16;

/// What the features of `chosen` cost as a request waits for them: row by row, and source by source.
fn waited_ms(prices: &FeaturePrices, chosen: impl Fn(usize) -> bool) -> f64 {
    let [mut matching, mut store] = [(0.0f64, 0.0); 2];
    for FetchGroup { source, trip_ms, features } in &prices.groups {
        let own: Vec<f64> =
            features.iter().filter(|(at, _)| chosen(*at)).map(|(_, own_ms)| *own_ms).collect();
        if own.is_empty() {
            continue;
        }
        let (waited, per_feature_ms) = match source {
            Source::Matching => (&mut matching, prices.beta_ms),
            Source::Store => (&mut store, prices.gamma_ms),
        };
        let row_ms = trip_ms + own.iter().sum::<f64>();
        waited.0 = if prices.fetching == Fetching::InTurn { waited.0 + row_ms } else { waited.0.max(row_ms) };
        waited.1 += per_feature_ms * own.len() as f64;
    }
    let [matching, store] = [matching, store].map(|(rows_ms, counted_ms)| rows_ms + counted_ms);
    if prices.fetching == Fetching::InTurn { matching + store } else { matching.max(store) }
}

proptest! {
    #[test]
    fn the_gradient_agrees_with_central_differences(
        theta in proptest::array::uniform5(0.01f64..0.99),
        in_turn: bool,
    ) {
        let prices = rows(if in_turn { Fetching::InTurn } else { Fetching::Together });
        let found = prices.expected(&theta);
        for i in 0..theta.len() {
            let at = |step: f64| {
                let mut moved = theta;
                moved[i] += step;
                prices.expected(&moved)
            };
            let (up, down) = (at(1e-6), at(-1e-6));
            // At a crossing of two maxima there is no slope to compare with.
            prop_assume!((up.d_theta[i] - down.d_theta[i]).abs() < 1e-9);
            prop_assert!(((up.ms - down.ms) / 2e-6 - found.d_theta[i]).abs() < 1e-6, "feature {i}");
        }
    }

    #[test]
    fn a_choice_costs_what_a_request_waits_for_its_rows(prices in any_prices(), mask: u16) {
        let chosen: Vec<usize> = (0..MANY).filter(|i| mask >> i & 1 == 1).collect();
        let (found, wanted) = (prices.selected_ms(&chosen, MANY), waited_ms(&prices, |i| chosen.contains(&i)));
        prop_assert!((found - wanted).abs() < 1e-12, "{:?}: {} ms, not {}", chosen, found, wanted);
    }

    #[test]
    fn a_feature_of_less_theta_never_raises_the_price_and_saves_no_more_than_it_costs_alone(
        prices in any_prices(),
        theta in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0], MANY),
        (changed, share) in (0..MANY, prop_oneof![Just(0.0), 0.0f64..1.0]),
    ) {
        let (mut less, mut alone) = (theta.clone(), vec![0.0; MANY]);
        less[changed] *= share;
        alone[changed] = theta[changed] - less[changed];
        let [more, less, alone] = [&theta, &less, &alone].map(|theta| prices.expected(theta).ms);
        prop_assert!(less <= more + 1e-12, "{} ms with less of {}, {} before", less, changed, more);
        prop_assert!(more - less <= alone + 1e-12, "{} ms saved by {}, which costs {}", more - less, changed, alone);
    }
}
