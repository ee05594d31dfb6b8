//! An exported model on the rows of files.

use super::config::{Experiment, Override, Stage};
use crate::{
    base::{Error, Result, fsio, names::EngineName},
    data::{
        self,
        encode::{Encoders, feature::categories, hashing},
        schema::Schema,
        table::TableFiles,
    },
    measure::{
        engine::{SessionOptions, engine},
        evaluate::{self, Evaluation, Evaluator, GroupMetrics, Lists, TakeGroup},
        traced::DataFiles,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// What is to be evaluated on what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// The exported model.
    pub model: PathBuf,
    /// Labelled rows with their schema, and the encoders of the model's run.
    pub files: DataFiles,
    /// Only the rows that this experiment validates on. They are picked in memory; all others are read piece by piece.
    pub config: Option<PathBuf>,
    /// The runtime.
    pub engine: EngineName,
    /// How its session is made.
    pub options: SessionOptions,
    /// Where the lists of requests are cut.
    pub lists: Lists,
    /// Where a CSV line per GAUC group goes.
    pub per_group: Option<PathBuf>,
}

/// Scores the rows and compares them with their labels, and with the teacher's scores where the schema names a column of them.
pub fn evaluate_files(request: &EvaluateRequest) -> Result<Evaluation> {
    let schema = Schema::load(&request.files.schema)?;
    let evaluation = evaluated(request, &schema)?;
    Ok(Evaluation { label: schema.label, ..evaluation })
}

fn evaluated(request: &EvaluateRequest, schema: &Schema) -> Result<Evaluation> {
    let EvaluateRequest { model, files, config, options, lists, per_group, .. } = request;
    let encoders = Encoders::load(&files.encoders)?;
    // Before a long file is scored for nothing.
    if lists.scored.is_some() && (schema.request.is_none() || schema.teacher_score.is_none()) {
        return Err(evaluate::no_lists());
    }
    if per_group.is_some() && schema.group.is_none() {
        return Err(evaluate::no_groups());
    }
    let engine = engine(request.engine)?;
    let mut evaluator = Evaluator::new(&*engine, model, options, &encoders.hash())?;
    if let Some(config) = config {
        let path = files.rows.to_string_lossy();
        let settings = Experiment::load(config, &[Override::text("data.path", path)])?.settings;
        let seed = settings.seeds.of(Stage::Split);
        let (dataset, split) = data::load_divided(schema, &files.rows, &encoders, &settings.split, seed)?;
        evaluator.add(&dataset, &split.valid)?;
    } else {
        data::each_piece(schema, &files.rows, &encoders, |dataset, rows| evaluator.add(dataset, rows))?;
    }
    let Some(path) = per_group else {
        return evaluator.finish(lists, None);
    };
    let names = GroupNames::read(&files.rows, schema)?;
    let mut evaluation = None;
    fsio::write_made(path, |out| {
        let mut lines = Lines { out: csv::Writer::from_writer(out), path, names: &names };
        lines.write(["group", "rows", "positives", "mean_score", "auc", "logloss"].map(str::to_owned))?;
        let mut take = |group: &GroupMetrics| lines.group(group);
        evaluation = Some(evaluator.finish(lists, Some(&mut take as TakeGroup))?);
        lines.out.flush().map_err(|e| Error::io(path, "write", e))
    })?;
    evaluation.ok_or_else(|| Error::usage("no row was evaluated", "give rows"))
}

/// What the groups are called in the file, where their key is a hash of that.
struct GroupNames(HashMap<u64, String>);

impl GroupNames {
    /// None of data that were encoded before: they hold the keys alone.
    fn read(path: &Path, schema: &Schema) -> Result<Self> {
        let mut names = HashMap::new();
        if let Some(column) = schema.group.as_deref().filter(|_| !data::encoded::is_encoded(path)) {
            TableFiles::find(path)?.each_piece(&[column], |table| {
                for text in categories(table, column)?.texts {
                    let key = hashing::key(&text);
                    if text != (key as i64).to_string() {
                        names.entry(key).or_insert(text);
                    }
                }
                Ok(())
            })?;
        }
        Ok(Self(names))
    }

    fn of(&self, key: u64) -> String {
        self.0.get(&key).cloned().unwrap_or_else(|| (key as i64).to_string())
    }
}

/// The CSV file of groups.
struct Lines<'a, W: std::io::Write> {
    out: csv::Writer<W>,
    path: &'a Path,
    names: &'a GroupNames,
}

impl<W: std::io::Write> Lines<'_, W> {
    fn group(&mut self, group: &GroupMetrics) -> Result<()> {
        let GroupMetrics { key, rows, positives, mean_score, auc, logloss } = group;
        let auc = auc.map(|auc| auc.to_string()).unwrap_or_default();
        let numbers =
            [rows.to_string(), positives.to_string(), mean_score.to_string(), auc, logloss.to_string()];
        let [a, b, c, d, e] = numbers;
        self.write([self.names.of(*key), a, b, c, d, e])
    }

    fn write(&mut self, cells: [String; 6]) -> Result<()> {
        self.out.write_record(cells).map_err(|e| Error::io(self.path, "write", e.into()))
    }
}
