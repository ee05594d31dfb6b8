//! `doctor`.

use crate::{
    dry::check_schema,
    world::{World, json, output, program},
};
use autofas_bench::app::doctor::Findings;
use serde_json::Value;

#[test]
fn a_missing_library_is_named_with_its_fix_and_the_rest_is_still_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let assert = program(folder.path()).env("ORT_DYLIB_PATH", "/nowhere/lib.so").args(args).assert();
        String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
    };
    let text = run(&["doctor", "--quick"]);
    let line = text.lines().find(|line| line.starts_with("onnxruntime")).unwrap();
    assert!(line.contains("MISSING") && line.contains("/nowhere/lib.so"), "{line}");
    assert!(line.contains("./scripts/setup-runtime"), "{line}");
    let findings: Value = serde_json::from_str(&run(&["doctor", "--quick", "--json"])).unwrap();
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
    let findings: Value = serde_json::from_str(&run(&["doctor", "--quick", "--json"])).unwrap();
    let [tract, onnxruntime] = &findings["engines"].as_array().unwrap()[..] else { panic!("{findings}") };
    assert_eq!(tract["options"][0]["key"], "plan");
    assert_eq!(tract["missing_providers"], serde_json::json!([]));
    let text = run(&["doctor", "--quick"]);
    assert!(text.contains("plan=auto (of auto, symbolic, bucketed)"), "{text}");
    assert!(text.contains("spinning=off (of on, off)"), "{text}");
    for missing in onnxruntime["missing_providers"].as_array().unwrap() {
        assert!(missing["fix"].as_str().unwrap().contains("./scripts/gpu"), "{missing}");
        let line = format!("without {}: ./scripts/gpu", missing["provider"].as_str().unwrap());
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn stores_limits_and_speeds_are_told_and_the_schema_in_docs_is_that_of_what_is_found() {
    let world = World::new();
    let here = world.path();
    output(here, &[&["store", "load"][..], &crate::world::MODEL, &["--out", "features"]].concat());
    let doctor =
        ["doctor", "--folder", "runs/first", "--store", "embedded:features", "--store", "embedded:gone"];
    let found = json(here, &doctor);
    check_schema::<Findings>("doctor.schema.json", &found);
    let [memory, embedded, redis, filled, gone] = &found["stores"].as_array().unwrap()[..] else {
        panic!("{found}")
    };
    for (store, kind) in [(memory, "memory"), (embedded, "embedded"), (redis, "redis")] {
        assert_eq!(store["kind"], kind);
        assert!(kind == "redis" || store["available"] == true, "{store}");
    }
    assert!(filled["rows"][0].as_u64().unwrap() > 0, "{filled}");
    assert!(gone["available"] == false && gone["problem"].as_str().unwrap().contains("gone"), "{gone}");
    let speed = &found["speed"];
    for threads in ["one_thread", "all_threads"] {
        for rate in ["gemm_gflops", "read_gb_per_s", "copy_gb_per_s"] {
            let spread = &speed[threads][rate];
            let [least, median, most] = ["least", "median", "most"].map(|key| spread[key].as_f64().unwrap());
            assert!(0.0 < least && least <= median && median <= most, "{rate}: {spread}");
        }
    }
    assert!(speed["timer"]["cost_ns"]["median"].as_f64().unwrap() > 0.0, "{speed}");
    assert!(speed["wake_up"]["late_us"]["count"].as_u64().unwrap() >= 60, "{speed}");
    assert!(!here.join("runs").exists(), "nothing is made");
    let text = output(here, &[&doctor[..], &["--quick"]].concat());
    for part in [
        "ulimit -n",
        "free in runs/first (which is not there yet): ",
        "embedded:features holds ",
        "embedded:gone MISSING: ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Gflop/s"), "{text}");
}
