//! Rows that are put together from two: the user of one and the item of another.

use super::{
    dataset::{Dataset, EncodedFeature, Slot},
    ids::Ids,
};

/// Which row of a pair a feature is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    First,
    Second,
    /// From neither: it takes the declared default, "missing".
    Missing,
}

impl Dataset {
    /// A row for each pair of rows: the values of the second, but for the `features`, which come from the first. Labels are 0;
    /// keys, groups and times are left out.
    pub fn joined(&self, features: &[&str], pairs: &[(u32, u32)]) -> Self {
        let from_first = |feature: &EncodedFeature| features.contains(&feature.name.as_str());
        self.combined(pairs, |feature| if from_first(feature) { Taken::First } else { Taken::Second })
    }

    /// A row for each pair of rows, every feature taken as `taken` says. Labels are 0; keys, groups and times are left out.
    pub(super) fn combined(&self, pairs: &[(u32, u32)], taken: impl Fn(&EncodedFeature) -> Taken) -> Self {
        let changed: Vec<(Slot, Taken)> = (self.features.iter())
            .map(|feature| (feature.slot, taken(feature)))
            .filter(|(_, taken)| *taken != Taken::Second)
            .collect();
        let (mut all_ids, mut all_numbers) = (Vec::new(), Vec::new());
        for &(first, second) in pairs {
            let (first, second) = (first as usize, second as usize);
            let (ids, numbers) = (all_ids.len(), all_numbers.len());
            all_ids.extend(self.ids.of_row(second));
            all_numbers.extend_from_slice(self.numbers_of(second));
            for &(slot, taken) in &changed {
                match slot {
                    Slot::Ids { start, length } => {
                        let own = &mut all_ids[ids + start..][..length];
                        let values = self.ids.of(first, start..start + length);
                        match taken {
                            Taken::Missing => own.fill(0),
                            _ => own.iter_mut().zip(values).for_each(|(to, id)| *to = id),
                        }
                    }
                    Slot::Number { index } => {
                        all_numbers[numbers + index] = match taken {
                            Taken::Missing => f32::NAN,
                            _ => self.numbers_of(first)[index],
                        }
                    }
                }
            }
        }
        Self {
            features: self.features.clone(),
            number_slots: self.number_slots,
            labels: vec![0.0; pairs.len()].into(),
            ids: Ids::from_rows(self.ids.slots(), &all_ids),
            numbers: all_numbers.into(),
            ..Self::default()
        }
    }
}
