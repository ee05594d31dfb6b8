//! Jobs made by hand, for tests.

use super::*;
use crate::measure::{engine::SessionOptions, store::StoreChoice, traced::DataFiles};

pub(in crate::measure) fn job(engine: EngineName, models: &[&str]) -> ReplayJob {
    ReplayJob {
        engine,
        options: SessionOptions::PLAIN,
        workers: 1,
        models: models.iter().map(Into::into).collect(),
        trace: "t.parquet".into(),
        pacing: Pacing::Closed,
        warmup: 0,
        max_queue: None,
        plans: std::collections::BTreeMap::new(),
        data: DataFiles { rows: "r".into(), schema: "s".into(), encoders: "e".into() },
        planted: None,
        store: StoreChoice::None,
    }
}
