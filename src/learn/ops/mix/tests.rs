use super::*;
use crate::learn::ops::fixtures::{assert_close, gradients, leaf};
use candle_core::Device;
use proptest::prelude::*;

/// Entries of `widths` (the last one fixed if asked for), and operators of which only `alive` take part. Every operator
/// with an entry of its own width gets that entry passed on.
fn plan(entries: &[usize], operators: &[usize], alive: &[bool], fixed: bool) -> Plan {
    let (mut column, mut weight_row) = (0, 0);
    let incoming = entries.iter().enumerate().map(|(j, &width)| {
        let last = fixed && j + 1 == entries.len();
        let source = if last { Source::Fixed } else { Source::Moving };
        let incoming = Incoming { source, column: if last { 0 } else { column }, width, weight_row };
        column += width;
        weight_row += width + 1;
        incoming
    });
    let incoming: Vec<Incoming> = incoming.collect();
    let mut weight_column = 0;
    let mut outgoing = Vec::new();
    for (&width, &alive) in operators.iter().zip(alive) {
        if alive {
            let passed = entries.iter().position(|&entry| entry == width);
            outgoing.push(Outgoing { weight_column, width, passed });
        }
        weight_column += width;
    }
    Plan { incoming, outgoing }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn values_and_gradients_are_those_of_plain_candle(
        rows in prop::sample::select(vec![1usize, 6, 256, 300, 515]),
        entries in prop::collection::vec(1usize..12, 1..11),
        operators in prop::collection::btree_set(1usize..12, 1..5),
        dead in prop::collection::vec(any::<bool>(), 5),
        fixed: bool, constant: bool,
    ) {
        let operators: Vec<usize> = operators.into_iter().collect();
        let mut alive: Vec<bool> = operators.iter().zip(&dead).map(|(_, dead)| !dead).collect();
        alive[0] |= alive.iter().all(|alive| !alive);
        let fixed_width = if fixed && entries.len() > 1 { *entries.last().unwrap() } else { 0 };
        let plan = plan(&entries, &operators, &alive, fixed_width > 0);
        let moving_width = entries.iter().sum::<usize>() - fixed_width;
        let x = leaf("x", (rows, moving_width));
        let input = if constant { x.as_tensor().detach() } else { x.as_tensor().clone() };
        let held = (fixed_width > 0).then(|| leaf("fixed", (rows, fixed_width)).as_tensor().detach());
        let weights = leaf("w", (entries.iter().map(|w| w + 1).sum::<usize>(), operators.iter().sum::<usize>()));
        let count = plan.incoming.len() + 2 * plan.outgoing.len();
        let mut coefficients: Vec<f32> = (0..count).map(|i| 0.2 + (i as f32 * 0.37) % 1.0).collect();
        for k in (0..plan.outgoing.len()).filter(|&k| plan.outgoing[k].passed.is_none()) {
            // a is 1 by definition.
            coefficients[plan.incoming.len() + k] = 1.0;
        }
        let coefficients = candle_core::Var::new(coefficients, &Device::Cpu).unwrap();
        let leaves = [&x, &weights, &coefficients];
        let ours = mix(plan.clone(), &input, held.as_ref(), &weights, &coefficients).unwrap();
        let candles = plain(&plan, &input, held.as_ref(), &weights, &coefficients).unwrap();
        let (ours, candles) = (gradients(&ours, &leaves), gradients(&candles, &leaves));
        assert_close(&ours, &candles, if constant { &[1] } else { &[] });
    }
}

#[test]
fn a_step_has_the_same_bytes_with_any_number_of_threads() {
    let (rows, entries, operators) = (700, [40, 130, 24], [130, 24, 64]);
    let plan = plan(&entries, &operators, &[true; 3], true);
    let x = leaf("x", (rows, 170));
    let fixed = leaf("fixed", (rows, 24)).as_tensor().detach();
    let weights = leaf("w", (197, 218));
    let coefficients =
        candle_core::Var::new(&[0.3f32, 0.5, 0.2, 0.6, 0.8, 1.0, 0.4, 0.2, 0.0], &Device::Cpu).unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let output = || mix(plan.clone(), &x, Some(&fixed), &weights, &coefficients).unwrap();
        pool.install(|| gradients(&output(), &[&x, &weights, &coefficients]))
    };
    let one = run(1);
    for threads in 2..6 {
        assert!(run(threads) == one, "{threads} threads");
    }
}
