//! The leakage alarm: features that are too good to be true, or that can teach nothing.
//!
//! A column that is known only after the label (time watched, a purchase) wins every search and is not there when candidates are
//! scored. Nothing but the user knows when a value is known, so these are warnings, by what the values alone say of the label:
//!
//! | reason | when |
//! | --- | --- |
//! | implausible | the AUC of the feature alone is [`IMPLAUSIBLE_AUC`] or more |
//! | far above | it is [`FAR_AUC`] or more, and its distance from ½ at least [`FAR_TIMES`] times that of the best feature below |
//! | decides the label | values that [`DECIDED`] of the rows agree on hold [`DECIDED_SHARE`] of the positive, or of the negative, rows |
//! | constant | all rows hold the same value, or none |
//! | unique | a value that is no number comes [`UNIQUE_ROWS`] times per row or rarer: nothing can be learned of any |
//!
//! The AUC is out of fold: learned on even rows, judged on odd ones. A schema in which a feature reads
//! the column of a label, of one that is evaluated, or of a teacher's score is refused when it is read.

use super::FeatureCodes;
use crate::{
    base::{Result, rank::is_positive},
    data::{
        dataset::{Dataset, EncodedFeature},
        split::hold_out,
    },
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

/// No feature of a serving system should tell the label that well by itself.
const IMPLAUSIBLE_AUC: f64 = 0.9;
/// From here on a feature is looked at that stands apart from the others.
const FAR_AUC: f64 = 0.8;
/// How many times as far from ½ as the next one it stands then.
const FAR_TIMES: f64 = 2.0;
/// As many features may stand apart together.
const FAR_FEATURES: usize = 3;
/// Share of a value's rows with the same label, from which on it decides the label.
const DECIDED: f64 = 0.99;
/// Rows that a value needs to be said to decide anything.
const DECIDED_ROWS: usize = 100;
/// Share of the rows of one label that deciding values hold.
const DECIDED_SHARE: f64 = 0.2;
/// A label that more of all rows have than this comes with many values by itself.
const ONE_SIDED: f64 = 0.8;
/// Values per row from which on they count as unique.
pub const UNIQUE_ROWS: f64 = 0.95;
/// Rows of each label, at least, for an AUC to mean anything here.
const CLASS_ROWS: usize = 50;
/// Rows that a run looks at, about.
const LOOKED_ROWS: usize = 100_000;

/// Something about a feature that wants a look before anything is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The schema's name.
    pub feature: String,
    /// What is wrong.
    #[serde(flatten)]
    pub reason: Reason,
}

/// What is wrong about a feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It tells the label too well.
    Implausible {
        /// AUC of the feature alone.
        auc: f64,
    },
    /// It tells the label much better than the others.
    FarAbove {
        /// AUC of the feature alone.
        auc: f64,
        /// AUC of the best feature that does not stand apart.
        next_auc: f64,
    },
    /// Some of its values fix the label.
    DecidesLabel {
        /// The label that they fix: 0 or 1.
        label: u8,
        /// Share of the rows of that label that hold such a value.
        share: f64,
    },
    /// All rows say the same.
    Constant,
    /// Hardly any value comes twice.
    Unique {
        /// Different values.
        distinct: usize,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feature = &self.feature;
        match self.reason {
            Reason::Implausible { auc } => write!(
                f,
                "`{feature}` alone has an AUC of {auc:.3}: is it known before the label? If not, remove it from the schema"
            ),
            Reason::FarAbove { auc, next_auc } => write!(
                f,
                "`{feature}` alone has an AUC of {auc:.3}, the best other feature {next_auc:.3}: is it known before the label? \
                 If not, remove it from the schema"
            ),
            Reason::DecidesLabel { label, share } => write!(
                f,
                "values of `{feature}` fix the label: {:.0} % of the rows with {label} hold one that (nearly) always comes with \
                 {label}. If it is known only after the label, remove it from the schema",
                100.0 * share
            ),
            Reason::Constant => {
                write!(
                    f,
                    "`{feature}` says the same in all rows: remove it from the schema, or look at how it is made"
                )
            }
            Reason::Unique { distinct } => write!(
                f,
                "`{feature}` has {distinct} different values, hardly one of them twice: nothing can be learned of them"
            ),
        }
    }
}

/// What was found about one feature by itself.
pub(super) struct Looked {
    feature: String,
    /// AUC of the feature alone.
    pub(super) auc: Option<f64>,
    /// The same where there are rows enough to alarm anybody by it.
    telling: Option<f64>,
    reason: Option<Reason>,
}

/// Looks at one feature. Rows of `codes` and of `labels` are the same.
pub(super) fn look(feature: &str, codes: &FeatureCodes, labels: &[f32]) -> Looked {
    let halves: [Vec<u32>; 2] = [0, 1].map(|odd| (odd..labels.len() as u32).step_by(2).collect());
    let by_codes = codes.auc(labels, &halves[0], &halves[1]);
    let by_rank = codes.rank_auc(labels, &halves[0], &halves[1]);
    let auc = by_codes.map(|auc| by_rank.map_or(auc, |by_rank| auc.max(by_rank)));
    let positives = labels.iter().filter(|&&label| is_positive(label)).count();
    let telling = auc.filter(|_| positives.min(labels.len() - positives) >= CLASS_ROWS);
    let reason = match telling {
        _ if codes.is_constant() => Some(Reason::Constant),
        Some(auc) if auc >= IMPLAUSIBLE_AUC => Some(Reason::Implausible { auc }),
        _ => decides(codes, labels, positives).or_else(|| unique(codes)),
    };
    Looked { feature: feature.to_owned(), auc, telling, reason }
}

/// Whether values of the feature fix the label of many rows.
fn decides(codes: &FeatureCodes, labels: &[f32], positives: usize) -> Option<Reason> {
    if codes.is_many_valued() {
        return None;
    }
    // Rows and positive rows of each value, a missing one last.
    let mut counts = vec![(0usize, 0usize); codes.code_count() + 1];
    for (row, &label) in labels.iter().enumerate() {
        let code = codes.of_row(row).first().map_or(codes.code_count(), |&code| code as usize);
        counts[code].0 += 1;
        counts[code].1 += usize::from(is_positive(label));
    }
    let totals = [labels.len() - positives, positives];
    [1u8, 0].into_iter().find_map(|label| {
        let total = totals[usize::from(label)];
        if total == 0 || total as f64 > ONE_SIDED * labels.len() as f64 {
            return None;
        }
        let of_label =
            |&(rows, positive): &(usize, usize)| if label == 1 { positive } else { rows - positive };
        let held: usize = counts
            .iter()
            .filter(|count| count.0 >= DECIDED_ROWS && of_label(count) as f64 >= DECIDED * count.0 as f64)
            .map(of_label)
            .sum();
        let share = held as f64 / total as f64;
        (share >= DECIDED_SHARE).then_some(Reason::DecidesLabel { label, share })
    })
}

/// Whether hardly a value comes twice. Numbers have neighbours to learn from.
fn unique(codes: &FeatureCodes) -> Option<Reason> {
    let present = (0..codes.rows()).filter(|&row| !codes.of_row(row).is_empty()).count();
    let distinct = codes.distinct();
    let many = present >= DECIDED_ROWS && distinct as f64 >= UNIQUE_ROWS * present as f64;
    (many && !codes.is_number() && !codes.is_many_valued()).then_some(Reason::Unique { distinct })
}

/// The alarms of all features, in their order.
pub(super) fn of_all(looked: &[Looked]) -> Vec<Alarm> {
    let mut alarms: Vec<Option<Reason>> = looked.iter().map(|feature| feature.reason.clone()).collect();
    let mut order: Vec<(usize, f64)> =
        looked.iter().enumerate().filter_map(|(i, feature)| Some((i, feature.telling?))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let apart = (1..order.len().min(FAR_FEATURES + 1)).find(|&count| {
        let (last, next) = (order[count - 1].1, order[count].1);
        last >= FAR_AUC && last - 0.5 >= FAR_TIMES * (next - 0.5)
    });
    if let Some(count) = apart {
        let next_auc = order[count].1;
        for &(i, auc) in &order[..count] {
            alarms[i].get_or_insert(Reason::FarAbove { auc, next_auc });
        }
    }
    let named = looked.iter().zip(alarms);
    named
        .filter_map(|(looked, reason)| Some(Alarm { feature: looked.feature.clone(), reason: reason? }))
        .collect()
}

/// Looks at the features of encoded data as far as `rows` (training rows, ascending; about 100,000 of them, drawn by `seed`) tell.
/// Values that an encoder does not tell apart count as one.
pub fn alarms(data: &Dataset, rows: &[u32], seed: u64) -> Result<Vec<Alarm>> {
    let rows = match LOOKED_ROWS < rows.len() {
        true => hold_out(rows, LOOKED_ROWS as f64 / rows.len() as f64, seed)?.taken().collect(),
        false => rows.to_vec(),
    };
    let labels: Vec<f32> = rows.iter().map(|&row| data.labels[row as usize]).collect();
    let one =
        |feature: &EncodedFeature| look(&feature.name, &FeatureCodes::encoded(feature, data, &rows), &labels);
    let looked: Vec<Looked> = data.features.par_iter().map(one).collect();
    Ok(of_all(&looked))
}
