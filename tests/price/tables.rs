//! Files, look-ups and joins.

use crate::{CANDIDATES, context, entry, networks, probed};
use autofas_bench::{
    base::Error,
    price::{
        LayerPrices,
        calibrate::{Evidence, calibrate},
        merge::merge,
        observation::Observation,
        path::{Step, path_ms, steps},
        table::{LatencyTable, Operation, TableContext, TableEntry},
    },
    space::{InputLoad, InputWidths},
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

#[test]
fn tables_of_several_hosts_join_and_each_keeps_its_prices() {
    let here = calibrated();
    let there = TableContext { host: "bbbb".into(), ..context() };
    let mut other = LatencyTable::new("probe");
    other.insert(&there, CANDIDATES, entry(Operation::Layer { from: 64, to: 32 }, 5.0)).unwrap();
    let joined = merge(&[here.clone(), other.clone()]).unwrap();
    assert_eq!((joined.version, joined.parents.clone()), (3, vec![here.id(), other.id()]));
    assert_eq!(joined.prices(&there, CANDIDATES).unwrap().layer_ms(64, 32).unwrap(), 5.0);
    assert_eq!(joined.bucket(&context(), CANDIDATES).unwrap(), &here.buckets[0]);
    assert_eq!(merge(&[other, here]).unwrap().buckets, joined.buckets);
}

#[test]
fn where_tables_disagree_the_better_measured_value_is_kept_and_the_correction_is_fitted_anew() {
    let operation = Operation::Layer { from: 64, to: 32 };
    let (old, mut new) = (calibrated(), probed());
    let mut longer = entry(operation, 0.5);
    longer.samples = 1000;
    new.insert(&context(), CANDIDATES, longer).unwrap();
    let joined = merge(&[old.clone(), new.clone()]).unwrap();
    let bucket = joined.bucket(&context(), CANDIDATES).unwrap();
    assert!(bucket.entries.contains(&longer));
    assert_eq!(bucket.observations, old.buckets[0].observations);
    assert_ne!(bucket.correction, old.buckets[0].correction);
    assert_eq!(merge(&[new, old]).unwrap().buckets, joined.buckets);
}
