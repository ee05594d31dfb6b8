//! The folder that a serving system takes: the model and what one must know to feed it.

use super::{
    model::OnnxModel,
    signature::{ElementType, Rows, Signature},
};
use crate::base::{Error, Result, error::Place, fsio};
use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt::Write as _, path::Path};

/// The file of a package that holds its [`TestVectors`].
pub const TEST_VECTORS: &str = "test_vectors.json";
/// Version of that file.
const VECTORS_VERSION: u32 = 1;

/// One request with the scores that a faithful engine gives for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestVectors {
    /// Input tensors in the signature's order.
    pub inputs: Vec<TestTensor>,
    /// One per candidate.
    pub scores: Vec<f32>,
}

/// One input tensor of a test vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestTensor {
    /// Name in the graph.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Values, row after row.
    pub values: TestValues,
}

/// Values of a test tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TestValues {
    /// Encoded ids.
    Ids(Vec<i64>),
    /// Numbers; a missing one (NaN) is written as null.
    Numbers(#[serde(deserialize_with = "numbers")] Vec<f32>),
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let values = Vec::<Option<f32>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
}

impl TestVectors {
    /// The vectors that travel with the package of `model`; none when the file is not there.
    pub fn beside(model: &Path) -> Result<Option<Self>> {
        let path = model.with_file_name(TEST_VECTORS);
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |place: Place, problem: String| {
            Error::input(&path, place, problem, "export the model again with `autofas-bench export`")
        };
        let json: serde_json::Value = fsio::read_json(&path)?;
        if json["schema_version"] != VECTORS_VERSION {
            let problem = format!("is {}, and this program reads {VECTORS_VERSION}", json["schema_version"]);
            return Err(wrong(Place::field("schema_version"), problem));
        }
        let vectors = serde_json::from_value(json);
        vectors.map(Some).map_err(|e| wrong(Place::whole(), format!("these are no test vectors ({e})")))
    }
}

/// Writes `model.onnx`, `signature.json`, `schema.json`, `encoders.json`, `test_vectors.json` and `README.md` into `folder`.
pub fn write_package(
    folder: &Path,
    model: &OnnxModel<'_>,
    schema: &impl Serialize,
    encoders: &impl Serialize,
    vectors: &TestVectors,
) -> Result<()> {
    model.write(&folder.join("model.onnx"))?;
    fsio::write_json(
        &folder.join("signature.json"),
        &Versioned { schema_version: 1, content: &model.signature },
    )?;
    fsio::write_json(&folder.join("schema.json"), &Versioned { schema_version: 1, content: schema })?;
    fsio::write_json(&folder.join("encoders.json"), encoders)?;
    fsio::write_json(
        &folder.join(TEST_VECTORS),
        &Versioned { schema_version: VECTORS_VERSION, content: vectors },
    )?;
    fsio::write(&folder.join("README.md"), readme(&model.signature).as_bytes())
}

/// A JSON document with the version of its format beside its own fields.
#[derive(Debug, Serialize)]
pub struct Versioned<'a, T> {
    /// The version.
    pub schema_version: u32,
    /// The fields.
    #[serde(flatten)]
    pub content: &'a T,
}

fn readme(signature: &Signature) -> String {
    let mut text = format!(
        "# Pre-ranking model, layout `{}`\n\n\
         `model.onnx` scores all candidates of one request: output `scores` f32[candidates], between 0 and 1.\n\n\
         | input | type | shape | columns |\n| --- | --- | --- | --- |\n",
        signature.layout
    );
    for tensor in &signature.tensors {
        let element = match tensor.element {
            ElementType::I64 => "int64",
            ElementType::F32 => "float32",
            ElementType::F16 => "float16",
            ElementType::I8 => "int8",
        };
        let rows = match tensor.rows {
            Rows::One => "1",
            Rows::Candidates => "candidates",
        };
        let columns: Vec<_> = tensor
            .fields
            .iter()
            .map(|field| match field.columns {
                1 => field.feature.clone(),
                n => format!("{} ({n})", field.feature),
            })
            .collect();
        let shape = format!("[{rows}, {}]", tensor.columns());
        let _ = writeln!(text, "| `{}` | {element} | {shape} | {} |", tensor.name, columns.join(", "));
    }
    text.push_str(
        "\nIds are local to their feature: 0 is missing (and padding in sequences), and each is below the feature's\n\
         `cardinality` in `signature.json`. Missing numbers are NaN. `encoders.json` turns raw values into ids and numbers,\n\
         `schema.json` describes the columns, and `test_vectors.json` holds a request with the scores to expect within 1e-5.\n",
    );
    text
}
