use super::*;
use crate::{
    base::progress::Silent,
    learn::{
        embedding::input_features,
        fixtures::{World, every_row, mixed},
        params::Params,
        settings::{
            Annealing, DistillationLoss, Gate, Paths, RetrainSettings, SearchSettings, TeacherSettings,
            TrainSettings,
        },
        student::{Lesson, Student, lists_of},
        teacher::Teacher,
        train::{Rows, fit},
        values,
    },
};
use std::sync::Mutex;

const EVERY_STEP: CheckpointSettings = CheckpointSettings { every_seconds: 0.0, keep: 1000 };

/// Batches of 32 from 140 rows: five steps an epoch. Dropout of both kinds, so that every step draws.
fn train() -> TrainSettings {
    TrainSettings {
        dropout: 0.3,
        embedding_dropout: 0.1,
        batch_size: 32,
        max_epochs: 3,
        patience: 3,
        learning_rate: 0.01,
        weight_decay: 0.1,
        ..TrainSettings::default()
    }
}

/// All numbers of a model, bit by bit, and what its training reported.
fn end(params: &Params, report: &impl Serialize) -> (Vec<(String, Vec<u32>)>, String) {
    let bits = params.iter().map(|(name, var)| {
        let numbers = values(var).unwrap();
        (name.to_owned(), numbers.into_iter().map(f32::to_bits).collect())
    });
    (bits.collect(), serde_json::to_string(report).unwrap())
}

type End = (Vec<(String, Vec<u32>)>, String);
type Training<'a> = &'a dyn Fn(u64, &dyn Progress, &mut Keeper) -> Result<End>;

fn with_teacher(test: impl FnOnce(Training)) {
    let (schema, loaded) = mixed();
    let rows = Rows::alone(&loaded.dataset, &loaded.split);
    let every: Vec<usize> = (0..schema.features.len()).collect();
    let settings = TeacherSettings {
        shared: vec![6],
        partition: vec![5],
        feature_dropout: 0.2,
        train: train(),
        ..TeacherSettings::default()
    };
    test(&|seed, progress, keeper| {
        let features = input_features(&schema.features, &every, rows.data)?;
        let mut teacher = Teacher::new(features, rows.data.partition_count, &settings, seed)?;
        let report = fit(&mut teacher, rows, &settings.train, seed, progress, keeper)?;
        Ok(end(crate::learn::train::Trainable::params(&teacher), &report))
    });
}

fn with_student(test: impl FnOnce(Training)) {
    let (schema, loaded) = mixed();
    let rows = Rows::alone(&loaded.dataset, &loaded.split);
    let soft: Vec<f32> = every_row(rows.data).iter().map(|&row| (row % 7) as f32 / 7.0).collect();
    test(&|seed, progress, keeper| {
        let features = input_features(&schema.features, &[0, 2, 3, 5, 7], rows.data)?;
        let lesson = Lesson::Distilled { teacher: &soft, lambda1: 0.3 };
        let mut student = Student::new(features, &[6, 4], &train(), lesson, seed)?;
        let report = fit(&mut student, rows, &train(), seed, progress, keeper)?;
        Ok(end(crate::learn::train::Trainable::params(&student), &report))
    });
}

/// Batches of whole lists: those of requests.
fn with_student_of_lists(test: impl FnOnce(Training)) {
    let (schema, loaded) = mixed();
    let rows = Rows::alone(&loaded.dataset, &loaded.split);
    let soft: Vec<f32> = every_row(rows.data).iter().map(|&row| (row % 7) as f32 / 7.0).collect();
    let settings = RetrainSettings {
        distillation_loss: DistillationLoss::Listwise,
        longest_list: 8,
        train: train(),
        ..RetrainSettings::default()
    };
    let lists = lists_of(&settings, rows.data, &rows.split.train).unwrap();
    test(&|seed, progress, keeper| {
        let features = input_features(&schema.features, &[0, 2, 3, 5, 7], rows.data)?;
        let lesson = Lesson::of(&settings, &soft, lists.as_ref());
        let mut student = Student::new(features, &[6, 4], &settings.train, lesson, seed)?;
        let report = fit(&mut student, rows, &settings.train, seed, progress, keeper)?;
        Ok(end(crate::learn::train::Trainable::params(&student), &report))
    });
}

fn world(gate: Gate, paths: Paths) -> World {
    World::new(SearchSettings {
        epochs: 2,
        warmup_epochs: 2,
        batch_size: 32,
        lambda_ramp_epochs: 1.5,
        gate,
        paths,
        ..SearchSettings::default()
    })
}

fn with_warm_up(paths: Paths, test: impl FnOnce(Training)) {
    let world = world(Gate::StraightThrough, paths);
    test(&|seed, progress, keeper| {
        let mut search = world.search(seed);
        search.warm_up(progress, keeper)?;
        Ok(end(search.params(), &()))
    });
}

fn with_search(paths: Paths, test: impl FnOnce(Training)) {
    let schedule = Annealing::Geometric;
    with_search_of(Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.1, schedule }, paths, test);
}

fn with_search_of(gate: Gate, paths: Paths, test: impl FnOnce(Training)) {
    let world = world(gate, paths);
    test(&|seed, progress, keeper| {
        let mut search = world.search(seed);
        let outcome = search.run(&world.prices(), progress, keeper)?;
        Ok(end(search.params(), &outcome))
    });
}

/// Asks to stop once a training has advanced so far, and keeps what is said.
struct StopAt {
    step: u64,
    stop: Stop,
    said: Mutex<Vec<String>>,
}

impl StopAt {
    fn new(step: u64) -> Self {
        Self { step, stop: Stop::new("the command"), said: Mutex::default() }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

impl Progress for StopAt {
    fn stage(&self, _: &str, _: u64) {}

    fn advance(&self, done: u64, _: &str) {
        if done == self.step {
            self.stop.request(15);
        }
    }

    fn say(&self, line: &str) {
        self.said.lock().unwrap().push(line.to_owned());
    }
}

fn steps_in(folder: &Path) -> Vec<u64> {
    saved(folder).unwrap().into_iter().map(|(steps, _)| steps).collect()
}

/// From the state after each of its steps, the training ends as it does undisturbed.
fn ends_alike_from_every_state(steps: u64, train: Training) {
    let undisturbed = train(1, &Silent, &mut Keeper::none()).unwrap();
    assert_ne!(undisturbed, train(2, &Silent, &mut Keeper::none()).unwrap(), "the seed decides");
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all");
    let keeper = |folder: &Path| Keeper::new(folder.to_owned(), EVERY_STEP, Stop::never());
    assert_eq!(train(1, &Silent, &mut keeper(&all)).unwrap(), undisturbed, "saving changes nothing");
    assert_eq!(steps_in(&all), (1..=steps).collect::<Vec<_>>());
    for (step, path) in saved(&all).unwrap() {
        let one = folder.path().join(format!("from {step}"));
        fsio::write(&one.join(path.file_name().unwrap()), &fsio::read(&path).unwrap()).unwrap();
        assert_eq!(train(1, &Silent, &mut keeper(&one)).unwrap(), undisturbed, "from step {step}");
    }
    for step in [1, steps / 2] {
        let progress = StopAt::new(step);
        let seldom = CheckpointSettings { every_seconds: 3600.0, keep: 1 };
        let folder = folder.path().join(format!("stopped at {step}"));
        let mut stopping = Keeper::new(folder.clone(), seldom, progress.stop.clone());
        let stopped = train(1, &progress, &mut stopping).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { signal: 15, .. }), "{stopped}");
        assert_eq!(steps_in(&folder), [step]);
        assert_eq!(train(1, &Silent, &mut keeper(&folder)).unwrap(), undisturbed, "stopped at {step}");
    }
}

#[test]
fn a_teacher_ends_alike_from_every_state() {
    with_teacher(|train| ends_alike_from_every_state(15, train));
}

#[test]
fn a_student_ends_alike_from_every_state() {
    with_student(|train| ends_alike_from_every_state(15, train));
}

#[test]
fn a_warm_up_ends_alike_from_every_state() {
    with_warm_up(Paths::All, |train| ends_alike_from_every_state(10, train));
}

#[test]
fn a_search_ends_alike_from_every_state() {
    with_search(Paths::All, |train| ends_alike_from_every_state(10, train));
}

#[test]
fn a_search_of_smoothed_gates_ends_alike_from_every_state() {
    let gate = Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-5, schedule: Annealing::Cosine };
    with_search_of(gate, Paths::All, |train| ends_alike_from_every_state(10, train));
}

#[test]
fn a_student_of_lists_ends_alike_from_every_state() {
    with_student_of_lists(|train| ends_alike_from_every_state(15, train));
}

#[test]
fn a_search_of_sampled_paths_ends_alike_from_every_state() {
    for count in [1, 2] {
        with_warm_up(Paths::Sampled { count }, |train| ends_alike_from_every_state(10, train));
        with_search(Paths::Sampled { count }, |train| ends_alike_from_every_state(10, train));
    }
}

#[test]
fn a_damaged_file_gives_way_to_the_one_before_it() {
    with_student(|train| {
        let folder = tempfile::tempdir().unwrap();
        let keeper = || Keeper::new(folder.path().to_owned(), EVERY_STEP, Stop::never());
        let undisturbed = train(1, &Silent, &mut keeper()).unwrap();
        let files = saved(folder.path()).unwrap();
        let [.., (_, third), (_, cut), (_, flipped)] = &files[..] else { panic!("{files:?}") };
        let mut bytes = fsio::read(flipped).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fsio::write(flipped, &bytes).unwrap();
        let bytes = fsio::read(cut).unwrap();
        fsio::write(cut, &bytes[..bytes.len() / 2]).unwrap();

        let progress = StopAt::new(u64::MAX);
        assert_eq!(train(1, &progress, &mut keeper()).unwrap(), undisturbed);
        let said = progress.said();
        for named in [flipped, cut, third] {
            assert!(said.contains(&named.display().to_string()), "{said}");
        }
        assert!(said.contains("damaged") && said.contains("goes on from"), "{said}");
    });
}

#[test]
fn without_a_readable_file_or_with_one_of_another_training_it_fails_by_name_and_with_the_way_out() {
    with_student(|train| {
        let folder = tempfile::tempdir().unwrap();
        let keeper = || Keeper::new(folder.path().to_owned(), EVERY_STEP, Stop::never());
        train(1, &Silent, &mut keeper()).unwrap();
        let newest = saved(folder.path()).unwrap().pop().unwrap().1;
        let foreign = train(2, &Silent, &mut keeper()).unwrap_err().to_string();
        for (_, path) in saved(folder.path()).unwrap() {
            fsio::write(&path, b"not a checkpoint").unwrap();
        }
        let broken = train(1, &Silent, &mut keeper()).unwrap_err().to_string();
        for (text, problem) in [(foreign, "of another training"), (broken, "no readable checkpoint")] {
            assert!(text.starts_with(&newest.display().to_string()) && text.contains(problem), "{text}");
            assert!(text.contains(&format!("remove {}", folder.path().display())), "{text}");
        }
    });
}

#[test]
fn the_newest_are_kept_and_none_when_the_result_is_there() {
    with_student(|train| {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("checkpoints/fit");
        let settings = CheckpointSettings { every_seconds: 0.0, keep: 3 };
        let mut keeper = Keeper::new(place.clone(), settings, Stop::never());
        train(1, &Silent, &mut keeper).unwrap();
        assert_eq!(steps_in(&place), [13, 14, 15]);
        keeper.clear().unwrap();
        keeper.clear().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[test]
fn after_going_back_the_file_that_could_not_be_read_does_not_push_out_good_ones() {
    with_student(|train| {
        let folder = tempfile::tempdir().unwrap();
        let keep_one = CheckpointSettings { every_seconds: 0.0, keep: 1 };
        let keeper = |stop: &Stop| Keeper::new(folder.path().to_owned(), keep_one, stop.clone());
        let first = StopAt::new(4);
        train(1, &first, &mut keeper(&first.stop)).unwrap_err();
        fsio::write(&folder.path().join("000000000009.safetensors"), b"broken").unwrap();
        let second = StopAt::new(6);
        train(1, &second, &mut keeper(&second.stop)).unwrap_err();
        assert_eq!(steps_in(folder.path()), [6]);
    });
}

#[test]
fn within_the_cadence_only_the_ends_of_epochs_are_saved() {
    with_student(|train| {
        let folder = tempfile::tempdir().unwrap();
        let seldom = CheckpointSettings { every_seconds: 3600.0, keep: 1000 };
        train(1, &Silent, &mut Keeper::new(folder.path().to_owned(), seldom, Stop::never())).unwrap();
        let steps = steps_in(folder.path());
        assert!(steps.first() == Some(&5) && steps.iter().all(|step| step % 5 == 0), "{steps:?}");
    });
}
