use super::*;
use crate::measure::{regression::Change, scores::ScoreDifference};

fn change(figure: &str, [change, lower, upper]: [f64; 3], verdict: Verdict) -> Change {
    Change {
        figure: figure.to_owned(),
        baseline_us: 100.0,
        current_us: 100.0 + change,
        change_pct: change,
        lower_pct: lower,
        upper_pct: upper,
        detectable_pct: 12.34,
        verdict,
    }
}

fn text_of(verdict: Verdict, changes: Vec<Change>, left_out: &[&str]) -> Vec<String> {
    comparison(&Comparison {
        baseline: "old.json".to_owned(),
        baseline_engine_version: "1".to_owned(),
        baseline_program_sha256: "ab".to_owned(),
        max_regression_pct: 5.0,
        machine_pct: 0.0,
        changes,
        left_out: left_out.iter().map(|&figure| figure.to_owned()).collect(),
        verdict,
    })
}

#[test]
fn each_verdict_has_its_words_and_what_was_left_out_is_named() {
    let quiet = || change("service mean", [0.1, -1.0, 1.2], Verdict::NotSlower);
    let noisy = || change("response p50", [3.0, -8.0, 15.0], Verdict::NotDecided);
    let slow = || change("service p50", [11.0, 9.5, 12.5], Verdict::Slower);
    assert_eq!(
        text_of(Verdict::NotSlower, vec![quiet()], &[]),
        [
            "not slower than old.json by more than 5 %",
            "  service mean: +0.1 % (99 %: -1.0 to +1.2 %): not slower"
        ]
    );
    let undecided = text_of(Verdict::NotDecided, vec![quiet(), noisy()], &["response p99"]);
    assert!(undecided[0].starts_with("NOT DECIDED whether it is slower than old.json"), "{undecided:?}");
    assert_eq!(
        undecided[2],
        "  response p50: +3.0 % (99 %: -8.0 to +15.0 %): not decided, 12.3 % would have been seen"
    );
    assert!(
        undecided[3].starts_with("  left out: response p99; a pass has too few requests"),
        "{undecided:?}"
    );
    let slower = text_of(Verdict::Slower, vec![slow(), noisy()], &[]);
    assert_eq!(slower[0], "SLOWER than old.json by more than 5 %");
    assert_eq!(slower[1], "  service p50: +11.0 % (99 %: +9.5 to +12.5 %): slower");
}

#[test]
fn cold_runs_and_costs_are_told_and_what_the_system_does_not_say_is_left_out() {
    assert_eq!(cold(&[]), None);
    let runs = |candidates, us: &[f64]| ColdRuns { candidates, us: us.to_vec() };
    let told = cold(&[runs(16, &[900.0, 400.0, 500.0]), runs(20, &[1.0]), runs(24, &[2000.0])]);
    assert_eq!(
        told.unwrap(),
        "cold, a first run took 0.500 ms at 16 candidates and 2.000 ms at 24 candidates"
    );
    let known = CostSummary {
        cpu_us_per_request: Some(1500.0),
        allocations_per_request: Some(6.0),
        load_bytes: Some(2_500_000),
        ..CostSummary::default()
    };
    assert_eq!(
        cost(&known),
        "a request costs 1.500 ms of processor time, 6.0 allocations; memory: 2.5 MB for the sessions"
    );
    assert_eq!(cost(&CostSummary::default()), "a request costs unknown here; memory: unknown here");
}

#[test]
fn scores_of_the_trace_are_told_with_whom_they_agree_or_differ() {
    let outputs = |apart: f64, engines: &[&str]| TraceOutputs {
        requests: 9,
        scores: 99,
        tolerance: 1e-5,
        compared_with: engines.iter().map(|&engine| engine.to_owned()).collect(),
        largest: Some(ScoreDifference {
            engine: "a".to_owned(),
            other_engine: "b".to_owned(),
            request: 1,
            candidate: 1,
            score: 0.5,
            other_score: 0.5,
            abs_difference: apart,
        }),
    };
    let of = "the scores of 9 of the trace's own requests";
    assert_eq!(
        trace_outputs(&outputs(2e-6, &["b 1"])),
        format!("{of} agree with those of b 1 within 2.0e-6")
    );
    assert_eq!(
        trace_outputs(&outputs(0.25, &[])),
        format!("{of} DIFFER in all its sessions and passes by up to 2.5e-1")
    );
    let alone = TraceOutputs { largest: None, ..outputs(0.0, &[]) };
    assert_eq!(trace_outputs(&alone), format!("{of} have nothing to be compared with"));
}

#[test]
fn a_store_is_told_with_what_it_gave_and_what_it_lacked() {
    assert_eq!(
        store(&crate::measure::store::examples::summary()),
        "4 features of 1 groups from the memory store stores/first: 1.7 kB per request; 3 of 20 rows of candidates are not in it"
    );
}
