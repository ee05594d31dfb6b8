//! Reading interval logs back.

use crate::base::{Error, Result, error::Place, fsio};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use std::path::Path;

/// Reads all histograms of a log with their tags.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Histogram<u64>)>> {
    let bytes = fsio::read(path)?;
    let broken =
        |problem: String| Error::input(path, Place::whole(), problem, "write it again with `replay --hlog`");
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
    let bytes = base64(text).ok_or("a histogram is not base64")?;
    Deserializer::new()
        .deserialize(&mut &bytes[..])
        .map_err(|e| format!("a histogram cannot be decoded ({e})"))
}

/// Standard base64, with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | ALPHABET.iter().position(|&a| a == c)? as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}
