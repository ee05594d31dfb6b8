//! Interval logs (`.hlog`) of HDR histograms: compressed V2 as other HDR tools read them, one tagged line per
//! histogram, values in microseconds.

use super::replay::recorder::Recording;
use crate::base::{Result, fsio};
use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use std::{path::Path, time::Duration};

/// Writes one line per `(tag, histogram)` that covers a run of `duration`. Tags hold no commas or blanks.
pub fn write(
    path: &Path,
    comment: &str,
    duration: Duration,
    histograms: &[(&str, &Histogram<u64>)],
) -> Result<()> {
    fsio::write_with(path, |mut out| {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment(comment)
            .add_comment("values in microseconds")
            .begin_log_with(&mut out, &mut serializer)?;
        for (tag, histogram) in histograms {
            log.write_histogram(histogram, Duration::ZERO, duration, Tag::new(tag))
                .map_err(std::io::Error::other)?;
        }
        Ok(())
    })
}

/// Writes the histograms of a replay.
pub fn write_recording(path: &Path, recording: &Recording) -> Result<()> {
    let histograms = [
        ("response", recording.response.histogram()),
        ("service", recording.service.histogram()),
        ("lag", recording.dispatch_lag.histogram()),
        ("assembly", recording.assembly.histogram()),
    ];
    write(path, "autofas-bench replay", recording.span, &histograms)
}

/// Reads logs back, for tests.
#[cfg(test)]
pub(crate) mod reading {
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
        let broken = |problem: String| {
            Error::input(path, Place::whole(), problem, "write it again with `replay --hlog`")
        };
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
}

#[cfg(test)]
mod tests {
    use super::{reading::read, *};

    #[test]
    fn a_log_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.hlog");
        let mut response = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).unwrap();
        let mut service = response.clone();
        (0..5000u64).for_each(|i| response.record(i * i % 700_001).unwrap());
        service.record_n(17, 3).unwrap();
        write(&path, "test", Duration::from_secs(3), &[("response", &response), ("service", &service)])
            .unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back, vec![("response".to_owned(), response), ("service".to_owned(), service)]);
    }

    #[test]
    fn a_damaged_log_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.hlog");
        fsio::write(&path, b"Tag=response,0.000,1.000,2.000,HISTFAAA!\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("r.hlog"));
    }
}
