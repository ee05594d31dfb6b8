//! An experiment as TOML, every value with its origin behind it.

use super::{Resolved, Settings, tree};
use std::fmt;
use toml::{Table, Value};

/// Column at which the origins start.
const ORIGIN_COLUMN: usize = 44;

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, table)) in self.tree.iter().enumerate() {
            let Value::Table(table) = table else { continue };
            writeln!(f, "{}[{name}]", if i == 0 { "" } else { "\n" })?;
            for (key, value) in tree::leaves(table) {
                let line = format!("{key} = {}", rounded(&value));
                let origin = self.origin(&format!("{name}.{key}"));
                writeln!(f, "{line:<ORIGIN_COLUMN$} # {origin}")?;
            }
            for key in unset(name, table) {
                writeln!(f, "{:<ORIGIN_COLUMN$} # default", format!("# {key} is not set"))?;
            }
        }
        Ok(())
    }
}

/// Optional keys of a table that have no value.
fn unset(name: &str, table: &Table) -> Vec<String> {
    let optional = Table::try_from(Settings::with_all_options()).expect("settings are plain tables");
    let Some(Value::Table(full)) = optional.get(name) else { return Vec::new() };
    let Ok(usual) = Table::try_from(Settings::default()) else { return Vec::new() };
    let usual = usual.get(name).and_then(Value::as_table);
    let is_optional = |key: &str| usual.is_none_or(|usual| tree::get(usual, key).is_none());
    let leaves = tree::leaves(full).into_iter().map(|(key, _)| key);
    leaves.filter(|key| is_optional(key) && tree::get(table, key).is_none()).collect()
}

/// 32-bit settings widen to 64 bits in a TOML value (0.2 becomes 0.20000000298…); this takes the widening back.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Float(x) if f64::from(*x as f32) == *x => {
            Value::Float((*x as f32).to_string().parse().unwrap_or(*x))
        }
        Value::Array(items) => Value::Array(items.iter().map(rounded).collect()),
        other => other.clone(),
    }
}
