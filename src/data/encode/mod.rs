//! Raw columns become ids and numbers. Encoders are fitted on training rows only and saved with the run as JSON.
//!
//! Meanings (also see [`Encoding`](super::schema::Encoding)): id 0 is missing, and padding in sequences. In a vocabulary 1
//! is unknown and known values count from 2. Hashed values and quantile buckets count from 1. A standardised number is NaN
//! when missing. Values are compared in their canonical text (see [`text`]), so the file's format does not matter. Of a
//! longer sequence the first values are kept.
//!
//! The partition of a row is the place of its value among the training rows' values, the most frequent first; a missing
//! value or one that training never saw goes to the most frequent partition, 0.

pub(crate) mod distinct;
pub mod feature;
pub mod hashing;
pub mod numeric;
pub(crate) mod roles;
pub mod text;
pub mod vocabulary;

pub use feature::{EncodedValue, FeatureEncoder, Fitted};

use super::{
    column::Column,
    dataset::{Dataset, EncodedFeature, Slot},
    ids::{Ids, Packing},
    schema::Schema,
    table::RawTable,
};
use crate::base::{Error, Result, error::Place, fsio, hash};
use distinct::MISSING;
use feature::{EncodedColumn, Fitting, categories};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use vocabulary::{Counts, Vocabulary};

/// Version of the JSON file.
const SCHEMA_VERSION: u32 = 1;
/// Rows that one thread assembles at a time: their slots fit the cache.
const BLOCK_ROWS: usize = 512;

/// All encoders of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoders {
    schema_version: u32,
    features: Vec<FeatureEncoder>,
    partitions: Option<Vocabulary>,
}

/// Where every feature stands in an encoded row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLayout {
    /// In schema order.
    pub features: Vec<EncodedFeature>,
    /// Numbers per row.
    pub number_slots: usize,
}

impl Encoders {
    /// Fits the encoders of all features of `schema` on `train_rows` of `table`.
    pub fn fit(schema: &Schema, table: &RawTable, train_rows: &[u32]) -> Result<Self> {
        let mut fitting = EncodersFitting::new(schema);
        fitting.see(table, train_rows)?;
        Ok(fitting.finish())
    }

    /// The encoder of every feature, in schema order.
    pub fn features(&self) -> &[FeatureEncoder] {
        &self.features
    }

    /// Forgets the features that are not among `wanted`: those of a schema that is cut down alike.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.features.retain(|encoder| wanted(&encoder.name));
    }

    /// Where every feature stands in an encoded row: ids and numbers each in schema order.
    pub fn layout(&self) -> RowLayout {
        let (mut id_slots, mut number_slots) = (0, 0);
        let features = self
            .features
            .iter()
            .map(|encoder| {
                let slot = match encoder.length() {
                    0 => Slot::Number { index: number_slots },
                    length => Slot::Ids { start: id_slots, length },
                };
                match slot {
                    Slot::Number { .. } => number_slots += 1,
                    Slot::Ids { length, .. } => id_slots += length,
                }
                EncodedFeature { name: encoder.name.clone(), slot, cardinality: encoder.cardinality() }
            })
            .collect();
        RowLayout { features, number_slots }
    }

    /// Values of the partition column by partition; empty without such a column.
    pub fn partition_values(&self) -> &[String] {
        self.partitions.as_ref().map_or(&[], Vocabulary::values)
    }

    /// Encodes the features of all rows of `table`, which needs no label, weight or key: those of the result stay empty, and every
    /// label is 0. Fails when the encoders were fitted for other features than the schema's.
    pub fn encode_inputs(&self, schema: &Schema, table: &RawTable) -> Result<Dataset> {
        self.check_serves(schema)?;
        let columns: Vec<EncodedColumn> =
            self.features.par_iter().map(|encoder| encoder.column(table)).collect::<Result<_>>()?;
        let RowLayout { features, number_slots } = self.layout();
        let ids = assemble_ids(self.packing(), table.rows(), &features, &columns);
        let numbers = assemble_numbers(number_slots, table.rows(), &features, &columns);
        Ok(Dataset {
            features,
            ids,
            number_slots,
            numbers: numbers.into(),
            labels: vec![0.0; table.rows()].into(),
            ..Dataset::default()
        })
    }

    /// [`Encoders::encode_inputs`], with labels and whatever else the schema names.
    pub fn encode(&self, schema: &Schema, table: &RawTable) -> Result<Dataset> {
        let inputs = self.encode_inputs(schema, table)?;
        let keys = |column: &Option<String>| column.as_ref().map(|c| roles::keys(table, c)).transpose();
        let stored = |keys: Option<Vec<u64>>| keys.map(Column::from);
        Ok(Dataset {
            labels: roles::labels(table, &schema.label)?.into(),
            other_labels: (schema.other_labels.iter())
                .map(|column| Ok((column.clone(), roles::labels(table, column)?.into())))
                .collect::<Result<_>>()?,
            weights: match &schema.weight {
                Some(column) => roles::weights(table, column)?.into(),
                None => vec![1.0; table.rows()].into(),
            },
            groups: stored(keys(&schema.group)?),
            partitions: self.route(schema, table)?.into(),
            partition_count: self.partition_count(),
            teacher_scores: (schema.teacher_score.as_ref())
                .map(|column| roles::probabilities(table, column).map(Column::from))
                .transpose()?,
            requests: stored(keys(&schema.request)?),
            user_keys: stored(keys(&schema.user_key)?),
            item_keys: stored(keys(&schema.item_key)?),
            ..inputs
        })
    }

    /// How the ids of a row are packed.
    pub(super) fn packing(&self) -> Packing {
        let slots = |encoder: &FeatureEncoder| std::iter::repeat_n(encoder.cardinality(), encoder.length());
        Packing::new(self.features.iter().flat_map(slots))
    }

    /// Number of partitions, at least 1.
    pub(super) fn partition_count(&self) -> u32 {
        self.partition_values().len().max(1) as u32
    }

    fn route(&self, schema: &Schema, table: &RawTable) -> Result<Vec<u32>> {
        let (Some(column), Some(known)) = (&schema.partition, &self.partitions) else {
            return Ok(vec![0; table.rows()]);
        };
        let distinct = categories(table, column)?;
        let places: Vec<u32> = distinct.texts.iter().map(|text| known.position(text).unwrap_or(0)).collect();
        Ok(distinct
            .codes
            .iter()
            .map(|&code| if code == MISSING { 0 } else { places[code as usize] })
            .collect())
    }

    /// Fails when the encoders were fitted for other features than the schema's.
    pub fn check_serves(&self, schema: &Schema) -> Result<()> {
        let odd =
            schema.features.iter().zip(&self.features).find(|(feature, encoder)| !encoder.serves(feature));
        let problem = match odd {
            Some((feature, _)) => {
                format!("the encoders were fitted for another `{}` than the schema's", feature.name)
            }
            None if schema.features.len() != self.features.len() => {
                format!("{} encoders for {} features", self.features.len(), schema.features.len())
            }
            None if schema.partition.is_some() != self.partitions.is_some() => {
                "schema and encoders disagree on the partition column".to_owned()
            }
            None => return Ok(()),
        };
        Err(Error::usage(
            problem,
            "use the encoders and the schema of the same run, or fit the encoders again",
        ))
    }

    /// SHA-256 of the encoders as compact JSON.
    pub fn hash(&self) -> String {
        hash::sha256(&serde_json::to_vec(self).expect("encoders are plain data"))
    }

    /// Writes the JSON file.
    pub fn save(&self, path: &Path) -> Result<()> {
        fsio::write_json(path, self)
    }

    /// Reads the JSON file.
    pub fn load(path: &Path) -> Result<Self> {
        let encoders: Self = fsio::read_versioned(path, SCHEMA_VERSION, "fit the encoders again")?;
        let faulty = encoders.features.iter().find_map(|encoder| Some((&encoder.name, encoder.fault()?)));
        match faulty {
            None => Ok(encoders),
            Some((feature, problem)) => {
                let fix = "restore the file, or fit the encoders again";
                Err(Error::input(path, Place::field(feature), problem, fix))
            }
        }
    }
}

/// Fits encoders on a table that comes in pieces.
pub(super) struct EncodersFitting<'a> {
    features: Vec<Fitting<'a>>,
    partitions: Option<(&'a str, Counts)>,
}

impl<'a> EncodersFitting<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self {
            features: schema.features.iter().map(Fitting::new).collect(),
            partitions: schema.partition.as_ref().map(|column| (column.as_str(), Counts::default())),
        }
    }

    /// Learns from `train_rows` of the next piece.
    pub(super) fn see(&mut self, piece: &RawTable, train_rows: &[u32]) -> Result<()> {
        self.features.par_iter_mut().try_for_each(|feature| feature.see(piece, train_rows))?;
        if let Some((column, counts)) = &mut self.partitions {
            let distinct = categories(piece, column)?;
            counts.add(&distinct, train_rows.iter().map(|&row| distinct.codes[row as usize]));
        }
        Ok(())
    }

    /// The encoders, after the last piece.
    pub(super) fn finish(self) -> Encoders {
        Encoders {
            schema_version: SCHEMA_VERSION,
            features: self.features.into_par_iter().map(Fitting::finish).collect(),
            partitions: self.partitions.map(|(_, counts)| counts.vocabulary(1)),
        }
    }
}

/// From columns to packed rows: every block of rows gathers its part of each column.
fn assemble_ids(
    packing: Packing,
    rows: usize,
    features: &[EncodedFeature],
    columns: &[EncodedColumn],
) -> Ids {
    let mut bytes = vec![0; rows * packing.stride()];
    bytes.par_chunks_mut((BLOCK_ROWS * packing.stride()).max(1)).enumerate().for_each(|(block, bytes)| {
        for (feature, column) in features.iter().zip(columns) {
            if let (Slot::Ids { start, length }, EncodedColumn::Ids(values)) = (feature.slot, column) {
                let values = &values[block * BLOCK_ROWS * length..];
                for place in 0..length {
                    packing.write(start + place, bytes, values.iter().skip(place).step_by(length).copied());
                }
            }
        }
    });
    Ids::packed(packing, bytes.into())
}

/// The same of numbers.
fn assemble_numbers(
    slots: usize,
    rows: usize,
    features: &[EncodedFeature],
    columns: &[EncodedColumn],
) -> Vec<f32> {
    let mut numbers = vec![0.0; rows * slots];
    numbers.par_chunks_mut((BLOCK_ROWS * slots).max(1)).enumerate().for_each(|(block, numbers)| {
        for (feature, column) in features.iter().zip(columns) {
            if let (Slot::Number { index }, EncodedColumn::Numbers(values)) = (feature.slot, column) {
                let values = &values[block * BLOCK_ROWS..];
                numbers.chunks_exact_mut(slots).zip(values).for_each(|(row, &value)| row[index] = value);
            }
        }
    });
    numbers
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;
