//! Networks whose layers somebody chose, on all features or on those that a budget affords.

use super::{Built, Form, System};
use crate::{
    app::{compare::scene::Scene, config::Settings, iterate::Run},
    base::{Error, Result},
    learn::{
        baseline::by_worth, derive::derive, price_term::Prices, search::SearchOutcome,
        settings::DeriveSettings,
    },
    space::{Operator, SearchSpace, Subnet},
};
use std::collections::HashSet;

/// A space in which every layer has one width.
pub(super) fn fix_layers(settings: &mut Settings) {
    let fixed = settings.compare.widths.iter().map(|&width| vec![Operator::Mlp(width)]);
    settings.space.mixops = fixed.collect();
}

/// The features that the budget of `[derive]` affords by falling `strengths`, with the hand-chosen layers. `must_keep` and
/// `never` hold as for every derived network.
pub(super) fn strongest(run: &Run, prices: &Prices, strengths: &[f64]) -> Result<Subnet> {
    let space = of_widths(run)?;
    let probabilities = vec![vec![1.0]; space.mixops.len()];
    let outcome = SearchOutcome::of(strengths.to_vec(), probabilities);
    derive(&space, &outcome, &run.settings.derive, prices)
}

/// The same by falling strength per millisecond; none where `[derive]` states no budget.
pub(super) fn worthiest(run: &Run, prices: &Prices, strengths: &[f64]) -> Result<Option<Subnet>> {
    let DeriveSettings::Budget(budget) = run.settings.derive else { return Ok(None) };
    let space = of_widths(run)?;
    let operators: Vec<Operator> = space.mixops.iter().map(|operators| operators[0]).collect();
    by_worth(&space, strengths, &operators, budget.limit_ms(), prices)
}

/// The run's space with the hand-chosen layers and no others.
fn of_widths(run: &Run) -> Result<SearchSpace> {
    let widths = &run.settings.compare.widths;
    let mixops = widths.iter().map(|&width| vec![Operator::Mlp(width)]).collect();
    Ok(SearchSpace::new(run.space.features.clone(), mixops)?.served_in(run.settings.target.layout))
}

/// The best of some networks, by a training of each on training rows alone, which [`Scene::inner`] divides; the first of equal ones.
/// What is the only one is not trained.
///
/// Fails where there is none.
pub(super) fn best_of(scene: &Scene, mut choices: Vec<Subnet>) -> Result<Subnet> {
    let mut known = HashSet::new();
    choices.retain(|subnet| known.insert(subnet.clone()));
    if choices.len() == 1 {
        return Ok(choices.remove(0));
    }
    let run = scene.run.variant(scene.experiment, "choices")?.on(scene.inner.clone());
    let inner = run.teaching_apart(scene.guide, scene.inner)?;
    let teaching = inner.as_ref().unwrap_or(&scene.guide.teaching);
    let mut best: Option<(f64, Subnet)> = None;
    for subnet in choices {
        let auc = run.derived(&subnet.id(&run.space), &subnet, teaching)?.metrics.auc.unwrap_or(0.0);
        if best.as_ref().is_none_or(|&(highest, _)| auc > highest) {
            best = Some((auc, subnet));
        }
    }
    let nothing = || Error::usage("there is no network to choose", "raise compare.random_trainings");
    best.map(|(_, subnet)| subnet).ok_or_else(nothing)
}

/// Strengths that fall in the order in which the schema declares its features.
pub(super) fn declared_order(features: usize) -> Vec<f64> {
    (0..features).map(|at| 1.0 - at as f64 / features as f64).collect()
}

/// Trains `subnet` as derived networks are trained: `[retrain]`, with the teacher's scores.
pub(super) fn retrained(scene: &Scene, subnet: Subnet, strengths: Option<Vec<f64>>) -> Result<Built> {
    let run = scene.run;
    let name = subnet.id(&run.space);
    let metrics = run.derived(&name, &subnet, &scene.guide.teaching)?.metrics;
    Ok(Built { name, form: Form::Layers, subnet, strengths, metrics })
}

/// A distilled student on the features that fit, in the schema's order.
pub(super) struct Fitting;

impl System for Fitting {
    fn budgeted(&self) -> bool {
        true
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let strengths = declared_order(scene.run.space.features.len());
        let subnet = scene.priced(|prices| strongest(scene.run, prices, &strengths))?;
        retrained(scene, subnet, None)
    }
}

/// A distilled student on all features.
pub(super) struct Everything;

impl System for Everything {
    fn budgeted(&self) -> bool {
        false
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let run = scene.run;
        retrained(scene, run.space.plain(&run.settings.compare.widths), None)
    }
}

/// The plain DNN of `[baseline]` on all features, taught by labels alone.
pub(super) struct PlainDnn;

impl System for PlainDnn {
    fn budgeted(&self) -> bool {
        false
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let run = scene.run;
        let subnet = run.space.plain(&run.settings.baseline.widths);
        let name = subnet.id(&run.space);
        let metrics = run.plain(&name, &subnet)?.metrics;
        Ok(Built { name, form: Form::Layers, subnet, strengths: None, metrics })
    }
}
