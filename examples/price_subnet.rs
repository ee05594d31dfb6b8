//! What a network costs by a latency table, and what it would cost without each of its features and with other layers; nothing is measured:
//! `cargo run --release --example price_subnet TABLE.json PACKAGE/model.onnx CANDIDATES`.
//!
//! The table is one of `table probe` or of a run (`RUN/tables`) on this machine, for the engine ONNX Runtime.
use autofas_bench::{
    LatencyTable, Result, Subnet,
    app::predict::PricedNetwork,
    base::{Error, names::EngineName},
    measure::engine::SessionOptions,
    price::path::subnet_ms,
};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wrong = || Error::usage("wrong arguments", "give a table, a model, and a number of candidates");
    let [table, model, candidates] = &arguments[..] else { return Err(wrong()) };
    let candidates = candidates.parse().map_err(|_| wrong())?;
    for (what, ms) in priced(Path::new(table), Path::new(model), candidates)? {
        println!("{ms:8.4} ms  {what}");
    }
    Ok(())
}

/// The network, then every network that lacks one of its features, then every one that lacks one of its layers; with the service time that
/// the table says, in ms.
pub fn priced(table: &Path, model: &Path, candidates: usize) -> Result<Vec<(String, f64)>> {
    let network = PricedNetwork::of_model(model)?;
    let context = network.context(EngineName::OnnxRuntime, &SessionOptions::PLAIN)?;
    let prices = LatencyTable::load(table)?.prices(&context, candidates)?;
    let PricedNetwork { space, subnet, .. } = &network;
    let price = |subnet: &Subnet| subnet_ms(space, subnet, &prices);
    let mut found = vec![(subnet.id(space), price(subnet)?)];
    for (at, &feature) in subnet.features.iter().enumerate() {
        let mut less = subnet.clone();
        less.features.remove(at);
        // Every network reads something of the candidate: without its last such feature there is no price.
        if let Ok(ms) = price(&less) {
            found.push((format!("without {}", space.features[feature].name), ms));
        }
    }
    for (at, operator) in subnet.operators.iter().enumerate() {
        let mut less = subnet.clone();
        less.operators.remove(at);
        found.push((format!("without the layer of {operator}"), price(&less)?));
    }
    Ok(found)
}
