//! Whole networks against planted truths.

use crate::{CANDIDATES, context, networks, probed};
use autofas_bench::{
    base::rng,
    price::{
        LayerPrices,
        agreement::{Residual, Shape},
        calibrate::{Calibration, Correction, Evidence, MIN_FACTOR, calibrate},
        choice::Kept,
        observation::Observation,
        path::{Step, step_ms, steps},
        table::{LatencyTable, Operation},
    },
    space::{InputLoad, InputWidths},
};

/// Every network over two input widths, timed as `truth` says of each layer's isolated price.
fn measured(fixed_ms: f64, truth: impl Fn(Step) -> f64) -> Vec<Observation> {
    let table = probed();
    let prices = table.prices(&context(), CANDIDATES).unwrap();
    let inputs = [InputWidths { user: 20.0, item: 50.0 }, InputWidths { user: 40.0, item: 90.0 }];
    let network = |widths: Vec<usize>, input: InputWidths| {
        let layers = steps(&widths).map(|step| truth(step) * step_ms(step, input, &prices).unwrap());
        let measured_ms = fixed_ms + layers.sum::<f64>();
        Observation {
            network: format!("{widths:?} {}", input.user),
            widths,
            input,
            load: InputLoad::default(),
            measured_ms,
            noise_pct: 1.0,
            cold_ms: None,
            origin: 0,
        }
    };
    networks().into_iter().flat_map(|widths| inputs.map(|input| network(widths.clone(), input))).collect()
}

/// Dearer first layers, cheaper inner ones, a fixed part.
fn planted(step: Step) -> f64 {
    match step {
        Step::First { .. } => 1.2,
        Step::Layer { to: 1, .. } => 1.0,
        Step::Layer { .. } => 0.9,
    }
}

fn learn(fitted: &[Observation], held_out: &[Observation]) -> (LatencyTable, Calibration) {
    let evidence = Evidence { context: &context(), candidates: CANDIDATES, fitted, held_out };
    let (table, mut calibrations) = calibrate(&probed(), &[evidence]).unwrap();
    (table, calibrations.remove(0))
}

fn correction(table: &LatencyTable) -> &Correction {
    table.buckets[0].correction.as_ref().unwrap()
}

#[test]
fn planted_factors_are_recovered() {
    let (table, calibration) = learn(&measured(0.05, planted), &[]);
    let found = correction(&table);
    assert!((found.first - 1.2).abs() < 0.02, "{found:?}");
    assert!((found.inner - 0.9).abs() < 0.02, "{found:?}");
    assert!((found.fixed_ms - 0.05).abs() < 0.01, "{found:?}");
    assert_eq!((calibration.choice.kept, calibration.choice.judges), (Kept::Refit, networks().len() * 2));
    assert!(calibration.after.seen.unwrap().mape_pct < 0.5);
    assert!(calibration.before.unseen.unwrap().mape_pct > 8.0);
    assert_eq!((calibration.before.seen, calibration.after.unseen), (None, None));
    assert_eq!(calibration.after.held_out, None);
}

#[test]
fn one_odd_layer_moves_its_own_factor_and_hardly_any_other() {
    let odd = Step::Layer { from: 64, to: 32 };
    let (table, _) = learn(&measured(0.0, |step| if step == odd { 1.25 } else { 1.0 }), &[]);
    let found = correction(&table);
    assert!((found.factor(odd) - 1.25).abs() < 0.05, "{found:?}");
    for known in found.steps.iter().filter(|known| known.step != odd) {
        assert!((known.factor - 1.0).abs() < 0.05, "{known:?}");
    }
}

#[test]
fn networks_that_the_table_never_saw_are_predicted_better_than_before() {
    // Each layer off its class by a deviation of 5 %, each measurement by 1 %.
    let deviations = rng::normals(64, 0.05, &mut rng::generator(3, "layers"));
    let noise = rng::normals(64, 0.01, &mut rng::generator(3, "noise"));
    let truth = |step: Step| {
        let (from, to) = match step {
            Step::First { to } => (0, to),
            Step::Layer { from, to } => (from / 16, to),
        };
        planted(step) * (1.0 + f64::from(deviations[(7 * from + to / 16) % 64]))
    };
    let mut all = measured(0.05, truth);
    all.iter_mut().zip(noise).for_each(|(o, e)| o.measured_ms *= 1.0 + f64::from(e));
    rng::shuffle(&mut all, &mut rng::generator(3, "split"));
    let (fitted, held_out) = all.split_at(9);
    let (table, calibration) = learn(fitted, held_out);
    let (before, after) = (calibration.before.held_out.unwrap(), calibration.after.held_out.unwrap());
    assert_eq!((before.networks, after.networks), (held_out.len(), held_out.len()));
    assert!(after.mape_pct < 0.5 * before.mape_pct, "{before:?} {after:?}");
    assert!(after.within_5_pct > before.within_5_pct);
    assert_eq!((table.version, calibration.after.table), (2, table.id()));
    assert_eq!(table.parents, [probed().id()]);
    assert_eq!(table.buckets[0].observations.len(), 9);
}

#[test]
fn a_held_out_network_that_equals_a_fitted_one_judges_nothing() {
    let all = measured(0.05, planted);
    let (fitted, unseen) = all.split_at(10);
    let twin = Observation { network: "other features, same widths".into(), ..fitted[3].clone() };
    let held_out = [unseen[0].clone(), twin, unseen[1].clone()];
    let (table, calibration) = learn(fitted, &held_out);
    for fit in [&calibration.before, &calibration.after] {
        let judged: Vec<_> = fit.held_out_networks.iter().map(|r| &r.network).collect();
        assert_eq!(judged, [&unseen[0].network, &unseen[1].network]);
    }
    let shapes = |residuals: &[Residual]| residuals.iter().map(|r| r.shape).collect::<Vec<_>>();
    assert_eq!(shapes(&calibration.before.fitted_networks), [Shape::Unseen; 10]);
    assert_eq!(shapes(&calibration.after.fitted_networks), [Shape::Seen; 10]);
    assert_eq!(shapes(&calibration.after.held_out_networks), [Shape::Unseen; 2]);
    // What an earlier round was fitted on stays seen.
    let evidence =
        Evidence { context: &context(), candidates: CANDIDATES, fitted: &unseen[..1], held_out: &held_out };
    let later = calibrate(&table, &[evidence]).unwrap().1.remove(0);
    assert_eq!(later.after.held_out.unwrap().networks, 1);
    // The old table had seen ten of these eleven: only the eleventh is a prediction of it.
    let (seen, unseen) = (later.before.seen.unwrap(), later.before.unseen.unwrap());
    assert_eq!((seen.networks, unseen.networks, later.after.seen.unwrap().networks), (10, 1, 11));
}

#[test]
fn a_layer_that_no_network_held_takes_the_factor_of_its_class() {
    let seen: Vec<_> =
        measured(0.0, planted).into_iter().filter(|o| !o.widths.windows(2).any(|w| w == [16, 32])).collect();
    let (table, _) = learn(&seen, &[]);
    let inner = correction(&table).inner;
    assert!(inner < 0.95);
    let raw = probed().prices(&context(), CANDIDATES).unwrap().layer_ms(16, 32).unwrap();
    let corrected = table.prices(&context(), CANDIDATES).unwrap().layer_ms(16, 32).unwrap();
    assert!((corrected - inner * raw).abs() < 1e-12);
}

#[test]
fn no_price_turns_negative_however_cheap_the_networks_are() {
    for (fixed_ms, factor, kept) in
        [(0.0, 0.01, Kept::Refit), (-0.05, 0.5, Kept::Refit), (0.0, 30.0, Kept::Raw)]
    {
        let mut cheap = measured(fixed_ms, |_| factor);
        // Some contradict the rest, as a disturbed replay would.
        cheap.iter_mut().step_by(5).for_each(|o| o.measured_ms *= 0.1);
        let (table, calibration) = learn(&cheap, &[]);
        assert_eq!(calibration.choice.kept, kept, "{:?}", calibration.choice);
        let found =
            table.buckets[0].correction.clone().unwrap_or_else(|| Correction::as_probed(&table.buckets[0]));
        assert!(found.fixed_ms >= 0.0);
        let prices = table.prices(&context(), CANDIDATES).unwrap();
        for known in &table.buckets[0].entries {
            let (price, step) = match known.operation {
                Operation::Layer { from, to } => (prices.layer_ms(from, to), Step::Layer { from, to }),
                Operation::Call => unreachable!("not probed here"),
                Operation::First { user, item, to } => {
                    let input = InputWidths { user: user as f64, item: item as f64 };
                    (prices.first_ms(input, to).map(|price| price.ms), Step::First { to })
                }
            };
            assert!(price.unwrap() > 0.0, "{}", known.operation);
            assert!(found.factor(step) >= MIN_FACTOR);
        }
    }
}

#[test]
fn later_rounds_build_on_all_observations_whatever_their_order() {
    let all = measured(0.05, planted);
    let (first, second) = all.split_at(10);
    let round = |table: &LatencyTable, fitted: &[Observation]| {
        let evidence = Evidence { context: &context(), candidates: CANDIDATES, fitted, held_out: &[] };
        calibrate(table, &[evidence]).unwrap().0
    };
    let forward = round(&round(&probed(), first), second);
    let backward = round(&round(&probed(), second), first);
    let at_once = round(&probed(), &all);
    assert_eq!(forward.version, 3);
    assert_eq!(forward.buckets, backward.buckets);
    assert_eq!(forward.buckets, at_once.buckets);
    // Measuring a network again replaces its old time instead of counting twice.
    assert_eq!(round(&forward, first).buckets, forward.buckets);
    let slower = Observation { measured_ms: 2.0 * first[0].measured_ms, ..first[0].clone() };
    let known = &round(&forward, std::slice::from_ref(&slower)).buckets[0].observations;
    assert!(known.contains(&slower) && !known.contains(&first[0]) && known.len() == all.len());
}

#[test]
fn a_network_without_raw_prices_or_without_a_time_is_refused() {
    let mut odd = measured(0.0, planted);
    odd.truncate(1);
    let ask = |o: &Observation| {
        let fitted = std::slice::from_ref(o);
        calibrate(
            &probed(),
            &[Evidence { context: &context(), candidates: CANDIDATES, fitted, held_out: &[] }],
        )
        .unwrap_err()
        .to_string()
    };
    odd[0].widths = vec![99];
    assert!(ask(&odd[0]).contains("→ 99"));
    odd[0].widths = vec![16];
    odd[0].measured_ms = 0.0;
    assert!(ask(&odd[0]).contains("no latency"));
}

/// Measurements whose only difference from the probed prices is noise.
fn noisy(networks: usize, seed: u64) -> Vec<Observation> {
    let mut all = measured(0.0, |_| 1.0);
    rng::shuffle(&mut all, &mut rng::generator(seed, "choice"));
    all.truncate(networks);
    let noise = rng::normals(networks, 0.02, &mut rng::generator(seed, "noise"));
    for (observation, noise) in all.iter_mut().zip(noise) {
        observation.measured_ms *= 1.0 + f64::from(noise);
        observation.noise_pct = 2.0;
    }
    all
}

#[test]
fn residuals_of_noise_alone_change_no_price() {
    let kept = |seed| learn(&noisy(9, seed), &[]).1.choice.kept;
    let changed = (0..100).filter(|&seed| kept(seed) != Kept::Raw).count();
    assert!(changed <= 10, "{changed} of 100 learnt noise");
    let unchanged = (0..100).find(|&seed| kept(seed) == Kept::Raw).unwrap();
    let (table, calibration) = learn(&noisy(9, unchanged), &[]);
    assert_eq!((&table.buckets[0].correction, table.buckets[0].observations.len()), (&None, 9));
    let choice = calibration.choice;
    assert!(choice.raw_pct.unwrap() > 0.5 && choice.refit_pct.is_some() && choice.previous_pct.is_none());
}

#[test]
fn a_factor_that_the_networks_share_is_learnt_through_the_noise() {
    for seed in 0..20 {
        let mut fitted = noisy(9, seed);
        fitted.iter_mut().for_each(|o| o.measured_ms *= 1.3);
        let (table, calibration) = learn(&fitted, &[]);
        let choice = calibration.choice;
        assert_eq!(choice.kept, Kept::Refit, "{choice:?}");
        assert!(choice.refit_pct.unwrap() < 0.5 * choice.raw_pct.unwrap(), "{choice:?}");
        assert!(correction(&table).first > 1.1);
    }
}

#[test]
fn a_correction_that_was_learnt_stays_where_new_networks_bear_it_out_and_goes_where_they_do_not() {
    let calibrated = |table: &LatencyTable, fitted: &[Observation]| {
        let evidence = Evidence { context: &context(), candidates: CANDIDATES, fitted, held_out: &[] };
        let (table, mut calibrations) = calibrate(table, &[evidence]).unwrap();
        (table, calibrations.remove(0).choice)
    };
    let all = measured(0.05, planted);
    let (first, second) = all.split_at(20);
    let (learnt, _) = calibrated(&probed(), first);
    let before = learnt.buckets[0].correction.clone();
    // New networks that it predicts to the last digit leave nothing to learn.
    let prices = learnt.prices(&context(), CANDIDATES).unwrap();
    let exact: Vec<_> = second
        .iter()
        .map(|o| Observation { measured_ms: o.predicted_ms(&prices).unwrap(), ..o.clone() })
        .collect();
    let (kept, choice) = calibrated(&learnt, &exact);
    assert_eq!((choice.kept, choice.judges), (Kept::Previous, exact.len()));
    assert!(choice.previous_pct.unwrap() < 1e-9, "{choice:?}");
    assert_eq!(kept.buckets[0].correction, before);
    // Networks that cost what was probed, and many of them, bring the probed prices back.
    let raw = measured(0.0, |_| 1.0)[20..].to_vec();
    let (_, choice) = calibrated(&learnt, &raw);
    assert!(choice.kept != Kept::Previous && choice.raw_pct.unwrap() < 1e-9, "{choice:?}");
}

#[test]
fn a_refit_that_makes_held_out_networks_worse_is_rejected_and_said() {
    // Two populations that no correction serves at once: what is learnt from one is wrong for the other.
    let (dear, plain) = (measured(0.0, |_| 1.3), measured(0.0, |_| 1.0));
    let (fitted, held_out) = (&dear[..20], &plain[20..]);
    let (table, calibration) = learn(fitted, held_out);
    let choice = calibration.choice;
    let rejected = choice.rejected.unwrap();
    assert_eq!((choice.kept, rejected.change, rejected.networks), (Kept::Raw, Kept::Refit, held_out.len()));
    assert!(rejected.before_pct < 1e-9 && rejected.after_pct > 10.0, "{rejected:?}");
    assert_eq!(table.buckets[0].correction, None);
    assert_eq!(table.buckets[0].observations.len(), fitted.len(), "what was measured is kept all the same");
    assert!(choice.to_string().contains("the refit is rejected"), "{choice}");
    let held_out_error = |fit: &autofas_bench::price::calibrate::Fit| fit.held_out.unwrap().mape_pct;
    assert!(held_out_error(&calibration.after) <= held_out_error(&calibration.before));
    // Held-out networks of the same kind bear the refit out.
    let (_, calibration) = learn(fitted, &dear[20..]);
    assert_eq!((calibration.choice.kept, calibration.choice.rejected), (Kept::Refit, None));
}

#[test]
fn held_out_networks_propose_nothing() {
    let fitted = noisy(9, 3);
    let dear: Vec<_> = measured(0.0, |_| 3.0).into_iter().skip(20).collect();
    assert_eq!(learn(&fitted, &[]).1.choice, learn(&fitted, &dear).1.choice);
}
