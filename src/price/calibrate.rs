//! Measured networks of a round correct a table, and judge it before and after.
//!
//! What a correction is, and how it is fitted, stands in [`correction`](super::correction); whether it is paid is decided in
//! [`choice`](super::choice).

pub use super::correction::{Correction, MIN_FACTOR, StepFactor};
use super::{
    agreement::{Agreement, Residual, Shape},
    choice::{Choice, choose, confirm, off_pct},
    observation::Observation,
    resolved::TablePrices,
    table::{Bucket, LatencyTable, TableContext, put},
    widths,
};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Measured networks of one round under the same circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The circumstances.
    pub context: &'a TableContext,
    /// Candidates per request.
    pub candidates: usize,
    /// The table learns from these.
    pub fitted: &'a [Observation],
    /// Measured to judge the table, which never learns from them.
    pub held_out: &'a [Observation],
}

/// How one version of the table agrees with measured networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// [`LatencyTable::id`].
    pub table: String,
    /// Networks that this table had seen: it may have been fitted on them.
    pub seen: Option<Agreement>,
    /// Networks of this round that the newer table learns from and this one had not seen: predictions.
    pub unseen: Option<Agreement>,
    /// Networks that no table of the run learns from, of shapes that none has seen.
    pub held_out: Option<Agreement>,
    /// One per network that any table learnt from, each with what this one knew of it.
    pub fitted_networks: Vec<Residual>,
    /// One per held-out network.
    pub held_out_networks: Vec<Residual>,
}

/// What a calibration changed under one set of circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The circumstances.
    pub context: TableContext,
    /// Candidates per request.
    pub candidates: usize,
    /// Which correction is paid from now on, and why.
    pub choice: Choice,
    /// The table as it was.
    pub before: Fit,
    /// The table as it is now.
    pub after: Fit,
}

/// The next version of `table`, corrected by all observations so far and the fitted ones of `evidence` where that predicts
/// better, and what that changed, in the order of `evidence`.
///
/// A network that was observed before is replaced by its newer measurement. Held-out networks that equal a fitted one, of
/// this round or an earlier one, judge nothing; the others reject a change that makes their predictions worse, and stay in the
/// table, so that whoever fits it anew has the same judges. Fails when a network of `evidence` has a layer without a raw price, or a
/// measurement is no latency; older networks without a price correct nothing.
pub fn calibrate(table: &LatencyTable, evidence: &[Evidence]) -> Result<(LatencyTable, Vec<Calibration>)> {
    let networks: usize = evidence.iter().map(|e| e.fitted.len()).sum();
    let mut next = table.successor(format!("calibration with {networks} measured networks"));
    let mut choices = Vec::with_capacity(evidence.len());
    for Evidence { context, candidates, fitted, held_out } in evidence {
        let known = table.bucket(context, *candidates)?;
        if let Some(problem) = fitted.iter().chain(*held_out).find_map(Observation::problem) {
            return Err(Error::usage(problem, "replay the network again"));
        }
        let origin = next.own_origin(&context.host);
        let bucket = next.bucket_or_new(context, *candidates);
        for observation in *fitted {
            let observation = Observation { origin, ..observation.clone() };
            match bucket.observations.binary_search_by(|known| known.order(&observation)) {
                Ok(at) => bucket.observations[at] = observation,
                Err(at) => bucket.observations.insert(at, observation),
            }
        }
        let raw = TablePrices::new(bucket, &Correction::as_probed(bucket));
        fitted.iter().chain(*held_out).try_for_each(|network| network.predicted_ms(&raw).map(|_| ()))?;
        let new = |o: &Observation| known.shape_of(o) == Shape::Unseen;
        let chosen = choose(bucket, known.correction.as_ref(), new)?;
        let judges: Vec<&Observation> =
            held_out.iter().filter(|o| bucket.shape_of(o) == Shape::Unseen).collect();
        let (correction, choice) = confirm(bucket, known.correction.as_ref(), chosen, &judges)?;
        bucket.correction = correction;
        for judge in *held_out {
            put(&mut bucket.held_out, Observation { origin, ..judge.clone() }, Observation::order);
        }
        bucket.judge_by_unlearnt();
        choices.push(choice);
    }
    let calibrations = evidence
        .iter()
        .zip(choices)
        .map(|(Evidence { context, candidates, held_out, .. }, choice)| {
            let bucket = next.bucket(context, *candidates)?;
            let fitted = &bucket.observations;
            let unseen = held_out.iter().filter(|o| bucket.shape_of(o) == Shape::Unseen);
            let unseen: Vec<Observation> = unseen.cloned().collect();
            Ok(Calibration {
                context: (*context).clone(),
                candidates: *candidates,
                choice,
                before: Fit::of(table, context, *candidates, fitted, &unseen)?,
                after: Fit::of(&next, context, *candidates, fitted, &unseen)?,
            })
        })
        .collect::<Result<_>>()?;
    Ok((next, calibrations))
}

impl Bucket {
    /// Derives anew what follows from raw values and observations: the correction, and how far prices between probed widths are
    /// off. The held-out networks have their veto: a correction that predicts them worse than the best of `before`, or than prices
    /// as probed, is not paid.
    pub(super) fn refit(&mut self, before: &[Correction]) -> Result<Choice> {
        self.between_widths = widths::left_out(self);
        let raw = TablePrices::new(self, &Correction::as_probed(self));
        let judges: Vec<&Observation> = self.held_out.iter().filter(|o| o.has_price(&raw)).collect();
        let mut best = (None, off_pct(self, None, &judges)?);
        for correction in before {
            let error = off_pct(self, Some(correction), &judges)?;
            if error < best.1 {
                best = (Some(correction), error);
            }
        }
        let (correction, choice) = confirm(self, best.0, choose(self, None, |_| true)?, &judges)?;
        self.correction = correction;
        Ok(choice)
    }

    /// Keeps those judges that the table has not learnt from.
    pub(super) fn judge_by_unlearnt(&mut self) {
        let learnt = &self.observations;
        self.held_out.retain(|o| learnt.binary_search_by(|known| known.order(o)).is_err());
    }

    /// Networks, learnt from or held out, that have layers without a price, such as where a shard is missing: they correct and judge
    /// nothing.
    pub fn unpriced(&self) -> usize {
        let raw = TablePrices::new(self, &Correction::as_probed(self));
        self.observations.iter().chain(&self.held_out).filter(|network| !network.has_price(&raw)).count()
    }

    /// Whether the bucket holds a measurement of this shape, to learn from or to judge by.
    pub fn knows(&self, observation: &Observation) -> bool {
        let lists = [&self.observations, &self.held_out];
        lists.iter().any(|list| list.binary_search_by(|known| known.order(observation)).is_ok())
    }

    /// Whether the bucket holds a measurement of this shape.
    pub fn shape_of(&self, observation: &Observation) -> Shape {
        match self.observations.binary_search_by(|known| known.order(observation)) {
            Ok(_) => Shape::Seen,
            Err(_) => Shape::Unseen,
        }
    }
}

impl Fit {
    /// Judges the prices of `table` by measured networks: `fitted` are those that it or a later table learns from. Networks with
    /// layers that it has no price for are left out.
    pub fn of(
        table: &LatencyTable,
        context: &TableContext,
        candidates: usize,
        fitted: &[Observation],
        held_out: &[Observation],
    ) -> Result<Self> {
        let (prices, bucket) = (table.prices(context, candidates)?, table.bucket(context, candidates)?);
        let judge = |observations: &[Observation]| {
            let residual = |o| Residual::of(o, &prices, bucket.shape_of(o));
            let priced = observations.iter().filter(|o| o.has_price(&prices));
            priced.map(residual).collect::<Result<Vec<_>>>()
        };
        let (fitted_networks, held_out_networks) = (judge(fitted)?, judge(held_out)?);
        let of = |shape| {
            let residuals = fitted_networks.iter().filter(|residual| residual.shape == shape);
            Agreement::of(&residuals.cloned().collect::<Vec<_>>())
        };
        Ok(Self {
            table: table.id(),
            seen: of(Shape::Seen),
            unseen: of(Shape::Unseen),
            held_out: Agreement::of(&held_out_networks),
            fitted_networks,
            held_out_networks,
        })
    }
}
