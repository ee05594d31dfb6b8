//! Files and look-ups.

use crate::{CANDIDATES, context, entry, networks, probed};
use autofas_bench::{
    base::Error,
    price::{
        LayerPrices,
        calibrate::{Evidence, calibrate},
        check::{BucketCheck, repeated},
        observation::Observation,
        path::{Step, path_ms, steps},
        table::{LatencyTable, Operation, RunQuantiles, TableContext, TableEntry},
    },
    space::{InputLoad, InputWidths},
};

pub const INPUT: InputWidths = InputWidths { user: 20.0, item: 50.0 };

pub fn observation(widths: &[usize], measured_ms: f64, noise_pct: f64) -> Observation {
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

/// 30 % more than the layers alone, so that a correction is worth it.
pub fn dearer(widths: &[usize]) -> f64 {
    1.3 * path_ms(widths, INPUT, &probed().prices(&context(), CANDIDATES).unwrap()).unwrap()
}

pub fn calibrated() -> LatencyTable {
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
        let quantiles = RunQuantiles { p50_ms: Some(noise_pct), ..RunQuantiles::default() };
        let odd = TableEntry { quantiles, ..entry(Operation::Layer { from: 64, to: 32 }, 1.0) };
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
    let command = "autofas-bench table probe --config E.toml --encoders ENCODERS.json --engine tract --provider cpu \
                   --layout user-once --precision fp32 --threads 2 --candidates 1000 --out TABLE.json --resume";
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
fn a_missing_price_names_the_command_that_adds_it_to_the_table() {
    let error = probed().prices(&context(), 7).unwrap_err().to_string();
    let command = error.split('`').nth(1).unwrap();
    for expected in ["table probe", "--encoders ENCODERS.json", "--candidates 7", "--out TABLE.json --resume"]
    {
        assert!(command.contains(expected), "{expected}: {error}");
    }
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
