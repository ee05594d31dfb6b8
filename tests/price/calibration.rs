//! Whole networks against planted truths.

use crate::{CANDIDATES, context, networks, probed};
use autofas_bench::{
    base::rng,
    price::{
        LayerPrices,
        calibrate::{Calibration, Correction, Evidence, MIN_FACTOR, calibrate},
        observation::Observation,
        path::{Step, step_ms, steps},
        table::{LatencyTable, Operation},
    },
    space::InputWidths,
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
            measured_ms,
            noise_pct: 1.0,
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
    assert!(calibration.after.fitted.unwrap().mape_pct < 0.5);
    assert!(calibration.before.fitted.unwrap().mape_pct > 8.0);
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
    // What an earlier round was fitted on stays seen.
    let evidence =
        Evidence { context: &context(), candidates: CANDIDATES, fitted: &unseen[..1], held_out: &held_out };
    let later = calibrate(&table, &[evidence]).unwrap().1.remove(0);
    assert_eq!(later.after.held_out.unwrap().networks, 1);
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
    for (fixed_ms, factor) in [(0.0, 0.01), (-0.05, 0.5), (0.0, 30.0)] {
        let mut cheap = measured(fixed_ms, |_| factor);
        // Some contradict the rest, as a disturbed replay would.
        cheap.iter_mut().step_by(5).for_each(|o| o.measured_ms *= 0.1);
        let (table, _) = learn(&cheap, &[]);
        let found = correction(&table);
        assert!(found.fixed_ms >= 0.0);
        let prices = table.prices(&context(), CANDIDATES).unwrap();
        for known in &table.buckets[0].entries {
            let (price, step) = match known.operation {
                Operation::Layer { from, to } => (prices.layer_ms(from, to), Step::Layer { from, to }),
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
