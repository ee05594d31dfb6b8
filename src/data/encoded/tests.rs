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
        assert_eq!(header.bytes, 80_000 * (5 + 4 * 6 + 8 + 4));
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
    assert!(message(open(&folder, &schema(), &bounds, 7)).contains("version 9"));
}

#[test]
fn a_folder_is_finished_only_with_its_header_and_nothing_else_is_overwritten() {
    let temporary = tempfile::tempdir().unwrap();
    let (source, folder) = (source(temporary.path()), temporary.path().join("encoded"));
    let [bounds, ..] = splits();
    let encode = || write(&schema(), &source, &bounds, 7, &folder, &Silent);
    encode().unwrap();
    assert!(encode().unwrap_err().to_string().contains("encoded data already"));
    // As a call that was killed leaves it.
    std::fs::remove_file(folder.join(HEADER)).unwrap();
    std::fs::write(folder.join("numbers.bin"), "half").unwrap();
    encode().unwrap();
    open(&folder, &schema(), &bounds, 7).unwrap();
    std::fs::remove_file(folder.join(HEADER)).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    assert!(encode().unwrap_err().to_string().contains("notes.txt"));
    assert_eq!(std::fs::read_to_string(folder.join("notes.txt")).unwrap(), "mine");
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
