//! Small whole files of every kind, written as this program writes them.

use crate::{
    readers::{LOG_SCHEMA, TRAINING},
    support::{self, FeatureSpec, Value as FeatureValue},
};
use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::Schema as ArrowSchema,
};
use autofas_bench::{
    LatencyTable, Schema,
    base::{
        names::{EngineName, Layout, Precision, Provider},
        stop::Stop,
    },
    data::{self, schema::Side, split::SplitSettings},
    export::{self, Metadata},
    learn::checkpoint::{CheckpointSettings, Contents, Keeper, Moment, Values},
    measure::{
        hlog::{self, Interval},
        replay::{
            trace::{Origin, Request},
            trace_file,
        },
    },
    price::{
        observation::Observation,
        table::{Operation, RunQuantiles, TableContext, TableEntry, Value},
    },
    space::{InputLoad, InputWidths},
};
use hdrhistogram::Histogram;
use parquet::arrow::ArrowWriter;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

const LOG: &str = "click,second,price,stock,brand,tags\n1,100,2.5,7,a,x|y\n0,101,4,,b,\n0,102,,9,a,z|x|y|x\n1,103,1e3,7,c,y\n";

/// The seeds of a reader; `folder` is to write into.
pub fn of(reader: &str, folder: &Path) -> Vec<Vec<u8>> {
    let file = |ending: &str| folder.join(format!("{reader}.{ending}"));
    match reader {
        "schema" => vec![LOG_SCHEMA.into(), fixture("movielens.schema.toml")],
        "schema_json" => vec![schema_json()],
        "experiment" => {
            vec![b"data.schema = \"s.toml\"".to_vec(), fixture("movielens.toml"), fixture("planted.toml")]
        }
        "trace_parquet" => vec![trace(file("parquet"))],
        "trace_jsonl" => vec![trace(file("jsonl"))],
        "arrivals_csv" => vec![
            b"time,candidates\n0.5,3\n0.75,10\n2,1\n".to_vec(),
            b"time,candidates\n2023-11-16 18:17:03.97996,3\n2023-11-16 18:17:04,5\n".to_vec(),
        ],
        "table" => vec![written(file("json"), |path| table().save(path).unwrap())],
        "encoders" => vec![encoders(folder)],
        "onnx" => {
            Layout::ALL.iter().map(|&layout| onnx(&folder.join(format!("{layout}.onnx")), layout)).collect()
        }
        "hlog" => vec![hlog(file("hlog"))],
        "checkpoint" => vec![checkpoint(&folder.join("checkpoints"))],
        "network" => {
            let networks = [support::network(&features(), &[3], 1), support::forest(&features(), 3, 1)];
            networks
                .iter()
                .map(|network| written(file("safetensors"), |path| network.save(path).unwrap()))
                .collect()
        }
        "data_csv" => vec![LOG.into()],
        "data_parquet" => vec![log_parquet()],
        _ => panic!("no seeds for {reader}"),
    }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

fn written(path: PathBuf, write: impl FnOnce(&Path)) -> Vec<u8> {
    write(&path);
    fs::read(path).unwrap()
}

fn schema() -> Schema {
    Schema::parse(LOG_SCHEMA, Path::new("shop.toml")).unwrap()
}

fn schema_json() -> Vec<u8> {
    let mut json = serde_json::to_value(schema()).unwrap();
    json["schema_version"] = Schema::VERSION.into();
    serde_json::to_vec_pretty(&json).unwrap()
}

fn trace(path: PathBuf) -> Vec<u8> {
    let origin = Origin { encoder_hash: "ab".into(), arrivals: "by hand".into(), ..Origin::default() };
    let request = |id: u64| Request { arrival_us: 1000 * id, id, user: 7, candidates: (0..=id).collect() };
    written(path, |path| trace_file::write(path, &origin, 4, (0..4).map(request)).unwrap())
}

fn table() -> LatencyTable {
    let context = TableContext {
        engine: EngineName::Tract,
        engine_version: "0.23.9".into(),
        provider: Provider::Cpu,
        layout: Layout::UserOnce,
        precision: Precision::Fp32,
        threads: 1,
        host: "a1b2c3d4".into(),
    };
    let mut table = LatencyTable::new("probe");
    let operations = [
        Operation::First { user: 8, item: 16, to: 8 },
        Operation::Layer { from: 8, to: 4 },
        Operation::Layer { from: 4, to: 1 },
    ];
    for operation in operations {
        let quantiles = RunQuantiles { p50_ms: Some(0.1), p90_ms: None, p99_ms: Some(0.25) };
        let entry =
            TableEntry { operation, samples: 9, mean_ms: 0.125, noise_pct: 0.5, quantiles, origin: 0 };
        table.insert(&context, 100, entry).unwrap();
    }
    let network = Observation {
        network: "f2-8-4".into(),
        widths: vec![8, 4],
        input: InputWidths { user: 8.0, item: 16.0 },
        load: InputLoad::default(),
        measured_ms: 0.5,
        noise_pct: 1.0,
        cold_ms: None,
        origin: 0,
    };
    table.insert_value(&context, 100, Value::Network(network)).unwrap();
    table
}

fn encoders(folder: &Path) -> Vec<u8> {
    let log = folder.join("log.csv");
    fs::write(&log, LOG).unwrap();
    let split = SplitSettings::Shuffle { valid_fraction: 0.25 };
    let loaded = data::load(&schema(), &log, &split, 0).unwrap();
    written(folder.join("encoders.json"), |path| loaded.encoders.save(path).unwrap())
}

/// One of every kind, with as little in it as there can be.
fn features() -> Vec<FeatureSpec> {
    let values = [
        (Side::User, FeatureValue::Id { cardinality: 3 }),
        (Side::Item, FeatureValue::Sequence { cardinality: 3, length: 2 }),
        (Side::Item, FeatureValue::Number),
    ];
    values.into_iter().map(|(side, value)| FeatureSpec { side, width: 2, value }).collect()
}

fn onnx(path: &Path, layout: Layout) -> Vec<u8> {
    let network = support::network(&features(), &[3], 1);
    let metadata = Metadata {
        schema_hash: "5c".into(),
        encoder_hash: "ec".into(),
        subnet: "f3-3".into(),
        table_version: Some(2),
        metrics: [("auc".to_owned(), 0.75)].into(),
        tool_version: "0".into(),
    };
    let model = export::onnx(&network, support::form(&features(), layout), &metadata).unwrap();
    written(path.to_owned(), |path| model.write(path).unwrap())
}

fn hlog(path: PathBuf) -> Vec<u8> {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    (1..40u64).for_each(|us| histogram.record(us * us * us).unwrap());
    let interval = |start: u64, tag| Interval {
        start: Duration::from_secs(start),
        end: Duration::from_secs(start + 1),
        tag,
        histogram: &histogram,
    };
    let intervals = [interval(0, "response"), interval(1, "response"), interval(0, "service")];
    let started = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    written(path, |path| hlog::write(path, "seed", started, &intervals).unwrap())
}

fn checkpoint(folder: &Path) -> Vec<u8> {
    let mut keeper = Keeper::new(folder.to_owned(), CheckpointSettings::default(), Stop::never());
    assert!(keeper.begin(&TRAINING, &autofas_bench::base::progress::Silent).unwrap().is_none());
    let numbers = [0.5, -1.0, 2.0, 0.0, 3.5, 1e-9];
    let contents =
        || Contents::at(1, &1u64).with("params", vec![("weight".to_owned(), Values::Numbers(&numbers))]);
    keeper.keep(Moment::EpochEnd, contents).unwrap();
    fs::read(folder.join("000000000001.safetensors")).unwrap()
}

fn log_parquet() -> Vec<u8> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("click", Arc::new(Int64Array::from(vec![1, 0, 0, 1]))),
        ("second", Arc::new(Int64Array::from(vec![100, 101, 102, 103]))),
        ("price", Arc::new(Float64Array::from(vec![Some(2.5), Some(4.0), None, Some(1e3)]))),
        ("stock", Arc::new(Int64Array::from(vec![Some(7), None, Some(9), Some(7)]))),
        ("brand", Arc::new(StringArray::from(vec!["a", "b", "a", "c"]))),
        ("tags", Arc::new(StringArray::from(vec![Some("x|y"), None, Some("z|x|y|x"), Some("y")]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema: Arc<ArrowSchema> = batch.schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
