//! A column as codes of its distinct values: the text of each value is made once, however many rows hold it.

use super::text::{canonical, canonical_double, canonical_single};
use crate::data::table::RawColumn;
use arrow::array::{Array, ArrowPrimitiveType, LargeStringArray, PrimitiveArray};
use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

/// The code of a missing value.
pub const MISSING: u32 = u32::MAX;

/// Distinct values of a column and which of them each row holds.
#[derive(Debug, Default)]
pub struct Distinct {
    /// One per row: index into `texts`, or [`MISSING`].
    pub codes: Vec<u32>,
    /// Canonical texts in the order in which they first appear.
    pub texts: Vec<String>,
}

/// Distinct values of a multi-valued column.
#[derive(Debug, Default)]
pub struct DistinctLists {
    /// The values of all rows, one after the other; no missing ones.
    pub items: Distinct,
    /// Row r holds the items `starts[r]..starts[r + 1]`.
    pub starts: Vec<usize>,
}

impl Distinct {
    /// None for a column of lists.
    pub fn of(column: &RawColumn) -> Option<Self> {
        Some(match column {
            RawColumn::Ints(a) => primitive(a, |v| v, |v| Some(v.to_string().into())),
            // By bits, because floats have no hash; equal values of different bits meet again in their text.
            RawColumn::Singles(a) => {
                primitive(a, f32::to_bits, |b| canonical_single(f32::from_bits(b)).map(Cow::Owned))
            }
            RawColumn::Doubles(a) => {
                primitive(a, f64::to_bits, |b| canonical_double(f64::from_bits(b)).map(Cow::Owned))
            }
            RawColumn::Text(a) => texts(a),
            RawColumn::Lists(_) => return None,
        })
    }
}

impl DistinctLists {
    /// Lists as they are; text split at `separator`; any other value as a list of one. Missing items are left out.
    pub fn of(column: &RawColumn, separator: &str) -> Self {
        let mut coder = Coder::default();
        let mut starts = vec![0];
        let mut end_row = |coder: &Coder<'_, &str>| starts.push(coder.distinct.codes.len());
        match column {
            RawColumn::Lists(lists) => {
                for row in 0..lists.len() {
                    if lists.is_valid(row) {
                        let items = lists.values();
                        let items = items.as_any().downcast_ref::<LargeStringArray>();
                        let items = items.expect("lists are read with text items");
                        let (begin, end) =
                            (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
                        (begin..end)
                            .filter(|&i| items.is_valid(i))
                            .for_each(|i| coder.push_present(items.value(i)));
                    }
                    end_row(&coder);
                }
            }
            RawColumn::Text(array) => {
                for text in array {
                    text.into_iter()
                        .flat_map(|t| t.split(separator))
                        .for_each(|item| coder.push_present(item));
                    end_row(&coder);
                }
            }
            single => {
                let Distinct { codes, texts } = Distinct::of(single).expect("neither text nor lists");
                starts.extend(codes.iter().scan(0, |end, &code| {
                    *end += usize::from(code != MISSING);
                    Some(*end)
                }));
                let codes = codes.into_iter().filter(|&code| code != MISSING).collect();
                return Self { items: Distinct { codes, texts }, starts };
            }
        }
        Self { items: coder.distinct, starts }
    }
}

fn primitive<'a, T: ArrowPrimitiveType, K: Copy + Eq + Hash>(
    array: &'a PrimitiveArray<T>,
    key: impl Fn(T::Native) -> K,
    text: impl Fn(K) -> Option<Cow<'a, str>>,
) -> Distinct {
    let mut coder = Coder::default();
    array.iter().for_each(|value| coder.push(value.map(&key), &text));
    coder.distinct
}

fn texts(array: &LargeStringArray) -> Distinct {
    let mut coder = Coder::default();
    array.iter().for_each(|value| coder.push(value, canonical));
    coder.distinct
}

/// Gives codes to raw keys. Keys whose canonical texts are equal share one.
struct Coder<'a, K> {
    distinct: Distinct,
    by_key: HashMap<K, u32>,
    by_text: HashMap<Cow<'a, str>, u32>,
}

impl<K> Default for Coder<'_, K> {
    fn default() -> Self {
        Self { distinct: Distinct::default(), by_key: HashMap::new(), by_text: HashMap::new() }
    }
}

impl<'a, K: Copy + Eq + Hash> Coder<'a, K> {
    fn push(&mut self, key: Option<K>, text: impl FnOnce(K) -> Option<Cow<'a, str>>) {
        let code = key.map_or(MISSING, |key| self.code(key, text));
        self.distinct.codes.push(code);
    }

    fn code(&mut self, key: K, text: impl FnOnce(K) -> Option<Cow<'a, str>>) -> u32 {
        let entry = match self.by_key.entry(key) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(entry) => entry,
        };
        let texts = &mut self.distinct.texts;
        *entry.insert(match text(key) {
            None => MISSING,
            Some(text) => *self.by_text.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone().into_owned());
                texts.len() as u32 - 1
            }),
        })
    }
}

impl<'a> Coder<'a, &'a str> {
    /// Leaves out what is missing.
    fn push_present(&mut self, text: &'a str) {
        let code = self.code(text, canonical);
        if code != MISSING {
            self.distinct.codes.push(code);
        }
    }
}
