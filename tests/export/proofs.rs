//! Proofs that every engine scores as the network does.

use super::*;

#[test]
fn a_model_whose_weights_differ_from_the_network_fails_the_proof() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 6);
    let network = support::network(&features, &[16], 6);
    let (_folder, path) = export_to_file(&network, Layout::UserOnce);
    let mut other = network.clone();
    other.body.layers_mut()[1].bias[0] += 1e-3;
    let engine = engine::engine(EngineName::Tract).unwrap();
    let rows: Vec<u32> = (0..30).collect();
    let failed =
        prove::prove(&other, &path, &data, &rows, &[engine.as_ref()], &options(None), FP32_TOLERANCE)
            .unwrap_err();
    assert!(matches!(failed, Error::Limit { .. }));
    let text = failed.to_string();
    assert!(text.contains("tract") && text.contains("row 1 scores"), "{text}");
}

#[test]
fn a_proof_ends_when_somebody_asks_it_to() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 6);
    let network = support::network(&features, &[16], 6);
    let (_folder, path) = export_to_file(&network, Layout::Concat);
    let engine = engine::engine(EngineName::Tract).unwrap();
    let stop = Stop::never();
    let prove = || {
        let terms = ProofTerms { stop: Some(&stop), ..FP32_TOLERANCE.into() };
        prove::prove(&network, &path, &data, &[0, 1], &[engine.as_ref()], &options(None), terms)
    };
    prove().unwrap();
    stop.request(15);
    assert!(matches!(prove().unwrap_err(), Error::Interrupted { signal: 15, .. }));
}

#[test]
fn the_joined_request_has_the_candidates_of_the_target() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 6);
    let network = support::network(&features, &[16], 6);
    let (_folder, path) = export_to_file(&network, Layout::UserOnce);
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    let rows: Vec<u32> = (0..30).collect();
    for (hint, expected) in [(None, 30), (Some(7), 7), (Some(100), 100)] {
        let (report, _) =
            prove::prove(&network, &path, &data, &rows, &engines, &options(hint), FP32_TOLERANCE).unwrap();
        assert_eq!((report.rows, report.request_candidates), (30, vec![expected]));
    }
    // What is served is asked for at its edges too, on the plan for the target's count.
    let terms = ProofTerms { edges: true, ..FP32_TOLERANCE.into() };
    let (report, _) =
        prove::prove(&network, &path, &data, &rows, &engines, &options(Some(7)), terms).unwrap();
    assert_eq!(report.request_candidates, [1, 7, 10_000]);
    let mut other = network.clone();
    other.body.layers_mut()[1].bias[0] += 1e-3;
    let text = prove::prove(&other, &path, &data, &rows, &engines, &options(Some(7)), terms)
        .unwrap_err()
        .to_string();
    assert!(text.contains("row 1 scores"), "{text}");
}

#[test]
fn a_proof_is_made_on_the_provider_and_threads_that_will_serve() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 6);
    let network = support::network(&features, &[16], 6);
    let (_folder, path) = export_to_file(&network, Layout::UserOnce);
    let engine = engine::engine(EngineName::Tract).unwrap();
    for options in [
        SessionOptions { provider: Provider::Cuda, ..options(None) },
        SessionOptions { threads: 2, ..options(None) },
    ] {
        let refused =
            prove::prove(&network, &path, &data, &[0], &[engine.as_ref()], &options, FP32_TOLERANCE);
        assert!(matches!(refused, Err(Error::Usage { .. })), "tract has neither");
    }
}

#[test]
fn a_proof_without_an_engine_is_none() {
    let features = support::every_kind();
    let data = support::dataset(&features, 10, 1);
    let network = support::network(&features, &[8], 1);
    let (_folder, path) = export_to_file(&network, Layout::Concat);
    let error = prove::prove(&network, &path, &data, &[0, 1], &[], &options(None), FP32_TOLERANCE)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no engine"), "{error}");
}
