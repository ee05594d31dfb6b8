use super::*;
use crate::base::names::EngineName;
use crate::measure::{
    campaign::examples::job,
    measurement::{
        Plan,
        examples::{pass, plan},
    },
    replay::work::WorkSamples,
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
    Measured { measurement, recording }
}

fn outcome(campaign: &Campaign) -> Outcome {
    Outcome { measured: vec![vec![measured(campaign)]], failure: None }
}

fn search<'a>(traffic: Traffic<'a>, objective: &str) -> PeakSearch<'a> {
    let job = job(EngineName::Null, &["m.onnx"]);
    PeakSearch {
        campaign: Campaign { jobs: vec![job], plan: plan(1) },
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
    // The first pass has no schedule; every rate after it was kept with all before it, and then the end.
    assert_eq!((rates[0], rates.len()), (None, curve.points.len() + 1));
    assert!(kept.iter().zip(1..).take(curve.points.len()).all(|(curve, count)| curve.points.len() == count));
    assert_eq!(kept.last(), Some(&curve));
}

#[test]
fn a_replay_that_fails_or_is_interrupted_leaves_what_was_kept_before() {
    let mut kept = 0;
    let mut count = 0;
    let error = search(TRAFFIC, "p99=5ms").run(
        |campaign| {
            count += 1;
            let failure = (count == 4).then(|| Error::Interrupted { signal: 2, resume: String::new() });
            Ok(Outcome { failure, ..outcome(campaign) })
        },
        |best| {
            kept = best.measurement.slo.as_ref().unwrap().points.len();
            Ok(())
        },
    );
    assert!(matches!(error.unwrap_err(), Error::Interrupted { .. }));
    assert_eq!(kept, 2, "the first of three replays is that in closed loop");
}

#[test]
fn a_rate_gets_the_passes_that_its_percentiles_and_its_duration_need() {
    let passes = |search: &PeakSearch<'_>, qps| search.at(qps).plan.repeats;
    let mut search = search(TRAFFIC, "p99=5ms");
    assert_eq!(passes(&search, 800.0), 1, "1,000 requests earn a p99");
    search.campaign.plan = Plan { limits: Limits { min_requests: 7, min_duration_s: 10.0 }, ..plan(3) };
    assert_eq!((passes(&search, 800.0), passes(&search, 80.0)), (9, 3));
    search.objectives = vec!["p99.9=5ms".parse().unwrap()];
    assert_eq!(passes(&search, 80.0), 5, "4,603 requests earn a p99.9");
}
