//! Where a verb finds data and what belongs to it.

use crate::{
    app::plan::{Draft, Seconds, Step, Unit, span},
    base::{Error, Result},
    data::{self, dataset::Dataset, encode::Encoders, schema::Schema},
    measure::traced::DataFiles,
};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Data, and what makes rows of numbers out of it.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// CSV or Parquet file, or a folder of either
    #[arg(long, value_name = "D.parquet")]
    data: PathBuf,
    /// Schema of the data [default: schema.json beside the model]
    #[arg(long, value_name = "S.toml")]
    schema: Option<PathBuf>,
    /// Encoders of the run that trained the model [default: encoders.json beside the model]
    #[arg(long, value_name = "E.json")]
    encoders: Option<PathBuf>,
}

impl DataArgs {
    /// The files, those that were not named beside `model`.
    pub fn files(&self, model: Option<&Path>) -> Result<DataFiles> {
        // First, or a misspelt model would be answered with what does not lie beside it.
        if let Some(model) = model {
            let about = fs::metadata(model).map_err(|e| Error::io(model, "read", e))?;
            let inside = model.join("model.onnx");
            if about.is_dir() && inside.exists() {
                let fix = format!("name the model in it: {}", inside.display());
                return Err(Error::usage(format!("{} is the folder of a package", model.display()), fix));
            }
        }
        let folder = model.map(|model| model.parent().unwrap_or(Path::new("")));
        let beside = |named: &Option<PathBuf>, option: &str, file: &str| match (named, folder) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(folder)) if folder.join(file).exists() => Ok(folder.join(file)),
            (None, Some(folder)) => Err(Error::usage(
                format!("there is no {file} in {}, beside the model", Path::new(".").join(folder).display()),
                format!("name the file with {option}, or give the model.onnx of a package, which has it"),
            )),
            (None, None) => Err(Error::usage(
                format!("neither {option} nor --model is given"),
                format!(
                    "name the file with {option}, or the exported model that it lies beside with --model"
                ),
            )),
        };
        Ok(DataFiles {
            rows: self.data.clone(),
            schema: beside(&self.schema, "--schema", "schema.json")?,
            encoders: beside(&self.encoders, "--encoders", "encoders.json")?,
        })
    }
}

/// Reads and encodes the rows.
pub fn load(files: &DataFiles) -> Result<(Dataset, Encoders)> {
    let encoders = Encoders::load(&files.encoders)?;
    let dataset = data::load_with(&Schema::load(&files.schema)?, &files.rows, &encoders)?;
    Ok((dataset, encoders))
}

/// What a dry run says of them, and how long reading them took.
pub fn draft(files: &DataFiles, dataset: &Dataset, took: Duration) -> Draft {
    let mut draft = Draft::default();
    draft.has_read("schema", &files.schema, "sound");
    draft.has_read("encoders", &files.encoders, "serve the schema");
    draft.has_read("data", &files.rows, format!("{} rows", dataset.rows()));
    let least_s = took.as_secs_f64() / dataset.rows().max(1) as f64;
    let seconds = Seconds { least_s, most_s: Some(least_s) };
    draft.steps.push(Step::times("read and encode the data", Unit::Row, dataset.rows()).each(Some(seconds)));
    draft.basis.push(format!("reading the data took {}", span(took.as_secs_f64())));
    draft
}
