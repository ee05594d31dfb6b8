//! One entry per reader of files that others may have written: the fuzzer and the test of this folder call the same ones, so that
//! whatever the fuzzer finds is replayed by the test. Needs nothing but this crate.

use autofas_bench::{
    Error, Experiment, LatencyTable, Network, Result, Schema,
    base::{progress::Silent, stop::Stop},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        encode::Encoders,
        encoded,
        ids::Ids,
        split::SplitSettings,
        table::{RawTable, TableFiles},
    },
    export::{self, check::Limits, companions::TestVectors, outside},
    learn::{
        checkpoint::{CheckpointSettings, Keeper},
        network::{Embedding, NetworkInput},
    },
    measure::{
        hlog::reading,
        measurement::Measurement,
        replay::{arrivals::Arrivals, trace_file::TraceReader},
        store::embedded::StoredFolder,
    },
    price::fetch_table::FetchTable,
};
use std::{fmt::Debug, fs, path::Path};

/// A reader and the name of the file that it is given, or where it is in a folder: by its ending some choose the format.
pub struct Reader {
    /// What it reads.
    pub name: &'static str,
    file: &'static str,
    read: fn(&Path) -> Result<()>,
}

const fn reader(name: &'static str, file: &'static str, read: fn(&Path) -> Result<()>) -> Reader {
    Reader { name, file, read }
}

/// All of them.
pub const READERS: [Reader; 21] = [
    reader("schema", "schema.toml", |path| {
        let schema = Schema::load(path)?;
        // What was read can be written for a model, and is the same then.
        let mut json = serde_json::to_value(&schema).expect("plain data");
        json["schema_version"] = Schema::VERSION.into();
        let written = path.with_file_name("written.json");
        fs::write(&written, json.to_string()).expect("a folder to write to");
        equal(&schema, &Schema::load(&written)?)
    }),
    reader("schema_json", "schema.json", |path| Schema::load(path).map(drop)),
    reader("experiment", "experiment.toml", |path| Experiment::load(path, &[]).map(drop)),
    reader("trace_parquet", "trace.parquet", trace),
    reader("trace_jsonl", "trace.jsonl", trace),
    reader("arrivals_csv", "arrivals.csv", |path| {
        let (time_column, candidates_column) = ("time".to_owned(), Some("candidates".to_owned()));
        Arrivals::Recorded { file: path.to_owned(), time_column, candidates_column }.schedule(64, 0).map(drop)
    }),
    reader("table", "table.json", |path| {
        let table = LatencyTable::load(path)?;
        let written = path.with_file_name("written.json");
        table.save(&written)?;
        equal(&table, &LatencyTable::load(&written)?)
    }),
    reader("encoders", "encoders.json", |path| {
        let encoders = Encoders::load(path)?;
        let written = path.with_file_name("written.json");
        encoders.save(&written)?;
        equal(&encoders, &Encoders::load(&written)?)
    }),
    reader("onnx", "model.onnx", |path| {
        let checked = export::check::read(path, &Limits::STANDARD).map(drop);
        checked.and_then(|()| export::read_signature(path).map(drop))
    }),
    reader("hlog", "run.hlog", |path| reading::total(path, "response").map(drop)),
    reader("checkpoint", "000000000001.safetensors", |path| {
        let folder = path.parent().expect("in a folder").to_owned();
        let mut keeper = Keeper::new(folder, CheckpointSettings::default(), Stop::never());
        let Some(stored) = keeper.begin(&TRAINING, &Silent)? else { return Ok(()) };
        stored.position::<u64>()?;
        stored.part("params").numbers("weight", 6).map(drop)
    }),
    reader("network", "network.safetensors", |path| {
        let network = Network::load(path)?;
        network.score(&row(&network), &[0]).map(drop)
    }),
    reader("data_csv", "log.csv", log),
    reader("data_parquet", "log.parquet", log),
    reader("encoded", "shop.encoded/encoded.json", encoded),
    reader("encoded_rows", "shop.encoded/train.bin", encoded),
    reader("result", "result.json", |path| Measurement::load(path).map(drop)),
    reader("fetch_table", "fetch.json", |path| {
        let table = FetchTable::load(path)?;
        let written = path.with_file_name("written.json");
        table.save(&written)?;
        equal(&table, &FetchTable::load(&written)?)
    }),
    reader("store", "shop.store/store.json", |path| {
        let folder = path.parent().expect("in a folder");
        let rows = fs::File::create(folder.join("rows.mdb")).and_then(|file| file.set_len(STORE_ROWS_BYTES));
        rows.expect("a folder to write to");
        StoredFolder::read(folder).map(drop)
    }),
    reader("test_vectors", "test_vectors.json", |path| {
        TestVectors::beside(&path.with_file_name("model.onnx")).map(drop)
    }),
    reader("embeddings", "embeddings.json", |path| outside::Manifest::load(path).map(drop)),
];

/// What the checkpoints of the corpus were kept for.
pub const TRAINING: &str = "a training";

/// Length of the rows of the store whose manifest is in the corpus.
pub const STORE_ROWS_BYTES: u64 = 32_768;

/// A log in CSV.
pub const LOG: &str = "click,second,price,stock,brand,tags\n1,100,2.5,7,a,x|y\n0,101,4,,b,\n0,102,,9,a,z|x|y|x\n1,103,1e3,7,c,y\n";

/// The columns of the logs.
pub const LOG_SCHEMA: &str = r#"
[data]
label = "click"
time = "second"

[defaults]
item = { fetch_ms = 0.5 }

[[feature]]
name = "price"
kind = "item"
type = "numeric"
encoding = "standardize"

[[feature]]
name = "stock"
kind = "item"
type = "numeric"
encoding = "buckets"
buckets = 4

[[feature]]
name = "brand"
kind = "item"
type = "categorical"
min_count = 1

[[feature]]
name = "tags"
kind = "item"
type = "sequence"
separator = "|"
length = 3
min_count = 1
"#;

fn trace(path: &Path) -> Result<()> {
    TraceReader::open(path)?.trace().map(drop)
}

/// As a whole, and piece by piece.
fn log(path: &Path) -> Result<()> {
    let schema = Schema::parse(LOG_SCHEMA, Path::new("shop.toml"))?;
    let table = RawTable::read(path, &schema.columns())?;
    let rows: Vec<u32> = (0..table.rows() as u32).collect();
    let encoders = Encoders::fit(&schema, &table, &rows)?;
    let mut left = encoders.encode(&schema, &table)?.rows();
    TableFiles::find(path)?.each_piece(&schema.columns(), |piece| {
        left -= encoders.encode(&schema, piece)?.rows();
        Ok(())
    })?;
    equal(&left, &0)
}

/// The file at `path` among the others of a folder that this program has encoded.
fn encoded(path: &Path) -> Result<()> {
    let schema = Schema::parse(LOG_SCHEMA, Path::new("shop.toml"))?;
    let split = SplitSettings::Shuffle { valid_fraction: 0.5 };
    let folder = path.parent().expect("in a folder");
    if !folder.join("labels.bin").exists() {
        let given = fs::read(path).expect("just written");
        fs::remove_file(path).expect("just written");
        let log = folder.with_file_name("log.csv");
        fs::write(&log, LOG).expect("a folder to write to");
        encoded::write(&schema, &log, &split, 0, folder, &Silent)?;
        fs::write(path, given).expect("a folder to write to");
    }
    let loaded = encoded::open(folder, &schema, &split, 0)?;
    for rows in [&loaded.split.train, &loaded.split.valid] {
        loaded.dataset.partition_shares(rows);
    }
    Ok(())
}

/// A row that the network reads: of every table the last id, of a list two of them, and the number 1.
fn row(network: &Network) -> Dataset {
    let (mut ids, mut numbers) = (Vec::new(), Vec::new());
    let mut feature = |input: &NetworkInput| {
        let (slot, cardinality) = match &input.embedding {
            Embedding::Number { .. } => {
                numbers.push(1.0);
                (Slot::Number { index: numbers.len() - 1 }, 0)
            }
            Embedding::Table { rows } | Embedding::Pooled { rows, .. } => {
                let cardinality = (rows.len() / input.width) as u32;
                let length = if matches!(input.embedding, Embedding::Table { .. }) { 1 } else { 2 };
                ids.extend(vec![cardinality - 1; length]);
                (Slot::Ids { start: ids.len() - length, length }, cardinality)
            }
        };
        EncodedFeature { name: input.feature.clone(), slot, cardinality }
    };
    let features = network.inputs.iter().map(&mut feature).collect();
    let (number_slots, numbers) = (numbers.len(), numbers.into());
    Dataset {
        features,
        ids: Ids::from_rows(ids.len(), &ids),
        number_slots,
        numbers,
        labels: vec![0.0].into(),
        ..Dataset::default()
    }
}

fn equal<T: PartialEq + Debug>(read: &T, again: &T) -> Result<()> {
    assert!(read == again, "what was read, written and read again is another: {read:?}, {again:?}");
    Ok(())
}

impl Reader {
    /// Has the file with this content read in `folder`, which no other reader uses. Whether it is accepted; anything but a value or
    /// an error that names the file is a panic.
    pub fn read(&self, folder: &Path, content: &[u8]) -> bool {
        let path = folder.join(self.file);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder to write to");
        fs::write(&path, content).expect("a folder to write to");
        match (self.read)(&path) {
            Ok(()) => true,
            Err(error) => {
                self.check(&error);
                false
            }
        }
    }

    fn check(&self, error: &Error) {
        let text = error.to_string();
        // Of a folder another file may be named, which does not go together with this one.
        let named = self.file.split('/').next().unwrap_or_default();
        assert!(text.contains(named), "the {} reader's error names no file: {text}", self.name);
    }
}
