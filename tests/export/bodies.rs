//! Networks that are not layers one behind the other: two towers, and a head per partition.

use super::*;
use crate::support::bodies::{partitioned, two_tower};
use autofas_bench::{
    export::{
        Format, Reference,
        quantise::{QuantiseSettings, every_layer},
    },
    learn::network::{Partitioned, TwoTower},
};

/// One of every form, each with and without hidden layers where they may be left out.
fn every_form(features: &[FeatureSpec]) -> Vec<Network> {
    vec![
        two_tower(features, &[16, 8]),
        two_tower(features, &[]),
        partitioned(features, Side::User, &[16], &[8, 5]),
        partitioned(features, Side::User, &[16, 12], &[]),
        partitioned(features, Side::Item, &[16], &[8, 5]),
        partitioned(features, Side::Item, &[7], &[]),
    ]
}

const LAYOUTS: [Layout; 2] = [Layout::Concat, Layout::UserOnce];

fn forms_of(network: &Network) -> Vec<Form> {
    let outside = matches!(network.body, Body::TwoTower(_));
    let embeddings = [Some(Embeddings::Inside), outside.then_some(Embeddings::Outside)];
    let all = LAYOUTS.iter().flat_map(|&layout| {
        embeddings.into_iter().flatten().map(move |embeddings| Form { embeddings, ..layout.into() })
    });
    all.collect()
}

fn assert_proved(network: &Network, rows: usize, terms: ProofTerms) {
    let features: Vec<_> = support::every_kind();
    let data = support::dataset(&features, rows, 4);
    let rows: Vec<u32> = (0..rows as u32).collect();
    let scores = network.score(&data, &rows).unwrap();
    assert!(scores.iter().any(|score| (score - scores[0]).abs() > 0.05), "scores that are all alike");
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for form in forms_of(network) {
        let (_folder, path) = export_to_file(network, form.clone());
        let (report, _) = prove::prove(network, &path, &data, &rows, &engines, &options(None), terms)
            .unwrap_or_else(|e| panic!("{form:?}, {}: {e}", network.body.name()));
        assert_eq!(report.engines.len(), 2);
    }
}

#[test]
fn every_form_scores_as_its_network_does_in_both_engines() {
    for network in every_form(&support::every_kind()) {
        assert_proved(&network, 300, FP32_TOLERANCE.into());
    }
}

#[test]
fn every_form_serves_one_candidate_and_ten_thousand() {
    let terms = ProofTerms { edges: true, ..FP32_TOLERANCE.into() };
    for network in every_form(&support::every_kind()).into_iter().step_by(2) {
        assert_proved(&network, 40, terms);
    }
}

#[test]
fn every_form_leaves_in_halves_too() {
    let features = support::every_kind();
    let data = support::dataset(&features, 60, 4);
    let rows: Vec<u32> = (0..60).collect();
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for network in every_form(&features).into_iter().step_by(2) {
        let stored = Format::Fp16.stored(&network, Embeddings::Inside);
        for layout in LAYOUTS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.onnx");
            export::onnx_in(&Format::Fp16, &network, layout, &metadata()).unwrap().write(&path).unwrap();
            let reference = Reference::of(&stored, &Format::Fp16);
            prove::prove(reference, &path, &data, &rows, &engines, &options(None), FP32_TOLERANCE)
                .unwrap_or_else(|e| panic!("{layout}, {}: {e}", network.body.name()));
        }
    }
}

#[test]
fn the_user_tower_has_one_row_and_concat_the_tensors_of_every_network() {
    let network = two_tower(&support::every_kind(), &[8]);
    let rows = |layout: Layout| -> Vec<(String, Rows, usize)> {
        let tensors = export::onnx(&network, layout, &metadata()).unwrap().signature.tensors;
        tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor.rows, tensor.columns())).collect()
    };
    let plain = support::network(&support::every_kind(), &[8], 3);
    let signature =
        |network: &Network, layout: Layout| export::onnx(network, layout, &metadata()).unwrap().signature;
    assert_eq!(signature(&network, Layout::UserOnce), signature(&plain, Layout::UserOnce));
    let of_plain = signature(&plain, Layout::Concat).tensors;
    let wanted: Vec<_> =
        of_plain.iter().map(|tensor| (tensor.name.clone(), tensor.rows, tensor.columns())).collect();
    assert_eq!(rows(Layout::Concat), wanted);
}

#[test]
fn another_networks_weights_fail_the_proof_in_every_part() {
    let features = support::every_kind();
    let data = support::dataset(&features, 60, 4);
    let rows: Vec<u32> = (0..60).collect();
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for network in [two_tower(&features, &[8]), partitioned(&features, Side::User, &[8], &[4])] {
        for part in 0..network.body.layers().len() {
            let mut other = network.clone();
            other.body.layers_mut()[part].bias.iter_mut().for_each(|bias| *bias += 0.05);
            for layout in LAYOUTS {
                let (_folder, path) = export_to_file(&other, layout);
                let proof =
                    prove::prove(&network, &path, &data, &rows, &engines, &options(None), FP32_TOLERANCE);
                assert!(matches!(proof, Err(Error::Limit { .. })), "{layout}, layer {part}");
            }
        }
    }
}

#[test]
fn what_is_for_plain_networks_is_refused_with_the_fix() {
    let features = support::every_kind();
    let data = support::dataset(&features, 20, 4);
    for network in [two_tower(&features, &[8]), partitioned(&features, Side::User, &[8], &[])] {
        for layout in [Layout::ItemCached, Layout::ItemCachedF16, Layout::ItemCachedI8] {
            let text = export::onnx(&network, layout, &metadata()).unwrap_err().to_string();
            assert!(text.contains("item table") && text.contains("concat or user-once"), "{text}");
        }
        let settings = QuantiseSettings::default();
        let refused = every_layer(&network, &Layout::Concat.into(), &data, &[0, 1], &settings);
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("int8") && text.contains("fp16"), "{text}");
    }
    let outside = Form { embeddings: Embeddings::Outside, ..Layout::UserOnce.into() };
    let network = partitioned(&features, Side::User, &[8], &[]);
    let text = export::onnx(&network, outside, &metadata()).unwrap_err().to_string();
    assert!(text.contains("comes as a vector") && text.contains("inside"), "{text}");
}

#[test]
fn forms_whose_shapes_disagree_are_refused() {
    let features = support::every_kind();
    let refused = |network: &Network, what: &str| {
        let text = export::onnx(network, Layout::Concat, &metadata()).unwrap_err().to_string();
        assert!(text.contains(what), "{text}");
    };
    let towers = two_tower(&features, &[8]);
    let mut torn = towers.clone();
    torn.body.layers_mut()[1].weight.pop();
    refused(&torn, "user tower: layer 2");
    let Body::TwoTower(of_towers) = &towers.body else { panic!("towers") };
    let narrow = TwoTower { user: of_towers.user[..1].to_vec(), ..of_towers.clone() };
    refused(&Network { body: Body::TwoTower(narrow), ..towers.clone() }, "8 outputs instead of 6");
    let mut one_sided = towers.clone();
    one_sided.inputs.iter_mut().for_each(|input| input.side = Side::User);
    refused(&one_sided, "item tower: there is no feature");
    let heads = partitioned(&features, Side::User, &[8], &[4]);
    let Body::Partitioned(parts) = &heads.body else { panic!("heads") };
    let changed = |change: &dyn Fn(&mut Partitioned)| {
        let mut parts = parts.clone();
        change(&mut parts);
        Network { body: Body::Partitioned(parts), ..heads.clone() }
    };
    refused(&changed(&|parts| parts.partition_of[0] = 3), "the 3 partitions are not those of the ids");
    refused(&changed(&|parts| parts.input = usize::MAX), "no feature with a table");
    refused(&changed(&|parts| parts.heads[1][0].bias.clear()), "partition 1: layer 1");
    refused(&changed(&|parts| parts.shared.clear()), "no features or no layers");
}
