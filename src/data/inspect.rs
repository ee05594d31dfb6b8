//! A look at a data set before anything is trained: sizes, shares, what each feature alone says, and what looks wrong about it.

mod alarm;
mod codes;

pub use alarm::{Alarm, Reason, UNIQUE_ROWS, alarms};
pub use codes::FeatureCodes;

use super::{
    encode::{distinct::Distinct, roles},
    schema::{Feature, Kind, Schema, Source},
    table::RawTable,
    time,
};
use crate::base::{
    Result,
    rank::{auc_error, is_positive},
};
use alarm::{Looked, look};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Summary of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Version of the JSON form.
    pub schema_version: u32,
    /// Number of rows.
    pub rows: usize,
    /// Share of positive rows of the label and of the other labels.
    pub label_rates: Vec<LabelRate>,
    /// Partitions, the largest first; empty without a partition column.
    pub partitions: Vec<PartitionSummary>,
    /// Different requests, when there is a request column.
    pub requests: Option<usize>,
    /// Features in schema order.
    pub features: Vec<FeatureSummary>,
    /// What looks wrong about features, in schema order.
    pub alarms: Vec<Alarm>,
    /// Columns of the data that the schema does not name, in their order.
    pub unnamed: Vec<String>,
}

/// Share of positive rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelRate {
    /// Column of the label.
    pub label: String,
    /// Share of ones.
    pub rate: f64,
    /// How many they are.
    pub positives: usize,
}

/// Rows of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionSummary {
    /// The partition column's value; none for rows without one.
    pub value: Option<String>,
    /// Number of rows.
    pub rows: usize,
    /// Share of positive rows.
    pub rate: f64,
}

/// What a feature's column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureSummary {
    /// The schema's name.
    pub name: String,
    /// User, context, item or interactive.
    pub kind: Kind,
    /// F1 or F2.
    pub source: Source,
    /// What the column holds: integers, numbers, text, lists.
    pub column_type: String,
    /// Different values (of a sequence: of its items), missing not counted.
    pub distinct: usize,
    /// Share of rows without a value.
    pub missing_share: f64,
    /// AUC of this feature alone, see [`FeatureCodes::auc`] and, for numbers, [`FeatureCodes::rank_auc`], whichever is larger:
    /// learned on even rows, judged on odd ones. None when a class is missing.
    pub auc: Option<f64>,
    /// Standard error of `auc` on the odd rows ([`auc_error`]).
    pub auc_error: Option<f64>,
}

impl Inspection {
    /// What wants a look before anything is trained, in words.
    pub fn warnings(&self) -> Vec<String> {
        let one_class = |LabelRate { label, positives, .. }: &LabelRate| {
            let class = u8::from(*positives > 0);
            (*positives == 0 || *positives == self.rows).then(|| {
                format!(
                    "`{label}` is {class} in all rows: of labels of one class nothing can be learnt, and none can be ranked; \
                     add rows with {}, or name another column",
                    1 - class
                )
            })
        };
        let labels = self.label_rates.iter().filter_map(one_class);
        labels.chain(self.alarms.iter().map(Alarm::to_string)).collect()
    }
}

/// The columns that are looked at: those of the schema, and the time, which is only read.
pub fn columns(schema: &Schema) -> Vec<&str> {
    schema.columns_and(schema.time.as_deref())
}

/// Looks at all rows of `table`, which holds the [`columns`] of the schema and whose files hold the columns `known`.
pub fn inspect(schema: &Schema, table: &RawTable, known: &[String]) -> Result<Inspection> {
    let labels = roles::labels(table, &schema.label)?;
    if let Some(column) = &schema.time {
        // A split by time would refuse it later.
        time::times(table, column)?;
    }
    let rate = |column: &String| {
        let labels = roles::labels(table, column)?;
        let positives = labels.iter().filter(|&&label| is_positive(label)).count();
        Ok(LabelRate { label: column.clone(), rate: share(&labels), positives })
    };
    let odd = |value| labels.iter().skip(1).step_by(2).filter(|&&label| label == value).count();
    let (positives, negatives) = (odd(1.0), odd(0.0));
    let label_rates =
        std::iter::once(&schema.label).chain(&schema.other_labels).map(rate).collect::<Result<_>>()?;
    let summary = |feature: &Feature| {
        let codes = FeatureCodes::of(feature, table)?;
        let looked = look(&feature.name, &codes, &labels);
        let summary = FeatureSummary {
            name: feature.name.clone(),
            kind: feature.kind,
            source: feature.source,
            column_type: table.column(&feature.column)?.type_name().to_owned(),
            distinct: codes.distinct(),
            missing_share: (0..table.rows()).filter(|&row| codes.of_row(row).is_empty()).count() as f64
                / table.rows() as f64,
            auc: looked.auc,
            auc_error: looked.auc.and_then(|auc| auc_error(auc, positives, negatives)),
        };
        Ok((summary, looked))
    };
    let looked = schema.features.par_iter().map(summary).collect::<Result<Vec<_>>>()?;
    let (features, looked): (Vec<_>, Vec<Looked>) = looked.into_iter().unzip();
    let requests = match &schema.request {
        Some(column) => Some(roles::keys(table, column)?.into_iter().collect::<HashSet<_>>().len()),
        None => None,
    };
    let named: HashSet<&str> = columns(schema).into_iter().collect();
    Ok(Inspection {
        schema_version: 1,
        rows: table.rows(),
        label_rates,
        partitions: partitions(schema, table, &labels)?,
        requests,
        features,
        alarms: alarm::of_all(&looked),
        unnamed: known.iter().filter(|column| !named.contains(column.as_str())).cloned().collect(),
    })
}

fn share(labels: &[f32]) -> f64 {
    labels.iter().map(|&y| f64::from(y)).sum::<f64>() / labels.len().max(1) as f64
}

fn partitions(schema: &Schema, table: &RawTable, labels: &[f32]) -> Result<Vec<PartitionSummary>> {
    let Some(column) = &schema.partition else { return Ok(Vec::new()) };
    let Distinct { codes, texts } = super::encode::feature::categories(table, column)?;
    let mut counts = vec![(0usize, 0.0); texts.len() + 1];
    for (&code, &label) in codes.iter().zip(labels) {
        let count = &mut counts[(code as usize).min(texts.len())];
        *count = (count.0 + 1, count.1 + f64::from(label));
    }
    let values = texts.into_iter().map(Some).chain([None]);
    let mut partitions: Vec<_> = values
        .zip(counts)
        .filter(|(_, (rows, _))| *rows > 0)
        .map(|(value, (rows, clicks))| PartitionSummary { value, rows, rate: clicks / rows as f64 })
        .collect();
    partitions.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.value.cmp(&b.value)));
    Ok(partitions)
}

#[cfg(test)]
mod tests;
