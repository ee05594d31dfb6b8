use super::*;
use ::parquet::arrow::ArrowWriter;
use arrow::{
    array::*,
    datatypes::{Int32Type, UInt64Type},
    record_batch::RecordBatch,
};
use std::{io::Write, sync::Arc};

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn message(result: Result<RawTable>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_parquet_type_becomes_integers_floats_text_or_lists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7), None]), None]);
    let categories: DictionaryArray<Int32Type> = ["b", "a"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("int8", Arc::new(Int8Array::from(vec![Some(-1), None]))),
        ("bool", Arc::new(BooleanArray::from(vec![true, false]))),
        ("small", Arc::new(UInt64Array::from(vec![5, 6]))),
        ("large", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![5, u64::MAX]))),
        ("single", Arc::new(Float32Array::from(vec![0.1, f32::NAN]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![125, 250]).with_precision_and_scale(5, 2).unwrap())),
        (
            "key",
            Arc::new(Decimal128Array::from(vec![7, (1 << 60) + 1]).with_precision_and_scale(20, 0).unwrap()),
        ),
        (
            "long_key",
            Arc::new(Decimal128Array::from(vec![7, 1 << 100]).with_precision_and_scale(38, 0).unwrap()),
        ),
        ("date", Arc::new(Date32Array::from(vec![0, 2]))),
        ("stamp", Arc::new(TimestampMicrosecondArray::from(vec![1_000, 2_999]))),
        ("text", Arc::new(LargeStringArray::from(vec!["x", "y"]))),
        ("view", Arc::new(StringViewArray::from(vec!["x", "y"]))),
        ("category", Arc::new(categories)),
        ("list", Arc::new(lists)),
    ];
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    write_parquet(&path, columns.clone());
    let table = RawTable::read(&path, &names).unwrap();
    let column = |name| table.column(name).unwrap();
    let ints = |values: [Option<i64>; 2]| RawColumn::Ints(Int64Array::from(values.to_vec()));
    let text = |values: [&str; 2]| RawColumn::Text(LargeStringArray::from(values.to_vec()));
    assert_eq!(column("int8"), &ints([Some(-1), None]));
    assert_eq!(column("bool"), &ints([Some(1), Some(0)]));
    assert_eq!(column("small"), &ints([Some(5), Some(6)]));
    assert_eq!(column("large"), &text(["5", "18446744073709551615"]));
    assert!(matches!(column("single"), RawColumn::Singles(a) if a.value(0) == 0.1 && a.value(1).is_nan()));
    assert_eq!(column("decimal"), &RawColumn::Doubles(Float64Array::from(vec![1.25, 2.5])));
    assert_eq!(column("key"), &ints([Some(7), Some((1 << 60) + 1)]));
    assert_eq!(column("long_key"), &text(["7", "1267650600228229401496703205376"]));
    assert_eq!(column("date"), &ints([Some(0), Some(2 * 86_400_000)]));
    assert_eq!(column("stamp"), &ints([Some(1), Some(2)]));
    assert_eq!(column("text"), &text(["x", "y"]));
    assert_eq!(column("view"), &text(["x", "y"]));
    assert_eq!(column("category"), &text(["b", "a"]));
    let RawColumn::Lists(list) = column("list") else { panic!("a list") };
    assert!(list.is_null(1));
    assert_eq!(list.value(0).as_string::<i64>().iter().collect::<Vec<_>>(), [Some("7"), None]);
}

#[test]
fn a_codec_that_is_not_read_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.parquet");
    write_parquet(&path, vec![("packed", Arc::new(Int64Array::from(vec![1])))]);
    let plain = std::fs::read(&path).unwrap();
    // No writer here knows these codecs either. In the footer the column's path is followed by its codec: 0x15 begins a
    // number, which is written doubled.
    let codec_of = b"packed\x15\x00";
    let places: Vec<usize> = (0..plain.len()).filter(|&at| plain[at..].starts_with(codec_of)).collect();
    let &[place] = places.as_slice() else { panic!("one column chunk, not {places:?}") };
    for (codec, name) in [(4, "brotli"), (3, "lzo")] {
        let mut bytes = plain.clone();
        bytes[place + codec_of.len() - 1] = 2 * codec;
        std::fs::write(&path, bytes).unwrap();
        let text = message(RawTable::read(&path, &["packed"]));
        let problem = format!("day.parquet: compressed with {name}, which this program does not read; ");
        assert!(text.contains(&problem), "{text}");
        assert!(
            text.ends_with("write the file with snappy, gzip, zstd or lz4, or without compression"),
            "{text}"
        );
    }
}

#[test]
fn csv_tsv_and_gzip_give_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("t.csv");
    let tsv = folder.path().join("t.tsv");
    let zipped = folder.path().join("t.csv.gz");
    let text = "\u{feff}a,unused,b\n1,x,\"2,5\"\n,y,z\n";
    std::fs::write(&csv, text).unwrap();
    std::fs::write(&tsv, "a\tunused\tb\n1\tx\t2,5\n\ty\tz\n").unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    std::fs::write(&zipped, encoder.finish().unwrap()).unwrap();
    for file in [&csv, &tsv, &zipped] {
        let table = RawTable::read(file, &["b", "a"]).unwrap();
        let expected = RawColumn::Text(LargeStringArray::from(vec![Some("2,5"), Some("z")]));
        assert_eq!(table.columns()[0], ("b".to_owned(), expected));
        assert_eq!(
            table.column("a").unwrap(),
            &RawColumn::Text(LargeStringArray::from(vec![Some("1"), None]))
        );
    }
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_errors_name_file_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name);
    write_parquet(&part("b.parquet"), vec![("x", Arc::new(Float64Array::from(vec![0.5])))]);
    write_parquet(&part("a.parquet"), vec![("x", Arc::new(Int64Array::from(vec![1, 2])))]);
    std::fs::write(part("_SUCCESS"), "").unwrap();
    let table = RawTable::read(folder.path(), &["x"]).unwrap();
    assert_eq!(table.rows(), 3);
    assert_eq!(table.column("x").unwrap(), &RawColumn::Doubles(Float64Array::from(vec![1.0, 2.0, 0.5])));
    let text = table.cell_error("x", 2, "odd", "fix it").to_string();
    assert!(text.ends_with("b.parquet, `x`, row 1: odd; fix it"), "{text}");

    write_parquet(&part("c.parquet"), vec![("x", Arc::new(StringArray::from(vec!["t"])))]);
    let text = message(RawTable::read(folder.path(), &["x"]));
    assert!(text.contains("c.parquet, `x`: text here, but integers in"), "{text}");
    std::fs::write(part("d.csv"), "x\n1\n").unwrap();
    assert!(message(RawTable::read(folder.path(), &["x"])).contains("d.csv: of another format"));
}

#[test]
fn a_folder_holds_data_or_names_that_begin_with_a_dot_or_an_underscore() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name);
    std::fs::write(part("day1.csv"), "x\n1\n").unwrap();
    for aside in ["._day1.csv", "_day0.csv", ".part.parquet", "_SUCCESS", ".crc"] {
        std::fs::write(part(aside), [0xff, 0xfe]).unwrap();
    }
    std::fs::create_dir(part("_temporary")).unwrap();
    assert_eq!(RawTable::read(folder.path(), &["x"]).unwrap().rows(), 1);

    for name in ["day2.csv.bz2", "day4.txt", "day5"] {
        std::fs::write(part(name), "x\n2\n").unwrap();
        let text = message(RawTable::read(folder.path(), &["x"]));
        let expected = format!("{name}: this is no kind of data file that can be read; name it .parquet");
        assert!(text.contains(&expected), "{text}");
        std::fs::remove_file(part(name)).unwrap();
    }
    for name in ["older", "day6.csv"] {
        std::fs::create_dir(part(name)).unwrap();
        let text = message(RawTable::read(folder.path(), &["x"]));
        assert!(text.contains(&format!("{name}: a folder among data files")), "{text}");
        assert!(text.contains("move its files beside the others"), "{text}");
        std::fs::remove_dir(part(name)).unwrap();
    }
    assert_eq!(RawTable::read(folder.path(), &["x"]).unwrap().rows(), 1);
}

/// Reads a folder of Parquet files with one column `x` each.
fn joined(pieces: Vec<ArrayRef>) -> Result<RawColumn> {
    let folder = tempfile::tempdir().unwrap();
    for (day, piece) in pieces.into_iter().enumerate() {
        write_parquet(&folder.path().join(format!("{day}.parquet")), vec![("x", piece)]);
    }
    Ok(RawTable::read(folder.path(), &["x"])?.column("x")?.clone())
}

#[test]
fn a_part_without_any_value_takes_the_type_of_the_others() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["t"]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7)])]));
    let nothing: [ArrayRef; 4] = [
        Arc::new(NullArray::new(2)),
        Arc::new(Int64Array::from(vec![None, None])),
        Arc::new(Float64Array::from(vec![None, Some(f64::NAN)])),
        Arc::new(StringArray::from(vec![None::<&str>, None])),
    ];
    for empty in nothing {
        for known in [&text, &lists] {
            let found = joined(vec![Arc::clone(&empty), Arc::clone(known)]).unwrap();
            assert_eq!((found.len(), found.as_array().null_count()), (3, 2));
            assert_eq!(
                found.type_name(),
                if known.data_type() == text.data_type() { "text" } else { "lists" }
            );
        }
        assert_eq!(joined(vec![Arc::clone(&empty), empty]).unwrap().len(), 4);
    }
}

#[test]
fn identifiers_keep_their_digits_whatever_each_part_calls_them() {
    let digits = |values: &[&str]| RawColumn::Text(LargeStringArray::from(values.to_vec()));
    let small: ArrayRef = Arc::new(UInt64Array::from(vec![5]));
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![-3]));
    let found = joined(vec![Arc::clone(&small), Arc::clone(&large), Arc::clone(&signed)]).unwrap();
    assert_eq!(found, digits(&["5", "18446744073709551615", "-3"]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["007"]));
    assert!(joined(vec![small, text]).unwrap_err().to_string().contains("text here, but integers in"));
}

#[test]
fn integers_that_a_double_cannot_hold_are_refused_beside_floats() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let with = |integer: i64| joined(vec![Arc::clone(&floats), Arc::new(Int64Array::from(vec![integer]))]);
    assert_eq!(
        with(1 << 53).unwrap(),
        RawColumn::Doubles(Float64Array::from(vec![0.5, 9_007_199_254_740_992.0]))
    );
    for integer in [(1 << 53) + 1, i64::MIN] {
        let text = with(integer).unwrap_err().to_string();
        assert!(text.contains("1.parquet, `x`: integers beyond 2^53"), "{text}");
    }
}

#[test]
fn an_unclosed_quote_is_an_error_where_it_opens_and_not_the_end_of_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.csv");
    for (rows, expected) in [
        ("1,x\n\n2,\"y\n3,z\n", "q.csv, line 4: a quote opens here and never closes; close it"),
        ("1,\"x\n2,y\n3,\"z\"\n", "q.csv, line 2: a quote opens here and closes before its value ends"),
    ] {
        std::fs::write(&path, format!("a,b\n{rows}")).unwrap();
        let text = message(RawTable::read(&path, &["a"]));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_cell_is_named_by_its_line_below_blank_lines_and_line_breaks_in_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    for end in ["\n", "\r\n"] {
        let text = "a,b\n1,x\n\n2,\"y\ny\"\n3,z\n4,w\n5\n".replace('\n', end);
        std::fs::write(&path, text.trim_end_matches("5\n").trim_end_matches("5\r\n")).unwrap();
        let table = RawTable::read(&path, &["a"]).unwrap();
        let lines = [2, 4, 6, 7];
        for (row, line) in lines.into_iter().enumerate() {
            let text = table.cell_error("a", row, "odd", "fix it").to_string();
            assert!(text.contains(&format!("`a`, line {line}: odd")), "{end:?} {row}: {text}");
        }
        std::fs::write(&path, &text).unwrap();
        let text = message(RawTable::read(&path, &["a"]));
        assert!(text.contains("line 8: 1 values where the header has 2"), "{end:?} {text}");
    }
}

#[test]
fn a_misspelt_column_is_answered_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("t.csv");
    let parquet = folder.path().join("t.parquet");
    std::fs::write(&csv, "user_id,price\n1,2\n").unwrap();
    write_parquet(&parquet, vec![("user_id", Arc::new(Int64Array::from(vec![1])))]);
    for file in [&csv, &parquet] {
        let text = message(RawTable::read(file, &["userid"]));
        assert!(text.ends_with("`userid`: there is no such column; did you mean `user_id`?"), "{text}");
    }
}

#[test]
fn a_file_with_another_separator_is_answered_with_the_one_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    for (name, header, expected) in [
        ("t.csv", "case;alt;choice", "separated by semicolons: its header is one column"),
        ("t.csv", "case\talt", "separated by tabs: its header is one column"),
        ("t.csv", "case|alt", "separated by `|`: its header is one column"),
        ("t.csv", "case;alt", "a .csv file has commas between columns; write it with commas, or as Parquet"),
        ("t.csv", "case\talt", "; name it .tsv, or write it with commas, or as Parquet"),
        ("t.tsv", "case,alt", "; name it .csv, or write it with tabs, or as Parquet"),
        // A name that holds the character beside others, and one column alone.
        ("t.csv", "case;alt,b", "`choice`: there is no such column"),
        ("t.csv", "case", "`choice`: there is no such column"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{header}\n1,5;2\n")).unwrap();
        let text = message(RawTable::read(&path, &["choice"]));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn ragged_empty_and_foreign_files_are_refused_with_place_and_fix() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, expected) in [
        ("ragged.csv", "a,b\n1,2\n3\n", "ragged.csv, line 3: 1 values where the header has 2; quote"),
        ("twice.csv", "a,a\n1,2\n", "`a`: the header names this column twice"),
        ("rows.csv", "a,b\n", "rows.csv: there are no rows; give a file"),
        ("empty.csv", "", "empty.csv: the file is empty; give a file"),
        ("bytes.csv", "a\n1\n\u{fffd}\n", "bytes.csv, line 3: the row is not UTF-8"),
        ("t.parquet", "PAR1", "t.parquet: not a readable Parquet file"),
        ("t.xlsx", "", "t.xlsx: this is no kind of data file"),
    ] {
        let path = folder.path().join(name);
        let bytes = content.replace('\u{fffd}', "@").into_bytes();
        let broken = |b: u8| if b == b'@' { 0xff } else { b };
        std::fs::write(&path, bytes.into_iter().map(broken).collect::<Vec<_>>()).unwrap();
        let text = message(RawTable::read(&path, &["a"]));
        assert!(text.contains(expected), "{text}");
    }
    assert!(message(RawTable::read(&folder.path().join("none.csv"), &["a"])).contains("cannot read"));
    let parquet = folder.path().join("zero.parquet");
    write_parquet(&parquet, vec![("a", Arc::new(Int32Array::from(Vec::<i32>::new())))]);
    assert!(message(RawTable::read(&parquet, &["a"])).contains("there are no rows"));
}
