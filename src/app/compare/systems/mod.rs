//! The systems that are compared, one family per file. A system says what it changes of the experiment and builds a network;
//! everything that is measured of it is measured alike.

mod gain;
mod gbdt;
mod hand;
mod other;
mod random;
mod ranked;
mod searched;
mod teacher;
mod two_tower;

use super::scene::Scene;
use crate::{
    app::{
        config::{Settings, SystemName},
        iterate,
    },
    base::Result,
    learn::metrics::Metrics,
    space::Subnet,
};

/// What a system built: a trained network in a folder under `networks/` of the scene's run.
pub(super) struct Built {
    /// The folder's name, which is the network's.
    pub(super) name: String,
    /// Of what form it is.
    pub(super) form: Form,
    /// Features, and layers where they are of the space's form.
    pub(super) subnet: Subnet,
    /// How strong it found every feature of the schema, where it ranks them: θ of a search.
    pub(super) strengths: Option<Vec<f64>>,
    /// On the validation rows of its training.
    pub(super) metrics: Metrics,
}

/// A form of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Layers one behind the other, as networks of the space have them: the table has prices for these.
    Layers,
    /// Another one.
    Other,
}

/// Training rows on which a system judges networks by training, taught by teachers that saw none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judges {
    /// It judges none.
    Nothing,
    /// The folds of `[finals]`.
    Folds,
    /// The validation part of [`Scene::inner`], where there is more than one network to choose from.
    Inner,
}

/// A system that takes part.
pub(super) trait System {
    /// Whether it is built once per budget, `[derive]` then states it, or once.
    fn budgeted(&self) -> bool;
    /// What it changes of the experiment.
    fn change(&self, _settings: &mut Settings) {}
    /// What it makes of a run, where that is none of the space's networks.
    fn other(&self, _settings: &Settings) -> Option<iterate::System> {
        None
    }
    /// On what it judges networks.
    fn judges(&self) -> Judges {
        Judges::Nothing
    }
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
        SystemName::Gain => Box::new(gain::Gain),
        SystemName::RdAll => Box::new(hand::Everything),
        SystemName::PlainDnn => Box::new(hand::PlainDnn),
        SystemName::TwoTower => Box::new(two_tower::TWO_TOWER),
        SystemName::Gbdt => Box::new(gbdt::GBDT),
        SystemName::Teacher => Box::new(teacher::TEACHER),
    }
}
