//! What `replay` would do, without replaying anything.

use super::ReplayArgs;
use crate::{
    app::plan::{Draft, OutState, Plan, Seconds, Step, Unit},
    base::Result,
    export,
    measure::{
        campaign::Campaign,
        replay::trace::{Pacing, Trace},
        store::StoreChoice,
    },
};

impl ReplayArgs {
    /// Passes of all engines over the trace. By now it has been read or made, engines were tried, and a baseline was held against them.
    pub(super) fn planned(&self, campaign: &Campaign, trace: &Trace) -> Result<Plan> {
        let mut draft = Draft::default();
        let (signature, metadata) = export::read_signature(&self.model)?;
        let inputs = signature.tensors.len();
        draft.has_read(
            "model",
            &self.model,
            format!("network {} with {inputs} input tensors", metadata.subnet),
        );
        let files = self.data.files(Some(&self.model))?;
        draft.has_read("data", files.rows, "to look users and items up in");
        let requests = trace.requests();
        draft.notes.extend(trace.origin.notes.iter().cloned());
        match &self.trace {
            Some(path) => draft.has_read("trace", path, format!("{requests} requests")),
            None => draft
                .notes
                .push(format!("the trace of {requests} requests would be made now, and not be kept")),
        }
        if self.store != StoreChoice::None {
            let (held, _) = self.store.look()?;
            held.check_serves(&self.store.place(), &metadata)?;
            draft.has_read("store", self.store.place(), "serves the model");
        }
        if let Some(path) = &self.baseline {
            draft.has_read("baseline", path, "of the same model, trace, setup and host");
        }
        let repeats = campaign.plan.repeats;
        for job in &campaign.jobs {
            let (step, each) = if self.queue.slo.is_empty() {
                (
                    Step::times(format!("replay on {}", job.engine), Unit::Replay, repeats),
                    scheduled(job.schedule()?.as_secs_f64(), job.pacing),
                )
            } else {
                let step = format!("replay on {} at every rate that is tried", job.engine);
                (Step::between(step, Unit::Replay, repeats, None), None)
            };
            draft.steps.push(step.rows(requests).each(each));
        }
        self.note_validity(campaign, requests, &mut draft)?;
        draft.basis.push("a pass takes as long as its schedule, and its start and warm-up".to_owned());
        draft.writes(0, "results and histograms, some kB each");
        let state = self.out.as_deref().map_or(OutState::New, OutState::of);
        Ok(draft.plan("replay", self.out.as_deref(), state))
    }

    /// What would make every result INVALID, whatever is measured.
    fn note_validity(&self, campaign: &Campaign, requests: usize, draft: &mut Draft) -> Result<()> {
        let limits = campaign.plan.limits;
        if (requests as u64) < limits.min_requests {
            draft.notes.push(format!(
                "the result would be INVALID: {requests} requests, and --min-requests is {}; give more --requests",
                limits.min_requests
            ));
        }
        let Some(job) = campaign.jobs.first().filter(|_| self.queue.slo.is_empty()) else { return Ok(()) };
        let Some(pass) = scheduled(job.schedule()?.as_secs_f64(), job.pacing) else { return Ok(()) };
        let all_s = pass.least_s * campaign.plan.repeats as f64;
        if all_s < limits.min_duration_s {
            draft.notes.push(format!(
                "the result may be INVALID: {} passes of {:.1} s, and --min-duration is {} s; give more --requests or --repeats",
                campaign.plan.repeats, pass.least_s, limits.min_duration_s
            ));
        }
        Ok(())
    }
}

/// A pass that has a schedule lasts as long as it, at least.
fn scheduled(schedule_s: f64, pacing: Pacing) -> Option<Seconds> {
    match pacing {
        Pacing::Closed | Pacing::Offline => None,
        Pacing::Rate { .. } | Pacing::Speed { .. } => Some(Seconds { least_s: schedule_s, most_s: None }),
    }
}
