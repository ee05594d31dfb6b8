//! Percentile distributions as CSV: the columns and steps of HdrHistogram's own CSV (`outputPercentileDistribution`),
//! and behind them unit, engine, offered rate and kind, so that one file holds all distributions of a replay.

use super::Distribution;
use crate::base::{Result, fsio};
use std::{io, path::Path};

/// The first four are HdrHistogram's.
const HEADER: [&str; 8] =
    ["Value", "Percentile", "TotalCount", "1/(1-Percentile)", "Unit", "Engine", "OfferedQps", "Kind"];

/// Rows per halving of the distance to 100 %, as HdrHistogram's tools have it by default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Writes the percentile distribution of each, one after the other, values in microseconds.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, distributions: &[Distribution<'_>]) -> Result<()> {
    fsio::write_with(path, |out| {
        // HdrHistogram quotes names and not numbers.
        let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::NonNumeric).from_writer(out);
        csv.write_record(HEADER).map_err(io::Error::other)?;
        for distribution in distributions {
            rows(distribution, |row| csv.write_record(row).map_err(io::Error::other))?;
        }
        csv.flush()
    })
}

fn rows(distribution: &Distribution<'_>, mut row: impl FnMut(&[String]) -> io::Result<()>) -> io::Result<()> {
    let qps = distribution.offered_qps.map_or(String::new(), |qps| qps.to_string());
    let mut count = 0;
    for step in distribution.histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let percentile = step.quantile_iterated_to();
        let inverse = match percentile < 1.0 {
            true => format!("{:.2}", 1.0 / (1.0 - percentile)),
            false => "Infinity".to_owned(),
        };
        row(&[
            step.value_iterated_to().to_string(),
            format!("{percentile:.12}"),
            count.to_string(),
            inverse,
            "us".to_owned(),
            distribution.engine.to_owned(),
            qps.clone(),
            distribution.kind.to_owned(),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::Latencies;
    use std::time::Duration;

    /// 1, 2, …, 8 µs: half of the values lie at or below 4, a quarter above 6.
    #[test]
    fn the_rows_of_eight_values_are_those_worked_out_by_hand() {
        let mut latencies = Latencies::default();
        (1..=8).for_each(|us| latencies.record(Duration::from_micros(us)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        let of = |kind, offered_qps| Distribution {
            engine: "tract",
            offered_qps,
            kind,
            histogram: latencies.histogram(),
            distinct: latencies.distinct(),
            valid: true,
        };
        write(&path, &[of("response", Some(50.0)), of("service", None)]).unwrap();
        let text = fsio::read_text(&path).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            r#""Value","Percentile","TotalCount","1/(1-Percentile)","Unit","Engine","OfferedQps","Kind""#
        );
        // Ten steps of 0.1 to one half, of 0.05 to three quarters, and so on; the value is the first whose count reaches it.
        let of_response: Vec<&str> = lines.by_ref().take_while(|line| line.contains("response")).collect();
        let row = |value: u64, percentile: f64, count: u64, inverse: &str| {
            format!("{value},{percentile:.12},{count},{inverse},\"us\",\"tract\",50,\"response\"")
        };
        assert_eq!(of_response[0], row(1, 0.0, 1, "1.00"));
        assert_eq!(of_response[1], row(1, 0.1, 1, "1.11"));
        assert_eq!(of_response[2], row(2, 0.2, 2, "1.25"));
        assert_eq!(of_response[5], row(4, 0.5, 4, "2.00"));
        assert_eq!(*of_response.last().unwrap(), row(8, 1.0, 8, "Infinity"));
        assert!(text.lines().last().unwrap().ends_with(r#","us","tract","","service""#), "{text}");
    }
}
