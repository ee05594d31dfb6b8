//! What the columns of a data set mean to a pre-ranking system.
//!
//! The file has three parts. `[data]` names the columns that are not features. `[defaults]` holds the width, an encoding
//! for each type (`categorical`, `numeric`, `sequence`) and where values come from for each kind (`user`, `context`,
//! `item`, `interactive`). Each `[[feature]]` is one feature, or several that differ in their column only:
//!
//! ```
//! use autofas_bench::data::schema::{Encoding, Schema};
//! let text = r#"
//!     [data]
//!     label = "click"
//!     time = "second"
//!
//!     [defaults]
//!     width = 8
//!     numeric = { encoding = "buckets", buckets = 50 }
//!     item = { source = "store", fetch_group = "item_row", fetch_ms = 0.4 }
//!
//!     [[feature]]
//!     name = "user"
//!     column = "user_id"
//!     kind = "user"
//!     type = "categorical"
//!     encoding = "hash"
//!     buckets = 20000
//!     source = "matching"
//!     fetch_ms = 0.1
//!
//!     [[feature]]
//!     columns = ["price", "rating", "stock"]
//!     kind = "item"
//!     type = "numeric"
//! "#;
//! let schema = Schema::parse(text, "shop.toml".as_ref())?;
//! assert_eq!(schema.features.len(), 4);
//! assert_eq!(schema.features[3].encoding, Encoding::Buckets { buckets: 50 });
//! # Ok::<(), autofas_bench::base::Error>(())
//! ```
//!
//! Where nothing is said: user and context features come from the matching stage, item and interactive ones from the
//! store; width 8; vocabularies with `min_count = 1`; numbers in 32 buckets; 10 values of a sequence, separated by `,`.
//! A price is never assumed. The default `fetch_group` of a kind is for those of its features that come from the store.

pub(super) mod check;
mod file;
mod resolve;

use crate::base::{Error, Result, error::Place, fsio, hash, keys};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a feature describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Constant for the request's user.
    User,
    /// Constant for the request: hour, scenario.
    Context,
    /// Of the candidate alone.
    Item,
    /// Of the pair of user and candidate.
    Interactive,
}

/// How often a request carries a feature: once, or once per candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// One row per request.
    User,
    /// One row per candidate.
    Item,
}

impl Kind {
    /// User and context features are on the user's side, item and interactive ones on the item's.
    pub fn side(self) -> Side {
        match self {
            Kind::User | Kind::Context => Side::User,
            Kind::Item | Kind::Interactive => Side::Item,
        }
    }
}

/// Where a serving system gets a feature from: the groups F1 and F2 of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Passed along by the matching stage (F1).
    Matching,
    /// Fetched from an in-memory store (F2).
    Store,
}

/// How long a value stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refresh {
    /// Never changes.
    Static,
    /// Constant within the day.
    Daily,
    /// Anew with each request.
    Request,
}

/// How raw values become ids or numbers. Id 0 always means "missing" (and padding in sequences).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "encoding", rename_all = "lowercase", deny_unknown_fields)]
pub enum Encoding {
    /// Id 1 is "unknown", ids from 2 are the values seen at least `min_count` times in training, most frequent first.
    Vocabulary {
        /// Rarer values become unknown.
        min_count: u32,
    },
    /// Ids 1..=`buckets` by a fixed hash of the value's text.
    Hash {
        /// Number of ids beside 0.
        buckets: u32,
    },
    /// Ids 1..=`buckets` by quantiles of the training rows (fewer where values repeat).
    Buckets {
        /// Number of quantile buckets.
        buckets: u32,
    },
    /// (x − mean) / deviation over the training rows, clipped to ±8; missing stays missing (NaN).
    Standardize,
}

/// A multi-valued feature: the text holds several values, of which the first `length` are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Slots per row; shorter lists are padded with id 0.
    pub length: usize,
    /// What separates the values in a text column. List columns of Parquet need none.
    pub separator: String,
}

/// One feature, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Unique name.
    pub name: String,
    /// Column in the data; several features may read one column.
    pub column: String,
    /// User, context, item or interactive.
    pub kind: Kind,
    /// F1 or F2.
    pub source: Source,
    /// Features of one stored row share a group: the first selected pays the trip.
    pub fetch_group: Option<String>,
    /// How long a value stays true.
    pub refresh: Refresh,
    /// How values become ids or numbers.
    pub encoding: Encoding,
    /// Present for multi-valued features (mean-pooled).
    pub sequence: Option<Sequence>,
    /// Width of the embedding.
    pub width: usize,
    /// L_i of equation (3): declared fetch time in ms for [`Schema::fetch_candidates`] candidates.
    pub fetch_ms: f64,
    /// Always selected.
    pub must_keep: bool,
    /// Never selected.
    pub never: bool,
}

impl Feature {
    /// Whether an item's value lasts beyond the request, so that what is computed from it can be kept.
    pub fn lasts(&self) -> bool {
        self.kind == Kind::Item && matches!(self.refresh, Refresh::Static | Refresh::Daily)
    }
}

/// A validated schema file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// All features in the order of the file; this order is canonical everywhere.
    pub features: Vec<Feature>,
    /// Column of the label that is trained on (0 or 1).
    pub label: String,
    /// Further label columns, evaluated only.
    pub other_labels: Vec<String>,
    /// Column of the sample weight.
    pub weight: Option<String>,
    /// Column of the time, for splits by time.
    pub time: Option<String>,
    /// Column whose values group rows for GAUC.
    pub group: Option<String>,
    /// Column that routes a row to its partition of the teacher.
    pub partition: Option<String>,
    /// Column of a ready teacher score (a probability).
    pub teacher_score: Option<String>,
    /// Column that joins the rows of one request.
    pub request: Option<String>,
    /// Column that identifies the user, for traces.
    pub user_key: Option<String>,
    /// Column that identifies the item, for traces.
    pub item_key: Option<String>,
    /// The candidate count at which `fetch_ms` is declared. Nothing is scaled: at another count the declared times are paid
    /// as they stand, and `iterate` says so.
    pub fetch_candidates: u32,
    /// β of equation (4), ms per selected feature of F1.
    pub beta_ms: f64,
    /// γ of equation (4), ms per selected feature of F2.
    pub gamma_ms: f64,
}

impl Schema {
    /// Version of the JSON form, which stands in it as `schema_version`.
    pub const VERSION: u32 = 1;

    /// Reads and checks a schema: the TOML file that a user writes, or the `.json` that travels with an exported model.
    pub fn load(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::read_json(path);
        }
        Self::parse(&fsio::read_text(path)?, path)
    }

    /// Reads the JSON form.
    fn read_json(path: &Path) -> Result<Self> {
        let fix = "export the model again with this program, or give the schema's TOML file";
        let mut json: serde_json::Value = fsio::read_versioned(path, Self::VERSION, fix)?;
        // Taken out first: a flattened wrapper around the fields would let unknown ones pass.
        json.as_object_mut().and_then(|fields| fields.remove("schema_version"));
        let schema = keys::from_json(json, path)?;
        check::check(&schema, path)?;
        Ok(schema)
    }

    /// Checks the content of a schema file; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        if text.parse().is_ok_and(|document: toml::Table| !document.contains_key("data")) {
            let fix = "write one (docs/schema.md), or let `data draft` make a first one from the data";
            return Err(Error::input(path, Place::whole(), "without a table [data] this is no schema", fix));
        }
        let schema = resolve::resolve(keys::parse_toml(text, path)?, text, path)?;
        check::check(&schema, path)?;
        Ok(schema)
    }

    /// Index of the feature that reads the partition column, if there is one: it tells a network what the teacher's
    /// routing knows.
    pub fn partition_feature(&self) -> Option<usize> {
        let column = self.partition.as_deref()?;
        self.features.iter().position(|feature| feature.column == column)
    }

    /// SHA-256 of the schema as compact JSON with every default filled in: two files that mean the same have the same
    /// hash.
    pub fn hash(&self) -> String {
        hash::sha256(&serde_json::to_vec(self).expect("a schema is plain data"))
    }

    /// [`Schema::columns`] and another one, which may be among them.
    pub fn columns_and<'a>(&'a self, other: Option<&'a str>) -> Vec<&'a str> {
        let mut columns = self.columns();
        columns.extend(other.filter(|other| !columns.contains(other)));
        columns
    }

    /// The columns that an encoded data set is made from, each once. The time is not among them: only a split reads it.
    pub fn columns(&self) -> Vec<&str> {
        let single = [
            &self.weight,
            &self.group,
            &self.partition,
            &self.teacher_score,
            &self.request,
            &self.user_key,
            &self.item_key,
        ];
        let mut seen = std::collections::HashSet::new();
        std::iter::once(self.label.as_str())
            .chain(self.other_labels.iter().map(String::as_str))
            .chain(single.into_iter().filter_map(|c| c.as_deref()))
            .chain(self.features.iter().map(|f| f.column.as_str()))
            .filter(|column| seen.insert(*column))
            .collect()
    }
}

#[cfg(test)]
mod tests;
