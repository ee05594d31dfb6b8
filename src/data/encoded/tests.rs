use super::*;
use crate::{base::progress::Silent, data};

const SCHEMA: &str = r#"
[data]
label = "y"
other_labels = ["z"]
time = "t"
group = "u"
partition = "p"
user_key = "u"

[defaults]
item = { fetch_ms = 1 }

[[feature]]
name = "price"
kind = "item"
type = "numeric"
encoding = "standardize"

[[feature]]
name = "bucket"
column = "price"
kind = "item"
type = "numeric"
buckets = 3

[[feature]]
name = "brand"
kind = "item"
type = "categorical"
min_count = 1

[[feature]]
name = "tags"
kind = "item"
type = "sequence"
length = 2
separator = "|"
min_count = 1
"#;

fn schema() -> Schema {
    Schema::parse(SCHEMA, Path::new("s.toml")).unwrap()
}

/// Two files, each longer than a piece.
fn source(folder: &Path) -> PathBuf {
    let parts = folder.join("parts");
    std::fs::create_dir(&parts).unwrap();
    for part in 0..2 {
        let mut text = "y,z,t,u,p,price,brand,tags\n".to_owned();
        for i in 0..40_000 {
            let row = part * 40_000 + i;
            text += &format!(
                "{},1,{row},{},{},{},b{},{}|{}\n",
                row % 2,
                row % 97,
                row % 3,
                row % 11,
                row % 300,
                row % 7,
                row % 5
            );
        }
        std::fs::write(parts.join(format!("{part}.csv")), text).unwrap();
    }
    parts
}

fn splits() -> [SplitSettings; 3] {
    let parse = |text: &str| crate::base::keys::parse_toml(text, Path::new("e.toml")).unwrap();
    [
        parse("by = \"time\"\nvalid_from = 50000"),
        parse("by = \"time\"\nvalid_fraction = 0.25"),
        parse("by = \"shuffle\"\nvalid_fraction = 0.25"),
    ]
}

#[test]
fn what_is_encoded_in_pieces_is_what_is_encoded_in_memory() {
    let temporary = tempfile::tempdir().unwrap();
    let source = source(temporary.path());
    for (i, split) in splits().iter().enumerate() {
        let folder = temporary.path().join(format!("encoded{i}"));
        let header = write(&schema(), &source, split, 7, &folder, &Silent).unwrap();
        let [whole, mapped] = [&source, &folder].map(|path| data::load(&schema(), path, split, 7).unwrap());
        assert_eq!((header.rows, header.train_rows), (80_000, whole.split.train.len()));
        assert_eq!(mapped.encoders, whole.encoders);
        assert_eq!(mapped.split, whole.split);
        assert_eq!(mapped.dataset.columns(), whole.dataset.columns());
        assert_eq!(mapped.dataset.rows_hash(), whole.dataset.rows_hash());
        assert_eq!(mapped.dataset.partition_count, 3);
        // 1 byte each for bucket and both tags, 2 for one of 300 brands; 4 per number, label, …; 8 per key.
        assert_eq!(header.bytes, 80_000 * (5 + 4 * 6 + 8 + 8));
        let (again, _) = data::load_divided(&schema(), &folder, &whole.encoders, split, 7).unwrap();
        assert_eq!(again.columns(), whole.dataset.columns());
    }
}

#[test]
fn data_encoded_for_another_experiment_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let (source, folder) = (source(temporary.path()), temporary.path().join("encoded"));
    let [bounds, fraction, shuffle] = splits();
    write(&schema(), &source, &bounds, 7, &folder, &Silent).unwrap();
    let other = Schema::parse(&SCHEMA.replace("buckets = 3", "buckets = 4"), Path::new("s.toml")).unwrap();
    let message = |result: Result<Loaded>| result.unwrap_err().to_string();
    assert!(message(open(&folder, &other, &bounds, 7)).contains("another schema"));
    assert!(message(open(&folder, &schema(), &fraction, 7)).contains("another split"));
    assert!(message(open(&folder, &schema(), &shuffle, 7)).contains("another split"));
    assert!(message(open(&folder, &schema(), &bounds, 8)).contains("another split"));
    let text = fsio::read_text(&folder.join(HEADER)).unwrap();
    fsio::write(
        &folder.join(HEADER),
        text.replace("\"schema_version\": 1", "\"schema_version\": 9").as_bytes(),
    )
    .unwrap();
    assert!(
        message(open(&folder, &schema(), &bounds, 7))
            .contains("`schema_version`: is 9, this program reads 1; encode")
    );
}

#[test]
fn a_folder_has_its_name_when_it_is_whole_and_nothing_is_overwritten() {
    let temporary = tempfile::tempdir().unwrap();
    let (source, folder) = (source(temporary.path()), temporary.path().join("encoded"));
    let [bounds, ..] = splits();
    let encode = || write(&schema(), &source, &bounds, 7, &folder, &Silent);
    // As a call that was killed leaves it.
    let unfinished = temporary.path().join("encoded.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("numbers.bin"), "half").unwrap();
    std::fs::write(unfinished.join("of_another_schema.bin"), "half").unwrap();
    encode().unwrap();
    assert!(!unfinished.exists() && !folder.join("of_another_schema.bin").exists());
    open(&folder, &schema(), &bounds, 7).unwrap();
    assert!(encode().unwrap_err().to_string().contains("encoded data already"));
    let text = TableFiles::find(&folder).unwrap_err().to_string();
    assert!(text.contains("encoded already"), "{text}");
    std::fs::remove_file(folder.join(HEADER)).unwrap();
    assert!(encode().unwrap_err().to_string().contains("not an empty folder"));
}

#[test]
fn two_processes_do_not_encode_into_one_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("encoded");
    let _first = Unfinished::claim(&folder).unwrap();
    let text = Unfinished::claim(&folder).err().unwrap().to_string();
    assert!(text.contains("another process is working on the folder"), "{text}");
}

#[test]
fn what_is_finished_stays_locked_until_it_has_its_name() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("encoded");
    let first = Unfinished::claim(&folder).unwrap();
    let columns = first.folder.join("numbers.bin");
    std::fs::write(&columns, "whole").unwrap();
    // Somebody has put something in its place meanwhile.
    fsio::write(&folder.join("a.txt"), b"1").unwrap();
    assert!(first.finish(&folder).is_err());
    let lock = temporary.path().join("encoded.unfinished").join(Unfinished::LOCK);
    assert!(columns.exists() && lock.exists());
    std::fs::remove_dir_all(&folder).unwrap();
    Unfinished::claim(&folder).unwrap().finish(&folder).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the lock is gone");
}

/// Rows in row groups that end elsewhere than pieces, with every type that a piece brings to another form.
fn write_parquet(path: &Path, rows: std::ops::Range<u64>) {
    use arrow::array::*;
    let column = |name: &str, array: ArrayRef| (name.to_owned(), array, true);
    let all = || rows.clone();
    let mut tags = LargeListBuilder::new(LargeStringBuilder::new());
    all().for_each(|r| tags.append_value((0..r % 3).map(|i| Some(format!("t{}", (r + i) % 7)))));
    let missing = |r: u64| (!r.is_multiple_of(5)).then_some(r as f32 / 8.0 % 9.0);
    let text = |r: u64| (!r.is_multiple_of(9)).then(|| format!("b{}", r % 300));
    let columns = vec![
        column("y", std::sync::Arc::new(BooleanArray::from_iter(all().map(|r| Some(r % 2 == 0))))),
        column("z", std::sync::Arc::new(Int8Array::from_iter(all().map(|_| Some(1))))),
        column("t", std::sync::Arc::new(Int64Array::from_iter(all().map(|r| Some(r as i64))))),
        column("u", std::sync::Arc::new(UInt64Array::from_iter(all().map(|r| Some(u64::MAX - r % 97))))),
        column("p", std::sync::Arc::new(UInt64Array::from_iter(all().map(|r| Some(r % 3))))),
        column("price", std::sync::Arc::new(Float32Array::from_iter(all().map(missing)))),
        column("brand", std::sync::Arc::new(StringArray::from_iter(all().map(text)))),
        column("tags", std::sync::Arc::new(tags.finish())),
    ];
    let batch = arrow::record_batch::RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let groups = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(7_000))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(groups)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn pieces_of_parquet_files_are_those_of_the_whole() {
    let temporary = tempfile::tempdir().unwrap();
    let parts = temporary.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    write_parquet(&parts.join("0.parquet"), 0..50_000);
    write_parquet(&parts.join("1.parquet"), 50_000..80_000);
    for (i, split) in splits().iter().enumerate() {
        let folder = temporary.path().join(format!("encoded{i}"));
        write(&schema(), &parts, split, 7, &folder, &Silent).unwrap();
        let [whole, mapped] = [&parts, &folder].map(|path| data::load(&schema(), path, split, 7).unwrap());
        assert_eq!(mapped.encoders, whole.encoders);
        assert_eq!(mapped.split, whole.split);
        assert_eq!(mapped.dataset.rows_hash(), whole.dataset.rows_hash());
    }
}

#[test]
fn a_column_that_was_cut_off_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let (source, folder) = (source(temporary.path()), temporary.path().join("encoded"));
    let [bounds, ..] = splits();
    write(&schema(), &source, &bounds, 7, &folder, &Silent).unwrap();
    File::options().write(true).open(folder.join("labels.bin")).unwrap().set_len(100).unwrap();
    let text = open(&folder, &schema(), &bounds, 7).unwrap_err().to_string();
    assert!(text.contains("labels.bin: 100 bytes where 320000 belong"), "{text}");
}

#[test]
fn numbers_of_rows_and_partitions_that_are_not_there_are_refused_by_file() {
    let temporary = tempfile::tempdir().unwrap();
    let (source, folder) = (source(temporary.path()), temporary.path().join("encoded"));
    let [bounds, ..] = splits();
    write(&schema(), &source, &bounds, 7, &folder, &Silent).unwrap();
    for (column, end) in [("train", 80_000u32), ("valid", 80_000), ("partitions", 3)] {
        let path = file(&folder, column);
        let sound = std::fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[400..404].copy_from_slice(&end.to_le_bytes());
        std::fs::write(&path, damaged).unwrap();
        let text = open(&folder, &schema(), &bounds, 7).unwrap_err().to_string();
        let said =
            format!("{column}.bin: it holds {end} where numbers end before {end}; encode the data again");
        assert!(text.contains(&said), "{text}");
        std::fs::write(&path, sound).unwrap();
    }
    open(&folder, &schema(), &bounds, 7).unwrap();
    // As many bytes as there are, counted around the end of 64 bits.
    let text = fsio::read_text(&folder.join(HEADER)).unwrap();
    let rows = (1u64 << 62) + 80_000;
    let larger = text.replace("\"rows\": 80000", &format!("\"rows\": {rows}"));
    fsio::write(&folder.join(HEADER), larger.as_bytes()).unwrap();
    let text = open(&folder, &schema(), &bounds, 7).unwrap_err().to_string();
    assert!(text.contains(".bin: ") && text.contains(" belong; encode the data again"), "{text}");
}
