//! What every request of a trace must fulfil, looked at while it passes by.

use super::{trace::Request, unique::Unique};
use crate::base::{
    Error, Result,
    error::{Place, Spot},
};
use std::path::PathBuf;

/// Requests that are found in order as they pass: arrivals ascending and none too late, candidates there, every id once, and
/// as many as were announced. The first that is not ends the iterator with an error that names the file and the place.
pub(super) struct Checked<I> {
    requests: I,
    /// Absent after the last request, or an error.
    check: Option<Check>,
}

struct Check {
    file: PathBuf,
    /// Where the first request stands.
    first: Spot,
    /// Requests that passed.
    seen: u64,
    announced: usize,
    last_us: u64,
    ids: Unique,
}

impl<I: Iterator<Item = Result<Request>>> Checked<I> {
    /// `file` is named in errors; `first` is where its first request stands.
    pub(super) fn new(requests: I, file: PathBuf, first: Spot, announced: usize) -> Self {
        let ids = Unique::default();
        Self { requests, check: Some(Check { file, first, seen: 0, announced, last_us: 0, ids }) }
    }
}

impl<I: Iterator<Item = Result<Request>>> Iterator for Checked<I> {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Result<Request>> {
        let check = self.check.as_mut()?;
        let Some(request) = self.requests.next() else {
            return self.check.take()?.at_end().err().map(Err);
        };
        let checked = request.and_then(|request| check.see(&request).map(|()| request));
        if checked.is_err() {
            self.check = None;
        }
        Some(checked)
    }
}

impl Check {
    fn see(&mut self, request: &Request) -> Result<()> {
        if self.seen as usize >= self.announced {
            let problem = format!("more than the {} requests that its header announces", self.announced);
            return self.broken(self.next().into(), problem, "make the trace again with `trace make`");
        }
        if request.arrival_us < self.last_us {
            return self.cell("arrival_us", "arrives before the request above it", "sort by arrival_us");
        }
        if i64::try_from(request.arrival_us).is_err() {
            let problem = "arrives later than 63 bits of microseconds can say";
            return self.cell("arrival_us", problem, "give arrivals in µs from the start of the trace");
        }
        if request.candidates.is_empty() {
            return self.cell("candidates", "no candidates", "give every request at least one");
        }
        self.last_us = request.arrival_us;
        self.seen += 1;
        self.ids.push(request.id)
    }

    fn at_end(self) -> Result<()> {
        let (seen, announced) = (self.seen as usize, self.announced);
        if seen == 0 {
            return self.broken(Place::whole(), "the trace has no requests", "make one with `trace make`");
        }
        if seen < announced {
            let problem = format!("the file ends after {seen} of {announced} requests");
            return self.broken(self.next().into(), problem, "make the trace again with `trace make`");
        }
        let (file, first) = (self.file, self.first);
        match self.ids.repeated()? {
            None => Ok(()),
            Some(repeated) => Err(Error::input(
                file,
                Place::cell("request", first.below(repeated.again)),
                format!("id {} was that of {} already", repeated.id, first.below(repeated.first)),
                "give every request an id of its own",
            )),
        }
    }

    /// Where the next request stands.
    fn next(&self) -> Spot {
        self.first.below(self.seen)
    }

    fn cell(&self, field: &str, problem: &str, fix: &str) -> Result<()> {
        self.broken(Place::cell(field, self.next()), problem, fix)
    }

    fn broken(&self, place: Place, problem: impl Into<String>, fix: &str) -> Result<()> {
        Err(Error::input(&self.file, place, problem, fix))
    }
}
