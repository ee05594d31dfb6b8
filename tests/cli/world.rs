//! The program, and an exported model with the data that it belongs to.

use assert_cmd::Command;
use autofas_bench::{
    base::{names::Layout, rng},
    data::{
        dataset::{Dataset, Slot},
        encode::Encoders,
        synth::{self, SynthLog, SynthSettings},
    },
    export::{self, Metadata},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    measure::prove,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The model and the log of a [`World`].
pub const MODEL: [&str; 4] = ["--model", "model/model.onnx", "--data", "log/log.parquet"];
/// A moment's worth of requests.
pub const TRAFFIC: [&str; 6] = ["--qps", "500", "--requests", "60", "--candidates", "8"];

/// The program, run in `folder`.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("autofas-bench").unwrap();
    command.current_dir(folder).env("AUTOFAS_BENCH_HOME", env!("CARGO_MANIFEST_DIR"));
    command
}

/// `table probe` of the experiment `e.toml` at two counts, with few networks.
pub const PROBE: [&str; 12] = [
    "table",
    "probe",
    "--config",
    "e.toml",
    "--candidates",
    "20",
    "--candidates",
    "40",
    "--networks",
    "4",
    "--held-out",
    "1",
];

/// The standard output of a run that succeeds.
pub fn output(folder: &Path, args: &[&str]) -> String {
    String::from_utf8(program(folder).args(args).assert().success().get_output().stdout.clone()).unwrap()
}

/// The standard output of a run with `--json` that succeeds.
pub fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&output(folder, &[args, &["--json"]].concat())).unwrap()
}

/// What a `replay` with `--json` prints, and its messages. It succeeds with what may be believed and exits with 4 where
/// something may not, such as on a machine that is busy with other things, which may also make it slower than a baseline: then
/// with 3.
pub fn replayed(folder: &Path, args: &[&str]) -> (Value, String) {
    let done = program(folder).args(args).arg("--json").output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    let printed: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"));
    let results = printed.as_array().cloned().unwrap_or_else(|| vec![printed.clone()]);
    let valid = results.iter().all(|result| result["valid"] == true);
    let regressed = results.iter().any(|result| result["gate"] == "regressed");
    let code = match (regressed, valid) {
        (true, _) => 3,
        (false, true) => 0,
        (false, false) => 4,
    };
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert_eq!(said.contains("result is INVALID: "), !valid, "{said}");
    (printed, said)
}

/// The messages of a run that fails with `code`.
pub fn failure(folder: &Path, code: i32, args: &[&str]) -> String {
    String::from_utf8(program(folder).args(args).assert().code(code).get_output().stderr.clone()).unwrap()
}

/// `log/` with a synthetic log and `model/` with a package for it, of a network that was never trained.
pub struct World {
    folder: tempfile::TempDir,
    pub network: Network,
    pub data: Dataset,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            SynthSettings { requests: 60, candidates: 10, users: 30, items: 40, ..Default::default() };
        let log = synth::write(&settings, &folder.path().join("log")).unwrap();
        let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
        let encoders = Encoders::fit(&log.schema, &log.table, &rows).unwrap();
        let data = encoders.encode(&log.schema, &log.table).unwrap();
        let network = network(&log, &data);
        let metadata = Metadata {
            schema_hash: log.schema.hash(),
            encoder_hash: encoders.hash(),
            subnet: "by-hand".to_owned(),
            ..Metadata::default()
        };
        let model = export::onnx(&network, Layout::UserOnce, &metadata).unwrap();
        let vectors = prove::test_vectors(&network, &model, &data, &rows[..5]).unwrap();
        export::write_package(&folder.path().join("model"), &model, &log.schema, &encoders, &vectors)
            .unwrap();
        Self { folder, network, data }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `taught.toml`, the schema of the log with purchases in the place of a teacher's scores.
    pub fn teach(&self) {
        let schema = std::fs::read_to_string(self.file("log/schema.toml")).unwrap();
        let schema = schema.replace("other_labels = [\"purchase\"]", "teacher_score = \"purchase\"");
        std::fs::write(self.file("taught.toml"), schema).unwrap();
    }

    pub fn read_json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.file(name)).unwrap()).unwrap()
    }
}

fn network(log: &SynthLog, data: &Dataset) -> Network {
    let mut rng = rng::generator(1, "test/network");
    let inputs: Vec<_> = log
        .schema
        .features
        .iter()
        .zip(&data.features)
        .map(|(feature, encoded)| {
            let mut table = |rows: usize| rng::uniforms(rows * feature.width, 1.0, &mut rng);
            let embedding = match (encoded.slot, &feature.sequence) {
                (Slot::Number { .. }, _) => Embedding::Number { scale: table(1), missing: table(1) },
                (Slot::Ids { length, .. }, Some(_)) => {
                    Embedding::Pooled { rows: table(encoded.cardinality as usize), length }
                }
                (Slot::Ids { .. }, None) => Embedding::Table { rows: table(encoded.cardinality as usize) },
            };
            NetworkInput {
                feature: feature.name.clone(),
                side: feature.kind.side(),
                width: feature.width,
                embedding,
            }
        })
        .collect();
    let from: usize = inputs.iter().map(|input| input.width).sum();
    let mut dense = |inputs: usize, outputs: usize| Dense {
        inputs,
        outputs,
        weight: rng::uniforms(inputs * outputs, (1.0 / inputs as f32).sqrt(), &mut rng),
        bias: vec![0.0; outputs],
    };
    Network { inputs, body: Body::Mlp(vec![dense(from, 8), dense(8, 1)]) }
}

/// What one worker pays for features by the prices of rows in a file of `store price`: trips and own, without what workers cost each other.
pub fn paid_ms(groups: &Value, chosen: &[&str]) -> f64 {
    let mut ms = 0.0;
    for group in groups.as_array().unwrap() {
        let features = group["features"].as_array().unwrap().iter();
        let own: Vec<f64> = features
            .filter(|feature| chosen.contains(&feature["feature"].as_str().unwrap()))
            .map(|feature| feature["own_ms"].as_f64().unwrap())
            .collect();
        ms += own.iter().sum::<f64>();
        ms += if own.is_empty() { 0.0 } else { group["trip_ms"].as_f64().unwrap() };
    }
    ms
}
