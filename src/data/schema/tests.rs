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
fn the_json_beside_a_model_reads_as_the_schema_it_was_written_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    let schema = Schema::parse(SMALL, Path::new("s.toml")).unwrap();
    fsio::write_json(&path, &schema).unwrap();
    assert_eq!(Schema::load(&path).unwrap(), schema);
    fsio::write_json(&path, &Schema { label: schema.features[0].column.clone(), ..schema }).unwrap();
    assert!(Schema::load(&path).unwrap_err().to_string().contains("schema.json"));
}

#[test]
fn a_sequence_of_numbers_is_refused_from_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    for encoding in [Encoding::Standardize, Encoding::Buckets { buckets: 4 }] {
        let mut schema = parse(SMALL).unwrap();
        schema.features[1].encoding = encoding;
        schema.features[1].sequence = Some(Sequence { length: 3, separator: ",".to_owned() });
        fsio::write_json(&path, &schema).unwrap();
        let text = Schema::load(&path).unwrap_err().to_string();
        assert!(text.contains("schema.json, `price.encoding`: a sequence of numbers"), "{text}");
    }
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
        ("fetch_ms = 0.1", "fetch_ms = 0.1\nmust_keep = true\nnever = true", "segment.must_keep", "keep one"),
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
