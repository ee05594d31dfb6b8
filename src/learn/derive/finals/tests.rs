//! Finals in a space that is enumerated, with worths in closed form in place of trainings.

use super::*;
use crate::{
    learn::{derive::fixtures::Toy, settings::Budget},
    price::fixtures::every_choice,
};

const DEEP: [Operator; 2] = [Operator::Mlp(8), Operator::Mlp(8)];

fn of(features: &[usize], operators: [Operator; 2]) -> Subnet {
    Subnet { features: features.to_vec(), operators: operators.to_vec() }
}

/// Finals in `toy` under `budget`, of networks that are worth what `auc` says.
fn played(
    toy: &Toy,
    budget: Option<Budget>,
    first: &Subnet,
    auc: impl Fn(&Subnet) -> f64,
) -> (Subnet, Vec<Finalist>) {
    let prices = toy.prices();
    let limits = budget.map(|budget| toy.limits(&prices, budget));
    let field = Field {
        space: &toy.space,
        prices: &prices,
        theta: &toy.theta,
        limits: limits.as_ref(),
        lambda: 0.0,
        lambda2: 0.0,
    };
    let quality = |subnet: &Subnet| Quality { auc: auc(subnet), logloss: 1.0 - auc(subnet) };
    finals(&field, first.clone(), &mut |subnet| Ok(quality(subnet))).unwrap()
}

/// What features are worth, less something for every layer.
fn shallow_is_better(toy: &Toy) -> impl Fn(&Subnet) -> f64 + '_ {
    |subnet| toy.auc(&of(&subnet.features, DEEP)) - 0.01 * subnet.layer_widths().len() as f64
}

#[test]
fn a_layer_that_training_finds_harmful_goes_and_what_it_cost_is_spent_on_features() {
    for seed in 0..8 {
        let toy = Toy::new(seed);
        let prices = toy.prices();
        let all_ms = toy.all_ms(&toy.limits(&prices, Budget::of_mean(1.0)));
        let budget = Budget::of_mean(all_ms[all_ms.len() / 2]);
        let limits = toy.limits(&prices, budget);
        let first = walked(&toy.space, &toy.theta, &DEEP, budget, &prices).unwrap().unwrap();
        let worth = shallow_is_better(&toy);
        let (found, finalists) = played(&toy, Some(budget), &first, &worth);
        assert_eq!(found.operators, [Operator::Zero; 2], "seed {seed}: {finalists:?}");
        let filled = walked(&toy.space, &toy.theta, &found.operators, budget, &prices).unwrap().unwrap();
        assert_eq!(found.features, filled.features, "seed {seed}");
        assert!(found.features.len() >= first.features.len(), "seed {seed}");
        assert!(finalists.iter().all(|finalist| finalist.price_ms <= budget.limit_ms()), "{finalists:?}");
        assert!(limits.admits(&found).unwrap());
    }
}

#[test]
fn the_end_is_the_best_of_all_layers_where_depth_and_width_are_worth_something_each_by_itself() {
    let toy = Toy::new(1);
    let budget = Budget::of_mean(1e9);
    // One layer is best, and a last one of 8.
    let worth = |subnet: &Subnet| {
        let layers = subnet.layer_widths();
        let last = layers.last().copied().unwrap_or(0) as f64;
        0.7 - 0.01 * (layers.len() as f64 - 1.0).abs() - 0.001 * (last - 8.0).abs()
    };
    let best = every_choice(&toy.space)
        .into_iter()
        .map(|operators| Subnet { features: (0..toy.theta.len()).collect(), operators });
    let most = best.map(|subnet| worth(&subnet)).fold(0.0, f64::max);
    for (wide, deep) in [(16, 8), (4, 4), (8, 4), (16, 4)] {
        let first = of(&[0, 1], [Operator::Mlp(wide), Operator::Mlp(deep)]);
        let (found, finalists) = played(&toy, Some(budget), &first, worth);
        assert_eq!(worth(&found), most, "from {wide}-{deep}: {finalists:?}");
        assert_eq!(finalists[0].subnet, first.id(&toy.space), "the first stands first");
    }
}

#[test]
fn nothing_is_trained_twice_and_the_best_of_all_that_were_trained_is_taken() {
    for seed in 0..8 {
        let toy = Toy::new(seed);
        let budget = Budget::of_mean(2.0);
        let first = of(&[2, 3], DEEP);
        let (found, finalists) = played(&toy, Some(budget), &first, |subnet| toy.auc(subnet));
        let mut ids: Vec<&str> = finalists.iter().map(|finalist| finalist.subnet.as_str()).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
        let most = finalists.iter().map(|finalist| finalist.quality.auc).fold(0.0, f64::max);
        let taken = finalists.iter().find(|finalist| finalist.subnet == found.id(&toy.space)).unwrap();
        assert_eq!(taken.quality.auc, most);
        assert_eq!(taken.features, found.features.len());
        assert_eq!(taken.layers, found.layer_widths());
    }
}

#[test]
fn features_of_the_first_network_stay_ahead_of_others_where_that_is_better() {
    let toy = Toy::new(3);
    // θ puts 4, 5 and 6, which are worth nothing, behind the others; a network that has them is worth most here.
    let prices = toy.prices();
    let first = of(&[4, 6], [Operator::Zero, Operator::Zero]);
    let limits = toy.limits(&prices, Budget::of_mean(1.0));
    let budget = Budget::of_mean(1.0001 * limits.price_ms(&first).unwrap());
    let liked = |subnet: &Subnet| {
        let has = |i: &usize| subnet.features.contains(i);
        0.5 + 0.1 * [4, 6].iter().filter(|i| has(i)).count() as f64
    };
    let (found, _) = played(&toy, Some(budget), &first, liked);
    assert_eq!(found, first);
    let disliked = |subnet: &Subnet| 1.0 - liked(subnet);
    let (found, _) = played(&toy, Some(budget), &first, disliked);
    let by_theta = walked(&toy.space, &toy.theta, &found.operators, budget, &prices).unwrap().unwrap();
    assert_eq!(found, by_theta);
}

#[test]
fn without_a_budget_training_chooses_between_the_given_features_and_as_many_by_theta() {
    let toy = Toy::new(2);
    let by_theta = of_ranking(&toy.space, &toy.theta, DEEP.to_vec(), Extent::Count(2)).unwrap().features;
    let given = vec![5, 6];
    assert!(given.iter().all(|feature| !by_theta.contains(feature)), "{by_theta:?}");
    for liked in [&given, &by_theta] {
        let worth = |subnet: &Subnet| {
            let better = if subnet.features == *liked { 0.05 } else { 0.0 };
            0.6 + better - 0.01 * subnet.layer_widths().len() as f64
        };
        let (found, finalists) = played(&toy, None, &of(&given, DEEP), worth);
        assert_eq!((&found.features, found.operators), (liked, vec![Operator::Zero; 2]));
        assert!(finalists.iter().all(|finalist| finalist.features == 2), "{finalists:?}");
    }
}

#[test]
fn a_memory_cap_holds_under_a_budget() {
    let toy = Toy::new(2);
    let worth = shallow_is_better(&toy);

    let prices = toy.prices();
    let roomy = toy.limits(&prices, Budget::of_mean(1e9));
    let small = of(&[0], DEEP);
    let budget = Budget { memory_mb: Some(roomy.megabytes(&small)), ..Budget::of_mean(1e9) };
    let capped = toy.limits(&prices, budget);
    let (found, _) = played(&toy, Some(budget), &small, &worth);
    assert!(capped.admits(&found).unwrap(), "{found:?}");
}

#[test]
fn without_a_budget_a_layer_is_paid_for_by_what_it_takes_off_the_log_loss() {
    let toy = Toy::new(4);
    let prices = toy.prices();
    let (wide, narrow) =
        (of(&[0, 3], [Operator::Mlp(16), Operator::Zero]), of(&[0, 3], [Operator::Mlp(8), Operator::Zero]));
    let paid_ms = |subnet: &Subnet| Price::of(&toy.space, subnet, &prices).unwrap().paid_ms;
    let dearer_ms = paid_ms(&wide) - paid_ms(&narrow);
    assert!(dearer_ms > 0.0);
    // The wide layer takes 0.01 off the log loss, and the AUC does not tell; every other network is far behind.
    let quality = |subnet: &Subnet| {
        let logloss = match subnet.layer_widths()[..] {
            [16] => 0.49,
            [8] => 0.5,
            _ => 9.0,
        };
        Ok(Quality { auc: 0.7, logloss })
    };
    let taken = |lambda2: f64| {
        let (space, theta) = (&toy.space, &toy.theta);
        let field = Field { space, prices: &prices, theta, limits: None, lambda: 0.0, lambda2 };
        finals(&field, narrow.clone(), &mut |subnet| quality(subnet)).unwrap().0
    };
    assert_eq!(taken(0.99 * 0.01 / dearer_ms), wide);
    assert_eq!(taken(1.01 * 0.01 / dearer_ms), narrow);
}

#[test]
fn without_a_budget_a_feature_is_paid_for_by_what_it_takes_off_the_log_loss() {
    let toy = Toy::new(4);
    let prices = toy.prices();
    let by_theta = of_ranking(&toy.space, &toy.theta, DEEP.to_vec(), Extent::Count(2)).unwrap();
    let given = of(&[5, 6], DEEP);
    let feature_ms = |subnet: &Subnet| Price::of(&toy.space, subnet, &prices).unwrap().feature_ms;
    let dearer_ms = feature_ms(&given) - feature_ms(&by_theta);
    let [dear, cheap] = if dearer_ms > 0.0 { [&given, &by_theta] } else { [&by_theta, &given] };
    // The dear ones take 0.01 off the log loss; other layers are far behind.
    let quality = |subnet: &Subnet| {
        let loss = if subnet.features == dear.features { 0.49 } else { 0.5 };
        Ok(Quality { auc: 0.7, logloss: if subnet.operators == DEEP { loss } else { 9.0 } })
    };
    let taken = |lambda: f64| {
        let (space, theta) = (&toy.space, &toy.theta);
        let field = Field { space, prices: &prices, theta, limits: None, lambda, lambda2: 0.0 };
        finals(&field, given.clone(), &mut |subnet| quality(subnet)).unwrap().0
    };
    assert_eq!(taken(0.99 * 0.01 / dearer_ms.abs()), *dear);
    assert_eq!(taken(1.01 * 0.01 / dearer_ms.abs()), *cheap);
}

#[test]
fn what_a_layer_leaves_is_spent_where_the_first_network_spends_the_whole_budget() {
    let mut cases = 0;
    for seed in 0..8 {
        let toy = Toy::new(seed);
        let prices = toy.prices();
        let all_ms = toy.all_ms(&toy.limits(&prices, Budget::of_mean(1.0)));
        for share in [0.3, 0.5, 0.7] {
            let budget = Budget::of_mean(all_ms[(share * all_ms.len() as f64) as usize]);
            let limits = toy.limits(&prices, budget);
            let Some(first) = walked(&toy.space, &toy.theta, &DEEP, budget, &prices).unwrap() else {
                continue;
            };
            let one_less = with_operator(&first.operators, 1, Operator::Zero);
            let more = walked(&toy.space, &toy.theta, &one_less, budget, &prices).unwrap().unwrap();
            let grown =
                first.features.iter().all(|i| more.features.contains(i)) && more.features != first.features;
            if !grown || !limits.admits(&first).unwrap() {
                continue;
            }
            // A layer is worth something by itself, and a feature more than it.
            let worth = |subnet: &Subnet| {
                0.5 + 0.05 * subnet.features.len() as f64 + 0.01 * subnet.layer_widths().len() as f64
            };
            let (found, finalists) = played(&toy, Some(budget), &first, worth);
            assert!(found.features.len() > first.features.len(), "seed {seed}, {share}: {finalists:?}");
            cases += 1;
        }
    }
    assert!(cases >= 3, "{cases}");
}

#[test]
fn a_budget_is_left_where_training_finds_no_further_feature_worth_having() {
    let toy = Toy::new(3);
    let first = of(&[0, 3], DEEP);
    // Every other feature does harm, and so does every layer.
    let worth = |subnet: &Subnet| {
        let useful = subnet.features.iter().filter(|&&i| i == 0 || i == 3).count() as f64;
        let harmful = subnet.features.len() as f64 - useful;
        0.6 + 0.1 * useful - 0.02 * harmful - 0.01 * subnet.layer_widths().len() as f64
    };
    let (found, finalists) = played(&toy, Some(Budget::of_mean(1e9)), &first, worth);
    assert_eq!(found, of(&[0, 3], [Operator::Zero; 2]), "{finalists:?}");
    assert!(finalists.iter().any(|finalist| finalist.features == toy.theta.len()), "{finalists:?}");
}

#[test]
fn features_of_the_first_network_stay_ahead_where_gates_end_at_0_and_1() {
    let mut toy = Toy::new(3);
    // As smoothed gates end; the repair has taken two features that are closed.
    toy.theta = vec![1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
    let prices = toy.prices();
    let first = of(&[4, 6], [Operator::Mlp(4), Operator::Zero]);
    let limits = toy.limits(&prices, Budget::of_mean(1.0));
    let budget = Budget::of_mean(1.0001 * limits.price_ms(&first).unwrap());
    let worth = |subnet: &Subnet| {
        let kept = [4, 6].iter().filter(|i| subnet.features.contains(i)).count();
        0.5 + 0.1 * kept as f64 - 0.01 * subnet.layer_widths().len() as f64
    };
    let (found, finalists) = played(&toy, Some(budget), &first, worth);
    assert!(found.features.contains(&4) && found.features.contains(&6), "{finalists:?}");
    assert_eq!(found.layer_widths(), [0; 0], "{finalists:?}");
}

#[test]
fn where_a_memory_cap_forbids_more_features_a_layer_goes_all_the_same() {
    let toy = Toy::new(2);
    let prices = toy.prices();
    let first = of(&[0], DEEP);
    let megabytes = toy.limits(&prices, Budget::of_mean(1e9)).megabytes(&first);
    let budget = Budget { memory_mb: Some(megabytes), ..Budget::of_mean(1e9) };
    let (found, finalists) = played(&toy, Some(budget), &first, shallow_is_better(&toy));
    assert!(
        found.layer_widths().is_empty() && toy.limits(&prices, budget).admits(&found).unwrap(),
        "{finalists:?}"
    );
}

#[test]
fn a_network_without_neighbours_is_not_trained() {
    let toy = Toy::new(1);
    let prices = toy.prices();
    let mut space = toy.space.clone();
    space.mixops = vec![vec![Operator::Mlp(8)], vec![Operator::Mlp(4)]];
    let first = of(&[0, 3], [Operator::Mlp(8), Operator::Mlp(4)]);
    let theta = &toy.theta;
    let field = Field { space: &space, prices: &prices, theta, limits: None, lambda: 0.0, lambda2: 0.0 };
    let (found, finalists) =
        finals(&field, first.clone(), &mut |_| panic!("nothing is to be chosen")).unwrap();
    assert_eq!((found, finalists), (first, vec![]));
}
