use super::*;
use crate::{
    base::rng::{self, Generator},
    measure::{
        measurement::examples::{pass, plan},
        validity::examples::recording,
    },
};

/// A result whose passes have these service times in µs.
fn result(services_us: &[f64]) -> Measurement {
    let passes = vec![pass(recording(1000, 0, 0), 1, 2); services_us.len()];
    let mut result = Measurement::of(&passes, &plan(services_us.len())).unwrap().0;
    for (pass, &us) in result.passes.iter_mut().zip(services_us) {
        pass.service_us.mean = Some(us);
        for summary in [&mut pass.service_us, &mut pass.response_us] {
            summary.p50 = Some(us.round() as u64);
            summary.p99 = Some((1.5 * us).round() as u64);
        }
    }
    result
}

fn compared(older: &[f64], newer: &[f64]) -> Comparison {
    Comparison::of(&result(older), &result(newer), "old.json", 5.0)
}

#[test]
fn the_interval_of_values_worked_out_by_hand() {
    // Logarithms of e⁷·{0.99, 1, 1.01} have mean 7 − 3.3e-5 and variance 1.0001e-4; both alike: √(2 · s²/3) and 4 degrees.
    let base = 7f64.exp();
    let at = |factor: f64| [0.99, 1.0, 1.01].map(|x| factor * base * x);
    let change = compared(&at(1.0), &at(1.2)).changes.remove(0);
    assert_eq!(change.figure, "service mean");
    assert!((change.change_pct - 20.0).abs() < 1e-9, "{change:?}");
    let noise = 3.7469 * (2.0 * 1.0001e-4f64 / 3.0).sqrt();
    assert!((change.lower_pct - 100.0 * ((1.2f64.ln() - noise).exp() - 1.0)).abs() < 0.01, "{change:?}");
    assert!((change.upper_pct - 100.0 * ((1.2f64.ln() + noise).exp() - 1.0)).abs() < 0.01, "{change:?}");
    assert!(
        (change.detectable_pct - 100.0 * ((1.05f64.ln() + noise).exp() - 1.0)).abs() < 0.01,
        "{change:?}"
    );
    assert_eq!(change.verdict, Verdict::Slower);
}

fn slower(comparison: &Comparison) -> bool {
    comparison.verdict == Verdict::Slower
}

#[test]
fn a_slower_machine_widens_the_interval_of_every_figure() {
    let older = result(&[1000.0, 1001.0, 1002.0]);
    let mut newer = result(&[1100.0, 1101.0, 1102.0]);
    assert!(slower(&Comparison::of(&older, &newer, "old.json", 5.0)));
    for pass in &mut newer.passes {
        pass.conditions.before.clock_us *= 1.08;
        pass.conditions.after.clock_us *= 1.08;
    }
    let comparison = Comparison::of(&older, &newer, "old.json", 5.0);
    assert!(!slower(&comparison) && (comparison.machine_pct - 8.0).abs() < 1e-6, "{comparison:?}");
    assert!(comparison.changes.iter().all(|c| c.lower_pct < 3.0 && c.change_pct > 9.0));
}

#[test]
fn a_slowdown_that_the_fastest_passes_do_not_have_is_none() {
    // Tight enough for Welch, but one pass of the newer run was as fast as ever.
    let comparison = compared(&[1000.0; 5], &[1150.0, 1150.0, 1150.0, 1150.0, 1004.0]);
    assert!(!slower(&comparison), "{comparison:?}");
    assert!(slower(&compared(&[1000.0; 5], &[1150.0; 5])));
}

#[test]
fn a_microsecond_of_a_short_time_is_no_regression() {
    let comparison = compared(&[9.0; 3], &[10.0; 3]);
    let slower = comparison.changes.iter().filter(|change| change.verdict == Verdict::Slower);
    // The mean is exact.
    assert_eq!(slower.map(|change| &change.figure).collect::<Vec<_>>(), ["service mean"]);
}

#[test]
fn figures_that_a_pass_has_too_few_samples_for_are_left_out() {
    let mut older = result(&[1000.0; 3]);
    older.passes[1].response_us.p99 = None;
    let comparison = Comparison::of(&older, &result(&[1000.0; 3]), "old.json", 5.0);
    let figures: Vec<_> = comparison.changes.iter().map(|change| change.figure.as_str()).collect();
    assert_eq!(figures, ["service mean", "service p50", "response p50"]);
    assert_eq!(comparison.left_out, ["response p99"]);
    assert_eq!(comparison.verdict, Verdict::NotSlower, "by what could be compared");
    let one = compared(&[1000.0], &[1000.0]);
    assert!(one.changes.is_empty() && one.left_out.len() == 4, "{one:?}");
    assert_eq!(one.verdict, Verdict::NotDecided, "nothing was compared");
}

#[test]
fn the_verdict_is_where_the_interval_lies_around_the_limit() {
    use Verdict::{NotDecided, NotSlower, Slower};
    for (lower, upper, verdict) in [
        (5.1, 9.0, Slower),
        (5.0, 9.0, NotDecided),
        (-9.0, 5.1, NotDecided),
        (-9.0, 5.0, NotSlower),
        (-9.0, -5.0, NotSlower),
    ] {
        assert_eq!(Verdict::of(lower, upper, 5.0), verdict, "{lower} to {upper}");
    }
    let verdict = |newer: &[f64]| compared(&[998.0, 1000.0, 1002.0], newer).verdict;
    assert_eq!(verdict(&[999.0, 1001.0, 1003.0]), NotSlower);
    assert_eq!(verdict(&[1150.0, 1152.0, 1154.0]), Slower);
    // Noise neither accuses nor acquits.
    assert_eq!(verdict(&[950.0, 1000.0, 1050.0]), NotDecided);
    let mut older = result(&[998.0, 1000.0, 1002.0]);
    older.passes[2].response_us.p99 = Some(3000);
    let comparison = Comparison::of(&older, &result(&[998.0, 1000.0, 1002.0]), "old.json", 5.0);
    assert_eq!(comparison.changes[3].verdict, NotDecided);
    assert_eq!(comparison.verdict, NotDecided, "one figure is enough not to know");
}

/// Times of `count` passes of a run: normal around 1,000 µs · `factor` with a relative deviation between passes.
fn drawn(count: usize, factor: f64, deviation: f32, rng: &mut Generator) -> Vec<f64> {
    rng::normals(count, deviation, rng).into_iter().map(|e| 1000.0 * factor * (1.0 + f64::from(e))).collect()
}

/// Share of 500 comparisons that fail, with passes that differ by `deviation` and runs that differ by `between`.
fn failing(repeats: usize, slowdown: f64, deviation: f32, between: f32) -> f64 {
    let mut rng = rng::generator(7, "gate");
    const TIMES: usize = 500;
    let mut run = |slowdown: f64| {
        let run = 1.0 + f64::from(rng::normals(1, between, &mut rng)[0]);
        drawn(repeats, run * slowdown, deviation, &mut rng)
    };
    let fails = |_: &usize| slower(&compared(&run(1.0), &run(slowdown)));
    (0..TIMES).filter(fails).count() as f64 / TIMES as f64
}

#[test]
fn equal_programs_pass_whatever_the_noise_between_passes() {
    for repeats in [3, 5, 10] {
        for deviation in [0.002, 0.01, 0.03, 0.1, 0.3] {
            let share = failing(repeats, 1.0, deviation, 0.0);
            // The limit of 5 % is far outside of what noise does in a valid result; beyond, the interval keeps its 99 %.
            let allowed = if deviation <= 0.03 { 0.0 } else { 0.01 };
            assert!(share <= allowed, "{repeats} passes of {deviation}: {share}");
        }
        // Runs that differ by 1 % from each other for no reason that the fixed work shows.
        assert!(failing(repeats, 1.0, 0.005, 0.01) <= 0.006);
    }
}

#[test]
fn a_slowdown_of_ten_percent_fails_where_passes_are_as_quiet_as_a_valid_result_asks() {
    for (repeats, deviation) in [(3, 0.005), (5, 0.01), (10, 0.015)] {
        let share = failing(repeats, 1.1, deviation, 0.0);
        assert!(share > 0.99, "{repeats} passes of {deviation}: {share}");
    }
}

#[test]
fn a_slowdown_just_below_the_limit_seldom_fails() {
    assert!(failing(3, 1.04, 0.01, 0.0) < 0.01);
}

#[test]
fn a_gate_tells_a_regression_from_a_result_that_is_not_to_be_believed() {
    let comparison = |verdict, lower_pct: f64| Comparison {
        baseline: "old.json".to_owned(),
        baseline_engine_version: "1".to_owned(),
        baseline_program_sha256: String::new(),
        max_regression_pct: 5.0,
        machine_pct: 0.0,
        changes: vec![Change {
            figure: "service p50".to_owned(),
            baseline_us: 1.0,
            current_us: 1.0,
            change_pct: lower_pct,
            lower_pct,
            upper_pct: lower_pct,
            detectable_pct: 6.0,
            verdict,
        }],
        left_out: Vec::new(),
        verdict,
    };
    let cases = [
        (Verdict::NotSlower, 0.0, true, Gate::Passed),
        (Verdict::NotDecided, 0.0, true, Gate::Undecided),
        (Verdict::Slower, 10.0, true, Gate::Regressed),
        // As a replay beside a busy neighbour was seen to be slower than itself.
        (Verdict::Slower, 15.0, false, Gate::Invalid),
        (Verdict::Slower, 150.0, false, Gate::Regressed),
        (Verdict::NotSlower, 0.0, false, Gate::Invalid),
        (Verdict::NotDecided, 0.0, false, Gate::Invalid),
    ];
    for (verdict, lower_pct, valid, gate) in cases {
        assert_eq!(Gate::of(&comparison(verdict, lower_pct), valid), gate, "{verdict:?} {lower_pct} {valid}");
    }
    assert_eq!(serde_json::to_value(Gate::Regressed).unwrap(), "regressed");
}
