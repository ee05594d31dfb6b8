//! When requests come: as recorded, at random (Poisson) or at constant distance. Drawn before any clock starts.

use super::recorded;
use crate::base::{Error, Result, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where arrival times come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Arrivals {
    /// A CSV file with a column of times in ascending order.
    Recorded {
        /// The file.
        file: PathBuf,
        /// Column of times: `2023-11-16 18:17:03.97996`, or seconds.
        time_column: String,
        /// Column that says how many candidates each request has.
        candidates_column: Option<String>,
        /// Factor on the pace: 2 halves every gap.
        speed: f64,
    },
    /// Independent exponential gaps.
    Poisson {
        /// Mean requests per second.
        qps: f64,
    },
    /// Equal gaps.
    Constant {
        /// Requests per second.
        qps: f64,
    },
}

/// Arrival times, the first at 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Offsets in µs, ascending.
    pub offsets_us: Vec<u64>,
    /// Candidates per request, when the arrivals say so.
    pub candidates: Option<Vec<u64>>,
}

impl Arrivals {
    /// The first `requests` arrivals (fewer when fewer are recorded).
    pub fn schedule(&self, requests: usize, seed: u64) -> Result<Schedule> {
        match self {
            Self::Recorded { file, time_column, candidates_column, speed } => {
                let speed = positive(*speed, "the speed factor")?;
                let mut schedule = recorded::read(file, time_column, candidates_column.as_deref(), requests)?;
                for offset in &mut schedule.offsets_us {
                    *offset = (*offset as f64 / speed).round() as u64;
                }
                Ok(schedule)
            }
            Self::Poisson { qps } => {
                let mean_gap_us = 1e6 / positive(*qps, "the rate in requests per second")?;
                let mut generator = rng::generator(seed, "arrivals");
                let mut at = 0.0;
                Ok(Schedule::of(requests, |_| {
                    let offset = at;
                    // 1 − U lies in (0, 1], so the logarithm is finite.
                    at -= mean_gap_us * (1.0 - generator.random::<f64>()).ln();
                    offset
                }))
            }
            Self::Constant { qps } => {
                let gap_us = 1e6 / positive(*qps, "the rate in requests per second")?;
                Ok(Schedule::of(requests, |i| i as f64 * gap_us))
            }
        }
    }
}

impl Schedule {
    fn of(requests: usize, offset_us: impl FnMut(usize) -> f64) -> Self {
        Self {
            offsets_us: (0..requests).map(offset_us).map(|us| us.round() as u64).collect(),
            candidates: None,
        }
    }
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recorded { file, speed, .. } => {
                let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
                write!(f, "recorded in {name} at speed {speed}")
            }
            Self::Poisson { qps } => write!(f, "Poisson, {qps} per second"),
            Self::Constant { qps } => write!(f, "constant, {qps} per second"),
        }
    }
}

fn positive(value: f64, what: &str) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::usage(format!("{what} is {value}"), "give a number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded_in(text: &str, speed: f64, requests: usize) -> Result<Schedule> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("arrivals.csv");
        crate::base::fsio::write(&file, text.as_bytes()).unwrap();
        let candidates_column = text.contains("Tokens").then(|| "Tokens".to_owned());
        Arrivals::Recorded { file, time_column: "TIMESTAMP".into(), candidates_column, speed }
            .schedule(requests, 0)
    }

    const THREE: &str = "TIMESTAMP,Tokens\n2023-11-16 23:59:59.9799600,4808\n2023-11-17 00:00:00.0319610,3180\n\
                         2023-11-17 00:00:00.0319610,110\n";

    #[test]
    fn recorded_times_are_exact_microseconds_from_the_first() {
        let schedule = recorded_in(THREE, 1.0, 10).unwrap();
        assert_eq!(schedule.offsets_us, [0, 52_001, 52_001]);
        assert_eq!(schedule.candidates.unwrap(), [4808, 3180, 110]);
        assert_eq!(recorded_in(THREE, 2.0, 2).unwrap().offsets_us, [0, 26_001]);
    }

    #[test]
    fn recorded_files_that_are_wrong_name_row_and_fix() {
        for (text, expected) in [
            ("TIMESTAMP\n2\n1\n", "`TIMESTAMP`, row 2: earlier than the row before; sort"),
            ("TIMESTAMP\n1\nnoon\n", "`TIMESTAMP`, row 2: `noon` is not a time; write"),
            ("TIMESTAMP,Tokens\n1,many\n", "`Tokens`, row 1: `many` is not a number"),
            ("TIMESTAMP\n", "no arrivals"),
            ("time\n1\n", "`TIMESTAMP`: no such column; there are time"),
        ] {
            let message = recorded_in(text, 1.0, 9).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(recorded_in(THREE, 0.0, 9).unwrap_err().to_string().contains("speed"));
    }

    #[test]
    fn schedules_repeat_by_seed_and_differ_between_seeds() {
        let poisson = Arrivals::Poisson { qps: 100.0 };
        assert_eq!(poisson.schedule(500, 3).unwrap(), poisson.schedule(500, 3).unwrap());
        assert_ne!(poisson.schedule(500, 3).unwrap(), poisson.schedule(500, 4).unwrap());
    }

    #[test]
    fn poisson_gaps_are_exponential_with_the_stated_rate() {
        let offsets = Arrivals::Poisson { qps: 200.0 }.schedule(40_001, 1).unwrap().offsets_us;
        let gaps: Vec<f64> = offsets.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
        // Standard errors at 40,000 gaps: 0.5 % of the mean, 1 % of the deviation, 0.0025 of a share.
        assert!((mean / 5000.0 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((deviation / mean - 1.0).abs() < 0.04, "deviation {deviation}");
        let beyond = |t: f64| gaps.iter().filter(|&&g| g > t).count() as f64 / n;
        for t in [1000.0, 5000.0, 15_000.0] {
            assert!((beyond(t) - (-t / 5000.0).exp()).abs() < 0.01, "share beyond {t}");
        }
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let offsets = Arrivals::Constant { qps: 3.0 }.schedule(3001, 0).unwrap().offsets_us;
        assert_eq!((offsets[0], offsets[1], offsets[3000]), (0, 333_333, 1_000_000_000));
    }
}
