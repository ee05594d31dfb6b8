//! How fast this machine trains the networks of a run and measures its models.

use super::super::Run;
use crate::{
    app::probe::table_rows,
    app::{
        config::Stage,
        plan::{
            Draft, Seconds,
            rate::{FitRate, ModelRate, some_of, step_s},
        },
    },
    base::{Result, names::EngineName},
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        search::{Scene, Search},
        settings::SearchSettings,
        student::Lesson,
        teacher::Teacher,
        train::{Rows, Trainable},
    },
    measure::probe::{Networks, ProbePlan, Subject},
};
use std::collections::BTreeMap;

/// What was measured for a plan.
pub(in crate::app) struct Rates {
    /// The teacher.
    pub(in crate::app) teacher: FitRate,
    /// The plain DNN.
    pub(in crate::app) plain: FitRate,
    /// A student on all features and the widest layers.
    pub(in crate::app) student: FitRate,
    /// Trained numbers of a teacher.
    pub(super) teacher_numbers: usize,
    /// Rows that the supernet is trained on.
    pub(in crate::app) supernet_rows: usize,
    /// Seconds of the warm-up for a row.
    warmed_s: f64,
    /// Single layers and whole networks, by engine, with the repeats of noisy ones.
    models: BTreeMap<EngineName, [ModelRate; 2]>,
    repeats: usize,
}

impl Rates {
    /// A layer that is probed.
    pub(super) fn layer(&self, engine: EngineName) -> Option<Seconds> {
        self.models.get(&engine).map(|[layers, _]| layers.each(self.repeats))
    }

    /// A network that is timed.
    pub(super) fn network(&self, engine: EngineName) -> Option<Seconds> {
        self.models.get(&engine).map(|[_, networks]| networks.each(self.repeats))
    }

    /// A warm-up.
    pub(in crate::app) fn warm_up(&self, epochs: usize) -> Seconds {
        let seconds = self.warmed_s * self.supernet_rows as f64 * epochs as f64;
        Seconds { least_s: seconds, most_s: Some(seconds) }
    }

    /// A search: its steps do what those of the warm-up do, and more.
    pub(in crate::app) fn search(&self, epochs: usize) -> Seconds {
        Seconds { most_s: None, ..self.warm_up(epochs) }
    }
}

impl Run<'_> {
    /// Measures on a few batches and models, and says in `draft` what was found. A request to stop ends it.
    pub(in crate::app) fn rates(&self, draft: &mut Draft) -> Result<Rates> {
        let (data, rows) = (&self.loaded.dataset, self.rows());
        self.progress.stage("time a few batches", 0);
        let every: Vec<usize> = (0..self.space.features.len()).collect();
        let teacher = || {
            let features = input_features(&self.space.features, &every, data)?;
            Teacher::new(features, data.partition_count, &self.settings.teacher, self.seed(Stage::Teacher))
        };
        let boxed = || Ok(Box::new(teacher()?) as Box<dyn Trainable>);
        let taught = FitRate::of(boxed, rows, &self.settings.teacher.train)?;
        self.journal.stop().check()?;
        let student = |subnet: &_, settings| {
            let make =
                || Ok(Box::new(self.student(subnet, settings, Lesson::Labels, 0)?) as Box<dyn Trainable>);
            FitRate::of(make, rows, settings)
        };
        let plain = student(&self.baseline_subnet().1, &self.settings.baseline.train)?;
        let derived = student(&self.space.widest(), &self.settings.retrain.train)?;
        self.journal.stop().check()?;
        let teacher = teacher()?;
        let warmed_s = self.warm_up_rate(&teacher)?;
        self.journal.stop().check()?;
        let teacher_numbers =
            teacher.params().shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        draft.basis.extend([
            taught.basis("teacher"),
            plain.basis("plain DNN"),
            derived.basis("student on all features and the widest layers, by labels alone"),
            format!("supernet: {:.0} rows per second of its warm-up, measured on a few batches; steps of a search take longer", 1.0 / warmed_s),
        ]);
        let mut models = BTreeMap::new();
        for &engine in self.engines() {
            models.insert(engine, self.model_rates(engine, draft)?);
            self.journal.stop().check()?;
        }
        let [_, supernet_rows] = self.trained_rows()?;
        let repeats = self.settings.probe.repeats;
        Ok(Rates {
            teacher: taught,
            plain,
            student: derived,
            teacher_numbers,
            supernet_rows,
            warmed_s,
            models,
            repeats,
        })
    }

    /// Seconds of the warm-up for a row.
    fn warm_up_rate(&self, teacher: &Teacher) -> Result<f64> {
        let (data, split) = (&self.loaded.dataset, &self.loaded.split);
        let settings = SearchSettings { warmup_epochs: 1, ..self.settings.search.clone() };
        let batch_size = settings.batch_size.min(split.train.len()).max(1);
        let soft = vec![0.5; data.rows()];
        let step_s = step_s(data, split, batch_size, |split, watch| {
            let rows = Rows { split, ..self.rows() };
            let seed = self.seed(Stage::Search);
            let scene = Scene { rows, held_out: None, teacher, soft: &soft, settings: &settings, seed };
            Search::new(&self.space, scene)?.warm_up(watch, &mut Keeper::none())
        })?;
        Ok(step_s / batch_size as f64)
    }

    /// Some layers and some networks, measured as all of them will be.
    fn model_rates(&self, engine: EngineName, draft: &mut Draft) -> Result<[ModelRate; 2]> {
        let (target, seed) = (&self.settings.target, self.seed(Stage::Probe));
        let cardinalities = table_rows(&self.schema, Some(&self.loaded.encoders), 0)?;
        let networks = Networks { fitted: 0, held_out: ModelRate::SAMPLE };
        let all = ProbePlan::for_space(
            &self.space,
            &cardinalities,
            target.layout,
            &[target.candidates],
            networks,
            seed,
        )?;
        let (whole, layers): (Vec<Subject>, Vec<Subject>) =
            all.subjects.iter().cloned().partition(|subject| matches!(subject, Subject::HeldOut(_)));
        let mut of = |subjects: Vec<Subject>, what: &str| -> Result<ModelRate> {
            let plan = ProbePlan { subjects: some_of(&subjects, ModelRate::SAMPLE), ..all.clone() };
            self.progress.measuring(&format!("time {} {what} on {engine}", plan.subjects.len()));
            let rate = ModelRate::of(plan.subjects.len(), || self.meter.probe(engine, &plan).map(drop))?;
            draft.basis.push(rate.basis(&format!("{what} on {engine}")));
            Ok(rate)
        };
        Ok([of(layers, "layers")?, of(whole, "networks")?])
    }
}
