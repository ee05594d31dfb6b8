//! The schema file of a draft.

use super::{Guess, Named, Role, SEPARATOR, ValueType, unpriced};
use crate::{
    base::{Result, names::word},
    data::{
        schema::{Kind, Schema},
        table::{RawColumn, RawTable},
    },
};
use std::{collections::BTreeMap, fmt::Write, path::Path};

const KINDS: [Kind; 4] = [Kind::User, Kind::Context, Kind::Item, Kind::Interactive];
const TYPES: [ValueType; 3] = [ValueType::Categorical, ValueType::Numeric, ValueType::Sequence];
/// Longest line of column names.
const LINE: usize = 100;

/// The file, which [`Schema::parse`] takes.
pub(super) fn schema(
    path: &Path,
    (table, all_rows): (&RawTable, usize),
    named: &Named,
    guesses: &[Guess],
    prices: &BTreeMap<Kind, f64>,
) -> Result<String> {
    let features = |kind, wanted| {
        let of = move |guess: &&Guess| match guess.role {
            Role::Feature { kind: found, value_type } => found == kind && value_type == wanted,
            Role::LeftOut(_) => false,
        };
        guesses.iter().filter(of).map(|guess| guess.column.as_str()).collect::<Vec<_>>()
    };
    let occurs = |kind: &Kind| TYPES.iter().any(|&value_type| !features(*kind, value_type).is_empty());
    let missing: Vec<Kind> =
        KINDS.into_iter().filter(occurs).filter(|kind| !prices.contains_key(kind)).collect();
    if !missing.is_empty() {
        return Err(unpriced(path, &missing));
    }
    let mut text = head(path, (table.rows(), all_rows), named);
    for kind in KINDS.into_iter().filter(occurs) {
        // Debug keeps the point of 1.0: the schema's prices are numbers with or without one.
        let _ = writeln!(text, "{} = {{ fetch_ms = {:?} }}", word(kind), prices[&kind]);
    }
    for kind in KINDS.into_iter().filter(occurs) {
        let _ = writeln!(text, "\n# --- {} ---", why(kind, named));
        for value_type in TYPES {
            let columns = features(kind, value_type);
            let (lists, texts) = columns.into_iter().partition::<Vec<_>, _>(|name| is_list(table, name));
            for (columns, separated) in [(texts, value_type == ValueType::Sequence), (lists, false)] {
                if !columns.is_empty() {
                    text += &entry(kind, value_type, &columns, separated);
                }
            }
        }
    }
    let left_out = guesses.iter().filter_map(|guess| match guess.role {
        Role::LeftOut(reason) => Some(format!("#   {:?} {}\n", guess.column, reason.reason())),
        Role::Feature { .. } => None,
    });
    let left_out: String = left_out.collect();
    if !left_out.is_empty() {
        let _ = write!(text, "\n# Left out:\n{left_out}");
    }
    Schema::parse(&text, path)?;
    Ok(text)
}

fn head(path: &Path, (rows, all_rows): (usize, usize), named: &Named) -> String {
    let looked_at = match rows < all_rows {
        true => format!("{rows} rows, evenly spread over the {all_rows}"),
        false => format!("the {rows} rows"),
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut text = format!(
        "# Drafted from {looked_at} of {}: from what values look like, not from what they mean. Read it through:\n\
         # remove what is known only after the label or is not there when candidates are scored, correct kinds and types,\n\
         # declare prices. docs/schema.md says what can stand here; `data inspect` shows what features tell of the label.\n\
         \n[data]\nlabel = {}\n",
        // A name may hold a line's end.
        name.replace(char::is_control, " "),
        quoted(&named.label)
    );
    let roles = [
        ("time", named.time.as_ref()),
        ("request", named.request.as_ref()),
        ("group", Some(&named.user)),
        ("user_key", Some(&named.user)),
        ("item_key", Some(&named.item)),
    ];
    for (role, column) in roles.into_iter().filter_map(|(role, column)| Some((role, column?))) {
        let _ = writeln!(text, "{role} = {}", quoted(column));
    }
    text + "\n[defaults]\n"
}

/// What made columns this kind.
fn why(kind: Kind, named: &Named) -> String {
    match kind {
        Kind::User => format!("the same in all rows of one {}", quoted(&named.user)),
        Kind::Item => format!("the same in all rows of one {}", quoted(&named.item)),
        Kind::Context => format!("the same in all rows of one {}", quoted(named.request.as_deref().unwrap_or_default())),
        Kind::Interactive => "change within one user and within one item: of the pair, ---\n# --- or of the moment (`context`), or a \
                              statistic of a user or an item that moves"
            .to_owned(),
    }
}

fn entry(kind: Kind, value_type: ValueType, columns: &[&str], separated: bool) -> String {
    let mut text = format!("\n[[feature]]\nkind = \"{}\"\ntype = \"{}\"\n", word(kind), word(value_type));
    if separated {
        let _ = writeln!(text, "separator = \"{SEPARATOR}\"");
    }
    let mut line = String::from("columns = [");
    for (place, column) in columns.iter().enumerate() {
        let next = quoted(column) + if place + 1 < columns.len() { ", " } else { "]" };
        if line.len() + next.len() > LINE {
            let _ = writeln!(text, "{}", line.trim_end());
            line = String::from("    ");
        }
        line += &next;
    }
    text + &line + "\n"
}

fn is_list(table: &RawTable, column: &str) -> bool {
    table.column(column).is_ok_and(|column| matches!(column, RawColumn::Lists(_)))
}

/// As TOML writes text.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
