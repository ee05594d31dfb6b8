use super::*;
use crate::{
    base::progress::Silent,
    data::dataset::Dataset,
    learn::{
        derive::Judge,
        fixtures::World,
        metrics::Placements,
        scalar,
        settings::{Annealing, Gate, GradientBlock, Multiplier, RateSchedule, RateShape},
        values,
    },
    space::{Operator, Subnet},
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
    let phase = Phase::Search { prices: &world.prices(), share: ramp, progress: 0.0 };
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

/// All gates of a subnet open and all mass on its operators, by hand.
fn logits(search: &Search, world: &World, subnet: &Subnet, rows: &[u32]) -> Vec<f32> {
    let gates = (0..world.space.features.len()).map(|i| f32::from(u8::from(subnet.features.contains(&i))));
    let gates =
        candle_core::Tensor::from_iter(gates, &candle_core::Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let embedded = world.teacher.embed(&Batch::of(&world.loaded.dataset, rows)).unwrap();
    let input = crate::learn::teacher::masked(&world.teacher, &embedded, &gates).unwrap();
    let p: Vec<_> = world
        .space
        .mixops
        .iter()
        .zip(&subnet.operators)
        .map(|(operators, chosen)| {
            let mass = operators.iter().map(|operator| f32::from(u8::from(operator == chosen)));
            candle_core::Tensor::from_iter(mass, &candle_core::Device::Cpu).unwrap()
        })
        .collect();
    values(&search.supernet.forward(&input, &p).unwrap()).unwrap()
}

#[test]
fn a_subnet_is_judged_by_its_own_weights_on_its_own_features_and_on_the_given_rows_alone() {
    let world = world();
    let search = world.search(1);
    crate::learn::fixtures::scramble(&search.params);
    let rows = &world.held_out;
    let subnet = |features: &[usize], operators: [Operator; 2]| Subnet {
        features: features.to_vec(),
        operators: operators.to_vec(),
    };
    let (six, four, zero) = (Operator::Mlp(6), Operator::Mlp(4), Operator::Zero);
    let mut seen = Vec::new();
    for subnet in [
        subnet(&[0, 3, 5], [six, zero]),
        subnet(&[0, 3], [six, zero]),
        subnet(&[0, 3, 5], [four, Operator::Mlp(5)]),
        subnet(&[0, 3, 5], [zero, zero]),
    ] {
        let labels: Vec<f32> = rows.iter().map(|&r| world.loaded.dataset.labels[r as usize]).collect();
        let wanted = Placements::of(&logits(&search, &world, &subnet, rows), &labels).unwrap();
        let found = search.judge(rows).unwrap().placements(&subnet).unwrap();
        assert_eq!(found, wanted, "{subnet:?}");
        seen.push(found);
    }
    assert!((1..seen.len()).all(|i| seen[i] != seen[0]), "features and operators make no difference");
    let one_label: Vec<u32> =
        rows.iter().copied().filter(|&row| world.loaded.dataset.labels[row as usize] > 0.5).collect();
    let refused = search.judge(&one_label).unwrap().placements(&subnet(&[0], [six, zero])).unwrap_err();
    assert!(refused.to_string().contains("one label only"), "{refused}");
}

/// Searches with λ = λ2 for long enough to settle.
fn searched(lambda: f64, multiplier: Multiplier, budget_ms: Option<f64>) -> Vec<SearchEpoch> {
    searched_with(lambda, multiplier, budget_ms, |_| ())
}

/// The same with other settings.
fn searched_with(
    lambda: f64,
    multiplier: Multiplier,
    budget_ms: Option<f64>,
    change: impl FnOnce(&mut SearchSettings),
) -> Vec<SearchEpoch> {
    let mut world = world();
    world.settings = SearchSettings {
        epochs: 40,
        batch_size: 16,
        theta_learning_rate: 0.1,
        alpha_learning_rate: 0.05,
        lambda,
        lambda2: lambda,
        multiplier,
        ..world.settings
    };
    change(&mut world.settings);
    let prices = Prices { budget_ms, ..world.prices() };
    world.search(1).run(&prices, &Silent, &mut Keeper::none()).unwrap().epochs
}

/// What a search comes to that pays for no latency, in ms.
fn unpaid_ms() -> f64 {
    searched(0.0, Multiplier::Fixed, None).last().unwrap().expected_ms
}

/// What the cheapest network costs, in ms.
fn least_ms() -> f64 {
    let world = world();
    let cheapest = crate::learn::derive::cheapest(&world.space, &world.prices()).unwrap();
    crate::learn::derive::Price::of(&world.space, &cheapest, &world.prices()).unwrap().total_ms()
}

#[test]
fn dual_ascent_brings_the_expected_latency_to_a_budget_below_what_an_unpaid_search_takes() {
    let unpaid_ms = unpaid_ms();
    let least_ms = least_ms();
    assert!(least_ms < 0.9 * unpaid_ms, "no room between {least_ms} and {unpaid_ms}");
    for share in [0.3, 0.6, 0.9] {
        let budget_ms = least_ms + share * (unpaid_ms - least_ms);
        let epochs = searched(0.02, Multiplier::default(), Some(budget_ms));
        for epoch in &epochs[epochs.len() - 5..] {
            let off = epoch.expected_ms / budget_ms - 1.0;
            assert!(off.abs() < 0.05, "{share}: {off} with λ {} after epoch {}", epoch.lambda, epoch.epoch);
            assert_eq!(epoch.lambda, epoch.lambda2);
        }
    }
}

#[test]
fn a_budget_that_an_unpaid_search_keeps_lets_lambda_fall_to_its_least() {
    let unpaid_ms = unpaid_ms();
    let epochs = searched(0.02, Multiplier::default(), Some(1.5 * unpaid_ms));
    let last = epochs.last().unwrap();
    assert!(last.lambda <= 0.02 * (-8f64).exp(), "{}", last.lambda);
    // A λ as small as that is paid by nobody.
    assert!((last.expected_ms / unpaid_ms - 1.0).abs() < 0.05, "{} {unpaid_ms}", last.expected_ms);
}

#[test]
fn a_fixed_multiplier_stays_and_without_a_budget_a_dual_one_does_too() {
    let epochs = searched(0.02, Multiplier::Fixed, Some(0.1));
    assert!(epochs.iter().all(|epoch| epoch.lambda == 0.02 && epoch.lambda2 == 0.02));
    let world = world();
    let free = world.search(1).run(&world.prices(), &Silent, &mut Keeper::none()).unwrap();
    assert_eq!(free.epochs.last().unwrap().lambda, 0.5);
    assert_eq!(free.epochs.last().unwrap().lambda2, 0.25);
}

/// As temperature or ε falls, gates hold the budget feature by feature: what is then left of it is for the repair to fill.
#[test]
fn gates_that_harden_end_within_the_budget_too() {
    let (least_ms, unpaid_ms) = (least_ms(), unpaid_ms());
    let schedule = Annealing::Geometric;
    for gate in [
        Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.1, schedule },
        Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 1e-5, schedule },
    ] {
        for share in [0.3, 0.6, 0.9] {
            let budget_ms = least_ms + share * (unpaid_ms - least_ms);
            let set = |settings: &mut SearchSettings| settings.gate = gate;
            let epochs = searched_with(0.02, Multiplier::default(), Some(budget_ms), set);
            let off = epochs.last().unwrap().expected_ms / budget_ms - 1.0;
            assert!((-0.25..0.05).contains(&off), "{gate:?}, {share}: {off}");
        }
    }
}

/// While θ and α rest, the expected latency cannot answer to λ, and what it is above the budget must not add up.
#[test]
fn a_budget_is_held_by_what_begins_late_and_ends_slowly() {
    let budget_ms = least_ms() + 0.6 * (unpaid_ms() - least_ms());
    let schedule = RateSchedule { begin: 0.3, shape: RateShape::Cosine, end: 0.05, ..RateSchedule::CONSTANT };
    let epochs =
        searched_with(0.02, Multiplier::Dual { rate: 8.0, damping: 0.0 }, Some(budget_ms), |settings| {
            settings.theta_schedule = schedule;
            settings.alpha_schedule = schedule;
        });
    assert!(epochs[..12].iter().all(|epoch| epoch.expected_ms == epochs[0].expected_ms));
    assert!(epochs[..12].iter().all(|epoch| epoch.lambda == 0.02), "{:?}", epochs[11]);
    let damped = searched_with(0.02, Multiplier::default(), Some(budget_ms), |settings| {
        settings.theta_schedule = schedule;
        settings.alpha_schedule = schedule;
    });
    for epoch in &damped[damped.len() - 5..] {
        let off = epoch.expected_ms / budget_ms - 1.0;
        assert!(off.abs() < 0.05, "{off} with λ {} after epoch {}", epoch.lambda, epoch.epoch);
    }
}
