//! Features by another ranking, with hand-chosen layers, at equal latency: everything but the choice of features is as for the students
//! of [`hand`](super::hand).

use super::{
    Built, Judges, System,
    hand::{best_of, retrained, strongest, worthiest},
};
use crate::{
    app::{compare::scene::Scene, config::Stage, package::draw},
    base::Result,
    learn::{
        baseline::{Learned, Setup, cold, fscd},
        checkpoint::Keeper,
        exchange::Alone,
        importance::{Judged, Method, Strengths, permutation, taylor},
        settings::Replacement,
        student::Lesson,
        train::Rows,
    },
};

/// Where a ranking is kept: all budgets of a seed share it.
pub(super) const STRENGTHS: &str = "strengths.json";

/// What the teacher makes of each feature, on training rows that it never saw where some are held out from it.
pub(super) enum OfTeacher {
    /// First-order Taylor importance.
    Taylor,
    /// What permuting a feature loses.
    Permutation,
}

impl System for OfTeacher {
    fn budgeted(&self) -> bool {
        true
    }

    fn judges(&self) -> Judges {
        Judges::Inner
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let strengths = scene.shared.remember(STRENGTHS, || self.rank(scene))?;
        on_ranking(scene, strengths)
    }
}

impl OfTeacher {
    fn rank(&self, scene: &Scene) -> Result<Strengths> {
        let (run, teacher) = (scene.run, scene.guide.teacher());
        let settings = &run.settings.compare;
        let seed = run.seed(Stage::Search);
        let rows = scene.guide.held_out.as_ref().unwrap_or(&run.loaded.split.train);
        let rows = draw(rows, settings.judged_rows, seed);
        let judged = Judged::new(&run.schema, &run.loaded.dataset, &rows);
        let (method, found) = match self {
            Self::Taylor => (Method::Taylor, taylor(teacher, &judged, Replacement::Mean, run.progress)?),
            Self::Permutation => (
                Method::Permutation,
                permutation(teacher, &judged, &settings.permutation, seed, run.progress, run.journal.stop())?,
            ),
        };
        Strengths::of_network(method, &run.space, &found)
    }
}

/// Networks whose own training ranks features.
pub(super) enum Learning {
    /// Squeeze-and-excitation weights.
    Cold,
    /// Gates with a prior by complexity.
    Fscd,
}

impl System for Learning {
    fn budgeted(&self) -> bool {
        true
    }

    fn judges(&self) -> Judges {
        Judges::Inner
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let learn = |keeper: &mut Keeper| self.learn(scene, keeper);
        on_ranking(scene, scene.shared.remember_training(&Alone, STRENGTHS, learn)?.strengths)
    }
}

impl Learning {
    fn learn(&self, scene: &Scene, keeper: &mut Keeper) -> Result<Learned> {
        let run = scene.run;
        let setup = Setup {
            space: &run.space,
            rows: Rows::alone(&run.loaded.dataset, &run.loaded.split),
            lesson: Lesson::Labels,
            seed: run.seed(Stage::Search),
        };
        let settings = &run.settings.compare;
        match self {
            Self::Cold => cold(&setup, &settings.cold, run.progress, keeper),
            Self::Fscd => fscd(&setup, &run.feature_prices, &settings.fscd, run.progress, keeper),
        }
    }
}

/// Features that a ranking puts first, and those of the most strength per millisecond, for a ranking knows no price: which of both is
/// better, training rows tell.
pub(super) fn on_ranking(scene: &Scene, strengths: Strengths) -> Result<Built> {
    let values = &strengths.values;
    let mut choices = vec![scene.priced(|prices| strongest(scene.run, prices, values))?];
    choices.extend(scene.priced(|prices| worthiest(scene.run, prices, values))?);
    retrained(scene, best_of(scene, choices)?, Some(strengths.values))
}
