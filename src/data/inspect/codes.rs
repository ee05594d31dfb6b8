//! What a feature's values say about a label, without a network.

use crate::{
    base::{
        Result,
        rank::{auc, mid_ranks},
    },
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        encode::{
            distinct::{Distinct, DistinctLists, MISSING},
            feature::categories,
            numeric,
        },
        schema::{Encoding, Feature},
        table::RawTable,
    },
};
use std::collections::HashSet;

/// Quantile buckets that a number is cut into before its buckets are scored.
const BUCKETS: u32 = 20;
/// Weight of the mean rate in a value's rate, in rows: rare values say little.
const PRIOR_ROWS: f64 = 20.0;

/// A feature as codes: values of a category, quantile buckets of a number, items of a sequence.
pub struct FeatureCodes {
    codes: Vec<u32>,
    /// Row r holds `codes[starts[r]..starts[r + 1]]`; nothing when the value is missing.
    starts: Vec<usize>,
    code_count: usize,
    distinct: usize,
    /// Of a number, its value per row, NaN where missing.
    numbers: Option<Vec<f32>>,
    many_valued: bool,
}

impl FeatureCodes {
    /// Reads the feature's column.
    pub fn of(feature: &Feature, table: &RawTable) -> Result<Self> {
        let column = table.column(&feature.column)?;
        if let Some(sequence) = &feature.sequence {
            let DistinctLists { items, starts } = DistinctLists::of(column, &sequence.separator);
            let distinct = items.texts.len();
            return Ok(Self {
                codes: items.codes,
                starts,
                code_count: distinct,
                distinct,
                numbers: None,
                many_valued: true,
            });
        }
        let Distinct { codes, texts } = categories(table, &feature.column)?;
        if matches!(feature.encoding, Encoding::Buckets { .. } | Encoding::Standardize) {
            return Ok(Self::of_numbers(numeric::numbers(table, &feature.column)?, texts.len()));
        }
        Ok(Self::of_codes(codes, texts.len(), texts.len()))
    }

    /// Some rows of a feature that is encoded already. Values that the encoder does not tell apart are one.
    pub fn encoded(feature: &EncodedFeature, data: &Dataset, rows: &[u32]) -> Self {
        let row = |&row: &u32| row as usize;
        match feature.slot {
            Slot::Number { index } => {
                let numbers: Vec<f32> = rows.iter().map(|r| data.numbers_of(row(r))[index]).collect();
                let present = numbers.iter().filter(|number| !number.is_nan());
                let distinct = present.map(|number| number.to_bits()).collect::<HashSet<_>>().len();
                Self::of_numbers(numbers, distinct)
            }
            Slot::Ids { start, length: 1 } => {
                // Id 0 is a missing value.
                let codes: Vec<u32> =
                    rows.iter().map(|r| data.ids.at(row(r), start).wrapping_sub(1)).collect();
                let distinct = codes.iter().filter(|&&code| code != MISSING).collect::<HashSet<_>>().len();
                Self::of_codes(codes, feature.cardinality as usize, distinct)
            }
            Slot::Ids { start, length } => {
                let (mut codes, mut starts) = (Vec::new(), vec![0]);
                for r in rows {
                    let ids = data.ids.of(row(r), start..start + length);
                    codes.extend(ids.filter(|&id| id != 0).map(|id| id - 1));
                    starts.push(codes.len());
                }
                let distinct = codes.iter().collect::<HashSet<_>>().len();
                let code_count = feature.cardinality as usize;
                Self { codes, starts, code_count, distinct, numbers: None, many_valued: true }
            }
        }
    }

    fn of_numbers(numbers: Vec<f32>, distinct: usize) -> Self {
        let edges = numeric::quantile_edges(numbers.clone(), BUCKETS);
        let code = |&v: &f32| numeric::bucket(v, &edges).checked_sub(1).unwrap_or(MISSING);
        let codes = numbers.iter().map(code).collect();
        Self { numbers: Some(numbers), ..Self::of_codes(codes, edges.len() + 1, distinct) }
    }

    /// One code per row, or [`MISSING`].
    fn of_codes(mut codes: Vec<u32>, code_count: usize, distinct: usize) -> Self {
        let starts = std::iter::once(0)
            .chain(codes.iter().scan(0, |end, &code| {
                *end += usize::from(code != MISSING);
                Some(*end)
            }))
            .collect();
        codes.retain(|&code| code != MISSING);
        Self { codes, starts, code_count, distinct, numbers: None, many_valued: false }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Different values (of a sequence: of its items), missing not counted.
    pub fn distinct(&self) -> usize {
        self.distinct
    }

    /// Number of codes, all of them below it.
    pub(super) fn code_count(&self) -> usize {
        self.code_count
    }

    /// Whether a row may hold several values.
    pub(super) fn is_many_valued(&self) -> bool {
        self.many_valued
    }

    /// Whether it is a number.
    pub(super) fn is_number(&self) -> bool {
        self.numbers.is_some()
    }

    /// Whether all rows say the same.
    pub(super) fn is_constant(&self) -> bool {
        let alike = (1..self.rows()).all(|row| self.of_row(row) == self.of_row(0));
        alike && (self.many_valued || self.distinct <= 1)
    }

    /// The codes of a row; nothing when the value is missing.
    pub(super) fn of_row(&self, row: usize) -> &[u32] {
        &self.codes[self.starts[row]..self.starts[row + 1]]
    }

    /// AUC of the feature alone: a row's score is the mean, over its codes, of the share of positive rows among the `fit`
    /// rows with that code (drawn towards the overall share where there are few), and the overall share when the value is
    /// missing. With `judge` = `fit` the AUC flatters values that occur rarely.
    pub fn auc(&self, labels: &[f32], fit: &[u32], judge: &[u32]) -> Option<f64> {
        let overall =
            fit.iter().map(|&row| f64::from(labels[row as usize])).sum::<f64>() / fit.len().max(1) as f64;
        let mut counts = vec![(PRIOR_ROWS, PRIOR_ROWS * overall); self.code_count];
        for &row in fit {
            for &code in self.of_row(row as usize) {
                let (rows, clicks) = &mut counts[code as usize];
                *rows += 1.0;
                *clicks += f64::from(labels[row as usize]);
            }
        }
        let rates: Vec<f64> = counts.into_iter().map(|(rows, clicks)| clicks / rows).collect();
        let score = |&row: &u32| match self.of_row(row as usize) {
            [] => overall as f32,
            codes => (codes.iter().map(|&c| rates[c as usize]).sum::<f64>() / codes.len() as f64) as f32,
        };
        let scores: Vec<f32> = judge.iter().map(score).collect();
        let labels: Vec<f32> = judge.iter().map(|&row| labels[row as usize]).collect();
        auc(&scores, &labels)
    }

    /// AUC of a number as the score itself, in the direction that suits the `fit` rows. A missing value ranks in the middle.
    /// None for what is no number, or when a class is missing.
    pub fn rank_auc(&self, labels: &[f32], fit: &[u32], judge: &[u32]) -> Option<f64> {
        let numbers = self.numbers.as_ref()?;
        let alone = |rows: &[u32]| {
            let of_row =
                |&row: &u32| (!numbers[row as usize].is_nan()).then(|| f64::from(numbers[row as usize]));
            let present: Vec<f64> = rows.iter().filter_map(of_row).collect();
            let (mut ranks, middle) = (mid_ranks(&present).into_iter(), (present.len() + 1) as f64 / 2.0);
            let score = |row: &u32| match of_row(row) {
                Some(_) => ranks.next().expect("one for every value") as f32,
                None => middle as f32,
            };
            let scores: Vec<f32> = rows.iter().map(score).collect();
            let labels: Vec<f32> = rows.iter().map(|&row| labels[row as usize]).collect();
            auc(&scores, &labels)
        };
        let judged = alone(judge)?;
        Some(if alone(fit)? < 0.5 { 1.0 - judged } else { judged })
    }
}
