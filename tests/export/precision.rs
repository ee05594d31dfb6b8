//! Graphs in fp16 and in int8 against their references, in both engines.

use super::{engines, feature, forms, metadata, options, support};
use autofas_bench::{
    base::{
        Error,
        names::{Embeddings, Layout, Precision},
    },
    data::dataset::Dataset,
    export::{
        self, Form, Format, OnnxModel, Reference,
        format::Integers,
        probe::{self, PlainInput},
        quantise::{QuantiseSettings, every_layer},
        signature::{ElementType, Rows},
    },
    learn::network::Network,
    measure::{
        engine::{InputTensor, Inputs, TensorData},
        prove::{self, FP32_TOLERANCE, ParityReport},
    },
};
use proptest::prelude::*;
use std::borrow::Cow;

struct Scene {
    network: Network,
    data: Dataset,
    rows: Vec<u32>,
}

impl Scene {
    fn new(hidden: &[usize], seed: u64) -> Self {
        Self::over(&support::every_kind(), hidden, 500, seed)
    }

    fn over(features: &[support::FeatureSpec], hidden: &[usize], rows: usize, seed: u64) -> Self {
        let data = support::dataset(features, rows, seed);
        let rows = (0..data.rows() as u32).collect();
        Self { network: support::network(features, hidden, seed), data, rows }
    }

    fn integers(&self, form: &Form) -> Integers {
        every_layer(&self.network, form, &self.data, &self.rows, &QuantiseSettings::default()).unwrap()
    }

    fn prove(&self, form: &Form, format: &Format) -> ParityReport {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let model = export::onnx_in(format, &self.network, form.clone(), &metadata()).unwrap();
        model.write(&path).unwrap();
        let engines = engines();
        let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
        let stored = format.stored(&self.network, form.embeddings);
        let reference = Reference::of(&stored, format);
        let tolerance = prove::tolerance(format.precision());
        let (report, scores) =
            prove::prove(reference, &path, &self.data, &self.rows, &engines, &options(None), tolerance)
                .unwrap_or_else(|e| panic!("{}, {}: {e}", form.layout, format.precision()));
        assert!(scores.iter().all(|own| own.scores.len() == self.rows.len()));
        report
    }
}

#[test]
fn halves_agree_with_the_network_that_they_hold_as_closely_as_floats() {
    let scene = Scene::new(&[64, 32], 21);
    let exact = scene.network.score(&scene.data, &scene.rows).unwrap();
    for form in forms(&support::every_kind()) {
        let report = scene.prove(&form, &Format::Fp16);
        assert!(report.tolerance == FP32_TOLERANCE && report.worst() <= FP32_TOLERANCE, "{}", form.layout);
        let stored = Format::Fp16.stored(&scene.network, form.embeddings);
        let halves = stored.score(&scene.data, &scene.rows).unwrap();
        let changed = halves.iter().zip(&exact).any(|(a, b)| (a - b).abs() > 1e-6);
        assert!(changed, "{}: nothing was rounded", form.layout);
    }
    assert!(matches!(Format::Fp32.stored(&scene.network, Embeddings::Inside), Cow::Borrowed(_)));
}

#[test]
fn halves_that_score_nothing_do_not_pass_for_rare_clicks() {
    // Conversions: scores near 5e-4, all of them within 1e-3 of nothing.
    let mut scene = Scene::new(&[16], 29);
    let last = scene.network.body.layers_mut().pop().unwrap();
    last.weight.iter_mut().for_each(|weight| *weight *= 0.1);
    last.bias[0] = -7.5;
    let scores = scene.network.score(&scene.data, &scene.rows).unwrap();
    assert!(scores.iter().all(|score| (1e-4..1e-3).contains(score)));
    let form = Form::from(Layout::UserOnce);
    scene.prove(&form, &Format::Fp16);
    let mut nothing = scene.network.clone();
    nothing.body.layers_mut().pop().unwrap().bias[0] = -60.0;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    export::onnx_in(&Format::Fp16, &nothing, form, &metadata()).unwrap().write(&path).unwrap();
    let stored = Format::Fp16.stored(&scene.network, Embeddings::Inside);
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    let tolerance = prove::tolerance(Precision::Fp16);
    let proved = prove::prove(&*stored, &path, &scene.data, &scene.rows, &engines, &options(None), tolerance);
    assert!(matches!(proved, Err(Error::Limit { .. })), "{proved:?}");
}

#[test]
fn integers_in_engines_are_those_of_the_reference() {
    for (hidden, seed) in [(&[64usize, 32][..], 22), (&[16], 23), (&[], 24)] {
        let scene = Scene::new(hidden, seed);
        let exact = scene.network.score(&scene.data, &scene.rows).unwrap();
        for form in forms(&support::every_kind()) {
            let integers = scene.integers(&form);
            assert!(integers.layers.iter().all(Option::is_some), "{}", form.layout);
            let format = Format::Int8(integers);
            let report = scene.prove(&form, &format);
            assert!(report.between_engines <= 5e-3, "{}: {report:?}", form.layout);
            let integer = Reference::of(&scene.network, &format).score(&scene.data, &scene.rows).unwrap();
            let differs = integer.iter().zip(&exact).any(|(a, b)| (a - b).abs() > 1e-5);
            assert!(differs, "{}", form.layout);
        }
    }
}

#[test]
fn a_layer_may_stay_float_between_integers() {
    let scene = Scene::new(&[32, 16, 8], 25);
    for layout in [Layout::Concat, Layout::UserOnce] {
        for float in 0..4 {
            let mut integers = scene.integers(&layout.into());
            integers.layers[float] = None;
            scene.prove(&layout.into(), &Format::Int8(integers));
        }
    }
}

#[test]
fn tables_and_weights_take_half_and_a_quarter_of_the_bytes() {
    let mut features = support::every_kind();
    for feature in &mut features {
        feature.value = support::Value::Id { cardinality: 5000 };
        feature.side = autofas_bench::data::schema::Side::Item;
    }
    let network = support::network(&features, &[64], 26);
    let data = support::dataset(&features, 50, 26);
    let rows: Vec<u32> = (0..50).collect();
    let form = Form::from(Layout::UserOnce);
    let integers = every_layer(&network, &form, &data, &rows, &QuantiseSettings::default()).unwrap();
    let bytes = |format: &Format| {
        let model: OnnxModel<'_> = export::onnx_in(format, &network, form.clone(), &metadata()).unwrap();
        model.bytes().len() as f64
    };
    let whole = bytes(&Format::Fp32);
    let (half, quarter) = (bytes(&Format::Fp16) / whole, bytes(&Format::Int8(integers)) / whole);
    assert!((0.5..0.52).contains(&half) && (0.25..0.27).contains(&quarter), "{half} {quarter}");
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let bytes = || {
        let scene = Scene::new(&[16], 27);
        let format = Format::Int8(scene.integers(&Layout::UserOnce.into()));
        export::onnx_in(&format, &scene.network, Layout::UserOnce, &metadata()).unwrap().bytes()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn integers_of_another_layout_or_network_are_refused() {
    let (scene, other) = (Scene::new(&[16], 28), Scene::new(&[8], 28));
    let once = Format::Int8(scene.integers(&Layout::UserOnce.into()));
    for (network, layout) in [(&scene.network, Layout::Concat), (&other.network, Layout::UserOnce)] {
        let refused = export::onnx_in(&once, network, layout, &metadata()).map(|_| ());
        assert!(matches!(refused, Err(Error::Usage { .. })));
    }
}

#[test]
fn integer_probes_run_and_give_a_column_per_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.onnx");
    let input = PlainInput { user_features: 2, item_features: 3, width_per_feature: 8, cardinality: 10 };
    for to in [1, 16] {
        let first =
            |&layout: &Layout| probe::first_layer(input.inputs(), to, layout, Precision::Int8).unwrap();
        let later = probe::layer(24, to, Precision::Int8).unwrap();
        for model in [Layout::Concat, Layout::UserOnce, Layout::ItemCached].iter().map(first).chain([later]) {
            model.write(&path).unwrap();
            let tensors = model.signature.tensors.iter().map(|spec| {
                let rows = if spec.rows == Rows::One { 1 } else { 5 };
                let values = rows * spec.columns();
                let data = match spec.element {
                    ElementType::I64 => TensorData::I64(vec![9; values]),
                    _ => TensorData::F32(vec![0.5; values]),
                };
                InputTensor { name: spec.name.clone(), shape: [rows, spec.columns()], data }
            });
            let inputs = Inputs { candidates: 5, tensors: tensors.collect() };
            let mut found: Vec<Vec<f32>> = Vec::new();
            for engine in engines() {
                let mut values = Vec::new();
                engine.load(&path, &options(Some(5))).unwrap().run(&inputs, &mut values).unwrap();
                assert_eq!(values.len(), 5 * to);
                assert!(values.iter().any(|&v| v != 0.0));
                found.push(values);
            }
            // A step of the next layer's bytes, where a number lies between two of them.
            assert!(found[0].iter().zip(&found[1]).all(|(a, b)| (a - b).abs() <= 1.01 / 255.0), "{found:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_features_keeps_the_bound_of_its_number_format_in_every_layout(
        features in prop::collection::vec(feature(), 1..10),
        hidden in prop::collection::vec(1..24usize, 0..3),
        seed in any::<u64>(),
    ) {
        let scene = Scene::over(&features, &hidden, 40, seed);
        for form in forms(&features) {
            for format in [Format::Fp16, Format::Int8(scene.integers(&form))] {
                let report = scene.prove(&form, &format);
                let bound = prove::tolerance(format.precision());
                prop_assert!(report.worst() <= bound, "{}, {}: {:?}", form.layout, format.precision(), report);
            }
        }
    }
}
