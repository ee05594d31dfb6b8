//! A model on labelled rows, through an engine: what a serving system would have scored.
//!
//! Rows may come in pieces. Of each only its score, labels and keys are kept, on the disk where they are many, and the
//! metrics are made from parts of them (`kept`), so that memory does not grow with the rows.

mod kept;

pub use kept::GroupMetrics;

use super::{
    assemble::{Assembler, Candidate},
    engine::{Engine, Session, SessionOptions},
    lookup::Lookups,
};
use crate::{
    base::{Error, Result, error::Place, names::EngineName},
    data::dataset::Dataset,
    export::{self, signature::Signature},
    learn::metrics::{Metrics, TopLists},
};
use kept::Kept;
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
    let mut evaluator = Evaluator::new(engine, model, options, encoder_hash)?;
    evaluator.add(data, rows)?;
    evaluator.finish(at, None)
}

/// What is told of every group: see [`Evaluator::finish`].
pub type TakeGroup<'a> = &'a mut dyn FnMut(&GroupMetrics) -> Result<()>;

/// A model that is being evaluated on rows which come in pieces.
pub struct Evaluator<'a> {
    engine: &'a dyn Engine,
    model: &'a Path,
    options: &'a SessionOptions,
    signature: Signature,
    session: Box<dyn Session>,
    kept: Kept,
}

impl<'a> Evaluator<'a> {
    /// Loads the model. `encoder_hash` is that of the encoders of all the data to come.
    pub fn new(
        engine: &'a dyn Engine,
        model: &'a Path,
        options: &'a SessionOptions,
        encoder_hash: &str,
    ) -> Result<Self> {
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
        let session = engine.load(model, options)?;
        Ok(Self { engine, model, options, signature, session, kept: Kept::default() })
    }

    /// Scores `rows` of `data`, which has the same columns every time. An item table is filled for their items alone.
    pub fn add(&mut self, data: &Dataset, rows: &[u32]) -> Result<()> {
        let Self { engine, model, options, signature, .. } = self;
        let lookups = Lookups::of(*engine, model, signature, options, data, || Ok(rows.to_vec()))?;
        let assembler = Assembler::by_row_with(signature, data, &lookups)?;
        let scores = score_rows(self.session.as_mut(), &assembler, data, rows)?;
        self.kept.add(&scores, data, rows)
    }

    /// The metrics of all rows so far, with the lists of a request cut at every K of `at`. `groups` is told those of every
    /// GAUC group, which the data have to have then.
    pub fn finish(self, at: &[usize], groups: Option<TakeGroup>) -> Result<Evaluation> {
        let kept = self.kept.finish()?;
        if kept.rows() == 0 {
            return Err(Error::usage(
                "there are no rows to evaluate on",
                "choose days or a share that hold rows",
            ));
        }
        if let Some(take) = groups {
            kept.each_group(kept::PART_ROWS, take)?;
        }
        Ok(Evaluation {
            schema_version: 1,
            engine: self.engine.name(),
            engine_version: self.engine.version(),
            rows: kept.rows(),
            metrics: kept.metrics(kept::PART_ROWS),
            top_lists: kept.top_lists(kept::PART_ROWS, at),
        })
    }
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
