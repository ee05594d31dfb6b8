//! What a search that has gone wrong looks like at its end, and what mends it.

use super::{SearchOutcome, seen::Seen};
use crate::{
    learn::settings::{Multiplier, Paths, SearchSettings},
    space::{Operator, SearchSpace},
};

/// θ beyond this, or below one less it, is decided.
const DECIDED: f64 = 0.95;

/// How often features of which none matters may look as if one did.
const BY_CHANCE: f64 = 0.05;

/// A line for everything that is wrong with the end of a search within `budget_ms`; none where all is well.
pub(super) fn warnings(
    space: &SearchSpace,
    outcome: &SearchOutcome,
    seen: &Seen,
    settings: &SearchSettings,
    budget_ms: Option<f64>,
) -> Vec<String> {
    // Where λ follows a budget, its start decides little.
    let held_ms = budget_ms.filter(|_| settings.multiplier != Multiplier::Fixed);
    let learned: Vec<usize> = (0..space.features.len())
        .filter(|&i| !space.features[i].must_keep && !space.features[i].never)
        .collect();
    let all =
        |holds: &dyn Fn(f64) -> bool| learned.iter().all(|&i| holds(outcome.theta[i])) && !learned.is_empty();
    let mut found = Vec::new();
    // A budget that affords all features is kept by all of them.
    if held_ms.is_none() && all(&|theta| theta > DECIDED) {
        found.push(format!(
            "every θ is above {DECIDED}: the search has dropped no feature. Raise [search] lambda (now {}), or derive by top_k or budget",
            settings.lambda
        ));
    }
    if all(&|theta| theta < 1.0 - DECIDED) {
        let cheaper = match held_ms {
            Some(budget_ms) => format!("Raise the budget (now {budget_ms} ms)"),
            None => format!("Lower [search] lambda (now {})", settings.lambda),
        };
        found.push(format!(
            "every θ is below {:.2}: the search has closed all features, and what is derived keeps one of the candidates' at least only \
             by top_k or budget. {cheaper}, or let λ rise over more epochs (lambda_ramp_epochs, now {})",
            1.0 - DECIDED,
            settings.lambda_ramp_epochs
        ));
    }
    found.extend(noise(&learned, seen));
    found.extend(collapse(space, outcome, settings, held_ms));
    found
}

/// Whether no feature's gradient can be told from noise.
fn noise(learned: &[usize], seen: &Seen) -> Option<String> {
    let t = seen.t_values()?;
    let largest = learned.iter().map(|&i| t[i].abs()).reduce(f64::max)?;
    // Of so many normal numbers one is beyond this at most so often: P(|t| > c) ≤ e^(−c²/2).
    let beyond = (2.0 * (learned.len() as f64 / BY_CHANCE).ln()).sqrt();
    (largest < beyond).then(|| {
        format!(
            "θ has moved within its noise: over {} steps the mean gradient of no feature is {beyond:.1} standard errors from 0 (the \
             largest is {largest:.1}), so their order says little. Search longer ([search] epochs), with larger batches or more \
             held-out rows",
            seen.steps()
        )
    })
}

/// Whether no layer is left, though there was a choice.
fn collapse(
    space: &SearchSpace,
    outcome: &SearchOutcome,
    settings: &SearchSettings,
    held_ms: Option<f64>,
) -> Option<String> {
    let strongest = |p: &Vec<f64>| (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a)));
    let zero = |(operators, p): (&Vec<Operator>, &Vec<f64>)| {
        strongest(p).is_some_and(|k| operators[k] == Operator::Zero)
    };
    let choice = space.mixops.iter().flatten().any(|operator| operator.width().is_some());
    let collapsed = choice && space.mixops.iter().zip(&outcome.probabilities).all(zero);
    let paths = match settings.paths {
        Paths::Sampled { count: 1 } => ", or train two paths per Mixop ([search] paths)",
        _ => "",
    };
    let cheaper = match held_ms {
        Some(budget_ms) => format!("raise the budget (now {budget_ms} ms)"),
        None => format!("lower it (lambda2, now {})", settings.lambda2),
    };
    collapsed.then(|| {
        format!(
            "every Mixop has chosen its zero operator: the derived network has no layer. If it needs one, warm the weights up for \
             longer ([search] warmup_epochs, now {}), let α rest at first (alpha_schedule.begin, now {}), let the price rise later \
             (lambda_ramp_epochs, now {}) or {cheaper}{paths}",
            settings.warmup_epochs, settings.alpha_schedule.begin, settings.lambda_ramp_epochs
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::fixtures::{feature, space_of};

    fn space() -> SearchSpace {
        let mut kept = feature("kept", 4);
        kept.must_keep = true;
        space_of(vec![kept, feature("a", 4), feature("b", 4)], &[&[8, 0], &[4, 0]])
    }

    /// What is said of an outcome, where the gradients of the three features were such in two steps.
    fn said(theta: [f64; 3], p: [[f64; 2]; 2], gradients: [[f32; 3]; 2]) -> String {
        said_within(None, theta, p, gradients)
    }

    fn said_within(
        budget_ms: Option<f64>,
        theta: [f64; 3],
        p: [[f64; 2]; 2],
        gradients: [[f32; 3]; 2],
    ) -> String {
        let mut seen = Seen::default();
        gradients.iter().for_each(|gradient| seen.add(0.5, Some(gradient)));
        let outcome = SearchOutcome::of(theta.to_vec(), p.iter().map(|p| p.to_vec()).collect());
        warnings(&space(), &outcome, &seen, &SearchSettings::default(), budget_ms).join("\n")
    }

    const MIXED: [[f64; 2]; 2] = [[0.3, 0.7], [0.6, 0.4]];
    const CLEAR: [[f32; 3]; 2] = [[0.0, 1.0, 0.1], [0.0, 1.1, -0.2]];

    #[test]
    fn a_sound_search_is_not_warned_of() {
        assert_eq!(said([1.0, 0.97, 0.2], MIXED, CLEAR), "");
        assert_eq!(said([1.0, 0.02, 0.5], MIXED, CLEAR), "");
    }

    #[test]
    fn under_a_budget_that_moves_lambda_the_budget_is_what_to_change() {
        let within = |theta, p| said_within(Some(1.5), theta, p, CLEAR);
        assert_eq!(within([1.0, 0.97, 0.99], MIXED), "");
        let closed = within([1.0, 0.01, 0.04], MIXED);
        assert!(closed.contains("Raise the budget (now 1.5 ms)") && !closed.contains("lambda ("), "{closed}");
        let flat = within([1.0, 0.4, 0.6], [[0.3, 0.7], [0.4, 0.6]]);
        assert!(flat.contains("raise the budget") && !flat.contains("lambda2"), "{flat}");
    }

    #[test]
    fn every_failure_is_named_with_what_mends_it() {
        let open = said([1.0, 0.97, 0.99], MIXED, CLEAR);
        assert!(open.contains("above 0.95") && open.contains("Raise [search] lambda (now 0.01)"), "{open}");
        let closed = said([1.0, 0.01, 0.04], MIXED, CLEAR);
        assert!(closed.contains("below 0.05") && closed.contains("Lower [search] lambda"), "{closed}");
        let drifting = said([1.0, 0.4, 0.6], MIXED, [[0.0, 1.0, -0.1], [0.0, -0.9, 0.2]]);
        assert!(drifting.contains("over 2 steps") && drifting.contains("[search] epochs"), "{drifting}");
        let flat = said([1.0, 0.4, 0.6], [[0.3, 0.7], [0.4, 0.6]], CLEAR);
        assert!(flat.contains("no layer") && flat.contains("warmup_epochs, now 1"), "{flat}");
        for text in [open, closed, drifting, flat] {
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}
