//! A serving system's log against offline encoding and scores.

use crate::{
    base::{Error, Result, error::Place, keys, names::EngineName},
    data::{
        encode::Encoders,
        schema::Schema,
        table::{self, TableFiles},
    },
    export,
    measure::{
        engine::engine,
        skew::{LogColumns, Skew, SkewCheck},
        traced::DataFiles,
    },
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SkewRequest {
    /// The model that served.
    pub model: PathBuf,
    /// The log, with the schema and encoders that belong to the model.
    pub files: DataFiles,
    /// What the log's columns are called.
    pub columns: LogColumns,
    /// The runtime that scores offline.
    pub engine: EngineName,
    /// |Δscore| up to which scores are equal.
    pub tolerance: f64,
}

/// Compares all rows of the log, some ten thousand at a time.
pub fn compare_log(request: &SkewRequest) -> Result<Skew> {
    let SkewRequest { model, files, columns, tolerance, .. } = request;
    let (signature, metadata) = export::read_signature(model)?;
    let schema = Schema::load(&files.schema)?;
    let encoders = Encoders::load(&files.encoders)?;
    if metadata.encoder_hash != encoders.hash() {
        let fix = "give the encoders of the model's run with --encoders";
        return Err(Error::input(model, Place::whole(), "the model was trained with other encoders", fix));
    }
    let engine = engine(request.engine)?;
    let mut check =
        SkewCheck::new(schema, encoders, &*engine, model, &signature, columns.clone(), *tolerance)?;
    let names = check.columns();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let known = table::names(&files.rows)?;
    if !known.contains(&columns.score) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = keys::suggestion(&columns.score, &known);
        let fix = format!("name the column of the score that was served with --score: {near}");
        let place = Place::field(&columns.score);
        return Err(Error::input(&files.rows, place, "there is no such column", fix));
    }
    TableFiles::find(&files.rows)?.each_piece(&names, |piece| check.add(piece))?;
    Ok(check.finish())
}
