//! Work on models from elsewhere, done in a process of its own: what a runtime does with such a file, down to ending its
//! process, is then an error of the program that asked.

use super::{
    evaluate::{EvaluateRequest, evaluate_files},
    skew::{SkewRequest, compare_log},
    teacher::{TeacherRequest, score_files},
};
use crate::{
    base::{Result, fsio, names::EngineName},
    measure::{child::Launcher, evaluate::Evaluation, skew::Skew},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a child process is asked for. It travels as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "apart", rename_all = "lowercase")]
pub enum Apart {
    /// A model on labelled rows; the result is an [`Evaluation`].
    Evaluate(EvaluateRequest),
    /// A model against a log; the result is a [`Skew`].
    Skew(SkewRequest),
    /// A ranking model on rows; the result is their number.
    Teacher(TeacherRequest),
}

impl Apart {
    /// The runtime that the model is given to.
    fn engine(&self) -> EngineName {
        match self {
            Self::Evaluate(request) => request.engine,
            Self::Skew(request) => request.engine,
            Self::Teacher(_) => EngineName::OnnxRuntime,
        }
    }

    /// Does the work in this process and writes its result: what the hidden verb does.
    pub fn run(&self, out: &Path) -> Result<()> {
        match self {
            Self::Evaluate(request) => fsio::write_json(out, &evaluate_files(request)?),
            Self::Skew(request) => fsio::write_json(out, &compare_log(request)?),
            Self::Teacher(request) => fsio::write_json(out, &score_files(request)?),
        }
    }
}

/// [`evaluate_files`] in a child process.
pub fn evaluate(request: EvaluateRequest, launcher: &Launcher) -> Result<Evaluation> {
    let apart = Apart::Evaluate(request);
    launcher.work(&apart, apart.engine())
}

/// [`compare_log`] in a child process.
pub fn skew(request: SkewRequest, launcher: &Launcher) -> Result<Skew> {
    let apart = Apart::Skew(request);
    launcher.work(&apart, apart.engine())
}

/// [`score_files`] in a child process.
pub fn teacher(request: TeacherRequest, launcher: &Launcher) -> Result<usize> {
    let apart = Apart::Teacher(request);
    launcher.work(&apart, apart.engine())
}
