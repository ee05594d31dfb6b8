use super::*;
use proptest::prelude::*;

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

/// Writes the JSON form as it travels with a model, after `change`, and reads it back.
fn through_json(schema: &Schema, change: impl FnOnce(&mut serde_json::Value)) -> Result<Schema> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    let mut json = serde_json::to_value(schema).unwrap();
    json["schema_version"] = Schema::VERSION.into();
    change(&mut json);
    fsio::write_json(&path, &json).unwrap();
    Schema::load(&path)
}

#[test]
fn the_json_beside_a_model_reads_as_the_schema_it_was_written_from() {
    let schema = parse(SMALL).unwrap();
    assert_eq!(through_json(&schema, |_| ()).unwrap(), schema);
    let leaking = Schema { label: schema.features[0].column.clone(), ..schema };
    assert!(through_json(&leaking, |_| ()).unwrap_err().to_string().contains("schema.json"));
}

#[test]
fn json_of_another_version_or_with_a_misspelt_key_is_refused() {
    let schema = parse(SMALL).unwrap();
    let problem = |change: fn(&mut serde_json::Value)| through_json(&schema, change).unwrap_err().to_string();
    for (change, expected) in [
        (
            (|json| json["schema_version"] = 9.into()) as fn(&mut serde_json::Value),
            "schema.json, `schema_version`: is 9, this program reads 1; ",
        ),
        (
            |json| drop(json.as_object_mut().unwrap().remove("schema_version")),
            "schema.json, `schema_version`: is missing",
        ),
        (|json| json["beta_m"] = 0.5.into(), "schema.json, `beta_m`: unknown key; did you mean `beta_ms`?"),
        (
            |json| json["features"][0]["must_kep"] = true.into(),
            "schema.json, `must_kep`: unknown key; did you mean `must_keep`?",
        ),
        (
            |json| json["features"][0]["encoding"]["bucket"] = 5.into(),
            "schema.json, `bucket`: unknown key; did you mean `buckets`?",
        ),
    ] {
        let text = problem(change);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_sequence_of_numbers_is_refused_from_any_file() {
    for encoding in [Encoding::Standardize, Encoding::Buckets { buckets: 4 }] {
        let mut schema = parse(SMALL).unwrap();
        schema.features[1].encoding = encoding;
        schema.features[1].sequence = Some(Sequence { length: 3, separator: ",".to_owned() });
        let text = through_json(&schema, |_| ()).unwrap_err().to_string();
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
    assert_eq!(text, "s.toml, `mincount`, line 23: unknown key; did you mean `min_count`?");
    assert!(error_of("other_labels", "other_label").contains("did you mean `other_labels`?"));
}

#[test]
fn contradictions_are_refused_with_field_and_fix() {
    let cases = [
        ("fetch_ms = 0.1", "fetch_ms = 0.1\nmust_keep = true\nnever = true", "segment.must_keep", "keep one"),
        ("fetch_ms = 0.1", "fetch_ms = -1", "segment.fetch_ms", "0 or more"),
        ("fetch_ms = 0.1", "width = 0\nfetch_ms = 0.1", "segment.width", "1 to 4096"),
        ("fetch_ms = 0.1", "width = 1000000000000\nfetch_ms = 0.1", "segment.width", "1 to 4096"),
        (
            "type = \"categorical\"\nencoding",
            "type = \"sequence\"\nlength = 0\nencoding",
            "price.length",
            "1 to 4096",
        ),
        (
            "type = \"categorical\"\nencoding",
            "type = \"sequence\"\nlength = 1000000000000\nencoding",
            "price.length",
            "1 to 4096",
        ),
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

#[test]
fn a_default_group_is_for_features_of_the_store_only() {
    let passed = parse(&SMALL.replacen("min_count = 5", "min_count = 5\nsource = \"matching\"", 1)).unwrap();
    let of = |feature: &Feature| (feature.source, feature.fetch_group.clone());
    assert_eq!(of(&passed.features[1]), (Source::Matching, None));
    let stored = parse(&SMALL.replacen("min_count = 5", "min_count = 5\nsource = \"store\"", 1)).unwrap();
    assert_eq!(of(&stored.features[1]), (Source::Store, Some("row".to_owned())));
}

#[test]
fn defaults_are_checked_under_their_own_keys_though_no_feature_inherits_them() {
    for (from, to, field, fix) in [
        ("width = 4", "width = 0", "defaults.width", "1 to 4096"),
        ("buckets = 100", "buckets = 1", "defaults.categorical.buckets", "2 to"),
        ("width = 4", "numeric = { min_count = 5 }", "defaults.numeric.min_count", "remove it"),
        ("width = 4", "numeric = { encoding = \"hash\" }", "defaults.numeric.encoding", "standardize"),
        (
            "width = 4",
            "numeric = { encoding = \"standardize\", buckets = 5 }",
            "defaults.numeric.buckets",
            "remove it",
        ),
        ("width = 4", "sequence = { min_count = 0 }", "defaults.sequence.min_count", "at least 1"),
        ("width = 4", "context = { fetch_ms = -1 }", "defaults.context.fetch_ms", "0 or more"),
    ] {
        let text = error_of(from, to);
        assert!(text.starts_with(&format!("s.toml, `{field}`: ")) && text.contains(fix), "{to}: {text}");
    }
}

#[test]
fn no_key_of_rows_is_an_outcome() {
    for key in ["group", "partition", "user_key", "item_key"] {
        for (column, role) in
            [("click", "label"), ("buy", "other_labels"), ("w", "weight"), ("t", "teacher_score")]
        {
            let to = format!("weight = \"w\"\nteacher_score = \"t\"\n{key} = \"{column}\"");
            let text = error_of("weight = \"w\"", &to);
            let expected = format!("s.toml, `data.{key}`: column `{column}` is the {role} and cannot");
            assert!(text.starts_with(&expected) && text.contains("another column"), "{text}");
        }
        // A request may be a group, and one column several keys that features read as well.
        let shared = format!("weight = \"w\"\nrequest = \"r\"\ngroup = \"r\"\n{key} = \"segment\"");
        let shared = if key == "group" { shared.replacen("group = \"r\"\n", "", 1) } else { shared };
        parse(&SMALL.replacen("weight = \"w\"", &shared, 1)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_schema_that_is_accepted_reads_back_from_its_json(
        features in prop::collection::btree_map(
            "[a-z][a-z0-9_]{2,8}",
            (
                prop_oneof![Just("user"), Just("context"), Just("item"), Just("interactive")],
                prop_oneof![
                    (1u32..100).prop_map(|count| format!("type = \"categorical\"\nencoding = \"vocabulary\"\nmin_count = {count}")),
                    (1u32..100_000).prop_map(|buckets| format!("type = \"categorical\"\nencoding = \"hash\"\nbuckets = {buckets}")),
                    (2u32..100).prop_map(|buckets| format!("type = \"numeric\"\nencoding = \"buckets\"\nbuckets = {buckets}")),
                    Just("type = \"numeric\"\nencoding = \"standardize\"".to_owned()),
                    (1usize..20).prop_map(|length| {
                        format!("type = \"sequence\"\nencoding = \"hash\"\nbuckets = 9\nseparator = \"|\"\nlength = {length}")
                    }),
                ],
                0.0f64..1e3,
                1usize..64,
            ),
            1..12,
        ),
        beta_ms in 0.0f64..1.0,
    ) {
        let mut text = format!("[data]\nlabel = \"Y\"\nbeta_ms = {beta_ms:?}\n");
        for (name, (kind, encoding, fetch_ms, width)) in &features {
            text += &format!(
                "[[feature]]\nname = \"{name}\"\nkind = \"{kind}\"\nwidth = {width}\nfetch_ms = {fetch_ms:?}\n{encoding}\n"
            );
        }
        let schema = parse(&text).unwrap();
        prop_assert_eq!((schema.features.len(), schema.beta_ms), (features.len(), beta_ms));
        let read = through_json(&schema, |_| ()).unwrap();
        prop_assert_eq!((&read, read.hash()), (&schema, schema.hash()));
    }
}
