//! `--dry-run` of every long verb: it writes nothing, fails as the verb does, and counts what the verb then does.

use crate::{
    run::{csv_log, synth},
    world::{World, failure, json, output, program, replayed},
};
use autofas_bench::{app::plan::Plan, base::hash};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every file below a folder with the hash of its content, and every folder.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
            found.insert(entry, String::new());
        } else {
            let content = hash::sha256_file(&entry).unwrap();
            found.insert(entry, content);
        }
    }
    found
}

/// The plan of a command, which leaves the folder as it was.
fn planned(here: &Path, command: &[&str]) -> Value {
    let before = files(here);
    let plan = json(here, &[command, &["--dry-run"]].concat());
    assert_eq!(files(here), before, "{command:?} wrote something");
    plan
}

/// Least and most of the steps whose name begins so, summed.
fn count(plan: &Value, step: &str) -> (u64, Option<u64>) {
    let steps = plan["steps"].as_array().unwrap().iter();
    let own: Vec<_> = steps.filter(|s| s["step"].as_str().unwrap().starts_with(step)).collect();
    assert!(!own.is_empty(), "{step}: {plan}");
    let sum = |key: &str| own.iter().map(|s| s.get(key)?.as_u64()).sum::<Option<u64>>();
    (sum("least").unwrap(), sum("most"))
}

/// A step that is done so often.
fn exactly(plan: &Value, step: &str) -> usize {
    let (least, most) = count(plan, step);
    assert_eq!(Some(least), most, "{step}: {plan}");
    least as usize
}

fn between(plan: &Value, step: &str, found: usize) {
    let (least, most) = count(plan, step);
    let found = found as u64;
    assert!(least <= found && most.is_none_or(|most| found <= most), "{step}: {found}, {plan}");
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Steps of that name, at least and at most.
fn named(plan: &Value, step: &str) -> [usize; 2] {
    let steps = plan["steps"].as_array().unwrap().iter();
    let own: Vec<_> = steps.filter(|s| s["step"] == step).collect();
    ["least", "most"].map(|key| own.iter().map(|s| s[key].as_u64().unwrap() as usize).sum())
}

/// The teachers in some folders are those that a plan counts under names that end so.
pub fn check_teachers(plan: &Value, guides: &[PathBuf], whose: &str) {
    let trained = |folder: &Path| {
        let networks = listed(folder).into_iter();
        networks.filter(|file| file.extension().is_some_and(|e| e == "json") && is_number(file)).count()
    };
    let of = |step: &str| named(plan, &format!("{step}{whose}"));
    let found: usize = guides.iter().map(|guide| trained(&guide.join("teacher"))).sum();
    let [[first, _], [others, _]] = ["train the teacher", "train the teachers beside it"].map(of);
    assert_eq!((first, first + others), (guides.len(), found), "{plan}");
    let apart = guides.iter().flat_map(|guide| listed(&guide.join("judged/teachers")));
    let found: usize = apart.map(|folder| trained(&folder)).sum();
    let folds = of("train teachers without each part of the rows");
    let choices = of("train teachers of the rows that choices are trained on");
    assert!(folds[0] == folds[1] && folds[0] > 0 && choices[0] == 0, "{plan}");
    assert_eq!(folds[1] + choices[1], found, "{plan}");
}

fn is_number(file: &Path) -> bool {
    file.file_stem().unwrap().to_str().unwrap().parse::<usize>().is_ok()
}

/// Bytes of what teachers and the division of rows leave in a folder and those below it.
pub fn room_of_teachers(run: &Path) -> u64 {
    let numbers = |file: &Path| match file.extension().and_then(|ending| ending.to_str()) {
        Some("bin") => fs::metadata(file).unwrap().len(),
        Some("safetensors") if is_number(file) => {
            let bytes = fs::read(file).unwrap();
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            bytes.len() as u64 - 8 - header
        }
        _ => 0,
    };
    let all = files(run).into_keys();
    let own =
        all.filter(|file| file.is_file() && ["teacher", "judged"].iter().any(|part| within(file, run, part)));
    own.map(|file| numbers(&file)).sum()
}

fn within(file: &Path, run: &Path, part: &str) -> bool {
    file.strip_prefix(run).unwrap().components().any(|name| name.as_os_str() == part)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

/// Compares the schema in docs/ with that of the types, and a document with it.
pub fn check_schema<T: schemars::JsonSchema>(file: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(file);
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "docs/schemas/{file} is out of date: {UPDATE}");
    let validator = jsonschema::validator_for(&serde_json::from_str(&kept).unwrap()).unwrap();
    let wrong: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new(), "{file}");
    let mut less = document.clone();
    less.as_object_mut().unwrap().remove("schema_version");
    assert!(!validator.is_valid(&less));
}

#[test]
fn a_run_does_the_steps_that_its_dry_run_counts_and_the_schema_in_docs_is_that_of_plans() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let one = ["--rounds", "1", "--set", "teacher.ensemble=2"];
    let iterate = [&["iterate", "--config", "e.toml", "--out", "run"][..], &one].concat();
    let plan = planned(here, &iterate);
    check_schema::<Plan>("dry-run.schema.json", &plan);
    assert_eq!(
        (&plan["verb"], &plan["state"], &plan["out"]),
        (&json!("iterate"), &json!("new"), &json!("run"))
    );
    assert!(plan["time"]["least_s"].as_f64().unwrap() > 0.0);
    assert!(plan["time"].get("most_s").is_none(), "a search has no bound: {plan}");
    assert!(plan["memory"]["least_bytes"].as_u64().unwrap() > 1 << 20);
    output(here, &iterate);

    let run = here.join("run");
    let of = |files: Vec<PathBuf>, ending: &str| {
        files.into_iter().filter(|file| file.to_string_lossy().ends_with(ending)).count()
    };
    check_teachers(&plan, std::slice::from_ref(&run), "");
    let split = read(&run.join("data.json"));
    let rows = |step: &str| {
        let steps = plan["steps"].as_array().unwrap();
        steps.iter().find(|s| s["step"] == step).unwrap()["rows"].as_u64().unwrap()
    };
    assert_eq!(rows("train the plain DNN"), split["result"]["train_rows"].as_u64().unwrap());
    assert_eq!(rows("train the teacher"), fs::metadata(run.join("teacher/train.bin")).unwrap().len() / 4);
    let soft = fs::metadata(run.join("teacher/soft.bin")).unwrap().len() / 4;
    assert_eq!(exactly(&plan, "score all rows with the teachers") as u64, soft);
    for engine in ["tract", "onnxruntime"] {
        let probed = read(&run.join(format!("tables/probed/{engine}.json")));
        let values = probed["result"]["values"].as_array().unwrap().len();
        assert_eq!(exactly(&plan, &format!("measure every layer on {engine}")), values);
        let measured = read(&run.join(format!("rounds/1/measured/{engine}.json")));
        let networks = ["diverse", "held_out"].map(|part| measured["result"][part].as_array().unwrap().len());
        assert_eq!(exactly(&plan, &format!("time networks on {engine}")), 2 + networks.iter().sum::<usize>());
        let replays = read(&run.join(format!("replay/{engine}.json")));
        let passes = replays["result"].as_array().unwrap().iter().map(|r| r["runs"].as_u64().unwrap());
        between(
            &plan,
            &format!("replay the winner and the plain DNN on {engine}"),
            passes.sum::<u64>() as usize,
        );
    }
    assert_eq!(exactly(&plan, "search"), of(listed(&run.join("rounds/1")), "search.json"));
    assert_eq!(
        exactly(&plan, "export and prove networks that are only timed"),
        of(listed(&run.join("shapes")), ".onnx")
    );
    let networks = listed(&run.join("networks"));
    let fits = networks.iter().filter(|network| network.join("fit.json").exists()).count();
    assert_eq!(exactly(&plan, "train the plain DNN") + exactly(&plan, "train what was found"), fits);
    let judged = listed(&run.join("judged")).into_iter().filter(|folder| !folder.ends_with("teachers"));
    between(&plan, "judge networks by training", judged.flat_map(|folder| listed(&folder)).count());
    let packages = ["networks", "shapes"].map(|part| {
        let files = files(&run.join(part)).into_keys().filter(|file| file.is_file());
        files.map(|file| fs::metadata(file).unwrap().len()).sum::<u64>()
    });
    let (least, teachers) = (plan["disk"]["least_bytes"].as_u64().unwrap(), room_of_teachers(&run));
    assert!(teachers < least && least < teachers + packages.iter().sum::<u64>(), "{teachers}, {plan}");

    // What is done is not done again.
    let again = [&iterate[..], &["--resume"]].concat();
    let finished = planned(here, &again);
    assert_eq!((&finished["state"], finished["steps"].as_array().unwrap().len()), (&json!("finished"), 0));
    for last in ["summary.json", "replay/tract.json"] {
        fs::remove_file(run.join(last)).unwrap();
    }
    let rest = planned(here, &again);
    assert_eq!(rest["state"], "resumed");
    let open: Vec<&str> = (rest["steps"].as_array().unwrap().iter())
        .filter(|step| step["done"].as_u64() < step["least"].as_u64())
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(open, ["replay the winner and the plain DNN on tract"]);
    assert!(failure(here, 2, &[&iterate[..], &["--dry-run"]].concat()).contains("--resume"));
    output(here, &again);

    a_network_of_it_is_exported_and_trained_again(here);
}

fn a_network_of_it_is_exported_and_trained_again(here: &Path) {
    let export = ["export", "--run", "run", "--layout", "concat", "--out", "serving"];
    let plan = planned(here, &export);
    let exported = json(here, &export);
    let replaced =
        |command: &[&str]| planned(here, command)["notes"].to_string().contains("will be replaced");
    assert!(replaced(&export) && !plan["notes"].to_string().contains("replaced"));
    assert_eq!(exactly(&plan, "export and prove on tract and onnxruntime"), 1);
    assert_eq!(plan["steps"][0]["rows"], exported["parity"]["rows"]);
    let package = fs::metadata(here.join("serving/model.onnx")).unwrap().len();
    let least = plan["disk"]["least_bytes"].as_u64().unwrap();
    assert!(least <= package && package < 3 * least, "{least} of {package}");
    let wrong = [&export[..], &["--trace", "t.parquet", "--dry-run"]].concat();
    assert!(failure(here, 2, &wrong).contains("--precision int8"));
    let over = ["export", "--run", "run", "--out", "run", "--dry-run"];
    assert!(failure(here, 2, &over).contains("run is a run, whose schema and encoders"));

    let retrain = ["retrain", "--run", "run", "--data", "log/log.parquet", "--out", "next"];
    let plan = planned(here, &retrain);
    let retrained = json(here, &retrain);
    assert_eq!(exactly(&plan, "train the network"), 1);
    assert_eq!(plan["steps"][0]["rows"], retrained["train_rows"]);
    assert!(here.join("next").exists());
    assert!(planned(here, &retrain)["state"] == "exists" && replaced(&retrain));
}

#[test]
fn a_dry_run_fails_as_the_run_would_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let schema = fs::read_to_string(here.join("c.schema.toml")).unwrap();
    fs::write(here.join("users.toml"), schema.replace("kind = \"item\"", "kind = \"user\"")).unwrap();
    let tract = ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract", "--dry-run"];
    for verb in ["iterate", "search", "compare"] {
        for (wrong, expected) in [
            (&["--set", "data.schema=users.toml"][..], "would score alike"),
            (&["--data", "gone.csv"], "gone.csv"),
            (&["--table", "gone.json"], "gone.json"),
            (&["--set", "search.epohs=2"], "did you mean `search.epochs`?"),
        ] {
            let run = [
                &[verb, "--config", "c.toml", "--out", "run", "--set", "compare.widths=[16, 8]"][..],
                &tract,
                wrong,
            ];
            let failed = program(here).args(run.concat()).assert().failure().get_output().stderr.clone();
            let message = String::from_utf8(failed).unwrap();
            // A two-tower network takes part.
            let both = verb == "compare" && expected == "would score alike";
            let expected = if both { "features of both sides" } else { expected };
            assert!(message.contains(expected), "{verb} {wrong:?}: {message}");
            assert!(!here.join("run").exists(), "{verb} {wrong:?}");
        }
    }
}

#[test]
fn a_search_for_budgets_counts_each_of_them_once() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let tract = ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract"];
    let search = [&["search", "--config", "c.toml", "--out", "run"][..], &tract].concat();
    let plan = planned(here, &search);
    assert_eq!((exactly(&plan, "search"), exactly(&plan, "warm up the supernet")), (1, 1));
    let steps: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert!(steps.iter().all(|step| !step.contains("plain DNN") && !step.contains("replay")), "{steps:?}");
    let plan = planned(here, &[&search[..], &["--budgets", "1,2,1"]].concat());
    assert_eq!(exactly(&plan, "search"), 2);
    assert_eq!(count(&plan, "train what was found"), (1, Some(2)));
    let text = output(here, &[&search[..], &["--budgets", "1,2", "--dry-run", "--quiet"]].concat());
    assert!(
        text.starts_with("search would write run, which is not there yet; nothing was written now"),
        "{text}"
    );
}

#[test]
fn a_probing_measures_as_many_models_as_its_dry_run_says() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    synth(here);
    let probe =
        [&crate::world::PROBE[..], &["--engine", "tract", "--cardinality", "20", "--out", "t.json"]].concat();
    let plan = planned(here, &probe);
    let table = json(here, &probe);
    let measured: usize = (table["buckets"].as_array().unwrap().iter())
        .flat_map(|bucket| {
            ["entries", "inputs", "observations", "held_out"]
                .map(|part| bucket[part].as_array().map_or(0, Vec::len))
        })
        .sum();
    assert_eq!(exactly(&plan, "measure layers and networks on tract"), measured);
    assert_eq!((&plan["state"], &planned(here, &probe)["state"]), (&json!("new"), &json!("exists")));
    let resumed = [&probe[..], &["--resume"]].concat();
    assert_eq!(planned(here, &resumed)["state"], "finished");
    let more = planned(here, &[&resumed[..], &["--candidates", "60"]].concat());
    let step = &more["steps"][0];
    assert_eq!(step["done"], measured);
    assert_eq!(step["least"].as_u64().unwrap() as usize, measured + measured / 2);
}

#[test]
fn a_replay_makes_as_many_passes_as_its_dry_run_says() {
    let world = World::new();
    let here = world.path();
    let asked =
        ["--qps", "500", "--requests", "100", "--candidates", "8", "--engine", "tract", "--repeats", "2"];
    let replay = [&["replay"][..], &crate::world::MODEL, &asked, &["--out", "r.json"]].concat();
    let plan = planned(here, &replay);
    let (result, _) = replayed(here, &replay);
    assert_eq!(exactly(&plan, "replay on tract"), result["passes"].as_array().unwrap().len());
    assert_eq!(plan["steps"][0]["rows"], result["requests"].as_u64().unwrap() / 2);
    let least_s = plan["time"]["least_s"].as_f64().unwrap();
    assert!((0.2..1.0).contains(&least_s), "100 requests at 500 per second, twice: {least_s}");
    let notes = plan["notes"].to_string();
    assert!(notes.contains("--min-requests") && notes.contains("--min-duration"), "{notes}");
    let wrong = [&replay[..], &["--store", "embedded:gone", "--dry-run"]].concat();
    assert!(failure(here, 1, &wrong).contains("gone"));
    let slo = [
        &["replay"][..],
        &crate::world::MODEL,
        &["--engine", "tract", "--requests", "60", "--slo", "p50=1s"],
    ]
    .concat();
    assert_eq!(count(&planned(here, &slo), "replay on tract at every rate").1, None);
}

#[test]
fn a_store_gets_as_many_rows_and_prices_as_many_visits_as_its_dry_run_says() {
    let world = World::new();
    let here = world.path();
    let load = [&["store", "load"][..], &crate::world::MODEL, &["--out", "features"]].concat();
    let plan = planned(here, &load);
    let stored = json(here, &load);
    let content = &stored["content"];
    let rows = content["groups"].as_array().unwrap().iter().map(|group| {
        let keys = format!("{}s", group["owner"].as_str().unwrap());
        content[&keys].as_u64().unwrap() as usize
    });
    assert_eq!(exactly(&plan, "write rows"), rows.sum::<usize>());
    assert!(plan["disk"]["least_bytes"].as_u64().unwrap() <= stored["file_bytes"].as_u64().unwrap());
    assert!(
        failure(here, 2, &[&load[..], &["--dry-run"]].concat()).contains("features is not an empty folder")
    );

    let price = [
        &["store", "price", "--store", "embedded:features"][..],
        &crate::world::MODEL,
        &["--candidates", "5,10", "--passes", "2", "--block", "1", "--engine", "tract", "--out", "f.json"],
    ]
    .concat();
    let plan = planned(here, &price);
    let table = json(here, &price);
    let observed = |place: &Value| place["observations"].as_array().unwrap().len();
    let visits: usize = (table["buckets"].as_array().unwrap().iter())
        // Beside sets: five networks, nothing, and a sweep.
        .map(|bucket| 2 * (observed(bucket) + observed(&bucket["displaced"]) + 7))
        .sum();
    assert_eq!(exactly(&plan, "fetch for"), visits, "{table}");
}
