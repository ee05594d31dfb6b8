//! Makes a trace from a log of who saw what and from arrivals.
//!
//! Each request is a user of the log with the candidates that the log shows for it, padded with further items of the
//! log, drawn by popularity without replacement, to the wanted number. Padded items are ones that the log never
//! showed to this request, so nothing can be said about whether the user would have liked them.

use super::{
    arrivals::Arrivals,
    popularity::Popularity,
    trace::{Origin, Request, Trace},
};
use crate::base::{Error, Result, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Users and items of a log, by position.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    /// Key of every item, in order of first appearance.
    items: Vec<u64>,
    /// Rows per item.
    counts: Vec<u64>,
    /// A user key and the items of one list: one per request of the log, or one per user when it has no requests.
    lists: Vec<(u64, Vec<usize>)>,
    /// What happened in log order, as indices into `lists`.
    visits: Vec<usize>,
}

/// Which users ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// In the order of the log, from its start again when it is used up.
    Log,
    /// Drawn from the log's rows or requests, so that busy users come often.
    Sampled,
}

/// How many candidates a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListLength {
    /// Always as many.
    Fixed(usize),
    /// As the arrivals' column of counts says.
    Arrivals,
}

/// What kind of trace is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceRecipe {
    /// When requests come.
    pub arrivals: Arrivals,
    /// At most this many.
    pub requests: usize,
    /// Which users.
    pub order: Order,
    /// How many candidates.
    pub length: ListLength,
    /// Of users, candidates and random arrivals.
    pub seed: u64,
}

/// What the keys of a trace belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataHashes {
    /// Of the encoders.
    pub encoders: String,
    /// Of the encoded rows.
    pub rows: String,
}

impl RequestLog {
    /// Reads rows of (request if the log has one, user, item) in log order.
    pub fn new(rows: impl IntoIterator<Item = (Option<u64>, u64, u64)>) -> Self {
        let mut log = Self::default();
        let (mut item_index, mut list_index) = (HashMap::new(), HashMap::new());
        for (request, user, item) in rows {
            let item = *item_index.entry(item).or_insert_with(|| {
                log.items.push(item);
                log.counts.push(0);
                log.items.len() - 1
            });
            log.counts[item] += 1;
            let mut first = false;
            let list = *list_index.entry((request, user)).or_insert_with(|| {
                first = true;
                log.lists.push((user, Vec::new()));
                log.lists.len() - 1
            });
            log.lists[list].1.push(item);
            if first || request.is_none() {
                log.visits.push(list);
            }
        }
        for (_, items) in &mut log.lists {
            let mut seen = std::collections::HashSet::new();
            items.retain(|&item| seen.insert(item));
        }
        log
    }

    /// Pads lists with these items, one key per row of a larger log, instead of those of the log's own rows.
    pub fn padded_from(mut self, items: impl IntoIterator<Item = u64>) -> Self {
        let mut index: HashMap<u64, usize> = self.items.iter().copied().zip(0..).collect();
        self.counts.fill(0);
        for key in items {
            let item = *index.entry(key).or_insert_with(|| {
                self.items.push(key);
                self.counts.push(0);
                self.items.len() - 1
            });
            self.counts[item] += 1;
        }
        self
    }

    /// Number of distinct items: no request can have more candidates.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

/// Makes a trace of the log of data with these hashes: see [`Origin`].
pub fn make(log: &RequestLog, recipe: &TraceRecipe, data: DataHashes) -> Result<Trace> {
    let schedule = recipe.arrivals.schedule(recipe.requests, recipe.seed)?;
    if log.visits.is_empty() || schedule.offsets_us.is_empty() {
        return Err(Error::usage(
            "the log or the arrivals are empty",
            "give at least one row and one request",
        ));
    }
    let lengths = lengths(recipe, &schedule.candidates, schedule.offsets_us.len())?;
    let mut users = rng::generator(recipe.seed, "trace users");
    let mut padding = rng::generator(recipe.seed, "trace candidates");
    let mut popularity = Popularity::new(&log.counts);
    let (mut requests, mut clamped) = (Vec::with_capacity(lengths.len()), 0);
    for (i, (&arrival_us, &wanted)) in schedule.offsets_us.iter().zip(&lengths).enumerate() {
        let visit = match recipe.order {
            Order::Log => i % log.visits.len(),
            Order::Sampled => users.random_range(0..log.visits.len()),
        };
        let (user, logged) = &log.lists[log.visits[visit]];
        let length = wanted.clamp(1, log.items());
        clamped += usize::from(length != wanted);
        let mut list = logged[..logged.len().min(length)].to_vec();
        popularity.extend(&mut list, length, &mut padding);
        let candidates = list.into_iter().map(|item| log.items[item]).collect();
        requests.push(Request { arrival_us, id: i as u64, user: *user, candidates });
    }
    let origin = Origin {
        encoder_hash: data.encoders,
        rows_hash: Some(data.rows),
        arrivals: recipe.arrivals.to_string(),
        seed: recipe.seed,
        notes: notes(recipe, clamped, requests.len(), log.items()),
    };
    Ok(Trace { origin, requests })
}

fn lengths(recipe: &TraceRecipe, counts: &Option<Vec<u64>>, requests: usize) -> Result<Vec<usize>> {
    match (recipe.length, counts) {
        (ListLength::Fixed(0), _) => {
            Err(Error::usage("a request without candidates asks nothing", "want at least one candidate"))
        }
        (ListLength::Fixed(length), _) => Ok(vec![length; requests]),
        (ListLength::Arrivals, Some(counts)) => {
            Ok(counts.iter().map(|&count| usize::try_from(count).unwrap_or(usize::MAX)).collect())
        }
        (ListLength::Arrivals, None) => Err(Error::usage(
            "these arrivals do not say how many candidates a request has",
            "name the column of counts of the recorded arrivals, or give a fixed number",
        )),
    }
}

fn notes(recipe: &TraceRecipe, clamped: usize, requests: usize, items: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if let (ListLength::Arrivals, Arrivals::Recorded { candidates_column: Some(column), .. }) =
        (recipe.length, &recipe.arrivals)
    {
        notes.push(format!("candidate counts are those of the recorded column `{column}`"));
    }
    if clamped > 0 {
        notes.push(format!(
            "{clamped} of {requests} requests wanted a number of candidates outside 1 to {items} (the log's items) \
             and got the nearest"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Users 100 and 200; items 1 to 6, item 6 by far the most popular.
    fn log(requests: bool) -> RequestLog {
        let mut rows =
            vec![(10, 100, 1), (10, 100, 2), (11, 200, 3), (12, 100, 4), (12, 100, 1), (13, 200, 5)];
        rows.extend((0..50).map(|_| (14, 200, 6)));
        RequestLog::new(rows.into_iter().map(|(r, u, i)| (requests.then_some(r), u, i)))
    }

    fn recipe(length: ListLength, order: Order, seed: u64) -> TraceRecipe {
        TraceRecipe { arrivals: Arrivals::Poisson { qps: 100.0 }, requests: 200, order, length, seed }
    }

    #[test]
    fn requests_of_the_log_keep_their_candidates_and_are_padded_without_repeats() {
        let trace =
            make(&log(true), &recipe(ListLength::Fixed(4), Order::Log, 1), DataHashes::default()).unwrap();
        assert_eq!(trace.requests.len(), 200);
        for (request, (user, logged)) in trace.requests.iter().zip([
            (100, &[1, 2][..]),
            (200, &[3]),
            (100, &[4, 1]),
            (200, &[5]),
            (200, &[6]),
        ]) {
            assert_eq!((request.user, &request.candidates[..logged.len()]), (user, logged));
        }
        assert_eq!(trace.requests[5].user, 100, "the log starts again");
        assert!(trace.requests.iter().all(|r| r.candidates.iter().collect::<HashSet<_>>().len() == 4));
        let padded_with_popular = trace.requests.iter().filter(|r| r.candidates.contains(&6)).count();
        assert!(padded_with_popular > 180, "{padded_with_popular}");
        trace.check("t".as_ref(), 1).unwrap();
    }

    #[test]
    fn without_requests_each_row_is_a_visit_with_the_list_of_its_user() {
        let trace =
            make(&log(false), &recipe(ListLength::Fixed(3), Order::Log, 1), DataHashes::default()).unwrap();
        let users: Vec<_> = trace.requests[..6].iter().map(|r| r.user).collect();
        assert_eq!(users, [100, 100, 200, 100, 100, 200]);
        assert_eq!(trace.requests[0].candidates, [1, 2, 4]);
        assert_eq!(trace.requests[2].candidates, [3, 5, 6]);
    }

    #[test]
    fn traces_repeat_by_seed() {
        let make = |seed| {
            make(&log(true), &recipe(ListLength::Fixed(3), Order::Sampled, seed), DataHashes::default())
                .unwrap()
        };
        assert_eq!(make(5), make(5));
        assert_ne!(make(5), make(6));
    }

    #[test]
    fn lengths_beyond_the_log_are_clamped_and_the_trace_says_so() {
        let trace =
            make(&log(true), &recipe(ListLength::Fixed(99), Order::Log, 1), DataHashes::default()).unwrap();
        assert!(trace.requests.iter().all(|r| r.candidates.len() == 6));
        assert!(trace.origin.notes[0].contains("200 of 200") && trace.origin.notes[0].contains("1 to 6"));
        let error = make(&log(true), &recipe(ListLength::Arrivals, Order::Log, 1), DataHashes::default())
            .unwrap_err();
        assert!(error.to_string().contains("column of counts"), "{error}");
    }

    #[test]
    fn recorded_counts_become_list_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        crate::base::fsio::write(&file, b"t,n\n0,2\n1,0\n2,5\n").unwrap();
        let recorded = Arrivals::Recorded {
            file,
            time_column: "t".into(),
            candidates_column: Some("n".into()),
            speed: 1.0,
        };
        let recipe = TraceRecipe { arrivals: recorded, ..recipe(ListLength::Arrivals, Order::Log, 1) };
        let trace = make(&log(true), &recipe, DataHashes::default()).unwrap();
        let lengths: Vec<_> = trace.requests.iter().map(|r| r.candidates.len()).collect();
        assert_eq!(lengths, [2, 1, 5]);
        assert!(trace.origin.notes[1].contains("1 of 3"), "{:?}", trace.origin.notes);
    }
}
