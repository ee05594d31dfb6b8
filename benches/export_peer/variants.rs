//! A network over the features of KuaiRand-Pure, in every layout and number format, proved, and timed on one thread in one
//! process.

use crate::protocol::Workload;
use autofas_bench::{
    app::{
        config::{Experiment, Override, Stage},
        package::{Numbers, Package, Provers},
    },
    base::{
        names::{EngineName, Layout, Precision},
        progress::Silent,
    },
    data::{self, Loaded, schema::Schema},
    export::{self, Form, Metadata},
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        exchange::Alone,
        network::Network,
        student::{Lesson, Student},
        train::{Rows, fit},
    },
    measure::{
        assemble::{Assembler, Candidate},
        engine::{Inputs, Session, SessionOptions, engine},
        lookup::Lookups,
    },
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The hidden layers.
const WIDTHS: [usize; 3] = [512, 256, 128];

/// What is compared; the first is what the others are compared with.
const VARIANTS: [(Layout, Precision); 11] = [
    (Layout::Concat, Precision::Fp32),
    (Layout::Concat, Precision::Int8),
    (Layout::UserOnce, Precision::Fp32),
    (Layout::UserOnce, Precision::Fp16),
    (Layout::UserOnce, Precision::Int8),
    (Layout::ItemCached, Precision::Fp32),
    (Layout::ItemCached, Precision::Int8),
    (Layout::ItemCachedF16, Precision::Fp32),
    (Layout::ItemCachedF16, Precision::Int8),
    (Layout::ItemCachedI8, Precision::Fp32),
    (Layout::ItemCachedI8, Precision::Int8),
];

/// Different requests, so that embedding rows are not all in the nearest cache.
const REQUESTS: usize = 16;

pub struct Variants {
    engine: EngineName,
    schema: Schema,
    loaded: Loaded,
    /// The files, with what their proofs say.
    models: Vec<(PathBuf, Value)>,
    /// For one count of candidates.
    sessions: Option<(usize, Vec<Asked>)>,
}

/// A session with the requests that it is asked.
type Asked = (Box<dyn Session>, Vec<Inputs>);

impl Variants {
    /// Trains a plain DNN as the experiment's baseline would be, or takes the one that `weights` holds, and puts every variant
    /// into `folder`.
    pub fn new(engine: EngineName, [experiment, data, weights, folder]: [&Path; 4]) -> Self {
        let (schema, loaded, experiment) = loaded(experiment, data);
        if !weights.exists() {
            let seed = experiment.settings.seeds.of(Stage::Baseline);
            trained(&schema, &loaded, &experiment, seed).save(weights).expect("written weights");
        }
        let network = Network::load(weights).expect("weights");
        let mut all = Self { engine, schema, loaded, models: Vec::new(), sessions: None };
        for (layout, precision) in VARIANTS {
            let out = folder.join(format!("{engine}-{layout}-{precision}"));
            all.models
                .push((out.join("model.onnx"), all.package(&network, &experiment, layout, precision, &out)));
        }
        all
    }

    fn package(
        &self,
        network: &Network,
        experiment: &Experiment,
        layout: Layout,
        precision: Precision,
        out: &Path,
    ) -> Value {
        let package = Package {
            network,
            metadata: &Metadata { encoder_hash: self.loaded.encoders.hash(), ..Metadata::default() },
            schema: &self.schema,
            encoders: &self.loaded.encoders,
            data: &self.loaded.dataset,
            numbers: Numbers {
                precision,
                calibration: (&self.loaded.dataset, &self.loaded.split.train[..]),
                traffic: None,
                settings: &experiment.settings.quantise,
            },
        };
        let form = Form::of(layout, &self.schema);
        let provers = Provers { engines: &[self.engine], options: &SessionOptions::PLAIN, stop: None };
        let name = format!("{layout} {precision}");
        match package.write(&form, out, &self.loaded.split.valid, 0, provers) {
            Ok(report) => json!({ "name": name, "proof": report }),
            Err(error) => json!({ "name": name, "error": error.to_string() }),
        }
    }

    /// Sessions with requests of that many candidates each: one user, and the items of as many of the latest rows.
    fn prepare(&mut self, candidates: usize) {
        if self.sessions.as_ref().is_some_and(|(known, _)| *known == candidates) {
            return;
        }
        let data = &self.loaded.dataset;
        let rows: Vec<u32> = (0..data.rows() as u32).rev().take(REQUESTS * candidates).collect();
        let engine = engine(self.engine).expect("an engine");
        let options = SessionOptions { candidates_hint: Some(candidates), ..SessionOptions::PLAIN };
        let made = self.models.iter().filter(|(path, _)| path.exists()).map(|(path, _)| {
            let (signature, _) = export::read_signature(path).expect("a model of this program");
            let lookups = Lookups::of(&*engine, path, &signature, &options, data, || Ok(rows.clone()));
            let assembler = Assembler::by_row(&signature, data, &lookups.expect("tables"));
            let assembler = assembler.expect("an assembly of the inputs");
            let request = |rows: &[u32]| {
                let mut inputs = assembler.inputs();
                let items: Vec<_> = rows.iter().map(|&row| Candidate::of_row(row)).collect();
                assembler.fill(data, rows[0], &items, &mut inputs);
                inputs
            };
            let requests = rows.chunks_exact(candidates).map(request).collect();
            (engine.load(path, &options).expect("a session"), requests)
        });
        self.sessions = Some((candidates, made.collect()));
    }
}

/// The experiment of that file on that data, with its schema and the encoded rows.
pub fn loaded(experiment: &Path, data: &Path) -> (Schema, Loaded, Experiment) {
    let path = Override::text("data.path", data.to_string_lossy());
    let experiment = Experiment::load(experiment, &[path]).expect("an experiment");
    let schema = Schema::load(&experiment.schema_path()).expect("a schema");
    let settings = &experiment.settings;
    let seed = settings.seeds.of(Stage::Split);
    let loaded = data::load(&schema, data, &settings.split, seed).expect("encoded data");
    (schema, loaded, experiment)
}

/// A plain DNN, trained as the experiment's baseline with that seed.
pub fn trained(schema: &Schema, loaded: &Loaded, experiment: &Experiment, seed: u64) -> Network {
    let data = &loaded.dataset;
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let features = input_features(&schema.features, &every, data).expect("features");
    let settings = &experiment.settings.baseline.train;
    let mut student = Student::new(features, &WIDTHS, settings, Lesson::Labels, seed).expect("a network");
    let rows = Rows { data, split: &loaded.split, ranks: &Alone };
    let report = fit(&mut student, rows, settings, seed, &Silent, &mut Keeper::none()).expect("a training");
    eprintln!("trained: validation AUC {:?}", report.metrics.auc);
    student.to_network().expect("plain weights")
}

impl Workload for Variants {
    fn name(&self) -> &'static str {
        "runs"
    }

    fn ready(&self) -> Value {
        json!({ "variants": self.models.iter().map(|(_, proof)| proof).collect::<Vec<_>>() })
    }

    /// One run of every variant, `count` times by turns, with as many candidates as were named last.
    fn run(&mut self, count: usize) -> Value {
        let (_, sessions) = self.sessions.as_mut().expect("a count of candidates");
        let mut ms = vec![Vec::new(); sessions.len()];
        let mut scores = Vec::new();
        for turn in 0..count {
            for step in 0..sessions.len() {
                let at = (turn + step) % sessions.len();
                let (session, requests) = &mut sessions[at];
                let mut ask = |request: usize| {
                    session.run(&requests[request % requests.len()], &mut scores).expect("scores");
                };
                // Once to have this variant's weights in the caches, as in a server that runs nothing else.
                ask(turn);
                let begin = Instant::now();
                ask(turn + 1);
                ms[at].push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        json!({ "ms": ms })
    }

    fn other(&mut self, name: &str, count: usize) -> Value {
        assert_eq!(name, "candidates");
        self.prepare(count);
        json!({ "candidates": count })
    }
}
