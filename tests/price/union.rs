//! Whatever the tables hold and in whatever order they are joined, everything comes out, and of each value the best.

use crate::{
    CANDIDATES, context,
    merging::values,
    tables::{INPUT, calibrated, dearer, observation},
};
use autofas_bench::{
    price::{
        merge::merge,
        observation::Observation,
        table::{Bucket, InputEntry, LatencyTable, Operation, RunQuantiles, TableEntry, Value},
    },
    space::{Input, InputLoad, InputWidths},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::LazyLock};

/// Layers and networks that parts measure.
static WHOLE: LazyLock<LatencyTable> = LazyLock::new(calibrated);

/// Networks to judge by. What one part learnt from cannot judge the whole: so it is with the last.
const HELD_OUT: [&[usize]; 3] = [&[32, 32], &[16], &[64, 32]];

/// Sets of features beside the grid.
const SETS: usize = 3;

/// How many tables values are divided among.
const PARTS: usize = 4;

/// How each part measured a value: one bit each for its samples, its noise and the time that it took.
type Measured = [u8; PARTS];

/// Everything that a table holds, as one part measured it: layers, points of a grid, other sets of features, networks to learn from
/// and to judge by, at two counts of candidates. The times that parts took lie 1 % apart, which is no disagreement.
fn as_measured(place: usize, bits: u8) -> (usize, Value) {
    let samples = 50 + 50 * u64::from(bits & 1);
    let noise_pct = 0.25 + 0.25 * f64::from(bits >> 1 & 1);
    let factor = 1.0 + 0.01 * f64::from(bits >> 2 & 1);
    let Bucket { entries, observations, .. } = &WHOLE.buckets[0];
    let layer =
        |known: TableEntry| TableEntry { samples, noise_pct, mean_ms: factor * known.mean_ms, ..known };
    let load = |ids: usize| {
        let mut load = InputLoad::default();
        load.item.ids = ids as f64;
        load
    };
    let network = |known: &Observation| observation(&known.widths, factor * known.measured_ms, noise_pct);
    let (sets, networks) = (entries.len(), entries.len() + SETS);
    let value = match place / 2 {
        at if at < sets => match layer(entries[at]) {
            known @ TableEntry { operation: Operation::First { user, item, .. }, .. } => {
                let widths = InputWidths { user: user as f64, item: item as f64 };
                Value::Grid(known, Input { widths, load: load(2) })
            }
            known => Value::Layer(known),
        },
        at if at < networks => Value::Input(InputEntry {
            input: Input { widths: INPUT, load: load(at - sets + 1) },
            to: 64,
            samples,
            mean_ms: factor * 0.7,
            noise_pct,
            quantiles: RunQuantiles::default(),
            origin: 0,
        }),
        at => match observations.get(at - networks) {
            Some(known) => Value::Network(network(known)),
            None => {
                let widths = HELD_OUT[at - networks - observations.len()];
                Value::HeldOut(network(&observation(widths, dearer(widths), 1.0)))
            }
        },
    };
    (CANDIDATES + place % 2, value)
}

/// What tables have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kin {
    /// Whatever was drawn.
    Any,
    /// All layers, as the tables of one run have.
    Layers,
    /// One alone holds networks.
    NoNetworks,
    /// One alone holds layers.
    NoLayers,
}

/// Who holds each value, at least one part (one bit each), and how it was measured there: what was drawn, again and again, but for what
/// the tables are to each other.
fn held(drawn: &[(u8, Measured)], kin: Kin) -> Vec<(u8, Measured)> {
    let Bucket { entries, observations, .. } = &WHOLE.buckets[0];
    let layers = 2 * (entries.len() + SETS);
    let places = layers + 2 * (observations.len() + HELD_OUT.len());
    let every = (0..places).zip(drawn.iter().cycle());
    let held = |(place, &(holders, measured)): (usize, &(u8, Measured))| match (kin, place < layers) {
        (Kin::Layers, true) => ((1 << PARTS) - 1, [measured[0]; PARTS]),
        (Kin::NoNetworks, false) | (Kin::NoLayers, true) => (1, measured),
        _ => (holders, measured),
    };
    every.map(held).collect()
}

/// A table for every part that holds something, each measured at a time of its own.
fn parts(held: &[(u8, Measured)]) -> Vec<LatencyTable> {
    let part = |part: usize| {
        let mut table = LatencyTable::new(format!("part {part}"));
        for (place, (holders, measured)) in held.iter().enumerate() {
            if holders >> part & 1 == 1 {
                let (candidates, value) = as_measured(place, measured[part]);
                table.insert_value(&context(), candidates, value).unwrap();
            }
        }
        table.state_origin(Some(part as u64), None);
        table
    };
    (0..PARTS).map(part).filter(|part| !part.buckets.is_empty()).collect()
}

/// [`values`] as they were measured.
fn uncorrected(table: &LatencyTable) -> Vec<Bucket> {
    let mut buckets = values(table);
    buckets.iter_mut().for_each(|bucket| bucket.correction = None);
    buckets
}

/// The union, put together value by value: of each the one of most samples, then of least noise, of least time, of the first part.
fn union(held: &[(u8, Measured)]) -> LatencyTable {
    let mut union = LatencyTable::new("union");
    for (place, (holders, measured)) in held.iter().enumerate() {
        let known = (0..PARTS).filter(|part| holders >> part & 1 == 1).map(|part| measured[part]);
        let of_networks = matches!(as_measured(place, 0).1, Value::Network(_) | Value::HeldOut(_));
        let rank = |bits: &u8| (!of_networks && bits & 1 == 0, bits >> 1 & 1, bits >> 2 & 1);
        let (candidates, value) = as_measured(place, known.min_by_key(rank).unwrap());
        union.insert_value(&context(), candidates, value).unwrap();
    }
    union.corrected(|_| true).unwrap()
}

/// Of everything in `joined` the table that it says it comes from, which holds the same value.
fn assert_origins(joined: &LatencyTable, parts: &[LatencyTable]) -> Result<(), TestCaseError> {
    let known: BTreeMap<String, &LatencyTable> = parts.iter().map(|part| (part.id(), part)).collect();
    for bucket in &joined.buckets {
        let of = |origin: usize| {
            let part = known.get(joined.origins[origin].table.as_ref()?)?;
            part.bucket(&context(), bucket.candidates).ok()
        };
        for entry in &bucket.entries {
            let known = of(entry.origin)
                .is_some_and(|from| from.entries.contains(&TableEntry { origin: 0, ..*entry }));
            prop_assert!(known, "{:?}", entry);
        }
        for entry in &bucket.inputs {
            let known = of(entry.origin)
                .is_some_and(|from| from.inputs.contains(&InputEntry { origin: 0, ..*entry }));
            prop_assert!(known, "{:?}", entry);
        }
        for network in bucket.observations.iter().chain(&bucket.held_out) {
            let own = Observation { origin: 0, ..network.clone() };
            let known = of(network.origin)
                .is_some_and(|from| from.observations.contains(&own) || from.held_out.contains(&own));
            prop_assert!(known, "{:?}", network);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_parts_their_order_and_their_joins_the_union_comes_out(
        drawn in prop::collection::vec((1u8..16, prop::array::uniform4(0u8..8)), 1..200),
        kin in prop_oneof![Just(Kin::Any), Just(Kin::Layers), Just(Kin::NoNetworks), Just(Kin::NoLayers)],
        order in Just([0usize, 1, 2, 3]).prop_shuffle(),
        first in 1usize..4,
    ) {
        let held = held(&drawn, kin);
        let (parts, union) = (parts(&held), union(&held));
        let ordered: Vec<LatencyTable> =
            order.into_iter().filter_map(|at| parts.get(at)).cloned().collect();
        let joined = merge(&ordered).unwrap();
        prop_assert_eq!(values(&joined), values(&union));
        prop_assert_eq!(&joined.buckets, &merge(&parts).unwrap().buckets);
        assert_origins(&joined, &parts)?;
        // Some of them first, and then the rest. Corrections of the first are asked again, and may stay.
        let (begun, rest) = ordered.split_at(first.min(ordered.len()));
        let again = merge(&[&[merge(begun).unwrap()], rest].concat()).unwrap();
        prop_assert_eq!(uncorrected(&again), uncorrected(&joined));
        assert_origins(&again, &parts)?;
    }
}
