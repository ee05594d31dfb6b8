//! What the sessions of a pass score before their times count: the request of the package, and a sample of the trace's own.

use crate::{
    base::{
        Result,
        names::{EngineName, Provider},
        stop::Stop,
    },
    export::signature::Signature,
    measure::{
        engine::{Engine, Session, SessionOptions},
        prove::FP32_TOLERANCE,
        replay::Workload,
        scores::{self, PassScores, ScoreDifference, ScoredRequest},
        vectors::{OutputCheck, Vectors},
    },
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// What is to be scored, and what came of it.
pub(super) struct Compared<'a> {
    engine: String,
    workload: &'a dyn Workload,
    stop: &'a Stop,
    /// The package's request, for every plan that sessions have; none where it has no request.
    vectors: Vec<Vectors>,
    /// Requests of the trace; none for the null engine, which scores nothing.
    sample: Vec<usize>,
    /// By the number of the session.
    found: Mutex<BTreeMap<usize, Found>>,
}

struct Found {
    outputs: Option<OutputCheck>,
    requests: Vec<ScoredRequest>,
}

impl<'a> Compared<'a> {
    pub(super) fn new(
        engine: &dyn Engine,
        model: &Path,
        signature: &Signature,
        options: &SessionOptions,
        workload: &'a dyn Workload,
        stop: &'a Stop,
    ) -> Result<Self> {
        let provider = match options.provider {
            Provider::Cpu => String::new(),
            other => format!(" on {other}"),
        };
        let mut compared = Self {
            engine: format!("{} {}{provider}", engine.name(), engine.version()),
            workload,
            stop,
            vectors: Vec::new(),
            sample: Vec::new(),
            found: Mutex::default(),
        };
        if engine.name() != EngineName::Null {
            let planned = options.planned_counts(engine.name());
            let counts =
                if planned.is_empty() { vec![None] } else { planned.into_iter().map(Some).collect() };
            for count in counts {
                compared.vectors.extend(Vectors::of(model, signature, count)?);
            }
            compared.sample = scores::sample(workload);
        }
        Ok(compared)
    }

    /// Scores everything with the session of that number, unless somebody has asked to stop.
    ///
    /// Fails when a score is farther from the package's than is allowed, or is no number.
    pub(super) fn check(&self, number: usize, session: &mut dyn Session) -> Result<()> {
        let mut outputs: Option<OutputCheck> = None;
        for vectors in &self.vectors {
            let check = vectors.compare(&self.engine, session, vectors.tolerance())?;
            let farther = |worst: OutputCheck| check.max_abs_difference >= worst.max_abs_difference;
            outputs = if outputs.is_none_or(farther) { Some(check) } else { outputs };
        }
        if !self.stop.requested() {
            let requests = scores::score(session, self.workload, &self.sample)?;
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(number, Found { outputs, requests });
        }
        Ok(())
    }

    /// How far all sessions were from the package, and what the first scored, with the largest difference of another session
    /// from it, or `between_plans`.
    pub(super) fn finish(
        self,
        between_plans: Option<ScoreDifference>,
    ) -> (Option<OutputCheck>, Option<PassScores>) {
        let tolerance = self.vectors.iter().map(Vectors::tolerance).fold(FP32_TOLERANCE, f64::max);
        let Self { engine, sample, found, .. } = self;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
        let Some((_, Found { mut outputs, requests })) = found.next() else { return (None, None) };
        let mut within = between_plans;
        for (number, other) in found {
            let of = |outputs: &Option<OutputCheck>| outputs.map(|check| check.max_abs_difference);
            outputs = if of(&other.outputs) > of(&outputs) { other.outputs } else { outputs };
            let name = |number: usize| format!("{engine} in session {}", number + 1);
            let difference =
                ScoreDifference::largest([&name(number), &name(0)], [&other.requests, &requests]);
            within = ScoreDifference::larger(within, difference);
        }
        (outputs, (!sample.is_empty()).then_some(PassScores { engine, tolerance, requests, within }))
    }
}
