//! The folder that a serving system takes: the model and what one must know to feed it.

use super::{
    graph,
    model::{ITEM_MODEL, OnnxModel},
    outside::{MANIFEST, TABLES},
    signature::{Content, ElementType, Rows, Signature, TensorSpec},
};
use crate::{
    base::{Result, fsio, names::RowFormat},
    data::{encode::Encoders, schema::Schema},
};
use half::f16;
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt::Write as _, path::Path};
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// The file of a package that holds its [`TestVectors`].
pub const TEST_VECTORS: &str = "test_vectors.json";
/// The file of a package that says how to ask.
pub const README: &str = "README.md";
/// Version of that file.
const VECTORS_VERSION: u32 = 1;

/// Files that only some packages have beside their model.
pub const COMPANIONS: [&str; 5] = [ITEM_MODEL, TABLES, MANIFEST, "model.onnx.data", "item.onnx.data"];

/// The folder of a package that holds its test vectors as ONNX's own tests do: `input_0.pb` …, `output_0.pb`.
const TEST_DATA_SET: &str = "test_data_set_0";

/// One request with the scores that a faithful engine gives for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestVectors {
    /// Input tensors in the signature's order.
    pub inputs: Vec<TestTensor>,
    /// One per candidate.
    pub scores: Vec<f32>,
    /// How far a faithful engine may be from them.
    #[serde(default = "exact")]
    pub tolerance: f64,
}

/// The largest |Δscore| that counts as equal in fp32.
pub const FP32_TOLERANCE: f64 = 1e-5;

/// Of files from when there was one number format.
fn exact() -> f64 {
    FP32_TOLERANCE
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

/// What takes the place of the test request in the Python client.
const RAW_REQUEST: &str = r#"
## A request of raw values

The candidates of a request, each with its raw columns, as the `feed` of the Python client (item tables and embeddings outside are not among these inputs):

```python
from encode import Encoders

encoders, signature = Encoders("encoders.json"), json.load(open("signature.json"))  # once
feed = {name: np.array(values, types[name]) for name, values in encoders.inputs(signature, rows).items()}
```
"#;

/// From raw values to ids and numbers, in Python.
const ENCODE: &str = include_str!("../../scripts/encode.py");
/// A request, in Python and in Rust.
const CLIENTS: [(&str, &str); 2] =
    [("python", include_str!("../../scripts/client.py")), ("rust", include_str!("../../examples/client.rs"))];

impl TestVectors {
    /// The vectors that travel with the package of `model`; none when the file is not there.
    pub fn beside(model: &Path) -> Result<Option<Self>> {
        let path = model.with_file_name(TEST_VECTORS);
        if !path.exists() {
            return Ok(None);
        }
        let fix = "export the model again with `autofas-bench export`";
        fsio::read_versioned(&path, VECTORS_VERSION, fix).map(Some)
    }

    /// Writes the tensors as ONNX's backend tests have them.
    fn write_data_set(&self, folder: &Path, signature: &Signature) -> Result<()> {
        for (index, (tensor, spec)) in self.inputs.iter().zip(&signature.tensors).enumerate() {
            let raw_data = tensor.values.bytes(spec.element);
            let dims = tensor.shape.map(|size| size as i64).to_vec();
            let message = message(&tensor.name, graph::data_type(spec.element), dims, raw_data);
            fsio::write(&folder.join(format!("input_{index}.pb")), &message)?;
        }
        let raw_data = self.scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        let scores = message("scores", DataType::Float, vec![self.scores.len() as i64], raw_data);
        fsio::write(&folder.join("output_0.pb"), &scores)
    }
}

fn message(name: &str, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> Vec<u8> {
    let (name, data_type) = (name.to_owned(), data_type as i32);
    TensorProto { name, data_type, dims, raw_data, ..TensorProto::default() }.encode_to_vec()
}

impl TestValues {
    /// The values in a tensor's type, as they lie in memory: little end first.
    pub(super) fn bytes(&self, element: ElementType) -> Vec<u8> {
        match (self, element) {
            (Self::Ids(steps), ElementType::I8) => steps.iter().map(|&step| step as u8).collect(),
            (Self::Ids(ids), _) => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
            (Self::Numbers(values), ElementType::F16) => {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            (Self::Numbers(values), _) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// Writes `model.onnx` with what belongs to it, `signature.json`, `schema.json`, `encoders.json`, `test_vectors.json`, the same
/// request as `test_data_set_0/`, `encode.py` and `README.md` into `folder`.
pub fn write_package(
    folder: &Path,
    model: &OnnxModel<'_>,
    schema: &Schema,
    encoders: &Encoders,
    vectors: &TestVectors,
) -> Result<()> {
    model.write(&folder.join("model.onnx"))?;
    fsio::write_json(
        &folder.join("signature.json"),
        &Versioned { schema_version: 1, content: &model.signature },
    )?;
    fsio::write_json(
        &folder.join("schema.json"),
        &Versioned { schema_version: Schema::VERSION, content: schema },
    )?;
    encoders.save(&folder.join("encoders.json"))?;
    fsio::write_json(
        &folder.join(TEST_VECTORS),
        &Versioned { schema_version: VECTORS_VERSION, content: vectors },
    )?;
    vectors.write_data_set(&folder.join(TEST_DATA_SET), &model.signature)?;
    fsio::write(&folder.join("encode.py"), ENCODE.as_bytes())?;
    fsio::write(&folder.join(README), (readme(model, vectors.tolerance) + &how_to_ask()).as_bytes())
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

/// The part of the README that is the same for every model.
fn how_to_ask() -> String {
    let mut text = "\n## Raw values\n\n`python3 encode.py encoders.json ROWS.csv` encodes rows by what `encoders.json` says, and is the reference for\n\
        other languages. In Rust it is `autofas_bench::data::encode::FeatureEncoder::encode`. The JSON has an entry per feature:\n\n\
        | `fitted` | id or number |\n| --- | --- |\n\
        | `vocabulary` | 2 + the place of the value's canonical text in the list; 1 for a value that is not in it |\n\
        | `hash` | 1 + (h xor h >> 32) mod `buckets`, h = 64-bit FNV-1a of the canonical text |\n\
        | `buckets` | 1 + how many `edges` are below the number, in single precision |\n\
        | `standardize` | (x - `mean`) / `deviation`, clipped to ±8 |\n\n\
        A missing value is 0, or NaN. Canonical is the text without blanks around it, numbers in their shortest decimal form.\n\n\
        ## A request\n"
        .to_owned();
    for (language, client) in CLIENTS {
        let _ = write!(text, "\n```{language}\n{client}```\n");
    }
    text + RAW_REQUEST
}

fn readme(model: &OnnxModel<'_>, tolerance: f64) -> String {
    let signature = &model.signature;
    let mut text = format!(
        "# Pre-ranking model, layout `{}`\n\n\
         `model.onnx` scores all candidates of one request: output `scores` f32[candidates], between 0 and 1.\n\n{}",
        signature.layout,
        input_table(&signature.tensors)
    );
    let _ = writeln!(
        text,
        "\nIds are local to their feature: 0 is missing (and padding in sequences), and each is below the feature's\n\
         `cardinality` in `signature.json`. Missing numbers are NaN. `encoders.json` turns raw values into ids and numbers,\n\
         `schema.json` describes the columns, and `test_vectors.json` holds a request with the scores to expect within {tolerance:e}; the\n\
         same request is in `test_data_set_0/` as ONNX's backend tests read it. Files `*.onnx.data` belong to the model of that name.",
    );
    let specs =
        signature.tensors.iter().chain(model.item_model().into_iter().flat_map(|m| &m.signature.tensors));
    if specs.into_iter().any(|spec| spec.content == Content::Embedded) {
        let _ = write!(
            text,
            "\n## Embeddings\n\nInputs `*_emb` are vectors side by side, in the order of the columns above. The tables are in `{TABLES}`, and\n\
             `{MANIFEST}` says of each how many rows it has, how wide they are, and how ids become a vector: the row of the\n\
             id, or the mean of the rows of all ids that are not 0 (zeros when there are none).\n"
        );
    }
    if let (Some(table), Some(item)) = (&model.item_table, model.item_model()) {
        let rounding = match table.rows {
            RowFormat::F32 => "as they are",
            RowFormat::F16 => "rounded to f16",
            RowFormat::I8 => {
                "as `round(row / scale)` with `scale = max |row| / 127` beside it, for `item_scales`"
            }
        };
        let _ = write!(
            text,
            "\n## Item table\n\nRun `{ITEM_MODEL}` over all items (not in the request) and keep its output `item_rows` f32[candidates, {}], {rounding}:\n\
             a request hands in the rows of its candidates. {table}.\n\n{}",
            table.outputs,
            input_table(&item.signature.tensors)
        );
    }
    text
}

fn input_table(tensors: &[TensorSpec]) -> String {
    let mut text = "| input | type | shape | columns |\n| --- | --- | --- | --- |\n".to_owned();
    for tensor in tensors {
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
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_little_end_first_in_their_type() {
        let (ids, numbers) = (TestValues::Ids(vec![1, 258]), TestValues::Numbers(vec![1.0, -2.0]));
        assert_eq!(ids.bytes(ElementType::I64), [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(TestValues::Ids(vec![1, -2]).bytes(ElementType::I8), [1, 254]);
        assert_eq!(numbers.bytes(ElementType::F32), [0, 0, 128, 63, 0, 0, 0, 192]);
        assert_eq!(numbers.bytes(ElementType::F16), [0, 60, 0, 192]);
    }
}
