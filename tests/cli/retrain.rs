//! `retrain`: a new version of a network on newer rows.

use crate::{
    dry,
    run::csv_log,
    world::{failure, json, output, program},
};
use std::{fs, path::Path};

#[test]
fn a_network_is_trained_again_with_the_same_inputs_and_a_report_of_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let tract =
        ["--set", "target.engines=[\"tract\"]", "--set", "target.engine=tract", "--set", "derive.k=3"];
    let run = json(
        here,
        &[&["iterate", "--config", "c.toml", "--out", "run", "--rounds", "1"][..], &tract].concat(),
    );
    let subnet = run["winner"]["subnet"].as_str().unwrap();
    // The same users, half of the items new, one hour only.
    let mut rows = "click,user,item,hour\n".to_owned();
    for i in 0..400 {
        let item = if i % 2 == 0 { format!("i{}", i * 7 % 60) } else { format!("new{i}") };
        rows += &format!("{},u{},{item},3\n", i % 3 % 2, i % 17);
    }
    fs::write(here.join("new.csv"), rows).unwrap();
    let retrain = ["retrain", "--run", "run", "--data", "new.csv", "--set", "retrain.max_epochs=1"];
    let cold = json(here, &[&retrain[..], &["--out", "cold"]].concat());
    let named = ["--subnet", subnet, "--warm-start", "--out", "warm"];
    let warm = json(here, &[&retrain[..], &named].concat());
    assert_eq!((&cold["subnet"], &warm["subnet"]), (&subnet.into(), &subnet.into()));
    assert_eq!((&cold["start"], &warm["start"]), (&"cold".into(), &"warm".into()));
    assert_eq!((&cold["train_rows"], &cold["valid_rows"]), (&300.into(), &100.into()));
    assert_eq!(cold["old"], warm["old"], "the old version is the same");
    assert_ne!(cold["new"], warm["new"]);
    let read = |path: String| fs::read(here.join(path)).unwrap();
    let own = read(format!("run/networks/{subnet}/signature.json"));
    for out in ["cold", "warm"] {
        assert!(read(format!("{out}/signature.json")) == own);
        assert!(read(format!("{out}/encoders.json")) == read("run/encoders.json".to_owned()));
        let report: serde_json::Value = serde_json::from_slice(&read(format!("{out}/drift.json"))).unwrap();
        assert_eq!(report["subnet"], subnet);
        let model = format!("{out}/model.onnx");
        let found = json(here, &["evaluate", "--model", &model, "--data", "new.csv", "--config", "c.toml"]);
        assert!((found["auc"].as_f64().unwrap() - report["new"]["auc"].as_f64().unwrap()).abs() < 1e-4);
    }
    let drift = |feature: &str| {
        let found = cold["drift"].as_array().unwrap().iter().find(|drift| drift["feature"] == feature);
        found.unwrap_or_else(|| panic!("{feature}: {cold}")).clone()
    };
    let number = |feature: &str, key: &str| drift(feature)[key].as_f64().unwrap();
    assert!(number("user", "divergence_bits") < 3.0 * number("user", "by_chance_bits"));
    assert!(number("hour", "divergence_bits") > 0.7 && number("item", "divergence_bits") > 0.2);
    assert_eq!(drift("item")["unknown_share"][1], 0.5);
    let text = output(here, &[&retrain[..], &["--out", "cold"]].concat());
    let hour = text.find("hour ").unwrap();
    assert!(text.contains("0.0 → 50.0") && hour < text.find("user ").unwrap(), "{text}");
    let said = failure(here, 2, &[&retrain[..], &["--subnet", "f9", "--out", "x"]].concat());
    assert!(said.contains("no network `f9`"), "{said}");
}

#[test]
fn what_is_wrong_shows_before_the_training_and_weights_outlive_a_package_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    csv_log(here, "0");
    let tract = ["target.engines=[\"tract\"]", "target.engine=tract", "derive.k=3", "finals.layers=false"];
    let tract = tract.into_iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
    let run = ["iterate", "--config", "c.toml", "--out", "run", "--rounds", "1"];
    let run = json(here, &[&run[..], &tract].concat());
    let subnet = run["winner"]["subnet"].as_str().unwrap();
    fs::copy(here.join("log.csv"), here.join("new.csv")).unwrap();
    let retrain = ["retrain", "--run", "run", "--data", "new.csv", "--set", "retrain.max_epochs=1"];

    fs::rename(here.join("log.csv"), here.join("moved.csv")).unwrap();
    let said = failure(here, 1, &[&retrain[..], &["--out", "early"]].concat());
    assert!(said.contains("log.csv") && !said.contains("weights kept"), "{said}");
    assert!(!here.join("early").exists());
    fs::rename(here.join("moved.csv"), here.join("log.csv")).unwrap();

    // More of the best are asked for than there are rows to tell what integers cost.
    let strict = ["--set", "target.precision=int8", "--set", "quantise.limits.top_k=400"];
    let said = failure(here, 2, &[&retrain[..], &strict, &["--out", "refused"]].concat());
    assert!(said.contains("export --run refused/run") && said.contains("do not show what int8"), "{said}");
    assert!(!here.join("refused/model.onnx").exists());

    // Ranges that hold a hundredth of what one row has: integers rank by chance. There are too few training rows for lists of twice as
    // many as are compared, and one row has no AUC, so nothing puts a layer back into floats before the package is judged.
    let costly = ["target.precision=int8", "split.valid_fraction=0.75", "quantise.rows=1"];
    let costly = [&costly[..], &["quantise.methods=[\"percentile\"]", "quantise.percentile=0.01"]].concat();
    let costly = costly.into_iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
    let said = failure(here, 3, &[&retrain[..], &costly, &["--out", "costly"]].concat());
    assert!(said.contains("export --run costly/run") && said.contains("int8 within"), "{said}");
    assert!(said.contains(", overlap 0.") && !here.join("costly/model.onnx").exists(), "{said}");

    // What was trained goes into any form.
    let export = ["export", "--run", "refused/run", "--embeddings", "outside"];
    let exported = json(here, &[&export[..], &["--package", "triton", "--out", "repository"]].concat());
    assert_eq!((&exported["subnet"], &exported["precision"]), (&subnet.into(), &"fp32".into()));
    assert!(here.join("repository/pre_ranker/1/embeddings.safetensors").is_file());
    // And it can be trained again itself.
    let again = ["retrain", "--run", "refused/run", "--data", "new.csv", "--warm-start", "--out", "third"];
    let plain = ["--set", "target.precision=fp32", "--set", "retrain.max_epochs=1"];
    let third = json(here, &[&again[..], &plain].concat());
    assert_eq!(third["subnet"], subnet);
    let signature = |path: &str| fs::read(here.join(path)).unwrap();
    assert!(signature("third/signature.json") == signature(&format!("run/networks/{subnet}/signature.json")));
    kept_weights_outlive_those_that_are_not_written(here, &again);
    other_versions_are_named(here, subnet);
}

/// `again` trains what is kept in refused/run once more.
fn kept_weights_outlive_those_that_are_not_written(here: &Path, again: &[&str]) {
    let kept = dry::files(&here.join("refused"));
    let onto =
        |out: &'static str| [&again[..again.len() - 1], &[out, "--set", "retrain.max_epochs=1"]].concat();
    for dry in [&["--dry-run"][..], &[]] {
        let said = failure(here, 2, &[&onto("refused")[..], dry].concat());
        assert!(said.contains("written over refused/run, which it is made from; name another"), "{said}");
    }
    // Room for files of a block, which is less than the settings take.
    let own = program(here);
    let script = "ulimit -f 1; trap '' XFSZ; exec \"$@\"";
    let limited = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(own.get_program())
        .args(onto("third"))
        .current_dir(here)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&limited.stderr);
    assert!(!limited.status.success() && said.contains("raise the limit on the size of files"), "{said}");
    assert!(dry::files(&here.join("refused")) == kept);
    let third: Vec<_> = dry::files(&here.join("third/run")).into_keys().collect();
    assert!(third.iter().any(|file| file.ends_with("network.safetensors")), "{third:?}");
}

fn other_versions_are_named(here: &Path, subnet: &str) {
    for (file, version) in [(format!("networks/{subnet}/network.json"), 1), ("paths.json".to_owned(), 1)] {
        let path = here.join("third/run").join(&file);
        let text = fs::read_to_string(&path).unwrap();
        let [own, other] = [version, 9].map(|version| format!("\"schema_version\": {version}"));
        fs::write(&path, text.replacen(&own, &other, 1)).unwrap();
        let said = failure(here, 1, &["export", "--run", "third/run", "--out", "other"]);
        assert!(
            said.contains(&format!("{file}, `schema_version`: is 9, this program reads {version}")),
            "{said}"
        );
        fs::write(&path, text).unwrap();
    }
}
