//! A look at a data set before anything is trained: sizes, shares, and what each feature alone says.

use super::{
    encode::{
        distinct::{Distinct, DistinctLists, MISSING},
        numeric, roles,
    },
    schema::{Encoding, Feature, Kind, Schema, Source},
    table::RawTable,
};
use crate::base::{Result, rank::auc};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Quantile buckets that a number is cut into before its buckets are scored.
const BUCKETS: u32 = 20;
/// Weight of the mean rate in a value's rate, in rows: rare values say little.
const PRIOR_ROWS: f64 = 20.0;

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
}

/// Share of positive rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelRate {
    /// Column of the label.
    pub label: String,
    /// Share of ones.
    pub rate: f64,
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
    /// AUC of this feature alone, see [`FeatureCodes::auc`]: learned on even rows, judged on odd ones. None when a class is
    /// missing.
    pub auc: Option<f64>,
}

/// Looks at all rows of `table`.
pub fn inspect(schema: &Schema, table: &RawTable) -> Result<Inspection> {
    let labels = roles::labels(table, &schema.label)?;
    let rate = |column: &String| {
        let labels = roles::labels(table, column)?;
        Ok(LabelRate { label: column.clone(), rate: share(&labels) })
    };
    let label_rates =
        std::iter::once(&schema.label).chain(&schema.other_labels).map(rate).collect::<Result<_>>()?;
    let halves: [Vec<u32>; 2] = [0, 1].map(|odd| (odd..table.rows() as u32).step_by(2).collect());
    let summary = |feature: &Feature| {
        let codes = FeatureCodes::of(feature, table)?;
        Ok(FeatureSummary {
            name: feature.name.clone(),
            kind: feature.kind,
            source: feature.source,
            column_type: table.column(&feature.column)?.type_name().to_owned(),
            distinct: codes.distinct,
            missing_share: (0..table.rows()).filter(|&row| codes.of_row(row).is_empty()).count() as f64
                / table.rows() as f64,
            auc: codes.auc(&labels, &halves[0], &halves[1]),
        })
    };
    let requests = match &schema.request {
        Some(column) => Some(roles::keys(table, column)?.into_iter().collect::<HashSet<_>>().len()),
        None => None,
    };
    Ok(Inspection {
        schema_version: 1,
        rows: table.rows(),
        label_rates,
        partitions: partitions(schema, table, &labels)?,
        requests,
        features: schema.features.par_iter().map(summary).collect::<Result<_>>()?,
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

/// A feature as codes: values of a category, quantile buckets of a number, items of a sequence.
pub struct FeatureCodes {
    codes: Vec<u32>,
    /// Row r holds `codes[starts[r]..starts[r + 1]]`; nothing when the value is missing.
    starts: Vec<usize>,
    code_count: usize,
    distinct: usize,
}

impl FeatureCodes {
    /// Reads the feature's column.
    pub fn of(feature: &Feature, table: &RawTable) -> Result<Self> {
        let column = table.column(&feature.column)?;
        if let Some(sequence) = &feature.sequence {
            let DistinctLists { items, starts } = DistinctLists::of(column, &sequence.separator);
            let distinct = items.texts.len();
            return Ok(Self { codes: items.codes, starts, code_count: distinct, distinct });
        }
        let Distinct { mut codes, texts } = super::encode::feature::categories(table, &feature.column)?;
        let mut code_count = texts.len();
        if matches!(feature.encoding, Encoding::Buckets { .. } | Encoding::Standardize) {
            let numbers = numeric::numbers(table, &feature.column)?;
            let edges = numeric::quantile_edges(numbers.clone(), BUCKETS);
            code_count = edges.len() + 1;
            codes = numbers
                .iter()
                .map(|&v| numeric::bucket(v, &edges).checked_sub(1).unwrap_or(MISSING))
                .collect();
        }
        let starts = std::iter::once(0)
            .chain(codes.iter().scan(0, |end, &code| {
                *end += usize::from(code != MISSING);
                Some(*end)
            }))
            .collect();
        codes.retain(|&code| code != MISSING);
        Ok(Self { codes, starts, code_count, distinct: texts.len() })
    }

    fn of_row(&self, row: usize) -> &[u32] {
        &self.codes[self.starts[row]..self.starts[row + 1]]
    }

    /// AUC of the feature alone: a row's score is the mean, over its codes, of the share of positive rows among the `fit`
    /// rows with that code (drawn towards the overall share where there are few), and the overall share when the value is
    /// missing. With `judge` = `fit` the AUC flatters values that occur rarely.
    pub fn auc(&self, labels: &[f32], fit: &[u32], judge: &[u32]) -> Option<f64> {
        let overall =
            fit.iter().map(|&row| f64::from(labels[row as usize])).sum::<f64>() / fit.len().max(1) as f64;
        let mut counts = vec![(PRIOR_ROWS, PRIOR_ROWS * overall); self.code_count];
        for &row in fit {
            for &code in self.of_row(row as usize) {
                let (rows, clicks) = &mut counts[code as usize];
                *rows += 1.0;
                *clicks += f64::from(labels[row as usize]);
            }
        }
        let rates: Vec<f64> = counts.into_iter().map(|(rows, clicks)| clicks / rows).collect();
        let score = |&row: &u32| match self.of_row(row as usize) {
            [] => overall as f32,
            codes => (codes.iter().map(|&c| rates[c as usize]).sum::<f64>() / codes.len() as f64) as f32,
        };
        let scores: Vec<f32> = judge.iter().map(score).collect();
        let labels: Vec<f32> = judge.iter().map(|&row| labels[row as usize]).collect();
        auc(&scores, &labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::RawColumn;
    use arrow::array::{Float32Array, Int64Array, LargeStringArray};
    use std::path::Path;

    const SCHEMA: &str = "[data]\nlabel = \"y\"\npartition = \"tab\"\n[defaults]\nitem = { fetch_ms = 1 }\n\
        [[feature]]\nname = \"tab\"\nkind = \"item\"\ntype = \"categorical\"\n\
        [[feature]]\nname = \"price\"\nkind = \"item\"\ntype = \"numeric\"\n\
        [[feature]]\nname = \"tags\"\nkind = \"item\"\ntype = \"sequence\"\n";

    /// 400 rows: `tab` is the label in three of four rows, `price` is the label where it is present, `tags` says nothing.
    fn table() -> RawTable {
        let rows = || 0..400usize;
        let y = |row: usize| i64::from((row / 2).is_multiple_of(2));
        let tab = |row: usize| if (row / 4).is_multiple_of(4) { 1 - y(row) } else { y(row) };
        let price = |row: usize| (row / 4).is_multiple_of(2).then_some(y(row) as f32);
        let ints = |f: &dyn Fn(usize) -> i64| RawColumn::Ints(Int64Array::from_iter_values(rows().map(f)));
        let columns = vec![
            ("y".to_owned(), ints(&y)),
            ("tab".to_owned(), ints(&tab)),
            ("price".to_owned(), RawColumn::Singles(Float32Array::from_iter(rows().map(price)))),
            ("tags".to_owned(), RawColumn::Text(LargeStringArray::from_iter_values(rows().map(|_| "a,b")))),
        ];
        RawTable::from_columns(Path::new("d.parquet"), columns)
    }

    #[test]
    fn the_summary_of_a_hand_made_table() {
        let schema = Schema::parse(SCHEMA, Path::new("s.toml")).unwrap();
        let found = inspect(&schema, &table()).unwrap();
        assert_eq!(found.rows, 400);
        assert_eq!(found.label_rates, [LabelRate { label: "y".to_owned(), rate: 0.5 }]);
        let rates: Vec<_> = found.partitions.iter().map(|p| (p.value.as_deref(), p.rows, p.rate)).collect();
        assert_eq!(rates, [(Some("0"), 200, 0.25), (Some("1"), 200, 0.75)]);
        let [tab, price, tags] = &found.features[..] else { panic!("three features") };
        assert_eq!((tab.distinct, tab.missing_share, tab.column_type.as_str()), (2, 0.0, "integers"));
        // One point in ROC space at (1/4, 3/4), and a price that decides half of the rows.
        assert!((tab.auc.unwrap() - 0.75).abs() < 1e-12);
        assert_eq!((price.distinct, price.missing_share), (2, 0.5));
        assert!((price.auc.unwrap() - 0.875).abs() < 1e-12);
        assert_eq!((tags.distinct, tags.auc), (2, Some(0.5)));
    }
}
