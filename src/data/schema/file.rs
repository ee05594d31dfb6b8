//! The schema file as it is written: every key optional that a default can fill. Nothing is checked here but names and
//! types; `resolve` makes features of it.

use super::{Kind, Refresh, Source};
use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaFile {
    pub data: DataTable,
    #[serde(default)]
    pub defaults: Defaults,
    #[serde(default)]
    pub feature: Vec<Spanned<FeatureTable>>,
}

/// `[data]`: what the columns beside the features mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataTable {
    pub label: String,
    #[serde(default)]
    pub other_labels: Vec<String>,
    pub weight: Option<String>,
    pub time: Option<String>,
    pub group: Option<String>,
    pub partition: Option<String>,
    pub teacher_score: Option<String>,
    pub request: Option<String>,
    pub user_key: Option<String>,
    pub item_key: Option<String>,
    pub fetch_candidates: Option<u32>,
    pub beta_ms: Option<f64>,
    pub gamma_ms: Option<f64>,
}

/// `[defaults]`: what features that say nothing else get, by type and by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Defaults {
    pub width: Option<usize>,
    pub categorical: EncodingKeys,
    pub numeric: EncodingKeys,
    pub sequence: EncodingKeys,
    pub user: ServingKeys,
    pub context: ServingKeys,
    pub item: ServingKeys,
    pub interactive: ServingKeys,
}

/// Keys of an encoding, as a default of a type.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncodingKeys {
    pub encoding: Option<EncodingName>,
    pub min_count: Option<u32>,
    pub buckets: Option<u32>,
}

/// Where values come from and what they cost, as a default of a kind.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServingKeys {
    pub source: Option<Source>,
    pub fetch_group: Option<String>,
    pub refresh: Option<Refresh>,
    pub fetch_ms: Option<f64>,
}

/// The encodings by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingName {
    Vocabulary,
    Hash,
    Buckets,
    Standardize,
}

/// What raw values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ValueType {
    Categorical,
    Numeric,
    Sequence,
}

/// One `[[feature]]`: a single feature (`name`, and `column` where it differs), or several that share everything but
/// their column (`columns`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureTable {
    pub name: Option<String>,
    pub column: Option<String>,
    pub columns: Option<Vec<String>>,
    pub kind: Kind,
    #[serde(rename = "type")]
    pub value_type: ValueType,
    pub source: Option<Source>,
    pub fetch_group: Option<String>,
    pub refresh: Option<Refresh>,
    pub fetch_ms: Option<f64>,
    pub encoding: Option<EncodingName>,
    pub min_count: Option<u32>,
    pub buckets: Option<u32>,
    pub length: Option<usize>,
    pub separator: Option<String>,
    pub width: Option<usize>,
    #[serde(default)]
    pub must_keep: bool,
    #[serde(default)]
    pub never: bool,
}

impl FeatureTable {
    /// What it says about its encoding.
    pub fn encoding_keys(&self) -> EncodingKeys {
        EncodingKeys { encoding: self.encoding, min_count: self.min_count, buckets: self.buckets }
    }
}

impl Defaults {
    /// Defaults of a kind.
    pub fn serving(&self, kind: Kind) -> &ServingKeys {
        match kind {
            Kind::User => &self.user,
            Kind::Context => &self.context,
            Kind::Item => &self.item,
            Kind::Interactive => &self.interactive,
        }
    }

    /// All kinds with their keys in the file.
    pub fn kinds(&self) -> [(&'static str, &ServingKeys); 4] {
        [
            ("user", &self.user),
            ("context", &self.context),
            ("item", &self.item),
            ("interactive", &self.interactive),
        ]
    }

    /// All types with their keys in the file.
    pub fn types(&self) -> [(&'static str, ValueType, EncodingKeys); 3] {
        [
            ("categorical", ValueType::Categorical, self.categorical),
            ("numeric", ValueType::Numeric, self.numeric),
            ("sequence", ValueType::Sequence, self.sequence),
        ]
    }

    /// Defaults of a type.
    pub fn encoding(&self, value_type: ValueType) -> EncodingKeys {
        match value_type {
            ValueType::Categorical => self.categorical,
            ValueType::Numeric => self.numeric,
            ValueType::Sequence => self.sequence,
        }
    }
}
