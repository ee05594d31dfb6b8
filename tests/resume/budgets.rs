//! Runs under budgets: stopped again and again they end with the same bytes, and what they find keeps the budgets by the table.

use crate::{EXPERIMENT, dear::with_log, files, scripted::ScriptedMeter};
use autofas_bench::{
    app::{
        config::{Experiment, Override},
        iterate::{Existing, Pareto, Way, iterate, pareto},
    },
    base::{
        Error, Result, fsio,
        progress::{Progress, Silent},
        stop::Stop,
    },
    learn::exchange::Alone,
};
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

const METER: ScriptedMeter<'static> = ScriptedMeter { at: &|_| {} };

fn experiment(folder: &Path, settings: &[(&str, &str)]) -> Experiment {
    let text = EXPERIMENT.replace("rule = \"top_k\"\nk = 9\n", "");
    let every_step = [("checkpoints.every_seconds", "0.0")];
    let small = [("evolution.population", "10"), ("evolution.parents", "4"), ("evolution.generations", "3")];
    let all = every_step.iter().chain(&small).chain(settings);
    let overrides: Vec<_> = all.map(|&(key, value)| Override::parse(key, value)).collect();
    Experiment::parse(&folder.join("e.toml"), &text, &overrides).unwrap()
}

/// Asks to stop after so many events.
struct StopAfter {
    stop: Stop,
    left: AtomicU64,
}

impl StopAfter {
    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.request(15);
        }
    }
}

impl Progress for StopAfter {
    fn stage(&self, _: &str, _: u64) {
        self.count();
    }
    fn advance(&self, _: u64, _: &str) {
        self.count();
    }
    fn say(&self, _: &str) {
        self.count();
    }
}

/// Runs `work` undisturbed in one folder, and in another stopped after a growing number of events: what it gives, which is the same,
/// and so are the files.
fn stopped_again_and_again<T: PartialEq + std::fmt::Debug>(
    folder: &Path,
    work: impl Fn(&Path, &dyn Progress, &Stop) -> Result<T>,
) -> T {
    let (whole, divided) = (folder.join("whole"), folder.join("divided"));
    let wanted = work(&whole, &Silent, &Stop::never()).unwrap();
    let mut legs = 0;
    let found = loop {
        assert!(legs < 200, "no end");
        let stop = Stop::new("go on");
        // Every leg gets farther than the teacher's first steps, and stops at another place.
        let progress = StopAfter { stop: stop.clone(), left: AtomicU64::new(7 + 13 * (legs % 7)) };
        legs += 1;
        match work(&divided, &progress, &stop) {
            Ok(found) => break found,
            Err(error) => assert!(matches!(error, Error::Interrupted { .. }), "{error}"),
        }
    };
    assert!(legs > 5, "it was hardly ever stopped");
    assert_eq!(found, wanted);
    let (wanted_files, left) = (files(&whole), files(&divided));
    assert!(left.keys().eq(wanted_files.keys()), "{:?} {:?}", left.keys(), wanted_files.keys());
    for (name, bytes) in &wanted_files {
        assert!(left[name] == *bytes, "{} differs", name.display());
    }
    wanted
}

fn json(path: &Path) -> serde_json::Value {
    fsio::read_json(path).unwrap()
}

#[test]
fn a_run_under_a_budget_that_is_stopped_again_and_again_ends_with_the_same_bytes() {
    let folder = with_log();
    let folder = folder.path();
    let settings = [("derive.rule", "\"budget\""), ("derive.budget_ms", "1.2"), ("derive.memory_mb", "0.02")];
    let experiment = experiment(folder, &settings);
    let summary = stopped_again_and_again(folder, |run, progress, stop| {
        iterate(&experiment, run, Existing::Resume, &METER, &Alone, progress, stop)
    });
    for round in &summary.rounds {
        let kept = json(&folder.join(format!("whole/rounds/{}/subnet.json", round.round)));
        let repair = &kept["result"]["repair"];
        let number = |key: &str| repair[key].as_f64().unwrap();
        assert!(number("price_ms") <= number("budget_ms") && number("budget_ms") <= 1.2, "{repair}");
        // Exactly what is trained and exported: four bytes a number.
        assert!(number("memory_mb") <= 0.02, "{repair}");
        assert!((number("memory_mb") - 4e-6 * round.network.parameters as f64).abs() < 1e-12, "{repair}");
        let search = json(&folder.join(format!("whole/rounds/{}/search.json", round.round)));
        let epochs = search["result"]["epochs"].as_array().unwrap();
        assert!(epochs.iter().all(|epoch| epoch["lambda"].as_f64().unwrap() > 0.0), "{epochs:?}");
    }
}

#[test]
fn a_choice_that_was_removed_is_searched_again_and_is_the_same() {
    let folder = with_log();
    let folder = folder.path();
    let budget = [("derive.rule", "\"budget\""), ("derive.budget_ms", "1.2"), ("rounds.count", "1")];
    let experiment = experiment(folder, &budget);
    let run = folder.join("run");
    let iterated =
        || iterate(&experiment, &run, Existing::Resume, &METER, &Alone, &Silent, &Stop::never()).unwrap();
    let summary = iterated();
    let before = files(&run);
    for gone in ["rounds/1/subnet.json", "summary.json"] {
        std::fs::remove_file(run.join(gone)).unwrap();
    }
    assert_eq!(iterated(), summary);
    assert_eq!(files(&run), before);
}

#[test]
fn several_budgets_stopped_again_and_again_end_with_the_same_front() {
    let folder = with_log();
    let folder = folder.path();
    let experiment = experiment(folder, &[("pareto.points", "3")]);
    let front: Pareto = stopped_again_and_again(folder, |run, progress, stop| {
        pareto(&experiment, run, Existing::Resume, &METER, &Alone, progress, stop)
    });
    assert_eq!(front.points.len(), 3);
    assert!(front.points.windows(2).all(|pair| pair[0].budget_ms < pair[1].budget_ms), "{front:?}");
    assert!(front.points.iter().any(|point| point.on_front));
    for point in &front.points {
        for candidate in [&point.gradient, &point.evolution] {
            assert!(candidate.predicted_ms <= point.budget_ms, "{point:?}");
        }
        let (won, other) = match point.won {
            Way::Gradient => (&point.gradient, &point.evolution),
            Way::Evolution => (&point.evolution, &point.gradient),
        };
        assert!(won.held_out_auc >= other.held_out_auc && won.subnet == point.network.subnet, "{point:?}");
        assert!(point.replay.is_some() && folder.join("whole").join(&point.network.onnx).exists());
        assert_eq!(point.within, point.measured_ms <= point.budget_ms);
    }
    assert_eq!(json(&folder.join("whole/pareto.json"))["points"].as_array().unwrap().len(), 3);
    // What a network is worth here is told on rows that it was not trained on.
    let judging = std::fs::read(folder.join("whole/teacher/judging.bin")).unwrap();
    let supernet = std::fs::read(folder.join("whole/teacher/supernet.bin")).unwrap();
    let rows = |bytes: &[u8]| -> Vec<u32> {
        bytes.chunks_exact(4).map(|row| u32::from_le_bytes(row.try_into().unwrap())).collect()
    };
    let (judging, supernet) = (rows(&judging), rows(&supernet));
    assert!(!judging.is_empty() && judging.iter().all(|row| !supernet.contains(row)));
}

#[test]
fn a_budget_below_the_cheapest_network_and_budgets_of_a_percentile_are_refused() {
    let folder = with_log();
    let folder = folder.path();
    let refused = |settings: &[(&str, &str)]| {
        let experiment = experiment(folder, settings);
        let run = folder.join(format!("run-{}", settings.len()));
        pareto(&experiment, &run, Existing::Refuse, &METER, &Alone, &Silent, &Stop::never()).unwrap_err()
    };
    let text = refused(&[("pareto.budgets_ms", "[0.01, 5]")]);
    assert!(
        matches!(text, Error::Limit { .. }) && text.to_string().contains("the cheapest network f1-"),
        "{text}"
    );
    let percentile = [
        ("pareto.points", "2"),
        ("derive.rule", "\"budget\""),
        ("derive.objective", "\"p50=9ms\""),
        ("traffic.requests", "100"),
    ];
    assert!(refused(&percentile).to_string().contains("derive.objective"));
}
