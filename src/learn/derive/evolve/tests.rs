//! Evolution in a space that is enumerated.

use super::*;
use crate::{
    base::progress::Silent,
    learn::{derive::fixtures::Toy, settings::Budget},
};

fn settings() -> EvolutionSettings {
    EvolutionSettings { population: 30, generations: 20, parents: 10, mutation: 0.25 }
}

#[test]
fn evolution_finds_the_best_network_of_the_enumeration() {
    let (mut cases, mut best) = (0, 0);
    for seed in 0..6 {
        let toy = Toy::new(seed);
        let prices = toy.prices();
        let all_ms = toy.all_ms(&toy.limits(&prices, Budget::of_mean(1.0)));
        let mut known = Known::new(&toy);
        for share in [0.05, 0.3, 0.6] {
            let limits = toy.limits(&prices, Budget::of_mean(all_ms[(share * all_ms.len() as f64) as usize]));
            let found = evolve(&limits, &mut known, &settings(), seed, &Silent).unwrap();
            assert!(limits.admits(&found.subnet).unwrap());
            let (reached, most) = (toy.auc(&found.subnet), toy.best(&limits));
            assert!(reached > most - 0.02, "seed {seed}, {share}: {reached}, not {most}");
            cases += 1;
            best += usize::from(reached > most - 1e-6);
        }
    }
    assert!(best * 10 >= cases * 9, "the very best in {best} of {cases}");
}

#[test]
fn generations_never_get_worse_and_a_seed_repeats_whatever_is_known_already() {
    let toy = Toy::new(1);
    let prices = toy.prices();
    let all_ms = toy.all_ms(&toy.limits(&prices, Budget::of_mean(1.0)));
    let limits = toy.limits(&prices, Budget::of_mean(all_ms[all_ms.len() / 3]));
    let mut known = Known::new(&toy);
    let first = evolve(&limits, &mut known, &settings(), 7, &Silent).unwrap();
    assert!(first.generations.windows(2).all(|pair| pair[0].auc <= pair[1].auc), "{:?}", first.generations);
    assert_eq!(first.generations.len(), 21);
    assert_eq!(evolve(&limits, &mut known, &settings(), 7, &Silent).unwrap(), first);
    let other = evolve(&limits, &mut Known::new(&toy), &settings(), 8, &Silent).unwrap();
    assert_ne!(other.generations, first.generations);
}

#[test]
fn must_keep_never_the_memory_cap_and_a_budget_for_one_network_are_kept() {
    let mut toy = Toy::new(2);
    toy.space.features[6].must_keep = true;
    toy.space.features[0].never = true;
    let prices = toy.prices();
    let loose = toy.limits(&prices, Budget::of_mean(1e3));
    let found = evolve(&loose, &mut Known::new(&toy), &settings(), 1, &Silent).unwrap().subnet;
    assert!(found.features.contains(&6) && !found.features.contains(&0), "{found:?}");
    let cap = 0.6 * loose.megabytes(&found);
    let capped = toy.limits(&prices, Budget { memory_mb: Some(cap), ..Budget::of_mean(1e3) });
    let small = evolve(&capped, &mut Known::new(&toy), &settings(), 1, &Silent).unwrap().subnet;
    assert!(loose.megabytes(&small) <= cap);

    let cheapest = cheapest(&toy.space, &prices).unwrap();
    let least_ms = loose.price_ms(&cheapest).unwrap();
    let tight = toy.limits(&prices, Budget::of_mean(least_ms));
    let only = evolve(&tight, &mut Known::new(&toy), &settings(), 1, &Silent).unwrap();
    assert_eq!((only.subnet, only.price_ms), (cheapest, least_ms));
    let nothing = toy.limits(&prices, Budget::of_mean(0.99 * least_ms));
    let refused = evolve(&nothing, &mut Known::new(&toy), &settings(), 1, &Silent).unwrap_err();
    assert!(refused.to_string().contains("the cheapest network f1"), "{refused}");
}
