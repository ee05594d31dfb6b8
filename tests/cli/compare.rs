//! Systems beside each other, from outside.

use crate::{
    dry::{check_teachers, room_of_teachers},
    report,
    run::csv_log,
    stopping::{Running, To},
    world::{failure, json, output, program},
};
use autofas_bench::{app::compare::Comparison, learn::network::Network};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A log of three features with a table for its layers.
fn priced(folder: &Path) {
    csv_log(folder, "0");
    output(folder, &["data", "encode", "--config", "c.toml", "--out", "encoded"]);
    let probe = ["table", "probe", "--config", "c.toml", "--engine", "tract", "--out", "t.json"];
    output(folder, &[&probe[..], &["--encoders", "encoded/encoders.json"]].concat());
}

/// Two systems at one budget with two seeds, all of it from one table.
fn compare<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["compare", "--config", "c.toml", "--out", out, "--table", "t.json"];
    let size = ["--seeds", "2", "--budgets", "50", "--systems", "autofas,rd"];
    let set = [
        "--set",
        "target.engines=[\"tract\"]",
        "--set",
        "target.engine=tract",
        "--set",
        "compare.widths=[16, 8]",
        "--set",
        "compare.trials=2",
        "--set",
        "compare.listed_requests=5",
        "--set",
        "compare.at=[20]",
        "--set",
        "compare.resamples=100",
    ];
    [&own[..], &size, &set, more].concat()
}

/// Without what differs from one time to the next.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for times in ["latency", "fetch", "inference", "total", "compute", "invalid_replays"] {
                fields.remove(times);
            }
            fields.retain(|key, _| !key.ends_with("_s") && key != "seconds");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

#[test]
fn a_comparison_that_was_killed_goes_on_and_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    priced(here);
    let plan = json(here, &compare("whole", &["--dry-run"]));
    assert!(!here.join("whole").exists());
    let mut whole = json(here, &compare("whole", &[]));
    as_planned(&plan, &whole, &here.join("whole"));
    let again = json(here, &compare("whole", &["--resume", "--dry-run"]));
    assert_eq!((&again["state"], &again["steps"]), (&"finished".into(), &Value::Array(vec![])));
    assert_eq!(whole["trainings"].as_array().unwrap().len(), 4);
    let trained = |training: &Value| training["outcome"]["trained"].clone();
    for training in whole["trainings"].as_array().unwrap() {
        let found = trained(training);
        assert!(found["metrics"]["auc"].as_f64().unwrap() > 0.0, "{training}");
        assert!(found["latency"]["total"]["mean_ms"].as_f64().unwrap() > 0.1, "{training}");
        assert_eq!(found["latency"]["fetched"], "declared-price");
        assert!(found["top_lists"]["overlap_at"]["20"].as_f64().unwrap() > 0.0, "{training}");
        assert!(here.join("whole").join(found["onnx"].as_str().unwrap()).is_file());
        let scores = fs::metadata(here.join("whole").join(found["scores"].as_str().unwrap())).unwrap();
        assert_eq!(scores.len(), 4 * whole["setup"]["valid_rows"].as_u64().unwrap());
    }
    // Both tests are made of what each training shows.
    let auc = |at: usize| trained(&whole["trainings"][at])["metrics"]["auc"].as_f64().unwrap();
    let differences = [auc(0) - auc(2), auc(1) - auc(3)];
    let against = &whole["against"][0];
    assert_eq!((&against["system"], &against["seeds"]), (&"rd".into(), &2.into()));
    let mean = against["auc_difference"].as_f64().unwrap();
    assert!((mean - (differences[0] + differences[1]) / 2.0).abs() < 1e-12, "{against}");
    assert_eq!(against["over_seeds"]["pairs"], 2);
    assert_eq!(against["over_users"]["draws"], 100);
    let trials = whole["trials"].as_array().unwrap();
    let tried: Vec<_> = trials.iter().map(|log| log["trials"].as_array().unwrap().len()).collect();
    assert_eq!(tried, [2, 2, 2], "autofas, rd and the teacher that guides them");
    assert!(trials.iter().all(|log| log["trials"][0]["auc"].as_f64().unwrap() > 0.0));

    let mut running = Running::start(here, &compare("killed", &[]));
    running.wait_for("training 2 of 4");
    running.wait_for("train …");
    running.signal("KILL", To::Parent);
    assert!(!running.wait().success());
    assert!(failure(here, 2, &compare("killed", &[])).contains("--resume"));
    let mut killed = json(here, &compare("killed", &["--resume"]));
    without_times(&mut killed);
    without_times(&mut whole);
    assert_eq!(killed, whole);
    what_is_stored_is_not_waited_for(here);

    // More systems join those that are there.
    let more = compare("whole", &["--resume"]).into_iter();
    let more: Vec<&str> =
        more.map(|word| if word == "autofas,rd" { "plain-dnn,teacher" } else { word }).collect();
    let joined = json(here, &more);
    let systems: Vec<_> = joined["systems"].as_array().unwrap().iter().map(|s| &s["system"]).collect();
    assert_eq!(systems, ["autofas", "rd", "plain-dnn", "teacher"]);
    the_teacher_ranks_as_it_teaches(&joined);
    let mut before: Vec<Value> = joined["trainings"].as_array().unwrap()[..4].to_vec();
    before.iter_mut().for_each(without_times);
    assert_eq!(Value::Array(before), whole["trainings"]);

    // As writes leave it that are not over, or were killed.
    let unfinished = here.join("whole/results/0/.autofas-tmp-x1");
    fs::write(&unfinished, "{").unwrap();
    let rendered = json(here, &["compare", "--render", "whole"]);
    assert_eq!(rendered, joined);
    fs::remove_file(unfinished).unwrap();
    let markdown = fs::read_to_string(here.join("whole/compare.md")).unwrap();
    assert!(markdown.contains("## Within 50 ms") && markdown.contains("| plain-dnn |"), "{markdown}");
    assert_eq!(output(here, &["compare", "--render", "whole"]).trim_end(), markdown.trim_end());
    let picture = fs::read_to_string(here.join("whole/compare.svg")).unwrap();
    assert!(["autofas", "plain-dnn", "teacher"].iter().all(|name| picture.contains(name)), "{picture}");
    the_schema_in_docs_of_comparisons(&rendered);
    let page = report::checked(here, "whole", "whole/report.html");
    assert!(
        ["autofas", "plain-dnn", "teacher"]
            .iter()
            .all(|name| page.contains(&format!("<span class=\"keep\">{name}</span>")))
    );
    assert_eq!(json(here, &["report", "--run", "whole"])["html"], "whole/report.html");
    assert_eq!(fs::read_to_string(here.join("whole/report.html")).unwrap(), page);
    who_is_above_the_budget_is_marked(here, &page);
}

/// Beside the budget, which with AUC and time stands before all that may scroll.
fn who_is_above_the_budget_is_marked(here: &Path, page: &str) {
    let header = page.split("<thead>").nth(1).unwrap();
    let places: Vec<usize> = ["system<", "budget, ms<", "AUC<", "total, ms<", "features<"]
        .iter()
        .map(|column| header.find(column).unwrap_or_else(|| panic!("{column}: {header}")))
        .collect();
    assert!(places.is_sorted(), "{header}");
    for seed in 0..2 {
        let file = here.join(format!("whole/results/{seed}/rd-50ms.json"));
        let mut training: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let times = &mut training["result"]["outcome"]["trained"]["latency"];
        times["fetch"]["mean_ms"] = 60.0.into();
        times["inference"]["mean_ms"] = 15.0.into();
        fs::write(&file, training.to_string()).unwrap();
    }
    output(here, &["report", "--run", "whole"]);
    let read = |file: &str| fs::read_to_string(here.join("whole").join(file)).unwrap();
    assert_eq!(read("report.html").matches(" % ABOVE").count(), 1);
    assert!(read("compare.md").contains("| rd (50.0 % above the budget) |"));
}

/// Where the first training is all that is missing, it is told as the last one, and its time as that of the other seed's.
fn what_is_stored_is_not_waited_for(here: &Path) {
    let kept = |nth: u32| here.join(format!("killed/results/{nth}/autofas-50ms.json"));
    let mut other: Value = serde_json::from_slice(&fs::read(kept(1)).unwrap()).unwrap();
    other["result"]["training_s"] = 7200.0.into();
    fs::write(kept(1), other.to_string()).unwrap();
    fs::remove_file(kept(0)).unwrap();
    fs::remove_dir_all(here.join("killed/seeds/0/autofas-50ms")).unwrap();
    let done = program(here).args(compare("killed", &["--resume"])).assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(said.contains("training 4 of 4: autofas-50ms, seed 0, about 2 h 0 min to go"), "{said}");
    assert!(!said.contains("trial "), "{said}");
}

/// A dry run counts every system once for each seed and budget, and every trial.
fn as_planned(plan: &Value, whole: &Value, folder: &Path) {
    let count = |step: &str| {
        let steps = plan["steps"].as_array().unwrap().iter();
        let own = steps.filter(|s| s["step"].as_str().unwrap().starts_with(step));
        own.map(|s| s["least"].as_u64().unwrap() as usize).sum::<usize>()
    };
    assert_eq!(count("train and measure"), whole["trainings"].as_array().unwrap().len());
    let trials = whole["trials"].as_array().unwrap().iter();
    assert_eq!(
        count("try settings of"),
        trials.map(|log| log["trials"].as_array().unwrap().len()).sum::<usize>()
    );
    check_teachers(plan, &guides(folder), ", for every seed");
    let one = "train the teacher, for trials";
    assert_eq!(count(one), usize::from(folder.join("trials/guide.json").exists()));
    // The folds differ in a row or so.
    let (least, found) = (plan["disk"]["least_bytes"].as_f64().unwrap(), room_of_teachers(folder) as f64);
    assert!((least / found - 1.0).abs() < 0.01, "{least} of {found}");
}

/// The folders of the teachers of all seeds.
fn guides(comparison: &Path) -> Vec<PathBuf> {
    let seeds = fs::read_dir(comparison.join("seeds")).unwrap();
    seeds.map(|seed| seed.unwrap().path().join("guide")).collect()
}

/// It is served as every other network, here without an ensemble, and took what r(x) took.
fn the_teacher_ranks_as_it_teaches(comparison: &Value) {
    let teacher = &comparison["systems"].as_array().unwrap()[3];
    let taught = &comparison["soft_targets"];
    assert_eq!(taught["seeds"], 2);
    let auc = |of: &Value| of["auc"]["mean"].as_f64().unwrap();
    assert!((auc(teacher) - auc(taught)).abs() < 1e-6, "{teacher} {taught}");
    assert_eq!(teacher["training_s"], taught["training_s"]);
    assert_eq!(teacher["overlap_at"]["20"]["mean"], 1.0);
    assert!(teacher["total"]["p99_ms"].is_object() || teacher["total"]["p50_ms"].is_object(), "{teacher}");
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

/// The schema of the types, which is kept in docs.
fn schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(Comparison)).unwrap() + "\n"
}

#[test]
fn the_schema_in_docs_of_comparisons_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/compare.schema.json");
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, schema()).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema(), "docs/schemas/compare.schema.json is out of date: {UPDATE}");
}

fn the_schema_in_docs_of_comparisons(written: &Value) {
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema()).unwrap()).unwrap();
    let wrong: Vec<String> = validator.iter_errors(written).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let mut broken = written.clone();
    broken["systems"][0]["auc"] = "much".into();
    assert!(!validator.is_valid(&broken));
}

#[test]
fn every_system_of_this_program_can_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    priced(here);
    let every = "no-distillation,no-latency,no-gradient-block,features-only,layers-only,random-search,taylor,permutation,cold,fscd,gain,rd-all,two-tower,gbdt";
    let words = compare("all", &["--set", "compare.random_trainings=6"]).into_iter().map(|word| match word {
        "autofas,rd" => every,
        "2" => "1",
        "50" => "50,0.0001",
        "compare.trials=2" => "compare.trials=0",
        word => word,
    });
    let words = words.chain(["--set", "teacher.ensemble=2"]).collect::<Vec<_>>();
    let plan = json(here, &[&words[..], &["--dry-run"]].concat());
    let found = json(here, &words);
    check_teachers(&plan, &guides(&here.join("all")), ", for every seed");
    let systems = found["systems"].as_array().unwrap();
    let without_budget = ["rd-all", "two-tower", "gbdt"];
    let times = |name: &&str| if without_budget.contains(name) { 1 } else { 2 };
    let names: Vec<_> = every.split(',').flat_map(|name| vec![name; times(&name)]).collect();
    assert_eq!(systems.iter().map(|s| s["system"].as_str().unwrap()).collect::<Vec<_>>(), names);
    for system in systems {
        let within = system["budget_ms"].as_f64() != Some(0.0001);
        assert_eq!(system["seeds"].as_u64().unwrap() == 1, within, "{system}");
        assert_eq!(system["unreachable"].as_u64().unwrap() == 0, within, "{system}");
    }
    let training = |system: &str| {
        let all = found["trainings"].as_array().unwrap();
        all.iter().find(|t| t["system"] == system && t["budget_ms"] != 0.0001).unwrap().clone()
    };
    // All three features fit, though the search may do without one; layers that are fixed are those that were chosen.
    for (system, features) in [("features-only", 1..=3), ("taylor", 3..=3), ("rd-all", 3..=3)] {
        let found = &training(system)["outcome"]["trained"];
        assert!(features.contains(&found["features"].as_array().unwrap().len()), "{system}: {found}");
        assert_eq!(found["layers"].to_string(), "[16,8]", "{system}");
    }
    // What has no table of prices is exported, proved and replayed all the same.
    for (system, form) in [("two-tower", "a two-tower network"), ("gbdt", "gradient boosted trees")] {
        let found = &training(system)["outcome"]["trained"];
        assert_eq!(found["features"].as_array().unwrap().len(), 3, "{system}");
        assert!(found["predicted_ms"].is_null() && found["layers"] == Value::Array(Vec::new()), "{found}");
        assert!(found["latency"]["inference"]["mean_ms"].as_f64().unwrap() > 0.0, "{found}");
        let folder = here.join("all").join(found["onnx"].as_str().unwrap());
        let network = Network::load(&folder.with_file_name("network.safetensors")).unwrap();
        assert_eq!(network.body.name(), form);
        assert!(folder.with_file_name("parity.json").is_file());
    }
    let missed = found["trainings"][0]["outcome"]["unreachable"].as_str().unwrap();
    assert!(missed.contains("0.0001 ms") && missed.contains("cheapest"), "{missed}");
}

#[test]
fn what_cannot_be_compared_is_said_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    fs::write(here.join("t.json"), "").unwrap();
    let schema = fs::read_to_string(here.join("c.schema.toml")).unwrap();
    fs::write(here.join("items.toml"), schema.replace("kind = \"user\"", "kind = \"item\"")).unwrap();
    for (code, set, expected) in [
        (
            2,
            &["--set", "compare.widths=[16, 12]"][..],
            "`compare.widths`: [16, 12] are not all among the widths",
        ),
        (1, &["--set", "compare.trials=9"], "list as many for every system"),
        (
            2,
            &["--set", "compare.trial_split.by=shuffle", "--set", "compare.trial_split.valid_fraction=0.5"],
            "takes rows that are not trained on",
        ),
    ] {
        let said = failure(here, code, &compare("out", set));
        assert!(said.contains(expected), "{said}");
        assert!(!here.join("out").exists(), "{set:?}");
    }
    for (systems, set, expected) in [
        ("autofass", &[][..], "a similar value exists: 'autofas'"),
        ("rd,gbdt", &["--set", "target.layout=item-cached"], "gradient boosted trees cannot be exported as"),
        (
            "two-tower",
            &["--set", "data.schema=items.toml"],
            "a two-tower network needs features of both sides",
        ),
    ] {
        let words = compare("out", set).into_iter();
        let words = words.map(|word| if word == "autofas,rd" { systems } else { word });
        let said = failure(here, 2, &words.collect::<Vec<_>>());
        assert!(said.contains(expected), "{said}");
        assert!(!here.join("out").exists(), "{systems}");
    }
    assert!(failure(here, 1, &["compare", "--render", "nowhere"]).contains("holds no comparison"));
    assert!(failure(here, 2, &["compare"]).contains("--config"));
    assert!(failure(here, 2, &["compare", "--render", "x", "--seeds", "2"]).contains("--render"));
}
