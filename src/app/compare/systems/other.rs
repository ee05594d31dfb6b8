//! Networks of other forms than those of the space, as every run can make them: on all features, and without a budget.

use super::{Built, Form, System};
use crate::{
    app::{compare::scene::Scene, config::Settings, iterate},
    base::Result,
    space::Subnet,
};

/// What a run makes with these settings.
pub(super) struct Other(pub(super) fn(&Settings) -> iterate::System);

impl System for Other {
    fn budgeted(&self) -> bool {
        false
    }

    fn other(&self, settings: &Settings) -> Option<iterate::System> {
        Some(self.0(settings))
    }

    fn build(&self, scene: &Scene) -> Result<Built> {
        let run = scene.run;
        let system = self.0(run.settings);
        let metrics = run.made(&system, || Ok(scene.guide))?;
        let subnet = Subnet { features: system.features(&run.space), operators: Vec::new() };
        Ok(Built { name: system.name(), form: Form::Other, subnet, strengths: None, metrics })
    }
}
