//! All layouts of one network over KuaiRand's features, by turns. Weights are random: times do not depend on them.

use autofas_bench::{
    base::{
        names::{EngineName, Layout},
        rng,
    },
    data::schema::{Encoding, Feature, Schema},
    export::{self, Form, Metadata},
    learn::network::{Dense, Embedding, Network, NetworkInput},
    measure::{
        engine::{Session, SessionOptions, engine},
        service::random_inputs,
    },
};
use std::{path::Path, time::Instant};

const HIDDEN: [usize; 3] = [512, 256, 128];
const CANDIDATES: [usize; 2] = [1000, 3000];
/// Different requests, so that embedding rows are not all in the nearest cache.
const REQUESTS: u64 = 16;
/// Runs of a turn, behind one that warms the caches.
const RUNS: usize = 8;
/// Ids of a vocabulary, whose size the schema does not tell.
const VOCABULARY: usize = 2000;

pub fn time(name: EngineName, rounds: usize) {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kuairand.schema.toml");
    let schema = Schema::load(Path::new(schema)).expect("the schema of the fixtures");
    let network = network(&schema);
    let runtime = engine(name).expect("scripts/setup-runtime was run");
    let folder = tempfile::tempdir().expect("a folder");
    for candidates in CANDIDATES {
        let options = SessionOptions { candidates_hint: Some(candidates), ..SessionOptions::PLAIN };
        let mut subjects: Vec<_> = Layout::ALL
            .iter()
            .map(|&layout| {
                let path = folder.path().join(format!("{layout}.onnx"));
                let form = Form::of(layout, &schema);
                let model = export::onnx(&network, form, &Metadata::default()).expect("a sound network");
                model.write(&path).expect("a written model");
                let requests: Vec<_> =
                    (0..REQUESTS).map(|seed| random_inputs(&model.signature, candidates, seed)).collect();
                (layout, runtime.load(&path, &options).expect("a session"), requests, Vec::new())
            })
            .collect();
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        let mut generator = rng::generator(candidates as u64, "order");
        let mut scores = Vec::new();
        for _ in 0..rounds {
            rng::shuffle(&mut order, &mut generator);
            for &subject in &order {
                let (_, session, requests, times) = &mut subjects[subject];
                times.push(turn(session.as_mut(), requests, &mut scores));
            }
        }
        for (layout, _, _, ms) in &subjects {
            let line =
                serde_json::json!({"engine": name, "candidates": candidates, "layout": layout, "ms": ms});
            println!("{line}");
        }
    }
}

/// The fastest run of a turn in ms: what the machine's other work adds is not the graph's.
fn turn(
    session: &mut dyn Session,
    requests: &[autofas_bench::measure::engine::Inputs],
    scores: &mut Vec<f32>,
) -> f64 {
    let mut fastest = f64::INFINITY;
    for run in 0..=RUNS {
        let begun = Instant::now();
        session.run(&requests[run % requests.len()], scores).expect("scores");
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        fastest = if run == 0 { fastest } else { fastest.min(ms) };
    }
    fastest
}

fn network(schema: &Schema) -> Network {
    let mut rng = rng::generator(1, "figures/network");
    let mut input = |feature: &Feature| {
        let mut numbers = |rows: usize| rng::uniforms(rows * feature.width, 0.1, &mut rng);
        let rows = match feature.encoding {
            Encoding::Vocabulary { .. } => VOCABULARY,
            Encoding::Hash { buckets } | Encoding::Buckets { buckets } => buckets as usize + 1,
            Encoding::Standardize => 0,
        };
        let embedding = match &feature.sequence {
            _ if rows == 0 => Embedding::Number { scale: numbers(1), missing: numbers(1) },
            Some(sequence) => Embedding::Pooled { rows: numbers(rows), length: sequence.length },
            None => Embedding::Table { rows: numbers(rows) },
        };
        let (name, side) = (feature.name.clone(), feature.kind.side());
        NetworkInput { feature: name, side, width: feature.width, embedding }
    };
    let inputs: Vec<_> = schema.features.iter().map(&mut input).collect();
    let mut from: usize = inputs.iter().map(|input| input.width).sum();
    let layers = HIDDEN.into_iter().chain([1]).map(|to| {
        let bound = (1.0 / from as f32).sqrt();
        let weight = rng::uniforms(from * to, bound, &mut rng);
        let layer = Dense { inputs: from, outputs: to, weight, bias: rng::uniforms(to, bound, &mut rng) };
        from = to;
        layer
    });
    let layers = layers.collect();
    Network { inputs, layers }
}
