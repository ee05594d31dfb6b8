//! Reading interval logs back.

use crate::base::{Error, Result, error::Place, fsio};
use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use std::path::Path;

/// The largest log that is read.
const LARGEST: u64 = 1 << 30;

/// Reads all histograms of a log with their tags.
///
/// # Errors
/// When the file is no interval log.
pub fn read(path: &Path) -> Result<Vec<(String, Histogram<u64>)>> {
    const FIX: &str = "measure again what wrote it";
    let bytes = fsio::read_regular(path, LARGEST, FIX)?;
    let broken = |problem: String| Error::input(path, Place::whole(), problem, FIX);
    let mut histograms = Vec::new();
    for entry in IntervalLogIterator::new(&bytes) {
        let entry = entry.map_err(|e| broken(format!("not an HDR interval log ({e:?})")))?;
        if let LogEntry::Interval(line) = entry {
            let tag = line.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
            histograms.push((tag, decode(line.encoded_histogram()).map_err(broken)?));
        }
    }
    Ok(histograms)
}

fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|e| format!("a histogram is not base64 ({e})"))?;
    Deserializer::new()
        .deserialize(&mut &bytes[..])
        .map_err(|e| format!("a histogram cannot be decoded ({e})"))
}

/// The sum of all histograms with that tag: the whole run. None without any.
///
/// # Errors
/// As [`read`], and when their values do not fit one histogram.
pub fn total(path: &Path, tag: &str) -> Result<Option<Histogram<u64>>> {
    let mut sum: Option<Histogram<u64>> = None;
    for (_, histogram) in read(path)?.into_iter().filter(|(own, _)| own == tag) {
        match &mut sum {
            None => sum = Some(histogram),
            Some(sum) => sum.add(&histogram).map_err(|e| {
                let problem = format!("histograms of `{tag}` do not add up ({e})");
                Error::input(path, Place::whole(), problem, "measure again what wrote it")
            })?,
        }
    }
    Ok(sum)
}
