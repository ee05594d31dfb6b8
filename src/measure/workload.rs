//! Joins a trace with the data that its keys belong to.
//!
//! A user's values (context included) stand in the last row of that user, an item's in the last row of that item, and
//! those of a pair in the last row that has both; a pair that the log never saw takes the declared default, "missing".
//! All keys are resolved to rows before the clock starts, so that serving a request is copying values.

mod resolved;

pub(super) use resolved::keys;
pub use resolved::{ResolvedTrace, item_rows};

use super::{
    assemble::{Assembler, Candidate},
    engine::Inputs,
    lookup::Lookups,
    replay::{Fetcher, Workload, make::RequestLog},
    store::{FeatureStore, FetchCounts, Keys, Reader, StoreChoice, StoreUse},
};
use crate::{
    base::Result,
    data::{dataset::Dataset, schema::Schema},
    export::signature::Signature,
};

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

#[cfg(test)]
mod tests;
