use super::*;
use crate::{
    base::{
        Error,
        names::{GraphOptimization, IoBinding, Layout, Precision, Switch},
    },
    export::{
        OnnxModel,
        probe::{self, PlainInput},
    },
    measure::service::random_inputs,
};
use std::path::PathBuf;

fn first_layer() -> OnnxModel<'static> {
    let input = PlainInput { user_features: 2, item_features: 3, width_per_feature: 4, cardinality: 50 };
    probe::first_layer(input.inputs(), 8, Layout::UserOnce, Precision::Fp32).unwrap()
}

fn written(folder: &Path, model: &OnnxModel) -> PathBuf {
    let path = folder.join("probe.onnx");
    model.write(&path).unwrap();
    path
}

fn with(change: impl FnOnce(&mut OnnxRuntimeSettings)) -> SessionOptions {
    let mut options = SessionOptions::PLAIN;
    change(options.settings.onnxruntime.get_or_insert_default());
    options
}

fn run(session: &mut dyn Session, model: &OnnxModel, candidates: usize) -> Vec<f32> {
    let mut scores = Vec::new();
    session.run(&random_inputs(&model.signature, candidates, 7), &mut scores).unwrap();
    scores
}

#[test]
fn every_setting_of_every_engine_scores_the_same_at_every_count() {
    let folder = tempfile::tempdir().unwrap();
    let model = first_layer();
    let path = written(folder.path(), &model);
    let counts = CandidateCounts::of([1, 2, 5, 16, 17, 23, 64, 65, 70, 99, 100]);
    let known =
        |plan| SessionOptions { candidate_counts: counts.clone(), ..SessionOptions::PLAIN.with_plan(plan) };
    let tried: Vec<(EngineName, SessionOptions)> = [
        (EngineName::Tract, known(TractPlan::Symbolic)),
        (EngineName::Tract, known(TractPlan::Bucketed)),
        (EngineName::Tract, SessionOptions { candidates_hint: Some(100), ..known(TractPlan::Auto) }),
        (EngineName::OnnxRuntime, with(|s| s.spinning = Switch::On)),
        (EngineName::OnnxRuntime, with(|s| s.arena = Switch::Off)),
        (EngineName::OnnxRuntime, with(|s| s.memory_pattern = Switch::Off)),
        (EngineName::OnnxRuntime, with(|s| s.io_binding = IoBinding::On)),
    ]
    .into_iter()
    .chain(
        GraphOptimization::ALL
            .iter()
            .map(|&level| (EngineName::OnnxRuntime, with(|s| s.graph_optimization = level))),
    )
    .collect();
    let mut reference = engine(EngineName::OnnxRuntime).unwrap().load(&path, &SessionOptions::PLAIN).unwrap();
    for (name, options) in &tried {
        let mut session = engine(*name).unwrap().load(&path, options).unwrap();
        // Back and forth, because buffers are kept; 300 is more than was known.
        for candidates in [100, 3, 17, 17, 65, 1, 100, 300, 16] {
            let found = run(&mut *session, &model, candidates);
            let expected = run(&mut *reference, &model, candidates);
            assert_eq!(found.len(), candidates * 8);
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-6, "{name} {:?} at {candidates}: {apart}", options.settings);
        }
    }
}

#[test]
fn only_a_session_with_memory_of_its_own_tells_parts_and_they_are_those_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let model = first_layer();
    let path = written(folder.path(), &model);
    let engine = engine(EngineName::OnnxRuntime).unwrap();
    let mut plain = engine.load(&path, &SessionOptions::PLAIN).unwrap();
    run(&mut *plain, &model, 10);
    assert_eq!(plain.parts(), None);
    let options = with(|settings| settings.io_binding = IoBinding::On);
    let mut bound = engine.load(&path, &options).unwrap();
    run(&mut *bound, &model, 10);
    let begun = std::time::Instant::now();
    run(&mut *bound, &model, 1000);
    let whole = begun.elapsed();
    let parts = bound.parts().unwrap();
    assert!(parts.run > Duration::ZERO && parts.copy_in > Duration::ZERO && parts.copy_out > Duration::ZERO);
    assert!(parts.copy_in + parts.run + parts.copy_out <= whole, "{parts:?} {whole:?}");
}

#[test]
fn an_id_beyond_the_table_is_an_error_of_the_run_and_not_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let model = first_layer();
    let path = written(folder.path(), &model);
    let mut hostile = random_inputs(&model.signature, 4, 7);
    match &mut hostile.tensors[1].data {
        TensorData::I64(ids) => ids[2] = 1_000_000,
        _ => panic!("ids expected"),
    }
    for name in [EngineName::Tract, EngineName::OnnxRuntime] {
        let mut session = engine(name).unwrap().load(&path, &SessionOptions::PLAIN).unwrap();
        let mut scores = Vec::new();
        let failed = session.run(&hostile, &mut scores).unwrap_err();
        assert!(matches!(failed, Error::Engine { .. }), "{name}: {failed}");
    }
}

#[test]
fn a_model_that_is_cut_or_overwritten_is_an_error_on_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = first_layer().bytes();
    let path = folder.path().join("hostile.onnx");
    let mut hostile: Vec<Vec<u8>> = (1..8).map(|eighth| bytes[..bytes.len() * eighth / 8].to_vec()).collect();
    hostile.push(bytes.iter().map(|byte| byte ^ 0x55).collect());
    // Another operator under the same name: the graph reads well and makes no sense.
    let text = bytes.windows(6).position(|window| window == b"Gather").unwrap();
    let mut other = bytes.clone();
    other[text..text + 6].copy_from_slice(b"MatMul");
    hostile.push(other);
    for bytes in hostile {
        std::fs::write(&path, &bytes).unwrap();
        for name in [EngineName::Tract, EngineName::OnnxRuntime] {
            let loaded = engine(name).unwrap().load(&path, &SessionOptions::PLAIN);
            assert!(matches!(loaded.map(|_| ()), Err(Error::Engine { .. })), "{name}, {} bytes", bytes.len());
        }
    }
}

/// `y` = `x` + `x`, both f32[candidates, 1].
fn doubling(path: &Path) {
    use prost::Message;
    use tract_onnx::pb::*;
    let dimension = |value| tensor_shape_proto::Dimension { value: Some(value), ..Default::default() };
    let candidates = tensor_shape_proto::dimension::Value::DimParam("candidates".into());
    let shape = vec![dimension(candidates), dimension(tensor_shape_proto::dimension::Value::DimValue(1))];
    let info = |name: &str| ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: tensor_proto::DataType::Float as i32,
                shape: Some(TensorShapeProto { dim: shape.clone() }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let node = NodeProto {
        input: vec!["x".into(), "x".into()],
        output: vec!["y".into()],
        op_type: "Add".into(),
        ..Default::default()
    };
    let graph = GraphProto {
        name: "doubling".into(),
        node: vec![node],
        input: vec![info("x")],
        output: vec![info("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: 17, ..Default::default() };
    let model =
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() };
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

#[test]
fn no_engine_rounds_numbers_below_the_normal_range_to_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doubling.onnx");
    doubling(&path);
    let below = f32::MIN_POSITIVE / 64.0;
    let x = InputTensor { name: "x".into(), shape: [40, 1], data: TensorData::F32(vec![below; 40]) };
    let inputs = Inputs { candidates: 40, tensors: vec![x] };
    for name in [EngineName::Tract, EngineName::OnnxRuntime] {
        let mut session = engine(name).unwrap().load(&path, &SessionOptions::PLAIN).unwrap();
        let mut scores = Vec::new();
        session.run(&inputs, &mut scores).unwrap();
        assert_eq!(scores, [2.0 * below; 40], "{name}");
    }
}
