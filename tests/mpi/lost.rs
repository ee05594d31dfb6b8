//! Ranks that are lost or give up: the job ends with a message, and what was kept is gone on with.

use crate::{
    BATCH, FOLDER, STEPS, TOLERANCE,
    launch::{ends, ranks_of, succeed},
    some, tensors, worst,
};
use autofas_bench::{
    base::{
        progress::{Progress, Silent},
        stop::Stop,
    },
    data::{
        dataset::Split,
        load_table,
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    learn::{
        checkpoint::{CheckpointSettings, Keeper},
        embedding::input_features,
        exchange::{Alone, Exchange, join},
        settings::TrainSettings,
        student::{Lesson, Student},
        train::{Rows, Trainable, fit},
    },
};
use std::{fs, path::Path, process::Command};

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_may_be_lost() {
    let ranks = join().unwrap();
    for step in 0.. {
        ranks.sum(&mut vec![1.0; 1000]);
        if step == 10 && ranks.place().rank == 1 {
            Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
        }
    }
}

/// Trains a student and keeps its state after every step.
fn train_with_checkpoints(ranks: &dyn Exchange, folder: &Path, progress: &dyn Progress) {
    let log = synth::generate(&SynthSettings { requests: 300, ..SynthSettings::default() }).unwrap();
    let by_chance = SplitSettings::Shuffle { valid_fraction: 0.2 };
    let loaded = load_table(&log.schema, &log.table, &by_chance, 1).unwrap();
    let split = Split { train: some(&loaded.split.train, STEPS).into(), valid: loaded.split.valid.clone() };
    let every: Vec<usize> = (0..log.schema.features.len()).collect();
    let features = input_features(&log.schema.features, &every, &loaded.dataset).unwrap();
    let settings = TrainSettings { batch_size: BATCH, max_epochs: 1, ..TrainSettings::default() };
    let mut student = Student::new(features, &[32, 16], &settings, Lesson::Labels, 6).unwrap();
    let mut keeper = match ranks.leads() {
        true => {
            let every_step = CheckpointSettings { every_seconds: 0.0, ..CheckpointSettings::default() };
            Keeper::new(folder.join("checkpoints"), every_step, Stop::never())
        }
        false => Keeper::none(),
    };
    let rows = Rows { data: &loaded.dataset, split: &split, ranks };
    fit(&mut student, rows, &settings, 6, progress, &mut keeper).unwrap();
    if ranks.leads() {
        student.params().save(&folder.join("student.safetensors")).unwrap();
    }
}

/// Loses its process at a step.
struct Losing {
    at_step: u64,
}

impl Progress for Losing {
    fn stage(&self, _: &str, _: u64) {}

    fn advance(&self, done: u64, _: &str) {
        if done == self.at_step {
            Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
        }
    }

    fn say(&self, _: &str) {}
}

/// The step at which [`rank_that_keeps_its_state`] loses rank 1.
const LOSE_AT: &str = "AUTOFAS_BENCH_TEST_LOSE_AT";

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_keeps_its_state() {
    let folder = std::env::var(FOLDER).unwrap();
    let ranks = join().unwrap();
    let lost = std::env::var(LOSE_AT).ok().filter(|_| ranks.place().rank == 1);
    let at_step = lost.map_or(u64::MAX, |step| step.parse().unwrap());
    train_with_checkpoints(&*ranks, folder.as_ref(), &Losing { at_step });
}

#[test]
fn after_a_lost_rank_another_number_of_ranks_goes_on_from_the_last_checkpoint() {
    let undisturbed = tempfile::tempdir().unwrap();
    train_with_checkpoints(&Alone, undisturbed.path(), &Silent);
    let wanted = tensors(&undisturbed.path().join("student.safetensors"));
    for ranks in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = ranks_of("lost::rank_that_keeps_its_state", 2);
        command.env(FOLDER, folder.path()).env(LOSE_AT, "9");
        ends(command);
        let kept = fs::read_dir(folder.path().join("checkpoints")).unwrap();
        let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).max().unwrap();
        assert!(("000000000008"..="000000000011").contains(&kept.split('.').next().unwrap()), "{kept}");
        let mut command = ranks_of("lost::rank_that_keeps_its_state", ranks);
        command.env(FOLDER, folder.path());
        succeed(command);
        let found = tensors(&folder.path().join("student.safetensors"));
        let (difference, place) = worst(&found, &wanted);
        assert!(difference <= TOLERANCE, "{ranks} ranks: {place}");
    }
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_may_panic() {
    let ranks = join().unwrap();
    assert_eq!(ranks.place().rank, 0, "rank 1 gives up");
    ranks.sum(&mut vec![1.0; 1000]);
}

#[test]
fn a_lost_rank_ends_the_job_with_a_message() {
    let (_, said) = ends(ranks_of("lost::rank_that_may_be_lost", 2));
    assert!(said.contains("rank 1") && said.contains("signal 9"), "{said}");
}

#[test]
fn a_rank_that_panics_ends_the_job() {
    let (_, said) = ends(ranks_of("lost::rank_that_may_panic", 2));
    assert!(said.contains("rank 1 gives up"), "{said}");
}
