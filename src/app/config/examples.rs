//! Settings that hold what defaults leave out: by them keys are known, and values that are absent are shown.

use super::{SeedSettings, Settings};
use crate::{
    base::objective::{Objective, Percentile},
    data::split::{Moment, SplitSettings},
    learn::settings::{Annealing, Budget, DeriveSettings, Gate, InputColumns, Paths, SearchSettings},
};
use std::path::PathBuf;

impl Settings {
    /// Settings that together hold every key there is: the defaults, all optional values, all variants.
    pub(super) fn examples() -> Vec<Self> {
        let relaxed =
            Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.1, schedule: Annealing::Geometric };
        let smoothed =
            Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-5, schedule: Annealing::Geometric };
        let paths = Paths::Sampled { count: 2 };
        let variant = |derive| Self { derive, ..Self::default() };
        vec![
            Self::default(),
            Self::with_all_options(),
            Self { search: SearchSettings { gate: relaxed, paths, ..Default::default() }, ..Self::default() },
            Self { search: SearchSettings { gate: smoothed, ..Default::default() }, ..Self::default() },
            Self { split: SplitSettings::Shuffle { valid_fraction: 0.2 }, ..Self::default() },
            Self { split: full_split(), ..Self::default() },
            variant(DeriveSettings::TopK { k: 1 }),
            variant(DeriveSettings::Budget(Budget {
                budget_ms: Some(1.0),
                objective: Some(Objective { percentile: Percentile::P99, limit_us: 1.0 }),
                memory_mb: Some(1.0),
            })),
        ]
    }

    /// The defaults with a value for every optional key.
    pub(super) fn with_all_options() -> Self {
        let mut full = Self::default();
        full.data.path = Some(PathBuf::new());
        full.target.table = Some(PathBuf::new());
        full.target.fetch_prices = Some(PathBuf::new());
        full.teacher.onnx = Some(PathBuf::new());
        full.teacher.output = Some(String::new());
        full.teacher.inputs = vec![InputColumns { name: String::new(), columns: Vec::new() }];
        full.traffic.arrivals = Some(PathBuf::new());
        full.compare.store = Some(PathBuf::new());
        full.compare.trial_split = Some(full_split());
        let seed = Some(0);
        full.seeds = SeedSettings {
            base: 0,
            split: seed,
            teacher: seed,
            search: seed,
            retrain: seed,
            baseline: seed,
            traffic: seed,
            probe: seed,
            rounds: seed,
        };
        full
    }
}

fn full_split() -> SplitSettings {
    let moment = Some(Moment::Number(0));
    SplitSettings::Time {
        column: Some(String::new()),
        train_until: moment.clone(),
        valid_from: moment.clone(),
        valid_until: moment,
        valid_fraction: Some(0.2),
    }
}
