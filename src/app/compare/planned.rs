//! What a comparison would do, without doing it.

use super::{
    checked,
    scene::{Chosen, experiment_of, guide_folder, guiding, result_file, seeded, units},
    systems::{Judges, system},
    trials::{GUIDE_FOLDER, chosen_so_far, grids, last_share, log_file},
};
use crate::{
    app::{
        config::{Experiment, SystemName},
        iterate::{Guides, Rates, Run, RunRequest},
        plan::{Draft, OutState, Plan, Seconds, Step, Unit},
    },
    base::Result,
    data::dataset::Split,
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
    let chosen = chosen_so_far(&root)?;
    let seeds = (0..settings.seeds).map(|nth| guiding(&seeded(request.experiment, nth), &chosen));
    let seeds = seeds.collect::<Result<Vec<_>>>()?;
    let guides = (0..).zip(&seeds).map(|(nth, experiment)| root.variant(experiment, &guide_folder(nth)));
    let guides = guides.collect::<Result<Vec<_>>>()?;
    let rates = guides[0].rates(&mut draft)?;
    root.add_probes(&mut draft, &rates)?;
    let planned = Planned { root: &root, experiment: request.experiment, chosen, rates };
    planned.add_trials(&mut draft, &trial_rows)?;
    planned.add_guides(&mut draft, Guides::of_seeds(&guides), &trial_rows)?;
    planned.add_trainings(&mut draft, &units);
    draft.notes.push(
        "a system counts once for every seed and budget; a request to stop and --resume lose no system that is finished".to_owned(),
    );
    Ok(draft.plan("compare", request.out, state))
}

/// What the steps are counted by.
struct Planned<'p> {
    root: &'p Run<'p>,
    experiment: &'p Experiment,
    chosen: Chosen,
    rates: Rates,
}

impl Planned<'_> {
    /// The trials that are not over, and the teachers that guide them.
    fn add_trials(&self, draft: &mut Draft, rows: &Split) -> Result<()> {
        let compare = &self.root.settings.compare;
        let tried = || grids(compare).into_iter().filter(|(_, grid)| grid.len() > 1);
        let guided: Vec<SystemName> = tried()
            .map(|(name, _)| name)
            .filter(|&name| name != SystemName::Teacher && !self.root.journal.has(&log_file(name)))
            .collect();
        if !guided.is_empty() {
            let experiment = guiding(self.experiment, &self.chosen)?;
            let guide = self.root.variant(&experiment, GUIDE_FOLDER)?.on(rows.clone());
            let guides = Guides::of_trials(&guide);
            guides.add_teachers(draft, &self.rates)?;
            let inner = last_share(&rows.train, compare.trial_fraction)?;
            self.add_teachers_apart(draft, guides, &self.judging(&guided)?, &inner)?;
        }
        for (name, grid) in tried() {
            let done = self.root.have([log_file(name)]) * grid.len();
            let step = Step::times(format!("try settings of {name}"), Unit::System, grid.len());
            draft.steps.push(step.rows(rows.train.len()).done(done));
        }
        Ok(())
    }

    /// The teachers of every seed, and those of parts of the rows that its systems share.
    fn add_guides(&self, draft: &mut Draft, guides: Guides, inner: &Split) -> Result<()> {
        guides.add_teachers(draft, &self.rates)?;
        guides.add_room(draft, &self.rates)?;
        let compare = &self.root.settings.compare;
        let judging = self.judging(&compare.systems)?;
        self.add_teachers_apart(draft, guides, &judging, inner)?;
        let on_folds = judging.iter().filter(|judging| judging.on == Judges::Folds).count();
        if on_folds > 0 {
            let runs = on_folds * compare.seeds as usize * compare.budgets_ms.len();
            self.root.add_room_of_rows_of_folds(draft, runs);
            if judging.iter().any(|judging| judging.on == Judges::Folds && judging.taught) {
                guides.add_room_of_folds(draft, &self.rates);
            }
        }
        Ok(())
    }

    /// The first system that judges networks on some rows trains the teachers for all.
    fn add_teachers_apart(
        &self,
        draft: &mut Draft,
        guides: Guides,
        judging: &[Judging],
        inner: &Split,
    ) -> Result<()> {
        let some = |on| judging.iter().any(|judging| judging.on == on && judging.taught);
        if some(Judges::Folds) {
            guides.add_teachers_of_folds(draft, &self.rates, Some(inner))?;
        }
        if some(Judges::Inner) {
            guides.add_teachers_of(draft, &self.rates, inner);
        }
        Ok(())
    }

    /// Those of some systems that judge networks.
    fn judging(&self, names: &[SystemName]) -> Result<Vec<Judging>> {
        let budget_ms = self.root.settings.compare.budgets_ms.first().copied();
        let mut judging = BTreeMap::new();
        for &name in names {
            let on = system(name).judges();
            let chosen = self.chosen.get(&name).map_or(&[][..], Vec::as_slice);
            let experiment = experiment_of(self.experiment, name, chosen, budget_ms)?;
            let judges = match on {
                Judges::Nothing => false,
                Judges::Folds => experiment.settings.finals.layers,
                Judges::Inner => true,
            };
            if judges {
                let taught = self.root.variant(&experiment, "")?.teaches_apart();
                judging.insert(name, Judging { on, taught });
            }
        }
        Ok(judging.into_values().collect())
    }

    fn add_trainings(&self, draft: &mut Draft, units: &[(u32, SystemName, Option<f64>)]) {
        let mut systems: BTreeMap<SystemName, [usize; 2]> = BTreeMap::new();
        for &unit in units {
            let [all, done] = systems.entry(unit.1).or_default();
            *all += 1;
            *done += self.root.have([result_file(unit)]);
        }
        for (name, [all, done]) in systems {
            let step = Step::times(format!("train and measure {name}"), Unit::System, all).done(done);
            draft.steps.push(step.each(training(self.root, &self.rates, name)));
        }
    }
}

/// A system that judges networks.
struct Judging {
    /// On which rows.
    on: Judges,
    /// Whether teachers teach there.
    taught: bool,
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
