//! Joins a trace with the data that its keys belong to.
//!
//! A user's values (context included) stand in the last row of that user, an item's in the last row of that item, and
//! those of a pair in the last row that has both; a pair that the log never saw takes the declared default, "missing".
//! All keys are resolved to rows before the clock starts, so that serving a request is copying values.

use super::{
    assemble::{Assembler, Candidate},
    engine::Inputs,
    lookup::Lookups,
    replay::{Fetcher, Workload, make::RequestLog, trace::Request},
    store::{FeatureStore, FetchCounts, Keys, Reader, StoreChoice, StoreUse},
};
use crate::{
    base::{Error, Result, error::Place},
    data::{column::Column, dataset::Dataset, growing::Growing, schema::Schema},
    export::signature::Signature,
};
use std::{collections::HashMap, ops::Range, path::Path};

/// The rows that a trace asks for, independent of any model. Those of a long trace lie in temporary files.
#[derive(Debug, Clone)]
pub struct ResolvedTrace {
    users: Column<u32>,
    /// Candidates of all requests, one request after the other.
    candidates: Column<Candidate>,
    /// Where those of each request end.
    ends: Column<u64>,
    /// The candidates' keys, where they are kept.
    item_keys: Column<u64>,
}

/// The requests of the given rows of a data set, for making traces: all rows when `rows` is absent. Lists are padded with
/// the items of all rows.
pub fn request_log(data: &Dataset, rows: Option<&[u32]>) -> Result<RequestLog> {
    let (users, items) = keys(data)?;
    let row = |row: usize| (data.requests.as_ref().map(|requests| requests[row]), users[row], items[row]);
    Ok(match rows {
        Some(rows) => {
            RequestLog::new(rows.iter().map(|&r| row(r as usize))).padded_from(items.iter().copied())
        }
        None => RequestLog::new((0..data.rows()).map(row)),
    })
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

    fn candidates(&self, request: usize) -> &[Candidate] {
        &self.candidates[self.part(request)]
    }

    /// Where the candidates of a request stand.
    fn part(&self, request: usize) -> Range<usize> {
        let begin = request.checked_sub(1).map_or(0, |before| self.ends[before]);
        begin as usize..self.ends[request] as usize
    }
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

/// A trace as requests to one model.
pub struct TraceWorkload<'a> {
    data: &'a Dataset,
    resolved: &'a ResolvedTrace,
    assembler: Assembler,
    /// Has what the assembler leaves out.
    store: Option<&'a dyn FeatureStore>,
}

impl<'a> TraceWorkload<'a> {
    /// Plans the assembly of the inputs that `signature` names; `lookups` know the items of [`item_rows`].
    pub fn new(
        resolved: &'a ResolvedTrace,
        data: &'a Dataset,
        schema: &Schema,
        signature: &Signature,
        lookups: &Lookups,
    ) -> Result<Self> {
        Ok(Self {
            data,
            resolved,
            assembler: Assembler::with(signature, data, schema, lookups)?,
            store: None,
        })
    }

    /// Plans the same with the stored features fetched from `store`. `resolved` keeps its keys
    /// ([`ResolvedTrace::keep_keys`]).
    pub fn fetching(
        resolved: &'a ResolvedTrace,
        data: &'a Dataset,
        schema: &Schema,
        signature: &Signature,
        store: &'a dyn FeatureStore,
        lookups: &Lookups,
    ) -> Result<Self> {
        let assembler = Assembler::fetching(signature, data, schema, store.manifest(), lookups)?;
        Ok(Self { data, resolved, assembler, store: Some(store) })
    }

    /// What is fetched, if anything is; `choice` is how the store was named.
    pub fn store_use(&self, choice: &StoreChoice) -> Option<StoreUse> {
        let manifest = self.store?.manifest();
        let groups = self.assembler.groups();
        Some(StoreUse {
            kind: choice.kind()?,
            place: choice.place().display().to_string(),
            rows_hash: manifest.rows_hash.clone(),
            groups: groups.into_iter().map(|group| manifest.groups[group].name.clone()).collect(),
            features: self.assembler.stored_features(),
        })
    }

    /// Assembles a request with exactly `count` candidates: its own, from the first again where they end. Buffers of
    /// `inputs` that are this workload's are reused.
    pub fn prepare_as(&self, request: usize, count: usize, inputs: &mut Inputs) {
        if inputs.tensors.is_empty() {
            *inputs = self.assembler.inputs();
        }
        let own = self.resolved.candidates(request);
        let candidates: Vec<Candidate> = own.iter().cycle().take(count).copied().collect();
        self.assembler.fill(self.data, self.resolved.users[request], &candidates, inputs);
    }
}

impl Workload for TraceWorkload<'_> {
    fn requests(&self) -> usize {
        self.resolved.users.len()
    }

    fn candidates(&self, request: usize) -> usize {
        self.resolved.candidates(request).len()
    }

    fn inputs(&self) -> Inputs {
        self.assembler.inputs()
    }

    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        let candidates = self.resolved.candidates(request);
        self.assembler.fill(self.data, self.resolved.users[request], candidates, inputs);
        Ok(())
    }

    fn fetcher(&self) -> Result<Option<Box<dyn Fetcher + '_>>> {
        let Some(store) = self.store else { return Ok(None) };
        let (users, reader) = (keys(self.data)?.0, store.reader(&self.assembler.groups())?);
        Ok(Some(Box::new(StoreFetcher { workload: self, users, reader })))
    }
}

/// One worker's fetches for the requests of a trace.
struct StoreFetcher<'w> {
    workload: &'w TraceWorkload<'w>,
    /// Keys of the data's rows.
    users: &'w [u64],
    reader: Box<dyn Reader + 'w>,
}

impl Fetcher for StoreFetcher<'_> {
    fn fetch(&mut self, request: usize, inputs: &mut Inputs, counts: &mut FetchCounts) -> Result<()> {
        let TraceWorkload { resolved, assembler, .. } = self.workload;
        let user = self.users[resolved.users[request] as usize];
        let keys = Keys { user, items: &resolved.item_keys[resolved.part(request)] };
        let mut scatter = assembler.scatter(inputs, counts);
        self.reader.fetch(keys, &mut scatter)?;
        scatter.finish()
    }
}

pub(super) fn keys(data: &Dataset) -> Result<(&[u64], &[u64])> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::Layout,
        data::{
            dataset::{EncodedFeature, Slot},
            ids::Ids,
        },
        export::signature::{Content, ElementType, Field, Rows, TensorSpec},
        measure::{
            engine::TensorData,
            replay::{
                arrivals::Arrivals,
                make::{DataHashes, ListLength, Order, TraceRecipe, plan},
            },
        },
    };

    /// Rows (user, item): (1, 10), (1, 11), (2, 10), (1, 10). Ids of row r: user 1 + r, item 10 + r, pair 20 + r.
    fn data() -> Dataset {
        let feature = |name: &str, start| EncodedFeature {
            name: name.into(),
            slot: Slot::Ids { start, length: 1 },
            cardinality: 100,
        };
        Dataset {
            features: vec![feature("u", 0), feature("i", 1), feature("x", 2)],
            ids: Ids::from_rows(3, &(0..4).flat_map(|r| [1 + r, 10 + r, 20 + r]).collect::<Vec<_>>()),
            labels: vec![0.0; 4].into(),
            user_keys: Some(vec![1, 1, 2, 1].into()),
            item_keys: Some(vec![10, 11, 10, 10].into()),
            ..Dataset::default()
        }
    }

    fn schema() -> Schema {
        let feature = |name: &str, kind: &str| {
            format!(
                "[[feature]]\nname = \"{name}\"\nkind = \"{kind}\"\nsource = \"matching\"\ntype = \"categorical\"\n\
                 encoding = \"hash\"\nbuckets = 99\nwidth = 4\nfetch_ms = 0.1\n"
            )
        };
        let text = [("u", "user"), ("i", "item"), ("x", "interactive")].map(|(n, k)| feature(n, k)).concat();
        Schema::parse(&format!("[data]\nlabel = \"y\"\n{text}"), "s.toml".as_ref()).unwrap()
    }

    fn signature() -> Signature {
        let tensor = |name: &str, rows, features: &[&str]| TensorSpec {
            name: name.into(),
            rows,
            element: ElementType::I64,
            content: Content::Values,
            fields: features
                .iter()
                .map(|f| Field { feature: (*f).into(), columns: 1, cardinality: 100 })
                .collect(),
        };
        Signature {
            layout: Layout::UserOnce,
            tensors: vec![
                tensor("user_ids", Rows::One, &["u"]),
                tensor("item_ids", Rows::Candidates, &["i", "x"]),
            ],
        }
    }

    fn resolved(user: u64, candidates: &[u64]) -> Result<ResolvedTrace> {
        resolved_from(&data(), user, candidates)
    }

    fn resolved_from(data: &Dataset, user: u64, candidates: &[u64]) -> Result<ResolvedTrace> {
        // A request before it, so that its part does not begin at 0.
        let requests = [(2, vec![11]), (user, candidates.to_vec())];
        let request = |(user, candidates)| Ok(Request { arrival_us: 0, id: 7, user, candidates });
        ResolvedTrace::new("t.jsonl".as_ref(), requests.map(request), data)
    }

    fn ids(user: u64, candidates: &[u64]) -> Vec<Vec<i64>> {
        let (data, schema) = (data(), schema());
        let resolved = resolved(user, candidates).unwrap();
        let workload =
            TraceWorkload::new(&resolved, &data, &schema, &signature(), &Lookups::default()).unwrap();
        let mut inputs = workload.inputs();
        workload.prepare(1, &mut inputs).unwrap();
        assert_eq!((workload.requests(), inputs.candidates), (2, candidates.len()));
        let ids = |tensor: &crate::measure::engine::InputTensor| match &tensor.data {
            TensorData::I64(ids) => ids.clone(),
            _ => panic!("ids expected"),
        };
        inputs.tensors.iter().map(ids).collect()
    }

    #[test]
    fn values_come_from_the_last_row_of_user_item_and_pair() {
        // User 1 was last in row 3, item 10 in row 3, item 11 in row 1; the pairs were last seen there as well.
        assert_eq!(ids(1, &[11, 10]), [vec![4], vec![11, 21, 13, 23]]);
    }

    #[test]
    fn a_pair_that_the_log_never_saw_is_missing_and_an_older_pair_keeps_its_own_row() {
        // User 2 saw item 10 in row 2, which is not the item's last row, and never saw item 11.
        assert_eq!(ids(2, &[10, 11]), [vec![3], vec![13, 22, 11, 0]]);
    }

    #[test]
    fn a_request_is_repeated_or_cut_to_the_wanted_number_of_candidates() {
        let (data, schema) = (data(), schema());
        let resolved = resolved(1, &[11, 10]).unwrap();
        let workload =
            TraceWorkload::new(&resolved, &data, &schema, &signature(), &Lookups::default()).unwrap();
        let mut inputs = Inputs::default();
        for (count, expected) in [(1, vec![11, 21]), (3, vec![11, 21, 13, 23, 11, 21])] {
            workload.prepare_as(1, count, &mut inputs);
            assert_eq!((inputs.candidates, &inputs.tensors[1].data), (count, &TensorData::I64(expected)));
        }
    }

    #[test]
    fn unknown_keys_are_named() {
        for (found, expected) in [
            (resolved(9, &[10]), "t.jsonl: request 7 asks for user 9"),
            (resolved(1, &[10, 12]), "candidate 12"),
        ] {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("trace make"), "{error}");
        }
        let keyless = Dataset { item_keys: None, ..data() };
        assert!(request_log(&keyless, None).unwrap_err().to_string().contains("item_key"));
    }

    #[test]
    fn an_id_beyond_its_table_is_found_before_any_engine_sees_it() {
        let mut damaged = data();
        // Row 3 is the last of user 1 and of item 10; row 0 is nobody's.
        let ids = |r: u32| [1 + r, 10 + r, if r == 3 || r == 0 { 100 } else { 20 + r }];
        damaged.ids = Ids::from_rows(3, &(0..4).flat_map(ids).collect::<Vec<_>>());
        let error = resolved_from(&damaged, 1, &[11]).unwrap_err().to_string();
        assert!(error.contains("row 3") && error.contains("id 100 of `x`"), "{error}");
        assert!(resolved_from(&damaged, 2, &[11]).is_ok());
    }

    #[test]
    fn the_chosen_rows_ask_and_the_items_of_all_rows_pad() {
        let recipe = TraceRecipe {
            arrivals: Arrivals::Poisson { qps: 1.0 },
            requests: 3,
            order: Order::Log,
            length: ListLength::Fixed(2),
            seed: 1,
        };
        // Row 2 alone asks: user 2 for item 10; item 11 is in other rows only.
        let log = request_log(&data(), Some(&[2])).unwrap();
        for request in plan(log, &recipe, DataHashes::default()).unwrap().requests() {
            assert_eq!((request.user, request.candidates), (2, vec![10, 11]));
        }
        assert_eq!(request_log(&data(), None).unwrap().items(), 2);
    }
}
