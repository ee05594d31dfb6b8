//! Values that have a place of their own.

use super::distinct::{Distinct, MISSING};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Known values in their order. In JSON it is the list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    values: Vec<String>,
    positions: HashMap<String, u32>,
}

impl Vocabulary {
    /// The values that `codes` hold at least `min_count` times: most frequent first, equally frequent ones by their text.
    pub fn fit(distinct: &Distinct, codes: impl Iterator<Item = u32>, min_count: u32) -> Self {
        let mut counts = vec![0u32; distinct.texts.len()];
        codes.filter(|&code| code != MISSING).for_each(|code| counts[code as usize] += 1);
        let mut kept: Vec<usize> =
            (0..counts.len()).filter(|&code| counts[code] >= min_count.max(1)).collect();
        kept.sort_by(|&a, &b| {
            counts[b].cmp(&counts[a]).then_with(|| distinct.texts[a].cmp(&distinct.texts[b]))
        });
        kept.into_iter().map(|code| distinct.texts[code].clone()).collect::<Vec<_>>().into()
    }

    /// Place of a value, given in its canonical text.
    pub fn position(&self, text: &str) -> Option<u32> {
        self.positions.get(text).copied()
    }

    /// Whether no value stands twice.
    pub(super) fn is_distinct(&self) -> bool {
        self.positions.len() == self.values.len()
    }

    /// All values in their order.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl From<Vec<String>> for Vocabulary {
    fn from(values: Vec<String>) -> Self {
        let positions = values.iter().zip(0..).map(|(value, place)| (value.clone(), place)).collect();
        Self { values, positions }
    }
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.values
    }
}
