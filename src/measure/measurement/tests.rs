use super::{
    examples::{measurement, pass, plan},
    *,
};
use crate::measure::validity::examples::recording;
use std::time::Duration;

#[test]
fn the_json_has_the_agreed_names_and_reads_back() {
    let measurement = measurement(&recording(1000, 0, 0), 1, 2);
    let json = serde_json::to_value(&measurement).unwrap();
    for key in
        ["schema_version", "engine", "provider", "valid", "reasons", "requests", "environment", "passes"]
    {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["loop"], "open");
    assert_eq!(json["response_us"]["count"], 1000);
    assert!(json["response_us"].get("p99").is_some() && json["response_us"].get("p999").is_none());
    assert_eq!(json["response_us"]["bounds"]["p50"].as_array().unwrap().len(), 2);
    assert_eq!(serde_json::from_value::<Measurement>(json).unwrap(), measurement);
}

#[test]
fn passes_are_merged_and_each_is_kept() {
    let long = Recording { span: Duration::from_secs(3), ..recording(600, 0, 0) };
    let short = Recording { span: Duration::from_secs(1), ..recording(200, 0, 0) };
    let (merged, all) = Measurement::of(&[pass(long, 1, 2), pass(short, 1, 2)], &plan(2)).unwrap();
    assert_eq!((merged.requests, all.response.count(), merged.span_ms), (800, 800, 4000.0));
    assert_eq!(merged.load.answered_qps, 200.0);
    let each: Vec<_> = merged.passes.iter().map(|pass| (pass.requests, pass.answered_qps)).collect();
    assert_eq!(each, [(600, 200.0), (200, 200.0)]);
    assert!(!merged.interrupted && Measurement::of(&[], &plan(2)).is_none());
}

#[test]
fn fewer_passes_than_asked_for_are_an_interrupted_result() {
    let of = |passes: &[Pass], repeats| Measurement::of(passes, &plan(repeats)).unwrap().0;
    let whole = pass(recording(1000, 0, 0), 1, 2);
    let mut cut = whole.clone();
    cut.recording.interrupted = true;
    for (passes, repeats) in [(vec![whole.clone()], 2), (vec![whole, cut], 2)] {
        let found = of(&passes, repeats);
        assert!(found.interrupted && !found.valid, "{:?}", found.reasons);
        assert!(found.reasons.iter().any(|reason| reason.contains("stopped")), "{:?}", found.reasons);
    }
}

#[test]
fn an_engine_that_failed_is_no_request_to_stop() {
    let whole = pass(recording(1000, 0, 0), 1, 2);
    let (found, _) =
        Measurement::until(&[whole], &plan(3), Some("the engine failed in pass 2: it crashed"), &[]).unwrap();
    assert!(!found.interrupted && !found.valid && found.reasons.len() == 1, "{:?}", found.reasons);
    let reason = &found.reasons[0];
    assert!(reason.starts_with("the engine failed in pass 2: it crashed; only 1 of 3 passes"), "{reason}");
    assert!(!reason.contains("stopped"), "{reason}");
}
