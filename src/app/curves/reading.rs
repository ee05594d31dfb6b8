//! Reading curves back.

use super::{Event, Kind, What, masked_crc};
use crate::base::{Error, Result, error::Place, fsio};
use prost::Message;
use std::{collections::BTreeMap, path::Path};

/// The largest event file that is read.
const LARGEST: u64 = 1 << 30;

/// Bytes around the content of a record: its length and the checksum of that before it, its own checksum behind.
const BEFORE: usize = 12;
const BEHIND: usize = 4;

/// The curves of a training in `folder`, by tag: (step, value) by rising step. What a later start recorded takes the place of what
/// an earlier one had for the same step. Nothing where there is no folder.
///
/// Fails when a file holds something else than records; one that ends within a record is read up to there, for it may still grow.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Vec<(u64, f64)>>> {
    let mut curves: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    // Their names begin with the second of their start.
    for file in fsio::list(folder)? {
        let bytes = fsio::read_regular(&file, LARGEST, "remove it: curves are no part of a result")?;
        for event in events(&file, &bytes)? {
            let Some(What::Summary(summary)) = event.what else { continue };
            for value in summary.value {
                let Some(Kind::SimpleValue(number)) = value.kind else { continue };
                curves.entry(value.tag).or_default().insert(event.step.max(0) as u64, f64::from(number));
            }
        }
    }
    Ok(curves.into_iter().map(|(tag, points)| (tag, points.into_iter().collect())).collect())
}

fn events(file: &Path, mut bytes: &[u8]) -> Result<Vec<Event>> {
    let broken = |problem: String| {
        let fix = "remove it: curves are for looking at and no part of a result";
        Error::input(file, Place::whole(), problem, fix)
    };
    let mut events = Vec::new();
    while bytes.len() >= BEFORE {
        let (before, rest) = bytes.split_at(BEFORE);
        let (length, checksum) = before.split_at(8);
        if masked_crc(length).to_le_bytes() != checksum {
            return Err(broken(format!("record {} has another checksum than its length", events.len() + 1)));
        }
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
        let Some(end) = usize::try_from(length).ok().filter(|end| end.saturating_add(BEHIND) <= rest.len())
        else {
            break;
        };
        let content = &rest[..end];
        if masked_crc(content).to_le_bytes() != rest[end..end + BEHIND] {
            return Err(broken(format!("record {} has another checksum than its content", events.len() + 1)));
        }
        events.push(Event::decode(content).map_err(|e| broken(format!("holds no event ({e})")))?);
        bytes = &rest[end + BEHIND..];
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::curves::Curves,
        base::progress::{Pace, Progress, Silent},
    };

    #[test]
    fn what_two_starts_recorded_is_one_curve_and_the_later_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        for points in [&[(1, 0.5), (2, 0.25)][..], &[(2, 0.75), (3, 1.0)]] {
            let curves = Curves::new(&Silent, folder.path());
            points.iter().for_each(|&(step, value)| curves.record(Pace::Seldom, "theta/a", step, value));
        }
        let found = read(folder.path()).unwrap();
        assert_eq!(found["theta/a"], [(1, 0.5), (2, 0.75), (3, 1.0)]);
        assert!(read(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_still_grows_is_read_as_far_as_it_goes_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let curves = Curves::new(&Silent, folder.path());
        (1..=3).for_each(|step| curves.record(Pace::Seldom, "a", step, 1.0));
        drop(curves);
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 5]).unwrap();
        assert_eq!(read(folder.path()).unwrap()["a"].len(), 2);
        let mut other = whole.clone();
        let last = other.len() - 6;
        other[last] ^= 1;
        std::fs::write(&file, other).unwrap();
        let refused = read(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("tfevents") && refused.contains("record 4"), "{refused}");
    }
}
