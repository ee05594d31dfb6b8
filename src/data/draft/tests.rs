use super::*;
use crate::data::schema::Schema;
use ::parquet::arrow::ArrowWriter;
use arrow::{
    array::{ArrayRef, DurationSecondArray, Float64Array, Int64Array, LargeStringArray},
    record_batch::RecordBatch,
};
use std::{fs, sync::Arc};

const ROWS: usize = 600;
const USERS: usize = 20;
const ITEMS: usize = 30;

fn ints(f: impl Fn(usize) -> i64) -> RawColumn {
    RawColumn::Ints(Int64Array::from_iter_values((0..ROWS).map(f)))
}

fn text(f: impl Fn(usize) -> String) -> RawColumn {
    RawColumn::Text(LargeStringArray::from_iter_values((0..ROWS).map(f)))
}

fn numbers(f: impl Fn(usize) -> Option<f64>) -> RawColumn {
    RawColumn::Doubles(Float64Array::from_iter((0..ROWS).map(f)))
}

fn user(row: usize) -> usize {
    row * 7 / 3 % USERS
}

fn item(row: usize) -> usize {
    row * 11 / 5 % ITEMS
}

/// Columns whose kind and type are known.
fn table() -> RawTable {
    let columns = vec![
        ("click", ints(|row| (row % 3 == 0) as i64)),
        ("time", ints(|row| row as i64)),
        ("who", text(|row| format!("u{}", user(row)))),
        ("what", ints(|row| item(row) as i64)),
        ("request", ints(|row| row as i64 / 10)),
        ("", ints(|row| row as i64)),
        ("age", ints(|row| 20 + user(row) as i64)),
        // A few rows with another city, from an older profile.
        ("city", text(|row| format!("c{}", if row % 97 == 0 { 9 } else { user(row) % 4 }))),
        ("price", numbers(|row| Some(item(row) as f64 * 1.25))),
        ("shop_id", ints(|row| item(row) as i64 / 2)),
        ("tags", text(|row| format!("t{}|t{}", item(row) % 3, item(row) % 5))),
        ("hour", ints(|row| row as i64 / 10 % 24)),
        // Nearly always 0: no item's, though every item's most frequent value is 0.
        ("affinity", numbers(|row| Some(f64::from(row % 41 == 0) * 1.5))),
        ("views", ints(|row| (row * 131 % 257) as i64)),
        ("country", text(|_| "jp".to_owned())),
        ("trace", text(|row| format!("x{row}"))),
        ("noise", numbers(|row| (row % 5 > 0).then_some((row as f64).sin()))),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect();
    RawTable::from_columns(Path::new("log.parquet"), columns)
}

fn named(request: Option<&str>) -> Named {
    Named {
        label: "click".to_owned(),
        time: Some("time".to_owned()),
        user: "who".to_owned(),
        item: "what".to_owned(),
        request: request.map(str::to_owned),
    }
}

fn prices() -> BTreeMap<Kind, f64> {
    [(Kind::User, 0.05), (Kind::Context, 0.0), (Kind::Item, 0.2), (Kind::Interactive, 1.0)].into()
}

fn columns(table: &RawTable) -> Vec<String> {
    table.columns().iter().map(|(name, _)| name.clone()).collect()
}

fn found(request: Option<&str>) -> Vec<(String, String)> {
    let row = |guess: Guess| {
        let role = match guess.role {
            Role::Feature { kind, value_type } => format!("{} {}", word(kind), word(value_type)),
            Role::LeftOut(reason) => format!("{reason:?}"),
        };
        (guess.column, role)
    };
    let table = table();
    guesses(&table, &named(request), &columns(&table)).unwrap().into_iter().map(row).collect()
}

#[test]
fn kinds_follow_what_a_column_hangs_on_and_types_what_it_looks_like() {
    let expected = [
        ("who", "user categorical"),
        ("what", "item categorical"),
        ("", "Nameless"),
        ("age", "user categorical"),
        ("city", "user categorical"),
        ("price", "item numeric"),
        ("shop_id", "item categorical"),
        ("tags", "item sequence"),
        ("hour", "context categorical"),
        ("affinity", "interactive numeric"),
        ("views", "interactive numeric"),
        ("country", "Constant"),
        ("trace", "Unique"),
        ("noise", "interactive numeric"),
    ];
    let expected = expected.map(|(column, role)| (column.to_owned(), role.to_owned()));
    assert_eq!(found(Some("request")), expected);
    // Without requests nobody sees that the hour is the request's.
    assert!(found(None).contains(&("hour".to_owned(), "interactive categorical".to_owned())));
}

#[test]
fn a_draft_is_a_schema_with_the_prices_that_were_declared() {
    let (table, named) = (table(), named(Some("request")));
    let guesses = guesses(&table, &named, &columns(&table)).unwrap();
    let text = text::schema(Path::new("log.parquet"), (&table, ROWS), &named, &guesses, &prices()).unwrap();
    let schema = Schema::parse(&text, Path::new("s.toml")).unwrap();
    assert_eq!(schema.features.len(), 11);
    let price = |name: &str| schema.features.iter().find(|f| f.name == name).map(|f| (f.kind, f.fetch_ms));
    assert_eq!(price("tags"), Some((Kind::Item, 0.2)));
    assert_eq!(price("noise"), Some((Kind::Interactive, 1.0)));
    assert_eq!(
        (schema.user_key.as_deref(), schema.item_key.as_deref(), schema.request.as_deref()),
        (Some("who"), Some("what"), Some("request"))
    );
    let tags = schema.features.iter().find(|f| f.name == "tags").unwrap();
    assert_eq!(tags.sequence.as_ref().unwrap().separator, "|");
    assert!(text.contains("#   \"country\" says the same in all rows\n"), "{text}");

    let mut few = prices();
    few.remove(&Kind::Item);
    let refused = text::schema(Path::new("log.parquet"), (&table, ROWS), &named, &guesses, &few).unwrap_err();
    assert!(refused.to_string().contains("add item=MS to --fetch-ms"), "{refused}");
}

#[test]
fn text_of_a_csv_file_is_drafted_as_the_values_that_it_spells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let rows = (0..ROWS).map(|row| {
        let (user, item) = (user(row), item(row));
        let watched = if row % 5 == 0 { String::new() } else { format!("{:.3}", (row as f64).sin()) };
        format!("{},u{user},{item},{:.2},{}.0,{watched}\n", row % 2, item as f64 * 1.25, user % 3)
    });
    fs::write(&path, format!("click,who,what,price,tier,\"odd \"\"name\"\"\"\n{}", rows.collect::<String>()))
        .unwrap();
    let named = Named { time: None, ..named(None) };
    let draft = draft(&path, &named, &prices()).unwrap();
    let role = |column: &str| draft.columns.iter().find(|guess| guess.column == column).unwrap().role;
    let feature = |kind, value_type| Role::Feature { kind, value_type };
    assert_eq!(role("price"), feature(Kind::Item, ValueType::Numeric));
    assert_eq!(role("tier"), feature(Kind::User, ValueType::Categorical));
    assert_eq!(role("odd \"name\""), feature(Kind::Interactive, ValueType::Numeric));
    assert!(Schema::parse(&draft.text, &path).unwrap().features.iter().any(|f| f.name == "odd \"name\""));
}

#[test]
fn named_keys_and_text_with_leading_zeros_are_categories_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    // More different values than a category needs to be taken for one by their number.
    let rows = (0..ROWS).map(|row| {
        let (user, item, size) = (row * 7 / 3 % 120, row * 11 / 5 % 130, row * 131 % 257);
        format!("{},{user},{},{:08},{size},0.{size:03}\n", row % 2, 1000 + item, 1_906_745 * (1 + item))
    });
    let header = "click,customer,product,ean,size,share\n";
    fs::write(&path, format!("{header}{}", rows.collect::<String>())).unwrap();
    let (user, item) = ("customer".to_owned(), "product".to_owned());
    let draft = draft(&path, &Named { time: None, user, item, ..named(None) }, &prices()).unwrap();
    let value_type = |guess: &Guess| match guess.role {
        Role::Feature { value_type, .. } => value_type,
        left_out => panic!("{left_out:?}"),
    };
    let found: Vec<_> =
        draft.columns.iter().map(|guess| (guess.column.as_str(), value_type(guess))).collect();
    let categories = ["customer", "product", "ean"].map(|column| (column, ValueType::Categorical));
    let quantities = ["size", "share"].map(|column| (column, ValueType::Numeric));
    assert_eq!(found, [&categories[..], &quantities[..]].concat());
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    fs::write(&path, "click,who,what\n0,1,2\n1,2,3\n").unwrap();
    let missing =
        draft(&path, &Named { time: Some("tme".to_owned()), ..named(None) }, &prices()).unwrap_err();
    assert!(missing.to_string().contains("log.csv, `tme`: there is no such column"), "{missing}");
}

fn write_parquet<const N: usize>(path: &Path, columns: [(&str, ArrayRef); N]) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_file_without_a_column_that_can_be_read_is_answered_with_the_label_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    let dwell = Arc::new(DurationSecondArray::from_iter_values(0..9));
    write_parquet(&path, [("dwell", dwell as ArrayRef)]);
    let refused = draft(&path, &named(None), &prices()).unwrap_err();
    assert!(refused.to_string().contains("log.parquet, `click`: there is no such column"), "{refused}");
}

#[test]
fn a_column_of_a_type_that_cannot_be_read_is_left_out_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    let ints = |f: fn(usize) -> i64| Arc::new(Int64Array::from_iter_values((0..ROWS).map(f))) as ArrayRef;
    let dwell = Arc::new(DurationSecondArray::from_iter_values((0..ROWS).map(|row| row as i64 % 9)));
    let columns = [
        ("click", ints(|row| row as i64 % 2)),
        ("who", ints(|row| user(row) as i64)),
        ("dwell", dwell as ArrayRef),
        ("what", ints(|row| item(row) as i64)),
    ];
    write_parquet(&path, columns);

    let named = Named { time: None, ..named(None) };
    let drafted = draft(&path, &named, &prices()).unwrap();
    let names: Vec<_> = drafted.columns.iter().map(|guess| guess.column.as_str()).collect();
    assert_eq!(names, ["who", "dwell", "what"]);
    assert_eq!(drafted.columns[1].role, Role::LeftOut(LeftOut::Unusable));
    assert!(drafted.text.contains("#   \"dwell\" holds no integers"), "{}", drafted.text);

    let refused = draft(&path, &Named { time: Some("dwell".to_owned()), ..named }, &prices()).unwrap_err();
    assert!(refused.to_string().contains("`dwell`: values of type Duration"), "{refused}");
}

#[test]
fn a_label_that_is_not_0_or_1_is_said_before_anything_is_drafted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    fs::write(&path, "click,who,what\n0,1,2\n2,2,3\n").unwrap();
    let refused = draft(&path, &Named { time: None, ..named(None) }, &prices()).unwrap_err();
    assert!(
        refused.to_string().contains("`click`, line 3: a label that is neither 0 nor 1 (2)"),
        "{refused}"
    );
}
