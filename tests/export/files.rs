//! The files of an export: external data, and test data as ONNX's own tests have them.

use crate::{engines, export_to_file, feature, forms, metadata, options, support};
use autofas_bench::{
    base::names::Layout,
    export::{self, Form},
    learn::network::Network,
    measure::prove::{self, FP32_TOLERANCE},
};
use proptest::prelude::*;
use prost::Message;
use sha1::{Digest, Sha1};
use std::{collections::BTreeMap, path::Path};
use tract_onnx::pb::{ModelProto, TensorProto, tensor_proto::DataLocation};

fn decode(path: &Path) -> ModelProto {
    ModelProto::decode(&*std::fs::read(path).unwrap()).unwrap()
}

fn constants(model: ModelProto) -> Vec<TensorProto> {
    model.graph.unwrap().initializer
}

/// The numbers of every constant, wherever they are.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let content = |tensor: TensorProto| {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return (tensor.name, tensor.raw_data);
        }
        let told: BTreeMap<_, _> =
            tensor.external_data.into_iter().map(|entry| (entry.key, entry.value)).collect();
        assert_eq!(told["location"], "model.onnx.data");
        let data = std::fs::read(path.with_file_name(&told["location"])).unwrap();
        let sha1: String = Sha1::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(told["checksum"], sha1);
        let [begin, length] = ["offset", "length"].map(|key| told[key].parse::<usize>().unwrap());
        assert_eq!(begin % 4096, 0);
        (tensor.name, data[begin..begin + length].to_vec())
    };
    constants(decode(path)).into_iter().map(content).collect()
}

#[test]
fn a_model_beyond_the_threshold_keeps_its_tables_in_a_second_file_that_both_engines_read() {
    let features = support::every_kind();
    let data = support::dataset(&features, 100, 31);
    let network = support::network(&features, &[64, 32], 31);
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    let rows: Vec<u32> = (0..100).collect();
    for layout in [Layout::Concat, Layout::ItemCached] {
        let form = support::form(&features, layout);
        let (_whole_folder, whole) = export_to_file(&network, form.clone());
        let form = Form { external_data_over: 5000, ..form };
        let (_folder, path) = export_to_file(&network, form.clone());
        assert_eq!(contents(&path), contents(&whole));
        let moved = constants(decode(&path)).iter().filter(|t| !t.external_data.is_empty()).count();
        assert!(moved >= 3, "{moved}: the first layers' weights at least");
        assert!(std::fs::metadata(&path).unwrap().len() < std::fs::metadata(&whole).unwrap().len());
        assert_eq!(export::read_signature(&path).unwrap(), export::read_signature(&whole).unwrap());
        prove::prove(&network, &path, &data, &rows, &engines, &options(None), FP32_TOLERANCE).unwrap();
        let model = export::onnx(&network, form, &metadata()).unwrap();
        let again = tempfile::tempdir().unwrap();
        model.write(&again.path().join("model.onnx")).unwrap();
        for name in ["model.onnx", "model.onnx.data"] {
            let [one, other] = [&path, &again.path().join("model.onnx")]
                .map(|model| std::fs::read(model.with_file_name(name)).unwrap());
            assert!(one == other, "{layout}: the same network gives another {name}");
        }
    }
}

#[test]
fn a_model_at_the_threshold_is_one_file() {
    let features = support::every_kind();
    let network = support::network(&features, &[64], 32);
    let model = export::onnx(&network, Layout::Concat, &metadata()).unwrap();
    let size = model.bytes().len() as u64;
    for (over, second) in [(size, false), (size - 1, true)] {
        let (folder, path) =
            export_to_file(&network, Form { external_data_over: over, ..Layout::Concat.into() });
        assert_eq!(folder.path().join("model.onnx.data").exists(), second);
        assert_eq!(std::fs::metadata(&path).unwrap().len() == size, !second);
    }
}

#[test]
fn models_that_share_a_folder_have_companions_of_their_own() {
    let features = support::every_kind();
    let network = support::network(&features, &[8], 33);
    let folder = tempfile::tempdir().unwrap();
    let form = support::form(&features, Layout::ItemCached);
    let model = export::onnx(&network, form, &metadata()).unwrap();
    model.write(&folder.path().join("f3-8.onnx")).unwrap();
    model.write(&folder.path().join("model.onnx")).unwrap();
    for name in ["f3-8.item.onnx", "item.onnx"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_package_holds_its_test_request_as_onnxs_tests_do() {
    let features = support::every_kind();
    let data = support::dataset(&features, 20, 34);
    let network = support::network(&features, &[8], 34);
    let rows: Vec<u32> = (0..20).collect();
    for form in forms(&features) {
        let model = export::onnx(&network, form, &metadata()).unwrap();
        let vectors = prove::test_vectors(&network, &model, &data, &rows).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (schema, encoders) = support::no_companions();
        export::write_package(folder.path(), &model, &schema, &encoders, &vectors).unwrap();
        let inputs = decode(&folder.path().join("model.onnx")).graph.unwrap().input;
        for (index, (input, spec)) in inputs.iter().zip(&model.signature.tensors).enumerate() {
            let file = folder.path().join(format!("test_data_set_0/input_{index}.pb"));
            let tensor = TensorProto::decode(&*std::fs::read(file).unwrap()).unwrap();
            assert_eq!(tensor.name, input.name);
            assert_eq!(tensor.dims[1] as usize, spec.columns());
            let bytes = tensor.dims.iter().product::<i64>() as usize * size_of_element(tensor.data_type);
            assert_eq!(tensor.raw_data.len(), bytes, "{}", tensor.name);
        }
        let file = folder.path().join("test_data_set_0/output_0.pb");
        let scores = TensorProto::decode(&*std::fs::read(file).unwrap()).unwrap();
        let expected: Vec<u8> = vectors.scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        assert_eq!((scores.dims, scores.raw_data), (vec![20], expected));
    }
}

/// Of float, int8, int64 and float16, as ONNX numbers them.
fn size_of_element(data_type: i32) -> usize {
    match data_type {
        1 => 4,
        3 => 1,
        7 => 8,
        10 => 2,
        other => panic!("no type of an input: {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_network_that_was_saved_and_read_exports_the_same_bytes(
        features in prop::collection::vec(feature(), 1..10),
        hidden in prop::collection::vec(1..24usize, 0..3),
        seed in any::<u64>(),
    ) {
        let network = support::network(&features, &hidden, seed);
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
        network.save(&first).unwrap();
        let read = Network::load(&first).unwrap();
        prop_assert_eq!(&read, &network);
        read.save(&second).unwrap();
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        prop_assert_eq!(bytes(&first), bytes(&second));
        for form in forms(&features) {
            let (_one, before) = export_to_file(&network, form.clone());
            let (_other, after) = export_to_file(&read, form.clone());
            prop_assert!(bytes(&before) == bytes(&after), "{:?}", form);
            // What another program reads and writes again is the same model.
            std::fs::write(&after, decode(&after).encode_to_vec()).unwrap();
            prop_assert!(decode(&after) == decode(&before), "{:?}", form);
            let [own, other] = [&before, &after].map(|path| export::read_signature(path).unwrap());
            prop_assert_eq!(own, other);
        }
    }
}
