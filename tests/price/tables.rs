//! Files, look-ups and joins.

use crate::{CANDIDATES, context, entry, networks, probed};
use autofas_bench::{
    base::Error,
    price::{
        LayerPrices,
        calibrate::{Evidence, calibrate},
        check::{BucketCheck, repeated},
        merge::{disagreements, incomplete, merge, other_versions},
        observation::Observation,
        origin::Gathered,
        path::{Step, path_ms, steps},
        table::{LatencyTable, Operation, TableContext, TableEntry, Value},
    },
    space::{Input, InputLoad, InputWidths},
};

const INPUT: InputWidths = InputWidths { user: 20.0, item: 50.0 };

fn observation(widths: &[usize], measured_ms: f64, noise_pct: f64) -> Observation {
    let network = format!("{widths:?}");
    let load = InputLoad::default();
    Observation {
        network,
        widths: widths.to_vec(),
        input: INPUT,
        load,
        measured_ms,
        noise_pct,
        cold_ms: None,
        origin: 0,
    }
}

fn calibrated() -> LatencyTable {
    // All 30 % dearer than their layers alone: a correction is worth it.
    let prices = probed().prices(&context(), CANDIDATES).unwrap();
    let dearer = |widths: &[usize]| 1.3 * path_ms(widths, INPUT, &prices).unwrap();
    let fitted: Vec<_> =
        [(&[64, 32][..], 1.0), (&[32], 0.1 + 0.2), (&[16, 64], 1.0), (&[64], 1.0), (&[32, 16], 2.0)]
            .map(|(widths, noise_pct)| observation(widths, dearer(widths), noise_pct))
            .into();
    let evidence = Evidence { context: &context(), candidates: CANDIDATES, fitted: &fitted, held_out: &[] };
    calibrate(&probed(), &[evidence]).unwrap().0
}

#[test]
fn a_table_read_and_written_again_has_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.json"), folder.path().join("b.json"));
    let table = calibrated();
    table.save(&first).unwrap();
    let read = LatencyTable::load(&first).unwrap();
    assert_eq!(read, table);
    assert_eq!(read.id(), table.id());
    read.save(&second).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
}

#[test]
fn the_order_of_probing_leaves_no_trace_and_a_repeat_replaces() {
    let ordered = probed();
    let mut reversed = LatencyTable::new("probe");
    reversed.insert(&context(), CANDIDATES, entry(ordered.buckets[0].entries[0].operation, 77.0)).unwrap();
    for known in ordered.buckets[0].entries.iter().rev() {
        reversed.insert(&context(), CANDIDATES, *known).unwrap();
    }
    assert_eq!(reversed, ordered);
}

#[test]
fn a_damaged_file_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let refused = |edit: &dyn Fn(&mut LatencyTable)| {
        let mut table = calibrated();
        edit(&mut table);
        table.save(&path).unwrap();
        LatencyTable::load(&path).unwrap_err().to_string()
    };
    let text = refused(&|table| table.schema_version = 9);
    assert!(text.contains("t.json, `schema_version`: is 9"), "{text}");
    // One of an older format has other fields, too: that it is old is said first, and what to do.
    std::fs::write(&path, r#"{"schema_version": 1, "buckets": [{"observations": [{"old": 1}]}]}"#).unwrap();
    let text = LatencyTable::load(&path).unwrap_err().to_string();
    assert!(text.contains("`schema_version`: is 1") && text.contains("table probe"), "{text}");
    let text = refused(&|table| table.buckets[0].entries[3].mean_ms = -1.0);
    assert!(text.contains("at 1000 candidates") && text.contains("-1 ms"), "{text}");
    let text = refused(&|table| {
        let twice = table.buckets[0].entries[3];
        table.buckets[0].entries.insert(3, twice);
    });
    assert!(text.contains("twice"), "{text}");
    assert!(refused(&|table| table.buckets[0].observations.swap(0, 1)).contains("observation"));
    let text = refused(&|table| table.buckets[0].correction.as_mut().unwrap().inner = -0.5);
    assert!(text.contains("correction"), "{text}");
}

#[test]
fn values_that_are_no_latencies_are_not_taken_in() {
    let mut table = probed();
    let before = table.clone();
    for mean_ms in [-0.1, f64::NAN, f64::INFINITY] {
        let operation = Operation::Layer { from: 64, to: 32 };
        assert!(table.insert(&context(), CANDIDATES, entry(operation, mean_ms)).is_err());
    }
    for noise_pct in [-0.1, f64::NAN, f64::INFINITY] {
        let odd = TableEntry { noise_pct, ..entry(Operation::Layer { from: 64, to: 32 }, 1.0) };
        assert!(table.insert(&context(), CANDIDATES, odd).is_err());
        let fitted = [observation(&[64], 1.0, noise_pct)];
        let evidence =
            Evidence { context: &context(), candidates: CANDIDATES, fitted: &fitted, held_out: &[] };
        assert!(calibrate(&table, &[evidence]).is_err());
    }
    assert_eq!(table, before);
}

#[test]
fn probed_points_are_priced_exactly_and_points_between_on_the_plane() {
    let table = probed();
    let prices = table.prices(&context(), CANDIDATES).unwrap();
    for known in &table.buckets[0].entries {
        let found = match known.operation {
            Operation::First { user, item, to } => {
                prices.first_ms(InputWidths { user: user as f64, item: item as f64 }, to).unwrap().ms
            }
            Operation::Call => prices.fixed_ms(),
            Operation::Layer { from, to } => prices.layer_ms(from, to).unwrap(),
        };
        assert!((found - known.mean_ms).abs() < 1e-12, "{}", known.operation);
    }
    let at = |user, item| prices.first_ms(InputWidths { user, item }, 32).unwrap();
    assert!((at(8.0, 28.0).ms - (at(8.0, 16.0).ms + at(8.0, 40.0).ms) / 2.0).abs() < 1e-12);
    let slope = (at(20.0, 50.0 + 1e-4).ms - at(20.0, 50.0 - 1e-4).ms) / 2e-4;
    assert!((at(20.0, 50.0).d_item - slope).abs() < 1e-8);
}

#[test]
fn what_was_not_probed_is_refused_with_the_command_that_probes_it() {
    let table = probed();
    let prices = table.prices(&context(), CANDIDATES).unwrap();
    let command = "autofas-bench table probe --config E.toml --out TABLE.json --engine tract --provider cpu \
                   --layout user-once --precision fp32 --threads 2 --candidates 1000";
    let refused = |error: Error, words: &[&str]| {
        let text = error.to_string();
        assert!(matches!(error, Error::MissingPrice { .. }), "{text}");
        for word in words.iter().chain(&[command]) {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
    };
    refused(prices.layer_ms(64, 128).unwrap_err(), &["layer 64 → 128", "0.23.9"]);
    refused(prices.first_ms(INPUT, 128).unwrap_err(), &["first layer", "→ 128"]);
    let outside = InputWidths { user: 60.0, item: 50.0 };
    refused(prices.first_ms(outside, 64).unwrap_err(), &["user 60.0", "user 8 to 48 and item 16 to 96"]);
}

#[test]
fn prices_do_not_carry_over_to_other_circumstances() {
    let table = probed();
    let text = table.prices(&context(), 2000).unwrap_err().to_string();
    assert!(text.contains("--candidates 2000"), "{text}");
    let other_host = TableContext { host: "ffff".into(), ..context() };
    let text = table.prices(&other_host, CANDIDATES).unwrap_err().to_string();
    assert!(text.contains("host ffff") && text.contains("host a1b2c3d4), which do not carry over"), "{text}");
    let other_version = TableContext { engine_version: "0.24.0".into(), ..context() };
    assert!(table.prices(&other_version, CANDIDATES).is_err());
    let other_threads = TableContext { threads: 1, ..context() };
    let text = table.prices(&other_threads, CANDIDATES).unwrap_err().to_string();
    assert!(!text.contains("carry over") && text.contains("--threads 1"), "{text}");
}

#[test]
fn an_entry_fifty_times_dearer_raises_exactly_the_paths_through_it() {
    let cheap = probed();
    let at =
        cheap.buckets[0].entries.iter().position(|e| e.operation == Operation::Layer { from: 64, to: 16 });
    let mut known = cheap.buckets[0].entries[at.unwrap()];
    let added = 49.0 * known.mean_ms;
    known.mean_ms *= 50.0;
    let mut dear = cheap.clone();
    dear.insert(&context(), CANDIDATES, known).unwrap();
    let before = cheap.prices(&context(), CANDIDATES).unwrap();
    let after = dear.prices(&context(), CANDIDATES).unwrap();
    let mut raised = 0;
    for widths in networks() {
        let passes = steps(&widths).filter(|&step| step == Step::Layer { from: 64, to: 16 }).count();
        let price = |prices: &dyn LayerPrices| path_ms(&widths, INPUT, prices).unwrap();
        assert!((price(&after) - price(&before) - added * passes as f64).abs() < 1e-9, "{widths:?}");
        raised += passes;
    }
    assert!(raised > 0);
}

/// The values of a bucket without where they come from.
fn values(table: &LatencyTable) -> Vec<autofas_bench::price::table::Bucket> {
    let mut buckets = table.buckets.clone();
    for bucket in &mut buckets {
        bucket.entries.iter_mut().for_each(|entry| entry.origin = 0);
        bucket.observations.iter_mut().for_each(|observation| observation.origin = 0);
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
    assert!(error.contains("a network [64]"), "{error}");
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
fn a_missing_price_names_the_command_that_adds_it_to_the_table() {
    let error = probed().prices(&context(), 7).unwrap_err().to_string();
    let command = error.split('`').nth(1).unwrap();
    for expected in ["table probe", "--encoders ENCODERS.json", "--candidates 7", "--out TABLE.json --resume"]
    {
        assert!(command.contains(expected), "{expected}: {error}");
    }
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

fn repeats(factor: f64, second: f64) -> Vec<Observation> {
    let prices = probed().prices(&context(), CANDIDATES).unwrap();
    let network = |widths: Vec<usize>| {
        let ms = factor * path_ms(&widths, INPUT, &prices).unwrap();
        repeated(&observation(&widths, 1.0, 0.0), [ms, second * ms])
    };
    networks().into_iter().map(network).collect()
}

#[test]
fn a_table_that_is_right_or_a_fifth_too_cheap_is_judged_so() {
    let judged = |factor, second| {
        BucketCheck::of(&probed(), &context(), CANDIDATES, &repeats(factor, second)).unwrap().unwrap()
    };
    let right = judged(1.0, 1.0);
    let found = right.agreement;
    assert!(found.mape_pct < 1e-9 && found.noise_pct < 1e-9 && !right.void && right.keeps(0.1));
    assert_eq!((found.networks, found.within_5_pct, found.within_10_pct), (networks().len(), 100.0, 100.0));
    assert_eq!(found.kendall_tau, Some(1.0));
    let cheap = judged(1.25, 1.0);
    let found = cheap.agreement;
    assert!((found.mape_pct - 20.0).abs() < 1e-9 && (found.bias_pct + 20.0).abs() < 1e-9);
    assert_eq!((found.within_10_pct, found.kendall_tau), (0.0, Some(1.0)));
    assert!((cheap.worst.residual_pct + 20.0).abs() < 1e-9 && cheap.keeps(20.1) && !cheap.keeps(19.9));
}

#[test]
fn measurements_that_lie_apart_from_their_repeats_judge_nothing() {
    let judged =
        |second| BucketCheck::of(&probed(), &context(), CANDIDATES, &repeats(1.0, second)).unwrap().unwrap();
    // 1 and 1.1 have the mean 1.05 and lie 0.1 apart.
    let apart = judged(1.1);
    assert!((apart.agreement.noise_pct - 100.0 * 0.1 / 1.05).abs() < 1e-9);
    assert!(apart.void && !apart.keeps(50.0));
    assert!(!judged(1.029).void && judged(1.032).void, "3 % is the border");
    assert_eq!(BucketCheck::of(&probed(), &context(), CANDIDATES, &[]).unwrap(), None);
}
