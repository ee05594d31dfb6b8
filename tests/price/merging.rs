//! Tables that are joined, and what does not go together.

use crate::{
    CANDIDATES, context, entry, networks, probed,
    tables::{INPUT, calibrated, observation},
};
use autofas_bench::{
    price::{
        LayerPrices,
        calibrate::{Evidence, calibrate},
        merge::{disagreements, incomplete, merge, other_versions},
        origin::Gathered,
        path::path_ms,
        table::{Bucket, LatencyTable, Operation, TableContext, TableEntry, Value},
    },
    space::{Input, InputLoad, InputWidths},
};
use proptest::prelude::*;

/// The values of a bucket without where they come from.
pub fn values(table: &LatencyTable) -> Vec<Bucket> {
    let mut buckets = table.buckets.clone();
    for bucket in &mut buckets {
        bucket.entries.iter_mut().for_each(|entry| entry.origin = 0);
        bucket.inputs.iter_mut().for_each(|entry| entry.origin = 0);
        let networks = bucket.observations.iter_mut().chain(&mut bucket.held_out);
        networks.for_each(|network| network.origin = 0);
        // Known once a table was corrected as a whole.
        bucket.between_widths = None;
    }
    buckets
}

#[test]
fn tables_of_several_hosts_join_and_each_keeps_its_prices_and_its_origin() {
    let here = calibrated();
    let there = TableContext { host: "bbbb".into(), ..context() };
    let mut other = LatencyTable::new("probe");
    other.insert(&there, CANDIDATES, entry(Operation::Layer { from: 64, to: 32 }, 5.0)).unwrap();
    other.state_origin(Some(1_700_000_000), None);
    let joined = merge(&[here.clone(), other.clone()]).unwrap();
    assert_eq!((joined.version, joined.parents.clone()), (3, vec![here.id(), other.id()]));
    assert_eq!(joined.prices(&there, CANDIDATES).unwrap().layer_ms(64, 32).unwrap(), 5.0);
    assert_eq!(joined.bucket(&context(), CANDIDATES).unwrap().correction, here.buckets[0].correction);
    assert_eq!(values(&joined)[0], values(&here)[0]);
    assert_eq!(merge(&[other.clone(), here.clone()]).unwrap().buckets, joined.buckets);

    let origin = |table: &LatencyTable, context: &TableContext| {
        let bucket = table.bucket(context, CANDIDATES).unwrap();
        table.origins[bucket.entries[0].origin].clone()
    };
    let (local, foreign) = (origin(&joined, &context()), origin(&joined, &there));
    assert_eq!((local.host.as_str(), local.measured_unix_s), ("a1b2c3d4", None));
    assert_eq!((foreign.host.as_str(), foreign.measured_unix_s), ("bbbb", Some(1_700_000_000)));
    assert_eq!((local.table, foreign.table.clone()), (Some(here.id()), Some(other.id())));
    // A join of a join still knows the first table.
    let again = merge(&[joined.clone(), probed()]).unwrap();
    assert_eq!(origin(&again, &there).table, Some(other.id()));
    let file = tempfile::tempdir().unwrap().path().join("joined.json");
    joined.save(&file).unwrap();
    assert_eq!(LatencyTable::load(&file).unwrap(), joined);
    let mut lost = joined;
    lost.origins.truncate(1);
    lost.save(&file).unwrap();
    assert!(LatencyTable::load(&file).unwrap_err().to_string().contains("`origins`: has no number 1"));
}

#[test]
fn shards_join_to_what_one_probing_gives() {
    let whole = calibrated();
    let shards = [0, 1, 2].map(|part| {
        let mut shard = LatencyTable::new("shard");
        for (at, known) in whole.buckets[0].entries.iter().enumerate() {
            if at % 3 == part {
                shard.insert(&context(), CANDIDATES, *known).unwrap();
            }
        }
        let networks = whole.buckets[0].observations.iter().enumerate().filter(|(at, _)| at % 3 == part);
        for (_, network) in networks {
            let network = Value::Network(network.clone());
            shard.insert_value(&context(), CANDIDATES, network).unwrap();
        }
        shard
    });
    let joined = merge(&shards).unwrap();
    assert_eq!(values(&joined), values(&whole), "the correction is fitted to all networks at once");
    assert!(incomplete(&joined).is_empty() && disagreements(&shards).is_empty());
    // Without one of them some networks correct nothing, and that is known; with it later everything is there.
    let part = merge(&shards[..2]).unwrap();
    assert!(matches!(incomplete(&part)[..], [(_, CANDIDATES, 1..)]), "{:?}", incomplete(&part));
    assert_eq!(values(&merge(&[part, shards[2].clone()]).unwrap()), values(&whole));
}

#[test]
fn where_tables_disagree_the_better_measured_value_is_kept_and_the_correction_is_fitted_anew() {
    let operation = Operation::Layer { from: 64, to: 32 };
    let (old, mut new) = (calibrated(), probed());
    let known = probed().buckets[0].entries.iter().find(|e| e.operation == operation).copied().unwrap();
    let longer = TableEntry { samples: 1000, mean_ms: 1.1 * known.mean_ms, ..known };
    new.insert(&context(), CANDIDATES, longer).unwrap();
    let joined = merge(&[old.clone(), new.clone()]).unwrap();
    let bucket = joined.bucket(&context(), CANDIDATES).unwrap();
    let kept = bucket.entries.iter().find(|e| e.operation == operation).unwrap();
    assert_eq!((kept.mean_ms, kept.samples), (longer.mean_ms, 1000));
    assert_eq!(joined.origins[kept.origin].table, Some(new.id()));
    assert_eq!(bucket.observations.len(), old.buckets[0].observations.len());
    assert_ne!(bucket.correction, old.buckets[0].correction);
    assert_eq!(merge(&[new.clone(), old.clone()]).unwrap().buckets, joined.buckets);
    let found = disagreements(&[old, new]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((found[0].apart_pct - 10.0).abs() < 1e-6 && !found[0].contradicts(), "{found:?}");
}

#[test]
fn tables_that_contradict_each_other_are_refused_and_noise_is_no_contradiction() {
    let operation = Operation::Layer { from: 64, to: 32 };
    let known = probed().buckets[0].entries.iter().find(|e| e.operation == operation).copied().unwrap();
    let with = |factor: f64, noise_pct: f64| {
        let mut table = probed();
        let odd = TableEntry { mean_ms: factor * known.mean_ms, noise_pct, ..known };
        table.insert(&context(), CANDIDATES, odd).unwrap();
        table
    };
    let wrong = with(2.0, 0.5);
    let error = merge(&[probed(), wrong.clone()]).unwrap_err().to_string();
    for expected in ["layer 64 → 32", "contradict", "100 % apart", &probed().id(), &wrong.id(), "table probe"]
    {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(disagreements(&[probed(), wrong])[0].contradicts());
    assert_eq!(disagreements(&[probed(), with(1.02, 0.5)]), [], "two processes differ by that much");
    assert_eq!(disagreements(&[probed(), with(1.3, 20.0)]), [], "so does a noisy value");
    merge(&[probed(), with(1.3, 20.0)]).unwrap();
    // A network that costs something else elsewhere.
    let measured = |ms: f64| {
        let network = Value::Network(observation(&[64], ms, 1.0));
        let mut table = probed();
        table.insert_value(&context(), CANDIDATES, network).unwrap();
        table
    };
    let error = merge(&[measured(1.0), measured(1.5)]).unwrap_err().to_string();
    let name = observation(&[64], 1.0, 1.0).network;
    assert!(error.contains(&format!("network {name} of ")), "{error}");
}

#[test]
fn first_layers_over_other_embedding_tables_do_not_join() {
    let stated = |features: &str, grid: &str| {
        let mut table = probed();
        table.state_origin(None, Some(Gathered { features: features.into(), grid: grid.into() }));
        table
    };
    merge(&[stated("a", "g"), stated("a", "g"), probed()]).unwrap();
    let refused = |other| merge(&[stated("a", "g"), other]).unwrap_err().to_string();
    let error = refused(stated("b", "g"));
    assert!(
        error.contains("other features or embedding tables") && error.contains("--cardinality"),
        "{error}"
    );
    let error = refused(stated("a", "h"));
    assert!(
        error.contains("stand for their widths with other features") && error.contains("seeds.probe"),
        "{error}"
    );
    // What an experiment asks of a table.
    let ask = |features| stated("a", "g").check_features(&context(), CANDIDATES, features, "");
    ask("a").unwrap();
    let error = ask("b").unwrap_err().to_string();
    assert!(error.contains("--encoders ENCODERS.json") && error.contains("into a new file"), "{error}");
    probed().check_features(&context(), CANDIDATES, "b", "").unwrap();
}

#[test]
fn first_layers_of_equal_widths_over_other_features_are_never_mixed() {
    let operation = Operation::First { user: 8, item: 16, to: 64 };
    let of = |ids: f64| {
        let mut load = InputLoad::default();
        load.item.ids = ids;
        Value::Grid(entry(operation, 1.0), Input { widths: InputWidths { user: 8.0, item: 16.0 }, load })
    };
    let table = |ids| {
        let mut table = probed();
        table.insert_value(&context(), CANDIDATES, of(ids)).unwrap();
        table
    };
    merge(&[table(2.0), table(2.0)]).unwrap();
    let error = merge(&[table(2.0), table(4.0)]).unwrap_err().to_string();
    assert!(error.contains("user 8, item 16") && error.contains("other features"), "{error}");
    let error = table(2.0).insert_value(&context(), CANDIDATES, of(4.0)).unwrap_err().to_string();
    assert!(error.contains("user 8, item 16") && error.contains("into a new file"), "{error}");
}

#[test]
fn what_held_out_networks_rejected_does_not_come_back_with_a_merge() {
    let prices = probed().prices(&context(), CANDIDATES).unwrap();
    let measured = |factor: f64, widths: &[usize]| {
        observation(widths, factor * path_ms(widths, INPUT, &prices).unwrap(), 1.0)
    };
    let (learnt, judges) = networks().into_iter().partition::<Vec<_>, _>(|widths| widths.len() < 3);
    let fitted: Vec<_> = learnt.iter().map(|widths| measured(1.3, widths)).collect();
    let held_out: Vec<_> = judges.iter().map(|widths| measured(1.0, widths)).collect();
    let evidence =
        Evidence { context: &context(), candidates: CANDIDATES, fitted: &fitted, held_out: &held_out };
    let (table, calibrations) = calibrate(&probed(), &[evidence]).unwrap();
    assert!(calibrations[0].choice.rejected.is_some() && table.buckets[0].correction.is_none());
    // By itself, and with values of another table that are new to it.
    let mut more = LatencyTable::new("more");
    more.insert(&context(), CANDIDATES, entry(Operation::Layer { from: 8, to: 8 }, 0.1)).unwrap();
    for tables in [vec![table.clone()], vec![table.clone(), more.clone()], vec![more.clone(), table.clone()]]
    {
        assert_eq!(merge(&tables).unwrap().buckets[0].correction, None, "{}", tables.len());
    }
    // Judges of the same kind bear it out.
    let held_out: Vec<_> = judges.iter().map(|widths| measured(1.3, widths)).collect();
    let evidence =
        Evidence { context: &context(), candidates: CANDIDATES, fitted: &fitted, held_out: &held_out };
    let (table, _) = calibrate(&probed(), &[evidence]).unwrap();
    assert!(merge(&[table, more]).unwrap().buckets[0].correction.is_some());
}

#[test]
fn networks_with_layers_without_a_price_correct_nothing_and_are_counted() {
    let strange = observation(&[99], 1.0, 1.0);
    let mut table = probed();
    table.insert_value(&context(), CANDIDATES, Value::Network(strange)).unwrap();
    assert_eq!(incomplete(&table), [(&context(), CANDIDATES, 1)]);
    let known = calibrated().buckets[0].observations.clone();
    let evidence = Evidence { context: &context(), candidates: CANDIDATES, fitted: &known, held_out: &[] };
    let (with, choices) = calibrate(&table, &[evidence]).unwrap();
    let choice = choices[0].choice;
    assert_eq!((choice.unpriced, choice.judges), (1, known.len()));
    assert!(choice.to_string().contains("1 network with layers without a price left out"), "{choice}");
    assert_eq!(with.buckets[0].correction, calibrated().buckets[0].correction);
    assert_eq!(choices[0].after.fitted_networks.len(), known.len());
    let prices = probed().prices(&context(), CANDIDATES).unwrap();
    prices.check_grid(64).unwrap();
    assert!(prices.check_grid(99).unwrap_err().to_string().contains("→ 99"));
}

#[test]
fn engines_of_several_versions_stand_side_by_side() {
    let newer = TableContext { engine_version: "0.24.0".into(), ..context() };
    let mut other = LatencyTable::new("probe");
    other.insert(&newer, CANDIDATES, entry(Operation::Layer { from: 64, to: 32 }, 9.0)).unwrap();
    let joined = merge(&[probed(), other]).unwrap();
    assert_eq!(joined.buckets.len(), 2);
    assert_eq!(other_versions(&joined), [(context(), newer)]);
    assert_eq!(other_versions(&probed()), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sound_table_reads_back_equal_and_has_the_same_bytes_again(
        layers in prop::collection::btree_map((1usize..5000, 1usize..5000), (1u64.., 0.0f64..1e9, 0.0f64..1e6), 1..20),
        (candidates, host) in (1usize.., "[ -~é\u{1F600}]{0,12}"),
        measured_ms in 1e-300f64..1e300,
    ) {
        let context = TableContext { host, ..context() };
        let mut table = LatencyTable::new("any");
        for ((from, to), (samples, mean_ms, noise_pct)) in layers {
            let layer = entry(Operation::Layer { from, to }, mean_ms);
            table.insert(&context, candidates, TableEntry { samples, noise_pct, ..layer }).unwrap();
        }
        let network = Value::Network(observation(&[7], measured_ms, 0.1));
        table.insert_value(&context, candidates, network).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.json", "b.json"].map(|name| folder.path().join(name));
        table.save(&first).unwrap();
        let read = LatencyTable::load(&first).unwrap();
        prop_assert_eq!(&read, &table);
        read.save(&second).unwrap();
        prop_assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    }
}
