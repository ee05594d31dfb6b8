//! Repositories for Triton: versions that are whole packages, asked by the client that their README shows.

use crate::{
    package_in,
    python::{FIX, python, run_python},
    support,
};
use autofas_bench::{
    base::{
        Error,
        names::{Layout, Precision},
    },
    export::{self, companions::TestVectors, triton},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A repository with that many versions of a model in that form.
fn repository(precision: Precision, layout: Layout, versions: usize) -> tempfile::TempDir {
    let repository = tempfile::tempdir().unwrap();
    for version in 1..=versions {
        let added = add(repository.path(), precision, layout).unwrap();
        assert_eq!(added, repository.path().join(format!("shop/{version}/model.onnx")));
    }
    repository
}

fn add(repository: &Path, precision: Precision, layout: Layout) -> Result<PathBuf, Error> {
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
