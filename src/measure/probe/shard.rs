//! A part of a probing, for one of several machines of one type.

use std::{fmt, str::FromStr};

/// More parts than any probing has groups.
const MOST_PARTS: usize = 10_000;

/// The `index`-th (from 1) of `count` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Which of several pieces of work belong to this part, by what each is expected to take. Every piece belongs to exactly
    /// one part, the same ones whoever asks: the largest first, each goes to the part that has least so far.
    pub fn share(self, expected_s: &[f64]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..expected_s.len()).collect();
        order.sort_by(|&a, &b| expected_s[b].total_cmp(&expected_s[a]));
        let mut given = vec![0.0; self.count];
        let mut own = vec![false; expected_s.len()];
        for at in order {
            let least = (0..self.count).min_by(|&a, &b| f64::total_cmp(&given[a], &given[b])).unwrap_or(0);
            given[least] += expected_s[at];
            own[at] = least + 1 == self.index;
        }
        own
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.trim().parse().ok()?, count: count.trim().parse().ok()? })
        });
        let sound =
            numbers.filter(|shard| shard.count <= MOST_PARTS && (1..=shard.count).contains(&shard.index));
        sound.ok_or_else(|| {
            format!(
                "give the number of the part and how many there are, such as 1/8 to 8/8; {MOST_PARTS} at most"
            )
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_belongs_to_exactly_one_part_and_parts_take_about_as_long() {
        let expected_s: Vec<f64> = (0..50).map(|i| 1.0 + f64::from(i * i % 17)).collect();
        let all: f64 = expected_s.iter().sum();
        for count in [1, 2, 7, 60] {
            let mut owners = vec![0; expected_s.len()];
            for index in 1..=count {
                let own = Shard { index, count }.share(&expected_s);
                owners.iter_mut().zip(&own).for_each(|(owners, &own)| *owners += usize::from(own));
                let taken: f64 = expected_s.iter().zip(&own).filter(|(_, own)| **own).map(|(s, _)| s).sum();
                assert!(taken <= all / count as f64 + 17.0, "{index}/{count}: {taken} of {all}");
            }
            assert_eq!(owners, vec![1; expected_s.len()], "{count} parts");
        }
    }

    #[test]
    fn a_part_is_written_as_its_number_and_how_many_there_are() {
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
        assert_eq!(Shard { index: 3, count: 8 }.to_string(), "3/8");
        for wrong in ["0/8", "9/8", "3", "a/b", "3/0", "-1/2", "/", "1/99999999999999"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
