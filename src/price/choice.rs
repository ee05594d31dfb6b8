//! Which correction is paid: none, the one before, or a refit to all observations so far. A refit can be worse than what
//! it replaces, when few networks say little more than noise; so it has to predict networks better that it was not fitted
//! on.
//!
//! The judges are this round's fitted networks that the table had not seen: the correction before knows nothing of them,
//! and the refit predicts each of them from a fit to all others (leave-one-out). Where fewer than three are new,
//! all observations judge, and the correction before is judged on networks that it may know, to its advantage. The one
//! before stays unless another one's mean |residual| is lower by more than the standard error of that difference.
//!
//! Networks that are held out to judge predictions propose nothing. They have a veto: a change that makes their mean |residual|
//! larger is rejected, and what was paid before stays.

use super::{
    LayerPrices,
    agreement::{Residual, Shape},
    correction::Correction,
    observation::Observation,
    resolved::TablePrices,
    table::Bucket,
};
use crate::base::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fewer networks change nothing: a difference of two values has no standard error worth the name.
const LEAST_JUDGES: usize = 3;

/// The correction that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// None: prices as probed.
    Raw,
    /// That of the table before.
    Previous,
    /// The fit to all observations so far.
    Refit,
}

/// What was kept, and the mean |residual| of all that could have been.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Networks that judged.
    pub judges: usize,
    /// What is paid from now on.
    pub kept: Kept,
    /// Error of the prices as probed, in percent; absent without judges.
    pub raw_pct: Option<f64>,
    /// Error of the correction before; absent when there was none.
    pub previous_pct: Option<f64>,
    /// Leave-one-out error of the refit.
    pub refit_pct: Option<f64>,
    /// Networks that correct nothing, because they have layers without a price.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: usize,
    /// The change that held-out networks rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
}

/// A change that would have made predictions of held-out networks worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// What would have been kept otherwise.
    pub change: Kept,
    /// Held-out networks.
    pub networks: usize,
    /// Their mean |residual| with what was paid before, in percent.
    pub before_pct: f64,
    /// The same after the change.
    pub after_pct: f64,
}

impl Choice {
    /// Nothing was learnt, so nothing changes.
    fn unchanged(previous: Option<&Correction>) -> Self {
        let kept = if previous.is_some() { Kept::Previous } else { Kept::Raw };
        Self {
            judges: 0,
            kept,
            raw_pct: None,
            previous_pct: None,
            refit_pct: None,
            unpriced: 0,
            rejected: None,
        }
    }
}

/// For serde, which leaves such a count out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kept {
            Kept::Raw => "prices stay as probed",
            Kept::Previous => "the correction before stays",
            Kept::Refit => "corrected anew",
        })?;
        let known = [("as probed", self.raw_pct), ("before", self.previous_pct), ("anew", self.refit_pct)];
        let known: Vec<_> =
            known.iter().filter_map(|(name, pct)| pct.map(|pct| format!("{name} {pct:.1} %"))).collect();
        if !known.is_empty() {
            write!(f, " (judged on {}: {} off)", networks(self.judges), known.join(", "))?;
        }
        if self.unpriced > 0 {
            write!(f, "; {} with layers without a price left out", networks(self.unpriced))?;
        }
        let Some(Rejection { change, networks: held_out, before_pct, after_pct }) = self.rejected else {
            return Ok(());
        };
        let change = if change == Kept::Refit { "the refit" } else { "going back to prices as probed" };
        let held_out = networks(held_out);
        write!(
            f,
            "; {change} is rejected: it makes {held_out} held out {before_pct:.1} → {after_pct:.1} % off"
        )
    }
}

fn networks(count: usize) -> String {
    match count {
        1 => "1 network".to_owned(),
        count => format!("{count} networks"),
    }
}

/// The correction of `bucket`, whose observations are complete, when `previous` was paid before. `new` says which
/// observations came now.
pub(super) fn choose(
    bucket: &Bucket,
    previous: Option<&Correction>,
    new: impl Fn(&Observation) -> bool,
) -> Result<(Option<Correction>, Choice)> {
    let probed = TablePrices::new(bucket, &Correction::as_probed(bucket));
    let priced = |&at: &usize| bucket.observations[at].has_price(&probed);
    let all: Vec<usize> = (0..bucket.observations.len()).filter(priced).collect();
    let unpriced = bucket.observations.len() - all.len();
    let fresh: Vec<usize> = all.iter().copied().filter(|&at| new(&bucket.observations[at])).collect();
    let judges = if fresh.len() < LEAST_JUDGES { all } else { fresh };
    if judges.is_empty() {
        return Ok((previous.cloned(), Choice { unpriced, ..Choice::unchanged(previous) }));
    }
    let fixed = |correction: &Correction| {
        let prices = TablePrices::new(bucket, correction);
        judges.iter().map(|&at| residual_pct(&bucket.observations[at], &prices)).collect::<Result<Vec<f64>>>()
    };
    let raw = fixed(&Correction::as_probed(bucket))?;
    let before = previous.map(&fixed).transpose()?;
    let refit: Vec<f64> = judges.iter().map(|&at| left_out_pct(bucket, at)).collect::<Result<_>>()?;

    let incumbent = before.as_ref().unwrap_or(&raw);
    let challengers = [(Kept::Raw, &raw), (Kept::Refit, &refit)];
    let better = challengers.into_iter().filter(|(_, errors)| clearly_lower(errors, incumbent));
    let best = better.min_by(|a, b| mean(a.1).total_cmp(&mean(b.1)));
    let kept = best.map_or(Choice::unchanged(previous).kept, |(kept, _)| kept);
    let correction = match kept {
        Kept::Raw => None,
        Kept::Previous => previous.cloned(),
        Kept::Refit => Some(Correction::fit(bucket, None)?),
    };
    let choice = Choice {
        judges: judges.len(),
        kept,
        raw_pct: Some(mean(&raw)),
        previous_pct: before.as_deref().map(mean),
        refit_pct: Some(mean(&refit)),
        unpriced,
        rejected: None,
    };
    Ok((correction, choice))
}

/// The choice, unless it makes predictions of `held_out` networks worse, which `bucket` has not seen.
pub(super) fn confirm(
    bucket: &Bucket,
    previous: Option<&Correction>,
    (correction, choice): (Option<Correction>, Choice),
    held_out: &[&Observation],
) -> Result<(Option<Correction>, Choice)> {
    let unchanged = Choice::unchanged(previous).kept;
    if choice.kept == unchanged || held_out.is_empty() {
        return Ok((correction, choice));
    }
    let before_pct = off_pct(bucket, previous, held_out)?;
    let after_pct = off_pct(bucket, correction.as_ref(), held_out)?;
    if after_pct <= before_pct {
        return Ok((correction, choice));
    }
    let rejected = Rejection { change: choice.kept, networks: held_out.len(), before_pct, after_pct };
    Ok((previous.cloned(), Choice { kept: unchanged, rejected: Some(rejected), ..choice }))
}

/// Mean |residual| of `networks` under a correction, or under prices as probed; 0 without any network.
pub(super) fn off_pct(
    bucket: &Bucket,
    correction: Option<&Correction>,
    networks: &[&Observation],
) -> Result<f64> {
    let prices = match correction {
        Some(correction) => TablePrices::new(bucket, correction),
        None => TablePrices::new(bucket, &Correction::as_probed(bucket)),
    };
    let errors = networks.iter().map(|observation| residual_pct(observation, &prices));
    let errors = errors.collect::<Result<Vec<_>>>()?;
    Ok(if errors.is_empty() { 0.0 } else { mean(&errors) })
}

fn residual_pct(observation: &Observation, prices: &dyn LayerPrices) -> Result<f64> {
    Ok(Residual::of(observation, prices, Shape::Unseen)?.residual_pct.abs())
}

/// Error on one network of the fit to all others.
fn left_out_pct(bucket: &Bucket, at: usize) -> Result<f64> {
    residual_pct(&bucket.observations[at], &TablePrices::new(bucket, &Correction::fit(bucket, Some(at))?))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether the mean of `errors` is below that of `others` by more than the standard error of the paired difference.
fn clearly_lower(errors: &[f64], others: &[f64]) -> bool {
    let gains: Vec<f64> = others.iter().zip(errors).map(|(other, error)| other - error).collect();
    let count = gains.len();
    if count < LEAST_JUDGES {
        return false;
    }
    let gain = mean(&gains);
    let variance = gains.iter().map(|g| (g - gain).powi(2)).sum::<f64>() / (count - 1) as f64;
    gain > (variance / count as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_from_its_standard_error_on() {
        // Gains of 1 ± 1: mean 1, deviation √(4/3)·1, standard error 0.577.
        assert!(clearly_lower(&[0.0, 2.0, 0.0, 2.0], &[2.0, 2.0, 2.0, 2.0]));
        // Gains 4, −2, 4, −2: mean 1, standard error 1.73.
        assert!(!clearly_lower(&[0.0, 6.0, 0.0, 6.0], &[4.0, 4.0, 4.0, 4.0]));
        assert!(!clearly_lower(&[0.0, 0.0], &[9.0, 9.0]), "two networks are too few");
        assert!(!clearly_lower(&[1.0; 9], &[1.0; 9]), "equal is not lower");
    }

    #[test]
    fn a_choice_is_said_with_the_errors_that_decided_it() {
        let choice = Choice {
            judges: 9,
            kept: Kept::Refit,
            raw_pct: Some(8.04),
            previous_pct: None,
            refit_pct: Some(3.1),
            unpriced: 0,
            rejected: None,
        };
        let text = "corrected anew (judged on 9 networks: as probed 8.0 %, anew 3.1 % off)";
        assert_eq!(choice.to_string(), text);
        let rejected = Rejection { change: Kept::Refit, networks: 4, before_pct: 3.05, after_pct: 4.0 };
        let choice = Choice { kept: Kept::Previous, rejected: Some(rejected), ..choice };
        let text = "the correction before stays (judged on 9 networks: as probed 8.0 %, anew 3.1 % off); \
                    the refit is rejected: it makes 4 networks held out 3.0 → 4.0 % off";
        assert_eq!(choice.to_string(), text);
        let choice = Choice { kept: Kept::Previous, unpriced: 2, ..Choice::unchanged(None) };
        let text = "the correction before stays; 2 networks with layers without a price left out";
        assert_eq!(choice.to_string(), text);
    }
}
