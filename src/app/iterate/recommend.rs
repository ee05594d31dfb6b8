//! When a run has found what there is to find, and which round's network it recommends. A budget is held against what was
//! measured, not against what was predicted.

use super::{
    Run,
    budget::{BudgetSummary, TailSummary},
    measured::Calibrated,
    summary::RoundSummary,
    traffic::Replays,
    training::Trained,
};
use crate::{
    base::{Result, names::EngineName},
    learn::settings::DeriveSettings,
    price::path::subnet_ms,
};

/// What decides between rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    auc: f64,
    ms: f64,
    void: bool,
}

impl Cost {
    fn within(&self, budget_ms: f64) -> bool {
        !self.void && self.ms <= budget_ms
    }
}

/// Standard errors of the winner's measurement within which its prediction is as good as the measurement.
const WITHIN_NOISE: f64 = 2.0;

/// Whether another round would find nothing new: the last one found the same network as the one before it, and the table
/// predicted it on the target's engine within two standard errors of its measurement.
pub(super) fn converged(rounds: &[RoundSummary], target: EngineName) -> bool {
    let [.., before, last] = rounds else { return false };
    let part = &last.engines[&target];
    let known = !part.winner_void && within_noise(part.residual_pct, part.noise_pct);
    last.network.subnet == before.network.subnet && known
}

fn within_noise(residual_pct: f64, noise_pct: f64) -> bool {
    residual_pct.abs() <= WITHIN_NOISE * noise_pct
}

impl Run<'_> {
    /// Position of the recommended round.
    pub(super) fn recommend(&self, rounds: &[RoundSummary]) -> usize {
        let costs: Vec<Cost> = rounds.iter().map(|round| self.cost(round)).collect();
        best(&costs, self.budget_ms())
    }

    /// A round's network against a budget of the mean, where there is one.
    pub(super) fn mean_budget(&self, round: &RoundSummary) -> Option<BudgetSummary> {
        if self.objective().is_some() {
            return None;
        }
        let (cost, budget_ms) = (self.cost(round), self.budget_ms()?);
        let met = cost.within(budget_ms);
        Some(BudgetSummary { budget_ms, measured_ms: Some(cost.ms), met, tail: None })
    }

    /// The winner against the budget, where there is one: for a percentile, in the run's last replay.
    pub(super) fn budget(&self, winner: &RoundSummary, replays: &Replays) -> Option<BudgetSummary> {
        let Some(BudgetSummary { tail: Some(tail), .. }) = winner.budget else { return winner.budget };
        let replayed = replays.get(&self.settings.target.engine)?.first()?;
        Some(self.tail_summary(tail.objective, winner.feature_ms, tail.predicted_ms, replayed))
    }

    /// The rule of the next round: the stated one. Where this round's winner was measured above a budget of the mean, and the table
    /// that was corrected with it still predicts less, the next round's budget is lower by that share, so that what comes of it is
    /// measured within the stated one.
    pub(super) fn rule_after(&self, winner: &Trained, calibrated: &Calibrated) -> Result<DeriveSettings> {
        let stated = self.settings.derive;
        let (DeriveSettings::Budget(budget), None) = (stated, self.objective()) else { return Ok(stated) };
        let subnet = &winner.finished.subnet;
        let part = &calibrated.engines[&self.settings.target.engine];
        let feature_ms = self.feature_ms(subnet);
        let predicted_ms =
            feature_ms + subnet_ms(&self.space, subnet, &self.layer_prices(&calibrated.next)?)?;
        let measured_ms = feature_ms + part.winner_time.ms;
        let factor = budget_factor(budget.limit_ms(), predicted_ms, measured_ms, part.winner_time.void);
        if factor < 1.0 {
            self.progress.say(&format!(
                "measured at {measured_ms:.3} ms and predicted at {predicted_ms:.3} ms: the next round's budget is {:.3} ms",
                factor * budget.limit_ms()
            ));
        }
        Ok(DeriveSettings::Budget(budget.scaled(factor)))
    }

    fn budget_ms(&self) -> Option<f64> {
        self.settings.derive.budget().map(|budget| budget.limit_ms())
    }

    fn cost(&self, round: &RoundSummary) -> Cost {
        let auc = round.network.metrics.auc.unwrap_or(0.0);
        if let Some(BudgetSummary { tail: Some(TailSummary { upper_ms, valid, .. }), .. }) = round.budget {
            return Cost { auc, ms: upper_ms.unwrap_or(f64::INFINITY), void: !valid || upper_ms.is_none() };
        }
        let target = &round.engines[&self.settings.target.engine];
        Cost { auc, ms: round.feature_ms + target.measured_ms, void: target.winner_void }
    }
}

/// By what the next round's budget is multiplied, from what its table predicts for this round's winner and what was measured.
fn budget_factor(budget_ms: f64, predicted_ms: f64, measured_ms: f64, void: bool) -> f64 {
    if void || measured_ms <= budget_ms { 1.0 } else { (predicted_ms / measured_ms).min(1.0) }
}

/// The highest AUC among those within the budget, the faster and then the earlier of equal ones. When none is within, the
/// fastest: the nearest to what was asked for.
fn best(costs: &[Cost], budget_ms: Option<f64>) -> usize {
    let all = || costs.iter().enumerate();
    let within = all().filter(|(_, cost)| budget_ms.is_none_or(|budget_ms| cost.within(budget_ms)));
    let ranked = within.min_by(|(_, a), (_, b)| b.auc.total_cmp(&a.auc).then(a.ms.total_cmp(&b.ms)));
    let fastest = || all().min_by(|(_, a), (_, b)| a.ms.total_cmp(&b.ms));
    ranked.or_else(fastest).expect("one round").0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(auc: f64, ms: f64) -> Cost {
        Cost { auc, ms, void: false }
    }

    #[test]
    fn the_highest_auc_wins_and_of_equal_ones_the_faster() {
        assert_eq!(best(&[cost(0.71, 1.0), cost(0.72, 9.0), cost(0.7, 0.1)], None), 1);
        assert_eq!(best(&[cost(0.72, 2.0), cost(0.72, 1.0), cost(0.72, 1.0)], None), 1);
    }

    #[test]
    fn a_budget_leaves_only_what_was_measured_within_it() {
        let rounds = [cost(0.71, 1.0), cost(0.72, 2.1), cost(0.70, 0.5)];
        assert_eq!(best(&rounds, Some(2.1)), 1);
        assert_eq!(best(&rounds, Some(2.0)), 0);
        assert_eq!(best(&rounds, Some(0.4)), 2, "none is within: the nearest");
    }

    #[test]
    fn a_prediction_is_within_the_noise_up_to_two_standard_errors() {
        assert!(within_noise(-1.9, 1.0) && within_noise(2.0, 1.0) && within_noise(0.0, 0.0));
        assert!(!within_noise(2.1, 1.0) && !within_noise(-2.1, 1.0) && !within_noise(f64::NAN, 1.0));
    }

    #[test]
    fn a_network_above_the_budget_lowers_the_next_rounds_by_what_the_table_still_misses() {
        assert_eq!(budget_factor(2.0, 1.8, 2.4, false), 0.75);
        // The corrected table knows all of it, or predicts more.
        assert_eq!(budget_factor(2.0, 2.4, 2.4, false), 1.0);
        assert_eq!(budget_factor(2.0, 2.6, 2.4, false), 1.0);
        assert_eq!(budget_factor(2.0, 1.5, 2.0, false), 1.0, "the budget was kept");
        assert_eq!(budget_factor(2.0, 1.8, 2.4, true), 1.0, "a void measurement shows nothing");
    }

    #[test]
    fn a_void_measurement_keeps_no_budget() {
        let doubtful = Cost { void: true, ..cost(0.73, 0.9) };
        assert_eq!(best(&[doubtful, cost(0.71, 1.0)], Some(1.0)), 1);
        assert_eq!(best(&[doubtful, cost(0.71, 1.0)], None), 0, "without a budget the AUC decides");
        assert!(!doubtful.within(1.0));
    }
}
