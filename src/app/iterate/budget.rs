//! What a stated budget came to, for people and for `summary.json`.

use crate::{
    base::{Error, objective::Objective},
    measure::tail::Load,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a stated budget came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BudgetSummary {
    /// Features and network together, as `derive.budget_ms` or the limit of `derive.objective` says.
    pub budget_ms: f64,
    /// Price of the winner's features and its measured service time on the target's engine; for an objective its
    /// measured percentile, absent where too few requests earn that.
    pub measured_ms: Option<f64>,
    /// Whether the winner keeps the budget. A measurement that is too noisy to be believed shows that of nothing.
    pub met: bool,
    /// The percentile that the budget is one of; absent for the mean.
    #[serde(flatten)]
    pub tail: Option<TailSummary>,
}

/// A percentile of the response under load, with what was forecast for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TailSummary {
    /// The percentile and its limit.
    pub objective: Objective,
    /// Under which load.
    #[serde(flatten)]
    pub load: Load,
    /// Price of the features and the percentile that the search's forecast gives for the predicted service time.
    pub predicted_ms: f64,
    /// Price of the features and the upper bound of the measured percentile, with 99 % confidence: what is held
    /// against the budget. Absent where too few requests earn it.
    pub upper_ms: Option<f64>,
    /// Whether the replay may be believed.
    pub valid: bool,
}

impl BudgetSummary {
    /// The error of a budget that no round's network kept; `nearest` came nearest.
    pub(super) fn missed(&self, nearest: &str) -> Error {
        let Self { budget_ms, measured_ms, tail, .. } = self;
        match tail {
            None => Error::Limit {
                limit: format!("a measured budget of {budget_ms} ms for features and network"),
                found: format!(
                    "no round found a network within it; the nearest, {nearest}, was measured at {} (or too noisy to be \
                     believed); raise [derive] budget_ms, or widen [space] downwards",
                    Ms(*measured_ms)
                ),
            },
            Some(TailSummary { objective, load, .. }) => Error::Limit {
                limit: format!("the objective {objective} at {load} for features and network"),
                found: format!(
                    "the run's network {nearest} shows {self}; raise [derive] objective, lower [traffic] qps, add workers, \
                     or widen [space] downwards; more [traffic] requests bound the percentile closer"
                ),
            },
        }
    }
}

impl fmt::Display for BudgetSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget_ms, measured_ms, met, tail } = self;
        let measured = Ms(*measured_ms);
        let Some(TailSummary { objective, load, predicted_ms, upper_ms, valid }) = tail else {
            let verdict = if *met { "within the budget" } else { "NOT WITHIN the budget" };
            return write!(f, "{measured}, {verdict} of {budget_ms} ms");
        };
        let percentile = objective.percentile.name();
        write!(
            f,
            "{percentile} {predicted_ms:.3} ms predicted, {measured} measured, at most {}",
            Ms(*upper_ms)
        )?;
        let verdict = match (met, valid) {
            (true, _) => "within the objective",
            (false, true) => "NOT WITHIN the objective",
            (false, false) => "a replay that is NOT VALID, which shows nothing of the objective",
        };
        write!(f, " with 99 % confidence: {verdict} {objective} at {load}")
    }
}

/// A time, or that there is none.
struct Ms(Option<f64>);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => write!(f, "{ms:.3} ms"),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(measured_ms: f64, met: bool) -> BudgetSummary {
        BudgetSummary { budget_ms: 2.0, measured_ms: Some(measured_ms), met, tail: None }
    }

    fn tail(met: bool, valid: bool) -> BudgetSummary {
        let tail = TailSummary {
            objective: "p99=20ms".parse().unwrap(),
            load: Load { offered_qps: 50.0, workers: 2 },
            predicted_ms: 17.5,
            upper_ms: Some(19.25),
            valid,
        };
        BudgetSummary { budget_ms: 20.0, measured_ms: Some(18.0), met, tail: Some(tail) }
    }

    #[test]
    fn a_budget_is_said_with_what_was_measured_and_an_objective_with_its_prediction_and_its_bound() {
        assert_eq!(mean(1.5, true).to_string(), "1.500 ms, within the budget of 2 ms");
        assert_eq!(mean(2.5, false).to_string(), "2.500 ms, NOT WITHIN the budget of 2 ms");
        let measured =
            "p99 17.500 ms predicted, 18.000 ms measured, at most 19.250 ms with 99 % confidence: ";
        let stated = "p99=20ms at 50 requests per second to 2 workers";
        assert_eq!(tail(true, true).to_string(), format!("{measured}within the objective {stated}"));
        assert_eq!(tail(false, true).to_string(), format!("{measured}NOT WITHIN the objective {stated}"));
        assert!(
            tail(false, false)
                .to_string()
                .contains("NOT VALID, which shows nothing of the objective p99=20ms")
        );
        let unearned = BudgetSummary { measured_ms: None, ..tail(false, true) };
        assert!(unearned.to_string().contains(", unknown measured,"), "{unearned}");
    }

    #[test]
    fn a_missed_budget_is_a_limit_with_what_can_be_done() {
        for (missed, expected) in [
            (mean(2.5, false), ["a measured budget of 2 ms", "measured at 2.500 ms", "[derive] budget_ms"]),
            (
                tail(false, true),
                ["the objective p99=20ms at 50 requests", "at most 19.250 ms", "add workers"],
            ),
        ] {
            let error = missed.missed("f9-8-abc");
            assert!(matches!(error, Error::Limit { .. }));
            let text = error.to_string();
            assert!(expected.iter().all(|part| text.contains(part)) && text.contains("f9-8-abc"), "{text}");
        }
    }

    #[test]
    fn both_kinds_read_back_and_a_mean_says_nothing_of_a_load() {
        for budget in [mean(1.5, true), tail(false, true)] {
            let text = serde_json::to_string(&budget).unwrap();
            assert_eq!(serde_json::from_str::<BudgetSummary>(&text).unwrap(), budget, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&mean(1.5, true)).unwrap(),
            r#"{"budget_ms":2.0,"measured_ms":1.5,"met":true}"#
        );
    }
}
