//! A model on labelled rows, through an engine: what a serving system would have scored.
//!
//! Rows may come in pieces. Of each only its score, labels and keys are kept, on the disk where they are many, and the
//! metrics are made from parts of them (`kept`), so that memory does not grow with the rows.

mod kept;

pub use kept::GroupMetrics;

use super::{
    assemble::{Assembler, Candidate},
    engine::{Engine, Session, SessionOptions},
    lookup::LookupFiles,
};
use crate::{
    base::{Error, Result, error::Place, fsio, hash, names::EngineName},
    data::dataset::Dataset,
    export::{self, signature::Signature},
    learn::metrics::{Metrics, ScoredCuts, ScoredRecall, ScoringOrder, TopLists},
};
use kept::Kept;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the evaluations that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

/// Metrics of a model on labelled rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Version of this format.
    pub schema_version: u32,
    /// The model's file.
    pub model: String,
    /// SHA-256 of the model.
    pub model_sha256: String,
    /// Which runtime computed the scores.
    pub engine: EngineName,
    /// Its version.
    pub engine_version: String,
    /// Rows that were scored.
    pub rows: usize,
    /// The label that the model was trained on; empty in files of older builds.
    #[serde(default)]
    pub label: String,
    /// AUC, GAUC and logloss, of the other labels as well.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Against the teacher's scores; empty without a request and a teacher score of every row.
    #[serde(flatten)]
    pub top_lists: TopLists,
    /// What of the teacher's top K is left where only some candidates are scored, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates_scored: Option<CandidatesScored>,
}

/// Recall of the teacher's top K against the number of candidates that the model scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidatesScored {
    /// Which candidates are scored.
    #[serde(flatten)]
    pub order: ScoringOrder,
    /// SHA-256 of the requests and the teacher's scores of all rows in their order: models are comparable where it is the same.
    pub lists_hash: String,
    /// By K, ascending.
    pub recalls: Vec<ScoredRecall>,
}

impl Evaluation {
    /// Reads a file that `evaluate --out` wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let fix = "evaluate the model again with `evaluate --out` of this version";
        fsio::read_versioned(path, SCHEMA_VERSION, fix)
    }
}

/// Where the lists of a request are cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lists {
    /// Every K.
    pub at: Vec<usize>,
    /// Numbers of candidates scored; none where all of them are.
    pub scored: Option<ScoredCuts>,
}

/// Without a group nobody knows which rows belong together.
pub fn no_groups() -> Error {
    Error::usage(
        "the schema names no group column",
        "add `group = \"…\"` to its [data], or leave --per-group out",
    )
}

/// Without a teacher's scores nobody knows what should have been kept.
pub fn no_lists() -> Error {
    Error::usage(
        "the schema names no request or no teacher_score column, so recall of the teacher's top K is not known",
        "add `request = \"…\"` and `teacher_score = \"…\"` to its [data], or leave --scored out",
    )
}

/// Scores `rows` of `data` with the model and compares them with the labels. `encoder_hash` is that of the encoders that
/// `data` was encoded with: a model that was trained with others would read its ids as other values.
pub fn evaluate(
    engine: &dyn Engine,
    model: &Path,
    options: &SessionOptions,
    data: &Dataset,
    encoder_hash: &str,
    rows: &[u32],
    lists: &Lists,
) -> Result<Evaluation> {
    let mut evaluator = Evaluator::new(engine, model, options, encoder_hash)?;
    evaluator.add(data, rows)?;
    evaluator.finish(lists, None)
}

/// What is told of every group: see [`Evaluator::finish`].
pub type TakeGroup<'a> = &'a mut dyn FnMut(&GroupMetrics) -> Result<()>;

/// A model that is being evaluated on rows which come in pieces.
pub struct Evaluator<'a> {
    engine: &'a dyn Engine,
    model: &'a Path,
    signature: Signature,
    session: Box<dyn Session>,
    lookups: LookupFiles<'a>,
    kept: Kept,
}

impl<'a> Evaluator<'a> {
    /// Loads the model, and what it looks up. `encoder_hash` is that of the encoders of all the data to come.
    pub fn new(
        engine: &'a dyn Engine,
        model: &'a Path,
        options: &SessionOptions,
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
        let lookups = LookupFiles::open(engine, model, &signature, options)?;
        Ok(Self { engine, model, signature, session, lookups, kept: Kept::default() })
    }

    /// Scores `rows` of `data`, which has the same columns every time. An item table is filled for their items alone.
    ///
    /// Fails where a score is no number: metrics of such a model would say nothing of it.
    pub fn add(&mut self, data: &Dataset, rows: &[u32]) -> Result<()> {
        let lookups = self.lookups.of(data, || Ok(rows.to_vec()))?;
        let assembler = Assembler::by_row(&self.signature, data, &lookups)?;
        let scores = score_rows(self.session.as_mut(), &assembler, data, rows)?;
        if let Some(place) = scores.iter().position(|score| !score.is_finite()) {
            let row = self.kept.rows() + place + 1;
            let problem = format!("its score of row {row} of those evaluated is {}", scores[place]);
            let fix =
                "look whether its training diverged, or another engine gives a number, and export it again";
            return Err(Error::input(self.model, Place::whole(), problem, fix));
        }
        self.kept.add(&scores, data, rows)
    }

    /// The metrics of all rows so far. `groups` is told those of every GAUC group, which the data have to have then.
    ///
    /// Fails where `lists` asks for candidates scored and no request has so many.
    pub fn finish(self, lists: &Lists, groups: Option<TakeGroup>) -> Result<Evaluation> {
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
        let scored = lists.scored.as_ref().map(|cuts| candidates_scored(&kept, &lists.at, cuts));
        Ok(Evaluation {
            schema_version: SCHEMA_VERSION,
            model: self.model.display().to_string(),
            model_sha256: hash::sha256_file(self.model)?,
            engine: self.engine.name(),
            engine_version: self.engine.version(),
            rows: kept.rows(),
            label: String::new(),
            metrics: kept.metrics(kept::PART_ROWS),
            top_lists: kept.top_lists(kept::PART_ROWS, &lists.at),
            candidates_scored: scored.transpose()?,
        })
    }
}

fn candidates_scored(kept: &kept::Rows, at: &[usize], cuts: &ScoredCuts) -> Result<CandidatesScored> {
    let recalls = kept.scored(kept::PART_ROWS, at, cuts).ok_or_else(no_lists)?;
    if recalls.is_empty() {
        let least = at.iter().min().copied().unwrap_or(0);
        return Err(Error::usage(
            format!("no request has {} candidates and more than the {least} of --at", cuts.largest()),
            "give --scored and --at numbers within the lists of the data",
        ));
    }
    let lists_hash = kept.lists_hash().ok_or_else(no_lists)?;
    Ok(CandidatesScored { order: cuts.order(), lists_hash, recalls })
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
