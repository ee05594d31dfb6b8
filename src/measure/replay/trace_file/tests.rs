use super::{
    super::trace::examples::{origin, requests},
    *,
};
use crate::base::fsio;
use ::parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use arrow::{
    array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray},
    datatypes::{Int64Type, Schema as ArrowSchema},
};
use proptest::prelude::*;
use std::{path::PathBuf, sync::Arc};

fn files(folder: &Path) -> [PathBuf; 2] {
    [folder.join("t.parquet"), folder.join("t.jsonl")]
}

fn put(path: &Path, requests: &[Request]) -> Result<()> {
    write(path, &origin(), requests.len(), requests.iter().cloned())
}

fn read(path: &Path) -> Result<Vec<Request>> {
    TraceReader::open(path)?.collect()
}

fn problem(path: &Path) -> String {
    read(path).unwrap_err().to_string()
}

#[test]
fn a_trace_reads_back_identical_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals: Vec<u64> = (0..5000).map(|i| i / 3 * 1_000_003).collect();
    let mut original = requests(&arrivals, 3);
    original[17].candidates.push(u64::MAX);
    original[18].id = u64::MAX;
    for path in files(folder.path()) {
        put(&path, &original).unwrap();
        let reader = TraceReader::open(&path).unwrap();
        assert_eq!(reader.origin(), &origin());
        assert_eq!(reader.collect::<Result<Vec<_>>>().unwrap(), original, "{}", path.display());
    }
}

#[test]
fn long_traces_and_long_lists_go_into_row_groups_and_are_read_in_batches_of_bounded_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let opened = || ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
    let arrivals: Vec<u64> = (0..270_000).collect();
    put(&path, &requests(&arrivals, 1)).unwrap();
    let groups: Vec<_> = opened().metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [131_072, 131_072, 7856]);
    assert!(TraceReader::open(&path).unwrap().map(|request| request.unwrap().id).eq(0..270_000));

    let long = requests(&[0, 1, 2], 550_000);
    put(&path, &long).unwrap();
    let groups: Vec<_> = opened().metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [2, 1]);
    assert_eq!(read(&path).unwrap(), long);
}

#[test]
fn what_a_reader_would_refuse_is_not_even_written() {
    let folder = tempfile::tempdir().unwrap();
    for path in files(folder.path()) {
        let problem = |requests: &[Request]| {
            let text = put(&path, requests).unwrap_err().to_string();
            assert!(!path.exists());
            text
        };
        let unsorted = problem(&requests(&[0, 9, 8], 1));
        assert!(unsorted.contains("`arrival_us`, row 3") && unsorted.contains("sort"), "{unsorted}");
        let empty = problem(&requests(&[0], 0));
        assert!(empty.contains("`candidates`, row 1"), "{empty}");
        // What a file's signed column cannot hold would read back as a negative time.
        let late = problem(&requests(&[0, 1, i64::MAX as u64 + 1], 1));
        assert!(late.contains("`arrival_us`, row 3") && late.contains("63 bits"), "{late}");
        let mut twice = requests(&[0, 1, 2, 3], 1);
        twice[3].id = 1;
        let twice = problem(&twice);
        assert!(twice.contains("`request`, row 4: id 1 was that of row 2 already; give"), "{twice}");
        assert!(problem(&[]).contains("no requests"));
        let few = write(&path, &origin(), 3, requests(&[0, 1], 1)).unwrap_err().to_string();
        assert!(few.contains("2 of 3") && !path.exists(), "{few}");
    }
}

#[test]
fn wrong_lines_are_named_with_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    put(&path, &requests(&[100, 200, 300], 2)).unwrap();
    let text = fsio::read_text(&path).unwrap();
    for (from, to, expected) in [
        ("\"arrival_us\":200", "\"arrival_us\":-200", "line 3: -200 lies before"),
        ("\"arrival_us\":200", "\"arrival_us\":99", "line 3: arrives before"),
        ("\"arrival_us\":300", "\"arrival_us\":x", "line 4: not a request"),
        ("\"candidates\":[1000,1001]", "\"candidates\":[]", "line 3: no candidates"),
        ("\"candidates\":[1000,1001]", "\"candidates\":[-1]", "line 3: not a request"),
        ("\"request\":2", "\"request\":0", "`request`, line 4: id 0 was that of line 2 already"),
        ("\"requests\":3", "\"requests\":4", "line 5: the file ends after 3 of 4"),
        ("\"requests\":3", "\"requests\":2", "line 4: more than the 2 requests"),
        ("\"schema_version\":2", "\"schema_version\":9", "version 9"),
    ] {
        assert!(text.contains(from), "{text}");
        fsio::write(&path, text.replace(from, to).as_bytes()).unwrap();
        let message = problem(&path);
        assert!(message.contains(expected) && message.contains("t.jsonl"), "{message}");
    }
    fsio::write(&path, &text.as_bytes()[..text.len() - 20]).unwrap();
    assert!(problem(&path).contains("line 4: not a request"));
    fsio::write(&path, text.lines().next().unwrap().as_bytes()).unwrap();
    assert!(problem(&path).contains("no requests"));
    fsio::write(&path, b"").unwrap();
    assert!(problem(&path).contains("the file is empty"));
}

/// A Parquet file as another program may write it.
fn foreign(path: &Path, columns: Vec<(&str, ArrayRef)>, requests: usize) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let header = Header { schema_version: SCHEMA_VERSION, requests, origin: origin() };
    let metadata = std::collections::HashMap::from([(
        "autofas.trace".to_owned(),
        serde_json::to_string(&header).unwrap(),
    )]);
    let schema = Arc::new(ArrowSchema::new_with_metadata(batch.schema().fields.clone(), metadata));
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap();
    writer.write(&batch.with_schema(schema).unwrap()).unwrap();
    fsio::write(path, &writer.into_inner().unwrap()).unwrap();
}

#[test]
fn columns_of_another_program_are_converted_or_named_with_the_row_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let signed = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let lists = |values: [&[Option<i64>]; 3]| {
        let lists = values.into_iter().map(|list| Some(list.to_vec()));
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)) as ArrayRef
    };
    let (good, list) =
        (signed(&[Some(0), Some(1), Some(2)]), lists([&[Some(5)], &[Some(6), Some(7)], &[Some(8)]]));
    let columns = |change: Option<(&str, ArrayRef)>| {
        let mut columns: Vec<(&str, ArrayRef)> =
            ["arrival_us", "request", "user"].map(|name| (name, good.clone())).to_vec();
        columns.push(("candidates", list.clone()));
        if let Some((name, array)) = change {
            columns.iter_mut().filter(|column| column.0 == name).for_each(|column| column.1 = array.clone());
        }
        columns
    };
    foreign(&path, columns(None), 3);
    assert_eq!(read(&path).unwrap()[1].candidates, [6, 7]);
    let unreadable = Arc::new(StringArray::from(vec!["1", "2", "x"])) as ArrayRef;
    for (name, array, expected) in [
        ("arrival_us", signed(&[Some(0), Some(1), Some(-1)]), "`arrival_us`, row 3: -1 lies before"),
        ("request", signed(&[Some(0), Some(-4), Some(1)]), "`request`, row 2: cannot be read"),
        ("user", signed(&[Some(0), Some(1), None]), "`user`, row 3: cannot be read"),
        ("user", unreadable, "`user`, row 3: cannot be read"),
        (
            "candidates",
            lists([&[Some(5)], &[Some(6), Some(-7)], &[Some(8)]]),
            "`candidates`, row 2: cannot be read",
        ),
        ("candidates", lists([&[Some(5)], &[Some(6)], &[None]]), "`candidates`, row 3: cannot be read"),
        ("candidates", lists([&[Some(5)], &[], &[Some(6)]]), "`candidates`, row 2: no candidates"),
    ] {
        foreign(&path, columns(Some((name, array))), 3);
        let message = problem(&path);
        assert!(message.contains(expected) && message.contains("t.parquet"), "{message}");
    }
    foreign(&path, columns(None)[..3].to_vec(), 3);
    assert!(problem(&path).contains("`candidates`: the column is missing"));
    foreign(&path, columns(None), 4);
    assert!(problem(&path).contains("row 4: the file ends after 3 of 4"));
}

#[test]
fn a_cut_parquet_file_and_an_unknown_format_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    put(&path, &requests(&[0, 1], 1)).unwrap();
    let bytes = fsio::read(&path).unwrap();
    fsio::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(problem(&path).contains("not a whole Parquet file"));
    // The footer is there, and what it points at is not what it was: the head of the first page, or what is in it.
    for (spoilt, expected) in [(4..40, "not a whole Parquet file"), (22..38, "row 1: cannot be read")] {
        let mut other = bytes.clone();
        other[spoilt].fill(0xff);
        fsio::write(&path, &other).unwrap();
        assert!(problem(&path).contains(expected), "{}", problem(&path));
    }
    assert!(problem(&folder.path().join("t.csv")).contains(".jsonl"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_trace_reads_back_identical_in_both_formats(
        drawn in prop::collection::btree_map(
            any::<u64>(),
            (0u64..1 << 56, any::<u64>(), prop::collection::vec(any::<u64>(), 1..6)),
            1..40,
        ),
        (arrivals, seed) in ("\\PC{0,20}", any::<u64>()),
    ) {
        let mut arrival_us = 0;
        let all: Vec<Request> = drawn.into_iter().map(|(id, (gap_us, user, candidates))| {
            arrival_us += gap_us;
            Request { arrival_us, id, user, candidates }
        }).collect();
        let origin = Origin { arrivals, seed, ..origin() };
        let folder = tempfile::tempdir().unwrap();
        for path in files(folder.path()) {
            write(&path, &origin, all.len(), all.iter().cloned()).unwrap();
            let reader = TraceReader::open(&path).unwrap();
            prop_assert_eq!(reader.origin(), &origin);
            prop_assert_eq!(&reader.collect::<Result<Vec<_>>>().unwrap(), &all);
        }
    }
}
