//! Runs under budgets: stopped again and again they end with the same bytes, and what they find keeps the budgets by the table.

use crate::{EXPERIMENT, dear::with_log, files, resumed, scripted::ScriptedMeter};
use autofas_bench::{
    app::{
        config::{Experiment, Override, Stage},
        iterate::{Pareto, RunRequest, Way, iterate, pareto},
    },
    base::{Error, Result, fsio, progress::Progress, stop::Stop},
    data::{self, dataset::Split, schema::Schema},
};
use std::{
    collections::BTreeSet,
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

/// Does `work` undisturbed in one folder, and in another stopped after a growing number of events: what it gives, which is the same,
/// and so are the files.
fn stopped_again_and_again<T: PartialEq + std::fmt::Debug>(
    folder: &Path,
    experiment: &Experiment,
    work: impl Fn(RunRequest) -> Result<T>,
) -> T {
    let (whole, divided) = (folder.join("whole"), folder.join("divided"));
    let wanted = work(resumed(experiment, &whole, &METER)).unwrap();
    let mut legs = 0;
    let found = loop {
        assert!(legs < 200, "no end");
        let stop = Stop::new("go on");
        // Every leg gets farther than the teacher's first steps, and stops at another place.
        let progress = StopAfter { stop: stop.clone(), left: AtomicU64::new(7 + 13 * (legs % 7)) };
        legs += 1;
        let request = resumed(experiment, &divided, &METER);
        match work(RunRequest { progress: &progress, stop: Some(&stop), ..request }) {
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
    let summary = stopped_again_and_again(folder, &experiment, iterate);
    for round in &summary.rounds {
        let kept = json(&folder.join(format!("whole/rounds/{}/subnet.json", round.round)));
        let repair = &kept["result"]["repair"];
        let number = |key: &str| repair[key].as_f64().unwrap();
        assert!(number("price_ms") <= number("budget_ms") && number("budget_ms") <= 1.2, "{repair}");
        // The cap holds of what is trained and exported, too: four bytes a number.
        assert!(number("memory_mb") <= 0.02 && 4e-6 * round.network.parameters as f64 <= 0.02, "{repair}");
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
    let iterated = || iterate(resumed(&experiment, &run, &METER)).unwrap();
    let summary = iterated();
    let before = files(&run);
    for gone in [&["rounds/1/subnet.json"][..], &["rounds/1/subnet.json", "rounds/1/derived.json"]] {
        for file in gone.iter().chain(&["summary.json"]) {
            std::fs::remove_file(run.join(file)).unwrap();
        }
        assert_eq!(iterated(), summary);
        assert_eq!(files(&run), before);
    }
    // The network is the best of those that were trained, and none of them was asked about a validation row.
    let found = json(&run.join("rounds/1/subnet.json"));
    let finalists = found["result"]["finalists"].as_array().unwrap();
    let auc = |finalist: &serde_json::Value| finalist["auc"].as_f64().unwrap();
    let most = finalists.iter().map(auc).fold(0.0, f64::max);
    let taken = finalists.iter().find(|f| f["subnet"] == summary.winner.network.subnet.as_str()).unwrap();
    assert_eq!(auc(taken), most, "{finalists:?}");
    assert!(finalists.len() > 1 && finalists.iter().all(|f| f["price_ms"].as_f64().unwrap() <= 1.2));
}

#[test]
fn several_budgets_stopped_again_and_again_end_with_the_same_front() {
    let folder = with_log();
    let folder = folder.path();
    let experiment = experiment(folder, &[("pareto.points", "3")]);
    let front: Pareto = stopped_again_and_again(folder, &experiment, pareto);
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
    let file = folder.join("whole/pareto.json");
    let mut older = json(&file);
    let points = older["points"].as_array_mut().unwrap();
    assert_eq!(points.len(), 3);
    // As it was when no point told whether its time shows anything.
    points.iter_mut().for_each(|point| drop(point.as_object_mut().unwrap().remove("void").unwrap()));
    fsio::write_json(&file, &older).unwrap();
    assert_eq!(pareto(resumed(&experiment, &folder.join("whole"), &METER)).unwrap(), front);
    // What a network is worth is told on rows that the supernet, and the network itself, were not trained on.
    let rows = |file: &str| -> BTreeSet<u32> {
        let bytes = std::fs::read(folder.join("whole").join(file)).unwrap();
        bytes.chunks_exact(4).map(|row| u32::from_le_bytes(row.try_into().unwrap())).collect()
    };
    let judged = rows("teacher/judging.bin");
    assert!(!judged.is_empty() && judged.is_disjoint(&rows("teacher/supernet.bin")));
    // Folds are disjoint, and together all that is trained on.
    let folds = ["judged/fold1.bin", "judged/left1.bin"].map(&rows);
    let trained = ["judged/train1.bin", "judged/train2.bin"].map(&rows);
    let all: BTreeSet<u32> = folds.iter().flatten().copied().collect();
    assert_eq!(folds.iter().map(BTreeSet::len).sum::<usize>(), all.len());
    for (fold, trained) in folds.iter().zip(&trained) {
        assert!(fold.is_disjoint(trained) && fold.len() + trained.len() == all.len());
        assert!(fold.len().abs_diff(all.len() / 2) <= 1);
    }
    let parts = ["teacher/train.bin", "teacher/held_out.bin"].map(&rows);
    assert_eq!(parts.iter().flatten().copied().collect::<BTreeSet<u32>>(), all);
    // And what it is taught there comes from teachers that do not know these rows by heart either.
    let schema = Schema::load(&folder.join("log/schema.toml")).unwrap();
    let (data, seeds) = (folder.join("log/log.parquet"), &experiment.settings.seeds);
    let loaded = data::load(&schema, &data, &experiment.settings.split, seeds.of(Stage::Split)).unwrap();
    let log_loss = |folder_of_teachers: &str, rows: &BTreeSet<u32>| {
        let bytes = std::fs::read(folder.join("whole").join(folder_of_teachers).join("soft.bin")).unwrap();
        let soft: Vec<f32> =
            bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
        let right = |&row: &u32| match loaded.dataset.labels[row as usize] > 0.5 {
            true => soft[row as usize],
            false => 1.0 - soft[row as usize],
        };
        -rows.iter().map(|row| f64::from(right(row)).ln()).sum::<f64>() / rows.len() as f64
    };
    for (fold, trained) in folds.iter().zip(&trained) {
        let list = |rows: &BTreeSet<u32>| rows.iter().copied().collect::<Vec<u32>>().into();
        let hash = Split { train: list(trained), valid: list(fold) }.hash();
        let own = format!("judged/teachers/{}", &hash[..12]);
        assert!(log_loss(&own, fold) > log_loss(&own, trained), "{own}");
        assert!(log_loss(&own, fold) > log_loss("teacher", fold), "{own}");
    }
}

#[test]
fn a_budget_below_the_cheapest_network_and_budgets_of_a_percentile_are_refused() {
    let folder = with_log();
    let folder = folder.path();
    let refused = |settings: &[(&str, &str)]| {
        let experiment = experiment(folder, settings);
        let run = folder.join(format!("run-{}", settings.len()));
        pareto(RunRequest::new(&experiment, &run, &METER)).unwrap_err()
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
