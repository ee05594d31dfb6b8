//! A synthetic search log with planted truth, to test choosing on.
//!
//! One row is one candidate of one request. The label is drawn from the planted network of `label`, which reads the
//! useful features only. Beside them stand redundant features (a dearer copy, or a dearer and noisier one, of a useful
//! feature of the same kind and source) and useless ones (among them ids of high cardinality). Eight of the useful
//! features act in pairs: each alone says nothing, so they rank below the noisy copies and, on the rows that it was
//! computed on, below the ids, when features are ranked by what each alone predicts.

mod catalog;
mod label;
mod world;

use super::{
    schema::Schema,
    table::{RawColumn, RawTable},
};
use crate::base::{Error, Result, error::Place, fsio, rank::auc, rng};
use arrow::{
    array::{ArrayRef, Float32Array, Int64Array, LargeStringArray, make_array},
    record_batch::RecordBatch,
};
use catalog::{FEATURES, Role, Value};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::path::Path;
use world::{Impression, World};

/// Size and seed of a synthetic log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthSettings {
    /// Requests.
    pub requests: usize,
    /// Candidates per request, all different: rows = requests × candidates.
    pub candidates: usize,
    /// Users to draw requests from.
    pub users: usize,
    /// Items to draw candidates from, at least as many as candidates.
    pub items: usize,
    /// Embedding width that the schema gives every feature.
    pub width: usize,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for SynthSettings {
    fn default() -> Self {
        Self { requests: 1000, candidates: 20, users: 1500, items: 800, width: 4, seed: 1 }
    }
}

/// What was planted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// Version of the file.
    pub schema_version: u32,
    /// Features that the label depends on.
    pub useful: Vec<String>,
    /// Features that say nothing beyond a useful one that costs less.
    pub redundant: Vec<Redundant>,
    /// Features that the label does not depend on.
    pub useless: Vec<String>,
    /// Pairs of useful features that act only together.
    pub interactions: Vec<[String; 2]>,
    /// Units of the planted network's only hidden layer. They hold the logit exactly and none of them can be left out; a
    /// wider layer only costs more.
    pub layer_width: usize,
    /// AUC of the planted probabilities on the whole log: no model does better but by chance.
    pub best_auc: f64,
}

/// A redundant feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redundant {
    /// Its name.
    pub feature: String,
    /// The cheaper useful feature that holds all it says.
    pub of: String,
}

/// A synthetic log.
#[derive(Debug, Clone)]
pub struct SynthLog {
    /// All columns.
    pub table: RawTable,
    /// The schema as a file's content.
    pub schema_toml: String,
    /// The schema.
    pub schema: Schema,
    /// What was planted.
    pub truth: Truth,
}

/// The most rows that are drawn: they and their columns are in memory at once, some 500 bytes each.
const MOST_ROWS: usize = 100_000_000;
/// The most users, and the most items.
const MOST_KEYS: usize = 10_000_000;

/// File names of a written log.
const LOG: &str = "log.parquet";
const SCHEMA: &str = "schema.toml";
const TRUTH: &str = "truth.json";

/// Draws a log. The same settings give the same log.
pub fn generate(settings: &SynthSettings) -> Result<SynthLog> {
    check(settings)?;
    let world = World::draw(settings);
    let impressions: Vec<Impression> = world.impressions().collect();
    let chances: Vec<f32> = impressions.iter().map(|i| label::click_chance(i) as f32).collect();
    let mut rng = rng::generator(settings.seed, "synth labels");
    let clicks: Vec<f32> = chances.iter().map(|&p| f32::from(u8::from(rng.random::<f32>() < p))).collect();
    // The second label: a purchase needs a click first, and a good chance of a click makes it likelier.
    let purchases: Vec<f32> = clicks
        .iter()
        .zip(&chances)
        .map(|(click, &p)| click * f32::from(u8::from(rng.random::<f32>() < p / 2.0)))
        .collect();
    let best_auc = auc(&chances, &clicks).ok_or_else(|| {
        Error::usage("the log came out with one label only", "draw more requests, or another seed")
    })?;
    let schema_toml = catalog::schema_toml(settings);
    let integers = |values: Vec<i64>| RawColumn::Ints(Int64Array::from(values));
    let whole = |values: &[f32]| integers(values.iter().map(|&v| v as i64).collect());
    let of = |get: fn(&Impression) -> i64| integers(impressions.iter().map(get).collect());
    let mut columns = vec![
        ("request_id".to_owned(), of(|i| i.request.id)),
        ("time_ms".to_owned(), of(|i| i.request.time_ms)),
        ("user_id".to_owned(), of(|i| i.user.id)),
        ("item_id".to_owned(), of(|i| i.item.id)),
        ("click".to_owned(), whole(&clicks)),
        ("purchase".to_owned(), whole(&purchases)),
    ];
    columns.extend(FEATURES.iter().map(|f| (f.name.to_owned(), column(&impressions, f.value))));
    Ok(SynthLog {
        table: RawTable::from_columns(Path::new(LOG), columns),
        schema: Schema::parse(&schema_toml, Path::new(SCHEMA))?,
        schema_toml,
        truth: truth(best_auc),
    })
}

/// Draws a log and writes `log.parquet`, `schema.toml` and `truth.json` into `folder`.
pub fn write(settings: &SynthSettings, folder: &Path) -> Result<SynthLog> {
    let log = generate(settings)?;
    write_parquet(&log.table, &folder.join(LOG))?;
    fsio::write(&folder.join(SCHEMA), log.schema_toml.as_bytes())?;
    fsio::write_json(&folder.join(TRUTH), &log.truth)?;
    Ok(log)
}

fn check(settings: &SynthSettings) -> Result<()> {
    let SynthSettings { requests, candidates, users, items, width, .. } = *settings;
    if [requests, candidates, users, items, width].contains(&0) {
        return Err(Error::usage("a synthetic log of size 0", "give every size at least 1"));
    }
    let rows = requests.checked_mul(candidates).filter(|&rows| rows <= MOST_ROWS);
    if rows.is_none() || users.max(items) > MOST_KEYS {
        return Err(Error::usage(
            format!(
                "a synthetic log of {requests} requests × {candidates} candidates, {users} users and {items} items"
            ),
            format!("draw at most {MOST_ROWS} rows of at most {MOST_KEYS} users and items"),
        ));
    }
    if candidates > items {
        return Err(Error::usage(
            format!("{candidates} different candidates out of {items} items"),
            "draw at least as many items as candidates",
        ));
    }
    Ok(())
}

fn column(impressions: &[Impression], value: fn(&Impression) -> Value) -> RawColumn {
    let values = impressions.iter().map(value);
    match value(&impressions[0]) {
        Value::Id(_) => RawColumn::Ints(values.map(Value::id).collect::<Int64Array>()),
        Value::Number(_) => RawColumn::Singles(values.map(Value::number).collect::<Float32Array>()),
        Value::Text(_) => RawColumn::Text(values.map(Value::text).collect::<LargeStringArray>()),
    }
}

fn truth(best_auc: f64) -> Truth {
    let named = |role: fn(&Role) -> bool| {
        FEATURES.iter().filter(|f| role(&f.role)).map(|f| f.name.to_owned()).collect::<Vec<_>>()
    };
    Truth {
        schema_version: 1,
        useful: named(|role| matches!(role, Role::Useful)),
        redundant: FEATURES
            .iter()
            .filter_map(|f| match f.role {
                Role::Redundant { of } => Some(Redundant { feature: f.name.to_owned(), of: of.to_owned() }),
                _ => None,
            })
            .collect(),
        useless: named(|role| matches!(role, Role::Useless)),
        interactions: label::PAIRS.iter().map(|pair| pair.names.map(str::to_owned)).collect(),
        layer_width: label::LAYER_WIDTH,
        best_auc,
    }
}

fn write_parquet(table: &RawTable, path: &Path) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::input(path, Place::whole(), format!("cannot be written ({e})"), "check the disk's free space")
    };
    let columns = table.columns().iter().map(|(name, c)| (name, make_array(c.as_array().to_data()), true));
    let columns: Vec<(&String, ArrayRef, bool)> = columns.collect();
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| failed(&e))?;
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(|e| failed(&e))?;
    writer.write(&batch).map_err(|e| failed(&e))?;
    fsio::write(path, &writer.into_inner().map_err(|e| failed(&e))?)
}

#[cfg(test)]
mod tests;
