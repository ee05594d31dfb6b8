//! Which round's network a run recommends. A budget is held against what was measured, not against what was predicted.

use super::{
    Run,
    budget::{BudgetSummary, TailSummary},
    summary::RoundSummary,
    traffic::Replays,
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

impl Run<'_> {
    /// Position of the recommended round.
    pub(super) fn recommend(&self, rounds: &[RoundSummary]) -> usize {
        let costs: Vec<Cost> = rounds.iter().map(|round| self.cost(round)).collect();
        best(&costs, self.budget_ms())
    }

    /// The winner against the budget, where there is one: for a percentile, in the run's last replay.
    pub(super) fn budget(&self, winner: &RoundSummary, replays: &Replays) -> Option<BudgetSummary> {
        let budget_ms = self.budget_ms()?;
        let Some(BudgetSummary { tail: Some(tail), .. }) = winner.tail else {
            let cost = self.cost(winner);
            let met = cost.within(budget_ms);
            return Some(BudgetSummary { budget_ms, measured_ms: Some(cost.ms), met, tail: None });
        };
        let replayed = replays.get(&self.settings.target.engine)?.first()?;
        Some(self.tail_summary(tail.objective, winner.feature_ms, tail.predicted_ms, replayed))
    }

    fn budget_ms(&self) -> Option<f64> {
        self.settings.derive.budget().map(|budget| budget.limit_ms())
    }

    fn cost(&self, round: &RoundSummary) -> Cost {
        let auc = round.network.metrics.auc.unwrap_or(0.0);
        if let Some(BudgetSummary { tail: Some(TailSummary { upper_ms, valid, .. }), .. }) = round.tail {
            return Cost { auc, ms: upper_ms.unwrap_or(f64::INFINITY), void: !valid || upper_ms.is_none() };
        }
        let target = &round.engines[&self.settings.target.engine];
        Cost { auc, ms: round.feature_ms + target.measured_ms, void: target.winner_void }
    }
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
    fn a_void_measurement_keeps_no_budget() {
        let doubtful = Cost { void: true, ..cost(0.73, 0.9) };
        assert_eq!(best(&[doubtful, cost(0.71, 1.0)], Some(1.0)), 1);
        assert_eq!(best(&[doubtful, cost(0.71, 1.0)], None), 0, "without a budget the AUC decides");
        assert!(!doubtful.within(1.0));
    }
}
