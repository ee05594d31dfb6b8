//! The joint search, and the same with one part removed.

use super::{
    Built, Judges, System,
    hand::{declared_order, fix_layers, retrained, strongest},
};
use crate::{
    app::{
        compare::scene::Scene,
        config::Settings,
        iterate::{Run, Searcher, WARM_UP},
    },
    base::{Result, fsio},
    learn::{
        derive::derive,
        search::SearchOutcome,
        settings::{DeriveSettings, GradientBlock},
    },
    price::target::MeanService,
    space::Subnet,
};

/// Where a search is kept.
const FOLDER: &str = "search";

/// The search, whole or without a part.
pub(super) enum Searched {
    /// As `[search]` states it.
    Whole,
    /// λ1 is 0 in the search and in the retraining.
    WithoutDistillation,
    /// λ and λ2 are 0: the budget only cuts.
    WithoutLatency,
    /// Loss2's gradient reaches θ.
    WithoutGradientBlock,
    /// Every Mixop has the one hand-chosen operator.
    FeaturesOnly,
}

impl System for Searched {
    fn budgeted(&self) -> bool {
        true
    }

    fn change(&self, settings: &mut Settings) {
        match self {
            Self::Whole => {}
            Self::WithoutDistillation => {
                settings.search.lambda1 = 0.0;
                settings.retrain.distillation = 0.0;
            }
            Self::WithoutLatency => {
                settings.search.lambda = 0.0;
                settings.search.lambda2 = 0.0;
            }
            Self::WithoutGradientBlock => settings.search.gradient_block = GradientBlock::Off,
            Self::FeaturesOnly => fix_layers(settings),
        }
    }

    fn judges(&self) -> Judges {
        Judges::Folds
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let (outcome, subnet) = search(scene, scene.run)?;
        retrained(scene, subnet, Some(outcome.theta))
    }
}

/// Searches under the budget of `[derive]`. The warm-up, which no budget changes, is made once per seed.
fn search(scene: &Scene, run: &Run) -> Result<(SearchOutcome, Subnet)> {
    let (own, shared) = (run.journal.path(WARM_UP), scene.shared.path(WARM_UP));
    fsio::link(&shared, &own)?;
    let rule = &run.settings.derive;
    let found = Searcher::new(run, scene.guide).search(FOLDER, scene.table, &MeanService, rule);
    fsio::link(&own, &shared)?;
    let (outcome, searched) = found?;
    Ok((outcome, searched.subnet))
}

/// Layers are searched over the features that fit beside the hand-chosen layers, in the schema's order. Then as many of all
/// features are taken in that order as fit beside the layers that were found.
pub(super) struct LayersOnly;

impl System for LayersOnly {
    fn budgeted(&self) -> bool {
        true
    }

    fn judges(&self) -> Judges {
        Judges::Folds
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let order = declared_order(scene.run.space.features.len());
        let fixed = scene.priced(|prices| strongest(scene.run, prices, &order))?;
        // The network is derived afterwards, with all features in sight: this choice need not fit.
        let experiment = scene.experiment.changed(|settings| settings.derive = DeriveSettings::default());
        let mut run = scene.run.variant(&experiment, "layers")?;
        for (at, feature) in run.space.features.iter_mut().enumerate() {
            feature.must_keep = fixed.features.binary_search(&at).is_ok();
            feature.never = !feature.must_keep;
        }
        let mut searcher = Searcher::new(&run, scene.guide);
        let (_, found) = searcher.search(FOLDER, scene.table, &MeanService, &run.settings.derive)?;
        let outcome = SearchOutcome::choosing(&run.space, order, &found.subnet.operators);
        let settings = &scene.run.settings.derive;
        let subnet = scene.priced(|prices| derive(&scene.run.space, &outcome, settings, prices))?;
        retrained(scene, subnet, None)
    }
}
