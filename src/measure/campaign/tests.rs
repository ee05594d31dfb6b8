use super::*;
use crate::measure::{
    campaign::examples::job,
    measurement::examples::{pass, plan},
    prove::FP32_TOLERANCE,
    scores::ScoredRequest,
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

fn crash() -> Error {
    let (engine, status) = ("tract".to_owned(), "signal: 11 (SIGSEGV)".to_owned());
    Error::Child { engine, status, code: None, stderr: "it wrote nothing".to_owned() }
}

#[test]
fn an_engine_that_crashes_has_its_pass_once_more_and_its_result_says_so_and_is_not_believed() {
    let mut tried = Vec::new();
    let outcome = campaign(3)
        .run_with(|job, round| {
            tried.push((job.engine, round));
            let second = tried.iter().filter(|&&turn| turn == (EngineName::Tract, 2)).count();
            match (job.engine, round, second) {
                (EngineName::Tract, 2, 1) => Err(crash()),
                _ => Ok(passes(&job)),
            }
        })
        .unwrap();
    assert_eq!((tried.len(), outcome.failure.is_none()), (7, true));
    for Measured { measurement, .. } in &outcome.measured[0] {
        assert!(!measurement.valid && !measurement.interrupted && measurement.passes.len() == 3);
        let reasons = measurement.reasons.join("\n");
        assert!(
            reasons.contains("the engine failed in pass 2: ") && reasons.contains("SIGSEGV"),
            "{reasons}"
        );
        assert!(reasons.contains("the pass was made once more"), "{reasons}");
    }
    let of_other = &outcome.measured[1][0].measurement.reasons;
    assert!(!of_other.iter().any(|reason| reason.contains("once more")), "{of_other:?}");
}

#[test]
fn an_engine_that_crashes_again_has_no_further_turn() {
    // In the same pass, and in a later one.
    for (crashing, expected) in [([2, 2], 1), ([1, 3], 2)] {
        let mut left = crashing.to_vec();
        let outcome = campaign(3).run_with(|job, round| match job.engine {
            EngineName::Tract if left.first() == Some(&round) => {
                left.remove(0);
                Err(crash())
            }
            _ => Ok(passes(&job)),
        });
        let outcome = outcome.unwrap();
        let failure = outcome.failure.unwrap().to_string();
        assert!(failure.contains("tract ended with signal: 11"), "{failure}");
        assert_eq!(failure.contains("as one before it"), crashing[0] == crashing[1], "{failure}");
        assert_eq!(outcome.measured[0][0].measurement.passes.len(), expected);
        assert_eq!(outcome.measured[1][0].measurement.passes.len(), 3);
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

/// [`passes`] in which every candidate of five requests has that score.
fn scoring(job: &ReplayJob, score: f32) -> Vec<Pass> {
    let mut passes = passes(job);
    let request = |index| ScoredRequest::new(index, 3, &[score; 3]).unwrap();
    for pass in &mut passes {
        let requests = (0..5).map(request).collect();
        pass.scores = Some(PassScores {
            engine: job.engine.to_string(),
            tolerance: FP32_TOLERANCE,
            requests,
            within: None,
        });
    }
    passes
}

/// The reasons of every job's first model that speak of outputs, of two engines that score these in their passes.
fn disagreements(campaign: &Campaign, tract: [f32; 2], other: f32) -> Vec<Vec<String>> {
    let outcome = campaign
        .run_with(|job, round| match job.engine {
            EngineName::Tract => Ok(scoring(&job, tract[round - 1])),
            _ => Ok(scoring(&job, other)),
        })
        .unwrap();
    let about = |measured: &Vec<Measured>| {
        let Measured { measurement, scores, .. } = &measured[0];
        assert_eq!(measurement.trace_outputs.as_ref().unwrap().requests, 5);
        assert!(scores.is_some());
        let reasons = measurement.reasons.iter().filter(|reason| reason.starts_with("outputs differ"));
        reasons.cloned().collect()
    };
    outcome.measured.iter().map(about).collect()
}

#[test]
fn engines_or_passes_that_score_the_traces_requests_differently_are_not_believed() {
    let jobs = vec![job(EngineName::Tract, &["a", "b"]), job(EngineName::OnnxRuntime, &["a", "b"])];
    let mut campaign = Campaign { jobs, ..campaign(2) };
    let agreeing = disagreements(&campaign, [0.5, 0.5 + 5e-6], 0.5);
    assert!(agreeing.iter().all(Vec::is_empty), "{agreeing:?}");
    let apart = disagreements(&campaign, [0.5, 0.5], 0.75);
    assert!(apart[0][0].contains("tract scores 0.5 and onnxruntime 0.75"), "{apart:?}");
    assert!(apart[1][0].contains("onnxruntime scores 0.75 and tract 0.5"), "{apart:?}");
    let within = disagreements(&campaign, [0.5, 0.75], 0.5);
    assert!(within[0][0].contains("tract in pass 2 scores 0.75 and tract in pass 1 0.5"), "{within:?}");

    // One after the other, as in a search: the later one is held against the earlier.
    let job = campaign.jobs.remove(0);
    let earlier = scoring(&job, 0.25).remove(0).scores.unwrap();
    let engine = "tract of before".to_owned();
    campaign.scored = [("a".into(), vec![PassScores { engine, ..earlier }])].into();
    let later = disagreements(&campaign, [0.0; 2], 0.5);
    assert!(later[0][0].contains("onnxruntime scores 0.5 and tract of before 0.25"), "{later:?}");
}
