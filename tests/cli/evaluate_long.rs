//! `evaluate` on more rows than the memory would hold.

use crate::{
    evaluate::groups,
    world::{json, output, program},
};
use arrow::{
    array::{ArrayRef, Int64Array, LargeStringArray},
    record_batch::RecordBatch,
};
use autofas_bench::{
    base::names::Layout,
    data::{self, encode::Encoders, schema::Schema, table::RawTable},
    export::{self, Metadata},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    measure::prove,
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use std::{fs, path::Path, sync::Arc};

const SCHEMA: &str = r#"
    [data]
    label = "click"
    group = "page"
    [[feature]]
    column = "page"
    kind = "item"
    type = "categorical"
    encoding = "vocabulary"
    min_count = 1
    fetch_ms = 0.1
"#;

/// Pages with long names, each clicked on as often as its number says, of 64.
const PAGES: usize = 64;

/// `rows` rows of which every page has as many as any other; the file is small, because it names each page once in a group
/// of rows.
fn write(path: &Path, rows: usize) {
    let schema = arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("page", arrow::datatypes::DataType::LargeUtf8, false),
        arrow::datatypes::Field::new("click", arrow::datatypes::DataType::Int64, false),
    ]);
    let schema = Arc::new(schema);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1 << 16)).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
    let names: Vec<String> = (0..PAGES).map(|page| format!("page {page} {}", "x".repeat(400))).collect();
    for begin in (0..rows).step_by(1 << 16) {
        let rows = begin..rows.min(begin + (1 << 16));
        let pages: LargeStringArray = rows.clone().map(|row| Some(names[row % PAGES].as_str())).collect();
        let clicks: Int64Array = rows.map(|row| Some(i64::from(row / PAGES % PAGES < row % PAGES))).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(pages), Arc::new(clicks)];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

/// A package whose score is σ((number of the page − 32) / 16), written beside its schema and encoders.
fn package(folder: &Path) {
    write(&folder.join("small.parquet"), PAGES * PAGES);
    let schema = Schema::parse(SCHEMA, "s.toml".as_ref()).unwrap();
    let table = RawTable::read(&folder.join("small.parquet"), &schema.columns()).unwrap();
    let every: Vec<u32> = (0..table.rows() as u32).collect();
    let encoders = Encoders::fit(&schema, &table, &every).unwrap();
    let dataset = data::load_with(&schema, &folder.join("small.parquet"), &encoders).unwrap();
    let mut rows = vec![0.0; PAGES + 2];
    for row in 0..PAGES {
        rows[dataset.ids.at(row, 0) as usize] = (row as f32 - 32.0) / 16.0;
    }
    let network = Network {
        inputs: vec![NetworkInput {
            feature: "page".to_owned(),
            side: data::schema::Side::Item,
            width: 1,
            embedding: Embedding::Table { rows },
        }],
        body: Body::Mlp(vec![Dense { inputs: 1, outputs: 1, weight: vec![1.0], bias: vec![0.0] }]),
    };
    let metadata = Metadata { encoder_hash: encoders.hash(), ..Metadata::default() };
    let model = export::onnx(&network, Layout::Concat, &metadata).unwrap();
    let vectors = prove::test_vectors(&network, &model, &dataset, &every[..5]).unwrap();
    export::write_package(&folder.join("model"), &model, &schema, &encoders, &vectors).unwrap();
}

/// Pages and clicks are independent of the piece, so any number of rows has the metrics of a few.
#[cfg(target_os = "linux")]
#[test]
fn rows_that_the_memory_would_not_hold_are_evaluated_piece_by_piece() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    let few = json(folder.path(), &["evaluate", "--model", "model/model.onnx", "--data", "small.parquet"]);
    assert!(few["auc"].as_f64().unwrap() > 0.7);
    // 800 MB of text in a file of a few.
    let rows = 512 * PAGES * PAGES;
    write(&folder.path().join("large.parquet"), rows);
    assert!(fs::metadata(folder.path().join("large.parquet")).unwrap().len() < 20 << 20);
    let command = program(folder.path());
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -d 600000; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(["evaluate", "--model", "model/model.onnx", "--data", "large.parquet", "--engine", "tract"])
        .args(["--per-group", "pages.csv", "--json"])
        .current_dir(folder.path())
        .env("AUTOFAS_BENCH_HOME", env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    let many: serde_json::Value = serde_json::from_slice(&limited.stdout).unwrap();
    assert_eq!(many["rows"], rows);
    let difference = many["auc"].as_f64().unwrap() - few["auc"].as_f64().unwrap();
    assert!(difference.abs() < 1e-9, "{many} {few}");
    let pages = groups(&folder.path().join("pages.csv"));
    let name = format!("page 16 {}", "x".repeat(400));
    assert_eq!(pages.len(), PAGES);
    assert_eq!(pages[&name][..2], [(rows / PAGES).to_string(), (rows / PAGES / 4).to_string()]);
    let text = output(folder.path(), &["evaluate", "--model", "model/model.onnx", "--data", "small.parquet"]);
    assert!(text.contains("4096"), "{text}");
}
