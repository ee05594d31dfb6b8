use super::*;

/// A system whose p99 is `base / (1 − rate/capacity)`, with a bound 5 % above it.
fn system(capacity_qps: f64, base_us: f64) -> impl Fn(f64) -> Observed {
    move |qps| {
        let load = qps / capacity_qps;
        let p99 = if load < 1.0 { base_us / (1.0 - load) } else { 1e9 };
        let of = |us: f64| Percentiles::of(|p| (p <= Percentile::P99).then_some(us));
        let reasons = if load < 0.95 { Vec::new() } else { vec!["overloaded".to_owned()] };
        Observed {
            requests: 1000,
            rejected: 0,
            response_us: of(p99),
            response_upper_us: of(1.05 * p99),
            valid: reasons.is_empty(),
            reasons,
        }
    }
}

fn searched(objectives: &[&str], start_qps: f64, system: impl Fn(f64) -> Observed) -> SloCurve {
    let mut curve =
        SloCurve::new(objectives.iter().map(|text| text.parse().unwrap()).collect(), 3.0).unwrap();
    while let Some(qps) = curve.next_rate(start_qps) {
        let standing = curve.add(qps, system(qps));
        assert_eq!((standing, curve.progress), (curve.points.last().unwrap().standing, Progress::Partial));
    }
    curve.finish();
    curve
}

#[test]
fn the_highest_rate_is_found_to_the_stated_precision_from_above_and_from_below() {
    // 1.05 · 2 ms / (1 − x) ≤ 20 ms up to a load of 0.895.
    for start_qps in [10.0, 300.0, 600.0, 894.0, 2000.0, 3000.0] {
        let curve = searched(&["p99=20ms"], start_qps, system(1000.0, 2000.0));
        let (highest, failed) = (curve.highest_qps.unwrap(), curve.lowest_failed_qps.unwrap());
        assert!(highest <= 895.0 && 895.0 < failed && failed / highest <= 1.03, "{highest} to {failed}");
        assert_eq!(curve.progress, Progress::Found);
        assert!(curve.points.len() <= MOST_POINTS);
        curve.check().unwrap();
    }
}

#[test]
fn a_replay_that_is_not_valid_holds_nothing_and_leaves_its_rate_undecided() {
    // The limit alone would allow a load of 0.979; from 0.95 on the replays are overloaded.
    let curve = searched(&["p99=100ms"], 500.0, system(1000.0, 2000.0));
    let highest = curve.highest_qps.unwrap();
    assert!((920.0..950.0).contains(&highest), "{highest}");
    let undecided = curve.lowest_undecided_qps.unwrap();
    assert!(undecided >= 950.0 && undecided / highest <= 1.03, "{undecided}");
    assert!(curve.lowest_failed_qps.is_none_or(|failed| failed > undecided));
    assert_eq!(curve.progress, Progress::Found);
}

#[test]
fn a_later_replay_decides_a_rate_and_one_that_was_stopped_does_not() {
    let seen = |valid, us| Observed {
        requests: 1000,
        rejected: 0,
        response_us: Percentiles::of(|_| Some(us)),
        response_upper_us: Percentiles::of(|_| Some(us)),
        valid,
        reasons: Vec::new(),
    };
    let new = || SloCurve::new(vec!["p99=1ms".parse().unwrap()], 3.0).unwrap();
    let bounds = |curve: &SloCurve| (curve.highest_qps, curve.lowest_undecided_qps, curve.lowest_failed_qps);
    for (valid, us, decided) in [
        (true, 900.0, (Some(100.0), None, None)),
        (true, 1100.0, (None, None, Some(100.0))),
        (false, 900.0, (None, Some(100.0), None)),
    ] {
        let mut curve = new();
        assert_eq!(curve.add(100.0, seen(false, 900.0)), Standing::Undecided);
        assert_eq!(bounds(&curve), (None, Some(100.0), None));
        curve.add(100.0, seen(valid, us));
        assert_eq!((bounds(&curve), curve.points.len()), (decided, 2));
    }
    let mut curve = new();
    curve.add(100.0, seen(false, 900.0));
    curve.finish();
    let text = curve.check().unwrap_err().to_string();
    assert!(
        text.contains("INVALID: no rate is known to keep the objective p99=1ms: even at 100.000"),
        "{text}"
    );
    let mut curve = new();
    let rejecting = Observed { rejected: 1, ..seen(false, 900.0) };
    assert_eq!(curve.add(100.0, rejecting), Standing::Fails, "what was rejected had no response");
    let mut curve = new();
    curve.add(200.0, seen(true, 1100.0));
    curve.add(150.0, seen(false, 900.0));
    curve.add(100.0, seen(true, 900.0));
    assert_eq!(bounds(&curve), (Some(100.0), Some(150.0), Some(200.0)));
    curve.add(120.0, seen(true, 1100.0));
    curve.add_stopped(110.0, seen(false, 1100.0));
    assert_eq!(bounds(&curve), (Some(100.0), None, Some(120.0)));
    assert_eq!(curve.points.last().unwrap().standing, Standing::Undecided);
}

#[test]
fn every_objective_has_to_hold() {
    let both = searched(&["p99=20ms", "p50=4ms"], 500.0, system(1000.0, 2000.0));
    // 1.05 · 2 ms / (1 − x) ≤ 4 ms up to 0.475.
    let highest = both.highest_qps.unwrap();
    assert!(highest <= 475.0 && highest * 1.03 > 475.0, "{highest}");
}

#[test]
fn a_limit_that_no_rate_keeps_is_said_with_what_was_seen() {
    let curve = searched(&["p99=1ms"], 500.0, system(1000.0, 2000.0));
    assert_eq!((curve.progress, curve.highest_qps), (Progress::Nothing, None));
    assert!(curve.points.last().unwrap().offered_qps == 125.0);
    let text = curve.check().unwrap_err().to_string();
    assert!(text.contains("p99=1ms") && text.contains("requests per second p99 may be 2.400 ms"), "{text}");
}

#[test]
fn a_percentile_that_is_not_earned_does_not_hold() {
    let curve = searched(&["p99.9=1s"], 500.0, system(1000.0, 2000.0));
    let text = curve.check().unwrap_err().to_string();
    assert!(text.contains("p99.9 is not earned by 1000 requests"), "{text}");
}

#[test]
fn a_search_that_ends_too_early_for_its_precision_has_not_found_the_rate() {
    let objectives = vec!["p99=20ms".parse().unwrap()];
    let mut curve = SloCurve::new(objectives, 1e-12).unwrap();
    // Far from the first rate: what raising takes is missing at the end.
    let system = system(1000.0, 2000.0);
    while let Some(qps) = curve.next_rate(0.1) {
        curve.add(qps, system(qps));
    }
    curve.finish();
    assert_eq!((curve.progress, curve.points.len()), (Progress::Partial, MOST_POINTS));
    assert!(curve.highest_qps.is_some() && curve.lowest_failed_qps.is_some());
}

#[test]
fn a_system_without_an_end_ends_the_search() {
    let curve = searched(&["p99=20ms"], 1.0, system(f64::INFINITY, 2000.0));
    assert_eq!((curve.progress, curve.points.len()), (Progress::Unbounded, MOST_POINTS));
    curve.check().unwrap();
}

#[test]
fn a_curve_reads_back() {
    let curve = searched(&["p99=20ms"], 500.0, system(1000.0, 2000.0));
    let text = serde_json::to_string(&curve).unwrap();
    assert_eq!(serde_json::from_str::<SloCurve>(&text).unwrap(), curve);
    assert!(text.contains(r#""percentile":"p99","limit_us":20000.0"#) && !text.contains("p999"), "{text}");
}

#[test]
fn a_search_needs_a_precision() {
    for precision_pct in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(SloCurve::new(Vec::new(), precision_pct).is_err());
    }
}
