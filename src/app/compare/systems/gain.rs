//! Features of the largest gain to gradient boosted trees, with hand-chosen layers: the selection that comes with every such library.

use super::{
    Built, Judges, System,
    ranked::{STRENGTHS, on_ranking},
};
use crate::{
    app::{compare::scene::Scene, config::Stage},
    base::Result,
    learn::{
        baseline::trees,
        importance::{Importance, Method, Strengths},
    },
};

/// The trees of `[gbdt]` rank.
pub(super) struct Gain;

impl System for Gain {
    fn budgeted(&self) -> bool {
        true
    }

    fn judges(&self) -> Judges {
        Judges::Inner
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        on_ranking(scene, scene.shared.remember(STRENGTHS, || rank(scene))?)
    }
}

fn rank(scene: &Scene) -> Result<Strengths> {
    let run = scene.run;
    let (features, chosen) = (&run.space.features, run.space.selectable());
    let (data, split, seed) = (&run.loaded.dataset, &run.loaded.split, run.seed(Stage::Search));
    run.progress.stage("grow trees that rank", 0);
    let (_, report) = trees::train(features, &chosen, data, split, &run.settings.gbdt, seed)?;
    let importances = report.gain.into_iter().map(|(feature, value)| Importance::plain(feature, value));
    Strengths::of_network(Method::Gain, &run.space, &importances.collect::<Vec<_>>())
}
