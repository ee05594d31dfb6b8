//! Small whole files of every kind, written as this program writes them.

use crate::{
    readers::{LOG, LOG_SCHEMA, STORE_ROWS_BYTES, TRAINING},
    support::{self, FeatureSpec, Value as FeatureValue},
};
use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::Schema as ArrowSchema,
};
use autofas_bench::{
    LatencyTable, Schema,
    base::{
        fsio,
        names::{Denormals, Embeddings, EngineName, Layout, Precision, Provider},
        progress::Silent,
        stop::Stop,
    },
    data::{
        self, encoded,
        schema::{Side, Source},
        split::SplitSettings,
    },
    export::{self, Form, Metadata, companions::TestVectors},
    learn::checkpoint::{CheckpointSettings, Contents, Keeper, Moment, Values},
    measure::{
        conditions::{Conditions, FixedWork},
        engine::EngineSettings,
        environment::Environment,
        hlog::{self, Interval},
        measurement::{Load, Measurement, Pass, Plan, Provenance, Setup},
        prove::test_vectors,
        replay::{
            issue::Loop,
            recorder::Recording,
            trace::{Origin, Pacing, Request},
            trace_file,
            work::{Before, WorkSample},
            work_model::WorkModel,
        },
        store::{
            contents,
            embedded::{self, StoredFolder},
        },
        validity::Limits,
    },
    price::{
        fetch_table::{
            self, Displaced, FetchBucket, FetchFit, FetchMeasuring, FetchTable, GroupPrice, OwnPrice,
        },
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
        "encoded" => vec![encoded(folder, "encoded.json")],
        "encoded_rows" => vec![encoded(folder, "train.bin")],
        "result" => vec![result(file("json"))],
        "fetch_table" => vec![written(file("json"), |path| fetch_table().save(path).unwrap())],
        "store" => vec![store(folder)],
        "test_vectors" => vec![packaged(folder, "test_vectors.json")],
        "embeddings" => vec![packaged(folder, "embeddings.json")],
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
    assert!(keeper.begin(&TRAINING, &Silent).unwrap().is_none());
    let numbers = [0.5, -1.0, 2.0, 0.0, 3.5, 1e-9];
    let contents =
        || Contents::at(1, &1u64).with("params", vec![("weight".to_owned(), Values::Numbers(&numbers))]);
    keeper.keep(Moment::EpochEnd, contents).unwrap();
    fs::read(folder.join("000000000001.safetensors")).unwrap()
}

fn encoded(folder: &Path, file: &str) -> Vec<u8> {
    let (log, out) = (folder.join("log.csv"), folder.join(format!("for-{file}")));
    fs::write(&log, LOG).unwrap();
    let split = SplitSettings::Shuffle { valid_fraction: 0.5 };
    encoded::write(&schema(), &log, &split, 0, &out, &Silent).unwrap();
    fs::read(out.join(file)).unwrap()
}

fn result(path: PathBuf) -> Vec<u8> {
    let work = FixedWork { clock_us: 300.0, memory_us: 200.0 };
    let setup = Setup {
        engine: EngineName::Tract,
        engine_version: "0.23.9".into(),
        provider: Provider::Cpu,
        layout: Layout::UserOnce,
        threads: 1,
        candidates_hint: None,
        engine_settings: EngineSettings::DEFAULT,
        denormals: Denormals::Kept,
        plan_choice: None,
        workers: 2,
        mode: Loop::Open,
        pacing: Pacing::Speed { factor: 1.0 },
        warmup_requests: 0,
        max_queue: None,
        planted: None,
    };
    let load = Load {
        offered_qps: Some(1.0),
        answered_qps: 1.0,
        mean_candidates: 1.0,
        max_candidates: 1,
        half_candidates: [1.0, 1.0],
    };
    let pass = Pass {
        setup,
        load,
        outputs: None,
        scores: None,
        store: None,
        recording: Recording::default(),
        conditions: Conditions { before: work, after: work, steal_pct: Some(0.0), throttle_events: None },
        environment: Environment { host: "h".into(), cores: 2, ..Environment::default() },
        provenance: Provenance::default(),
    };
    let plan = Plan { repeats: 1, seed: 1, limits: Limits { min_requests: 7, min_duration_s: 0.0 } };
    let (mut result, _) = Measurement::of(&[pass], &plan).unwrap();
    let sample = |work_ns| WorkSample { candidates: 100, before: Before::Work, work_ns };
    result.work = Some(WorkModel::fit(&(0..200).map(|i| sample(1_000_000 + i)).collect::<Vec<_>>()).unwrap());
    written(path, |path| fsio::write_json(path, &result).unwrap())
}

fn fetch_table() -> FetchTable {
    let group = |source, name: &str| GroupPrice {
        name: name.to_owned(),
        source,
        trip_ms: 0.25,
        features: vec![OwnPrice { feature: name.to_owned(), bytes: 8, own_ms: 0.5 }],
    };
    let fit = FetchFit { fitted: 1, fitted_mape_pct: 0.0, held_out: 1, held_out_mape_pct: 1.5 };
    let groups = vec![group(Source::Matching, "user"), group(Source::Store, "price")];
    let bucket = |candidates| FetchBucket {
        candidates,
        groups: groups.clone(),
        displaced: Displaced {
            groups: groups.clone(),
            fit,
            within_ms: 1.0,
            networks: Vec::new(),
            observations: Vec::new(),
        },
        beta_ms: 0.125,
        gamma_ms: 0.5,
        fit,
        observations: Vec::new(),
    };
    FetchTable {
        schema_version: fetch_table::SCHEMA_VERSION,
        schema_hash: schema().hash(),
        store: "embedded".to_owned(),
        host: "a1b2c3d4".to_owned(),
        workers: 2,
        layout: Layout::UserOnce,
        measuring: FetchMeasuring {
            store_rows_hash: "5c".to_owned(),
            data_rows_hash: "5c".to_owned(),
            passes: 1,
            block: 1,
            seed: 1,
            displaced_bytes: 0,
            engine: EngineName::Null,
        },
        unfinished: Vec::new(),
        buckets: vec![bucket(100), bucket(1000)],
    }
}

fn store(folder: &Path) -> Vec<u8> {
    let keys = "user_key = \"stock\"\nitem_key = \"brand\"\n\n[defaults]";
    let schema = Schema::parse(&LOG_SCHEMA.replace("[defaults]", keys), Path::new("shop.toml")).unwrap();
    let log = folder.join("store.csv");
    fs::write(&log, LOG.replace(",,", ",8,")).unwrap();
    let loaded = data::load(&schema, &log, &SplitSettings::Shuffle { valid_fraction: 0.25 }, 0).unwrap();
    let rows = contents::Contents::of(&schema, loaded.encoders.hash(), &loaded.dataset).unwrap();
    let out = folder.join("store");
    embedded::write(&out, &rows, &Silent, &Stop::never()).unwrap();
    // How long its file is depends on the pages of the system.
    let stored = StoredFolder { file_bytes: STORE_ROWS_BYTES, ..StoredFolder::read(&out).unwrap() };
    written(folder.join("store.json"), |path| fsio::write_json(path, &stored).unwrap())
}

/// A file of a package with its tables outside.
fn packaged(folder: &Path, file: &str) -> Vec<u8> {
    let network = support::network(&features(), &[3], 1);
    let data = support::dataset(&features(), 3, 1);
    let embeddings = if file == "embeddings.json" { Embeddings::Outside } else { Embeddings::Inside };
    let form = Form { embeddings, ..support::form(&features(), Layout::UserOnce) };
    let model = export::onnx(&network, form, &Metadata::default()).unwrap();
    let vectors = match embeddings {
        Embeddings::Inside => test_vectors(&network, &model, &data, &[0, 1, 2]).unwrap(),
        Embeddings::Outside => TestVectors::default(),
    };
    let log = folder.join("package.csv");
    fs::write(&log, LOG).unwrap();
    let loaded = data::load(&schema(), &log, &SplitSettings::Shuffle { valid_fraction: 0.25 }, 0).unwrap();
    let out = folder.join(format!("for-{file}"));
    export::write_package(&out, &model, &schema(), &loaded.encoders, &vectors).unwrap();
    fs::read(out.join(file)).unwrap()
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
