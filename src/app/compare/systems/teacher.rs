//! The ranking network, or the scores that are given in its place: as good as a student might hope to become.

use super::{Built, Model, System};
use crate::{app::compare::scene::Scene, base::Result, space::Subnet};

/// r(x) itself.
pub(super) struct Ranking;

impl System for Ranking {
    fn budgeted(&self) -> bool {
        false
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let features = (0..scene.run.space.features.len()).collect();
        Ok(Built {
            subnet: Subnet { features, operators: Vec::new() },
            strengths: None,
            model: Model::Guide(scene.guide.metrics.clone()),
        })
    }
}
