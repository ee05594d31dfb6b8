//! What a comparison would do, without doing it.

use super::{
    checked,
    scene::{result_file, units},
    trials::{grids, log_file},
};
use crate::{
    app::{
        config::SystemName,
        iterate::{Rates, Run, RunRequest},
        plan::{OutState, Plan, Seconds, Step, Unit},
    },
    base::Result,
};
use std::collections::BTreeMap;

/// What [`compare`](super::compare()) would do with the same request; it reads and checks what that does before it trains anything.
pub fn plan_compare(request: RunRequest) -> Result<Plan> {
    let root = Run::look(request)?;
    let trial_rows = checked(&root, request.experiment)?;
    let (mut draft, state) = root.inputs()?;
    let settings = &root.settings.compare;
    let units = units(settings);
    if root.have(units.iter().map(|&unit| result_file(unit))) == units.len() {
        return Ok(draft.plan("compare", request.out, OutState::Finished));
    }
    let rates = root.rates(&mut draft)?;
    root.add_probes(&mut draft, &rates)?;
    for (name, grid) in grids(settings).into_iter().filter(|(_, grid)| grid.len() > 1) {
        let done = root.have([log_file(name)]) * grid.len();
        let step = Step::times(format!("try settings of {name}"), Unit::System, grid.len());
        draft.steps.push(step.rows(trial_rows.train.len()).done(done));
    }
    let seeds = settings.seeds;
    let members = root.members();
    let train = &root.settings.teacher.train;
    draft.steps.push(
        Step::times("train the teacher of every seed", Unit::Training, members * seeds as usize)
            .epochs(train.max_epochs)
            .rows(rates.teacher_rows)
            .done(root.have((0..seeds).map(|nth| format!("results/{nth}/guide.json"))) * members)
            .each(Some(rates.teacher.seconds(train, rates.teacher_rows, root.loaded.split.valid.len()))),
    );
    let mut systems: BTreeMap<SystemName, [usize; 2]> = BTreeMap::new();
    for unit in units {
        let [all, done] = systems.entry(unit.1).or_default();
        *all += 1;
        *done += root.have([result_file(unit)]);
    }
    for (name, [all, done]) in systems {
        let step = Step::times(format!("train and measure {name}"), Unit::System, all).done(done);
        draft.steps.push(step.each(training(&root, &rates, name)));
    }
    draft.notes.push(
        "a system counts once for every seed and budget; a request to stop and --resume lose no system that is finished".to_owned(),
    );
    Ok(draft.plan("compare", request.out, state))
}

/// What one training of a system takes at least: none where no rate tells.
fn training(root: &Run, rates: &Rates, name: SystemName) -> Option<Seconds> {
    let (settings, split) = (root.settings, &root.loaded.split);
    let student =
        rates.student.seconds(&settings.retrain.train, split.train.len(), split.valid.len()).least_s;
    let least_s = match name {
        SystemName::Autofas
        | SystemName::NoDistillation
        | SystemName::NoLatency
        | SystemName::NoGradientBlock
        | SystemName::FeaturesOnly
        | SystemName::LayersOnly => rates.search(settings.search.epochs).least_s + student,
        SystemName::PlainDnn => {
            rates.plain.seconds(&settings.baseline.train, split.train.len(), split.valid.len()).least_s
        }
        SystemName::RandomSearch
        | SystemName::Rd
        | SystemName::RdAll
        | SystemName::Taylor
        | SystemName::Permutation
        | SystemName::Cold
        | SystemName::Fscd
        | SystemName::Gain => student,
        // Made with the seed's teacher.
        SystemName::Teacher => 0.0,
        SystemName::TwoTower | SystemName::Gbdt => return None,
    };
    let replay_s =
        if root.has_keys() { settings.traffic.requests as f64 / settings.traffic.qps } else { 0.0 };
    Some(Seconds { least_s: least_s + replay_s, most_s: None })
}
