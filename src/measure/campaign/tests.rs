use super::*;
use crate::measure::{
    campaign::examples::job,
    measurement::examples::{pass, plan},
    validity::examples::recording,
};
use std::collections::BTreeSet;

/// A pass of every model, which carries engine and model.
fn passes(job: &ReplayJob) -> Vec<Pass> {
    let of = |model: &std::path::PathBuf| {
        let mut pass = pass(recording(100, 0, 0), 1, 2);
        pass.setup.engine = job.engine;
        pass.provenance.model = model.display().to_string();
        pass
    };
    job.models.iter().map(of).collect()
}

fn campaign(repeats: usize) -> Campaign {
    let jobs = vec![job(EngineName::Tract, &["a", "b"]), job(EngineName::Null, &["a", "b"])];
    Campaign { jobs, plan: plan(repeats), scored: BTreeMap::new() }
}

#[test]
fn every_engine_and_model_has_its_turn_in_every_round_in_an_order_that_the_seed_decides() {
    let turns = |seed| {
        let mut campaign = campaign(20);
        campaign.plan.seed = seed;
        let mut turns = Vec::new();
        let outcome = campaign.run_with(|job, round| {
            turns.push((round, job.engine, job.models.clone()));
            Ok(passes(&job))
        });
        (turns, outcome.unwrap())
    };
    let (first, outcome) = turns(1);
    assert_eq!(first.len(), 40);
    for round in first.chunks(2) {
        assert_eq!(round[0].0, round[1].0);
        assert_ne!(round[0].1, round[1].1, "both engines in every round");
    }
    let orders: BTreeSet<_> = first.chunks(2).map(|round| (round[0].1, round[0].2.clone())).collect();
    assert_eq!(orders.len(), 4, "either engine first, either model first");
    for (measured, engine) in outcome.measured.iter().zip([EngineName::Tract, EngineName::Null]) {
        let found: Vec<_> = measured
            .iter()
            .map(|m| (m.measurement.setup.engine, m.measurement.provenance.model.as_str()))
            .collect();
        assert_eq!(found, [(engine, "a"), (engine, "b")], "in the order that was asked for");
        assert!(measured.iter().all(|m| m.measurement.passes.len() == 20 && m.recording.requests() == 2000));
    }
    assert_eq!(turns(1).0, first);
    assert_ne!(turns(2).0, first);
}

#[test]
fn an_engine_that_fails_has_no_further_turn_and_the_others_are_measured() {
    let mut tried = 0;
    let outcome = campaign(3)
        .run_with(|job, _| match job.engine {
            EngineName::Tract => {
                tried += 1;
                Err(Error::usage("cannot", "do something else"))
            }
            _ => Ok(passes(&job)),
        })
        .unwrap();
    assert_eq!(tried, 1);
    assert!(outcome.failure.unwrap().to_string().contains("cannot"));
    assert!(outcome.measured[0].is_empty() && outcome.measured[1][0].measurement.passes.len() == 3);
    let nothing = campaign(3).run_with(|_, _| Err(Error::usage("cannot", "do something else")));
    assert!(nothing.is_err(), "with nothing measured the failure is the outcome");
}

#[test]
fn every_engine_that_fails_has_its_own_failure_as_a_reason_and_is_not_called_stopped() {
    let outcome = campaign(3)
        .run_with(|job, round| match (job.engine, round) {
            (EngineName::Tract, 2) => Err(Error::usage("ran out\nof luck", "mend it")),
            (EngineName::Null, 3) => Err(Error::usage("broke", "glue it")),
            _ => Ok(passes(&job)),
        })
        .unwrap();
    assert!(outcome.failure.unwrap().to_string().contains("ran out"), "the first");
    for (measured, reason, whole) in [
        (&outcome.measured[0], "the engine failed in pass 2: ran out | of luck; mend it; only 1 of 3", 1),
        (&outcome.measured[1], "the engine failed in pass 3: broke; glue it; only 2 of 3", 2),
    ] {
        assert_eq!(measured.len(), 2, "both models");
        for Measured { measurement: found, .. } in measured {
            assert!(!found.interrupted && !found.valid && found.passes.len() == whole);
            let named = found.reasons.iter().filter(|found| found.starts_with(reason)).count();
            assert_eq!(named, 1, "{:?}", found.reasons);
            assert!(!found.reasons.iter().any(|reason| reason.contains("stopped")), "{:?}", found.reasons);
        }
    }
}

#[test]
fn an_engine_that_failed_before_somebody_asked_to_stop_was_not_interrupted() {
    let outcome = campaign(3)
        .run_with(|job, round| match (job.engine, round) {
            (EngineName::Tract, 2) => Err(Error::usage("cannot", "mend it")),
            (EngineName::Null, 3) => Err(Error::Interrupted { signal: 2, resume: String::new() }),
            _ => Ok(passes(&job)),
        })
        .unwrap();
    let interrupted = |job: usize| outcome.measured[job].iter().all(|m| m.measurement.interrupted);
    assert!(!interrupted(0) && interrupted(1));
}

#[test]
fn what_was_measured_before_a_request_to_stop_is_kept_and_marked() {
    for cut in ["inside the second model", "before the second model", "without a result"] {
        let mut turns = 0;
        let outcome = campaign(3)
            .run_with(|job, _| {
                turns += 1;
                let mut done = passes(&job);
                match (turns, cut) {
                    (1..=2, _) => {}
                    (_, "inside the second model") => done[1].recording.interrupted = true,
                    (_, "before the second model") => done.truncate(1),
                    _ => return Err(Error::Interrupted { signal: 2, resume: String::new() }),
                }
                Ok(done)
            })
            .unwrap();
        assert_eq!(turns, 3, "nothing begins after it");
        for Measured { measurement, .. } in outcome.measured.iter().flatten() {
            assert!(measurement.interrupted && !measurement.valid && measurement.requests >= 100, "{cut}");
        }
    }
}

#[test]
fn no_pass_at_all_is_wrong_usage() {
    let refused = campaign(0).run_with(|job, _| Ok(passes(&job)));
    assert!(matches!(refused, Err(Error::Usage { .. })));
}
