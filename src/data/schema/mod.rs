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
//! store; width 8; vocabularies with `min_count = 2`; numbers in 32 buckets; 10 values of a sequence, separated by `,`.
//! A price is never assumed.

mod check;
mod file;
mod resolve;

use crate::base::{Result, fsio, hash, keys};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a feature describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[serde(tag = "encoding", rename_all = "lowercase")]
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
pub struct Sequence {
    /// Slots per row; shorter lists are padded with id 0.
    pub length: usize,
    /// What separates the values in a text column. List columns of Parquet need none.
    pub separator: String,
}

/// One feature, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// A validated schema file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The candidate count at which `fetch_ms` is declared.
    pub fetch_candidates: u32,
    /// β of equation (4), ms per selected feature of F1.
    pub beta_ms: f64,
    /// γ of equation (4), ms per selected feature of F2.
    pub gamma_ms: f64,
}

impl Schema {
    /// Reads and checks a schema file.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&fsio::read_text(path)?, path)
    }

    /// Checks the content of a schema file; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
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

    /// The columns that an encoded data set is made from, each once.
    pub fn columns(&self) -> Vec<&str> {
        let single = [
            &self.weight,
            &self.time,
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
mod tests {
    use super::*;

    const SMALL: &str = r#"
[data]
label = "click"
other_labels = ["buy"]
weight = "w"

[defaults]
width = 4
categorical = { encoding = "hash", buckets = 100 }
item = { fetch_group = "row", fetch_ms = 0.5 }

[[feature]]
name = "segment"
kind = "user"
type = "categorical"
fetch_ms = 0.1

[[feature]]
columns = ["price", "tags"]
kind = "item"
type = "categorical"
encoding = "vocabulary"
min_count = 5
"#;

    fn parse(text: &str) -> Result<Schema> {
        Schema::parse(text, Path::new("s.toml"))
    }

    /// The error after replacing `from` by `to` in the small schema.
    fn error_of(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from));
        parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn defaults_reach_the_features_and_features_overrule_them() {
        let schema = parse(SMALL).unwrap();
        let [segment, price, tags] = &schema.features[..] else { panic!("three features") };
        assert_eq!(segment.encoding, Encoding::Hash { buckets: 100 });
        assert_eq!((segment.source, segment.refresh, segment.width), (Source::Matching, Refresh::Daily, 4));
        assert_eq!(segment.fetch_group, None);
        assert_eq!(price.encoding, Encoding::Vocabulary { min_count: 5 });
        assert_eq!(
            (price.source, price.fetch_ms, price.fetch_group.as_deref()),
            (Source::Store, 0.5, Some("row"))
        );
        assert_eq!((tags.name.as_str(), tags.column.as_str()), ("tags", "tags"));
        assert_eq!(schema.fetch_candidates, 1000);
        assert_eq!(schema.columns(), ["click", "buy", "w", "segment", "price", "tags"]);
    }

    #[test]
    fn the_hash_follows_the_meaning_and_not_the_wording() {
        let schema = parse(SMALL).unwrap();
        let reworded =
            parse(&SMALL.replacen("fetch_ms = 0.1", "fetch_ms = 0.10\nsource = \"matching\"", 1)).unwrap();
        let dearer = parse(&SMALL.replacen("fetch_ms = 0.1", "fetch_ms = 0.2", 1)).unwrap();
        assert_eq!(schema.hash(), reworded.hash());
        assert_ne!(schema.hash(), dearer.hash());
    }

    #[test]
    fn a_misspelt_key_names_the_nearest_one_and_its_line() {
        let text = error_of("min_count = 5", "mincount = 5");
        assert_eq!(text, "s.toml, `mincount`, row 23: unknown key; did you mean `min_count`?");
        assert!(error_of("other_labels", "other_label").contains("did you mean `other_labels`?"));
    }

    #[test]
    fn contradictions_are_refused_with_field_and_fix() {
        let cases = [
            (
                "fetch_ms = 0.1",
                "fetch_ms = 0.1\nmust_keep = true\nnever = true",
                "segment.must_keep",
                "keep one",
            ),
            ("fetch_ms = 0.1", "fetch_ms = -1", "segment.fetch_ms", "0 or more"),
            ("fetch_ms = 0.1", "width = 0\nfetch_ms = 0.1", "segment.width", "at least 1"),
            ("fetch_ms = 0.1", "", "segment.fetch_ms", "[defaults]"),
            ("fetch_ms = 0.1", "fetch_ms = 0.1\nfetch_group = \"g\"", "segment.fetch_group", "use the store"),
            ("fetch_ms = 0.1", "fetch_ms = 0.1\nmin_count = 3", "segment.min_count", "use vocabulary"),
            ("fetch_ms = 0.1", "fetch_ms = 0.1\nlength = 3", "segment.length", "sequence"),
            ("\"segment\"", "\"click\"", "click.column", "remove the feature"),
            ("\"segment\"", "\"price\"", "price.name", "another `name`"),
            ("\"buy\"", "\"click\"", "data.other_labels", "one role"),
            (
                "encoding = \"vocabulary\"\nmin_count = 5",
                "encoding = \"standardize\"",
                "price.encoding",
                "numeric takes",
            ),
            ("buckets = 100", "buckets = 1", "segment.buckets", "2 to"),
            ("[\"price\", \"tags\"]", "[]", "feature", "name"),
        ];
        for (from, to, field, fix) in cases {
            let text = error_of(from, to);
            assert!(text.starts_with("s.toml") && text.contains(&format!("`{field}`")), "{to}: {text}");
            assert!(text.contains(fix), "{to}: {text}");
        }
    }

    #[test]
    fn a_fetch_group_holds_one_kind() {
        let both = format!(
            "{SMALL}\n[[feature]]\nname = \"x\"\nkind = \"interactive\"\ntype = \"numeric\"\n\
            fetch_group = \"row\"\nfetch_ms = 1"
        );
        let text = parse(&both).unwrap_err().to_string();
        assert!(text.contains("`x.fetch_group`") && text.contains("`price`"), "{text}");
    }
}
