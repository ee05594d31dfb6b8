//! From the file's tables to features: defaults are filled in, and keys that do not fit each other are refused.

use super::{
    Encoding, Feature, Kind, Refresh, Schema, Sequence, Source,
    check::{Fault, check_defaults},
    file::{DataTable, EncodingKeys, EncodingName, FeatureTable, SchemaFile, ValueType},
};
use crate::base::{
    Error, Result,
    error::{Place, Spot},
    keys::line_of,
};
use std::path::Path;

/// Embedding width where neither the feature nor `[defaults]` says one.
const WIDTH: usize = 8;
/// Values rarer than this are unknown, where nothing else is said: what is new later is read by the place of unknown values, which is
/// better left alone by training than trained by the rare ones (docs/schema.md).
const MIN_COUNT: u32 = 1;
/// Quantile buckets, where nothing else is said.
const BUCKETS: u32 = 32;
/// Hash buckets, where nothing else is said.
const HASH_BUCKETS: u32 = 10_000;
/// Values kept of a sequence, where nothing else is said.
const LENGTH: usize = 10;
/// Candidate count of the declared prices, where nothing else is said.
const FETCH_CANDIDATES: u32 = 1000;

/// Where an entry stands, for error messages.
struct Entry<'a> {
    path: &'a Path,
    name: String,
    line: Spot,
}

impl Entry<'_> {
    fn error(&self, key: &str, problem: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::input(self.path, Place::cell(format!("{}.{key}", self.name), self.line), problem, fix)
    }
}

/// Fills in the defaults. `text` gives the line numbers.
pub(super) fn resolve(file: SchemaFile, text: &str, path: &Path) -> Result<Schema> {
    check_defaults(&file.defaults, path)?;
    let mut features = Vec::new();
    for spanned in &file.feature {
        let line = line_of(text, spanned.span().start);
        let table = spanned.as_ref();
        for (name, column) in names(table, path, line)? {
            let entry = Entry { path, name, line };
            features.push(feature(table, column, &file, &entry)?);
        }
    }
    Ok(schema(file.data, features))
}

fn schema(data: DataTable, features: Vec<Feature>) -> Schema {
    Schema {
        features,
        label: data.label,
        other_labels: data.other_labels,
        weight: data.weight,
        time: data.time,
        group: data.group,
        partition: data.partition,
        teacher_score: data.teacher_score,
        request: data.request,
        user_key: data.user_key,
        item_key: data.item_key,
        fetch_candidates: data.fetch_candidates.unwrap_or(FETCH_CANDIDATES),
        beta_ms: data.beta_ms.unwrap_or(0.0),
        gamma_ms: data.gamma_ms.unwrap_or(0.0),
    }
}

/// Name and column of every feature that a table declares.
fn names(table: &FeatureTable, path: &Path, line: Spot) -> Result<Vec<(String, String)>> {
    match (&table.name, &table.column, &table.columns) {
        (None, None, Some(columns)) if !columns.is_empty() => {
            Ok(columns.iter().map(|c| (c.clone(), c.clone())).collect())
        }
        (Some(name), column, None) => Ok(vec![(name.clone(), column.as_ref().unwrap_or(name).clone())]),
        (None, Some(column), None) => Ok(vec![(column.clone(), column.clone())]),
        _ => Err(Error::input(
            path,
            Place::cell("feature", line),
            "an entry needs either a name or a list of columns",
            "write `name = \"…\"` (and `column` where it differs) for one feature, or `columns = [\"…\", …]` for several",
        )),
    }
}

fn feature(table: &FeatureTable, column: String, file: &SchemaFile, entry: &Entry) -> Result<Feature> {
    let serving = file.defaults.serving(table.kind);
    let source = table.source.or(serving.source).unwrap_or(usual_source(table.kind));
    // What the matching stage passes along lies in no stored row, so the default row is not its own.
    let default_group = serving.fetch_group.as_ref().filter(|_| source == Source::Store);
    let default = file.defaults.encoding(table.value_type);
    let default_name = default.encoding.unwrap_or(usual_encoding(table.value_type));
    let encoding = encoding_of(table.value_type, table.encoding_keys(), default_name, default)
        .map_err(|(key, problem, fix)| entry.error(key, problem, fix))?;
    let fetch_ms = table.fetch_ms.or(serving.fetch_ms).ok_or_else(|| {
        entry.error(
            "fetch_ms",
            "no price is declared",
            "write `fetch_ms = …` here or under [defaults] for its kind",
        )
    })?;
    Ok(Feature {
        name: entry.name.clone(),
        column,
        kind: table.kind,
        source,
        fetch_group: table.fetch_group.as_ref().or(default_group).cloned(),
        refresh: table.refresh.or(serving.refresh).unwrap_or(usual_refresh(table.kind)),
        encoding,
        sequence: sequence(table, entry)?,
        width: table.width.or(file.defaults.width).unwrap_or(WIDTH),
        fetch_ms,
        must_keep: table.must_keep,
        never: table.never,
    })
}

fn usual_source(kind: Kind) -> Source {
    match kind {
        Kind::User | Kind::Context => Source::Matching,
        Kind::Item | Kind::Interactive => Source::Store,
    }
}

fn usual_refresh(kind: Kind) -> Refresh {
    match kind {
        Kind::User | Kind::Item => Refresh::Daily,
        Kind::Context | Kind::Interactive => Refresh::Request,
    }
}

/// The encoding of a type, where nothing else is said.
pub(super) fn usual_encoding(value_type: ValueType) -> EncodingName {
    if value_type == ValueType::Numeric { EncodingName::Buckets } else { EncodingName::Vocabulary }
}

/// The encoding that `keys` ask for. What they leave open comes from `default`: the encoding's name, and its numbers as
/// long as the name is still the default's own.
pub(super) fn encoding_of(
    value_type: ValueType,
    keys: EncodingKeys,
    default_name: EncodingName,
    default: EncodingKeys,
) -> Result<Encoding, Fault> {
    use EncodingName::{Buckets, Hash, Standardize, Vocabulary};
    let name = keys.encoding.unwrap_or(default_name);
    if (value_type == ValueType::Numeric) != matches!(name, Buckets | Standardize) {
        return Err((
            "encoding",
            "the encoding does not fit the type",
            "numeric takes buckets or standardize, categorical and sequence take vocabulary or hash",
        ));
    }
    if keys.buckets.is_some() && !matches!(name, Hash | Buckets) {
        return Err(("buckets", "this encoding has no buckets", "remove it, or use hash or buckets"));
    }
    if keys.min_count.is_some() && name != Vocabulary {
        return Err(("min_count", "only a vocabulary counts values", "remove it, or use vocabulary"));
    }
    let same = name == default_name;
    let buckets = keys.buckets.or(default.buckets.filter(|_| same));
    let min_count = keys.min_count.or(default.min_count.filter(|_| same));
    Ok(match name {
        Vocabulary => Encoding::Vocabulary { min_count: min_count.unwrap_or(MIN_COUNT) },
        Hash => Encoding::Hash { buckets: buckets.unwrap_or(HASH_BUCKETS) },
        Buckets => Encoding::Buckets { buckets: buckets.unwrap_or(BUCKETS) },
        Standardize => Encoding::Standardize,
    })
}

fn sequence(table: &FeatureTable, entry: &Entry) -> Result<Option<Sequence>> {
    if table.value_type == ValueType::Sequence {
        let separator = table.separator.clone().unwrap_or_else(|| ",".to_owned());
        return Ok(Some(Sequence { length: table.length.unwrap_or(LENGTH), separator }));
    }
    for (key, given) in [("length", table.length.is_some()), ("separator", table.separator.is_some())] {
        if given {
            return Err(entry.error(
                key,
                "only a sequence has it",
                "remove it, or write `type = \"sequence\"`",
            ));
        }
    }
    Ok(None)
}
