//! What a forecast takes from a result.

use super::Measurement;
use crate::{
    base::{Error, Result, error::Place},
    measure::{planted::Planted, replay::work_model::WorkModel},
};
use std::path::Path;

impl Measurement {
    /// How long requests keep a worker. The result was in `file`, which an error names when it does not say so.
    pub fn work_model(&self, file: &Path) -> Result<&WorkModel> {
        let model = self.work.as_ref().ok_or_else(|| {
            Error::input(
                file,
                Place::whole(),
                "the result does not say how long requests take",
                "replay at least a hundred requests and keep the result with --out",
            )
        })?;
        model.check(file)?;
        Ok(model)
    }

    /// What speaks against the result. One that was interrupted says so among its reasons.
    pub fn doubts(&self) -> Vec<String> {
        let invalid = self.reasons.iter().map(|reason| format!("the result is INVALID: {reason}"));
        let planted = self.setup.planted.map(|Planted { busy_us, slowdown_pct }| {
            format!(
                "{busy_us} µs and {slowdown_pct} % were added to every run of the result's engine on purpose"
            )
        });
        invalid.chain(planted).collect()
    }
}
