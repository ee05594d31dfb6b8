//! What `table probe` would measure, without writing anything.

use super::{Begin, Kept, ProbeRequest, by_turns};
use crate::{
    app::plan::{
        Draft, OutState, Plan, Step, Unit,
        rate::{ModelRate, some_of},
        span,
    },
    base::{Result, progress::Progress, stop::Stop},
    measure::{
        child::Launcher,
        probe::{ProbeGroup, context_here},
    },
    price::table::TableContext,
};

/// Bytes of a price in a table's file, about.
const PRICE_BYTES: u64 = 200;

/// What [`probe_table`](super::probe_table) would do with the same arguments, with times from some models of every engine. What `draft`
/// has read already is told with it.
pub fn plan_probe(
    request: &ProbeRequest,
    begin: Begin,
    launcher: &Launcher,
    mut draft: Draft,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Plan> {
    let ProbeRequest { plan, settings, out, .. } = request;
    let contexts: Vec<TableContext> =
        settings.iter().map(|settings| context_here(settings, plan.layout)).collect::<Result<_>>()?;
    let kept = match begin {
        Begin::Anew => Kept::nothing(request, &contexts),
        Begin::WhereItStopped => Kept::of_earlier(request, &contexts)?,
    };
    let state = match (begin, out.exists() || Kept::file(request).exists()) {
        (_, false) => OutState::New,
        (Begin::Anew, true) => OutState::Exists,
        (Begin::WhereItStopped, true) => OutState::Resumed,
    };
    let turns = request.part(by_turns(plan, settings, &contexts));
    let (mut all, mut open) = (0, 0);
    for (settings, context) in settings.iter().zip(&contexts) {
        let own = turns.iter().filter(|turn| turn.context == context);
        let (mut models, mut lacking) = (0, 0);
        for turn in own {
            models += turn.group.subjects.len();
            lacking +=
                plan.lacking(&kept.table, context, &turn.group).map_or(0, |group| group.subjects.len());
        }
        let step =
            Step::times(format!("measure layers and networks on {}", settings.engine), Unit::Model, models);
        let step = step.done(models - lacking);
        (all, open) = (all + models, open + lacking);
        if lacking == 0 {
            draft.steps.push(step);
            continue;
        }
        stop.check()?;
        // The most candidates take the longest, and the rest no longer.
        let candidates = plan.candidates.iter().copied().max().unwrap_or_default();
        let every: Vec<usize> = (0..plan.subjects.len()).collect();
        let group = ProbeGroup { candidates, subjects: some_of(&every, ModelRate::SAMPLE) };
        let count = group.subjects.len();
        progress.measuring(&format!("time {count} models on {}", settings.engine));
        let rate = ModelRate::of(count, || plan.run_group(&group, launcher, settings, None).map(drop))?;
        draft.basis.push(rate.basis(&format!("models on {} at {candidates} candidates", settings.engine)));
        draft.steps.push(step.each(Some(rate.each(settings.effort.repeats))));
    }
    if let Some(budget) = request.budget {
        let budget = span(budget.as_secs_f64());
        draft.basis.push(format!(
            "after --minutes ({budget} with what was spent before) no more is measured than has to be"
        ));
    }
    draft.writes(all as u64 * PRICE_BYTES, "the prices of a table");
    let state = if state == OutState::Resumed && open == 0 { OutState::Finished } else { state };
    Ok(draft.plan("table probe", out.as_path(), state))
}
