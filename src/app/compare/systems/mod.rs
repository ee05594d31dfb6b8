//! The systems that are compared, one family per file. A system says what it changes of the experiment and builds a network;
//! everything that is measured of it is measured alike.

mod hand;
mod random;
mod ranked;
mod searched;
mod teacher;

use super::scene::Scene;
use crate::{
    app::config::{Settings, SystemName},
    base::Result,
    learn::{metrics::Metrics, train::FitReport},
    space::Subnet,
};

/// What a system built.
pub(super) struct Built {
    /// Features and layers.
    pub(super) subnet: Subnet,
    /// How strong it found every feature of the schema, where it ranks them: θ of a search.
    pub(super) strengths: Option<Vec<f64>>,
    /// Where the scores come from.
    pub(super) model: Model,
}

/// What scores.
pub(super) enum Model {
    /// A trained network in this folder under `networks/` of the scene's run.
    Network {
        /// The folder's name.
        name: String,
        /// How its training went.
        fit: FitReport,
    },
    /// The scene's guide.
    Guide(Metrics),
}

impl Model {
    /// On the validation rows of its training.
    pub(super) fn metrics(&self) -> &Metrics {
        match self {
            Self::Network { fit, .. } => &fit.metrics,
            Self::Guide(metrics) => metrics,
        }
    }
}

/// A system that takes part.
pub(super) trait System {
    /// Whether it is built once per budget, `[derive]` then states it, or once.
    fn budgeted(&self) -> bool;
    /// What it changes of the experiment.
    fn change(&self, _settings: &mut Settings) {}
    /// Trains it. A budget that it cannot keep is an [`Error::Limit`](crate::base::Error::Limit).
    fn build(&self, scene: &Scene) -> Result<Built>;
}

/// The system of that name.
pub(super) fn system(name: SystemName) -> Box<dyn System> {
    use searched::Searched;
    match name {
        SystemName::Autofas => Box::new(Searched::Whole),
        SystemName::NoDistillation => Box::new(Searched::WithoutDistillation),
        SystemName::NoLatency => Box::new(Searched::WithoutLatency),
        SystemName::NoGradientBlock => Box::new(Searched::WithoutGradientBlock),
        SystemName::FeaturesOnly => Box::new(Searched::FeaturesOnly),
        SystemName::LayersOnly => Box::new(searched::LayersOnly),
        SystemName::RandomSearch => Box::new(random::RandomSearch),
        SystemName::Rd => Box::new(hand::Fitting),
        SystemName::Taylor => Box::new(ranked::OfTeacher::Taylor),
        SystemName::Permutation => Box::new(ranked::OfTeacher::Permutation),
        SystemName::Cold => Box::new(ranked::Learning::Cold),
        SystemName::Fscd => Box::new(ranked::Learning::Fscd),
        SystemName::RdAll => Box::new(hand::Everything),
        SystemName::PlainDnn => Box::new(hand::PlainDnn),
        SystemName::Teacher => Box::new(teacher::Ranking),
    }
}
