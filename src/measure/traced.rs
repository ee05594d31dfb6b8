//! A trace together with the data that its keys belong to, read from files and found to fit each other.

use super::{
    engine::{Engine, SessionOptions},
    lookup::Lookups,
    replay::{
        trace::{Trace, TraceBuilder},
        trace_file::TraceReader,
    },
    store::FeatureStore,
    workload::{ResolvedTrace, TraceWorkload, item_rows},
};
use crate::{
    base::{Error, Result, error::Place},
    data::{
        self,
        dataset::Dataset,
        encode::Encoders,
        schema::{Schema, Side},
    },
    export::signature::Signature,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The files that an encoded data set is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFiles {
    /// Rows: a file or a folder.
    pub rows: PathBuf,
    /// The schema.
    pub schema: PathBuf,
    /// Encoders of the run that trained the model.
    pub encoders: PathBuf,
}

/// A trace whose keys are found in its data.
pub struct TracedData {
    /// The trace, without its keys.
    pub trace: Trace,
    /// The rows.
    pub dataset: Dataset,
    /// Hash of the encoders of both.
    pub encoder_hash: String,
    /// Hash of the rows.
    pub rows_hash: String,
    schema: Schema,
    resolved: ResolvedTrace,
}

impl TracedData {
    /// Reads both. A trace that was made with other encoders, or of other rows, is refused: users and candidates would have
    /// other values than those that the trace stands for.
    pub fn load(trace_file: &Path, files: &DataFiles) -> Result<Self> {
        let reader = TraceReader::open(trace_file)?;
        let origin = reader.origin().clone();
        let schema = Schema::load(&files.schema)?;
        let encoders = Encoders::load(&files.encoders)?;
        let encoder_hash = encoders.hash();
        let refused = |problem: String| {
            Err(Error::input(trace_file, Place::whole(), problem, "make it again with `trace make`"))
        };
        if origin.encoder_hash != encoder_hash {
            return refused("the trace was made with other encoders".to_owned());
        }
        let dataset = data::load_with(&schema, &files.rows, &encoders)?;
        let rows_hash = dataset.rows_hash();
        if origin.rows_hash.as_ref().is_some_and(|known| *known != rows_hash) {
            return refused(format!(
                "the trace was made of other rows than those of {}",
                files.rows.display()
            ));
        }
        let mut builder = TraceBuilder::default();
        let requests = reader.map(|request| {
            let request = request?;
            builder.see(&request)?;
            Ok(request)
        });
        let resolved = ResolvedTrace::new(trace_file, requests, &dataset)?;
        Ok(Self { resolved, trace: builder.finish(origin)?, dataset, encoder_hash, rows_hash, schema })
    }

    /// Up to `count` candidates of the trace, evenly spread over it, as rows: each with the values of its item, and those of its
    /// pair where the log has it, else of another pair of that item, and with the user of its request. Labels are 0.
    pub fn candidates_as_rows(&self, count: usize) -> Dataset {
        let user = self.schema.features.iter().filter(|feature| feature.kind.side() == Side::User);
        let user: Vec<&str> = user.map(|feature| feature.name.as_str()).collect();
        self.resolved.as_rows(&self.dataset, &user, count)
    }

    /// Keeps what requests to a store carry: see [`ResolvedTrace::keep_keys`].
    pub fn keep_keys(&mut self) -> Result<()> {
        self.resolved.keep_keys(&self.dataset)
    }

    /// What the model at that path, whose signature this is, looks up: the tables beside it, and its item table, filled in
    /// `engine` for all items of the data before this returns.
    pub fn lookups(
        &self,
        engine: &dyn Engine,
        model: &Path,
        signature: &Signature,
        options: &SessionOptions,
    ) -> Result<Lookups> {
        Lookups::of(engine, model, signature, options, &self.dataset, || item_rows(&self.dataset))
    }

    /// The trace as requests to a model of this signature, whose stored features come from `store`. The keys were kept before.
    pub fn fetching<'a>(
        &'a self,
        signature: &Signature,
        store: &'a dyn FeatureStore,
        lookups: &Lookups,
    ) -> Result<TraceWorkload<'a>> {
        TraceWorkload::fetching(&self.resolved, &self.dataset, &self.schema, signature, store, lookups)
    }

    /// The trace as requests to a model of this signature with its [`TracedData::lookups`].
    pub fn workload(&self, signature: &Signature, lookups: &Lookups) -> Result<TraceWorkload<'_>> {
        TraceWorkload::new(&self.resolved, &self.dataset, &self.schema, signature, lookups)
    }
}
