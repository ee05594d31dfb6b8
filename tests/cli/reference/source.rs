//! The settings as their declarations have them: names, types, documentation. Read from the source, since that is where the words are.

use std::{collections::BTreeMap, fs, path::Path};
use syn::{
    Attribute, Expr, Fields, GenericArgument, Ident, Item, Lit, LitStr, Meta, PathArguments, Token, Type,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

/// A key of a table.
#[derive(Clone)]
pub struct Field {
    pub name: String,
    pub says: String,
    pub holds: Type,
    /// Its own keys stand beside those around it.
    pub flat: bool,
    /// It goes with a word, and has no default.
    pub required: bool,
}

/// A value that is written as one word, or a set of keys that go with that word.
pub struct Variant {
    pub name: String,
    pub says: String,
    pub fields: Vec<Field>,
    /// The one unnamed field, whose keys these are.
    pub inner: Option<Type>,
}

pub enum Declared {
    Table(Vec<Field>),
    /// `tag` is the key that holds the word; without one the word stands alone.
    Choice {
        tag: Option<String>,
        variants: Vec<Variant>,
    },
}

/// Everything under src/ that serde can read, by name.
pub struct Source(BTreeMap<String, Declared>);

impl Source {
    pub fn read() -> Self {
        let mut found = BTreeMap::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        // Of two types with one name, that of the settings.
        for settings in [true, false] {
            files(&root, &mut |path, text| {
                let place = path.to_string_lossy();
                if settings == (place.contains("settings") || place.contains("config")) {
                    declare(text, &mut found);
                }
            });
        }
        Self(found)
    }

    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.0.get(name)
    }

    /// What the documentation of `A::B` says.
    pub fn says(&self, choice: &str, name: &str) -> Option<&str> {
        let Some(Declared::Choice { variants, .. }) = self.0.get(choice) else { return None };
        let same = |variant: &&Variant| variant.name.eq_ignore_ascii_case(name);
        variants.iter().find(same).map(|variant| variant.says.as_str())
    }
}

fn files(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, see);
        } else if path.extension().is_some_and(|e| e == "rs") {
            see(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

fn declare(text: &str, found: &mut BTreeMap<String, Declared>) {
    for item in syn::parse_file(text).unwrap().items {
        match item {
            Item::Struct(item) if is_read(&item.attrs) => {
                let table = || Declared::Table(fields(&item.fields, false));
                found.entry(item.ident.to_string()).or_insert_with(table);
            }
            Item::Enum(item) if is_read(&item.attrs) || item.ident == "Stage" => {
                let case = serde(&item.attrs, "rename_all");
                let variants = item.variants.iter().map(|variant| Variant {
                    name: serde(&variant.attrs, "rename")
                        .unwrap_or_else(|| cased(&variant.ident.to_string(), case.as_deref())),
                    says: words(&variant.attrs),
                    fields: fields(&variant.fields, true),
                    inner: match &variant.fields {
                        Fields::Unnamed(inner) => inner.unnamed.first().map(|field| field.ty.clone()),
                        _ => None,
                    },
                });
                let variants = variants.collect();
                let tag = serde(&item.attrs, "tag");
                found.entry(item.ident.to_string()).or_insert(Declared::Choice { tag, variants });
            }
            Item::Macro(item) if item.mac.path.is_ident("named") => {
                let Named { name, values } = item.mac.parse_body().unwrap();
                let variants = values.into_iter().map(|value| Variant {
                    name: value.text.value(),
                    says: words(&value.attrs),
                    fields: Vec::new(),
                    inner: None,
                });
                let variants = variants.collect();
                found.entry(name.to_string()).or_insert(Declared::Choice { tag: None, variants });
            }
            _ => {}
        }
    }
}

fn is_read(attrs: &[Attribute]) -> bool {
    let derives = attrs.iter().filter(|attr| attr.path().is_ident("derive"));
    derives.into_iter().any(|attr| {
        let Meta::List(list) = &attr.meta else { return false };
        list.tokens.to_string().contains("Deserialize")
    })
}

fn fields(all: &Fields, of_word: bool) -> Vec<Field> {
    let Fields::Named(named) = all else { return Vec::new() };
    let field = |field: &syn::Field| Field {
        name: serde(&field.attrs, "rename").unwrap_or_else(|| field.ident.as_ref().unwrap().to_string()),
        says: words(&field.attrs),
        holds: field.ty.clone(),
        flat: serde(&field.attrs, "flatten").is_some(),
        required: of_word && serde(&field.attrs, "default").is_none() && path(&field.ty).0 != "Option",
    };
    named.named.iter().map(field).collect()
}

/// What `#[serde(key = "value")]` says; the empty text for a key without a value.
fn serde(attrs: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let all = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap();
        for meta in all.iter().filter(|meta| meta.path().is_ident(key)) {
            found = Some(match meta {
                Meta::NameValue(pair) => text(&pair.value),
                _ => String::new(),
            });
        }
    }
    found
}

fn text(value: &Expr) -> String {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// The documentation, as one line without links.
fn words(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => Some(text(&pair.value)),
        _ => None,
    });
    let text: String = lines.collect::<Vec<_>>().join(" ");
    without_links(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// ``[`A`]`` and ``[`A`](place)`` become `` `A` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        plain.push_str(&format!("{before}`{name}`"));
        rest = match after.strip_prefix('(').and_then(|place| place.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

fn cased(name: &str, case: Option<&str>) -> String {
    let between = match case {
        Some("snake_case") => "_",
        Some("kebab-case") => "-",
        Some("lowercase") => "",
        _ => return name.to_owned(),
    };
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push_str(between);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// The type's name and what stands in its brackets.
pub fn path(holds: &Type) -> (String, Vec<Type>) {
    let Type::Path(path) = holds else { panic!("a setting is a plain type") };
    let last = path.path.segments.last().unwrap();
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(list) => list.args.iter().filter_map(|argument| match argument {
            GenericArgument::Type(inner) => Some(inner.clone()),
            _ => None,
        }),
        _ => return (last.ident.to_string(), Vec::new()),
    };
    (last.ident.to_string(), inner.collect())
}

/// What stands in `named!` of `base/names.rs`.
struct Named {
    name: Ident,
    values: Vec<NamedValue>,
}

struct NamedValue {
    attrs: Vec<Attribute>,
    text: LitStr,
}

impl Parse for Named {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        let name = input.parse()?;
        let body;
        syn::braced!(body in input);
        let values = Punctuated::<NamedValue, Token![,]>::parse_terminated(&body)?;
        Ok(Self { name, values: values.into_iter().collect() })
    }
}

impl Parse for NamedValue {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let _: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { attrs, text: input.parse()? })
    }
}
