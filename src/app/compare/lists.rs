//! Whole requests as they are replayed, padded to their full length, for what a ranking keeps of the teacher's.

use crate::{
    app::iterate::Run,
    base::Result,
    data::{
        dataset::Dataset,
        schema::{Kind, Side},
    },
    learn::{metrics::TopLists, network::Network, teacher::Teacher, train::score_rows},
    measure::{replay::trace_file::TraceReader, workload::ResolvedTrace},
};

/// Candidates of requests of the trace as rows.
pub(super) struct Lists {
    data: Dataset,
    rows: Vec<u32>,
    requests: Vec<u64>,
    at: Vec<usize>,
}

impl Lists {
    /// Of the first `compare.listed_requests` of the trace; none where there is no trace, or none is asked for.
    pub(super) fn of_trace(root: &Run) -> Result<Option<Self>> {
        let count = root.settings.compare.listed_requests;
        if !root.has_keys() || count == 0 {
            return Ok(None);
        }
        let path = root.trace_path();
        let requests = TraceReader::open(&path)?.take(count);
        let data = &root.loaded.dataset;
        let resolved = ResolvedTrace::new(&path, requests, data)?;
        let named = |wanted: &dyn Fn(Kind) -> bool| -> Vec<&str> {
            let features = root.schema.features.iter().filter(|feature| wanted(feature.kind));
            features.map(|feature| feature.name.as_str()).collect()
        };
        let user = named(&|kind| kind.side() == Side::User);
        let (data, requests) = resolved.lists(data, &user, &named(&|kind| kind == Kind::Interactive));
        let rows = (0..requests.len() as u32).collect();
        Ok(Some(Self { data, rows, requests, at: root.settings.compare.at.clone() }))
    }

    /// What the teacher scores them.
    pub(super) fn taught(&self, teacher: &Teacher) -> Result<Vec<f32>> {
        score_rows(teacher, &self.data, &self.rows)
    }

    /// What a network keeps of the candidates that score highest in `taught`.
    pub(super) fn kept(&self, network: &Network, taught: &[f32]) -> Result<TopLists> {
        let scores = network.score(&self.data, &self.rows)?;
        Ok(TopLists::of(&scores, taught, &self.requests, &self.at))
    }
}
