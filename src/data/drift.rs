//! How far the values of two data sets lie apart, feature by feature, as their encoders see them.
//!
//! The measure is the Jensen–Shannon divergence in bits: ½·KL(p‖m) + ½·KL(q‖m) with m = (p + q)/2. It is 0 for equal
//! distributions and 1 for those that share no value, and needs no correction of empty bins. Two samples of one distribution with k
//! values lie about (k − 1)·(1/n + 1/m)/(8 ln 2) apart by chance (the first term of its expansion), which is reported beside it.

use super::{
    dataset::{Dataset, EncodedFeature, Slot},
    encode::numeric::CLIP,
};
use serde::{Deserialize, Serialize};

/// Bins of a standardised number, of equal width.
const BINS: usize = 64;

/// One feature in two data sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// The schema's name.
    pub feature: String,
    /// Jensen–Shannon divergence in bits, from 0 to 1.
    pub divergence_bits: f64,
    /// What two samples of these sizes have by chance.
    pub by_chance_bits: f64,
    /// Shares of rows without a value: before, and now.
    pub missing_share: [f64; 2],
    /// Shares of values that a vocabulary does not know; absent for other encodings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_share: Option<[f64; 2]>,
}

/// Counts of a feature's values.
struct Counts {
    values: Vec<u64>,
    rows: u64,
    missing: u64,
}

/// Compares the given rows of two data sets that the same encoders made. `has_unknown` tells the features whose id 1 stands for
/// unknown values. The order is that of the features.
pub fn drift(
    before: (&Dataset, &[u32]),
    now: (&Dataset, &[u32]),
    has_unknown: impl Fn(&str) -> bool,
) -> Vec<FeatureDrift> {
    let compared = before.0.features.iter().map(|feature| {
        let counts = [before, now].map(|(data, rows)| Counts::of(feature, data, rows));
        let [a, b] = &counts;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let unknown = |counts: &Counts| share(counts.values[1], counts.values.iter().sum());
        FeatureDrift {
            feature: feature.name.clone(),
            divergence_bits: divergence_bits(&a.values, &b.values),
            by_chance_bits: by_chance_bits(&a.values, &b.values),
            missing_share: [share(a.missing, a.rows), share(b.missing, b.rows)],
            unknown_share: has_unknown(&feature.name).then(|| [unknown(a), unknown(b)]),
        }
    });
    compared.collect()
}

impl Counts {
    /// Padding of a sequence that has values does not count; one without any is missing.
    fn of(feature: &EncodedFeature, data: &Dataset, rows: &[u32]) -> Self {
        let bins = if feature.cardinality == 0 { BINS + 1 } else { feature.cardinality as usize };
        let mut counts = Self { values: vec![0; bins], rows: rows.len() as u64, missing: 0 };
        for &row in rows {
            let row = row as usize;
            match feature.slot {
                Slot::Number { index } => {
                    let bin = bin(data.numbers_of(row)[index]);
                    counts.missing += u64::from(bin == 0);
                    counts.values[bin] += 1;
                }
                Slot::Ids { start, length } => {
                    let mut present = 0;
                    for id in data.ids.of(row, start..start + length).filter(|&id| id > 0) {
                        counts.values[id as usize] += 1;
                        present += 1;
                    }
                    if present == 0 {
                        counts.missing += 1;
                        counts.values[0] += 1;
                    }
                }
            }
        }
        counts
    }
}

/// 0 where it is missing, else from 1.
fn bin(number: f32) -> usize {
    if number.is_nan() {
        return 0;
    }
    let place = (number + CLIP) / (2.0 * CLIP) * BINS as f32;
    1 + (place.max(0.0) as usize).min(BINS - 1)
}

fn divergence_bits(a: &[u64], b: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (of_a, of_b) = (total(a), total(b));
    let half = |p: f64, m: f64| if p > 0.0 { 0.5 * p * (p / m).log2() } else { 0.0 };
    let terms = a.iter().zip(b).map(|(&a, &b)| {
        let (p, q) = (a as f64 / of_a, b as f64 / of_b);
        let m = 0.5 * (p + q);
        half(p, m) + half(q, m)
    });
    terms.sum::<f64>().clamp(0.0, 1.0)
}

fn by_chance_bits(a: &[u64], b: &[u64]) -> f64 {
    let seen = a.iter().zip(b).filter(|&(&a, &b)| a + b > 0).count();
    let share = |counts: &[u64]| 1.0 / counts.iter().sum::<u64>().max(1) as f64;
    seen.saturating_sub(1) as f64 * (share(a) + share(b)) / (8.0 * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::rng, data::ids::Ids};
    use rand::RngExt;

    #[test]
    fn divergences_that_were_worked_out_by_hand() {
        assert_eq!(divergence_bits(&[2, 2], &[5, 5]), 0.0);
        assert_eq!(divergence_bits(&[3, 0], &[0, 7]), 1.0);
        // p = (1, 0), q = (½, ½), m = (¾, ¼): ½·log2(4/3) + ½·(½·log2(2/3) + ½·log2 2).
        let wanted = 0.5 * (4.0f64 / 3.0).log2() + 0.25 * (2.0f64 / 3.0).log2() + 0.25;
        assert!((divergence_bits(&[4, 0], &[3, 3]) - wanted).abs() < 1e-12);
        assert_eq!([bin(f32::NAN), bin(-8.0), bin(-9.0), bin(0.0), bin(8.0)], [0, 1, 1, 33, 64]);
    }

    #[test]
    fn samples_of_one_distribution_lie_apart_as_chance_says() {
        let mut rng = rng::generator(2, "test/drift");
        let mut sample = |rows: usize| {
            let mut counts = vec![0u64; 50];
            (0..rows).for_each(|_| counts[rng.random_range(0..50)] += 1);
            counts
        };
        let (mut found, mut expected) = (0.0, 0.0);
        for _ in 0..200 {
            let (a, b) = (sample(2000), sample(500));
            found += divergence_bits(&a, &b);
            expected += by_chance_bits(&a, &b);
        }
        assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
    }

    #[test]
    fn every_feature_is_counted_in_its_own_way() {
        let feature = |name: &str, slot, cardinality| EncodedFeature { name: name.into(), slot, cardinality };
        let data = |ids: &[u32], numbers: &[f32]| Dataset {
            features: vec![
                feature("brand", Slot::Ids { start: 0, length: 1 }, 4),
                feature("tags", Slot::Ids { start: 1, length: 2 }, 4),
                feature("price", Slot::Number { index: 0 }, 0),
            ],
            ids: Ids::from_rows(3, ids),
            number_slots: 1,
            numbers: numbers.to_vec().into(),
            labels: vec![0.0; numbers.len()].into(),
            ..Dataset::default()
        };
        let before = data(&[2, 2, 3, 2, 2, 0, 3, 0, 0, 3, 3, 3], &[0.5, 0.5, f32::NAN, 0.5]);
        let now = data(&[1, 2, 3, 1, 2, 0, 0, 0, 0, 2, 3, 3], &[0.5, 0.5, f32::NAN, 0.5]);
        let every = [0, 1, 2, 3];
        let found = drift((&before, &every), (&now, &every), |name| name == "brand");
        assert_eq!(found[0].unknown_share, Some([0.0, 0.5]));
        assert_eq!(found[0].missing_share, [0.0, 0.25]);
        assert!(found[0].divergence_bits > 0.3);
        assert_eq!((found[1].divergence_bits, found[1].missing_share), (0.0, [0.25, 0.25]));
        assert_eq!((found[2].divergence_bits, found[2].missing_share), (0.0, [0.25, 0.25]));
        assert_eq!(found[1].unknown_share, None);
    }
}
