//! The rows of the data that a trace's keys belong to, found before the clock starts.

use crate::{
    base::{Error, Result, error::Place},
    data::{
        column::Column,
        dataset::{Dataset, Slot},
        growing::Growing,
        ids::Ids,
    },
    measure::{assemble::Candidate, replay::trace::Request},
};
use std::{collections::HashMap, ops::Range, path::Path};

/// The rows that a trace asks for, independent of any model. Those of a long trace lie in temporary files.
#[derive(Debug, Clone)]
pub struct ResolvedTrace {
    pub(super) users: Column<u32>,
    /// Candidates of all requests, one request after the other.
    pub(super) candidates: Column<Candidate>,
    /// Where those of each request end.
    ends: Column<u64>,
    /// The candidates' keys, where they are kept.
    pub(super) item_keys: Column<u64>,
}

impl ResolvedTrace {
    /// Finds the rows of every user, item and pair. A user or an item that the data does not have is an error, which names the
    /// file of the requests.
    pub fn new(
        file: &Path,
        requests: impl IntoIterator<Item = Result<Request>>,
        data: &Dataset,
    ) -> Result<Self> {
        let (users, items) = keys(data)?;
        let (user_rows, item_rows) = (last_rows(users), last_rows(items));
        let (mut asked_users, mut asked_items) = (Growing::default(), Growing::default());
        let mut ends = Growing::default();
        for request in requests {
            let request = request?;
            let user = user_rows.get(&request.user);
            asked_users.push(*user.ok_or_else(|| unknown(file, "user", request.user, &request))?)?;
            for key in &request.candidates {
                let item = item_rows.get(key);
                asked_items.push(*item.ok_or_else(|| unknown(file, "candidate", *key, &request))?)?;
            }
            ends.push(asked_items.len() as u64)?;
        }
        let (asked_users, asked_items) = (asked_users.finish()?, asked_items.finish()?);
        let ends = ends.finish()?;
        let pairs = pair_rows([&asked_users, &asked_items], [users, items], [&user_rows, &item_rows]);
        let (mut candidates, mut begin) = (Growing::default(), 0);
        for (&user, &end) in asked_users.iter().zip(ends.iter()) {
            for &item in &asked_items[begin..end as usize] {
                candidates.push(Candidate::new(item, pairs.get(&(user, item)).copied()))?;
            }
            begin = end as usize;
        }
        let asked = asked_users.iter().chain(asked_items.iter()).chain(pairs.values());
        // Before any engine sees them.
        data.check_ids(asked.copied())?;
        let item_keys = Column::default();
        Ok(Self { users: asked_users, candidates: candidates.finish()?, ends, item_keys })
    }

    /// Keeps the keys of all candidates one after the other, as a request to a store carries them. `data` is the trace's.
    pub fn keep_keys(&mut self, data: &Dataset) -> Result<()> {
        let (_, items) = keys(data)?;
        let mut kept = Growing::default();
        self.candidates.iter().try_for_each(|candidate| kept.push(items[candidate.item() as usize]))?;
        self.item_keys = kept.finish()?;
        Ok(())
    }

    /// Up to `count` candidates of all requests, evenly spread, as rows with the `user` features of their request.
    pub fn as_rows(&self, data: &Dataset, user: &[&str], count: usize) -> Dataset {
        let all = self.candidates.len();
        let count = count.min(all);
        let mut request = 0;
        let picked = (0..count).map(|nth| {
            let at = nth * all / count;
            while self.ends[request] <= at as u64 {
                request += 1;
            }
            (self.users[request], self.candidates[at].logged())
        });
        data.joined(user, &picked.collect::<Vec<_>>())
    }

    /// All candidates as rows with the `user` features of their request, one request after the other, and the request of every row
    /// as a number from 0. `paired` features of a pair that the log never saw are missing, as they are when it is served.
    pub fn lists(&self, data: &Dataset, user: &[&str], paired: &[&str]) -> (Dataset, Vec<u64>) {
        let (mut pairs, mut requests, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        for (request, &user_row) in self.users.iter().enumerate() {
            for &candidate in self.candidates(request) {
                if !candidate.is_logged() {
                    unseen.push(pairs.len());
                }
                pairs.push((user_row, candidate.logged()));
                requests.push(request as u64);
            }
        }
        let joined = without(data.joined(user, &pairs), &unseen, paired);
        let partitions = pairs.iter().map(|&(user_row, _)| data.partitions[user_row as usize]).collect();
        let lists = Dataset {
            weights: vec![1.0; pairs.len()].into(),
            partitions,
            partition_count: data.partition_count,
            ..joined
        };
        (lists, requests)
    }

    pub(super) fn candidates(&self, request: usize) -> &[Candidate] {
        &self.candidates[self.part(request)]
    }

    /// Where the candidates of a request stand.
    pub(super) fn part(&self, request: usize) -> Range<usize> {
        let begin = request.checked_sub(1).map_or(0, |before| self.ends[before]);
        begin as usize..self.ends[request] as usize
    }
}

/// `data`, where the values of `features` are missing in `rows`.
fn without(mut data: Dataset, rows: &[usize], features: &[&str]) -> Dataset {
    let slots: Vec<Slot> =
        data.features.iter().filter(|f| features.contains(&f.name.as_str())).map(|f| f.slot).collect();
    let (width, numbers) = (data.ids.slots(), data.number_slots);
    let mut ids: Vec<u32> = (0..data.rows()).flat_map(|row| data.ids.of_row(row)).collect();
    for (&row, slot) in rows.iter().flat_map(|row| slots.iter().map(move |slot| (row, slot))) {
        match *slot {
            Slot::Ids { start, length } => ids[row * width + start..][..length].fill(0),
            Slot::Number { index } => data.numbers.to_mut()[row * numbers + index] = f32::NAN,
        }
    }
    data.ids = Ids::from_rows(width, &ids);
    data
}

/// The last row of every key.
fn last_rows(keys: &[u64]) -> HashMap<u64, u32> {
    keys.iter().copied().zip(0u32..).collect()
}

/// The rows that hold the values of the items of `data`, one each, ascending.
pub fn item_rows(data: &Dataset) -> Result<Vec<u32>> {
    let mut rows: Vec<u32> = last_rows(keys(data)?.1).into_values().collect();
    rows.sort_unstable();
    Ok(rows)
}

/// The last row of every pair of a user and an item that are asked for, by the last rows of both: of a large log, pairs are as
/// many as rows.
fn pair_rows(
    asked: [&[u32]; 2],
    keys: [&[u64]; 2],
    last_rows: [&HashMap<u64, u32>; 2],
) -> HashMap<(u32, u32), u32> {
    // One mark per row of the data, however many requests ask for it.
    let marks = asked.map(|rows| {
        let mut marks = vec![false; keys[0].len()];
        rows.iter().for_each(|&row| marks[row as usize] = true);
        marks
    });
    let mut pairs = HashMap::new();
    for ((user, item), row) in keys[0].iter().zip(keys[1]).zip(0u32..) {
        let (user, item) = (last_rows[0][user], last_rows[1][item]);
        if marks[0][user as usize] && marks[1][item as usize] {
            pairs.insert((user, item), row);
        }
    }
    pairs
}

/// The keys of every row's user and item.
pub(in crate::measure) fn keys(data: &Dataset) -> Result<(&[u64], &[u64])> {
    match (&data.user_keys, &data.item_keys) {
        (Some(users), Some(items)) => Ok((&**users, &**items)),
        _ => Err(Error::usage(
            "the data does not say which rows belong to which user and item",
            "name `user_key` and `item_key` under [data] in the schema",
        )),
    }
}

fn unknown(file: &Path, what: &str, key: u64, request: &Request) -> Error {
    Error::input(
        file,
        Place::whole(),
        format!("request {} asks for {what} {key}, which the data does not have", request.id),
        "replay it with the data that it was made from, or make the trace again with `trace make`",
    )
}
