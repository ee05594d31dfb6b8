//! Ranges of settings. The struct that owns a setting knows its range but not the file it came from; so a check gives a
//! [`Violation`] with the key alone, and the reader of the file adds file and table.

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Key within the settings' own table.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What the user can do.
    pub fix: String,
}

impl From<Violation> for super::Error {
    /// For settings that came from no file.
    fn from(Violation { key, problem, fix }: Violation) -> Self {
        Self::usage(format!("`{key}`: {problem}"), fix)
    }
}

/// Nothing, or the first violation.
pub type Checked = Result<(), Violation>;

/// Fails with a violation of `key` unless `holds`.
pub fn ensure(holds: bool, key: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(Violation { key, problem: problem.into(), fix: fix.into() }) }
}

/// A count of at least `least`.
pub fn at_least(key: &'static str, value: usize, least: usize) -> Checked {
    ensure(value >= least, key, format!("{value} is too small"), format!("give at least {least}"))
}

/// A finite number above 0.
pub fn positive(key: &'static str, value: f64) -> Checked {
    let holds = value.is_finite() && value > 0.0;
    ensure(holds, key, format!("{value} is not positive"), "give a number above 0")
}

/// A finite number of at least 0.
pub fn not_negative(key: &'static str, value: f64) -> Checked {
    let holds = value.is_finite() && value >= 0.0;
    ensure(holds, key, format!("{value} is negative or not finite"), "give a number of at least 0")
}

/// A share: from 0 to 1, both included.
pub fn share(key: &'static str, value: f64) -> Checked {
    let holds = (0.0..=1.0).contains(&value);
    ensure(holds, key, format!("{value} is outside 0 to 1"), "give a number from 0 to 1")
}

/// A share below 1.
pub fn share_below_one(key: &'static str, value: f64) -> Checked {
    let holds = (0.0..1.0).contains(&value);
    ensure(holds, key, format!("{value} is outside 0 to 1"), "give a number from 0 to below 1")
}

/// A number between 0 and 1, neither of them included.
pub fn inside(key: &'static str, value: f64) -> Checked {
    let holds = value > 0.0 && value < 1.0;
    ensure(holds, key, format!("{value} is not between 0 and 1"), "give a number above 0 and below 1")
}

/// The widest layer: what is wider is a slip, which would take the machine's memory.
pub const WIDEST_LAYER: usize = 65_536;

/// The most candidates of one request, for the same reason.
pub const MOST_CANDIDATES: usize = 1_000_000;

/// Width of a layer: from 1 to [`WIDEST_LAYER`].
pub fn width(key: &'static str, value: usize) -> Checked {
    let holds = (1..=WIDEST_LAYER).contains(&value);
    ensure(holds, key, format!("a layer of width {value}"), format!("give widths from 1 to {WIDEST_LAYER}"))
}

/// Widths of layers.
pub fn widths(key: &'static str, value: &[usize]) -> Checked {
    value.iter().try_for_each(|&value| width(key, value))
}

/// Candidates of a request: from 1 to [`MOST_CANDIDATES`].
pub fn candidates(key: &'static str, value: usize) -> Checked {
    let holds = (1..=MOST_CANDIDATES).contains(&value);
    let problem = format!("a request of {value} candidates");
    ensure(holds, key, problem, format!("give a number from 1 to {MOST_CANDIDATES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_check_accepts_nan() {
        for check in [positive, not_negative, share, share_below_one, inside] {
            assert_eq!(check("x", f64::NAN).unwrap_err().key, "x");
            assert!(check("x", 0.5).is_ok());
            assert!(check("x", -0.5).is_err());
        }
    }

    #[test]
    fn the_ends_of_ranges_are_as_stated() {
        assert!(share("x", 1.0).is_ok());
        assert!(share_below_one("x", 1.0).is_err());
        assert!(inside("x", 0.0).is_err() && inside("x", 1.0).is_err());
        assert!(not_negative("x", 0.0).is_ok());
        assert!(positive("x", 0.0).is_err());
        assert!(at_least("x", 0, 1).is_err());
        for (least, most, check) in
            [(1, WIDEST_LAYER, width as fn(_, _) -> _), (1, MOST_CANDIDATES, candidates)]
        {
            assert!(check("x", least).is_ok() && check("x", most).is_ok());
            assert!(check("x", least - 1).is_err() && check("x", most + 1).is_err());
        }
        assert!(widths("x", &[8, 0]).is_err() && widths("x", &[8, usize::MAX]).is_err());
    }
}
