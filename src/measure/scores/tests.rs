use super::*;
use crate::{
    base::Error,
    measure::{engine::InputTensor, prove::FP32_TOLERANCE},
};

/// Requests with these numbers of candidates.
struct Counts(Vec<usize>);

impl Workload for Counts {
    fn requests(&self) -> usize {
        self.0.len()
    }
    fn candidates(&self, request: usize) -> usize {
        self.0[request]
    }
    fn inputs(&self) -> Inputs {
        let x = engine::TensorData::F32(Vec::new());
        Inputs { candidates: 0, tensors: vec![InputTensor { name: "x".into(), shape: [0, 1], data: x }] }
    }
    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        inputs.candidates = self.0[request];
        inputs.tensors[0].data = engine::TensorData::F32(vec![request as f32; self.0[request]]);
        Ok(())
    }
}

/// Scores candidate c of request r with r + c / 10,000, and what `off` says of both in addition.
struct Scoring<F>(F);

impl<F: Fn(usize, usize) -> f32 + Send> Session for Scoring<F> {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let engine::TensorData::F32(x) = &inputs.tensors[0].data else { panic!("numbers expected") };
        *scores = x.iter().enumerate().map(|(c, r)| r + c as f32 / 1e4 + (self.0)(*r as usize, c)).collect();
        Ok(())
    }
}

fn scored(counts: &[usize], off: impl Fn(usize, usize) -> f32 + Send) -> Vec<ScoredRequest> {
    let workload = Counts(counts.to_vec());
    score(&mut Scoring(off), &workload, &sample(&workload)).unwrap()
}

fn pass(engine: &str, requests: Vec<ScoredRequest>) -> PassScores {
    PassScores { engine: engine.into(), tolerance: FP32_TOLERANCE, requests, within: None }
}

#[test]
fn every_bucket_is_in_the_sample_with_its_first_and_its_largest_request() {
    // A thousand requests of 40 candidates; two of another bucket hide among them.
    let mut counts = vec![40; 1000];
    (counts[501], counts[700]) = (17, 19);
    counts.extend(21..30);
    let sample = sample(&Counts(counts.clone()));
    assert!([501, 700].iter().all(|index| sample.contains(index)), "{sample:?}");
    assert!(sample.is_sorted() && sample.len() <= SPREAD + 2 * 6, "{}", sample.len());
    assert!(sample.iter().filter(|&&index| counts[index] == 40).count() >= SPREAD - 2);
    assert_eq!(super::sample(&Counts(vec![3; 5])), [0, 1, 2, 3, 4]);
}

#[test]
fn of_a_long_request_scores_are_kept_from_the_first_to_the_last() {
    for candidates in [0, 1, 2, KEPT, KEPT + 1, 10 * KEPT] {
        let kept: Vec<usize> = kept(candidates).collect();
        assert_eq!(kept.len(), candidates.min(KEPT));
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(kept.last().copied(), candidates.checked_sub(1));
    }
}

#[test]
fn the_largest_difference_is_named_with_its_request_and_candidate() {
    let counts = [3, 2500, 7];
    let plain = scored(&counts, |_, _| 0.0);
    let other = scored(&counts, |r, c| match (r, c) {
        (1, 2499) => 0.25,
        (2, 4) => -0.125,
        _ => 0.0,
    });
    let found = ScoreDifference::largest(["a", "b"], [&plain, &other]).unwrap();
    assert_eq!((found.request, found.candidate), (2, 2500));
    assert!((found.abs_difference - 0.25).abs() < 1e-6 && found.other_score > found.score, "{found:?}");
    assert_eq!((found.engine.as_str(), found.other_engine.as_str()), ("a", "b"));
    // A request that only one has scored is nobody's difference.
    let found = ScoreDifference::largest(["a", "b"], [&plain[..1], &other]).unwrap();
    assert_eq!(found.abs_difference, 0.0);
    assert_eq!(ScoreDifference::largest(["a", "b"], [&plain[..1], &other[1..]]), None);
}

#[test]
fn scores_that_are_no_numbers_or_too_few_are_failures() {
    for scores in [&[0.5, f32::NAN][..], &[0.5]] {
        assert!(matches!(ScoredRequest::new(0, 2, scores), Err(Error::Engine { .. })));
    }
}

#[test]
fn passes_engines_and_what_lies_within_a_pass_are_all_compared() {
    let counts = [5, 6];
    let off = |by: f32| scored(&counts, move |r, c| if (r, c) == (1, 3) { by } else { 0.0 });
    let plain = || pass("tract 1", off(0.0));
    let alone = TraceOutputs::of(&[&plain()], &[]).unwrap();
    assert_eq!((alone.requests, alone.scores, alone.largest.clone(), alone.reason()), (2, 11, None, None));
    assert_eq!(TraceOutputs::of(&[], &[&plain()]), None);

    let agreeing = TraceOutputs::of(&[&plain(), &plain()], &[&pass("onnxruntime 2", off(5e-6))]).unwrap();
    assert_eq!((agreeing.reason(), agreeing.compared_with), (None, vec!["onnxruntime 2".to_owned()]));

    let between_engines = TraceOutputs::of(&[&plain()], &[&pass("onnxruntime 2", off(0.5))]).unwrap();
    let reason = between_engines.reason().unwrap();
    for part in [
        "outputs differ: of request 2 of the trace, candidate 4, tract 1 scores 1.0003",
        "onnxruntime 2 1.5003",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let between_passes = TraceOutputs::of(&[&plain(), &pass("tract 1", off(0.5))], &[]).unwrap();
    assert!(between_passes.reason().unwrap().contains("tract 1 in pass 2 scores 1.5003"));
    let within = ScoreDifference::largest(["one plan", "another"], [&off(0.0), &off(0.5)]);
    let within = TraceOutputs::of(&[&PassScores { within, ..plain() }, &plain()], &[]).unwrap();
    assert!(within.reason().unwrap().contains("one plan scores 1.0003 and another 1.5003"));
}

#[test]
fn scores_come_back_from_their_written_form() {
    let scores = pass("tract 1", scored(&[3, 2000], |_, c| c as f32 / 3.0));
    let text = serde_json::to_string(&scores).unwrap();
    assert_eq!(serde_json::from_str::<PassScores>(&text).unwrap(), scores);
    let cut = text.replacen("AAAAA", "AAAA", 1);
    assert!(cut != text && serde_json::from_str::<PassScores>(&cut).is_err());
}
