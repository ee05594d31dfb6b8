//! A request to stop, from whoever can be asked (the command line, by a signal) to whoever works for long.
//!
//! Loops look at it between two steps, save what they have, and return [`Error::Interrupted`]; nothing is torn down
//! in the middle of a step.

use super::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Set from a signal's handler, read between steps. Clones share one request.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Number of the signal; 0 while nobody has asked.
    signal: Arc<AtomicUsize>,
    /// The command that goes on from here; empty where none does.
    resume: Arc<str>,
}

impl Stop {
    /// Nobody has asked yet; who stops names `resume` as the command that goes on, where it is not empty.
    pub fn new(resume: impl Into<Arc<str>>) -> Self {
        Self { signal: Arc::default(), resume: resume.into() }
    }

    /// For work that nobody interrupts.
    pub fn never() -> Self {
        Self::default()
    }

    /// What a handler sets to the signal's number.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.signal)
    }

    /// Asks, as the signal of this number does.
    pub fn request(&self, signal: usize) {
        self.signal.store(signal, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn requested(&self) -> bool {
        self.signal().is_some()
    }

    /// Number of the signal that asked.
    pub fn signal(&self) -> Option<usize> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }

    /// Fails with [`Error::Interrupted`] when somebody has asked.
    pub fn check(&self) -> Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => Err(Error::Interrupted { signal, resume: self.resume.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reaches_every_clone_and_names_signal_and_command() {
        let stop = Stop::new("autofas-bench iterate --resume");
        let clone = stop.clone();
        clone.check().unwrap();
        stop.request(15);
        assert!(clone.requested());
        let text = clone.check().unwrap_err().to_string();
        assert!(text.contains("SIGTERM") && text.contains("`autofas-bench iterate --resume`"), "{text}");
    }
}
