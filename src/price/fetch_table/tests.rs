use super::*;
use crate::price::fixtures::{feature, schema};

/// Features 0 to 3 in two rows of the store, 4 with the request.
fn shapes() -> Vec<GroupShape> {
    let shape = |name: &str, source, features: &[(usize, usize)]| GroupShape {
        name: name.into(),
        source,
        features: features.to_vec(),
    };
    vec![
        shape("item", Source::Store, &[(0, 4), (2, 8)]),
        shape("pair", Source::Store, &[(1, 4), (3, 4)]),
        shape("request", Source::Matching, &[(4, 4)]),
    ]
}

fn five() -> Schema {
    schema((0..5).map(|i| feature(&format!("f{i}"), 8)).collect())
}

const TRIPS: [f64; 2] = [0.5, 0.3];
const OWN: [f64; 5] = [0.02, 0.01, 0.04, 0.01, 0.05];

/// Every set of features at `scale` times the prices above; with two workers each feature of the store costs 0.006 ms more.
fn observations(scale: f64) -> Vec<FetchObservation> {
    let sets = (1..32u32).map(|mask| (0..5).filter(|i| mask >> i & 1 == 1).collect::<Vec<usize>>());
    let observe = |features: Vec<usize>, workers: usize| {
        let has = |wanted: &[usize]| wanted.iter().any(|w| features.contains(w));
        let stored: Vec<usize> = features.iter().copied().filter(|&f| f < 4).collect();
        let trips =
            [has(&[0, 2]), has(&[1, 3])].into_iter().zip(TRIPS).map(|(paid, ms)| if paid { ms } else { 0.0 });
        let crowd = if workers > 1 { 0.006 * stored.len() as f64 } else { 0.0 };
        FetchObservation {
            fetch_ms: scale * (trips.sum::<f64>() + stored.iter().map(|&f| OWN[f]).sum::<f64>()) + crowd,
            decode_ms: if has(&[4]) { scale * OWN[4] } else { 0.0 },
            held_out: features.len() == 3,
            features,
            workers,
        }
    };
    sets.flat_map(|set| [observe(set.clone(), 1), observe(set, 2)]).collect()
}

/// These, and with caches that something else has taken all of them twice as long for one worker; networks of 2 ms go 63 % of the way.
fn fetches(near: Vec<FetchObservation>) -> Fetches {
    let twice = |o: &FetchObservation| FetchObservation {
        fetch_ms: 2.0 * o.fetch_ms,
        decode_ms: 2.0 * o.decode_ms,
        ..o.clone()
    };
    let displaced = near.iter().filter(|o| o.workers == 1).map(twice).collect();
    let networks =
        [0.5, 1.0, 4.0f64].map(|ms| Displacement { network_ms: ms, share: 1.0 - (-ms / 2.0).exp() });
    Fetches { near, displaced, networks: networks.into() }
}

fn fitted(candidates: usize, scale: f64) -> FetchBucket {
    FetchBucket::fit(&five(), &shapes(), candidates, fetches(observations(scale))).unwrap()
}

fn table(buckets: Vec<FetchBucket>) -> FetchTable {
    FetchTable {
        schema_version: SCHEMA_VERSION,
        schema_hash: five().hash(),
        store: "memory".into(),
        host: "here".into(),
        workers: 2,
        layout: Layout::UserOnce,
        measuring: FetchMeasuring {
            store_rows_hash: "stored".into(),
            data_rows_hash: "asked".into(),
            passes: 7,
            block: 8,
            seed: 1,
            displaced_bytes: 2048,
            engine: EngineName::Null,
        },
        unfinished: Vec::new(),
        buckets,
    }
}

const TWO: Serving = Serving { workers: 2, layout: Layout::UserOnce, network_ms: 0.0 };

#[test]
fn known_prices_are_found_again() {
    let bucket = fitted(1000, 1.0);
    let prices = bucket.prices(&five(), 0.0).unwrap();
    // The request's own comes first.
    let request = &prices.groups[0];
    assert!((request.trip_ms + request.features[0].1 - OWN[4]).abs() < 1e-3, "{request:?}");
    for (group, trip) in prices.groups[1..].iter().zip(TRIPS) {
        assert!((group.trip_ms - trip).abs() < 0.01, "{group:?}");
        for &(feature, own_ms) in &group.features {
            assert!((own_ms - OWN[feature]).abs() < 0.005, "{feature}: {own_ms}");
        }
    }
    assert_eq!(prices.beta_ms, 0.0);
    assert!((prices.gamma_ms - 0.006).abs() < 0.002, "{}", prices.gamma_ms);
    assert_eq!((bucket.fit.fitted, bucket.fit.held_out), (42, 20));
    assert!(bucket.fit.fitted_mape_pct < 1.0 && bucket.fit.held_out_mape_pct < 1.0, "{:?}", bucket.fit);
}

#[test]
fn the_longer_the_network_in_between_the_dearer_are_fetches() {
    let table = table(vec![fitted(1000, 1.0)]);
    assert!((table.buckets[0].displaced.within_ms / 2.0 - 1.0).abs() < 0.01);
    let ms = |network_ms| {
        let serving = Serving { workers: 1, layout: Layout::UserOnce, network_ms };
        table.prices(&five(), 1000, serving).unwrap().selected_ms(&[0, 1, 4], 5)
    };
    let (near, displaced) = (ms(0.0), ms(f64::INFINITY));
    assert!((displaced / near - 2.0).abs() < 0.01, "{near} and {displaced}");
    for network_ms in [0.1, 1.0, 2.0, 9.0f64] {
        let share = 1.0 - (-network_ms / 2.0).exp();
        assert!((ms(network_ms) / (near * (1.0 + share)) - 1.0).abs() < 0.01, "{network_ms}");
    }
}

#[test]
fn a_network_that_nothing_is_known_of_takes_all_caches() {
    let nothing = Fetches { networks: Vec::new(), ..fetches(observations(1.0)) };
    let bucket = FetchBucket::fit(&five(), &shapes(), 1000, nothing).unwrap();
    let shares = [0.0, 1e-9, f64::INFINITY].map(|network_ms| bucket.displaced.share(network_ms));
    assert_eq!((bucket.displaced.within_ms, shares), (0.0, [0.0, 1.0, 1.0]));
}

#[test]
fn held_out_fetches_show_what_the_fit_does_not_know() {
    let mut observations = observations(1.0);
    observations.iter_mut().filter(|o| o.held_out).for_each(|o| o.fetch_ms *= 2.0);
    let fit = FetchBucket::fit(&five(), &shapes(), 1000, fetches(observations)).unwrap().fit;
    assert!(fit.fitted_mape_pct < 1.0 && fit.held_out_mape_pct > 30.0, "{fit:?}");
}

#[test]
fn a_source_that_was_never_fetched_has_no_price() {
    let mut observations = observations(1.0);
    observations.retain(|o| !o.features.contains(&4));
    let error = FetchBucket::fit(&five(), &shapes(), 1000, fetches(observations)).unwrap_err().to_string();
    assert!(error.contains("Matching"), "{error}");
}

#[test]
fn between_two_counts_prices_are_linear_and_outside_there_are_none() {
    let table = table(vec![fitted(1000, 1.0), fitted(3000, 3.0)]);
    let all = [0, 1, 2, 3, 4];
    let ms = |candidates| table.prices(&five(), candidates, TWO).map(|prices| prices.selected_ms(&all, 5));
    let (low, high) = (ms(1000).unwrap(), ms(3000).unwrap());
    assert!((low - TRIPS.iter().chain(&OWN).sum::<f64>() - 4.0 * 0.006).abs() < 0.01, "{low}");
    assert!((ms(1500).unwrap() - (0.75 * low + 0.25 * high)).abs() < 1e-9);
    for outside in [999, 3001] {
        let error = ms(outside).unwrap_err().to_string();
        assert!(error.contains("store price --candidates") && error.contains("1000 to 3000"), "{error}");
    }
}

#[test]
fn a_file_is_read_back_and_a_damaged_one_names_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fetch.json");
    let good = table(vec![fitted(1000, 1.0), fitted(3000, 3.0)]);
    good.save(&path).unwrap();
    assert_eq!(FetchTable::load(&path).unwrap(), good);
    let damaged = |damage: fn(&mut FetchTable)| {
        let mut table = good.clone();
        damage(&mut table);
        table.save(&path).unwrap();
        FetchTable::load(&path).unwrap_err().to_string()
    };
    for (damage, expected) in [
        ((|t| t.schema_version = 9) as fn(&mut FetchTable), "schema_version"),
        (|t| t.buckets.reverse(), "out of order"),
        (|t| t.buckets.clear(), "has none"),
        (|t| t.buckets[1].groups[1].trip_ms = -1.0, "at 3000 candidates"),
        (|t| t.buckets[1].displaced.groups[0].trip_ms = -1.0, "at 3000 candidates"),
        (|t| t.buckets[1].displaced.within_ms = -1.0, "at 3000 candidates"),
        (|t| t.buckets[1].groups.truncate(2), "the same rows"),
        (|t| t.buckets[0].displaced.groups.truncate(2), "the same rows"),
        (|t| t.unfinished = vec![5000, 9000], "for 5000, 9000 candidates are not measured yet; go on with"),
    ] {
        let error = damaged(damage);
        assert!(error.contains("fetch.json") && error.contains(expected), "{error}");
    }
    // Another version has other fields.
    fsio::write(&path, br#"{"schema_version": 1, "what": "ever"}"#).unwrap();
    let error = FetchTable::load(&path).unwrap_err().to_string();
    assert!(error.contains("`schema_version`: is 1, this program reads 5"), "{error}");
}

#[test]
fn prices_of_another_schema_are_refused() {
    let other = schema(vec![feature("x", 8)]);
    let error = table(vec![fitted(1000, 1.0)]).prices(&other, 1000, TWO).unwrap_err().to_string();
    assert!(error.contains("another schema") && error.contains("store price"), "{error}");
}

#[test]
fn prices_hold_for_the_workers_and_the_layout_that_they_were_measured_for() {
    let table = table(vec![fitted(1000, 1.0)]);
    let of = |workers, layout| table.prices(&five(), 1000, Serving { workers, layout, network_ms: 0.0 });
    let (alone, crowded) = (of(1, Layout::UserOnce).unwrap(), of(2, Layout::ItemCachedI8).unwrap());
    // One worker is in nobody's way, whatever else was measured.
    assert_eq!((alone.beta_ms, alone.gamma_ms), (0.0, 0.0));
    assert!(crowded.gamma_ms > 0.004 && crowded.groups == alone.groups);
    let workers = of(4, Layout::UserOnce).unwrap_err().to_string();
    assert!(
        workers.contains("with 2 workers at once") && workers.contains("store price --workers 4"),
        "{workers}"
    );
    let layout = of(2, Layout::Concat).unwrap_err().to_string();
    assert!(
        layout.contains("layout user-once") && layout.contains("store price --layout concat"),
        "{layout}"
    );
}

#[test]
fn a_begun_table_goes_on_with_the_counts_that_it_lacks_and_with_the_same_store_only() {
    let empty = |unfinished: &[usize]| FetchTable { unfinished: unfinished.to_vec(), ..table(Vec::new()) };
    let mut begun = empty(&[3000, 1000, 1000]);
    begun.go_on(None).unwrap();
    assert_eq!(begun.unfinished, [1000, 3000]);
    begun.add(fitted(1000, 1.0));
    assert_eq!(begun.unfinished, [3000]);
    let mut again = empty(&[100, 1000, 3000]);
    again.go_on(Some(begun.clone())).unwrap();
    assert_eq!((again.unfinished.as_slice(), &again.buckets), (&[100, 3000][..], &begun.buckets));
    // What was left to be measured is left, whatever is asked for now.
    let mut less = empty(&[1000]);
    less.go_on(Some(begun.clone())).unwrap();
    assert_eq!(less.unfinished, [3000]);
    again.add(fitted(100, 0.1));
    let counts: Vec<usize> = again.buckets.iter().map(|bucket| bucket.candidates).collect();
    assert_eq!(counts, [100, 1000]);
    let refused = |change: fn(&mut FetchTable), expected: &str| {
        let mut other = empty(&[1000]);
        change(&mut other);
        let error = other.go_on(Some(begun.clone())).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("without --resume"), "{error}");
    };
    refused(|t| t.store = "redis".into(), "begun for store memory, and not for store redis");
    refused(|t| t.measuring.store_rows_hash = "new".into(), "rows stored in the store, and not for rows new");
    refused(|t| t.measuring.data_rows_hash = "new".into(), "rows asked of the data, and not for rows new");
    refused(|t| t.measuring.passes = 1, "begun for 7 passes, and not for 1 passes");
    refused(|t| t.measuring.block = 1, "blocks of 8, and not for blocks of 1");
    refused(|t| t.measuring.engine = EngineName::Tract, "networks on null, and not for networks on tract");
    refused(|t| t.measuring.seed = 2, "begun for seed 1, and not for seed 2");
}

#[test]
fn fetches_of_no_time_are_judged_without_a_division_by_nothing() {
    let mut observations = observations(1.0);
    let nothing = |o: &&mut FetchObservation| o.features == [4];
    observations.iter_mut().filter(nothing).for_each(|o| (o.fetch_ms, o.decode_ms) = (0.0, 0.0));
    let fit = FetchBucket::fit(&five(), &shapes(), 1000, fetches(observations)).unwrap().fit;
    assert!(fit.fitted_mape_pct.is_finite() && fit.held_out_mape_pct.is_finite(), "{fit:?}");
}

#[test]
fn trips_keep_their_price_where_features_are_many_and_cheap() {
    const TRIP_MS: f64 = 0.043;
    const OWN_MS: f64 = 0.001;
    let of_row = |row: usize| (0..30).map(move |i| 30 * row + i);
    let groups: Vec<GroupShape> = (0..2)
        .map(|row| GroupShape {
            name: format!("row {row}"),
            source: Source::Store,
            features: of_row(row).map(|feature| (feature, 4)).collect(),
        })
        .collect();
    // From few to all features of the first row, of the second, and of both.
    let rows: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
    let sets = rows.iter().flat_map(|rows| {
        [2, 8, 15, 30]
            .map(|count| rows.iter().flat_map(|&row| of_row(row).take(count)).collect::<Vec<usize>>())
    });
    let exact = |features: Vec<usize>| FetchObservation {
        fetch_ms: OWN_MS * features.len() as f64
            + TRIP_MS * (0..2).filter(|&row| of_row(row).any(|f| features.contains(&f))).count() as f64,
        decode_ms: 0.0,
        held_out: false,
        features,
        workers: 1,
    };
    let sixty = schema((0..60).map(|i| feature(&format!("f{i}"), 8)).collect());
    let bucket = FetchBucket::fit(&sixty, &groups, 300, fetches(sets.map(exact).collect())).unwrap();
    for group in &bucket.groups {
        assert!((group.trip_ms / TRIP_MS - 1.0).abs() < 0.01, "{group:?}");
    }
}
