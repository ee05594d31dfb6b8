//! Random choices that fill the budget, judged on held-out training rows; the best is trained on all of them.

use super::{
    Built, Judges, System,
    hand::{best_of, retrained},
};
use crate::{
    app::{compare::scene::Scene, config::Stage},
    base::{
        Error, Result,
        rng::{self, Generator},
    },
    learn::{derive::derive, price_term::Prices, search::SearchOutcome},
    space::{Operator, SearchSpace, Subnet},
};
use rand::RngExt;

/// Draws for one choice at most: of layers that are too dear for the budget, others are drawn.
const DRAWS: usize = 100;

/// The best of `compare.random_trainings` choices.
pub(super) struct RandomSearch;

impl System for RandomSearch {
    fn budgeted(&self) -> bool {
        true
    }

    fn judges(&self) -> Judges {
        Judges::Inner
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let mut generator = rng::generator(scene.run.seed(Stage::Search), "random search");
        let mut choices = Vec::new();
        for _ in 0..scene.run.settings.compare.random_trainings {
            choices.push(scene.priced(|prices| draw(scene, prices, &mut generator))?);
        }
        let subnet = best_of(scene, choices)?;
        retrained(scene, subnet, None)
    }
}

/// Layers at random, and features in a random order as long as the budget affords them.
fn draw(scene: &Scene, prices: &Prices, generator: &mut Generator) -> Result<Subnet> {
    let settings = scene.run.settings;
    let mut last = None;
    for _ in 0..DRAWS {
        let outcome = random_outcome(&scene.run.space, generator);
        match derive(&scene.run.space, &outcome, &settings.derive, prices) {
            Err(error @ Error::Limit { .. }) => last = Some(error),
            other => return other,
        }
    }
    Err(last.expect("every draw was too dear"))
}

fn random_outcome(space: &SearchSpace, generator: &mut Generator) -> SearchOutcome {
    let theta = space.features.iter().map(|_| generator.random::<f64>()).collect();
    let chosen: Vec<Operator> =
        space.mixops.iter().map(|operators| operators[generator.random_range(0..operators.len())]).collect();
    SearchOutcome::choosing(space, theta, &chosen)
}
