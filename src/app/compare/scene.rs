//! Where systems are trained: the data and prices that all share, one teacher per seed, a folder for each training.

use super::{
    SCHEMA_VERSION,
    lists::Lists,
    measured::{Measuring, keep_truth},
    pace::{Pace, timed},
    result::{Guided, Setup, Training, unit_name},
    systems::{Built, system},
    trials::{grids, tried_so_far},
};
use crate::{
    app::{
        config::{CompareSettings, Experiment, Override, Settings, SystemName},
        iterate::{Guide, Journal, Run},
    },
    base::{Error, Result},
    data::dataset::Split,
    learn::{
        price_term::Prices,
        settings::{Budget, DeriveSettings},
    },
    price::{table::LatencyTable, target::MeanService},
};
use std::{collections::BTreeMap, path::Path};

/// Settings by system that win over the experiment's.
pub(super) type Chosen = BTreeMap<SystemName, Vec<String>>;

/// What the probing of the table took is kept under this name.
pub(super) const TABLE: &str = "table";

/// What all trainings of a comparison share.
pub(super) struct Stage<'a> {
    pub(super) root: &'a Run<'a>,
    pub(super) experiment: &'a Experiment,
    pub(super) table: LatencyTable,
    /// Training rows, divided for trials and for random choices.
    pub(super) trial_rows: Split,
}

/// What one training of one system may use.
pub(super) struct Scene<'a> {
    /// The system's run: its settings, and the folder that its results go to.
    pub(super) run: &'a Run<'a>,
    /// Its settings as an experiment.
    pub(super) experiment: &'a Experiment,
    /// Whose scores are the soft targets.
    pub(super) guide: &'a Guide,
    /// What layers cost.
    pub(super) table: &'a LatencyTable,
    /// The run's training rows, divided for choices that validation rows must not make.
    pub(super) inner: &'a Split,
    /// A folder of the system's trainings with the same seed, for what does not depend on a budget.
    pub(super) shared: Journal,
}

impl Scene<'_> {
    /// Hands the prices that a budget is held against to `use_prices`.
    pub(super) fn priced<T>(&self, use_prices: impl FnOnce(&Prices) -> Result<T>) -> Result<T> {
        let layers = self.run.layer_prices(self.table)?;
        use_prices(&self.run.paid(&layers, &MeanService, &self.run.settings.derive))
    }
}

/// What a system is trained with: the experiment with the settings that were chosen for it, its own changes, and a budget.
pub(super) fn experiment_of(
    base: &Experiment,
    name: SystemName,
    settings: &[String],
    budget_ms: Option<f64>,
) -> Result<Experiment> {
    let overrides = settings.iter().map(|text| Override::assignment(text)).collect::<Result<Vec<_>>>()?;
    Ok(base.with(Path::new("config.toml"), &overrides)?.changed(|settings| {
        if budget_ms.is_some() {
            settings.derive = DeriveSettings::Budget(Budget { budget_ms, ..Budget::default() });
        }
        system(name).change(settings);
    }))
}

/// What teachers are trained with that guide systems. A budget, whichever, holds rows out that searches judge networks on.
pub(super) fn guiding(base: &Experiment, chosen: &Chosen) -> Result<Experiment> {
    let settings = chosen.get(&SystemName::Teacher).map_or(&[][..], Vec::as_slice);
    let budget_ms = base.settings.compare.budgets_ms.first().copied();
    experiment_of(base, SystemName::Teacher, settings, budget_ms)
}

/// Where the teachers of the `nth` seed are kept.
pub(super) fn guide_folder(nth: u32) -> String {
    format!("seeds/{nth}/guide")
}

/// Every training: seed, system and budget.
pub(super) fn units(settings: &CompareSettings) -> Vec<(u32, SystemName, Option<f64>)> {
    let mut names = settings.systems.clone();
    names.sort_unstable();
    names.dedup();
    let mut units = Vec::new();
    for nth in 0..settings.seeds {
        for &name in &names {
            match system(name).budgeted() {
                true => units.extend(settings.budgets_ms.iter().map(|&ms| (nth, name, Some(ms)))),
                false => units.push((nth, name, None)),
            }
        }
    }
    units
}

/// Where the result of a training is kept.
pub(super) fn result_file((nth, name, budget_ms): (u32, SystemName, Option<f64>)) -> String {
    format!("results/{nth}/{}.json", unit_name(name, budget_ms))
}

/// With the seeds of the `nth` training: what is trained differs, rows, requests and probes stay.
pub(super) fn seeded(experiment: &Experiment, nth: u32) -> Experiment {
    experiment.changed(|settings| seed(settings, nth))
}

fn seed(settings: &mut Settings, nth: u32) {
    let seeds = &mut settings.seeds;
    for pinned in [&mut seeds.split, &mut seeds.traffic, &mut seeds.probe, &mut seeds.rounds] {
        pinned.get_or_insert(seeds.base);
    }
    for moved in [&mut seeds.teacher, &mut seeds.search, &mut seeds.retrain, &mut seeds.baseline] {
        *moved = moved.map(|own| own.wrapping_add(nth));
    }
    seeds.base = seeds.base.wrapping_add(nth);
}

impl<'a> Stage<'a> {
    /// Probes the table where none is given, and keeps what reports need.
    pub(super) fn new(root: &'a Run<'a>, experiment: &'a Experiment, trial_rows: Split) -> Result<Self> {
        let (table, _) = timed(&root.journal, TABLE, || root.first_table())?;
        root.journal.remember_document("setup.json", SCHEMA_VERSION, || Setup::of(root))?;
        keep_truth(root)?;
        Ok(Self { root, experiment, table, trial_rows })
    }

    /// How much there is to do, and what earlier starts did of it.
    pub(super) fn pace(&self) -> Result<Pace> {
        let trials = grids(&self.root.settings.compare).into_iter().filter(|(_, grid)| grid.len() > 1);
        let trials = trials.flat_map(|(name, grid)| grid.into_iter().map(move |_| name));
        let units = units(&self.root.settings.compare);
        let mut pace = Pace::new(trials, units.iter().map(|&(_, name, _)| name));
        for (name, trial) in tried_so_far(self.root)? {
            pace.tried(name, trial.seconds);
        }
        for unit in units {
            if let Some(known) = self.root.journal.recall::<Training>(&result_file(unit))? {
                pace.trained(unit.1, known.seconds());
            }
        }
        Ok(pace)
    }

    /// Every training that has no result yet.
    pub(super) fn train_all(&self, chosen: &Chosen, pace: &mut Pace) -> Result<()> {
        let lists = Lists::of_trace(self.root)?;
        for seed in units(&self.root.settings.compare).chunk_by(|a, b| a.0 == b.0) {
            let mut teaching = None;
            for &(nth, name, budget_ms) in seed {
                let file = result_file((nth, name, budget_ms));
                if self.root.journal.has(&file) {
                    continue;
                }
                self.root.progress.say(&pace.next_training(&unit_name(name, budget_ms), nth));
                if teaching.is_none() {
                    teaching = Some(self.teach(nth, chosen, lists.as_ref())?);
                }
                let Some((base, measuring)) = &teaching else { unreachable!("set above") };
                let settings = chosen.get(&name).map_or(&[][..], Vec::as_slice);
                let training = self
                    .root
                    .journal
                    .remember(&file, || self.train(base, measuring, (nth, name, budget_ms), settings))?;
                pace.trained(name, training.seconds());
            }
        }
        Ok(())
    }

    /// The teacher of the `nth` seed, and the experiment with its seeds.
    fn teach<'l>(
        &self,
        nth: u32,
        chosen: &Chosen,
        lists: Option<&'l Lists>,
    ) -> Result<(Experiment, Measuring<'l>)> {
        let base = seeded(self.experiment, nth);
        let experiment = guiding(&base, chosen)?;
        let run = self.root.variant(&experiment, &guide_folder(nth))?;
        let (guide, seconds) = timed(&run.journal, "guide", || run.guide())?;
        let guided = Guided { metrics: guide.metrics.clone(), seconds };
        self.root.journal.remember(&format!("results/{nth}/guide.json"), || Ok(guided))?;
        Ok((base, Measuring::new(guide, lists)?))
    }

    fn train(
        &self,
        base: &Experiment,
        measuring: &Measuring,
        (nth, name, budget_ms): (u32, SystemName, Option<f64>),
        settings: &[String],
    ) -> Result<Training> {
        let experiment = experiment_of(base, name, settings, budget_ms)?;
        let unit = unit_name(name, budget_ms);
        let run = self.root.variant(&experiment, &format!("seeds/{nth}/{unit}"))?;
        let scene = Scene {
            run: &run,
            experiment: &experiment,
            guide: &measuring.guide,
            table: &self.table,
            inner: &self.trial_rows,
            shared: self.root.journal.inside(&format!("seeds/{nth}/{name}")),
        };
        let built = timed(&run.journal, "training", || match system(name).build(&scene) {
            Ok(built) => Ok(Ok(built)),
            // A budget that this system cannot keep is a result.
            Err(error @ Error::Limit { .. }) if budget_ms.is_some() => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        })?;
        let (built, training_s): (Result<Built, String>, f64) = built;
        let training = Training::new(name, budget_ms, nth, settings, training_s);
        match built {
            Err(reason) => Ok(training.unreachable(reason)),
            Ok(built) => {
                let (trained, measuring_s) = timed(&run.journal, "measuring", || {
                    measuring.measure(self.root, &scene, &built, &format!("{nth}/{unit}"))
                })?;
                Ok(training.trained(trained, measuring_s))
            }
        }
    }
}
