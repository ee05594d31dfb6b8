//! Rules that a schema must keep, whatever file it came from.

use super::{
    Encoding, Feature, Schema, Sequence, Source,
    file::{Defaults, EncodingKeys},
    resolve::{encoding_of, usual_encoding},
};
use crate::base::{Error, Result, error::Place};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

/// Embedding tables beyond this many rows are a mistake in the schema rather than a wish.
const MAX_BUCKETS: u32 = 1 << 26;
/// Longest sequence: every row pays for all slots, in memory and at each lookup.
const MAX_LENGTH: usize = 4096;
/// Widest embedding, far beyond what a pre-ranking network reads.
const MAX_WIDTH: usize = 4096;

/// Checks all rules; the first broken one is the error.
pub(super) fn check(schema: &Schema, path: &Path) -> Result<()> {
    let checker = Checker { path };
    checker.data(schema)?;
    checker.roles(schema)?;
    let mut names = HashSet::new();
    for feature in &schema.features {
        checker.feature(feature)?;
        checker.leak(feature, schema)?;
        if !names.insert(feature.name.as_str()) {
            return Err(checker.error(
                format!("{}.name", feature.name),
                "two features have this name",
                "give one of them another `name`; both may read the same `column`",
            ));
        }
    }
    checker.groups(&schema.features)
}

/// Checks the numbers that `[defaults]` gives, under their own keys: a feature that inherits one did not write it, and one
/// that no feature inherits would never be looked at.
pub(super) fn check_defaults(defaults: &Defaults, path: &Path) -> Result<()> {
    let checker = Checker { path };
    if let Some(width) = defaults.width {
        checker.width(width, || "defaults.width".to_owned())?;
    }
    for (kind, keys) in defaults.kinds() {
        if let Some(fetch_ms) = keys.fetch_ms {
            checker.price(fetch_ms, || format!("defaults.{kind}.fetch_ms"))?;
        }
    }
    for (name, value_type, keys) in defaults.types() {
        let found = encoding_of(value_type, keys, usual_encoding(value_type), EncodingKeys::default());
        let found = found.and_then(|encoding| encoding_fault(encoding, None).map_or(Ok(()), Err));
        if let Err((key, problem, fix)) = found {
            return Err(checker.error(format!("defaults.{name}.{key}"), problem, fix));
        }
    }
    Ok(())
}

/// Key, problem and fix of something that cannot be carried out.
pub(in crate::data) type Fault = (&'static str, &'static str, &'static str);

/// What is wrong with an encoding.
pub(in crate::data) fn encoding_fault(encoding: Encoding, sequence: Option<&Sequence>) -> Option<Fault> {
    match encoding {
        Encoding::Vocabulary { min_count: 0 } => {
            return Some(("min_count", "a count of 0", "write at least 1"));
        }
        Encoding::Hash { buckets } | Encoding::Buckets { buckets }
            if !(2..=MAX_BUCKETS).contains(&buckets) =>
        {
            return Some(("buckets", "fewer than 2 or too many buckets", "write 2 to 67108864"));
        }
        Encoding::Buckets { .. } | Encoding::Standardize if sequence.is_some() => {
            return Some(("encoding", "a sequence of numbers", "use vocabulary or hash for a sequence"));
        }
        _ => {}
    }
    match sequence {
        Some(Sequence { length, .. }) if !(1..=MAX_LENGTH).contains(length) => {
            Some(("length", "no or too many values of a sequence", "write 1 to 4096"))
        }
        Some(Sequence { separator, .. }) if separator.is_empty() => {
            Some(("separator", "an empty separator", "write the text between two values"))
        }
        _ => None,
    }
}

struct Checker<'a> {
    path: &'a Path,
}

impl Checker<'_> {
    fn error(&self, field: String, problem: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::input(self.path, Place::field(field), problem, fix)
    }

    fn ensure(&self, holds: bool, field: impl Fn() -> String, problem: &str, fix: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.error(field(), problem, fix)) }
    }

    fn data(&self, schema: &Schema) -> Result<()> {
        let usable = schema.features.iter().any(|f| !f.never);
        self.ensure(
            usable,
            || "feature".into(),
            "no feature can be selected",
            "declare at least one without `never`",
        )?;
        let candidates = schema.fetch_candidates > 0;
        self.ensure(
            candidates,
            || "data.fetch_candidates".into(),
            "prices for 0 candidates",
            "write at least 1",
        )?;
        for (key, value) in [("data.beta_ms", schema.beta_ms), ("data.gamma_ms", schema.gamma_ms)] {
            self.price(value, || key.into())?;
        }
        Ok(())
    }

    fn price(&self, value: f64, field: impl Fn() -> String) -> Result<()> {
        let sound = value.is_finite() && value >= 0.0;
        self.ensure(sound, field, "a price is negative or not a number", "write milliseconds, 0 or more")
    }

    fn width(&self, width: usize, field: impl Fn() -> String) -> Result<()> {
        let sound = (1..=MAX_WIDTH).contains(&width);
        self.ensure(sound, field, "an embedding without width or too wide", "write 1 to 4096")
    }

    /// Columns that hold outcomes have one role each, and none of them groups or routes rows: a partition or a key that
    /// is the label would hand it to the teacher or to GAUC.
    fn roles(&self, schema: &Schema) -> Result<()> {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (role, column) in outcomes(schema) {
            self.ensure(
                !column.is_empty(),
                || format!("data.{role}"),
                "an empty name",
                "write a column's name",
            )?;
            if let Some(other) = seen.insert(column, role) {
                return Err(self.error(
                    format!("data.{role}"),
                    format!("column `{column}` is already the {other}"),
                    "a column has one role; remove one of the two",
                ));
            }
        }
        for (role, column) in keys(schema) {
            let named = !column.is_empty();
            self.ensure(named, || format!("data.{role}"), "an empty name", "write a column's name")?;
            // Time and request may serve as keys as well: neither tells how the request ended.
            if let Some(other) = seen.get(column).filter(|role| !["time", "request"].contains(role)) {
                return Err(self.error(
                    format!("data.{role}"),
                    format!("column `{column}` is the {other} and cannot be a key of rows too"),
                    "name another column, or remove this key",
                ));
            }
        }
        Ok(())
    }

    fn feature(&self, feature: &Feature) -> Result<()> {
        let at = |key: &'static str| move || format!("{}.{key}", feature.name);
        self.ensure(!feature.name.is_empty(), at("name"), "an empty name", "write a name")?;
        self.ensure(!feature.column.is_empty(), at("column"), "an empty name", "write the column's name")?;
        self.width(feature.width, at("width"))?;
        self.price(feature.fetch_ms, at("fetch_ms"))?;
        let one = !(feature.must_keep && feature.never);
        self.ensure(one, at("must_keep"), "contradicts `never`", "keep one of the two")?;
        match encoding_fault(feature.encoding, feature.sequence.as_ref()) {
            Some((key, problem, fix)) => Err(self.error(at(key)(), problem, fix)),
            None => Ok(()),
        }
    }

    /// A feature that reads an outcome would know the answer.
    fn leak(&self, feature: &Feature, schema: &Schema) -> Result<()> {
        match outcomes(schema).find(|(_, column)| *column == feature.column) {
            None => Ok(()),
            Some((role, column)) => Err(self.error(
                format!("{}.column", feature.name),
                format!("column `{column}` is the {role} and cannot be a feature too"),
                "remove the feature, or change the role under [data]",
            )),
        }
    }

    /// A fetch group is one stored row: it belongs to the store and to one kind of key.
    fn groups(&self, features: &[Feature]) -> Result<()> {
        let mut kinds = HashMap::new();
        for feature in features {
            let Some(group) = &feature.fetch_group else { continue };
            let at = || format!("{}.fetch_group", feature.name);
            let stored = feature.source == Source::Store;
            self.ensure(
                stored,
                at,
                "the matching stage passes this feature along",
                "remove the group or use the store",
            )?;
            let first = kinds.entry(group.as_str()).or_insert(feature);
            if first.kind != feature.kind {
                return Err(self.error(
                    at(),
                    format!("group `{group}` already holds `{}` of another kind", first.name),
                    "a group is one stored row; use one group per kind",
                ));
            }
        }
        Ok(())
    }
}

/// Columns that are known only after the request, or that say which rows to use, with their keys in the file.
fn outcomes(schema: &Schema) -> impl Iterator<Item = (&'static str, &str)> {
    std::iter::once(("label", schema.label.as_str()))
        .chain(schema.other_labels.iter().map(|c| ("other_labels", c.as_str())))
        .chain(single("weight", &schema.weight))
        .chain(single("time", &schema.time))
        .chain(single("teacher_score", &schema.teacher_score))
        .chain(single("request", &schema.request))
}

/// Columns that group or route rows, with their keys in the file. Features may read them too, and one may have several
/// of these roles.
fn keys(schema: &Schema) -> impl Iterator<Item = (&'static str, &str)> {
    let all = [
        single("group", &schema.group),
        single("partition", &schema.partition),
        single("user_key", &schema.user_key),
        single("item_key", &schema.item_key),
    ];
    all.into_iter().flatten()
}

fn single<'a>(role: &'static str, column: &'a Option<String>) -> Option<(&'static str, &'a str)> {
    column.as_deref().map(|column| (role, column))
}
