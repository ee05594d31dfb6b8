//! Scores the request that travels with a package: `cargo run --release --example client PACKAGE_FOLDER`.
use autofas_bench::measure::{
    engine::{SessionOptions, engine},
    vectors::Vectors,
};
use autofas_bench::{
    base::{Result, names::EngineName},
    export::read_signature,
};

fn main() -> Result<()> {
    let model = std::path::Path::new(&std::env::args().nth(1).unwrap_or(".".into())).join("model.onnx");
    println!("{:?}", scores(&model)?);
    Ok(())
}

/// Loads the model, takes its inputs from test_vectors.json, and scores their candidates.
pub fn scores(model: &std::path::Path) -> Result<Vec<f32>> {
    let mut session = engine(EngineName::OnnxRuntime)?.load(model, &SessionOptions::PLAIN)?;
    let request = Vectors::of(model, &read_signature(model)?.0, None)?.expect("test_vectors.json beside it");
    let mut scores = Vec::new();
    session.run(request.inputs(), &mut scores)?;
    Ok(scores)
}
