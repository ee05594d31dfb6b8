use super::*;
use crate::base::rng;
use crate::measure::{
    conditions::{Conditions, FixedWork, examples::QUIET},
    measurement::{
        Measurement,
        examples::{pass, plan},
    },
    validity::examples::serving,
};

/// The reasons against three passes that serve in these times in µs under these conditions.
fn reasons(services_us: [u64; 3], conditions: Conditions) -> Vec<String> {
    let passes = services_us.map(|us| Pass { conditions, ..pass(serving(1000, |_| us), 1, 2) });
    Measurement::of(&passes, &plan(3)).unwrap().0.reasons
}

fn clock(before: f64, after: f64) -> Conditions {
    let at = |clock_us| FixedWork { clock_us, ..QUIET.before };
    Conditions { before: at(before), after: at(after), ..QUIET }
}

#[test]
fn a_steady_machine_is_no_reason() {
    assert_eq!(reasons([1000, 1029, 971], QUIET), Vec::<String>::new());
}

#[test]
fn a_clock_that_changes_during_a_pass_is_a_reason_in_either_direction() {
    assert!(reasons([1000; 3], clock(300.0, 314.0)).is_empty());
    let slower = reasons([1000; 3], clock(300.0, 330.0));
    assert!(slower.len() == 1 && slower[0].contains("10 % slower"), "{slower:?}");
    assert!(reasons([1000; 3], clock(330.0, 300.0))[0].contains("10 % faster"));
}

#[test]
fn heat_and_stolen_time_are_reasons_where_the_system_tells() {
    let hot = reasons([1000; 3], Conditions { throttle_events: Some(2), ..QUIET });
    assert!(hot.len() == 1 && hot[0].contains("6 times"), "{hot:?}");
    assert!(reasons([1000; 3], Conditions { steal_pct: Some(0.9), ..QUIET }).is_empty());
    let stolen = reasons([1000; 3], Conditions { steal_pct: Some(2.5), ..QUIET });
    assert!(stolen.len() == 1 && stolen[0].contains("2.5 %"), "{stolen:?}");
    let untold = Conditions { steal_pct: None, throttle_events: None, ..QUIET };
    assert!(reasons([1000; 3], untold).is_empty());
}

#[test]
fn passes_that_lie_apart_make_the_result_void_unless_a_microsecond_is_all() {
    let void = reasons([1000, 1000, 1065], QUIET);
    assert!(void.len() == 1 && void[0].contains("void") && void[0].contains("1000 and 1065"), "{void:?}");
    // Half a microsecond around 10 is 5 %, and nothing.
    assert!(reasons([10, 10, 11], QUIET).is_empty());
}

/// Share of 200 results that are void, of passes whose medians are normal with this relative deviation.
fn void(passes: usize, deviation: f32) -> f64 {
    const TIMES: usize = 200;
    let mut generator = rng::generator(3, "void");
    let is_void = |_: &usize| {
        let of = |factor: f32| pass(serving(7, |_| (10_000.0 * (1.0 + factor)) as u64), 1, 2);
        let passes: Vec<Pass> = rng::normals(passes, deviation, &mut generator).into_iter().map(of).collect();
        apart(&passes).is_some()
    };
    (0..TIMES).filter(is_void).count() as f64 / TIMES as f64
}

#[test]
fn more_passes_do_not_make_a_steady_machine_void_nor_an_unsteady_one_believed() {
    // P(χ² with n − 1 degrees > (n − 1) · (3 / 2)²): 10.5 % of three passes, 1.6 % of ten, next to none of forty.
    let rates = [3, 10, 40].map(|passes| void(passes, 0.02));
    assert!((rates[0] - 0.105).abs() < 0.06 && rates[1] < 0.05 && rates[2] == 0.0, "{rates:?}");
    // With (3 / 5)²: 70 %, 95 %, 100 %.
    let rates = [3, 10, 40].map(|passes| void(passes, 0.05));
    assert!((rates[0] - 0.7).abs() < 0.1 && rates[1] > 0.9 && rates[2] == 1.0, "{rates:?}");
}

#[test]
fn a_drift_counts_when_it_is_large_and_not_by_chance_and_not_the_traces_own() {
    // Spread over 300 µs, so that the median of few is known badly.
    let drifting = |count: u64, last_us: u64, half_candidates| {
        let base_us = |i| if i < count / 2 { 1000 } else { last_us };
        let recording = serving(count, |i| base_us(i) + i * 37 % 100 * 3);
        let mut pass = pass(recording, 1, 2);
        pass.load.half_candidates = half_candidates;
        Measurement::of(&[pass], &plan(1)).unwrap().0.reasons
    };
    let found = drifting(1000, 1100, [8.0, 8.0]);
    assert!(found.len() == 1 && found[0].contains("drifted"), "{found:?}");
    assert!(drifting(1000, 1040, [8.0, 8.0]).is_empty(), "4 %");
    assert!(drifting(1000, 1100, [8.0, 9.0]).is_empty(), "the last half asks for more candidates");
    assert!(drifting(20, 1090, [8.0, 8.0]).is_empty(), "20 requests cannot tell");
    assert!(!drifting(1000, 900, [8.0, 8.0]).is_empty(), "faster is a drift too");
}
