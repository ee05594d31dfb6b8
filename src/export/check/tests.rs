use super::*;
use crate::{base::names::Precision, export::probe};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
    tensor_proto::{DataLocation, DataType},
};

fn refused(path: &Path, limits: Limits) -> String {
    read(path, &limits).unwrap_err().to_string()
}

#[test]
fn a_file_keeps_every_limit_up_to_its_last_byte_record_and_element() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let model = probe::layer(8, 4, Precision::Fp32).unwrap();
    model.write(&path).unwrap();
    let whole = Limits { file_bytes: model.bytes().len() as u64, ..Limits::STANDARD };
    read(&path, &whole).unwrap();
    let text = refused(&path, Limits { file_bytes: whole.file_bytes - 1, ..whole });
    assert!(text.contains("m.onnx: the file is larger than the"), "{text}");
    let records = (1..10_000).find(|&records| read(&path, &Limits { records, ..whole }).is_ok()).unwrap();
    let text = refused(&path, Limits { records: records - 1, ..whole });
    assert!(text.contains(&format!("more than {} messages and texts", records - 1)), "{text}");
    // The input has 8 columns, and named dimensions count 1.
    read(&path, &Limits { elements: 8, ..whole }).unwrap();
    let text = refused(&path, Limits { elements: 7, ..whole });
    assert!(text.contains("a tensor of the dimensions [1, 8] is declared"), "{text}");
}

#[test]
fn the_records_of_a_message_are_its_fields_of_a_length_and_theirs() {
    let records = |bytes: &[u8]| {
        let limits = |records| Limits { records, ..Limits::STANDARD };
        let fits = |&records: &usize| {
            let found = Found { path: "m".as_ref(), limits: &limits(records), sums: &Sums::default() };
            wire::check(bytes, found).is_ok()
        };
        (0..100).find(fits).unwrap()
    };
    // ir_version 8, producer_name "ab": one text.
    assert_eq!(records(&[0x08, 8, 0x12, 2, b'a', b'b']), 1);
    // A graph (field 7) of two nodes (field 1), the second with the input "x" (field 1).
    assert_eq!(records(&[0x3a, 7, 0x0a, 0, 0x0a, 3, 0x0a, 1, b'x']), 4);
    // The bytes of a constant (graph 7, initializer 5, raw_data 9) are not looked into.
    assert_eq!(records(&[0x3a, 6, 0x2a, 4, 0x4a, 2, 0x0a, 0]), 3);
}

/// A model of one graph, written and looked through.
fn checked(graph: GraphProto, limits: Limits) -> Result<(), String> {
    checked_in(tempfile::tempdir().unwrap().path(), graph, limits)
}

fn checked_in(folder: &Path, graph: GraphProto, limits: Limits) -> Result<(), String> {
    let opset_import = vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }];
    let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    let path = folder.join("m.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    read(&path, &limits).map(|_| ()).map_err(|e| e.to_string())
}

/// The graph of these nodes and constants; its output is that of the last node.
fn graph(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    let name = nodes.last().unwrap().output[0].clone();
    let output = vec![ValueInfoProto { name, ..ValueInfoProto::default() }];
    GraphProto { node: nodes, initializer, output, ..GraphProto::default() }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|&input| input.into()).collect();
    NodeProto { op_type: op_type.into(), input, output: vec![output.into()], ..NodeProto::default() }
}

fn numbers(name: &str, values: &[i64]) -> TensorProto {
    shaped(name, &[values.len() as i64], values)
}

fn shaped(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let (name, dims, data_type) = (name.into(), dims.to_vec(), DataType::Int64 as i32);
    TensorProto { name, dims, data_type, int64_data: values.to_vec(), ..TensorProto::default() }
}

/// One element of so many.
fn sparse(name: &str, elements: i64) -> SparseTensorProto {
    let parts = (numbers(name, &[1]), numbers("", &[0]));
    SparseTensorProto { values: Some(parts.0), indices: Some(parts.1), dims: vec![elements] }
}

const STANDARD: Limits = Limits::STANDARD;

#[test]
fn what_a_graph_makes_by_itself_is_summed_over_tensors_nodes_and_branches() {
    let many = |count| GraphProto {
        sparse_initializer: (0..count).map(|i| sparse(&format!("s{i}"), 1 << 27)).collect(),
        ..graph(vec![node("Relu", &["s0"], "y")], Vec::new())
    };
    checked(many(2), STANDARD).unwrap();
    let said = checked(many(3), STANDARD).unwrap_err();
    assert!(said.contains("`s2`: with it, what the graph makes by itself comes to 4.02653184e8"), "{said}");

    let made =
        |count: usize| (0..count).map(|i| node("ConstantOfShape", &["size"], &format!("z{i}"))).collect();
    let sizes = || vec![numbers("size", &[1 << 14, 1 << 13])];
    checked(graph(made(2), sizes()), STANDARD).unwrap();
    assert!(checked(graph(made(3), sizes()), STANDARD).unwrap_err().contains("comes to"));
    // A size of the graph around it, and one more in each branch.
    let branch = |name: &str| AttributeProto {
        name: name.into(),
        g: Some(graph(vec![node("ConstantOfShape", &["size"], name)], Vec::new())),
        ..AttributeProto::default()
    };
    let mut chosen = node("If", &["z0"], "y");
    chosen.attribute = vec![branch("then_branch")];
    let with = |chosen: &NodeProto| graph([made(1), vec![chosen.clone()]].concat(), sizes());
    checked(with(&chosen), STANDARD).unwrap();
    chosen.attribute.push(branch("else_branch"));
    assert!(checked(with(&chosen), STANDARD).unwrap_err().contains("comes to"));
}

#[test]
fn a_copy_is_as_large_as_what_it_copies_times_how_often() {
    let fits = |nodes: Vec<NodeProto>, constants: Vec<TensorProto>| {
        (0..100_000).find(|&elements| {
            checked(graph(nodes.clone(), constants.clone()), Limits { elements, ..STANDARD }).is_ok()
        })
    };
    let column = || shaped("c", &[10, 1], &[7; 10]);
    // A tenfold column four times over two axes.
    let tiled = fits(vec![node("Tile", &["c", "n"], "y")], vec![column(), numbers("n", &[2, 2])]);
    assert_eq!(tiled, Some(40));
    // Its ten rows in three columns, whatever the sizes say of the rows.
    let expand =
        |sizes: &[i64]| fits(vec![node("Expand", &["c", "n"], "y")], vec![column(), numbers("n", sizes)]);
    assert_eq!((expand(&[1, 3]), expand(&[10, 3]), expand(&[2, 1, 3])), (Some(30), Some(30), Some(60)));
    // One row above, two below, and a column to the right.
    let padded = fits(vec![node("Pad", &["c", "n"], "y")], vec![column(), numbers("n", &[1, 0, 2, 1])]);
    assert_eq!(padded, Some(26));
    let range = [numbers("a", &[10]), numbers("b", &[100]), numbers("d", &[3])];
    assert_eq!(fits(vec![node("Range", &["a", "b", "d"], "y")], range.to_vec()), Some(30));
    // What was made is copied in turn, through operators that keep its size; both are there at once.
    let twice = ["c", "n"];
    let chain = vec![node("Tile", &twice, "x"), node("Relu", &["x"], "r"), node("Tile", &["r", "n"], "y")];
    assert_eq!(fits(chain, vec![column(), numbers("n", &[2, 2])]), Some(40 + 160));
}

#[test]
fn a_megabyte_a_million_times_and_a_tensor_that_doubles_are_absurd() {
    let tile = |times| {
        let constant = shaped("c", &[1000], &[0; 1000]);
        checked(graph(vec![node("Tile", &["c", "n"], "y")], vec![constant, numbers("n", &[times])]), STANDARD)
    };
    tile(1 << 18).unwrap();
    let said = tile(1 << 20).unwrap_err();
    assert!(said.contains("`y`: Tile to the size of 1.048576e9 elements is absurd"), "{said}");
    let doubled: Vec<NodeProto> = (0..60)
        .map(|i| (format!("x{i}"), format!("x{}", i + 1)))
        .map(|(from, to)| node("Concat", &[&from, &from], &to))
        .collect();
    let said = checked(graph(doubled, vec![numbers("x0", &[1])]), STANDARD).unwrap_err();
    assert!(said.contains("comes to"), "{said}");
}

#[test]
fn constants_in_other_files_share_no_byte_and_keep_a_limit_together() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("d.bin"), [0; 32]).unwrap();
    let constant = |name: &str, offset: u64, length: i64| TensorProto {
        name: name.into(),
        dims: vec![length],
        data_type: DataType::Uint8 as i32,
        data_location: Some(DataLocation::External as i32),
        external_data: [
            ("location", "d.bin".to_owned()),
            ("offset", offset.to_string()),
            ("length", length.to_string()),
        ]
        .map(|(key, value)| StringStringEntryProto { key: key.into(), value })
        .into(),
        ..TensorProto::default()
    };
    let check = |constants: Vec<TensorProto>, limits| {
        checked_in(folder.path(), graph(vec![node("Relu", &["a"], "y")], constants), limits)
    };
    let halves = || vec![constant("a", 0, 16), constant("b", 16, 16)];
    check(halves(), Limits { external_bytes: 32, ..STANDARD }).unwrap();
    let said = check(halves(), Limits { external_bytes: 31, ..STANDARD }).unwrap_err();
    assert!(said.contains("`b`: with it, the data of constants in other files come to 32 bytes"), "{said}");
    let again = [halves(), vec![constant("c", 8, 1)]].concat();
    let said = check(again, STANDARD).unwrap_err();
    assert!(said.contains("`c`: with it, constants read 33 bytes of the 32 of `d.bin`"), "{said}");
    // A terabyte that nobody wrote.
    std::fs::File::create(folder.path().join("d.bin")).unwrap().set_len(1 << 40).unwrap();
    let said = check(vec![constant("a", 0, 1 << 40)], STANDARD).unwrap_err();
    assert!(said.contains("and 68719476736 are accepted"), "{said}");
}

#[test]
fn a_refusal_of_what_an_exporter_may_write_says_what_its_owner_can_do() {
    let said = |change: fn(&mut ModelProto)| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        probe::layer(8, 4, Precision::Fp32).unwrap().write(&path).unwrap();
        let mut model = ModelProto::decode(&*std::fs::read(&path).unwrap()).unwrap();
        change(&mut model);
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        refused(&path, STANDARD)
    };
    let inlined = said(|model| model.functions.push(FunctionProto::default()));
    assert!(inlined.contains("onnx.inliner.inline_local_functions"), "{inlined}");
    let looped = said(|model| model.graph.as_mut().unwrap().node.push(node("Loop", &[], "again")));
    assert!(looped.contains("without loops"), "{looped}");
    let foreign = said(|model| model.graph.as_mut().unwrap().node[0].domain = "mine".into());
    assert!(foreign.contains("ONNX's own operators"), "{foreign}");
    let broken = said(|model| model.graph.as_mut().unwrap().initializer[0].dims[0] += 1);
    assert!(broken.contains("as its exporter wrote it"), "{broken}");
}

#[test]
fn branches_see_every_graph_around_them_without_a_copy_of_its_names() {
    let inner = |reads: &str| AttributeProto {
        name: "then_branch".into(),
        g: Some(graph(vec![node("Relu", &[reads], "inner")], Vec::new())),
        ..AttributeProto::default()
    };
    let middle = |reads: &str| {
        let mut chosen = node("If", &["c"], "middle");
        chosen.attribute.push(inner(reads));
        AttributeProto {
            name: "then_branch".into(),
            g: Some(graph(vec![node("Relu", &["c"], "own"), chosen], Vec::new())),
            ..AttributeProto::default()
        }
    };
    let outer = |reads: &str| {
        let mut chosen = node("If", &["c"], "y");
        chosen.attribute.push(middle(reads));
        checked(graph(vec![chosen], vec![numbers("c", &[1])]), STANDARD)
    };
    outer("c").unwrap();
    outer("own").unwrap();
    assert!(outer("none").unwrap_err().contains("reads `none`, which nothing"));
    // Twenty thousand branches within twenty thousand names: with a copy each, 400 million.
    let count = 20_000;
    let branches = (0..count).map(|i| {
        let name = format!("b{i}");
        let mut chosen = node("If", &["n0"], &format!("y{i}"));
        chosen.attribute.push(AttributeProto {
            name: "then_branch".into(),
            g: Some(graph(vec![node("Relu", &["n0"], &name)], Vec::new())),
            ..AttributeProto::default()
        });
        chosen
    });
    let names = (0..count).map(|i| numbers(&format!("n{i}"), &[1])).collect();
    checked(graph(branches.collect(), names), STANDARD).unwrap();
}
