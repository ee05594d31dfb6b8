//! `doctor`.

use crate::world::program;
use serde_json::Value;

#[test]
fn a_missing_library_is_named_with_its_fix_and_the_rest_is_still_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let assert = program(folder.path()).env("ORT_DYLIB_PATH", "/nowhere/lib.so").args(args).assert();
        String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
    };
    let text = run(&["doctor"]);
    let line = text.lines().find(|line| line.starts_with("onnxruntime")).unwrap();
    assert!(line.contains("MISSING") && line.contains("/nowhere/lib.so"), "{line}");
    assert!(line.contains("./scripts/setup-runtime"), "{line}");
    let findings: Value = serde_json::from_str(&run(&["doctor", "--json"])).unwrap();
    let engines = findings["engines"].as_array().unwrap();
    let available = |name: &str| {
        engines.iter().find(|engine| engine["engine"] == name).unwrap()["available"].as_bool().unwrap()
    };
    assert!(available("tract") && !available("onnxruntime"));
    assert!(findings["environment"]["cores"].as_u64().unwrap() >= 1);
}

#[test]
fn providers_that_the_library_lacks_and_the_options_of_every_engine_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let assert = program(folder.path()).args(args).assert();
        String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
    };
    let findings: Value = serde_json::from_str(&run(&["doctor", "--json"])).unwrap();
    let [tract, onnxruntime] = &findings["engines"].as_array().unwrap()[..] else { panic!("{findings}") };
    assert_eq!(tract["options"][0]["key"], "plan");
    assert_eq!(tract["missing_providers"], serde_json::json!([]));
    let text = run(&["doctor"]);
    assert!(text.contains("plan=auto (of auto, symbolic, bucketed)"), "{text}");
    assert!(text.contains("spinning=off (of on, off)"), "{text}");
    for missing in onnxruntime["missing_providers"].as_array().unwrap() {
        assert!(missing["fix"].as_str().unwrap().contains("./scripts/gpu"), "{missing}");
        let line = format!("without {}: ./scripts/gpu", missing["provider"].as_str().unwrap());
        assert!(text.contains(&line), "{text}");
    }
}
