//! How many candidates the requests of a trace have.

use super::arrivals::Arrivals;
use crate::{
    base::{Error, Result, error::Place, fsio, rng},
    data::{column::Column, growing::Growing},
};
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How many candidates a request has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListLength {
    /// Always as many.
    Fixed(usize),
    /// As the arrivals' column of counts says.
    Arrivals,
    /// Drawn for each request: median · exp(sigma · Z) with a standard normal Z, rounded, and the nearest of `min` and `max` where it
    /// lies outside of them.
    LogNormal {
        /// Half of the requests have fewer.
        median: f64,
        /// Deviation of the logarithm.
        sigma: f64,
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// Drawn for each request from the distribution that a file of quantiles describes ([`Quantiles`]).
    Quantiles {
        /// CSV with the columns `quantile` and `count`, or JSON: a list of objects with these fields.
        file: PathBuf,
    },
}

/// A distribution by its quantiles: counts between two of them lie on a straight line, so that the inverse of the distribution
/// function is known everywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles(Vec<Quantile>);

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Quantile {
    quantile: f64,
    count: u64,
}

/// The wanted number of candidates of every request.
#[derive(Debug)]
pub(super) enum Lengths {
    /// The same for all.
    Same(usize),
    /// One each.
    Each(Column<u64>),
}

impl ListLength {
    /// The numbers for `requests` requests; `recorded` are those of the arrivals.
    pub(super) fn draw(&self, requests: usize, recorded: Option<Column<u64>>, seed: u64) -> Result<Lengths> {
        let mut generator = rng::generator(seed, "trace candidate counts");
        match (self, recorded) {
            (Self::Fixed(0), _) => {
                Err(Error::usage("a request without candidates asks nothing", "want at least one candidate"))
            }
            (Self::Fixed(length), _) => Ok(Lengths::Same(*length)),
            (Self::Arrivals, Some(counts)) => Ok(Lengths::Each(counts)),
            (Self::Arrivals, None) => Err(Error::usage(
                "these arrivals do not say how many candidates a request has",
                "name the column of counts of the recorded arrivals, or give a fixed number",
            )),
            (&Self::LogNormal { median, sigma, min, max }, _) => {
                check_log_normal(median, sigma, min, max)?;
                Lengths::drawn(requests, || {
                    let count = median * (sigma * generator.sample::<f64, _>(StandardNormal)).exp();
                    (count.round() as u64).clamp(min as u64, max as u64)
                })
            }
            (Self::Quantiles { file }, _) => {
                let quantiles = Quantiles::load(file)?;
                Lengths::drawn(requests, || quantiles.at(generator.random::<f64>()))
            }
        }
    }

    /// What a reader of results must know of it.
    pub(super) fn note(&self, arrivals: &Arrivals) -> Option<String> {
        match self {
            Self::Fixed(_) => None,
            Self::Arrivals => match arrivals {
                Arrivals::Recorded { candidates_column: Some(column), .. } => {
                    Some(format!("candidate counts are those of the recorded column `{column}`"))
                }
                _ => None,
            },
            Self::LogNormal { median, sigma, min, max } => Some(format!(
                "candidate counts are log-normal: median {median}, sigma {sigma}, at least {min}, at most {max}"
            )),
            Self::Quantiles { file } => {
                let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
                Some(format!("candidate counts are drawn from the quantiles in {name}"))
            }
        }
    }
}

fn check_log_normal(median: f64, sigma: f64, min: usize, max: usize) -> Result<()> {
    let whole = median.is_finite() && median > 0.0 && sigma.is_finite() && sigma >= 0.0;
    if whole && 1 <= min && min <= max {
        return Ok(());
    }
    Err(Error::usage(
        format!("candidate counts with median {median}, sigma {sigma}, from {min} to {max} cannot be drawn"),
        "give a median above 0, a sigma of 0 or more, and 1 ≤ min ≤ max",
    ))
}

impl Lengths {
    fn drawn(requests: usize, mut draw: impl FnMut() -> u64) -> Result<Self> {
        let mut counts = Growing::default();
        (0..requests).try_for_each(|_| counts.push(draw()))?;
        counts.finish().map(Self::Each)
    }

    /// Of a request.
    pub(super) fn of(&self, request: usize) -> usize {
        match self {
            Self::Same(length) => *length,
            Self::Each(counts) => usize::try_from(counts[request]).unwrap_or(usize::MAX),
        }
    }
}

impl Quantiles {
    /// Reads a file that ends in `.json`, or a CSV file. It must begin with the quantile 0 and end with 1; quantiles ascend, and
    /// counts do not fall.
    pub fn load(path: &Path) -> Result<Self> {
        let points: Vec<Quantile> = match path.extension().and_then(|e| e.to_str()) {
            Some("json") => fsio::read_json(path)?,
            _ => from_csv(path)?,
        };
        check_points(path, &points)?;
        Ok(Self(points))
    }

    /// The count below which a share `quantile` of the requests lies; `quantile` is in [0, 1].
    pub fn at(&self, quantile: f64) -> u64 {
        let upper = self.0.partition_point(|point| point.quantile < quantile).clamp(1, self.0.len() - 1);
        let [low, high] = [self.0[upper - 1], self.0[upper]];
        let share = (quantile - low.quantile) / (high.quantile - low.quantile);
        (low.count as f64 + share * (high.count - low.count) as f64).round() as u64
    }
}

fn from_csv(path: &Path) -> Result<Vec<Quantile>> {
    let fix = "write a header `quantile,count` and one pair of numbers per row";
    let broken = |place, e: csv::Error| Error::input(path, place, format!("cannot be read ({e})"), fix);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|e| broken(Place::whole(), e))?;
    reader.deserialize().zip(1..).map(|(row, n)| row.map_err(|e| broken(Place::row(n), e))).collect()
}

fn check_points(path: &Path, points: &[Quantile]) -> Result<()> {
    let broken = |row: usize, problem: &str, fix: &str| {
        Err(Error::input(path, Place::row(row as u64 + 1), problem, fix))
    };
    for (row, point) in points.iter().enumerate() {
        if !(0.0..=1.0).contains(&point.quantile) || point.count == 0 {
            return broken(row, "not a quantile from 0 to 1 of counts of at least 1", "correct the row");
        }
        let before = row.checked_sub(1).map(|before| points[before]);
        if before.is_some_and(|b| b.quantile >= point.quantile || b.count > point.count) {
            return broken(row, "does not ascend from the row before", "sort by quantile, each once");
        }
    }
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if first.quantile == 0.0 && last.quantile == 1.0 => Ok(()),
        _ => Err(Error::input(
            path,
            Place::whole(),
            "the smallest and the largest count are not told",
            "begin with the quantile 0 and end with 1",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(length: &ListLength, requests: usize) -> Result<Vec<usize>> {
        let lengths = length.draw(requests, None, 3)?;
        Ok((0..requests).map(|request| lengths.of(request)).collect())
    }

    #[test]
    fn log_normal_counts_have_the_quantiles_of_their_closed_form() {
        let of = |min, max| ListLength::LogNormal { median: 800.0, sigma: 0.5, min, max };
        let mut counts = drawn(&of(1, 100_000), 40_000).unwrap();
        assert_eq!(counts, drawn(&of(1, 100_000), 40_000).unwrap(), "the seed decides");
        counts.sort_unstable();
        // Quantiles of the standard normal distribution at 10, 50, 90 and 99 %.
        for (share, z) in [(0.1, -1.281_551_6), (0.5, 0.0), (0.9, 1.281_551_6), (0.99, 2.326_347_9)] {
            let (found, expected) = (counts[(share * 40_000.0) as usize] as f64, 800.0 * f64::exp(0.5 * z));
            assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected} at {share}");
        }
        let kept = drawn(&of(500, 1200), 2000).unwrap();
        assert_eq!((kept.iter().min(), kept.iter().max()), (Some(&500), Some(&1200)));
        // P(800·exp(Z/2) < 500) = Φ(2·ln(500/800)) = Φ(−0.94) = 0.1736.
        let least = kept.iter().filter(|&&count| count == 500).count() as f64 / 2000.0;
        assert!((least - 0.1736).abs() < 0.03, "{least}");
        let steady = ListLength::LogNormal { median: 7.4, sigma: 0.0, min: 1, max: 9 };
        assert_eq!(drawn(&steady, 3).unwrap(), [7; 3]);
    }

    #[test]
    fn log_normal_settings_that_make_no_sense_are_refused() {
        for (median, sigma, min, max) in
            [(0.0, 1.0, 1, 2), (5.0, -1.0, 1, 2), (f64::NAN, 1.0, 1, 2), (5.0, 1.0, 0, 2), (5.0, 1.0, 3, 2)]
        {
            let error = drawn(&ListLength::LogNormal { median, sigma, min, max }, 1).unwrap_err().to_string();
            assert!(error.contains("1 ≤ min ≤ max"), "{error}");
        }
    }

    fn quantiles(name: &str, text: &str) -> Result<Quantiles> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fsio::write(&path, text.as_bytes()).unwrap();
        Quantiles::load(&path)
    }

    const CSV: &str = "quantile,count\n0, 10\n0.5, 100\n0.9,100\n1,1000\n";

    #[test]
    fn the_inverse_of_a_quantile_file_is_straight_between_its_points_in_both_formats() {
        let json = r#"[{"quantile":0,"count":10},{"quantile":0.5,"count":100},{"quantile":0.9,"count":100},
            {"quantile":1,"count":1000}]"#;
        let curve = quantiles("q.csv", CSV).unwrap();
        assert_eq!(quantiles("q.json", json).unwrap(), curve);
        for (quantile, count) in
            [(0.0, 10), (0.25, 55), (0.5, 100), (0.7, 100), (0.9, 100), (0.95, 550), (0.99, 910), (1.0, 1000)]
        {
            assert_eq!(curve.at(quantile), count, "at {quantile}");
        }
    }

    #[test]
    fn drawn_counts_have_the_quantiles_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("q.csv");
        fsio::write(&file, CSV.as_bytes()).unwrap();
        let length = ListLength::Quantiles { file };
        let mut counts = drawn(&length, 40_000).unwrap();
        counts.sort_unstable();
        for (share, expected) in [(0.25, 55.0), (0.6, 100.0), (0.8, 100.0), (0.95, 550.0)] {
            let found = counts[(share * 40_000.0) as usize] as f64;
            assert!((found / expected - 1.0).abs() < 0.04, "{found} for {expected} at {share}");
        }
        assert!(length.note(&Arrivals::Poisson { qps: 1.0 }).unwrap().contains("q.csv"));
    }

    #[test]
    fn quantile_files_that_are_wrong_name_the_row() {
        for (name, text, expected) in [
            ("q.csv", "quantile,count\n0,5\n0.5,many\n", "q.csv, row 2: cannot be read"),
            ("q.csv", "share,count\n0,5\n", "q.csv, row 1: cannot be read"),
            ("q.csv", "quantile,count\n0,5\n1.5,9\n", "row 2: not a quantile"),
            ("q.csv", "quantile,count\n0,0\n1,9\n", "row 1: not a quantile"),
            ("q.csv", "quantile,count\n0,5\n0.5,4\n1,9\n", "row 2: does not ascend"),
            ("q.csv", "quantile,count\n0,5\n0.5,7\n0.5,8\n1,9\n", "row 3: does not ascend"),
            ("q.csv", "quantile,count\n0.1,5\n1,7\n", "q.csv: the smallest"),
            ("q.csv", "quantile,count\n", "q.csv: the smallest"),
            ("q.json", "[{\"quantile\": 0}]", "q.json, line 1"),
            ("q.json", "[]", "q.json: the smallest"),
        ] {
            let message = quantiles(name, text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(Quantiles::load("gone.csv".as_ref()).unwrap_err().to_string().contains("gone.csv"));
    }
}
