//! Exported packages through Python's ONNX checker, onnxruntime, OpenVINO and ONNX's runner of backend tests, by
//! `scripts/check_onnx.py`.

#[path = "../examples/client.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod client;
#[path = "support/python.rs"]
mod python;
mod support;

use autofas_bench::{
    base::{
        Error,
        names::{Embeddings, Layout, Precision},
    },
    data::{
        dataset::{Dataset, Slot},
        encode::{EncodedValue, Encoders},
        schema::{Schema, Side},
        table::RawTable,
    },
    export::{
        self, Form, Format, Metadata, Reference,
        companions::TestVectors,
        quantise::{QuantiseSettings, every_layer},
        triton,
    },
    learn::network::Network,
    measure::prove,
};
use python::{FIX, check_onnx, python, run_python};
use std::{fs, path::Path};
use support::bodies::{partitioned, two_tower};

/// Writes the package of a network with every kind of feature; `change` may falsify its test vectors.
fn package(form: Form, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    package_in(Precision::Fp32, form, change)
}

fn package_in(precision: Precision, form: Form, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    package_of(&support::network(&support::every_kind(), &[64, 32], 3), precision, form, change)
}

fn package_of(
    network: &Network,
    precision: Precision,
    form: Form,
    change: fn(&mut TestVectors),
) -> tempfile::TempDir {
    let data = support::dataset(&support::every_kind(), 200, 3);
    let rows: Vec<u32> = (0..200).collect();
    let format = match precision {
        Precision::Fp32 => Format::Fp32,
        Precision::Fp16 => Format::Fp16,
        Precision::Int8 => {
            Format::Int8(every_layer(network, &form, &data, &rows, &QuantiseSettings::default()).unwrap())
        }
    };
    let embeddings = form.embeddings;
    let model = export::onnx_in(&format, network, form, &Metadata::default()).unwrap();
    let stored = format.stored(network, embeddings);
    let mut vectors = prove::test_vectors(Reference::of(&stored, &format), &model, &data, &rows).unwrap();
    vectors.tolerance = prove::tolerance(precision);
    change(&mut vectors);
    let folder = tempfile::tempdir().unwrap();
    let any = serde_json::json!({});
    export::write_package(folder.path(), &model, &any, &any, &vectors).unwrap();
    folder
}

#[test]
fn the_checker_accepts_every_form_and_both_runtimes_give_the_same_scores() {
    let of = |layout| support::form(&support::every_kind(), layout);
    let outside = |layout| Form { embeddings: Embeddings::Outside, ..of(layout) };
    let two_files = Form { external_data_over: 5000, ..of(Layout::UserOnce) };
    let further = [outside(Layout::Concat), outside(Layout::ItemCachedI8), two_files];
    for form in Layout::ALL.iter().map(|&layout| of(layout)).chain(further) {
        let told = format!("{form:?}");
        let folder = package(form, |_| ());
        let output = check_onnx(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}: {err}{out}");
        assert!(out.contains("\"candidates\": 200") && out.contains("\"openvino\""), "{out}");
    }
}

#[test]
fn the_checker_accepts_towers_and_heads_and_both_runtimes_give_the_same_scores() {
    let features = support::every_kind();
    let networks = [
        two_tower(&features, &[16]),
        partitioned(&features, Side::User, &[16], &[8]),
        partitioned(&features, Side::Item, &[16], &[8]),
    ];
    for network in networks {
        for layout in [Layout::Concat, Layout::UserOnce] {
            let folder = package_of(&network, Precision::Fp32, layout.into(), |_| ());
            let output = check_onnx(folder.path());
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{layout}, {}: {err}{out}", network.body.name());
            assert!(out.contains("\"openvino\""), "{out}");
        }
    }
}

#[test]
fn the_checker_accepts_every_number_format_and_both_runtimes_keep_its_tolerance() {
    for precision in [Precision::Fp16, Precision::Int8] {
        for layout in [Layout::Concat, Layout::UserOnce, Layout::ItemCached, Layout::ItemCachedI8] {
            let folder = package_in(precision, support::form(&support::every_kind(), layout), |_| ());
            let output = check_onnx(folder.path());
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{layout}, {precision}: {err}");
        }
    }
    let folder = package_in(Precision::Int8, Layout::UserOnce.into(), |vectors| vectors.scores[7] += 2e-2);
    assert!(!check_onnx(folder.path()).status.success());
}

#[test]
fn the_checker_accepts_trees_and_onnx_runtime_gives_the_same_scores() {
    let features = support::every_kind();
    let data = support::dataset(&features, 200, 3);
    let network = support::forest(&features, 20, 3);
    let rows: Vec<u32> = (0..200).collect();
    for layout in [Layout::Concat, Layout::UserOnce] {
        let model = export::onnx(&network, layout, &Metadata::default()).unwrap();
        let vectors = prove::test_vectors(&network, &model, &data, &rows).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let any = serde_json::json!({});
        export::write_package(folder.path(), &model, &any, &any, &vectors).unwrap();
        let output = check_onnx(folder.path());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{layout}: {err}{out}");
        assert!(out.contains("\"onnxruntime\"") && !out.contains("\"openvino\""), "{out}");
    }
}

#[test]
fn a_wrong_score_in_the_test_vectors_is_noticed() {
    let folder = package(Layout::UserOnce.into(), |vectors| vectors.scores[7] += 1e-3);
    let output = check_onnx(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("differ by"), "{err} ({FIX})");
}

/// A repository with that many versions of a model in that form.
fn repository(precision: Precision, layout: Layout, versions: usize) -> tempfile::TempDir {
    let repository = tempfile::tempdir().unwrap();
    for version in 1..=versions {
        let added = add(repository.path(), precision, layout).unwrap();
        assert_eq!(added, repository.path().join(format!("shop/{version}/model.onnx")));
    }
    repository
}

fn add(repository: &Path, precision: Precision, layout: Layout) -> Result<std::path::PathBuf, Error> {
    let package = package_in(precision, support::form(&support::every_kind(), layout), |_| ());
    let model = package.path().join("model.onnx");
    let (signature, _) = export::read_signature(&model).unwrap();
    let vectors = TestVectors::beside(&model).unwrap().unwrap();
    triton::add(repository, "shop", package.path(), &signature, &vectors)
}

/// In the place of NVIDIA's client: a server that is the model in the current folder.
const STUB: [(&str, &str); 3] = [
    ("__init__.py", ""),
    (
        "utils.py",
        "import numpy as np\n\ndef triton_to_np_dtype(name):\n    return {'INT64': np.int64, 'FP32': np.float32, 'FP16': np.float16, 'INT8': np.int8}[name]\n",
    ),
    (
        "http.py",
        r#"
import onnxruntime
TYPES = {"tensor(int64)": "INT64", "tensor(float)": "FP32", "tensor(float16)": "FP16", "tensor(int8)": "INT8"}

class InferInput:
    def __init__(self, name, shape, datatype):
        self.name, self.shape = name, shape

    def set_data_from_numpy(self, values):
        assert list(values.shape) == list(self.shape)
        self.values = values

class Answer:
    def __init__(self, scores):
        self.scores = scores

    def as_numpy(self, name):
        return {"scores": self.scores}[name]

class InferenceServerClient:
    def __init__(self, url):
        self.session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

    def get_model_metadata(self, name):
        assert name == "shop"
        return {"inputs": [{"name": i.name, "datatype": TYPES[i.type]} for i in self.session.get_inputs()]}

    def infer(self, name, inputs):
        assert name == "shop"
        return Answer(self.session.run(["scores"], {i.name: i.values for i in inputs})[0])
"#,
    ),
];

#[test]
fn versions_of_a_triton_model_are_whole_packages_in_every_form() {
    for (precision, layout) in [
        (Precision::Fp32, Layout::UserOnce),
        (Precision::Fp16, Layout::Concat),
        (Precision::Int8, Layout::UserOnce),
        (Precision::Fp32, Layout::ItemCachedF16),
        (Precision::Int8, Layout::ItemCachedI8),
    ] {
        let repository = repository(precision, layout, 2);
        let folder = repository.path().join("shop");
        let checked = python("scripts/check_triton.py", &[folder.to_str().unwrap()]);
        assert!(checked.status.success(), "{layout}: {} ({FIX})", String::from_utf8_lossy(&checked.stderr));
        // The warm-up is that of the newest version, and going back is going back with everything.
        let warm_ups = fs::read_dir(folder.join("warmup")).unwrap().map(|file| file.unwrap().file_name());
        assert!(warm_ups.into_iter().all(|name| name.to_str().unwrap().starts_with("2.")), "{layout}");
        for version in ["1", "2"] {
            let own = folder.join(version);
            assert_eq!(own.join("item.onnx").is_file(), layout.rows().is_some(), "{layout}");
            let expected = TestVectors::beside(&own.join("model.onnx")).unwrap().unwrap();
            assert!(own.join("encoders.json").is_file());
            let readme = fs::read_to_string(own.join("README.md")).unwrap();
            let client = readme.split_once("## In Triton").expect("the README says how to ask").1;
            let client = client.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
            let asking = tempfile::tempdir().unwrap();
            fs::create_dir(asking.path().join("tritonclient")).unwrap();
            for (name, text) in STUB {
                fs::write(asking.path().join("tritonclient").join(name), text).unwrap();
            }
            let program = asking.path().join("asked.py");
            fs::write(&program, client).unwrap();
            let output = run_python(&own, &program, &[]);
            assert!(output.status.success(), "{layout}: {}", String::from_utf8_lossy(&output.stderr));
            let scores: Vec<f64> = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(scores.len(), expected.scores.len());
            let near = |(a, b): (&f64, &f32)| (a - f64::from(*b)).abs() <= expected.tolerance;
            assert!(scores.iter().zip(&expected.scores).all(near), "{layout}");
        }
    }
}

#[test]
fn a_version_with_other_inputs_is_refused_before_anything_of_the_model_is_changed() {
    let repository = repository(Precision::Fp32, Layout::UserOnce, 1);
    let folder = repository.path().join("shop");
    let config = fs::read(folder.join("config.pbtxt")).unwrap();
    let refused = add(repository.path(), Precision::Fp32, Layout::Concat).unwrap_err().to_string();
    assert!(refused.contains("another --name") && refused.contains("user-once"), "{refused}");
    assert!(fs::read(folder.join("config.pbtxt")).unwrap() == config && !folder.join("2").exists());
    assert!(
        fs::read_dir(folder.join("warmup"))
            .unwrap()
            .all(|file| { file.unwrap().file_name().to_str().unwrap().starts_with("1.") })
    );
}

/// The block of that language in a package's README.
fn block(package: &Path, language: &str) -> String {
    let readme = fs::read_to_string(package.join("README.md")).unwrap();
    let begin = readme.split_once(&format!("```{language}\n")).expect("the README has a client").1;
    begin.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_clients_of_the_readme_give_the_scores_of_the_package() {
    for &layout in Layout::ALL {
        let folder = package(layout.into(), |_| ());
        let expected = TestVectors::beside(&folder.path().join("model.onnx")).unwrap().unwrap().scores;
        let near = |found: Vec<f32>| {
            found.len() == 200 && found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        let program = folder.path().join("asked.py");
        fs::write(&program, block(folder.path(), "python")).unwrap();
        let output = run_python(folder.path(), &program, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(near(serde_json::from_slice(&output.stdout).unwrap()), "{layout}");
        // The one that is compiled with these tests is the one that stands there.
        assert_eq!(block(folder.path(), "rust"), include_str!("../examples/client.rs"));
        assert!(near(client::scores(&folder.path().join("model.onnx")).unwrap()), "{layout}");
    }
}

#[test]
fn the_guide_for_openvino_gives_the_scores_of_the_package() {
    let guide = include_str!("../docs/serving.md").split_once("### OpenVINO\n").unwrap().1;
    let client = guide.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    for layout in [Layout::UserOnce, Layout::Concat, Layout::ItemCached] {
        let folder = package(layout.into(), |_| ());
        let expected = TestVectors::beside(&folder.path().join("model.onnx")).unwrap().unwrap().scores;
        let program = folder.path().join("asked.py");
        fs::write(&program, client).unwrap();
        let output = run_python(folder.path(), &program, &[]);
        assert!(output.status.success(), "{} ({FIX})", String::from_utf8_lossy(&output.stderr));
        let found: Vec<f32> = serde_json::from_slice(&output.stdout).unwrap();
        let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(found.len() == expected.len() && near, "{layout}");
    }
}

const SCHEMA: &str = r#"
    [data]
    label = "y"
    [defaults]
    user = { fetch_ms = 0.1 }
    [[feature]]
    column = "brand"
    kind = "user"
    type = "categorical"
    min_count = 1
    [[feature]]
    name = "brand_hash"
    column = "brand"
    kind = "user"
    type = "categorical"
    encoding = "hash"
    buckets = 50
    [[feature]]
    column = "price"
    kind = "user"
    type = "numeric"
    buckets = 3
    [[feature]]
    name = "price_number"
    column = "price"
    kind = "user"
    type = "numeric"
    encoding = "standardize"
    [[feature]]
    column = "tags"
    kind = "user"
    type = "sequence"
    min_count = 1
    length = 3
    separator = "|"
"#;

/// Values that have several written forms, that only look like numbers, that are missing, and that are new. The first ten rows are
/// learned from.
const ROWS: &str = "y,brand,price,tags
1,3,0.1,a|b|c|d
0,3.0,0.2,b|| c
0,3.00e0,0.30000001,
1,007,5,true|1|1.0
0,true,-1e3,é|ß
1,ümlaut,0.1,7|07|7.50
0,-0.0,1e-7,x
0,12345678901234567890123,0.7,NaN|null|y
1,0.10,3,a
1,1e-7,.5,b
0,1E400,+4,never|a
0,,NaN,\\N
0,NULL,,1e2|100
0, new ,1e9,0.1|0.10
1,2022-05-03, 6 ,\u{a0}a\u{a0}|\u{1c}a
";

/// `rows.csv` and the `encoders.json` that learned from it, in a folder.
fn encoders(folder: &Path) -> (Encoders, Dataset) {
    let rows = folder.join("rows.csv");
    fs::write(&rows, ROWS).unwrap();
    let schema = Schema::parse(SCHEMA, "s.toml".as_ref()).unwrap();
    let table = RawTable::read(&rows, &schema.columns()).unwrap();
    let encoders = Encoders::fit(&schema, &table, &(0..10).collect::<Vec<_>>()).unwrap();
    let data = encoders.encode(&schema, &table).unwrap();
    encoders.save(&folder.join("encoders.json")).unwrap();
    (encoders, data)
}

#[test]
fn raw_values_are_encoded_alike_row_by_row_in_rust_and_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let (encoders, data) = encoders(folder.path());
    let [rows, path] = ["rows.csv", "encoders.json"].map(|name| folder.path().join(name));
    let output = python("scripts/encode.py", &[path.to_str().unwrap(), rows.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut raw = csv::Reader::from_path(&rows).unwrap();
    let header = raw.headers().unwrap().clone();
    let cells: Vec<csv::StringRecord> = raw.records().map(Result::unwrap).collect();
    assert_eq!((lines.lines().count(), cells.len()), (15, 15));
    for (row, (line, cells)) in lines.lines().zip(&cells).enumerate() {
        let theirs: serde_json::Value = serde_json::from_str(line).unwrap();
        for (feature, encoder) in data.features.iter().zip(encoders.features()) {
            let column = header.iter().position(|name| name == encoder.column).unwrap();
            let text = &cells[column];
            let theirs = &theirs[&feature.name];
            match (feature.slot, encoder.encode(text).unwrap()) {
                (Slot::Ids { start, length }, EncodedValue::Ids(own)) => {
                    let of_table: Vec<u32> = data.ids.of(row, start..start + length).collect();
                    assert_eq!(own, of_table, "`{}` of {text:?}", feature.name);
                    assert_eq!(theirs, &serde_json::json!(own), "`{}` of {text:?}", feature.name);
                }
                (Slot::Number { index }, EncodedValue::Number(own)) => {
                    assert_eq!(own.to_bits(), data.numbers_of(row)[index].to_bits(), "{text:?}");
                    assert_eq!(theirs.is_null(), own.is_nan(), "{text:?}");
                    assert!(
                        own.is_nan() || theirs.as_f64().unwrap() as f32 == own,
                        "{text:?}: {theirs} {own}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(encoders.features()[2].encode("cheap"), None);
}

/// Values as Python programs have them, beside the text that means the same, and what is no number of single precision.
const VALUES: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
import numpy
from encode import Encoders

encoders = Encoders("encoders.json")
nan = float("nan")
for name, value, text in [
    ("brand", None, ""), ("brand", nan, ""), ("brand", 3, "3"), ("brand", 3.0, "3.0"), ("brand", True, "true"),
    ("brand", numpy.float32(0.1), "0.10"), ("brand", numpy.str_("007"), "007"), ("brand_hash", None, ""),
    ("price", None, ""), ("price", 0.2, "0.2"), ("price", numpy.float64(5), "5"), ("price_number", nan, ""),
    ("price_number", None, ""), ("price_number", 3.4e38, "3.4e38"), ("tags", None, ""), ("tags", nan, ""),
    ("tags", ("a", "b"), "a|b"), ("tags", numpy.array(["a", "b"]), "a|b"), ("tags", ["a", None, "b"], "a||b"),
    ("tags", 7, "7"), ("tags", numpy.array([7, 1]), "7|1"), ("tags", (), ""),
]:
    found, wanted = encoders.encode(name, value), encoders.encode(name, text)
    assert found == wanted, (name, value, found, wanted)
assert encoders.encode("brand", None) == [0] and encoders.encode("brand_hash", None) == [0]
assert encoders.encode("tags", None) == [0, 0, 0] and encoders.encode("price_number", None) is None
assert encoders.encode("tags", ("a", "b"))[0] > 1 and 0 not in encoders.encode("tags", ("a", "b"))[:2]
for name in ["price", "price_number"]:
    for value in [1e39, "1e39", "-1e39", "1e400", float("inf"), "12 km"]:
        try:
            raise SystemExit(f"{name} {value}: {encoders.encode(name, value)}")
        except ValueError as refused:
            assert str(value) in str(refused), refused
"#;

#[test]
fn python_encodes_its_own_values_as_their_text_and_refuses_what_rust_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (encoders, _) = encoders(folder.path());
    let program = folder.path().join("values.py");
    fs::write(&program, VALUES).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let output = run_python(folder.path(), &program, &[scripts.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for text in ["1e39", "-1e39", "1e400", "inf"] {
        assert_eq!(encoders.features()[2].encode(text), None, "{text}");
        assert_eq!(encoders.features()[3].encode(text), None, "{text}");
    }
}

#[test]
fn the_command_line_of_the_python_encoder_takes_the_columns_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    encoders(folder.path());
    let [some, none, path] = ["some.csv", "none.csv", "encoders.json"].map(|name| folder.path().join(name));
    fs::write(&some, "id,price\n7,3\n8,\n").unwrap();
    fs::write(&none, "id\n7\n").unwrap();
    let run = |rows: &Path| python("scripts/encode.py", &[path.to_str().unwrap(), rows.to_str().unwrap()]);
    let output = run(&some);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].as_object().unwrap().keys().eq(["price", "price_number"]), "{lines}");
    assert_eq!(rows[1], serde_json::json!({"price": [0], "price_number": null}));
    let output = run(&none);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("none of the columns brand, price, tags"), "{said}");
}
