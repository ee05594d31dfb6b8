//! The steps that train: teacher, plain DNN, search, and the derived network.

use super::{Run, lesson::Course, package::Finished};
use crate::{
    app::config::Stage,
    base::{Result, fsio, rng},
    data::{column::Column, dataset::Split, split::hold_out},
    learn::{
        derive::derive,
        embedding::input_features,
        exchange::{by_leader, share_params},
        metrics::Metrics,
        network::Network,
        params::Snapshot,
        price_term::Prices,
        search::{Scene, Search, SearchOutcome},
        settings::TrainSettings,
        student::{Lesson, Student},
        teacher::Teacher,
        train::{FitReport, Rows, Trainable, fit, metrics_of, score_together},
    },
    price::{table::LatencyTable, target::LatencyTarget},
    space::{Operator, Subnet},
};
use bytemuck::Pod;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;

/// The supernet at the end of its warm-up.
const WARM_UP: &str = "warmup.safetensors";

/// Rows whose scores are in memory at once.
const SCORED_TOGETHER: usize = 1 << 18;

/// r(x) of every row.
const SOFT: &str = "teacher/soft.bin";
/// The trained teachers: the first one guides the masks, all of them give the soft targets, unless these were given: then one
/// teacher is trained, which learns from them.
pub(super) struct Guide {
    /// Whose embeddings the supernet reads and whose loss moves θ.
    pub(super) teacher: Teacher,
    /// The rest of the ensemble.
    others: Vec<Teacher>,
    /// r(x) of every row: the mean over the ensemble, or what was given.
    pub(super) soft: Column<f32>,
    /// Of r(x) on the validation rows.
    pub(super) metrics: Metrics,
    /// Training rows that the teachers never saw, to judge masks on.
    held_out: Option<Column<u32>>,
    /// What derived networks learn from, once one is trained.
    course: OnceCell<Course>,
}

impl Guide {
    /// r(x) of rows that the guide has not scored: the mean over the teachers.
    pub(super) fn scores(&self, rows: Rows, index: &[u32]) -> Result<Vec<f32>> {
        mean_scores(std::iter::once(&self.teacher).chain(&self.others), rows, index)
    }
}

/// Mean scores of some teachers.
fn mean_scores<'t>(
    teachers: impl Iterator<Item = &'t Teacher>,
    rows: Rows,
    index: &[u32],
) -> Result<Vec<f32>> {
    let teachers: Vec<&Teacher> = teachers.collect();
    let share = 1.0 / teachers.len() as f32;
    let mut soft = vec![0.0; index.len()];
    for teacher in teachers {
        let scores = score_together(teacher, rows, index)?;
        soft.iter_mut().zip(scores).for_each(|(sum, score)| *sum += share * score);
    }
    Ok(soft)
}

/// A network that was trained in this run.
pub(super) struct Trained {
    /// What it is.
    pub(super) finished: Finished,
    /// How its training went.
    pub(super) fit: FitReport,
}

/// How a network is trained.
struct School<'a> {
    rows: Rows<'a>,
    lesson: Lesson<'a>,
    settings: &'a TrainSettings,
    seed: u64,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Searched {
    /// The network that was derived.
    pub(super) subnet: Subnet,
    /// Version of the table whose prices the search was given.
    pub(super) table_version: u32,
}

/// The search and its warmed-up start, built when a round first needs them.
pub(super) struct Searcher<'a> {
    run: &'a Run<'a>,
    guide: &'a Guide,
    warm: Option<(Search<'a>, Snapshot)>,
}

impl Run<'_> {
    /// Trains the teachers, or reads those of an earlier start.
    pub(super) fn guide(&self) -> Result<Guide> {
        let settings = &self.settings.teacher;
        let data = &self.loaded.dataset;
        let every: Vec<usize> = (0..self.space.features.len()).collect();
        let (split, held_out) = self.teachers_rows()?;
        let given = self.given_scores()?;
        let members = if given.is_some() { 1 } else { settings.ensemble };
        let mut teachers = Vec::new();
        for member in 0..members {
            let seed = rng::derive(self.seed(Stage::Teacher), &format!("teacher {member}"));
            let features = input_features(&self.space.features, &every, data)?;
            let mut teacher = Teacher::new(features, data.partition_count, settings, seed)?;
            if let Some(given) = &given {
                teacher.learn_from(given.clone());
            }
            let weights = self.journal.path(&format!("teacher/{member}.safetensors"));
            let report =
                self.journal.remember_training(self.ranks, &format!("teacher/{member}.json"), |keeper| {
                    // Scores of another teacher than this one.
                    self.lead(|| fsio::remove(&self.journal.path(SOFT)))?;
                    self.progress.stage(&format!("teacher {} of {members}", member + 1), 0);
                    let rows = Rows { data, split: &split, ranks: self.ranks };
                    let curves = self.curves(&format!("teacher/{member}"));
                    let report = fit(&mut teacher, rows, &settings.train, seed, &*curves, keeper)?;
                    self.lead(|| teacher.params().save(&weights))?;
                    Ok(report)
                })?;
            self.lead(|| teacher.params().load(&weights))?;
            share_params(self.ranks, teacher.params())?;
            self.say_fit("teacher", &report);
            teachers.push(teacher);
        }
        let soft = match given {
            Some(scores) => scores,
            None => self.soft_targets(&teachers)?,
        };
        let valid = &self.loaded.split.valid;
        let scores: Vec<f32> = valid.iter().map(|&row| soft[row as usize]).collect();
        let metrics = metrics_of(&scores, data, valid);
        self.progress.say(&format!("r(x): validation AUC {}", auc(&metrics)));
        let teacher = teachers.remove(0);
        Ok(Guide { teacher, others: teachers, soft, metrics, held_out, course: OnceCell::new() })
    }

    /// r(x) of every row: the mean over the teachers.
    fn soft_targets(&self, teachers: &[Teacher]) -> Result<Column<f32>> {
        let rows = self.loaded.dataset.rows();
        let path = self.journal.path(SOFT);
        if self.ranks.place().size == 1 && path.exists() {
            return Column::map(&path, rows, "remove it to score the rows again");
        }
        self.progress.stage("score all rows with the teachers", rows as u64);
        let pieces = (0..rows).step_by(SCORED_TOGETHER).map(|begin| {
            let index: Vec<u32> = (begin as u32..rows.min(begin + SCORED_TOGETHER) as u32).collect();
            let soft = mean_scores(teachers.iter(), self.rows(), &index)?;
            self.progress.advance((begin + index.len()) as u64, "");
            Ok(soft)
        });
        self.kept(SOFT, pieces)
    }

    /// What the teachers are trained and validated on, and the training rows that are held out from them.
    fn teachers_rows(&self) -> Result<(Split, Option<Column<u32>>)> {
        let split = &self.loaded.split;
        match self.settings.search.held_out {
            0.0 => Ok((split.clone(), None)),
            share => {
                let parts = hold_out(&split.train, share, self.seed(Stage::Teacher))?;
                let train = self.kept("teacher/train.bin", in_pieces(parts.rest()))?;
                let held_out = self.kept("teacher/held_out.bin", in_pieces(parts.taken()))?;
                Ok((Split { train, valid: split.valid.clone() }, Some(held_out)))
            }
        }
    }

    /// Numbers of which there are as many as rows: a process that trains by itself keeps them in a file, so that they need no
    /// memory.
    pub(super) fn kept<T: Pod>(
        &self,
        file: &str,
        pieces: impl Iterator<Item = Result<Vec<T>>>,
    ) -> Result<Column<T>> {
        if self.ranks.place().size == 1 {
            return Column::keep(&self.journal.path(file), pieces);
        }
        Ok(pieces.collect::<Result<Vec<_>>>()?.concat().into())
    }

    /// The plain DNN on all features that the winner is set beside.
    pub(super) fn baseline(&self) -> Result<Trained> {
        let settings = &self.settings.baseline;
        let subnet = Subnet {
            features: (0..self.space.features.len()).collect(),
            operators: settings.widths.iter().map(|&width| Operator::Mlp(width)).collect(),
        };
        let seed = self.seed(Stage::Baseline);
        // A search may derive the same network, which then learns another lesson.
        let name = format!("baseline-{}", subnet.id(&self.space));
        let school = School { rows: self.rows(), lesson: Lesson::Labels, settings: &settings.train, seed };
        self.trained(&name, &subnet, school, None)
    }

    /// Trains the derived network from scratch and exports it. Rounds that derive the same network share it.
    pub(super) fn retrain(&self, guide: &Guide, subnet: &Subnet, table_version: u32) -> Result<Trained> {
        if guide.course.get().is_none() {
            // Nobody else sets it: the guide is not shared between threads.
            let _ = guide.course.set(self.course(guide)?);
        }
        let course = guide.course.get().expect("set above");
        let (rows, lesson) = (course.rows(self), course.lesson(self, guide));
        let settings = &self.settings.retrain.train;
        let school = School { rows, lesson, settings, seed: self.seed(Stage::Retrain) };
        self.trained(&subnet.id(&self.space), subnet, school, Some(table_version))
    }

    /// `name` is the folder under `networks/`.
    fn trained(
        &self,
        name: &str,
        subnet: &Subnet,
        School { rows, lesson, settings, seed }: School,
        table_version: Option<u32>,
    ) -> Result<Trained> {
        let weights = self.journal.path(&format!("networks/{name}/network.safetensors"));
        let fit =
            self.journal.remember_training(self.ranks, &format!("networks/{name}/fit.json"), |keeper| {
                self.progress.stage(&format!("train {name}"), 0);
                let mut student = self.student(subnet, settings, lesson, seed)?;
                let curves = self.curves(&format!("networks/{name}"));
                let report = fit(&mut student, rows, settings, seed, &*curves, keeper)?;
                self.lead(|| student.to_network()?.save(&weights))?;
                Ok(report)
            })?;
        self.say_fit(name, &fit);
        let finish = || self.finish(name, subnet, Network::load(&weights)?, &fit, table_version);
        let finished = by_leader(self.ranks, finish)?;
        Ok(Trained { finished, fit })
    }

    fn student<'s>(
        &self,
        subnet: &Subnet,
        settings: &TrainSettings,
        lesson: Lesson<'s>,
        seed: u64,
    ) -> Result<Student<'s>> {
        let features = input_features(&self.space.features, &subnet.features, &self.loaded.dataset)?;
        Student::new(features, &subnet.layer_widths(), settings, lesson, seed)
    }

    /// A network of the subnet's shape with seeded weights: latency does not depend on training.
    pub(super) fn untrained(&self, subnet: &Subnet) -> Result<Network> {
        let seed = self.seed(Stage::Rounds);
        self.student(subnet, &self.settings.retrain.train, Lesson::Labels, seed)?.to_network()
    }

    fn say_fit(&self, what: &str, report: &FitReport) {
        self.progress.say(&format!(
            "{what}: validation AUC {}, logloss {:.4}, best of {} epochs was {}",
            auc(&report.metrics),
            report.metrics.logloss,
            report.epochs.len(),
            report.best_epoch
        ));
    }
}

/// AUC as text; absent when the validation rows have one class.
pub(super) fn auc(metrics: &Metrics) -> String {
    metrics.auc.map_or("undefined".to_owned(), |auc| format!("{auc:.4}"))
}

impl<'a> Searcher<'a> {
    pub(super) fn new(run: &'a Run<'a>, guide: &'a Guide) -> Self {
        Self { run, guide, warm: None }
    }

    /// Searches with the prices of `table`, of which `latency` is paid, and derives one network.
    pub(super) fn search(
        &mut self,
        round: usize,
        table: &LatencyTable,
        latency: &dyn LatencyTarget,
    ) -> Result<(SearchOutcome, Searched)> {
        let run = self.run;
        run.progress.say(&format!("round {round} pays with table v{}", table.version));
        let target = &run.settings.target;
        let context = by_leader(run.ranks, || run.meter.context(target.engine))?;
        let layers = table.prices(&context, target.candidates)?;
        let prices = Prices {
            schema: &run.schema,
            features: run.feature_prices.clone(),
            layers: &layers,
            target: latency,
        };
        let name = outcome_file(round);
        let outcome = run.journal.remember_training(run.ranks, &name, |keeper| {
            self.warmed_up()?.run(&prices, &*run.curves(&format!("search/round{round}")), keeper)
        })?;
        let searched = by_leader(run.ranks, || {
            let name = subnet_file(round);
            let searched = run.journal.remember(&name, || {
                let subnet = derive(&run.space, &outcome, &run.settings.derive, &prices)?;
                Ok(Searched { subnet, table_version: table.version })
            })?;
            run.space.verify(&searched.subnet, &run.journal.path(&name))?;
            Ok(searched)
        })?;
        Ok((outcome, searched))
    }

    /// The search at the end of its warm-up, which no price influences.
    fn warmed_up(&mut self) -> Result<&mut Search<'a>> {
        let run = self.run;
        if self.warm.is_none() {
            let scene = Scene {
                rows: run.rows(),
                held_out: self.guide.held_out.as_deref(),
                teacher: &self.guide.teacher,
                soft: &self.guide.soft,
                settings: &run.settings.search,
                seed: run.seed(Stage::Search),
            };
            let mut search = Search::new(&run.space, scene)?;
            let path = run.journal.path(WARM_UP);
            let mut keeper = run.journal.keeper(WARM_UP);
            if by_leader(run.ranks, || Ok(path.exists()))? {
                run.lead(|| search.load(&path))?;
                search.share()?;
            } else {
                search.warm_up(&*run.curves("search/warm-up"), &mut keeper)?;
                run.lead(|| search.save(&path))?;
            }
            keeper.clear()?;
            let snapshot = search.snapshot()?;
            self.warm = Some((search, snapshot));
        }
        let (search, snapshot) = self.warm.as_mut().expect("set above");
        search.restore(snapshot)?;
        Ok(search)
    }
}

/// Where θ, p and the epochs of a round's search are kept.
pub(super) fn outcome_file(round: usize) -> String {
    format!("rounds/{round}/search.json")
}

/// Where the network that a round derived is kept.
pub(super) fn subnet_file(round: usize) -> String {
    format!("rounds/{round}/subnet.json")
}

/// Numbers some thousands at a time.
pub(super) fn in_pieces<T>(mut numbers: impl Iterator<Item = T>) -> impl Iterator<Item = Result<Vec<T>>> {
    std::iter::from_fn(move || {
        let piece: Vec<T> = numbers.by_ref().take(1 << 16).collect();
        (!piece.is_empty()).then_some(Ok(piece))
    })
}
