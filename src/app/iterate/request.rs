//! What is asked of a run: which experiment, where, by what it is measured, and who may look on and end it.

use super::{Journal, journal::Existing, meter::Meter};
use crate::{
    app::config::Experiment,
    base::{
        Error, Result,
        progress::{Progress, Silent},
        stop::Stop,
    },
    learn::exchange::{Alone, Exchange},
};
use std::path::Path;

/// What [`iterate`](super::iterate()) and everything else that works in a run directory is asked.
///
/// [`RunRequest::new`] takes what nobody can guess; the rest has defaults:
///
/// ```no_run
/// use autofas_bench::{
///     Experiment,
///     app::iterate::{ChildMeter, Existing, RunRequest, iterate},
///     base::stop::Stop,
///     measure::child::Launcher,
/// };
/// # fn main() -> autofas_bench::Result<()> {
/// let experiment = Experiment::load("e.toml".as_ref(), &[])?;
/// let launcher = Launcher::this_program(&Stop::never())?;
/// let meter = ChildMeter::new(launcher, &experiment.settings);
/// let request = RunRequest::new(&experiment, "runs/first".as_ref(), &meter);
/// let summary = iterate(RunRequest { existing: Existing::Resume, ..request })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct RunRequest<'a> {
    /// What is searched, trained and measured.
    pub experiment: &'a Experiment,
    /// The run directory.
    pub out: &'a Path,
    /// Whether one that is there may be continued: unless it is said, it may not.
    pub existing: Existing,
    /// What times networks.
    pub meter: &'a dyn Meter,
    /// The processes that train together: unless it is said, this one alone.
    pub ranks: &'a dyn Exchange,
    /// Who is told how it goes: unless it is said, nobody.
    pub progress: &'a dyn Progress,
    /// Who may end it after the present step, with [`Error::Interrupted`]: unless it is said, nobody.
    pub stop: Option<&'a Stop>,
}

impl<'a> RunRequest<'a> {
    /// A new run of `experiment` into `out`, by this process alone and without a word.
    pub fn new(experiment: &'a Experiment, out: &'a Path, meter: &'a dyn Meter) -> Self {
        Self {
            experiment,
            out,
            existing: Existing::Refuse,
            meter,
            ranks: &Alone,
            progress: &Silent,
            stop: None,
        }
    }

    /// The run directory, of which nothing is read yet.
    pub(super) fn journal(&self) -> Journal {
        if !self.ranks.leads() {
            return Journal::followed(self.out);
        }
        let stop = self.stop.cloned().unwrap_or_default();
        Journal::of(self.out, self.experiment.resolved.to_string())
            .saving(self.experiment.settings.checkpoints, stop)
    }

    /// Fails where this process is one of several ranks; `work` says what one process does alone.
    pub(in crate::app) fn check_alone(&self, work: &str) -> Result<()> {
        if self.ranks.place().size == 1 {
            return Ok(());
        }
        Err(Error::usage(
            format!("{work} in one process, and this is one of several ranks"),
            "start it without the launcher",
        ))
    }
}
