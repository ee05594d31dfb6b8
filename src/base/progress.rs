//! What a long computation says while it runs. Only the command line knows how to show it.

/// Receives progress. All methods may be called from any thread.
pub trait Progress: Sync {
    /// A new stage begins, with `total` steps of work (0 when unknown).
    fn stage(&self, name: &str, total: u64);
    /// A stage in which another process measures: nothing may be drawn while it lasts, because that takes time from it.
    fn measuring(&self, name: &str) {
        self.stage(name, 0);
    }
    /// The stage has advanced to `done` steps; `note` is a short status such as a loss.
    fn advance(&self, done: u64, note: &str);
    /// A line worth keeping: the result of a stage.
    fn say(&self, line: &str);
    /// A point of the curve `tag`, such as a loss after `step` steps. Whoever draws no curves lets it pass.
    fn record(&self, pace: Pace, tag: &str, step: u64, value: f64) {
        let _ = (pace, tag, step, value);
    }
}

/// How often a curve gets a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With every step: a file may keep every tenth.
    EveryStep,
    /// A few times in an epoch: each one is worth keeping.
    Seldom,
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn say(&self, _: &str) {}
}
