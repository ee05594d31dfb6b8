//! Raw values, encoded by `scripts/encode.py` as by this program.

use crate::python::{python, run_python};
use autofas_bench::data::{
    dataset::{Dataset, Slot},
    encode::{EncodedValue, Encoders},
    schema::Schema,
    table::RawTable,
};
use std::{fs, path::Path};

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
once = {"name": "user_ids", "rows": "one", "fields": [{"feature": "brand"}, {"feature": "tags"}]}
each = {"name": "item_num", "rows": "candidates", "fields": [{"feature": "price_number"}]}
table = {"name": "item_rows", "rows": "candidates", "content": "item-rows", "fields": [{"feature": "item_rows"}]}
rows = [{"brand": 3, "tags": "a|b", "price": 0.2}, {"brand": None, "tags": None, "price": None}]
inputs = encoders.inputs({"tensors": [once, table, each]}, rows)
assert inputs.keys() == {"user_ids", "item_num"}
assert inputs["user_ids"] == [encoders.encode("brand", 3) + encoders.encode("tags", "a|b")]
[[first], [second]] = inputs["item_num"]
assert first == encoders.encode("price_number", 0.2) and second != second
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
