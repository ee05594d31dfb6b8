//! Candidates that a log did not show: rows without a label, for a teacher to score.
//!
//! A pre-ranker scores thousands of candidates of a request, and a log holds the few that were shown. Each list gets further
//! candidates: the user and context values of its first row, the item values of a row of another list, drawn among the training rows, so
//! that items come as often as the log shows them (as traces pad requests). Nobody computed the values of that pair of user and
//! item, so interactive features take their declared default, "missing", as they do in traces.

use super::{
    combined::Taken,
    dataset::Dataset,
    lists,
    schema::{Kind, Schema, Side},
};
use crate::base::{Result, rng};
use rand::RngExt;
use std::collections::{HashMap, HashSet};

/// Draws that may hit an item of the list before a candidate is given up.
const TRIES: usize = 32;

/// The rows whose user asks and whose item is asked for, for `per_list` candidates of every list of `rows`; fewer where a list
/// holds nearly all there are. The same for the same seed.
pub fn draw(data: &Dataset, rows: &[u32], per_list: usize, seed: u64) -> Result<Vec<(u32, u32)>> {
    let keys = lists::keys(data)?;
    // Without item keys every row is an item of its own.
    let item = |row: u32| data.item_keys.as_ref().map_or(u64::from(row), |items| items[row as usize]);
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|&row| (keys[row as usize], row));
    let mut rng = rng::generator(seed, "unseen candidates");
    let mut pairs = Vec::new();
    for list in sorted.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
        let mut taken: HashSet<u64> = list.iter().map(|&row| item(row)).collect();
        for _ in 0..per_list {
            let mut drawn = (0..TRIES).map(|_| rows[rng.random_range(0..rows.len())]);
            if let Some(row) = drawn.find(|&row| taken.insert(item(row))) {
                pairs.push((list[0], row));
            }
        }
    }
    Ok(pairs)
}

/// The data with a row for every pair that [`draw`] gave behind all others: label and weight 0, request, group, user and
/// partition of the first row, the item of the second. All of it is in memory.
pub fn with_candidates(data: &Dataset, schema: &Schema, pairs: &[(u32, u32)]) -> Dataset {
    let kinds: HashMap<&str, Kind> =
        schema.features.iter().map(|feature| (feature.name.as_str(), feature.kind)).collect();
    let added = data.combined(pairs, |feature| match kinds.get(feature.name.as_str()) {
        Some(Kind::Interactive) => Taken::Missing,
        Some(kind) if kind.side() == Side::User => Taken::First,
        _ => Taken::Second,
    });
    let of_first = |keys: &[u64]| {
        [keys, &pairs.iter().map(|&(first, _)| keys[first as usize]).collect::<Vec<_>>()].concat()
    };
    let of_second = |keys: &[u64]| {
        [keys, &pairs.iter().map(|&(_, second)| keys[second as usize]).collect::<Vec<_>>()].concat()
    };
    let zeros = |values: &[f32]| [values, &vec![0.0; pairs.len()]].concat();
    let partitions: Vec<u32> = pairs.iter().map(|&(first, _)| data.partitions[first as usize]).collect();
    Dataset {
        features: data.features.clone(),
        ids: data.ids.followed_by(&added.ids),
        number_slots: data.number_slots,
        numbers: [&*data.numbers, &*added.numbers].concat().into(),
        labels: zeros(&data.labels).into(),
        other_labels: (data.other_labels.iter())
            .map(|(name, labels)| (name.clone(), zeros(labels).into()))
            .collect(),
        weights: zeros(&data.weights).into(),
        groups: data.groups.as_deref().map(|keys| of_first(keys).into()),
        partitions: [&*data.partitions, &partitions].concat().into(),
        partition_count: data.partition_count,
        teacher_scores: None,
        requests: data.requests.as_deref().map(|keys| of_first(keys).into()),
        user_keys: data.user_keys.as_deref().map(|keys| of_first(keys).into()),
        item_keys: data.item_keys.as_deref().map(|keys| of_second(keys).into()),
        stated_hash: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{
        Loaded, load_table,
        split::SplitSettings,
        synth::{self, SynthSettings},
    };

    fn log() -> (Schema, Loaded) {
        let settings =
            SynthSettings { requests: 12, candidates: 6, users: 8, items: 40, ..Default::default() };
        let log = synth::generate(&settings).unwrap();
        let split = SplitSettings::Shuffle { valid_fraction: 0.25 };
        let loaded = load_table(&log.schema, &log.table, &split, 1).unwrap();
        (log.schema, loaded)
    }

    #[test]
    fn every_list_gets_items_of_the_training_rows_that_it_does_not_hold() {
        let (_, Loaded { dataset: data, split, .. }) = log();
        let (requests, items) = (data.requests.clone().unwrap(), data.item_keys.clone().unwrap());
        let pairs = draw(&data, &split.train, 5, 1).unwrap();
        let lists: HashSet<u64> = split.train.iter().map(|&row| requests[row as usize]).collect();
        assert_eq!(pairs.len(), 5 * lists.len());
        for list in lists {
            let of_list = |row: u32| requests[row as usize] == list;
            let mut items: Vec<u64> = (split.train.iter().copied().filter(|&row| of_list(row)))
                .chain(pairs.iter().filter(|pair| of_list(pair.0)).map(|pair| pair.1))
                .map(|row| items[row as usize])
                .collect();
            let count = items.len();
            items.sort_unstable();
            items.dedup();
            assert_eq!(items.len(), count, "an item comes once");
        }
        assert!(pairs.iter().all(|pair| split.train.contains(&pair.0) && split.train.contains(&pair.1)));
        assert_eq!(draw(&data, &split.train, 5, 1).unwrap(), pairs);
        assert_ne!(draw(&data, &split.train, 5, 2).unwrap(), pairs);
    }

    #[test]
    fn a_list_that_holds_all_items_gets_none() {
        let data = Dataset {
            requests: Some(vec![1, 1, 2].into()),
            item_keys: Some(vec![7, 8, 7].into()),
            ..Dataset::default()
        };
        // The first list holds both items; the second gets the other one, once.
        assert_eq!(draw(&data, &[0, 1, 2], 3, 1).unwrap(), [(2, 1)]);
    }

    #[test]
    fn a_candidate_has_the_values_of_its_user_and_item_and_none_of_the_pair() {
        let (schema, Loaded { dataset: data, .. }) = log();
        let pairs = [(3, 40), (20, 7)];
        let more = with_candidates(&data, &schema, &pairs);
        let rows = data.rows();
        assert_eq!(more.rows(), rows + 2);
        let bits = |data: &Dataset, row: usize, slot: super::super::dataset::Slot| -> Vec<u32> {
            match slot {
                super::super::dataset::Slot::Ids { start, length } => {
                    data.ids.of(row, start..start + length).collect()
                }
                super::super::dataset::Slot::Number { index } => vec![data.numbers_of(row)[index].to_bits()],
            }
        };
        let mut kinds = HashSet::new();
        for (feature, encoded) in schema.features.iter().zip(&data.features) {
            for row in 0..rows {
                assert_eq!(bits(&more, row, encoded.slot), bits(&data, row, encoded.slot));
            }
            for (i, &(first, second)) in pairs.iter().enumerate() {
                let found = bits(&more, rows + i, encoded.slot);
                match feature.kind {
                    Kind::User | Kind::Context => {
                        assert_eq!(found, bits(&data, first as usize, encoded.slot))
                    }
                    Kind::Item => assert_eq!(found, bits(&data, second as usize, encoded.slot)),
                    Kind::Interactive => assert!(
                        found.iter().all(|&value| value == 0 || f32::from_bits(value).is_nan()),
                        "{}",
                        feature.name
                    ),
                }
                kinds.insert(feature.kind);
            }
        }
        assert_eq!(kinds.len(), 4, "the log has features of all kinds");
        assert_eq!((more.labels[rows], more.weights[rows], more.weights[0]), (0.0, 0.0, data.weights[0]));
        let (requests, items) = (more.requests.unwrap(), more.item_keys.unwrap());
        assert_eq!((requests[rows], items[rows]), (requests[3], items[40]));
        assert_eq!(more.partitions[rows + 1], data.partitions[20]);
    }
}
