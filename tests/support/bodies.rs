//! Random networks of other forms than layers one behind the other.

use super::{FeatureSpec, network};
use autofas_bench::{
    base::rng::{self, Generator},
    data::schema::Side,
    learn::network::{Body, Dense, Embedding, Network, NetworkInput, Partitioned, TwoTower},
};

fn dense(inputs: usize, outputs: usize, rng: &mut Generator) -> Dense {
    let weight = rng::uniforms(inputs * outputs, (2.0 / inputs as f32).sqrt(), rng);
    Dense { inputs, outputs, weight, bias: rng::uniforms(outputs, 0.5, rng) }
}

/// Layers of these widths behind each other.
fn chain(widths: &[usize], rng: &mut Generator) -> Vec<Dense> {
    widths.windows(2).map(|pair| dense(pair[0], pair[1], rng)).collect()
}

fn with_body(features: &[FeatureSpec], body: impl Fn(&Network) -> Body) -> Network {
    let plain = network(features, &[], 3);
    let body = body(&plain);
    Network { body, ..plain }
}

/// Towers with these hidden widths, and vectors of six.
pub fn two_tower(features: &[FeatureSpec], hidden: &[usize]) -> Network {
    with_body(features, |plain| {
        let mut rng = rng::generator(5, "towers");
        let mut tower = |side| {
            let own = plain.inputs.iter().filter(|input| input.side == side);
            let width = own.map(|input| input.width).sum();
            chain(&[&[width], hidden, &[6]].concat(), &mut rng)
        };
        Body::TwoTower(TwoTower { user: tower(Side::User), item: tower(Side::Item), bias: 0.25 })
    })
}

/// Three heads with these hidden widths, told by the first single id on `side`.
pub fn partitioned(features: &[FeatureSpec], side: Side, shared: &[usize], hidden: &[usize]) -> Network {
    with_body(features, |plain| {
        let mut rng = rng::generator(6, "partitions");
        let told =
            |input: &NetworkInput| input.side == side && matches!(input.embedding, Embedding::Table { .. });
        let input = plain.inputs.iter().position(told).expect("an id on that side");
        let Embedding::Table { rows } = &plain.inputs[input].embedding else { panic!("a table") };
        let ids = (rows.len() / plain.inputs[input].width) as u32;
        let shared = chain(&[&[plain.input_width()], shared].concat(), &mut rng);
        let from = shared.last().expect("a shared layer").outputs;
        let mut head = |_| chain(&[&[from], hidden, &[1]].concat(), &mut rng);
        let heads = (0..3).map(&mut head).collect();
        let partition_of = (0..ids).map(|id| (id + 1) % 3).collect();
        Body::Partitioned(Partitioned { input, partition_of, shared, heads })
    })
}
