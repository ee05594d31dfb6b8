//! Interval logs (`.hlog`) of HDR histograms: compressed V2 with a header, as HdrHistogram's own tools read them. One
//! tagged line per interval; values in microseconds, the largest of a line in milliseconds.

use super::replay::recorder::Recording;
use crate::base::{Result, calendar, fsio};
use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

/// A histogram of what ended within a piece of a run.
#[derive(Debug, Clone, Copy)]
pub struct Interval<'a> {
    /// Begin of the piece, from the start of the run.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
    /// What was measured: `response`, `service`, … Neither commas nor blanks.
    pub tag: &'a str,
    /// The values in microseconds.
    pub histogram: &'a Histogram<u64>,
}

/// Writes one line per interval of a run that was `started` at that time of day. Lines stand by their begin, because
/// readers that were asked for a range of time stop at the first line behind it.
///
/// # Errors
/// When the file cannot be written, or a tag holds what a log cannot say.
pub fn write(path: &Path, comment: &str, started: SystemTime, intervals: &[Interval<'_>]) -> Result<()> {
    let mut sorted: Vec<_> = intervals.iter().collect();
    sorted.sort_by_key(|interval| interval.start);
    fsio::write_with(path, |mut out| {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment(&format!("[{comment}; values in microseconds, Interval_Max in milliseconds]"))
            .with_start_time(started)
            // Times of lines are offsets from it.
            .with_base_time(started)
            .with_max_value_divisor(1e3)
            .begin_log_with(&mut out, &mut serializer)?;
        for interval in sorted {
            let tag = Tag::new(interval.tag).filter(|tag| !tag.is_empty()).ok_or_else(|| {
                let problem = format!("the tag {:?} is empty or holds a comma or a blank", interval.tag);
                io::Error::new(io::ErrorKind::InvalidInput, problem)
            })?;
            let duration = interval.end.saturating_sub(interval.start);
            log.write_histogram(interval.histogram, interval.start, duration, Some(tag))
                .map_err(io::Error::other)?;
        }
        Ok(())
    })
}

/// Writes the histograms of a replay: responses and service times per stretch of its schedule, whose sums are those of the
/// whole run; everything else as one line for all of it. What several passes over one schedule have recorded lies over one
/// another. The run counts as ended now.
///
/// # Errors
/// When the file cannot be written.
pub fn write_recording(path: &Path, recording: &Recording) -> Result<()> {
    let (start, end) = (Duration::ZERO, recording.span);
    let mut lines = Vec::new();
    for (tag, latencies) in [
        ("queueing", &recording.queueing),
        ("lag", &recording.dispatch_lag),
        ("assembly", &recording.assembly),
    ] {
        lines.push(Interval { start, end, tag, histogram: latencies.histogram() });
    }
    if recording.fetch.count() > 0 {
        lines.push(Interval { start, end, tag: "fetch", histogram: recording.fetch.histogram() });
    }
    for piece in &recording.intervals {
        let (start, end) = (piece.begin, piece.end);
        for (tag, latencies) in [("response", &piece.answered.response), ("service", &piece.answered.service)]
        {
            lines.push(Interval { start, end, tag, histogram: latencies.histogram() });
        }
    }
    let started = SystemTime::UNIX_EPOCH + calendar::now_since_1970().saturating_sub(recording.span);
    write(path, "autofas-bench replay", started, &lines)
}

pub mod reading;

#[cfg(test)]
mod tests;
