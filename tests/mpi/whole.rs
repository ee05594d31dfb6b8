//! Trainings to their ends: several ranks come as far as one does.
//!
//! The AUCs may not differ by more than those of several seeds, nor even by a hundredth of that: where gradients of some ranks are
//! lost, a training still learns, from fewer rows a step, and ends no farther from the right one than another seed does.

use crate::{
    FOLDER, LINEAR,
    launch::{ranks_of, succeed},
};
use autofas_bench::{
    base::progress::Silent,
    data::{
        dataset::Split,
        load_table,
        split::{SplitSettings, hold_out},
        synth::{self, SynthSettings},
    },
    learn::{
        checkpoint::Keeper,
        derive::derive,
        embedding::input_features,
        exchange::{Alone, Exchange, join},
        price_term::Prices,
        search::{Scene, Search},
        settings::{DeriveSettings, RowRule, SearchSettings, TeacherSettings, TrainSettings},
        student::{Lesson, Student},
        teacher::Teacher,
        train::{Rows, fit, score_together},
    },
    price::target::MeanService,
    space::{Operator, SearchSpace},
};
use std::{fs, path::Path};

/// Rows per step, of which the ranks get unequal shares.
const BATCH: usize = 117;
/// What numbers of ranks may differ by, of what seeds do.
const SHARE_OF_SPREAD: f64 = 0.01;

/// What is trained, in the order of [`aucs`].
const NETWORKS: [&str; 2] = ["teacher", "derived network"];

/// Trains a teacher with early stopping, searches, and trains the derived network with the teacher's scores. The validation AUCs
/// that both end with. The rows are the same for every `seed`.
fn aucs(ranks: &dyn Exchange, seed: u64) -> [f64; 2] {
    let log = synth::generate(&SynthSettings { requests: 400, ..SynthSettings::default() }).unwrap();
    let by_chance = SplitSettings::Shuffle { valid_fraction: 0.4 };
    let loaded = load_table(&log.schema, &log.table, &by_chance, 1).unwrap();
    let (data, split) = (loaded.dataset, loaded.split);
    let parts = hold_out(&split.train, 0.2, 1).unwrap();
    let held_out: Vec<u32> = parts.taken().collect();
    let seen = Split { train: parts.rest().collect(), valid: split.valid.clone() };
    let features = |chosen: &[usize]| input_features(&log.schema.features, chosen, &data).unwrap();
    let train = TrainSettings {
        batch_size: BATCH,
        max_epochs: 4,
        dropout: 0.0,
        learning_rate: 0.01,
        // Whose quotients a sum in another order moves least: Adagrad's first step has its full length at any gradient above 1e-10.
        embedding_optimizer: RowRule::Adam,
        embedding_learning_rate: 0.01,
        ..TrainSettings::default()
    };

    let every: Vec<usize> = (0..log.schema.features.len()).collect();
    let settings = TeacherSettings {
        shared: vec![32],
        partition: vec![16],
        train: train.clone(),
        ..TeacherSettings::default()
    };
    let mut teacher = Teacher::new(features(&every), data.partition_count, &settings, seed).unwrap();
    let rows = Rows { data: &data, split: &seen, ranks };
    let of_teacher = fit(&mut teacher, rows, &train, seed, &Silent, &mut Keeper::none()).unwrap();

    let rows = Rows { data: &data, split: &split, ranks };
    let all: Vec<u32> = (0..data.rows() as u32).collect();
    let soft = score_together(&teacher, rows, &all).unwrap();
    let operators = [Operator::Mlp(32), Operator::Mlp(16), Operator::Zero];
    let space = SearchSpace::new(log.schema.features.clone(), vec![operators.to_vec(); 2]).unwrap();
    let settings = SearchSettings { epochs: 2, warmup_epochs: 1, batch_size: BATCH, ..Default::default() };
    let scene =
        Scene { rows, held_out: Some(&held_out), teacher: &teacher, soft: &soft, settings: &settings, seed };
    let mut search = Search::new(&space, scene).unwrap();
    search.warm_up(&Silent, &mut Keeper::none()).unwrap();
    let prices = Prices::declared(&log.schema, &LINEAR, &MeanService);
    let outcome = search.run(&prices, &Silent, &mut Keeper::none()).unwrap();
    let subnet = derive(&space, &outcome, &DeriveSettings::TopK { k: 13 }, &prices).unwrap();

    let lesson = Lesson::Distilled { teacher: &soft, lambda1: 0.3 };
    let mut student =
        Student::new(features(&subnet.features), &subnet.layer_widths(), &train, lesson, seed).unwrap();
    let of_student = fit(&mut student, rows, &train, seed, &Silent, &mut Keeper::none()).unwrap();
    [of_teacher, of_student].map(|report| report.metrics.auc.unwrap())
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_trains_to_the_end() {
    let folder = std::env::var(FOLDER).unwrap();
    let ranks = join().unwrap();
    let found = aucs(&*ranks, 1);
    if ranks.leads() {
        fs::write(Path::new(&folder).join("aucs.json"), serde_json::to_vec(&found).unwrap()).unwrap();
    }
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
}

#[test]
fn final_aucs_differ_far_less_between_numbers_of_ranks_than_between_seeds() {
    let by_seed: Vec<[f64; 2]> = (1..=5).map(|seed| aucs(&Alone, seed)).collect();
    let by_ranks = [1, 2, 4].map(|ranks| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = ranks_of("whole::rank_that_trains_to_the_end", ranks);
        command.env(FOLDER, folder.path());
        succeed(command);
        let found: [f64; 2] =
            serde_json::from_slice(&fs::read(folder.path().join("aucs.json")).unwrap()).unwrap();
        found
    });
    println!("AUCs of five seeds: {by_seed:?}; on 1, 2 and 4 ranks: {by_ranks:?}");
    for (network, name) in NETWORKS.iter().enumerate() {
        let of = |all: &[[f64; 2]]| spread(all.iter().map(|aucs| aucs[network]));
        let (seeds, ranks) = (of(&by_seed), of(&by_ranks));
        println!("{name}: {ranks:.1e} between numbers of ranks, {seeds:.1e} between seeds");
        assert!(ranks <= SHARE_OF_SPREAD * seeds, "{name}: {by_ranks:?} on 1, 2 and 4 ranks");
        assert!(by_ranks[0][network] > 0.55, "{name} learns: {by_ranks:?}");
    }
}
