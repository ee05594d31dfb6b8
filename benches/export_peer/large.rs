//! The export of a network with a million embeddings, 16 wide: how long it takes and how much memory.

use autofas_bench::{
    base::{names::Layout, rng},
    data::schema::Side,
    export::{self, Metadata},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
};
use std::{path::Path, time::Instant};

const ROWS: usize = 1_000_000;
const WIDTH: usize = 16;

pub fn write(folder: &Path) {
    let before = peak_bytes();
    let mut rng = rng::generator(1, "figures/large");
    let input = |feature: &str, side, rows: Vec<f32>| NetworkInput {
        feature: feature.to_owned(),
        side,
        width: WIDTH,
        embedding: Embedding::Table { rows },
    };
    let network = Network {
        inputs: vec![
            input("user", Side::User, rng::uniforms(ROWS / 2 * WIDTH, 0.1, &mut rng)),
            input("item", Side::Item, rng::uniforms(ROWS / 2 * WIDTH, 0.1, &mut rng)),
        ],
        body: Body::Mlp(vec![Dense {
            inputs: 2 * WIDTH,
            outputs: 1,
            weight: vec![0.1; 2 * WIDTH],
            bias: vec![0.0],
        }]),
    };
    let network_bytes = 4 * network.parameters() as u64;
    let begun = Instant::now();
    let model = export::onnx(&network, Layout::UserOnce, &Metadata::default()).expect("a sound network");
    model.write(&folder.join("model.onnx")).expect("a written model");
    let seconds = begun.elapsed().as_secs_f64();
    // The network itself is part of it.
    let bytes = peak_bytes() - before;
    println!(
        "{}",
        serde_json::json!({"seconds": seconds, "network_bytes": network_bytes, "peak_bytes": bytes})
    );
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}
