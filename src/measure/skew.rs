//! What a serving system computed, against what its model and encoders give offline for the same raw values: training and
//! serving have drifted apart wherever they differ.

use super::{
    assemble::Assembler,
    engine::{Engine, Session, SessionOptions, check_scores},
    evaluate::score_rows,
    lookup::LookupFiles,
};
use crate::{
    base::{Error, Result},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        encode::{
            Encoders,
            distinct::{Distinct, DistinctLists, MISSING},
            feature::categories,
            numeric,
        },
        schema::{Feature, Schema},
        table::RawTable,
    },
    export::signature::Signature,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, path::Path};

/// Differing rows that are named of each feature, and of the scores.
const NAMED: usize = 5;

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogColumns {
    /// Column of the score that the serving system gave.
    pub score: String,
    /// What stands before a feature's name where its encoded value is logged; scores alone are compared without.
    pub inputs: Option<String>,
}

/// Logged values against offline ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// Version of this format.
    pub schema_version: u32,
    /// Rows that were compared.
    pub rows: usize,
    /// |Δscore| up to which scores are equal.
    pub tolerance: f64,
    /// Rows whose scores differ.
    pub differing_scores: usize,
    /// The largest |Δscore|.
    pub max_abs_difference: f64,
    /// The first rows whose scores differ.
    pub first_scores: Vec<Difference>,
    /// Features whose encoded values were logged, in schema order.
    pub features: Vec<FeatureSkew>,
}

/// One feature's encoded values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureSkew {
    /// The schema's name.
    pub feature: String,
    /// Rows in which they differ.
    pub differing: usize,
    /// The first of them.
    pub first: Vec<Difference>,
}

/// One differing row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// From 1, over all files of the log.
    pub row: usize,
    /// What the serving system had.
    pub logged: String,
    /// What it should have had.
    pub offline: String,
}

impl Skew {
    /// An [`Error::Limit`] where anything differs.
    pub fn check(&self) -> Result<()> {
        let odd: Vec<&str> =
            self.features.iter().filter(|f| f.differing > 0).map(|f| f.feature.as_str()).collect();
        if odd.is_empty() && self.differing_scores == 0 {
            return Ok(());
        }
        let features = if odd.is_empty() { "no feature".to_owned() } else { odd.join(", ") };
        Err(Error::Limit {
            limit: format!(
                "agreement of the log with offline encoding and scores within {:e}",
                self.tolerance
            ),
            found: format!(
                "{} of {} scores differ, and the encoded values of {features}",
                self.differing_scores, self.rows
            ),
        })
    }
}

/// A comparison that is under way.
pub struct SkewCheck<'a> {
    /// Of the features that the model, or the one of its item table, reads.
    schema: Schema,
    /// The same.
    encoders: Encoders,
    signature: &'a Signature,
    session: Box<dyn Session>,
    lookups: LookupFiles<'a>,
    columns: LogColumns,
    skew: Skew,
}

impl<'a> SkewCheck<'a> {
    /// Loads the model at `path`, whose signature that is, and what it looks up. A serving system logs what it fetched: of
    /// `schema` and `encoders`, which fit each other, only the features of the model are asked of the log.
    pub fn new(
        mut schema: Schema,
        mut encoders: Encoders,
        engine: &'a dyn Engine,
        path: &Path,
        signature: &'a Signature,
        columns: LogColumns,
        tolerance: f64,
    ) -> Result<Self> {
        encoders.check_serves(&schema)?;
        let session = engine.load(path, &SessionOptions::PLAIN)?;
        let lookups = LookupFiles::open(engine, path, signature, &SessionOptions::PLAIN)?;
        let mut read = lookups.item_features();
        let fields = signature.tensors.iter().flat_map(|tensor| &tensor.fields);
        read.extend(fields.map(|field| field.feature.clone()));
        schema.features.retain(|feature| read.contains(&feature.name));
        encoders.retain(|feature| read.contains(feature));
        let skew = Skew { schema_version: 1, tolerance, ..Skew::default() };
        Ok(Self { schema, encoders, signature, session, lookups, columns, skew })
    }

    fn logged_as(&self, feature: &str) -> Option<String> {
        self.columns.inputs.as_ref().map(|prefix| format!("{prefix}{feature}"))
    }

    /// The columns of the log that [`SkewCheck::add`] needs: raw values of the model's features, and what was logged.
    pub fn columns(&self) -> Vec<String> {
        let raw = self.schema.features.iter().map(|feature| feature.column.clone());
        let logged = self.schema.features.iter().filter_map(|feature| self.logged_as(&feature.name));
        let mut seen = HashSet::new();
        raw.chain(logged)
            .chain([self.columns.score.clone()])
            .filter(|name| seen.insert(name.clone()))
            .collect()
    }

    /// Compares the rows of the next piece.
    pub fn add(&mut self, table: &RawTable) -> Result<()> {
        let data = self.encoders.encode_inputs(&self.schema, table)?;
        let rows: Vec<u32> = (0..data.rows() as u32).collect();
        let lookups = self.lookups.of(&data, || Ok(rows.clone()))?;
        let assembler = Assembler::by_row(self.signature, &data, &lookups)?;
        let offline = score_rows(self.session.as_mut(), &assembler, &data, &rows)?;
        check_scores(&offline, rows.len())?;
        let logged = numeric::numbers(table, &self.columns.score)?;
        for (row, (&logged, &offline)) in logged.iter().zip(&offline).enumerate() {
            let difference = (f64::from(logged) - f64::from(offline)).abs();
            // A score that is missing or no number differs from all.
            self.skew.max_abs_difference = self.skew.max_abs_difference.max(difference);
            if difference.is_nan() || difference > self.skew.tolerance {
                self.skew.differing_scores += 1;
                note(
                    &mut self.skew.first_scores,
                    self.skew.rows + row,
                    logged.to_string(),
                    offline.to_string(),
                );
            }
        }
        if self.columns.inputs.is_some() {
            self.add_inputs(table, &data)?;
        }
        self.skew.rows += data.rows();
        Ok(())
    }

    fn add_inputs(&mut self, table: &RawTable, data: &Dataset) -> Result<()> {
        let features = &self.schema.features;
        if self.skew.features.is_empty() {
            let named =
                |feature: &Feature| FeatureSkew { feature: feature.name.clone(), ..Default::default() };
            self.skew.features = features.iter().map(named).collect();
        }
        for (place, (feature, encoded)) in features.iter().zip(&data.features).enumerate() {
            let Some(column) = self.logged_as(&feature.name) else { continue };
            let logged = logged(table, &column, feature, encoded)?;
            let skew = &mut self.skew.features[place];
            for (row, logged) in logged.into_iter().enumerate() {
                let offline = offline(data, encoded, row);
                if logged != offline {
                    skew.differing += 1;
                    note(&mut skew.first, self.skew.rows + row, logged, offline);
                }
            }
        }
        Ok(())
    }

    /// What was found.
    pub fn finish(self) -> Skew {
        self.skew
    }
}

fn note(first: &mut Vec<Difference>, row: usize, logged: String, offline: String) {
    if first.len() < NAMED {
        first.push(Difference { row: row + 1, logged, offline });
    }
}

/// The written form of an encoded value: ids one after the other, a number in the digits that tell it from others.
fn offline(data: &Dataset, feature: &EncodedFeature, row: usize) -> String {
    match feature.slot {
        Slot::Ids { start, length } => {
            let ids: Vec<String> = data.ids.of(row, start..start + length).map(|id| id.to_string()).collect();
            ids.join(" ")
        }
        Slot::Number { index } => written(data.numbers_of(row)[index]),
    }
}

fn written(number: f32) -> String {
    // −0 is 0.
    if number.is_nan() { "missing".to_owned() } else { (number + 0.0).to_string() }
}

/// The same of a logged column: a list of ids for a sequence, be it as text with the schema's separator.
fn logged(
    table: &RawTable,
    column: &str,
    feature: &Feature,
    encoded: &EncodedFeature,
) -> Result<Vec<String>> {
    match (encoded.slot, &feature.sequence) {
        (Slot::Ids { .. }, Some(sequence)) => {
            let lists = DistinctLists::of(table.column(column)?, &sequence.separator);
            let text = |bounds: &[usize]| {
                let codes = &lists.items.codes[bounds[0]..bounds[1]];
                let ids: Vec<&str> =
                    codes.iter().map(|&code| lists.items.texts[code as usize].as_str()).collect();
                ids.join(" ")
            };
            Ok(lists.starts.windows(2).map(text).collect())
        }
        (Slot::Ids { .. }, None) => {
            let Distinct { codes, texts } = categories(table, column)?;
            let text =
                |code: u32| if code == MISSING { "missing".to_owned() } else { texts[code as usize].clone() };
            Ok(codes.into_iter().map(text).collect())
        }
        (Slot::Number { .. }, _) => Ok(numeric::numbers(table, column)?.into_iter().map(written).collect()),
    }
}
