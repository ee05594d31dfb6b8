use super::*;
use crate::base::names::{EngineName, TractPlan};
use crate::measure::{
    campaign::examples::job,
    measurement::{
        self,
        examples::{pass, plan},
    },
    plan::PlanChoice,
    replay::{slo::Progress, work::WorkSamples},
    validity::{Limits, examples::waiting},
};
use std::time::Duration;

/// One worker that needs 1 ms per request: everybody waits ρ/(1 − ρ) ms at a load of ρ, which is 4 ms at 0.8.
fn measured(campaign: &Campaign) -> Measured {
    let load = campaign.rate().map_or(0.0, |qps| qps / 1000.0);
    let wait_us = if load < 1.0 { 1000.0 * load / (1.0 - load) } else { 1e9 };
    let mut recording = waiting(|_| wait_us as u64);
    recording.work = WorkSamples::planned(1000);
    let ms = Duration::from_millis;
    (0..1000).for_each(|i| recording.work.record(i, 10, ms(0), ms(0), ms(1)));
    let mut pass = pass(recording, 1, 2);
    pass.load.offered_qps = campaign.rate();
    let passes = vec![pass; campaign.plan.repeats];
    let (measurement, recording) = Measurement::of(&passes, &plan(campaign.plan.repeats)).unwrap();
    Measured { measurement, recording, scores: None }
}

fn outcome(campaign: &Campaign) -> Outcome {
    Outcome { measured: vec![vec![measured(campaign)]], failure: None }
}

fn search<'a>(traffic: Traffic<'a>, objective: &str) -> PeakSearch<'a> {
    let job = job(EngineName::Null, &["m.onnx"]);
    PeakSearch {
        campaign: Campaign { jobs: vec![job], plan: plan(1), scored: [].into() },
        objectives: vec![objective.parse().unwrap()],
        precision_pct: 3.0,
        traffic,
        requests: 1000,
    }
}

const TRAFFIC: Traffic<'_> = Traffic::Poisson { candidates: &[10] };

#[test]
fn the_result_is_that_of_the_highest_rate_that_holds_and_carries_the_curve() {
    let (mut kept, mut rates) = (Vec::new(), Vec::new());
    let best = search(TRAFFIC, "p99=5ms")
        .run(
            |campaign| {
                rates.push(campaign.rate());
                Ok(outcome(campaign))
            },
            |best| {
                kept.push(best.measurement.slo.clone().unwrap());
                Ok(())
            },
        )
        .unwrap();
    let curve = best.measurement.slo.unwrap();
    let highest = curve.highest_qps.unwrap();
    assert!(highest <= 800.0 && highest * 1.04 >= 800.0, "{highest}");
    assert_eq!(best.measurement.load.offered_qps, Some(highest));
    // The first pass has no schedule; it was kept, every rate after it with all before it, and then the end.
    assert_eq!((rates[0], rates.len()), (None, curve.points.len() + 1));
    assert!(
        kept.iter().zip(0..).take(curve.points.len() + 1).all(|(curve, count)| curve.points.len() == count)
    );
    assert_eq!(kept.last(), Some(&curve));
}

/// A search whose replay number `at` (the first is that in closed loop) is stopped after, or else in the middle of its last
/// pass: the result that was kept.
fn stopped(at: usize, after: bool) -> Measurement {
    let (mut kept, mut count) = (None, 0);
    let error = search(TRAFFIC, "p99=5ms").run(
        |campaign| {
            count += 1;
            let mut outcome = outcome(campaign);
            if count == at {
                outcome.failure = Some(Error::Interrupted { signal: 2, resume: String::new() });
                let measurement = &mut outcome.measured[0][0].measurement;
                measurement.interrupted = !after;
                measurement.valid = after;
            }
            Ok(outcome)
        },
        |best| {
            kept = Some(best.measurement.clone());
            Ok(())
        },
    );
    assert!(matches!(error.unwrap_err(), Error::Interrupted { .. }));
    kept.unwrap()
}

#[test]
fn a_search_that_is_stopped_keeps_what_was_measured() {
    let points = |result: &Measurement| {
        let curve = result.slo.as_ref().unwrap();
        assert_eq!(curve.progress, Progress::Partial);
        curve.points.iter().map(|point| point.standing).collect::<Vec<_>>()
    };
    let closed = stopped(1, false);
    assert_eq!((closed.interrupted, points(&closed).len()), (true, 0));
    // Nothing better is there: the result is the marked one of the first rate.
    let first = stopped(2, false);
    assert_eq!((first.interrupted, points(&first)), (true, vec![Standing::Undecided]));
    assert_eq!(first.slo.as_ref().unwrap().lowest_failed_qps, None);
    let whole = stopped(2, true);
    assert!(!whole.interrupted && points(&whole) != [Standing::Undecided]);
    let third = stopped(4, false);
    assert!(!third.interrupted);
    assert_eq!((points(&third).len(), points(&third)[2]), (3, Standing::Undecided));
}

#[test]
fn every_attempt_at_a_rate_that_stays_undecided_is_in_the_curve() {
    // From 300 per second on nothing is valid.
    let best = search(TRAFFIC, "p99=5ms")
        .run(
            |campaign| {
                let mut outcome = outcome(campaign);
                outcome.measured[0][0].measurement.valid = campaign.rate().is_none_or(|qps| qps < 300.0);
                Ok(outcome)
            },
            |_| Ok(()),
        )
        .unwrap();
    let curve = best.measurement.slo.unwrap();
    let (undecided, highest) = (curve.lowest_undecided_qps.unwrap(), curve.highest_qps.unwrap());
    assert!(highest < 300.0 && undecided >= 300.0 && undecided / highest <= 1.03, "{highest} to {undecided}");
    let times = |qps| curve.points.iter().filter(|point| point.offered_qps == qps).count();
    assert_eq!((times(undecided), times(highest)), (ATTEMPTS, 1));
}

#[test]
fn all_rates_run_on_the_plan_that_the_closed_pass_chose() {
    let choice = PlanChoice {
        asked: TractPlan::Auto,
        taken: TractPlan::Symbolic,
        buckets: Vec::new(),
        requests: 1,
        runs: 3,
        symbolic_us: Some(1.0),
        bucketed_us: Some(2.0),
        padding: None,
    };
    let mut plans = Vec::new();
    search(TRAFFIC, "p99=5ms")
        .run(
            |campaign| {
                plans.push(campaign.jobs[0].plans.clone());
                let mut outcome = outcome(campaign);
                outcome.measured[0][0].measurement.setup.plan_choice = Some(choice.clone());
                Ok(outcome)
            },
            |_| Ok(()),
        )
        .unwrap();
    let expected = [("m.onnx".into(), choice.clone())].into();
    assert!(plans[0].is_empty() && plans.len() > 2 && plans[1..].iter().all(|plans| *plans == expected));
}

#[test]
fn a_rate_gets_the_passes_that_its_duration_needs_and_a_trace_too_short_for_a_percentile_is_refused() {
    let passes = |search: &PeakSearch<'_>, qps| search.at(qps).plan.repeats;
    let mut search = search(TRAFFIC, "p99=5ms");
    assert_eq!(passes(&search, 800.0), 1);
    search.campaign.plan =
        measurement::Plan { limits: Limits { min_requests: 7, min_duration_s: 10.0 }, ..plan(3) };
    assert_eq!((passes(&search, 800.0), passes(&search, 80.0)), (9, 3));
    search.objectives = vec!["p99.9=5ms".parse().unwrap()];
    let refused = search.run(|_| panic!("nothing is replayed"), |_| Ok(())).unwrap_err();
    assert!(matches!(refused, Error::Usage { .. }));
    let text = refused.to_string();
    assert!(text.contains("p99.9 needs 4603") && text.contains("has 1000"), "{text}");
}
