//! Models that are broken or mean harm: whoever reads one says what is wrong with it, on every engine, and lives.

use crate::world::{World, failure, json, program};
use prost::Message;
use std::{fs, path::Path};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::{DataLocation, DataType},
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// One way to break a model, and what is said of it.
struct Hostile {
    said: &'static str,
    harm: fn(&mut ModelProto, &Path),
}

const fn hostile(said: &'static str, harm: fn(&mut ModelProto, &Path)) -> Hostile {
    Hostile { said, harm }
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn constant(model: &mut ModelProto) -> &mut TensorProto {
    &mut graph(model).initializer[0]
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        name: format!("the_{output}"),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// A node with one tensor of integers behind its other inputs.
fn sized(model: &mut ModelProto, op_type: &str, inputs: &[&str], sizes: &[i64]) {
    let graph = graph(model);
    graph.initializer.push(TensorProto {
        name: "sizes".into(),
        dims: vec![sizes.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: sizes.to_vec(),
        ..TensorProto::default()
    });
    graph.node.push(node(op_type, &[inputs, &["sizes"]].concat(), "large"));
}

fn elsewhere(model: &mut ModelProto, location: &str, more: &[(&str, &str)]) {
    let constant = constant(model);
    constant.data_location = Some(DataLocation::External as i32);
    let entries = [("location", location)].into_iter().chain(more.iter().copied());
    constant.external_data =
        entries.map(|(key, value)| StringStringEntryProto { key: key.into(), value: value.into() }).collect();
}

/// What the first constant has, in a file that nobody should be made to read.
fn secret(model: &mut ModelProto, folder: &Path, name: &str) {
    let data = std::mem::take(&mut constant(model).raw_data);
    fs::write(folder.join(name), data).unwrap();
}

fn attribute(name: &str) -> AttributeProto {
    AttributeProto { name: name.into(), ..AttributeProto::default() }
}

/// By the checks before an engine sees the file. `folder` is the model's; the one above it belongs to others.
const REFUSED: &[Hostile] = &[
    hostile("the model has no graph", |model, _| model.graph = None),
    hostile("nothing in the graph gives", |model, _| drop(graph(model).initializer.remove(0))),
    hostile("reads `nothing`, which nothing", |model, _| graph(model).node[0].input[0] = "nothing".into()),
    hostile("part of, or reads from, a cycle", |model, _| {
        let graph = graph(model);
        graph.node.push(node("Add", &["b", "b"], "a"));
        graph.node.push(node("Relu", &["a"], "b"));
    }),
    hostile("part of, or reads from, a cycle", |model, _| graph(model).node.push(node("Relu", &["a"], "a"))),
    hostile("two things in the graph give", |model, _| {
        let first = graph(model).node[0].clone();
        graph(model).node.push(first);
    }),
    hostile("the graph has no output", |model, _| graph(model).output.clear()),
    hostile("nothing in the graph gives this output", |model, _| graph(model).output[0].name = "x".into()),
    // More bytes than there are, than 64 bits count, than can be, and fewer.
    hostile("dimensions ask for", |model, _| constant(model).dims[0] += 1),
    hostile("dimensions ask for", |model, _| constant(model).dims[0] = 1 << 40),
    hostile("cannot be", |model, _| constant(model).dims = vec![i64::MAX, i64::MAX]),
    hostile("cannot be", |model, _| constant(model).dims = vec![i64::MAX / 2, 4]),
    hostile("cannot be", |model, _| constant(model).dims = vec![-1]),
    hostile("dimensions ask for", |model, _| constant(model).dims = vec![1]),
    hostile("unknown type 99", |model, _| constant(model).data_type = 99),
    hostile("without a type", |model, _| constant(model).data_type = 0),
    hostile("outside the folder", |model, folder| {
        secret(model, folder, "../secret.bin");
        let absolute = folder.parent().unwrap().join("secret.bin");
        elsewhere(model, absolute.to_str().unwrap(), &[]);
    }),
    hostile("outside the folder", |model, folder| {
        secret(model, folder, "../secret.bin");
        elsewhere(model, "../secret.bin", &[]);
    }),
    hostile("outside the folder", |model, folder| {
        secret(model, folder, "../secret.bin");
        elsewhere(model, "a/../../secret.bin", &[]);
    }),
    #[cfg(unix)]
    hostile("outside the folder", |model, folder| {
        secret(model, folder, "../secret.bin");
        let link = folder.join("link.bin");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink("../secret.bin", link).unwrap();
        elsewhere(model, "link.bin", &[]);
    }),
    #[cfg(unix)]
    hostile("outside the folder", |model, folder| {
        secret(model, folder, "../secret.bin");
        let link = folder.join("linked");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink("..", link).unwrap();
        elsewhere(model, "linked/secret.bin", &[]);
    }),
    #[cfg(unix)]
    hostile("outside the folder", |model, _| elsewhere(model, "/dev/zero", &[])),
    hostile("cannot read", |model, _| elsewhere(model, "*/_ORT_MEM_ADDR_/*", &[("offset", "4096")])),
    hostile("cannot read", |model, _| elsewhere(model, "gone.bin", &[])),
    hostile("no regular file", |model, folder| {
        fs::create_dir_all(folder.join("sub")).unwrap();
        elsewhere(model, "sub", &[]);
    }),
    hostile("a file without a name", |model, _| {
        elsewhere(model, "x", &[]);
        constant(model).external_data.clear();
    }),
    hostile("are not where it says", |model, folder| {
        secret(model, folder, "own.bin");
        elsewhere(model, "own.bin", &[("offset", "8")]);
    }),
    hostile("are not where it says", |model, folder| {
        secret(model, folder, "own.bin");
        elsewhere(model, "own.bin", &[("offset", "18446744073709551615"), ("length", "4")]);
    }),
    hostile("the offset of its data is `-1`", |model, folder| {
        secret(model, folder, "own.bin");
        elsewhere(model, "own.bin", &[("offset", "-1")]);
    }),
    hostile("ConstantOfShape to the size", |model, _| {
        sized(model, "ConstantOfShape", &[], &[1 << 20, 1 << 20])
    }),
    hostile("ConstantOfShape to the size", |model, _| sized(model, "ConstantOfShape", &[], &[1 << 62; 3])),
    hostile("Expand to the size", |model, _| sized(model, "Expand", &["scores"], &[1 << 40, 1])),
    hostile("Reshape to the size", |model, _| sized(model, "Reshape", &["scores"], &[1 << 40, -1])),
    hostile("Tile to the size", |model, _| sized(model, "Tile", &["scores"], &[1 << 40])),
    hostile("RandomNormal to the size", |model, _| {
        let mut made = node("RandomNormal", &[], "large");
        made.attribute.push(AttributeProto { ints: vec![1 << 40], ..attribute("shape") });
        graph(model).node.push(made);
    }),
    hostile("Expand to the size", |model, _| {
        let mut sizes = node("Constant", &[], "sizes");
        sizes.attribute.push(AttributeProto { ints: vec![1 << 40], ..attribute("value_ints") });
        graph(model).node.extend([sizes, node("Expand", &["scores", "sizes"], "large")]);
    }),
    hostile("is declared", |model, _| {
        let dim = Dimension { value: Some(dimension::Value::DimValue(1 << 40)), ..Dimension::default() };
        let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: vec![dim] }) };
        let value = Some(type_proto::Value::TensorType(tensor));
        graph(model).value_info.push(ValueInfoProto {
            name: "scores".into(),
            r#type: Some(TypeProto { value, ..TypeProto::default() }),
            ..ValueInfoProto::default()
        });
    }),
    hostile("as often as it likes", |model, _| graph(model).node.push(node("Loop", &["scores"], "again"))),
    hostile("of the domain `evil`", |model, _| graph(model).node[0].domain = "evil".into()),
    hostile("names no set of operators", |model, _| model.opset_import.clear()),
    hostile("functions of its own", |model, _| model.functions.push(FunctionProto::default())),
    hostile("reads `hidden`, which nothing", |model, _| {
        let branch = GraphProto {
            node: vec![node("Relu", &["hidden"], "inner")],
            output: vec![ValueInfoProto { name: "inner".into(), ..ValueInfoProto::default() }],
            ..GraphProto::default()
        };
        let mut chosen = node("If", &["scores"], "chosen");
        chosen.attribute.push(AttributeProto { g: Some(branch), ..attribute("then_branch") });
        graph(model).node.push(chosen);
    }),
    hostile("more than 1048576 messages", |model, _| {
        graph(model).node.resize(1 << 20, NodeProto::default());
    }),
    hostile("nested more than", |model, _| {
        // Built from the inside out, as deep as a decoder that recurses could stand.
        let inner = (0..40).fold(GraphProto::default(), |inner, _| {
            let mut outer = node("If", &[], "deep");
            outer.attribute.push(AttributeProto { g: Some(inner), ..attribute("then_branch") });
            GraphProto { node: vec![outer], ..GraphProto::default() }
        });
        graph(model).node.extend(inner.node);
    }),
    hostile("the model reads", |model, _| {
        let signature =
            model.metadata_props.iter_mut().find(|entry| entry.key == "autofas.signature").unwrap();
        signature.value = signature.value.replacen("\"columns\":1", "\"columns\":4000000000", 1);
    }),
];

/// What the checks leave to the engines.
const LEFT: &[Hostile] = &[
    hostile("failed to load", |model, _| graph(model).node[0].op_type = "Frobnicate".into()),
    hostile("failed to load", |model, _| model.opset_import[0].version = 4000),
    hostile("failed to load", |model, _| drop(graph(model).node[0].input.pop())),
];

const EVALUATE: [&str; 5] = ["evaluate", "--model", "model/model.onnx", "--data", "log/log.parquet"];

/// On every engine.
fn assert_all_say(world: &World, said: &str, kind: &str) {
    for engine in ["tract", "onnxruntime"] {
        let found = failure(world.path(), 1, &[&EVALUATE[..], &["--engine", engine]].concat());
        assert!(found.contains(said), "{kind}, {engine}: {found}");
    }
}

#[test]
fn a_hostile_model_is_refused_by_name_before_an_engine_sees_it() {
    let world = World::new();
    let path = world.file("model/model.onnx");
    let bytes = fs::read(&path).unwrap();
    for (index, Hostile { said, harm }) in REFUSED.iter().enumerate() {
        let mut model = ModelProto::decode(&*bytes).unwrap();
        harm(&mut model, path.parent().unwrap());
        fs::write(&path, model.encode_to_vec()).unwrap();
        assert_all_say(&world, said, &format!("kind {index}"));
    }
}

#[test]
fn what_only_an_engine_can_judge_ends_as_its_error() {
    let world = World::new();
    let path = world.file("model/model.onnx");
    let bytes = fs::read(&path).unwrap();
    for (index, Hostile { said, harm }) in LEFT.iter().enumerate() {
        let mut model = ModelProto::decode(&*bytes).unwrap();
        harm(&mut model, path.parent().unwrap());
        fs::write(&path, model.encode_to_vec()).unwrap();
        let found = failure(world.path(), 1, &[&EVALUATE[..], &["--engine", "onnxruntime"]].concat());
        assert!(found.contains(said), "kind {index}: {found}");
        // tract does without an input that has a default, and takes an operator set of any version.
        let done = program(world.path()).args(EVALUATE).args(["--engine", "tract"]).output().unwrap();
        assert!(matches!(done.status.code(), Some(0 | 1)), "kind {index}: {done:?}");
    }
}

#[test]
fn a_file_that_is_cut_or_no_file_at_all_is_refused() {
    let world = World::new();
    let path = world.file("model/model.onnx");
    let bytes = fs::read(&path).unwrap();
    for eighth in 1..8 {
        fs::write(&path, &bytes[..bytes.len() * eighth / 8]).unwrap();
        assert_all_say(&world, "not an ONNX model", &format!("{eighth} eighths"));
    }
    fs::write(&path, vec![0xff; 1000]).unwrap();
    assert_all_say(&world, "not an ONNX model", "no protobuf");
    // Three gigabytes that nobody wrote: refused by their number, not by reading them.
    fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
    assert_all_say(&world, "larger than the 2147483647 bytes", "oversize");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_all_say(&world, "this is a folder", "folder");
    fs::remove_dir(&path).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_all_say(&world, "no regular file", "device");
    }
}

#[test]
fn data_in_a_file_of_the_models_own_folder_are_read() {
    let world = World::new();
    let path = world.file("model/model.onnx");
    let mut model = ModelProto::decode(&*fs::read(&path).unwrap()).unwrap();
    let data = constant(&mut model).raw_data.clone();
    secret(&mut model, path.parent().unwrap(), "own.bin");
    fs::write(path.with_file_name("own.bin"), [&[0; 8][..], &data].concat()).unwrap();
    let length = data.len().to_string();
    elsewhere(&mut model, "own.bin", &[("offset", "8"), ("length", &length)]);
    let before = json(world.path(), &EVALUATE);
    fs::write(&path, model.encode_to_vec()).unwrap();
    for engine in ["tract", "onnxruntime"] {
        let after = json(world.path(), &[&EVALUATE[..], &["--engine", engine]].concat());
        assert!((after["auc"].as_f64().unwrap() - before["auc"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn a_replay_refuses_a_hostile_model_as_well() {
    let world = World::new();
    let path = world.file("model/model.onnx");
    let mut model = ModelProto::decode(&*fs::read(&path).unwrap()).unwrap();
    constant(&mut model).dims[0] = 1 << 40;
    fs::write(&path, model.encode_to_vec()).unwrap();
    let traffic = ["--qps", "500", "--requests", "20", "--candidates", "8", "--engine", "tract"];
    let replay = ["replay", "--model", "model/model.onnx", "--data", "log/log.parquet"];
    let found = failure(world.path(), 1, &[&replay[..], &traffic].concat());
    assert!(found.contains("dimensions ask for"), "{found}");
}

/// A library in the place of ONNX Runtime's that ends its process, as one does that runs out of memory.
#[cfg(target_os = "linux")]
fn deadly_runtime(folder: &Path) -> std::path::PathBuf {
    let (source, library) = (folder.join("deadly.c"), folder.join("libdeadly.so"));
    fs::write(
        &source,
        "#include <stdlib.h>\n__attribute__((constructor)) static void die(void) { abort(); }\n",
    )
    .unwrap();
    let mut cc = std::process::Command::new("cc");
    let made = cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(made.success(), "a C compiler is needed, as for the build");
    library
}

#[cfg(target_os = "linux")]
#[test]
fn a_runtime_that_ends_its_process_is_an_error_of_the_program() {
    let world = World::new();
    let library = deadly_runtime(world.path());
    let skew = ["skew", "--model", "model/model.onnx", "--data", "log/log.parquet", "--score", "purchase"];
    for verb in [&EVALUATE[..], &skew] {
        let run = program(world.path()).args(verb).env("ORT_DYLIB_PATH", &library).assert().code(1);
        let found = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(found.contains("process for onnxruntime ended with signal"), "{found}");
    }
}
