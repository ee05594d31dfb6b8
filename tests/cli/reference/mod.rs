//! docs/experiment.md is what the declarations of the settings say, and docs/schema.md has every key of a schema.

mod source;

use autofas_bench::app::config::{Experiment, Override};
use source::{Declared, Field, Source, path};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};
use syn::Type;

const PAGE: &str = "docs/experiment.md";
const UPDATE: &str = "AUTOFAS_UPDATE_SCHEMAS=1 cargo test --release --test cli the_schema_in_docs";

/// What makes every table show all of its keys, beside the defaults.
const VARIANTS: [&[&str]; 7] = [
    &[],
    &["split.by=shuffle", "split.valid_fraction=0.2"],
    &["derive.rule=top_k"],
    &["derive.rule=budget", "derive.budget_ms=1.0"],
    &["search.gate.kind=relaxed", "search.paths.kind=sampled"],
    &["search.gate.kind=smoothed_l0", "search.multiplier.kind=fixed"],
    &["search.multiplier.kind=dual"],
];

/// By path, the default as `--print-config` shows it; empty where there is none.
fn defaults() -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for variant in VARIANTS {
        let given: Vec<_> = variant.iter().map(|text| Override::assignment(text).unwrap()).collect();
        let read = Experiment::parse(Path::new("e.toml"), "data.schema = \"s.toml\"", &given).unwrap();
        let mut table = String::new();
        for line in read.resolved.to_string().lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = name.to_owned();
            } else if let Some((key, _)) = line.strip_prefix("# ").and_then(|l| l.split_once(" is not set")) {
                known.entry(format!("{table}.{key}")).or_default();
            } else if let Some((key, value)) = line.split_once(" = ") {
                let (value, origin) = value.rsplit_once('#').unwrap();
                let value = if origin.trim() == "default" { value.trim() } else { "" };
                let entry = known.entry(format!("{table}.{key}")).or_insert_with(String::new);
                if entry.is_empty() {
                    *entry = value.to_owned();
                }
            }
        }
    }
    known
}

/// The page in the making.
struct Reference {
    source: Source,
    defaults: BTreeMap<String, String>,
    shown: BTreeSet<String>,
    text: String,
}

impl Reference {
    fn row(&mut self, key: &str, table: &str, kind: &str, says: &str) {
        self.line(key, table, kind, says, false);
    }

    fn line(&mut self, key: &str, table: &str, kind: &str, says: &str, required: bool) {
        let path = format!("{table}.{key}");
        let default = match self.defaults.get(&path).map(String::as_str) {
            _ if required => "must be stated".to_owned(),
            None | Some("") => "–".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let says = says.trim_start_matches("<br>").replace('|', "\\|");
        writeln!(self.text, "| `{key}` | {kind} | {default} | {says} |").unwrap();
        self.shown.insert(path);
    }

    /// What a value of the type is, in words, and what its words mean.
    fn kind(&self, holds: &Type) -> (String, String) {
        let (name, inner) = path(holds);
        let plain = |text: &str| (text.to_owned(), String::new());
        match name.as_str() {
            "f64" | "f32" => plain("number"),
            "usize" | "u16" | "u32" | "u64" | "i64" => plain("whole number"),
            "bool" => plain("`true`, `false`"),
            "String" | "Objective" => plain("text"),
            "PathBuf" => plain("path"),
            "Moment" => plain("whole number, or text"),
            "Operator" => plain("widths and `\"zero\"`"),
            "Option" => self.kind(&inner[0]),
            "BTreeMap" => self.kind(&inner[1]),
            "Vec" => {
                let (kind, says) = self.kind(&inner[0]);
                let many = match kind.as_str() {
                    "number" | "whole number" | "text" | "path" => format!("{kind}s"),
                    _ => kind.replace("list of", "lists of"),
                };
                (format!("list of {many}"), says)
            }
            _ => match self.source.get(&name) {
                Some(Declared::Choice { variants, .. }) => {
                    let words: Vec<_> = variants.iter().map(|v| format!("`\"{}\"`", v.name)).collect();
                    let says: Vec<_> =
                        variants.iter().map(|v| format!("<br>`\"{}\"`: {}", v.name, v.says)).collect();
                    (words.join(", "), says.concat())
                }
                Some(Declared::Table(_)) => plain("table"),
                None => panic!("tests/cli/reference does not know the type {name}"),
            },
        }
    }

    /// The rows of a field whose keys begin with `prefix`, in a table of the experiment.
    fn field(&mut self, table: &str, prefix: &str, field: &Field, note: &str) {
        let key = format!("{prefix}{}", field.name);
        let says = format!("{}{note}", self.resolved(&field.says));
        let (name, inner) = path(&field.holds);
        let declared = |name: &str| self.source.get(name);
        match (name.as_str(), declared(&name)) {
            ("TrainSettings", _) => {
                let all = "| … | | | and the keys of [a training](#a-training) |";
                writeln!(self.text, "{all}").unwrap();
                for Field { name, .. } in self.table("TrainSettings") {
                    self.shown.insert(format!("{table}.{prefix}{name}"));
                }
            }
            (_, Some(Declared::Table(_))) => {
                let prefix = if field.flat { prefix.to_owned() } else { format!("{key}.") };
                let mut says = says.as_str();
                for inner in self.table(&name) {
                    // What the whole is for stands with its first key.
                    let note = if says.is_empty() { String::new() } else { format!(" ({says})") };
                    self.field(table, &prefix, &inner, &note);
                    says = "";
                }
            }
            (_, Some(Declared::Choice { tag: Some(_), .. })) => {
                self.choice(table, &format!("{key}."), &name, &says)
            }
            ("Option", _) if path(&inner[0]).0 == "SplitSettings" => {
                self.row(&key, table, "table", &format!("{says} Its keys are those of `[split]`."));
                self.show_inside(&format!("{table}.{key}."));
            }
            ("Vec", _) if matches!(self.source.get(&path(&inner[0]).0), Some(Declared::Table(_))) => {
                self.row(&key, table, "list of tables", &says);
                for Field { name, says, holds, .. } in self.table(&path(&inner[0]).0) {
                    let (kind, words) = self.kind(&holds);
                    self.row(&format!("{key}[].{name}"), table, &kind, &format!("{says}{words}"));
                }
            }
            ("BTreeMap", _) => {
                let (kind, words) = self.kind(&field.holds);
                self.row(&format!("{key}.NAME"), table, &kind, &format!("{says}{words}"));
                self.show_inside(&format!("{table}.{key}."));
            }
            _ => {
                let (kind, words) = self.kind(&field.holds);
                let required = field.required || (table == "data" && key == "schema");
                self.line(&key, table, &kind, &format!("{says}{words}"), required);
            }
        }
    }

    /// Keys that are not listed one by one.
    fn show_inside(&mut self, prefix: &str) {
        self.shown.extend(self.defaults.keys().filter(|path| path.starts_with(prefix)).cloned());
    }

    /// A key with a word, and the keys that go with each word.
    fn choice(&mut self, table: &str, prefix: &str, name: &str, says: &str) {
        let Some(Declared::Choice { tag: Some(tag), variants }) = self.source.get(name) else {
            panic!("{name} is no choice")
        };
        let words: Vec<_> = variants.iter().map(|v| format!("`\"{}\"`", v.name)).collect();
        let meanings: Vec<_> = variants.iter().map(|v| format!("<br>`\"{}\"`: {}", v.name, v.says)).collect();
        let with: Vec<(String, Vec<Field>)> = variants
            .iter()
            .map(|variant| {
                let inner = variant.inner.as_ref().map(|inner| self.table(&path(inner).0));
                (variant.name.clone(), inner.unwrap_or_else(|| variant.fields.clone()))
            })
            .collect();
        let (tag, words) = (tag.clone(), words.join(", "));
        self.row(&format!("{prefix}{tag}"), table, &words, &format!("{says}{}", meanings.concat()));
        for (variant, fields) in with {
            for field in fields {
                self.field(table, prefix, &field, &format!(" (With `{tag} = \"{variant}\"`.)"));
            }
        }
    }

    fn table(&self, name: &str) -> Vec<Field> {
        match self.source.get(name) {
            Some(Declared::Table(fields)) => fields.clone(),
            _ => panic!("{name} is no table"),
        }
    }

    /// "See `A::B`." becomes what is said there.
    fn resolved(&self, says: &str) -> String {
        let there = says.strip_prefix("See `").and_then(|rest| rest.strip_suffix("`."));
        let found = there.and_then(|there| there.split_once("::"));
        match found.and_then(|(choice, name)| self.source.says(choice, name)) {
            Some(words) => words.to_owned(),
            None => says.to_owned(),
        }
    }
}

const HEAD: &str = "# The experiment file

One TOML file holds everything that a run depends on. All keys but `data.schema` have a default; a misspelt one is an error that names the nearest. A
value on the command line wins (`--set KEY.PATH=VALUE`), and `autofas-bench iterate --config E.toml --print-config` shows every value with its origin. Paths in the file
count from its folder. [fixtures/movielens.toml](../fixtures/movielens.toml) is a short example; the schema that `data.schema` names has a page of its own
([schema.md](schema.md)).

This page is made from the declarations of the settings, and a test compares them.
";

const TRAINING: &str = "
## A training

The keys of `[teacher]`, `[retrain]`, `[baseline]`, `[two_tower]`, `[compare.cold]` and `[compare.fscd]` alike; the defaults are those of `[retrain]`.
";

const KEYS: &str = "\n| key | values | default | meaning |\n| --- | --- | --- | --- |\n";

fn rendered() -> Reference {
    let mut page = Reference {
        source: Source::read(),
        defaults: defaults(),
        shown: BTreeSet::new(),
        text: HEAD.to_owned(),
    };
    for section in page.table("Settings") {
        let table = section.name.as_str();
        write!(page.text, "\n## `[{table}]`\n\n{}\n{KEYS}", section.says).unwrap();
        let (name, _) = path(&section.holds);
        match page.source.get(&name) {
            Some(Declared::Choice { .. }) => page.choice(table, "", &name, ""),
            _ => page.table(&name).iter().for_each(|field| page.field(table, "", field, "")),
        }
    }
    page.text += TRAINING;
    page.text += KEYS;
    for Field { name, says, holds, .. } in page.table("TrainSettings") {
        let (kind, words) = page.kind(&holds);
        page.row(&name, "retrain", &kind, &format!("{says}{words}"));
    }
    page
}

#[test]
fn the_schema_in_docs_of_experiments_is_made_from_the_declarations_and_has_every_key() {
    let page = rendered();
    let missing: Vec<_> = page.defaults.keys().filter(|&path| !page.shown.contains(path)).collect();
    assert!(missing.is_empty(), "{PAGE} would lack {missing:?}");
    let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("AUTOFAS_UPDATE_SCHEMAS").is_some() {
        fs::write(&there, &page.text).unwrap();
    }
    let written = fs::read_to_string(&there).unwrap_or_default();
    assert!(written == page.text, "{PAGE} is not what the settings say: {UPDATE}");
    for (key, default) in &page.defaults {
        let Some((_, name)) = key.rsplit_once('.') else { continue };
        let training = page.table("TrainSettings").iter().any(|field| field.name == name);
        let of = ["teacher.", "baseline.", "two_tower.", "compare.cold.", "compare.fscd."];
        if training && of.iter().any(|table| key.strip_prefix(table) == Some(name)) {
            assert_eq!(default, &page.defaults[&format!("retrain.{name}")], "{key}: say so in {PAGE}");
        }
    }
}

#[test]
fn the_page_of_schemas_has_every_key_and_no_other() {
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data/schema/file.rs")).unwrap();
    let file = syn::parse_file(&source).unwrap();
    let keys = |name: &str| -> BTreeSet<String> {
        let found = file.items.iter().find_map(|item| match item {
            syn::Item::Struct(item) if item.ident == name => Some(item),
            _ => None,
        });
        let named = |field: &syn::Field| field.ident.as_ref().unwrap().to_string();
        found
            .unwrap()
            .fields
            .iter()
            .map(named)
            .map(|k| if k == "value_type" { "type".into() } else { k })
            .collect()
    };
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.md")).unwrap();
    let (_, data) = page.split_once("## `[data]`").unwrap();
    let (data, features) = data.split_once("## `[[feature]]`").unwrap();
    let (features, _) = features.split_once("## What a draft guesses").unwrap();
    for (section, table) in [(data, "DataTable"), (features, "FeatureTable")] {
        let (keys, words) = (keys(table), backquoted(section));
        let lacks: Vec<_> = keys.difference(&words).collect();
        assert!(lacks.is_empty(), "docs/schema.md lacks {lacks:?}");
        let first = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let other: Vec<_> = first.flat_map(backquoted).filter(|word| !keys.contains(word)).collect();
        assert!(other.is_empty(), "docs/schema.md has {other:?}, which is no key");
    }
    let defaults = backquoted(features);
    assert!(keys("ServingKeys").is_subset(&defaults) && keys("EncodingKeys").is_subset(&defaults));
}

/// What stands between backquotes, up to the first blank.
fn backquoted(text: &str) -> BTreeSet<String> {
    let inside = text.split('`').skip(1).step_by(2);
    inside.filter_map(|code| Some(code.split_whitespace().next()?.to_owned())).collect()
}
