//! A first schema of data that nobody has described: what values look like can be counted, what they mean cannot.
//!
//! Of a column two things are guessed. Its **kind**, from what it hangs on: a column that says (nearly) the same in all rows of an
//! item is the item's, one that says the same in all rows of a user the user's, in all rows of a request the request's (context);
//! what is left changes with the pair (interactive). "Nearly" compares with how much the column changes anyway: let m(g) be the rows
//! of a group g that hold its most frequent value, over groups of two rows or more; the column hangs on the key where
//!
//! ```text
//! Σ (rows(g) − m(g)) ≤ 0.05 · (Σ rows(g) − rows of its most frequent value among them)
//! ```
//!
//! so that a column of zeros with few exceptions hangs on nothing. And its **type**: text, whole numbers with few values, the named
//! keys, what is named like an id or written with leading zeros are categories, other numbers numeric, lists sequences. Columns that
//! cannot teach anything are left out, with the reason. Whether a value is known before the label, and what it costs to fetch, nobody
//! can see in it.

mod text;

use super::{
    encode::{
        distinct::{Distinct, DistinctLists, MISSING},
        numeric, roles,
    },
    inspect::UNIQUE_ROWS,
    schema::Kind,
    table::{self, RawColumn, RawTable, TableFiles},
};
use crate::base::{Error, Result, error::Place, names::word};
use arrow::array::Array;
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, path::Path};

/// Share of a column's changes that may happen within the rows of a key that it hangs on.
const WITHIN: f64 = 0.05;
/// Rows that groups of two rows or more need, together, to say what hangs on their key.
const TELLING_ROWS: usize = 100;
/// Rows that are looked at: more show no better what values look like and what they hang on, and so many fit into the memory.
const MOST_ROWS: usize = 1 << 20;
/// Whole numbers with more values than this are quantities.
const CATEGORIES: usize = 50;
/// What separates the values of a sequence in text, where it is found in [`SEPARATED`] of the rows.
const SEPARATOR: char = '|';
const SEPARATED: f64 = 0.2;

/// The columns that the user has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// 0 or 1: what is trained on.
    pub label: String,
    /// When it happened.
    pub time: Option<String>,
    /// Who asked.
    pub user: String,
    /// What was shown.
    pub item: String,
    /// What joins the rows of one request.
    pub request: Option<String>,
}

impl Named {
    fn columns(&self) -> impl Iterator<Item = &String> {
        [&self.label, &self.user, &self.item].into_iter().chain(&self.time).chain(&self.request)
    }

    /// Whether the values of a column are names: numbers, perhaps, but no quantities.
    fn is_key(&self, column: &str) -> bool {
        [&self.user, &self.item].into_iter().chain(&self.request).any(|key| key == column)
    }
}

/// What values are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// Ids.
    Categorical,
    /// Quantities.
    Numeric,
    /// Several ids per row.
    Sequence,
}

/// Why a column is not made a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// All rows say the same.
    Constant,
    /// (Nearly) every row says something else, and it is no quantity.
    Unique,
    /// Text with a header that says nothing.
    Nameless,
    /// Its type is none that can be read, such as a structure.
    Unusable,
}

/// A guess about one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// The column.
    pub column: String,
    /// Its kind and type, or why it is left out.
    #[serde(flatten)]
    pub role: Role,
}

/// What a column is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A feature.
    Feature {
        /// What it describes.
        kind: Kind,
        /// What its values are.
        #[serde(rename = "type")]
        value_type: ValueType,
    },
    /// Nothing.
    LeftOut(LeftOut),
}

impl LeftOut {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Constant => "says the same in all rows",
            Self::Unique => "says something else in nearly every row",
            Self::Nameless => "has no name: give it one if it is more than the number of the row",
            Self::Unusable => "holds no integers, floats, text, dates or lists of these",
        }
    }
}

impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reason())
    }
}

/// A first schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Draft {
    /// Version of the JSON form.
    pub schema_version: u32,
    /// Rows that were looked at: of more than a million some, evenly spread.
    pub rows: usize,
    /// Rows of the data.
    pub all_rows: usize,
    /// All columns in their order, but for label, time and request: those of the user and the item may be features, too.
    pub columns: Vec<Guess>,
    /// The schema file.
    pub text: String,
}

/// Looks at all columns of the file or folder at `path` and writes a schema of them. `prices` holds the declared `fetch_ms` of a feature
/// of each kind: a kind that occurs and is not there is an error, as no price is ever assumed.
pub fn draft(path: &Path, named: &Named, prices: &BTreeMap<Kind, f64>) -> Result<Draft> {
    let names = table::names(path)?;
    let usable = table::usable(path)?;
    // A named column is read whatever it holds, and where there is none: what is wrong with it has to be said.
    let named_too = named.columns().filter(|column| !usable.contains(column));
    let read: Vec<&str> = usable.iter().chain(named_too).map(String::as_str).collect();
    let (table, all_rows) = TableFiles::find(path)?.spread(&read, MOST_ROWS)?;
    let columns = guesses(&table, named, &names)?;
    let text = text::schema(path, (&table, all_rows), named, &columns, prices)?;
    Ok(Draft { schema_version: 1, rows: table.rows(), all_rows, columns, text })
}

/// One guess for each of the columns `names` but label, time and request. Those that the table lacks could not be read.
fn guesses(table: &RawTable, named: &Named, names: &[String]) -> Result<Vec<Guess>> {
    let keys = Keys::of(table, named)?;
    let outcomes = [Some(&named.label), named.time.as_ref(), named.request.as_ref()];
    let guess = |name: &String| -> Result<Guess> {
        let role = match table.column(name) {
            Ok(column) => role(table, named, (name, column), &keys)?,
            Err(_) => Role::LeftOut(LeftOut::Unusable),
        };
        Ok(Guess { column: name.clone(), role })
    };
    names.par_iter().filter(|name| !outcomes.contains(&Some(name))).map(guess).collect()
}

fn role(table: &RawTable, named: &Named, (name, column): (&str, &RawColumn), keys: &Keys) -> Result<Role> {
    if name.trim().is_empty() {
        return Ok(Role::LeftOut(LeftOut::Nameless));
    }
    // A list as a whole is one value here.
    let codes = match column {
        RawColumn::Lists(_) => whole_lists(column),
        _ => Distinct::of(column).expect("no list"),
    };
    let present = codes.codes.iter().filter(|&&code| code != MISSING).count();
    let missing = present < table.rows();
    if codes.texts.len() + usize::from(missing) <= 1 {
        return Ok(Role::LeftOut(LeftOut::Constant));
    }
    let value_type = match named.is_key(name) {
        true => ValueType::Categorical,
        false => value_type(table, name, column, &codes),
    };
    let unique = codes.texts.len() as f64 >= UNIQUE_ROWS * present as f64 && present >= TELLING_ROWS;
    let whole = value_type != ValueType::Sequence && !has_fractions(&codes);
    if unique && whole {
        return Ok(Role::LeftOut(LeftOut::Unique));
    }
    Ok(Role::Feature { kind: keys.kind(&codes), value_type })
}

fn whole_lists(column: &RawColumn) -> Distinct {
    let DistinctLists { items, starts } = DistinctLists::of(column, "");
    let mut known = std::collections::HashMap::new();
    let codes = starts.windows(2).map(|row| {
        let next = known.len() as u32;
        *known.entry(&items.codes[row[0]..row[1]]).or_insert(next)
    });
    let codes: Vec<u32> = codes.collect();
    let texts = (0..known.len()).map(|list| list.to_string()).collect();
    Distinct { codes, texts }
}

fn value_type(table: &RawTable, name: &str, column: &RawColumn, codes: &Distinct) -> ValueType {
    if let RawColumn::Text(texts) = column {
        let separated = texts.iter().flatten().filter(|text| text.contains(SEPARATOR)).count();
        if separated as f64 >= SEPARATED * texts.len() as f64 {
            return ValueType::Sequence;
        }
        if texts.iter().flatten().any(leads_with_zero) || numeric::numbers(table, name).is_err() {
            return ValueType::Categorical;
        }
    }
    if matches!(column, RawColumn::Lists(_)) {
        return ValueType::Sequence;
    }
    let name = name.to_lowercase();
    let id = name == "id" || name.ends_with("_id");
    let few = codes.texts.len() <= CATEGORIES && !has_fractions(codes);
    if id || few { ValueType::Categorical } else { ValueType::Numeric }
}

/// Whether text is digits behind a zero, as in `01906745`: a code, for no quantity is written so.
fn leads_with_zero(text: &str) -> bool {
    let text = text.trim();
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether values are written with a decimal point. Whole numbers are, whatever type they are kept in, written without.
fn has_fractions(codes: &Distinct) -> bool {
    codes.texts.iter().any(|text| text.parse::<f64>().is_ok_and(|value| value.fract() != 0.0))
}

/// The rows of every user, item and request.
struct Keys(Vec<(Kind, Vec<Vec<u32>>)>);

impl Keys {
    fn of(table: &RawTable, named: &Named) -> Result<Self> {
        let keys = [
            (Kind::Item, Some(&named.item)),
            (Kind::User, Some(&named.user)),
            (Kind::Context, named.request.as_ref()),
        ];
        let groups = |(kind, column): (Kind, Option<&String>)| {
            let column = column?;
            Some(groups(table, column).map(|groups| (kind, groups)))
        };
        roles::labels(table, &named.label)?;
        if let Some(time) = &named.time {
            table.column(time)?;
        }
        Ok(Self(keys.into_iter().filter_map(groups).collect::<Result<_>>()?))
    }

    /// The first key that a column hangs on.
    fn kind(&self, column: &Distinct) -> Kind {
        let of = self.0.iter().find(|(_, groups)| hangs_on(groups, column));
        of.map_or(Kind::Interactive, |(kind, _)| *kind)
    }
}

/// The rows of every value that comes twice or more.
fn groups(table: &RawTable, column: &str) -> Result<Vec<Vec<u32>>> {
    let raw = table.column(column)?;
    let Some(Distinct { codes, texts }) = Distinct::of(raw) else {
        return Err(table.column_error(
            column,
            "lists cannot be a key",
            "name a column with one value per row",
        ));
    };
    let mut groups = vec![Vec::new(); texts.len()];
    for (row, &code) in codes.iter().enumerate().filter(|(_, code)| **code != MISSING) {
        groups[code as usize].push(row as u32);
    }
    groups.retain(|rows| rows.len() > 1);
    Ok(groups)
}

/// Whether the column changes (nearly) only from one group to another.
fn hangs_on(groups: &[Vec<u32>], column: &Distinct) -> bool {
    // A missing value is one more value.
    let code = |&row: &u32| (column.codes[row as usize] as usize).min(column.texts.len());
    let mut counts = vec![0usize; column.texts.len() + 1];
    let mut others = |rows: &mut dyn Iterator<Item = &u32>| {
        let (mut touched, mut most) = (Vec::new(), 0);
        for code in rows.map(code) {
            counts[code] += 1;
            most = most.max(counts[code]);
            touched.push(code);
        }
        touched.iter().for_each(|&code| counts[code] = 0);
        touched.len() - most
    };
    let rows: usize = groups.iter().map(Vec::len).sum();
    let within: usize = groups.iter().map(|group| others(&mut group.iter())).sum();
    let anyway = others(&mut groups.iter().flatten());
    rows >= TELLING_ROWS && anyway > 0 && within as f64 <= WITHIN * anyway as f64
}

/// The error for a kind without a price.
fn unpriced(path: &Path, kinds: &[Kind]) -> Error {
    let kinds: Vec<_> = kinds.iter().map(|&kind| word(kind)).collect();
    let given: Vec<_> = kinds.iter().map(|kind| format!("{kind}=MS")).collect();
    let problem = format!("no price is declared for {} features", kinds.join(", "));
    let fix = format!(
        "add {} to --fetch-ms: the milliseconds that fetching such a feature takes, 0 where it takes none",
        given.join(",")
    );
    Error::input(path, Place::whole(), problem, fix)
}

#[cfg(test)]
mod tests;
