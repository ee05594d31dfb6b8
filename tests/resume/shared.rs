//! Systems of a comparison that are judged on the same folds of the training rows share the teachers of these folds.

use crate::{EXPERIMENT, all_files, dear::with_log, scripted::ScriptedMeter};
use autofas_bench::{
    app::{
        compare::compare,
        config::{Experiment, Override},
        iterate::RunRequest,
    },
    base::progress::Progress,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Mutex,
};

const BUDGET_MS: &str = "1.2";

/// Where teachers of folds are, and what is said when one of them is trained.
const TEACHERS: &str = "judged/teachers/";

/// The trainings of teachers of folds, in their order.
#[derive(Default)]
struct Trained(Mutex<Vec<String>>);

impl Progress for Trained {
    fn stage(&self, what: &str, _: u64) {
        if what.starts_with(TEACHERS) {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }
    fn advance(&self, _: u64, _: &str) {}
    fn say(&self, _: &str) {}
}

/// Compares these systems in `out` of `folder`: the teachers of folds that were trained.
fn compared(folder: &Path, out: &str, systems: &str) -> Vec<String> {
    let text = EXPERIMENT.replace("rule = \"top_k\"\nk = 9\n", "");
    let settings = [
        ("compare.systems", systems),
        ("compare.budgets_ms", &format!("[{BUDGET_MS}]")),
        ("compare.seeds", "1"),
        // The only setting that is tried is taken. It makes the teachers of the guide others than those of a system's own settings.
        ("compare.trials", "1"),
        ("compare.grid.teacher", r#"[["teacher.shared=[6]"]]"#),
        ("compare.widths", "[16, 8]"),
        ("compare.listed_requests", "0"),
        ("compare.resamples", "10"),
    ];
    let overrides: Vec<_> = settings.iter().map(|&(key, value)| Override::parse(key, value)).collect();
    let experiment = Experiment::parse(&folder.join("e.toml"), &text, &overrides).unwrap();
    let (meter, trained) = (ScriptedMeter { at: &|_| {} }, Trained::default());
    let out = folder.join(out);
    compare(RunRequest { progress: &trained, ..RunRequest::new(&experiment, &out, &meter) }).unwrap();
    trained.0.into_inner().unwrap()
}

/// What the comparison `out` has in a folder of its first seed, below these folders of it.
fn kept(folder: &Path, out: &str, unit: &str, below: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = all_files(&folder.join(out).join("seeds/0").join(unit));
    found.retain(|path, _| below.iter().any(|below| path.starts_with(below)));
    assert!(!found.is_empty(), "{out} {unit} {below:?}");
    found
}

#[test]
fn the_second_system_reads_the_teachers_of_its_folds_and_finds_what_it_finds_by_itself() {
    let folder = with_log();
    let folder = folder.path();
    let both = compared(folder, "both", r#"["no-latency", "features-only"]"#);
    let alone = compared(folder, "alone", r#"["features-only"]"#);
    // One of each of the two folds, whoever asks first.
    assert_eq!((both.len(), &both), (2, &alone));
    assert_eq!(both.iter().collect::<BTreeSet<_>>().len(), 2, "{both:?}");
    let guide = |out: &str| kept(folder, out, "guide", &[TEACHERS]);
    assert!(guide("both") == guide("alone"));
    // Made as the teacher is that saw all rows: files of equal networks are equally long.
    let whole = kept(folder, "both", "guide", &["teacher/0.safetensors"]).into_values().next().unwrap().len();
    let weights = guide("both").into_iter().filter(|(path, _)| path.ends_with("0.safetensors"));
    assert_eq!(weights.map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [whole; 2]);

    let [first, second] = ["no-latency", "features-only"].map(|system| format!("{system}-{BUDGET_MS}ms"));
    let of_first = kept(folder, "both", &first, &["judged"]);
    assert!(
        of_first.keys().any(|path| path.ends_with("2.json")),
        "it was judged on both folds: {:?}",
        of_first.keys()
    );
    let of_second = |out: &str| kept(folder, out, &second, &["judged", "search", "networks"]);
    let (read, trained) = (of_second("both"), of_second("alone"));
    assert!(read.keys().eq(trained.keys()), "{:?} {:?}", read.keys(), trained.keys());
    for (name, bytes) in &trained {
        assert!(read[name] == *bytes, "{} differs", name.display());
    }
    let scores = |out: &str| std::fs::read(folder.join(out).join(format!("scores/0/{second}.bin"))).unwrap();
    assert!(scores("both") == scores("alone"));
}
