//! The file's format must not matter.

use super::*;
use ::parquet::arrow::ArrowWriter;
use arrow::{
    array::{ArrayRef, Float32Array, Float64Array, Int64Array, LargeListBuilder, LargeStringArray},
    record_batch::RecordBatch,
};
use proptest::prelude::*;
use std::sync::Arc;

const MIXED: &str = r#"
[data]
label = "y"
[defaults]
item = { fetch_ms = 1 }
categorical = { min_count = 1 }
[[feature]]
columns = ["int", "single", "double", "text"]
kind = "item"
type = "categorical"
[[feature]]
name = "list"
kind = "item"
type = "sequence"
encoding = "hash"
separator = ";"
length = 3
[[feature]]
name = "int_number"
column = "int"
kind = "item"
type = "numeric"
encoding = "standardize"
[[feature]]
name = "single_number"
column = "single"
kind = "item"
type = "numeric"
buckets = 3
[[feature]]
name = "double_number"
column = "double"
kind = "item"
type = "numeric"
encoding = "standardize"
"#;

/// One row: a value of each type, each possibly missing.
type Row = (bool, Option<i64>, Option<f32>, Option<f64>, Option<String>, Option<Vec<i64>>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let integer = prop_oneof![-3i64..4, any::<i64>()];
    let single = prop_oneof![(-3i8..4).prop_map(f32::from), -1e6f32..1e6];
    let double = prop_oneof![(-3i8..4).prop_map(f64::from), -1e6f64..1e6];
    let text = prop_oneof!["[ab]", "-?[0-9]{1,2}(\\.[0-9])?", "(true|False|NaN|null| x )", "\"?,[\n\"]é"];
    let list = prop::collection::vec(-2i64..3, 1..5);
    let row = (
        any::<bool>(),
        prop::option::of(integer),
        prop::option::of(single),
        prop::option::of(double),
        prop::option::of(text),
        prop::option::of(list),
    );
    prop::collection::vec(row, 1..40)
}

fn write_both(rows: &[Row], csv: &Path, parquet: &Path) {
    let mut writer = csv::Writer::from_path(csv).unwrap();
    writer.write_record(["y", "int", "single", "double", "text", "list"]).unwrap();
    fn show<T: std::fmt::Debug>(value: &Option<T>) -> String {
        value.as_ref().map_or(String::new(), |v| format!("{v:?}"))
    }
    let joined = |l: &Vec<i64>| l.iter().map(i64::to_string).collect::<Vec<_>>().join(";");
    for (y, int, single, double, text, list) in rows {
        let list = list.as_ref().map(joined).unwrap_or_default();
        let text = text.clone().unwrap_or_default();
        let cells = [u8::from(*y).to_string(), show(int), show(single), show(double), text, list];
        writer.write_record(cells).unwrap();
    }
    writer.flush().unwrap();
    let mut lists = LargeListBuilder::new(arrow::array::Int64Builder::new());
    rows.iter().for_each(|r| lists.append_option(r.5.as_ref().map(|l| l.iter().copied().map(Some))));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("y", Arc::new(arrow::array::BooleanArray::from_iter(rows.iter().map(|r| Some(r.0))))),
        ("int", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.1)))),
        ("single", Arc::new(Float32Array::from_iter(rows.iter().map(|r| r.2)))),
        ("double", Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.3)))),
        ("text", Arc::new(LargeStringArray::from_iter(rows.iter().map(|r| r.4.as_deref())))),
        ("list", Arc::new(lists.finish())),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(parquet).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_values_encode_the_same_from_csv_and_from_parquet(rows in rows()) {
        let folder = tempfile::tempdir().unwrap();
        let (csv, parquet) = (folder.path().join("d.csv"), folder.path().join("d.parquet"));
        write_both(&rows, &csv, &parquet);
        let schema = Schema::parse(MIXED, Path::new("s.toml")).unwrap();
        let train: Vec<u32> = (0..rows.len().div_ceil(2) as u32).collect();
        let encoded = [csv, parquet].map(|path| {
            let table = RawTable::read(&path, &schema.columns()).unwrap();
            let encoders = Encoders::fit(&schema, &table, &train).unwrap();
            let data = encoders.encode(&schema, &table).unwrap();
            let bits: Vec<u32> = data.numbers.iter().map(|v| v.to_bits()).collect();
            (encoders.hash(), data.ids, bits, data.labels)
        });
        prop_assert_eq!(&encoded[0], &encoded[1]);
    }

    #[test]
    fn ids_stay_below_the_cardinality(rows in rows(), training_rows in 1usize..5) {
        let folder = tempfile::tempdir().unwrap();
        let (csv, parquet) = (folder.path().join("d.csv"), folder.path().join("d.parquet"));
        write_both(&rows, &csv, &parquet);
        let schema = Schema::parse(MIXED, Path::new("s.toml")).unwrap();
        let table = RawTable::read(&parquet, &schema.columns()).unwrap();
        let train: Vec<u32> = (0..training_rows.min(rows.len()) as u32).collect();
        let data = Encoders::fit(&schema, &table, &train).unwrap().encode(&schema, &table).unwrap();
        for feature in &data.features {
            if let Slot::Ids { start, length } = feature.slot {
                for row in 0..data.rows() {
                    prop_assert!(data.ids.of(row, start..start + length).all(|id| id < feature.cardinality));
                }
            }
        }
    }

    #[test]
    fn encoders_that_were_fitted_to_anything_read_back_equal(rows in rows()) {
        let folder = tempfile::tempdir().unwrap();
        let (csv, parquet) = (folder.path().join("d.csv"), folder.path().join("d.parquet"));
        write_both(&rows, &csv, &parquet);
        let schema = Schema::parse(MIXED, Path::new("s.toml")).unwrap();
        let table = RawTable::read(&parquet, &schema.columns()).unwrap();
        let fitted = Encoders::fit(&schema, &table, &(0..rows.len() as u32).collect::<Vec<_>>()).unwrap();
        let [first, second] = ["a.json", "b.json"].map(|name| folder.path().join(name));
        fitted.save(&first).unwrap();
        let read = Encoders::load(&first).unwrap();
        prop_assert_eq!((&read, read.hash()), (&fitted, fitted.hash()));
        read.save(&second).unwrap();
        prop_assert_eq!(fsio::read(&first).unwrap(), fsio::read(&second).unwrap());
    }
}
