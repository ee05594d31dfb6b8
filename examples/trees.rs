//! Gradient boosted trees on the data of an experiment, what they are worth, and their package for a serving system:
//! `cargo run --release --example trees EXPERIMENT.toml DATA.parquet OUT [trees.KEY=VALUE …] [TABLE.KEY=VALUE …]`.
//!
//! Settings of `TreeSettings` begin with `trees.`; all others are the experiment's. Prints metrics on the validation rows and the
//! features by gain, and puts into the folder `OUT` what `replay`, `evaluate` and `predict` read.
use autofas_bench::{
    Experiment,
    app::config::{Override, Stage},
    base::Error,
    data::{self, schema::Schema},
    export::{self, Form, Metadata},
    learn::baseline::trees::{self, TreeSettings},
    measure::prove,
};
use std::{path::PathBuf, time::Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let [Some(experiment), Some(path), Some(out)] = [(); 3].map(|()| arguments.next().map(PathBuf::from))
    else {
        return Err(Error::usage("an experiment, its data and a folder are wanted", "name all three").into());
    };
    let (own, others): (Vec<String>, Vec<String>) = arguments.partition(|text| text.starts_with("trees."));
    let settings: TreeSettings = toml::from_str(&own.join("\n").replace("trees.", ""))?;
    let others = others.iter().map(|text| Override::assignment(text)).collect::<Result<Vec<_>, _>>()?;
    let experiment = Experiment::load(&experiment, &others)?;
    let (schema, seeds) = (Schema::load(&experiment.schema_path())?, &experiment.settings.seeds);
    let loaded = data::load(&schema, &path, &experiment.settings.split, seeds.of(Stage::Split))?;
    let (data, split) = (&loaded.dataset, &loaded.split);
    println!("{} rows to train on, {} to validate on; {settings:?}", split.train.len(), split.valid.len());
    let every: Vec<usize> = (0..schema.features.len()).filter(|&i| !schema.features[i].never).collect();
    let begin = Instant::now();
    let (network, report) =
        trees::train(&schema.features, &every, data, split, &settings, seeds.of(Stage::Baseline))?;
    println!("{} of {} trees kept after {:.0} s", report.kept, report.grown, begin.elapsed().as_secs_f64());
    println!("{:?}", report.metrics);
    let mut gains = report.gain;
    gains.sort_by(|a, b| b.1.total_cmp(&a.1));
    gains.iter().take(30).for_each(|(feature, gain)| println!("{gain:12.1}  {feature}"));
    let metadata = Metadata {
        schema_hash: schema.hash(),
        encoder_hash: loaded.encoders.hash(),
        subnet: "trees".to_owned(),
        ..Metadata::default()
    };
    let form = Form::of(experiment.settings.target.layout, &schema);
    let model = export::onnx(&network, form, &metadata)?;
    let rows = &split.valid[..split.valid.len().min(100)];
    let vectors = prove::test_vectors(&network, &model, data, rows)?;
    Ok(export::write_package(&out, &model, &schema, &loaded.encoders, &vectors)?)
}
