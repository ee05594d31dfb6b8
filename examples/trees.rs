//! Gradient boosted trees on the data of an experiment, and what they are worth:
//! `cargo run --release --example trees EXPERIMENT.toml DATA.parquet [trees.KEY=VALUE …] [TABLE.KEY=VALUE …]`.
//!
//! Settings of `TreeSettings` begin with `trees.`; all others are the experiment's. Writes nothing but what it prints:
//! metrics on the validation rows, and the features by gain.
use autofas_bench::{
    Experiment,
    app::config::{Override, Stage},
    base::Error,
    data::{self, schema::Schema},
    learn::baseline::trees::{self, TreeSettings},
};
use std::{path::PathBuf, time::Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(experiment), Some(path)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        return Err(Error::usage("an experiment and its data are wanted", "name both files").into());
    };
    let (own, others): (Vec<String>, Vec<String>) = arguments.partition(|text| text.starts_with("trees."));
    let settings: TreeSettings = toml::from_str(&own.join("\n").replace("trees.", ""))?;
    let others = others.iter().map(|text| Override::assignment(text)).collect::<Result<Vec<_>, _>>()?;
    let experiment = Experiment::load(experiment.as_ref(), &others)?;
    let (schema, seeds) = (Schema::load(&experiment.schema_path())?, &experiment.settings.seeds);
    let loaded = data::load(&schema, &path, &experiment.settings.split, seeds.of(Stage::Split))?;
    let (data, split) = (&loaded.dataset, &loaded.split);
    println!("{} rows to train on, {} to validate on; {settings:?}", split.train.len(), split.valid.len());
    let every: Vec<usize> = (0..schema.features.len()).filter(|&i| !schema.features[i].never).collect();
    let begin = Instant::now();
    let (_, report) =
        trees::train(&schema.features, &every, data, split, &settings, seeds.of(Stage::Baseline))?;
    println!("{} of {} trees kept after {:.0} s", report.kept, report.grown, begin.elapsed().as_secs_f64());
    println!("{:?}", report.metrics);
    let mut gains = report.gain;
    gains.sort_by(|a, b| b.1.total_cmp(&a.1));
    gains.iter().take(30).for_each(|(feature, gain)| println!("{gain:12.1}  {feature}"));
    Ok(())
}
