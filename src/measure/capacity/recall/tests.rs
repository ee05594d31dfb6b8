use super::*;
use crate::{
    base::{fsio, names::EngineName},
    learn::metrics::{Metrics, ScoredPoint, ScoringOrder, TopLists},
    measure::evaluate,
};

/// 0.5 at 100 candidates and 0.9 at 500.
fn scored() -> CandidatesScored {
    let point = |scored, recall| ScoredPoint { scored, recall, standard_error: Some(0.25) };
    let recalls = vec![ScoredRecall { k: 10, requests: 7, points: vec![point(100, 0.5), point(500, 0.9)] }];
    CandidatesScored { order: ScoringOrder::Data, lists_hash: "ab".into(), recalls }
}

fn evaluation(model: &str) -> Evaluation {
    Evaluation {
        schema_version: evaluate::SCHEMA_VERSION,
        model: format!("{model}.onnx"),
        model_sha256: model.to_owned(),
        engine: EngineName::Tract,
        engine_version: "1".into(),
        rows: 9,
        label: "click".into(),
        metrics: Metrics::of(&[0.2, 0.8], &[0.0, 1.0], None),
        top_lists: TopLists::of(&[0.5, 0.2], &[0.1, 0.3], &[1, 1], &[1]),
        candidates_scored: Some(scored()),
    }
}

#[test]
fn what_is_affordable_has_the_recall_of_the_line_and_nothing_beyond_the_measured() {
    let of = |affordable| AffordedRecall::of(affordable, &scored()).remove(0);
    let known = |candidates| of(Affordable::Exactly { candidates }).recall.unwrap();
    assert_eq!([known(100), known(500)], [0.5, 0.9]);
    assert!((known(200) - 0.6).abs() < 1e-12, "a quarter of the way");
    let least = of(Affordable::AtLeast { candidates: 300 });
    assert!((least.recall.unwrap() - 0.7).abs() < 1e-12 && least.k == 10 && least.not_known.is_none());
    assert_eq!(least.standard_error, Some(0.25));
    for (affordable, expected) in [
        (Affordable::Exactly { candidates: 99 }, "99 candidates lie outside of the 100 to 500"),
        (Affordable::AtLeast { candidates: 501 }, "501 candidates lie outside"),
        (Affordable::Fewer { candidates: 200 }, "fewer than 200 candidates"),
    ] {
        let found = of(affordable);
        assert_eq!((found.recall, found.standard_error), (None, None));
        assert!(found.not_known.as_ref().is_some_and(|why| why.contains(expected)), "{found:?}");
    }
}

#[test]
fn evaluations_are_found_by_their_model_and_have_to_be_of_the_same_lists() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, change: &dyn Fn(&mut Evaluation)| {
        let mut evaluation = evaluation(name);
        change(&mut evaluation);
        let path = folder.path().join(format!("{name}.json"));
        fsio::write_json(&path, &evaluation).unwrap();
        path
    };
    let small = write("small", &|_| {});
    let large = write("large", &|other| other.candidates_scored.as_mut().unwrap().recalls[0].k = 3);
    let recalls = Recalls::load(&[small.clone(), large]).unwrap();
    assert_eq!(recalls.of("large").unwrap().recalls[0].k, 3);
    assert_eq!((recalls.of("small").unwrap(), recalls.of("medium")), (&scored(), None));
    recalls.check_used(["large", "medium", "small"].into_iter()).unwrap();
    let unused = recalls.check_used(["small"].into_iter()).unwrap_err().to_string();
    assert!(unused.contains("large.json") && unused.contains("large.onnx"), "{unused}");

    type Change = fn(&mut Evaluation);
    let changes: [(&str, Change); 5] = [
        ("other requests", |e| e.candidates_scored.as_mut().unwrap().lists_hash = "cd".into()),
        ("another order", |e| e.candidates_scored.as_mut().unwrap().order = ScoringOrder::Random { seed: 1 }),
        ("the same model as", |e| e.model_sha256 = "small".into()),
        ("evaluate --scored", |e| e.candidates_scored = None),
        ("is 1, this program reads 2", |e| e.schema_version = 1),
    ];
    for (expected, change) in changes {
        let other = write("other", &change);
        let error = Recalls::load(&[small.clone(), other]).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("other.json"), "{error}");
    }
}
