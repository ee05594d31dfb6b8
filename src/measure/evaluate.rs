//! A model on labelled rows, through an engine: what a serving system would have scored.

use super::{
    assemble::{Assembler, Candidate},
    engine::{Engine, Session, SessionOptions},
    lookup::Lookups,
};
use crate::{
    base::{Error, Result, error::Place, names::EngineName},
    data::dataset::Dataset,
    export,
    learn::{
        metrics::{Metrics, TopLists},
        train::metrics_of,
    },
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Metrics of a model on labelled rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this format.
    pub schema_version: u32,
    /// Which runtime computed the scores.
    pub engine: EngineName,
    /// Its version.
    pub engine_version: String,
    /// Rows that were scored.
    pub rows: usize,
    /// AUC, GAUC and logloss, of the other labels as well.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Against the teacher's scores; empty without a request and a teacher score of every row.
    #[serde(flatten)]
    pub top_lists: TopLists,
}

/// Scores `rows` of `data` with the model and compares them with the labels. `encoder_hash` is that of the encoders that
/// `data` was encoded with: a model that was trained with others would read its ids as other values. `at` holds every K at
/// which the lists of a request are cut.
pub fn evaluate(
    engine: &dyn Engine,
    model: &Path,
    options: &SessionOptions,
    data: &Dataset,
    encoder_hash: &str,
    rows: &[u32],
    at: &[usize],
) -> Result<Evaluation> {
    if rows.is_empty() {
        return Err(Error::usage(
            "there are no rows to evaluate on",
            "choose days or a share that hold rows",
        ));
    }
    if engine.name() == EngineName::Null {
        return Err(Error::usage(
            "the null engine scores every row with 0, which says nothing about the model",
            "evaluate it with --engine tract or --engine onnxruntime",
        ));
    }
    let (signature, metadata) = export::read_signature(model)?;
    if metadata.encoder_hash != encoder_hash {
        return Err(Error::input(
            model,
            Place::whole(),
            "the model was trained with other encoders than those of the data",
            "give the encoders of the model's run with --encoders",
        ));
    }
    let lookups = Lookups::of(engine, model, &signature, options, data, || Ok(rows.to_vec()))?;
    let assembler = Assembler::by_row_with(&signature, data, lookups)?;
    let mut session = engine.load(model, options)?;
    let scores = score_rows(session.as_mut(), &assembler, data, rows)?;
    Ok(Evaluation {
        schema_version: 1,
        engine: engine.name(),
        engine_version: engine.version(),
        rows: rows.len(),
        metrics: metrics_of(&scores, data, rows),
        top_lists: top_lists(&scores, data, rows, at),
    })
}

/// What the scores of some rows keep of the teacher's favourites.
fn top_lists(scores: &[f32], data: &Dataset, rows: &[u32], at: &[usize]) -> TopLists {
    let (Some(teacher), Some(requests)) = (&data.teacher_scores, &data.requests) else {
        return TopLists::default();
    };
    let teacher: Vec<f32> = rows.iter().map(|&row| teacher[row as usize]).collect();
    let requests: Vec<u64> = rows.iter().map(|&row| requests[row as usize]).collect();
    TopLists::of(scores, &teacher, &requests, at)
}

/// Candidates per run at most: enough to keep an engine busy, few enough to stay in the cache.
pub(super) const BATCH: usize = 1024;

/// Scores logged rows, each with its own user, in the order of `rows`. `assembler` is an [`Assembler::by_row`].
pub(super) fn score_rows(
    session: &mut dyn Session,
    assembler: &Assembler,
    data: &Dataset,
    rows: &[u32],
) -> Result<Vec<f32>> {
    let mut scores = vec![f32::NAN; rows.len()];
    let mut inputs = assembler.inputs();
    let mut candidates = Vec::new();
    let mut batch_scores = Vec::new();
    for batch in assembler.batches(data, rows) {
        for positions in batch.chunks(BATCH) {
            candidates.clear();
            candidates.extend(positions.iter().map(|&position| Candidate::of_row(rows[position])));
            assembler.fill(data, candidates[0].item(), &candidates, &mut inputs);
            session.run(&inputs, &mut batch_scores)?;
            if batch_scores.len() != positions.len() {
                return Err(Error::usage(
                    format!(
                        "the model gave {} scores for {} candidates",
                        batch_scores.len(),
                        positions.len()
                    ),
                    "evaluate a model with one score per candidate, not a probe",
                ));
            }
            positions.iter().zip(&batch_scores).for_each(|(&position, &score)| scores[position] = score);
        }
    }
    Ok(scores)
}
