//! Default, file and command line laid over each other, and the search for the key that is wrong.

use super::{Settings, tree};
use crate::base::{Error, Result, check::Violation, error::Place, keys};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use toml::{Table, Value};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program's own.
    Default,
    /// The experiment file.
    File,
    /// `--set` or an option of its own.
    CommandLine,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::CommandLine => "command line",
        })
    }
}

/// One value from the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Dotted path of the key.
    pub path: String,
    /// Its value.
    pub value: Value,
}

impl Override {
    /// A value as TOML; what is no TOML (`paper`, `../data.csv`) is text.
    pub fn parse(path: &str, text: &str) -> Self {
        let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
        Self { path: path.to_owned(), value: parsed.unwrap_or_else(|| Value::String(text.to_owned())) }
    }

    /// `key.path=value`, as the command line has it.
    pub fn assignment(text: &str) -> Result<Self> {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            Error::usage(format!("--set {text} has no value"), "write it as --set key.path=value")
        })?;
        let value = value.trim();
        let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // TOML has no such number, so it would be taken for text.
        if whole && value.parse::<i64>().is_err() {
            return Err(Error::usage(format!("--set {text}: no number is that large"), "give a smaller one"));
        }
        Ok(Self::parse(path.trim(), value))
    }

    /// A value that is text whatever it looks like.
    pub fn text(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), value: Value::String(text.into()) }
    }

    /// A count.
    pub fn count(path: &str, count: u32) -> Self {
        Self { path: path.to_owned(), value: Value::Integer(count.into()) }
    }
}

/// Every value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The settings as a document.
    pub tree: Table,
    origins: BTreeMap<String, Origin>,
}

impl Resolved {
    /// Where the value of a key comes from.
    pub fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).copied().unwrap_or(Origin::Default)
    }
}

/// Where messages say that a key was found.
struct Source<'a> {
    file: &'a Path,
    origins: BTreeMap<String, Origin>,
}

impl Source<'_> {
    fn error(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) -> Error {
        match self.origins.get(path) {
            Some(Origin::CommandLine) => {
                Error::usage(format!("command line, `{path}`: {}", problem.into()), fix)
            }
            _ => Error::input(self.file, Place::field(path), problem, fix),
        }
    }
}

/// Lays file and overrides over the defaults and checks the result.
pub fn resolve(file: &Path, text: &str, overrides: &[Override]) -> Result<(Settings, Resolved)> {
    let document: Table = toml::from_str(text).map_err(|e| keys::toml_syntax(text, file, &e))?;
    let defaults = document_of(&Settings::default());
    let mut layers = tree::leaves(&document);
    let changed = changed_choices(&document, &defaults, overrides);
    let mut source = Source { file, origins: BTreeMap::new() };
    source.origins.extend(layers.iter().map(|(path, _)| (path.clone(), Origin::File)));
    for Override { path, value } in overrides {
        layers.push((path.clone(), value.clone()));
        source.origins.insert(path.clone(), Origin::CommandLine);
    }
    let known = known_paths();
    for (path, _) in &layers {
        check_known(path, &known, &source)?;
    }
    let settings = deserialize(&defaults, &layers, &source)?;
    let resolved = Resolved { tree: document_of(&settings), origins: source.origins.clone() };
    // What the file says for the rule that the command line has exchanged for another is not wrong.
    let gone = |path: &str| {
        resolved.origin(path) == Origin::File && changed.iter().any(|table| tree::within(path, table))
    };
    let paths = layers.iter().map(|(path, _)| path.as_str());
    check_effects(paths.filter(|path| !gone(path)), &resolved, &source)?;
    checked(&settings, &source)?;
    Ok((settings, resolved))
}

/// The tables of which the command line chooses another rule or kind than the file.
fn changed_choices<'a>(document: &Table, defaults: &Table, overrides: &'a [Override]) -> Vec<&'a str> {
    let another = |Override { path, value }: &Override| {
        let told = tree::get(document, path).or_else(|| tree::get(defaults, path));
        Settings::CHOICES.contains(&path.as_str()) && told != Some(value)
    };
    let changed = overrides.iter().filter(|one| another(one));
    changed.filter_map(|one| one.path.rsplit_once('.')).map(|(table, _)| table).collect()
}

/// Fails on a path that the settings, as they were read, do not have.
fn check_effects<'a>(
    mut paths: impl Iterator<Item = &'a str>,
    resolved: &Resolved,
    source: &Source,
) -> Result<()> {
    match paths.find(|path| tree::get(&resolved.tree, path).is_none()) {
        None => Ok(()),
        Some(path) => {
            let problem = "has no effect with the other values of its table";
            Err(source.error(path, problem, "remove it, or choose the rule or kind that reads it"))
        }
    }
}

/// Lays overrides over settings that were resolved before, with the paths that those have.
pub(super) fn overridden(
    known: &Resolved,
    file: &Path,
    overrides: &[Override],
) -> Result<(Settings, Resolved)> {
    let source = Source { file, origins: known.origins.clone() };
    let every = known_paths();
    overrides.iter().try_for_each(|Override { path, .. }| check_known(path, &every, &source))?;
    let own = overrides.iter().map(|Override { path, value }| (path.clone(), value.clone()));
    let layers: Vec<tree::Leaf> = tree::leaves(&known.tree).into_iter().chain(own).collect();
    let settings = deserialize(&document_of(&Settings::default()), &layers, &source)?;
    let resolved = Resolved { tree: document_of(&settings), origins: known.origins.clone() };
    check_effects(overrides.iter().map(|one| one.path.as_str()), &resolved, &source)?;
    checked(&settings, &source)?;
    Ok((settings, resolved))
}

fn checked(settings: &Settings, source: &Source) -> Result<()> {
    settings.check().map_err(|(table, Violation { key, problem, fix })| {
        source.error(&format!("{table}.{key}"), problem, fix)
    })
}

pub(super) fn document_of(settings: &Settings) -> Table {
    Table::try_from(settings).expect("settings are plain tables, numbers and texts")
}

/// Every path that some choice of settings reads: those of the defaults, of the optional values, and of the other
/// variants of the rules.
fn known_paths() -> BTreeSet<String> {
    let examples = Settings::examples();
    examples.iter().flat_map(|s| tree::leaves(&document_of(s))).map(|(path, _)| path).collect()
}

fn check_known(path: &str, known: &BTreeSet<String>, source: &Source) -> Result<()> {
    let is_prefix = |prefix: &str| known.iter().any(|k| tree::within(k, prefix));
    if known.contains(path) {
        return Ok(());
    }
    if is_prefix(path) {
        return Err(source.error(path, "is a table, not a value", format!("write it as `[{path}]`")));
    }
    if let Some(leaf) = known.iter().find(|k| tree::within(path, k)) {
        return Err(source.error(leaf, "is a value, not a table", format!("write it as `{leaf} = …`")));
    }
    let mut unknown = String::new();
    for part in path.split('.') {
        unknown = if unknown.is_empty() { part.to_owned() } else { format!("{unknown}.{part}") };
        if !is_prefix(&unknown) {
            break;
        }
    }
    let depth = unknown.split('.').count();
    let peers: Vec<String> =
        known.iter().map(|k| k.split('.').take(depth).collect::<Vec<_>>().join(".")).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let fix = match keys::nearest(&unknown, peers) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove it; --print-config shows every key".to_owned(),
    };
    // The origin is known for the whole path only.
    let origin = source.origins.get(path).copied().unwrap_or(Origin::File);
    let named = Source { file: source.file, origins: BTreeMap::from([(unknown.clone(), origin)]) };
    Err(named.error(&unknown, "unknown key", fix))
}

fn overlaid<'a>(defaults: &Table, layers: impl Iterator<Item = &'a tree::Leaf> + Clone) -> Table {
    let mut merged = defaults.clone();
    for choice in Settings::CHOICES {
        if let (true, Some((table, _))) =
            (layers.clone().any(|(path, _)| path == choice), choice.rsplit_once('.'))
        {
            tree::set(&mut merged, table, Value::Table(Table::new()));
        }
    }
    for (path, value) in layers {
        tree::set(&mut merged, path, value.clone());
    }
    merged
}

/// Reads the settings; on failure looks for the key that is to blame, which serde has lost inside flattened structs and
/// tagged enums: without it, its table is read.
fn deserialize(defaults: &Table, layers: &[tree::Leaf], source: &Source) -> Result<Settings> {
    let whole = match overlaid(defaults, layers.iter()).try_into::<Settings>() {
        Ok(settings) => return Ok(settings),
        Err(error) => error,
    };
    for section in defaults.keys() {
        let inside: Vec<&tree::Leaf> =
            layers.iter().filter(|(path, _)| tree::within(path, section)).collect();
        let read = |skipped: Option<usize>| {
            let kept =
                inside.iter().enumerate().filter(move |(i, _)| Some(*i) != skipped).map(|(_, leaf)| *leaf);
            overlaid(defaults, kept).try_into::<Settings>()
        };
        let Err(error) = read(None) else { continue };
        let alone = |leaf: &tree::Leaf| overlaid(defaults, std::iter::once(leaf)).try_into::<Settings>();
        // Without its choice a table reads other keys, so that is blamed only where nothing else is.
        let mut suspects: Vec<usize> = (0..inside.len()).collect();
        suspects.sort_by_key(|&i| Settings::CHOICES.contains(&inside[i].0.as_str()));
        let to_blame = suspects
            .into_iter()
            .find(|&i| read(Some(i)).is_ok())
            .map(|i| (inside[i], error.clone()))
            .or_else(|| inside.iter().find_map(|&leaf| alone(leaf).err().map(|error| (leaf, error))));
        if let Some(((path, _), error)) = to_blame {
            if let Some((value, known)) = keys::unknown_value(error.message()) {
                let problem = format!("unknown value `{value}`");
                return Err(source.error(path, &problem, keys::suggestion(value, &known)));
            }
            let fix = match tree::get(defaults, path) {
                Some(default) => format!("give a value such as `{default}`"),
                None => keys::what_to_write(error.message()),
            };
            return Err(source.error(path, error.message().trim(), fix));
        }
    }
    Err(Error::input(source.file, Place::whole(), whole.message().trim(), "compare with --print-config"))
}
