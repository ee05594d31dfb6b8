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

/// How often each value was seen.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<String, u64>);

impl Counts {
    /// Adds the values that `codes` hold.
    pub(super) fn add(&mut self, distinct: &Distinct, codes: impl Iterator<Item = u32>) {
        let mut counts = vec![0u64; distinct.texts.len()];
        codes.filter(|&code| code != MISSING).for_each(|code| counts[code as usize] += 1);
        for (text, count) in distinct.texts.iter().zip(counts).filter(|&(_, count)| count > 0) {
            match self.0.get_mut(text) {
                Some(sum) => *sum += count,
                None => drop(self.0.insert(text.clone(), count)),
            }
        }
    }

    /// The values seen at least `min_count` times: most frequent first, equally frequent ones by their text.
    pub(super) fn vocabulary(self, min_count: u32) -> Vocabulary {
        let least = u64::from(min_count.max(1));
        let mut kept: Vec<(String, u64)> = self.0.into_iter().filter(|&(_, count)| count >= least).collect();
        kept.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        kept.into_iter().map(|(text, _)| text).collect::<Vec<_>>().into()
    }
}

impl Vocabulary {
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
