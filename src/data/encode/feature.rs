//! The encoder of one feature.

use super::{
    distinct::{Distinct, DistinctLists, MISSING},
    hashing,
    numeric::{self, Moments, Sample},
    text::canonical,
    vocabulary::{Counts, Vocabulary},
};
use crate::base::Result;
use crate::data::{
    schema::{Encoding, Feature, Sequence, check::encoding_fault},
    table::RawTable,
};
use serde::{Deserialize, Serialize};

/// Id of a value that a vocabulary does not know.
const UNKNOWN: u32 = 1;
/// Id of a vocabulary's first value.
const FIRST_KNOWN: u32 = 2;

/// What an encoder learned from the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fitted {
    /// Ids from 2 in this order.
    Vocabulary(Vocabulary),
    /// Ids from 1 by [`hashing::bucket`].
    Hash {
        /// Number of ids beside 0.
        buckets: u32,
    },
    /// Ids from 1 by [`numeric::bucket`].
    Buckets {
        /// Inner edges, ascending.
        edges: Vec<f32>,
    },
    /// A number by [`numeric::standardize`].
    Standardize {
        /// Mean of the training rows.
        mean: f64,
        /// Deviation of the training rows.
        deviation: f64,
    },
}

/// The encoder of one feature: what it was asked for, and what it learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureEncoder {
    /// The schema's name.
    pub name: String,
    /// Column that it reads.
    pub column: String,
    /// What the schema asked for.
    pub encoding: Encoding,
    /// Present for multi-valued features.
    pub sequence: Option<Sequence>,
    /// What the training rows gave.
    pub fitted: Fitted,
}

/// Learns an encoder from training rows that come in pieces.
pub(super) struct Fitting<'a> {
    feature: &'a Feature,
    seen: Seen,
}

/// What has been seen so far of the training rows.
enum Seen {
    Counts(Counts),
    Values(Box<Sample>),
    Moments(Moments),
    Nothing,
}

impl<'a> Fitting<'a> {
    pub(super) fn new(feature: &'a Feature) -> Self {
        let seen = match feature.encoding {
            Encoding::Vocabulary { .. } => Seen::Counts(Counts::default()),
            Encoding::Hash { .. } => Seen::Nothing,
            Encoding::Buckets { .. } => Seen::Values(Box::new(Sample::new(&feature.name))),
            Encoding::Standardize => Seen::Moments(Moments::default()),
        };
        Self { feature, seen }
    }

    /// Learns from `train_rows` of the next piece.
    pub(super) fn see(&mut self, piece: &RawTable, train_rows: &[u32]) -> Result<()> {
        let rows = train_rows.iter().map(|&row| row as usize);
        let column = &self.feature.column;
        match &mut self.seen {
            Seen::Nothing => {}
            Seen::Counts(counts) => match &self.feature.sequence {
                None => {
                    let distinct = categories(piece, column)?;
                    counts.add(&distinct, rows.map(|row| distinct.codes[row]));
                }
                Some(sequence) => {
                    let lists = DistinctLists::of(piece.column(column)?, &sequence.separator);
                    let kept = |row: usize| {
                        let end = lists.starts[row + 1].min(lists.starts[row] + sequence.length);
                        lists.items.codes[lists.starts[row]..end].iter().copied()
                    };
                    counts.add(&lists.items, rows.flat_map(kept));
                }
            },
            Seen::Values(sample) => {
                let numbers = numeric::numbers(piece, column)?;
                rows.for_each(|row| sample.add(numbers[row]));
            }
            Seen::Moments(moments) => {
                let numbers = numeric::numbers(piece, column)?;
                rows.for_each(|row| moments.add(numbers[row]));
            }
        }
        Ok(())
    }

    /// The encoder, after the last piece.
    pub(super) fn finish(self) -> FeatureEncoder {
        let Feature { name, column, encoding, sequence, .. } = self.feature;
        let fitted = match (self.seen, *encoding) {
            (Seen::Counts(counts), Encoding::Vocabulary { min_count }) => {
                Fitted::Vocabulary(counts.vocabulary(min_count))
            }
            (Seen::Values(sample), Encoding::Buckets { buckets }) => {
                Fitted::Buckets { edges: numeric::quantile_edges(sample.values(), buckets) }
            }
            (Seen::Moments(moments), _) => {
                let (mean, deviation) = moments.mean_and_deviation();
                Fitted::Standardize { mean, deviation }
            }
            (Seen::Nothing, Encoding::Hash { buckets }) => Fitted::Hash { buckets },
            _ => unreachable!("`new` chose what is seen by the encoding"),
        };
        FeatureEncoder {
            name: name.clone(),
            column: column.clone(),
            encoding: *encoding,
            sequence: sequence.clone(),
            fitted,
        }
    }
}

/// A whole column, encoded.
pub(super) enum EncodedColumn {
    /// `rows × length` ids, row after row.
    Ids(Vec<u32>),
    /// One number per row.
    Numbers(Vec<f32>),
}

/// One value, encoded by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum EncodedValue {
    /// As many as the feature has columns.
    Ids(Vec<u32>),
    /// NaN when missing.
    Number(f32),
}

impl FeatureEncoder {
    /// Encodes one value as a request brings it, in text; empty text is missing. None where a number is needed and this is
    /// none, or an infinite one.
    pub fn encode(&self, text: &str) -> Option<EncodedValue> {
        let number = || numeric::parse(text).filter(|number| !number.is_infinite());
        Some(match (&self.fitted, &self.sequence) {
            (Fitted::Standardize { mean, deviation }, _) => {
                EncodedValue::Number(numeric::standardize(number()?, *mean, *deviation))
            }
            (Fitted::Buckets { edges }, _) => EncodedValue::Ids(vec![numeric::bucket(number()?, edges)]),
            (_, sequence) => {
                let items: Vec<&str> = match sequence {
                    None => vec![text],
                    Some(sequence) => text.split(&sequence.separator).collect(),
                };
                let present = items.into_iter().filter_map(canonical);
                let mut ids: Vec<u32> = present.map(|item| self.category(&item)).collect();
                ids.resize(self.length(), 0);
                EncodedValue::Ids(ids)
            }
        })
    }

    /// Whether this encoder does what the schema now asks for.
    pub(super) fn serves(&self, feature: &Feature) -> bool {
        self.name == feature.name
            && self.column == feature.column
            && self.encoding == feature.encoding
            && self.sequence == feature.sequence
    }

    /// What is wrong with an encoder that came from a file: fitting never makes such a one.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if let Some((_, problem, _)) = encoding_fault(self.encoding, self.sequence.as_ref()) {
            return Some(problem);
        }
        let sound = match (&self.fitted, self.encoding) {
            (Fitted::Vocabulary(vocabulary), Encoding::Vocabulary { .. }) => vocabulary.is_distinct(),
            (Fitted::Hash { buckets }, Encoding::Hash { buckets: asked }) => *buckets == asked,
            (Fitted::Buckets { edges }, Encoding::Buckets { buckets }) => {
                edges.len() < buckets as usize
                    && edges.iter().all(|edge| edge.is_finite())
                    && edges.is_sorted_by(|a, b| a < b)
            }
            (Fitted::Standardize { mean, deviation }, Encoding::Standardize) => {
                mean.is_finite() && deviation.is_finite() && *deviation > 0.0
            }
            _ => return Some("what was fitted is not what was asked for"),
        };
        (!sound).then_some("what was fitted cannot be")
    }

    /// Ids are below this; 0 for numbers.
    pub fn cardinality(&self) -> u32 {
        match &self.fitted {
            Fitted::Vocabulary(vocabulary) => vocabulary.values().len() as u32 + FIRST_KNOWN,
            Fitted::Hash { buckets } => buckets + 1,
            Fitted::Buckets { edges } => edges.len() as u32 + 2,
            Fitted::Standardize { .. } => 0,
        }
    }

    /// Ids per row; 0 for a number.
    pub fn length(&self) -> usize {
        match (&self.fitted, &self.sequence) {
            (Fitted::Standardize { .. }, _) => 0,
            (_, Some(sequence)) => sequence.length,
            (_, None) => 1,
        }
    }

    /// Encodes the column of every row.
    pub(super) fn column(&self, table: &RawTable) -> Result<EncodedColumn> {
        Ok(match &self.fitted {
            Fitted::Buckets { edges } => {
                let numbers = numeric::numbers(table, &self.column)?;
                EncodedColumn::Ids(numbers.into_iter().map(|v| numeric::bucket(v, edges)).collect())
            }
            Fitted::Standardize { mean, deviation } => {
                let mut numbers = numeric::numbers(table, &self.column)?;
                numbers.iter_mut().for_each(|v| *v = numeric::standardize(*v, *mean, *deviation));
                EncodedColumn::Numbers(numbers)
            }
            Fitted::Vocabulary(_) | Fitted::Hash { .. } => EncodedColumn::Ids(match &self.sequence {
                None => {
                    let Distinct { mut codes, texts } = categories(table, &self.column)?;
                    let ids: Vec<u32> = texts.iter().map(|text| self.category(text)).collect();
                    codes.iter_mut().for_each(|c| *c = if *c == MISSING { 0 } else { ids[*c as usize] });
                    codes
                }
                Some(sequence) => self.lists(table, sequence)?,
            }),
        })
    }

    fn lists(&self, table: &RawTable, sequence: &Sequence) -> Result<Vec<u32>> {
        let lists = DistinctLists::of(table.column(&self.column)?, &sequence.separator);
        let ids: Vec<u32> = lists.items.texts.iter().map(|text| self.category(text)).collect();
        let mut slots = vec![0; table.rows() * sequence.length];
        for (slots, bounds) in slots.chunks_exact_mut(sequence.length).zip(lists.starts.windows(2)) {
            let items = &lists.items.codes[bounds[0]..bounds[1]];
            slots.iter_mut().zip(items).for_each(|(slot, &code)| *slot = ids[code as usize]);
        }
        Ok(slots)
    }

    /// Id of a value that is present, in its canonical text.
    fn category(&self, text: &str) -> u32 {
        match &self.fitted {
            Fitted::Vocabulary(vocabulary) => {
                vocabulary.position(text).map_or(UNKNOWN, |place| place + FIRST_KNOWN)
            }
            Fitted::Hash { buckets } => hashing::bucket(text, *buckets),
            Fitted::Buckets { .. } | Fitted::Standardize { .. } => {
                unreachable!("numbers have no categories; their columns are encoded before this is asked")
            }
        }
    }
}

/// The distinct values of a column that is not made of lists.
pub(crate) fn categories(table: &RawTable, column: &str) -> Result<Distinct> {
    Distinct::of(table.column(column)?).ok_or_else(|| {
        table.column_error(column, "lists where single values are needed", "declare it as a sequence")
    })
}
