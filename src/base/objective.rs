//! A limit on a percentile of a response, as users write it on the command line and in experiments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A percentile that results report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Percentile {
    /// The median.
    P50,
    /// The 90th.
    P90,
    /// The 99th.
    P99,
    /// The 99.9th.
    P999,
}

impl Percentile {
    /// From the lowest to the highest.
    pub const ALL: [Self; 4] = [Self::P50, Self::P90, Self::P99, Self::P999];

    /// As users write it.
    pub fn name(self) -> &'static str {
        ["p50", "p90", "p99", "p99.9"][self as usize]
    }

    /// The share of requests below it.
    pub fn quantile(self) -> f64 {
        [0.5, 0.9, 0.99, 0.999][self as usize]
    }
}

/// A limit on a percentile of the response, written `p99=20ms`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// Which percentile.
    pub percentile: Percentile,
    /// What it may be at most.
    pub limit_us: f64,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (name, limit) = text.split_once('=')?;
            let name = if name == "p999" { "p99.9" } else { name };
            let percentile = Percentile::ALL.into_iter().find(|percentile| percentile.name() == name)?;
            let digits = limit.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let unit_us = match &limit[digits..] {
                "us" | "µs" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                _ => return None,
            };
            let limit_us = limit[..digits].parse::<f64>().ok()? * unit_us;
            (limit_us.is_finite() && limit_us > 0.0).then_some(Self { percentile, limit_us })
        };
        parse().ok_or_else(|| {
            format!("`{text}` is no objective: write p50, p90, p99 or p99.9, `=`, and a time in us, ms or s, as in p99=20ms")
        })
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}ms", self.percentile.name(), self.limit_us / 1e3)
    }
}

/// An objective as a settings file has it: its text, or no key at all.
pub mod written {
    use super::Objective;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes the text.
    pub fn serialize<S: Serializer>(objective: &Option<Objective>, serializer: S) -> Result<S::Ok, S::Error> {
        match objective {
            Some(objective) => serializer.collect_str(objective),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text; what is no objective fails with the form that is expected.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Objective>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_as_they_are_written() {
        for (text, percentile, limit_us) in [
            ("p99=20ms", Percentile::P99, 20_000.0),
            ("p99.9=1.5s", Percentile::P999, 1_500_000.0),
            ("p999=7us", Percentile::P999, 7.0),
            ("p50=250µs", Percentile::P50, 250.0),
        ] {
            assert_eq!(text.parse::<Objective>().unwrap(), Objective { percentile, limit_us });
        }
        for text in
            ["p99", "p95=20ms", "p99=20", "p99=ms", "p99=0ms", "p99=-1ms", "p99=1.2.3ms", "=", "p99=20 ms"]
        {
            assert!(text.parse::<Objective>().unwrap_err().contains("p99=20ms"), "{text}");
        }
        assert_eq!("p99.9=1500us".parse::<Objective>().unwrap().to_string(), "p99.9=1.5ms");
    }
}
