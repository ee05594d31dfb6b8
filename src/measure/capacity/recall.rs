//! What the candidates that an objective affords are worth: the teacher's Recall@K at that many candidates scored, from
//! evaluations of the same models. At the same rate and objective, it makes a small network that scores thousands comparable with
//! a large one that scores hundreds.

use super::Affordable;
use crate::{
    base::{Error, Result, error::Place},
    learn::metrics::ScoredRecall,
    measure::evaluate::{CandidatesScored, Evaluation},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the affordable candidates keep of the teacher's top K.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AffordedRecall {
    /// K.
    pub k: usize,
    /// Recall at so many candidates scored, on the line between the two measured numbers around them; absent where that is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Its standard error over the requests of the evaluation, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Why the recall is not known, and what to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_known: Option<String>,
}

impl AffordedRecall {
    /// At what is affordable, by K of an evaluation. Where more may be affordable than was measured, it is that of what was.
    pub fn of(affordable: Affordable, scored: &CandidatesScored) -> Vec<Self> {
        scored.recalls.iter().map(|curve| Self::on(affordable, curve)).collect()
    }

    fn on(affordable: Affordable, curve: &ScoredRecall) -> Self {
        let unknown =
            |why: String| Self { k: curve.k, recall: None, standard_error: None, not_known: Some(why) };
        let candidates = match affordable {
            Affordable::Exactly { candidates } | Affordable::AtLeast { candidates } => candidates,
            Affordable::Fewer { candidates } => {
                return unknown(format!(
                    "fewer than {candidates} candidates are affordable, and how many was not measured: replay with fewer"
                ));
            }
        };
        match curve.at(f64::from(candidates)) {
            Some((recall, standard_error)) => {
                Self { k: curve.k, recall: Some(recall), standard_error, not_known: None }
            }
            None => {
                let ends = [curve.points.first(), curve.points.last()]
                    .map(|point| point.map_or(0, |point| point.scored));
                unknown(format!(
                    "{candidates} candidates lie outside of the {} to {} of the evaluation: `evaluate --scored` around them",
                    ends[0], ends[1]
                ))
            }
        }
    }
}

/// Evaluations of several models on the same lists.
#[derive(Debug, Default)]
pub struct Recalls(Vec<(PathBuf, Evaluation, CandidatesScored)>);

impl Recalls {
    /// Reads files that `evaluate --scored … --out` wrote.
    ///
    /// Fails where one has no candidates scored, where two are of the same model, and where lists or their order differ.
    pub fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut recalls: Vec<(PathBuf, Evaluation, CandidatesScored)> = Vec::new();
        for path in paths {
            let mut evaluation = Evaluation::load(path)?;
            let wrong = |problem: String, fix: &str| Error::input(path, Place::whole(), problem, fix);
            let Some(scored) = evaluation.candidates_scored.take() else {
                let problem = "does not say what is left where only some candidates are scored".to_owned();
                return Err(wrong(problem, "evaluate the model again with `evaluate --scored N,N --out`"));
            };
            if let Some((other, _, first)) = recalls.first()
                && (&first.lists_hash, first.order) != (&scored.lists_hash, scored.order)
            {
                let problem =
                    format!("is of other requests, or of another order of them, than {}", other.display());
                return Err(wrong(
                    problem,
                    "evaluate all models on the same rows with the same --scored-seed",
                ));
            }
            let same = recalls.iter().find(|(_, other, _)| other.model_sha256 == evaluation.model_sha256);
            if let Some((other, ..)) = same {
                return Err(wrong(
                    format!("is of the same model as {}", other.display()),
                    "give one of them",
                ));
            }
            recalls.push((path.clone(), evaluation, scored));
        }
        Ok(Self(recalls))
    }

    /// What was evaluated of a model.
    pub fn of(&self, model_sha256: &str) -> Option<&CandidatesScored> {
        let found = self.0.iter().find(|(_, evaluation, _)| evaluation.model_sha256 == model_sha256);
        found.map(|(_, _, scored)| scored)
    }

    /// Fails where an evaluation is of none of these models.
    pub fn check_used<'a>(&self, models: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let unused = self
            .0
            .iter()
            .find(|(_, evaluation, _)| !models.clone().any(|model| model == evaluation.model_sha256));
        let Some((path, evaluation, _)) = unused else { return Ok(()) };
        let problem = format!(
            "is an evaluation of {}, which was not replayed: no result has its hash",
            Path::new(&evaluation.model).display()
        );
        Err(Error::input(
            path,
            Place::field("model_sha256"),
            problem,
            "give the replay's result of this very model",
        ))
    }
}

#[cfg(test)]
mod tests;
