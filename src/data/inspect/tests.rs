use super::*;
use crate::data::{load_table, split::SplitSettings, table::RawColumn};
use arrow::array::{Float32Array, Int64Array, LargeStringArray};
use std::path::Path;

const SCHEMA: &str = "[data]\nlabel = \"y\"\npartition = \"tab\"\n[defaults]\nitem = { fetch_ms = 1 }\n\
    [[feature]]\nname = \"tab\"\nkind = \"item\"\ntype = \"categorical\"\n\
    [[feature]]\nname = \"price\"\nkind = \"item\"\ntype = \"numeric\"\n\
    [[feature]]\nname = \"tags\"\nkind = \"item\"\ntype = \"sequence\"\n";

/// 400 rows: `tab` is the label in three of four rows, `price` is the label where it is present, `tags` says nothing.
fn table() -> RawTable {
    let rows = || 0..400usize;
    let y = |row: usize| i64::from((row / 2).is_multiple_of(2));
    let tab = |row: usize| if (row / 4).is_multiple_of(4) { 1 - y(row) } else { y(row) };
    let price = |row: usize| (row / 4).is_multiple_of(2).then_some(y(row) as f32);
    let ints = |f: &dyn Fn(usize) -> i64| RawColumn::Ints(Int64Array::from_iter_values(rows().map(f)));
    let columns = vec![
        ("y".to_owned(), ints(&y)),
        ("tab".to_owned(), ints(&tab)),
        ("price".to_owned(), RawColumn::Singles(Float32Array::from_iter(rows().map(price)))),
        ("tags".to_owned(), RawColumn::Text(LargeStringArray::from_iter_values(rows().map(|_| "a,b")))),
    ];
    RawTable::from_columns(Path::new("d.parquet"), columns)
}

#[test]
fn the_summary_of_a_hand_made_table() {
    let schema = Schema::parse(SCHEMA, Path::new("s.toml")).unwrap();
    let found =
        inspect(&schema, &table(), &["y", "tab", "price", "tags", "forgotten"].map(str::to_owned)).unwrap();
    assert_eq!(found.rows, 400);
    assert_eq!(found.label_rates, [LabelRate { label: "y".to_owned(), rate: 0.5, positives: 200 }]);
    assert_eq!(found.unnamed, ["forgotten"]);
    let rates: Vec<_> = found.partitions.iter().map(|p| (p.value.as_deref(), p.rows, p.rate)).collect();
    assert_eq!(rates, [(Some("0"), 200, 0.25), (Some("1"), 200, 0.75)]);
    let [tab, price, tags] = &found.features[..] else { panic!("three features") };
    assert_eq!((tab.distinct, tab.missing_share, tab.column_type.as_str()), (2, 0.0, "integers"));
    // One point in ROC space at (1/4, 3/4), and a price that decides half of the rows.
    assert!((tab.auc.unwrap() - 0.75).abs() < 1e-12);
    assert_eq!((price.distinct, price.missing_share), (2, 0.5));
    assert!((price.auc.unwrap() - 0.875).abs() < 1e-12);
    assert_eq!((tags.distinct, tags.auc), (2, Some(0.5)));
    // 100 odd rows of each label: (P + N + 1) / (12·P·N).
    assert!((tags.auc_error.unwrap() - (201.0f64 / 120_000.0).sqrt()).abs() < 1e-12);
}

#[test]
fn labels_of_one_class_are_warned_of() {
    let schema = Schema::parse(SCHEMA, Path::new("s.toml")).unwrap();
    for (label, expected) in [(0, "`y` is 0 in all rows: "), (1, "`y` is 1 in all rows: ")] {
        let mut columns = table().columns().to_vec();
        columns[0].1 = RawColumn::Ints(Int64Array::from(vec![label; 400]));
        let table = RawTable::from_columns(Path::new("d.parquet"), columns);
        let warnings = inspect(&schema, &table, &[]).unwrap().warnings();
        assert!(warnings[0].starts_with(expected), "{warnings:?}");
        assert!(warnings[0].contains(&format!("add rows with {}", 1 - label)), "{warnings:?}");
    }
    let found = inspect(&schema, &table(), &[]).unwrap();
    assert_eq!(found.warnings().len(), found.alarms.len());
}

#[test]
fn a_time_that_cannot_be_read_is_refused_as_a_split_by_time_refuses_it() {
    let schema = SCHEMA.replacen("[data]", "[data]\ntime = \"when\"", 1);
    let schema = Schema::parse(&schema, Path::new("s.toml")).unwrap();
    assert_eq!(columns(&schema), ["y", "tab", "price", "tags", "when"]);
    let by_time: SplitSettings = serde_json::from_str(r#"{"by":"time","valid_fraction":0.25}"#).unwrap();
    let timed = |last: &'static str| {
        let when = (0..400).map(|row| if row < 399 { "2024-12-31 10:00:00" } else { last });
        let mut columns = table().columns().to_vec();
        columns.push(("when".to_owned(), RawColumn::Text(LargeStringArray::from_iter_values(when))));
        RawTable::from_columns(Path::new("d.parquet"), columns)
    };
    inspect(&schema, &timed("2025-01-01"), &[]).unwrap();
    for last in ["last Tuesday", "31.12.2024 10:00"] {
        let table = timed(last);
        let refused = inspect(&schema, &table, &[]).unwrap_err().to_string();
        assert!(refused.starts_with("d.parquet, `when`, row 400: no time can be read here"), "{refused}");
        assert_eq!(load_table(&schema, &table, &by_time, 1).unwrap_err().to_string(), refused);
    }
}

/// Adds a feature, and its column, to the schema of [`table`].
fn with_feature(name: &str, value_type: &str, column: RawColumn) -> (Schema, RawTable) {
    let text = format!("{SCHEMA}[[feature]]\nname = \"{name}\"\nkind = \"item\"\ntype = \"{value_type}\"\n");
    let mut columns = honest_columns();
    columns.push((name.to_owned(), column));
    (
        Schema::parse(&text, Path::new("s.toml")).unwrap(),
        RawTable::from_columns(Path::new("d.parquet"), columns),
    )
}

/// Pseudo-random numbers below `end`, other ones for every `stream`.
fn draw(row: usize, stream: u64, end: u64) -> u64 {
    let mut x =
        (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 32)) % end
}

const ROWS: usize = 4000;

fn honest_label(row: usize) -> i64 {
    i64::from(draw(row, 1, 10) < 4)
}

/// A label that every feature knows something of and none too much.
fn honest_columns() -> Vec<(String, RawColumn)> {
    let ints = |f: &dyn Fn(usize) -> i64| RawColumn::Ints(Int64Array::from_iter_values((0..ROWS).map(f)));
    let tab = |row| if draw(row, 2, 9) == 0 { honest_label(row) } else { draw(row, 3, 4) as i64 };
    let price = |row| (draw(row, 4, 100) as i64 + 10 * honest_label(row)) as f32;
    let tags = |row| ["a,b", "b", "c,a"][draw(row, 5, 3) as usize];
    vec![
        ("y".to_owned(), ints(&honest_label)),
        ("tab".to_owned(), ints(&tab)),
        ("price".to_owned(), RawColumn::Singles(Float32Array::from_iter_values((0..ROWS).map(price)))),
        ("tags".to_owned(), RawColumn::Text(LargeStringArray::from_iter_values((0..ROWS).map(tags)))),
    ]
}

fn ints(f: impl Fn(usize) -> Option<i64>) -> RawColumn {
    RawColumn::Ints(Int64Array::from_iter((0..ROWS).map(f)))
}

/// What `data inspect` says, and what a run says of the same data once they are encoded.
fn both(schema: &Schema, table: &RawTable) -> [Vec<Alarm>; 2] {
    let everything = SplitSettings::Shuffle { valid_fraction: 0.25 };
    let loaded = load_table(schema, table, &everything, 1).unwrap();
    [inspect(schema, table, &[]).unwrap().alarms, alarms(&loaded.dataset, &loaded.split.train, 1).unwrap()]
}

/// The one alarm that both raise, of `planted`.
fn only(schema: &Schema, table: &RawTable) -> [Reason; 2] {
    both(schema, table).map(|alarms| match &alarms[..] {
        [Alarm { feature, reason }] if feature == "planted" => reason.clone(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn honest_features_raise_no_alarm() {
    let (schema, table) = with_feature("planted", "categorical", ints(|row| Some(draw(row, 9, 50) as i64)));
    assert_eq!(both(&schema, &table), [vec![], vec![]]);
    let log = crate::data::synth::generate(&Default::default()).unwrap();
    assert_eq!(both(&log.schema, &log.table), [vec![], vec![]]);
}

#[test]
fn a_feature_that_tells_the_label_is_implausible_whatever_its_type() {
    // The label in 19 of 20 rows: an AUC of 0.95, as a category, as a number, and as an item of a list.
    let told = |row: usize| if draw(row, 6, 20) == 0 { 1 - honest_label(row) } else { honest_label(row) };
    let category = ints(|row| Some(7 + told(row)));
    let number = ints(|row| Some(100 * (1 - told(row)) + draw(row, 7, 90) as i64));
    let texts = (0..ROWS).map(|row| ["no", "yes"][told(row) as usize]);
    let list = RawColumn::Text(LargeStringArray::from_iter_values(texts));
    for (value_type, column) in [("categorical", category), ("numeric", number), ("sequence", list)] {
        let (schema, table) = with_feature("planted", value_type, column);
        for reason in only(&schema, &table) {
            let Reason::Implausible { auc } = reason else { panic!("{value_type}: {reason:?}") };
            assert!((auc - 0.95).abs() < 0.015, "{value_type}: {auc}");
        }
    }
}

#[test]
fn a_number_that_is_there_only_after_a_click_is_implausible() {
    let watched = |row: usize| (honest_label(row) == 1).then(|| draw(row, 8, 500) as i64);
    let (schema, table) = with_feature("planted", "numeric", ints(watched));
    for reason in only(&schema, &table) {
        assert!(matches!(reason, Reason::Implausible { auc } if auc > 0.999), "{reason:?}");
    }
}

#[test]
fn a_feature_one_of_whose_values_fixes_the_label_is_named_with_that_label() {
    // A purchase needs a click: 3 of 10 clicks have one, so the AUC is 0.65.
    let bought = |row: usize| Some(honest_label(row) * i64::from(draw(row, 6, 10) < 3));
    for (flip, wanted) in [(0, 1), (1, 0)] {
        let value = |row: usize| {
            if flip == 1 {
                Some(i64::from(honest_label(row) == 0 && draw(row, 6, 10) < 3))
            } else {
                bought(row)
            }
        };
        let (schema, table) = with_feature("planted", "categorical", ints(value));
        for reason in only(&schema, &table) {
            let Reason::DecidesLabel { label, share } = reason else { panic!("{reason:?}") };
            assert_eq!(label, wanted);
            assert!((share - 0.3).abs() < 0.03, "{share}");
        }
    }
    // A value of a few rows decides nothing.
    let rare = |row: usize| Some(honest_label(row) * i64::from(draw(row, 6, 100) < 3));
    let (schema, table) = with_feature("planted", "categorical", ints(rare));
    assert_eq!(both(&schema, &table), [vec![], vec![]]);
}

#[test]
fn a_feature_far_above_all_others_is_named_with_the_next_one() {
    // The label in 85 of 100 rows; the next best have about 0.6.
    let told = |row: usize| if draw(row, 6, 100) < 15 { 1 - honest_label(row) } else { honest_label(row) };
    let (schema, table) = with_feature("planted", "categorical", ints(|row| Some(told(row))));
    for reason in only(&schema, &table) {
        let Reason::FarAbove { auc, next_auc } = reason else { panic!("{reason:?}") };
        assert!((auc - 0.85).abs() < 0.02 && (0.55..0.65).contains(&next_auc), "{auc} {next_auc}");
    }
}

#[test]
fn constant_and_unique_columns_are_named() {
    for column in [ints(|_| Some(3)), ints(|_| None)] {
        for value_type in ["categorical", "numeric"] {
            let (schema, table) = with_feature("planted", value_type, column.clone());
            assert_eq!(only(&schema, &table), [Reason::Constant, Reason::Constant], "{value_type}");
        }
    }
    // A value or none is no constant.
    let (schema, table) =
        with_feature("planted", "categorical", ints(|row| (draw(row, 6, 2) == 0).then_some(3)));
    assert_eq!(both(&schema, &table), [vec![], vec![]]);
    let (schema, table) = with_feature("planted", "categorical", ints(|row| Some(row as i64)));
    // The encoder knows those of the training rows.
    assert_eq!(only(&schema, &table), [ROWS, ROWS * 3 / 4].map(|distinct| Reason::Unique { distinct }));
    let (schema, table) = with_feature("planted", "numeric", ints(|row| Some(draw(row, 6, 1 << 40) as i64)));
    assert_eq!(both(&schema, &table), [vec![], vec![]], "numbers have neighbours");
}

#[test]
fn few_rows_alarm_nobody_by_their_auc() {
    let table = |rows: usize| {
        let column =
            |f: &dyn Fn(usize) -> i64| RawColumn::Ints(Int64Array::from_iter_values((0..rows).map(f)));
        let label = |row: usize| i64::from((row / 2).is_multiple_of(2));
        let columns = vec![("y".to_owned(), column(&label)), ("tab".to_owned(), column(&label))];
        RawTable::from_columns(Path::new("d.parquet"), columns)
    };
    let text = "[data]\nlabel = \"y\"\n[[feature]]\nname = \"tab\"\nkind = \"item\"\ntype = \"categorical\"\nfetch_ms = 1\n";
    let schema = Schema::parse(text, Path::new("s.toml")).unwrap();
    assert_eq!(inspect(&schema, &table(96), &[]).unwrap().alarms, []);
    assert_eq!(inspect(&schema, &table(100), &[]).unwrap().alarms.len(), 1);
}

#[test]
fn an_alarm_says_what_to_do_and_is_plain_data() {
    let reasons = [
        (Reason::Implausible { auc: 0.95 }, "AUC of 0.950"),
        (Reason::FarAbove { auc: 0.85, next_auc: 0.6 }, "best other feature 0.600"),
        (Reason::DecidesLabel { label: 1, share: 0.7 }, "70 % of the rows with 1"),
        (Reason::Constant, "the same in all rows"),
        (Reason::Unique { distinct: 7 }, "7 different values"),
    ];
    for (reason, wanted) in reasons {
        let alarm = Alarm { feature: "seen_ms".to_owned(), reason };
        let text = alarm.to_string();
        assert!(text.contains("`seen_ms`") && text.contains(wanted), "{text}");
        let json = serde_json::to_string(&alarm).unwrap();
        assert_eq!(serde_json::from_str::<Alarm>(&json).unwrap(), alarm);
    }
}
