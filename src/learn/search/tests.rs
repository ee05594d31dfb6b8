use super::*;
use crate::{
    base::progress::Silent,
    data::dataset::{Dataset, Split},
    learn::{
        fixtures::World,
        scalar,
        settings::{Annealing, Gate, GradientBlock},
        values,
    },
};

fn world() -> World {
    World::new(SearchSettings { batch_size: 32, lambda: 0.5, lambda2: 0.25, ..Default::default() })
}

/// A batch of training rows, and one of held-out rows of `data`.
fn batches(world: &World, data: &Dataset) -> Batches {
    let train = Batch::of(&world.loaded.dataset, &world.loaded.split.train[40..72]);
    Batches { train, held_out: Some(Batch::of(data, &world.held_out[..32])) }
}

/// Loss1 and Loss2 at the start of a search with all gates open.
fn losses(world: &World, batches: &Batches, ramp: f64) -> [f64; 2] {
    let search = world.search(1);
    let gates = search.mask.straight_through(vec![1.0; world.space.features.len()]).unwrap();
    let phase = Phase::Search { prices: &world.prices(), ramp, progress: 0.0 };
    let terms = search.terms(batches, &search.every_path(gates), &phase).unwrap();
    [terms.loss1.unwrap(), terms.loss2].map(|loss| scalar(&loss).unwrap())
}

/// Values of all parameters that a search chooses with (θ and α), or of all others.
fn bits(search: &Search, choices: bool) -> Vec<u32> {
    let chosen = search.params.iter().filter(|(name, _)| {
        (*name == crate::learn::mask::THETA || name.starts_with(crate::learn::supernet::ALPHA)) == choices
    });
    chosen.flat_map(|(_, var)| values(var).unwrap()).map(f32::to_bits).collect()
}

#[test]
fn the_warm_up_moves_weights_and_leaves_theta_and_alpha_bit_for_bit() {
    let world = world();
    let mut search = world.search(1);
    let before = [true, false].map(|choices| bits(&search, choices));
    search.warm_up(&Silent, &mut Keeper::none()).unwrap();
    assert_eq!(bits(&search, true), before[0]);
    assert_ne!(bits(&search, false), before[1]);
    search.run(&world.prices(), &Silent, &mut Keeper::none()).unwrap();
    assert_ne!(bits(&search, true), before[0]);
}

/// The gradient of an embedding never stands in a graph, so only its bits can tell that nothing moved it.
#[test]
fn a_search_changes_no_bit_of_the_teacher_and_its_embeddings() {
    for block in [GradientBlock::On, GradientBlock::Off] {
        let mut world = world();
        world.settings.gradient_block = block;
        let bits = || -> Vec<(String, Vec<u32>)> {
            let of = |var| values(var).unwrap().into_iter().map(f32::to_bits).collect();
            world.teacher.params().iter().map(|(name, var)| (name.to_owned(), of(var))).collect()
        };
        let before = bits();
        assert!(before.iter().any(|(name, _)| name.starts_with(crate::learn::embedding::EMBEDDING)));
        let mut search = world.search(1);
        search.warm_up(&Silent, &mut Keeper::none()).unwrap();
        search.run(&world.prices(), &Silent, &mut Keeper::none()).unwrap();
        assert_eq!(bits(), before, "{block:?}");
    }
}

#[test]
fn masks_are_judged_on_held_out_rows_and_the_supernet_learns_from_the_others() {
    let world = world();
    let [loss1, loss2] = losses(&world, &batches(&world, &world.loaded.dataset), 1.0);
    let mut flipped = world.loaded.dataset.clone();
    world.held_out.iter().for_each(|&row| {
        let label = &mut flipped.labels.to_mut()[row as usize];
        *label = 1.0 - *label;
    });
    let [other1, other2] = losses(&world, &batches(&world, &flipped), 1.0);
    assert_eq!(loss2, other2);
    assert!((loss1 - other1).abs() > 1e-3, "{loss1} {other1}");
}

#[test]
fn latency_enters_the_losses_with_its_ramp() {
    let world = world();
    let batches = batches(&world, &world.loaded.dataset);
    let [free1, free2] = losses(&world, &batches, 0.0);
    let [half1, half2] = losses(&world, &batches, 0.5);
    let [full1, full2] = losses(&world, &batches, 1.0);
    let search = world.search(1);
    let p = probability_values(&search.supernet.probabilities().unwrap()).unwrap();
    let theta = search.mask.theta_values().unwrap();
    let expected = world.prices().expected(&world.space, &theta, &p).unwrap();
    let [paid1, paid2] = [0.5 * expected.total_ms(), 0.25 * expected.network.ms];
    for (found, wanted) in [
        (full1 - free1, paid1),
        (full2 - free2, paid2),
        (half1 - free1, paid1 / 2.0),
        (half2 - free2, paid2 / 2.0),
    ] {
        assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
    }
}

#[test]
fn relaxed_gates_harden_as_the_temperature_falls_geometrically() {
    let mut world = world();
    let schedule = Annealing::Geometric;
    world.settings.gate = Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.25, schedule };
    let mut search = world.search(1);
    let mut logits = |progress| -> Vec<f32> {
        search.mask.anneal(progress);
        let gates = search.mask.draw(&mut rng::generator(1, "gates")).unwrap();
        values(&gates).unwrap().iter().map(|g| (g / (1.0 - g)).ln()).collect()
    };
    let first = logits(0.0);
    // The logit of a gate is its noise over the temperature: 1, then √(1·0.25), then 0.25.
    for (progress, factor) in [(0.5, 2.0), (1.0, 4.0)] {
        for (start, later) in first.iter().zip(logits(progress)) {
            assert!((later - factor * start).abs() < 1e-2 * later.abs(), "{progress}: {start} {later}");
        }
    }
}

#[test]
fn a_search_goes_on_from_a_saved_warm_up_as_from_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("warm.safetensors");
    let world = world();
    let mut first = world.search(1);
    first.warm_up(&Silent, &mut Keeper::none()).unwrap();
    first.save(&path).unwrap();
    let outcome = first.run(&world.prices(), &Silent, &mut Keeper::none()).unwrap();
    let mut second = world.search(1);
    second.load(&path).unwrap();
    assert_eq!(second.run(&world.prices(), &Silent, &mut Keeper::none()).unwrap(), outcome);
    assert_eq!(bits(&second, false), bits(&first, false));
}

#[test]
fn theta_starts_where_the_settings_say() {
    let mut world = world();
    world.settings.theta_start = 0.8;
    let theta = world.search(1).mask.theta_values().unwrap();
    assert!(theta.iter().all(|t| (t - 0.8).abs() < 1e-6), "{theta:?}");
}

#[test]
fn an_empty_list_of_held_out_rows_is_refused() {
    let world = world();
    let refused = Search::new(&world.space, Scene { held_out: Some(&[]), ..world.scene(1) });
    assert!(refused.err().unwrap().to_string().contains("no rows are held out"));
}

#[test]
fn partition_shares_are_exact_for_more_rows_than_a_single_can_add_up() {
    let rows = 3_000_000;
    let data =
        Dataset { partitions: vec![0; rows as usize].into(), partition_count: 2, ..Dataset::default() };
    let split = Split { train: (0..rows).collect(), valid: vec![].into() };
    assert_eq!(partition_shares(Rows::alone(&data, &split)), [1.0, 0.0]);
}
