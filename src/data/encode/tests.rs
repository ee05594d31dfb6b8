use super::*;
use crate::data::{
    schema::{Encoding, Sequence},
    table::RawColumn,
};
use arrow::array::{LargeListBuilder, LargeStringBuilder};

const SCHEMA: &str = r#"
[data]
label = "y"
weight = "w"
time = "t"
group = "user"
partition = "tab"
teacher_score = "score"
user_key = "user"

[defaults]
item = { fetch_ms = 1 }

[[feature]]
name = "price"
kind = "item"
type = "numeric"
encoding = "standardize"

[[feature]]
name = "brand"
kind = "item"
type = "categorical"

[[feature]]
name = "tags"
kind = "item"
type = "sequence"
length = 3
separator = "|"
min_count = 1

[[feature]]
name = "price_bucket"
column = "price"
kind = "item"
type = "numeric"
buckets = 2

[[feature]]
name = "brand_hash"
column = "brand"
kind = "item"
type = "categorical"
encoding = "hash"
buckets = 50
"#;

const CSV: &str = "y,w,t,user,tab,score,price,brand,tags\n\
    1,1,10,ann,7,0.5,1,a,x|y|x|z\n\
    0,2,11,bob,9,0.1,3.0,a,\n\
    0,1,12,ann,7.0,0.2,,b,y||u\n\
    1,0.5,13,eve,8,0.9,5,b,x\n\
    1,1,14,bob,5,1,9,c,y\n";

fn schema() -> Schema {
    Schema::parse(SCHEMA, Path::new("s.toml")).unwrap()
}

fn table(csv: &str) -> Result<RawTable> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.csv");
    std::fs::write(&path, csv).unwrap();
    RawTable::read(&path, &schema().columns())
}

/// Fitted on the first four rows.
fn encoders() -> Encoders {
    Encoders::fit(&schema(), &table(CSV).unwrap(), &[0, 1, 2, 3]).unwrap()
}

#[test]
fn every_encoding_gives_the_ids_that_were_worked_out_by_hand() {
    let data = encoders().encode(&schema(), &table(CSV).unwrap()).unwrap();
    assert_eq!((data.ids.slots(), data.number_slots), (6, 1));
    let slots: Vec<Slot> = data.features.iter().map(|f| f.slot).collect();
    let one = |start| Slot::Ids { start, length: 1 };
    assert_eq!(slots, [Slot::Number { index: 0 }, one(0), Slot::Ids { start: 1, length: 3 }, one(4), one(5)]);
    // Brands a and b occur twice and are ordered by text; c is unseen. Of the tags' kept items x has three, y two, u one.
    let brand_and_tags: Vec<Vec<u32>> = (0..5).map(|row| data.ids.of(row, 0..4).collect()).collect();
    assert_eq!(brand_and_tags, [[2, 2, 3, 2], [2, 0, 0, 0], [3, 3, 4, 0], [3, 2, 0, 0], [1, 3, 0, 0]]);
    // The training prices 1, 3, 5 have mean 3 and variance 8/3; their lower half ends at 3.
    let deviation = (8.0f64 / 3.0).sqrt();
    assert_eq!(data.numbers[0], (-2.0 / deviation) as f32);
    assert_eq!(data.numbers[1], 0.0);
    assert!(data.numbers[2].is_nan());
    assert_eq!((0..5).map(|row| data.ids.at(row, 4)).collect::<Vec<_>>(), [1, 1, 0, 2, 2]);
    assert_eq!(data.ids.at(4, 5), hashing::bucket("c", 50));
    let cardinalities: Vec<u32> = data.features.iter().map(|f| f.cardinality).collect();
    assert_eq!(cardinalities, [0, 4, 5, 3, 51]);
}

#[test]
fn columns_with_roles_are_read_beside_the_features() {
    let data = encoders().encode(&schema(), &table(CSV).unwrap()).unwrap();
    assert_eq!(data.labels, [1.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(data.weights, [1.0, 2.0, 1.0, 0.5, 1.0]);
    // Both are the column `user`.
    assert_eq!(data.groups, data.user_keys);
    assert_eq!(data.teacher_scores.unwrap(), [0.5, 0.1, 0.2, 0.9, 1.0]);
    let keys = data.user_keys.unwrap();
    assert_eq!((keys[0], keys[1]), (keys[2], hashing::fnv1a(b"bob")));
    // 7 is the most frequent of the training rows, then 8 and 9 by text; 5 is unseen.
    assert_eq!(data.partitions, [0, 2, 0, 1, 0]);
    assert_eq!(data.partition_count, 3);
    assert_eq!(data.requests, None);
}

#[test]
fn nothing_is_learned_from_rows_outside_the_training_part() {
    let changed = CSV.replace("1,1,14,bob,5,1,9,c,y", "0,3,15,zoe,99,0,-500,zzz,q|q|q");
    let again = Encoders::fit(&schema(), &table(&changed).unwrap(), &[0, 1, 2, 3]).unwrap();
    assert_eq!(again, encoders());
    assert_eq!(again.hash(), encoders().hash());
    let wider = Encoders::fit(&schema(), &table(&changed).unwrap(), &[0, 1, 2, 3, 4]).unwrap();
    assert_ne!(wider.hash(), again.hash());
}

#[test]
fn saved_encoders_encode_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoders.json");
    encoders().save(&path).unwrap();
    let loaded = Encoders::load(&path).unwrap();
    assert_eq!(loaded, encoders());
    assert_eq!(loaded.hash(), encoders().hash());
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("_version\": 1", "_version\": 99"))
        .unwrap();
    assert!(Encoders::load(&path).unwrap_err().to_string().contains("fit the encoders again"));
}

#[test]
fn encoders_that_were_edited_are_refused_with_their_feature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoders.json");
    let refused = |feature: &str, edit: &dyn Fn(&mut FeatureEncoder)| {
        let mut encoders = encoders();
        edit(encoders.features.iter_mut().find(|f| f.name == feature).unwrap());
        encoders.save(&path).unwrap();
        let text = Encoders::load(&path).unwrap_err().to_string();
        assert!(
            text.contains(&format!("encoders.json, `{feature}`: ")) && text.contains("restore"),
            "{text}"
        );
    };
    refused("brand_hash", &|f| f.fitted = Fitted::Hash { buckets: 0 });
    refused("brand_hash", &|f| f.encoding = Encoding::Hash { buckets: 0 });
    refused("brand_hash", &|f| f.encoding = Encoding::Hash { buckets: u32::MAX });
    refused("brand_hash", &|f| f.fitted = Fitted::Buckets { edges: vec![] });
    refused("price_bucket", &|f| f.fitted = Fitted::Buckets { edges: vec![3.0, 3.0] });
    refused("price_bucket", &|f| f.fitted = Fitted::Buckets { edges: vec![4.0, 3.0] });
    refused("price_bucket", &|f| f.sequence = Some(Sequence { length: 2, separator: ",".into() }));
    refused("price", &|f| f.fitted = Fitted::Standardize { mean: 0.0, deviation: 0.0 });
    refused("price", &|f| f.fitted = Fitted::Standardize { mean: 0.0, deviation: -1.0 });
    refused("price", &|f| f.sequence = Some(Sequence { length: 2, separator: ",".into() }));
    refused("brand", &|f| f.fitted = Fitted::Vocabulary(vec!["a".to_owned(); 2].into()));
    refused("tags", &|f| f.sequence.as_mut().unwrap().length = 0);
}

#[test]
fn cells_that_cannot_be_used_are_named_with_row_and_fix() {
    for (from, to, expected) in [
        ("0,2,11", "2,2,11", "d.csv, `y`, line 3: a label that is neither 0 nor 1 (2); a label is 0 or 1"),
        ("0,2,11", ",2,11", "d.csv, `y`, line 3: the value is missing; a label is 0 or 1"),
        ("0,2,11", "NaN,2,11", "d.csv, `y`, line 3: the value is missing"),
        (
            "0,2,11",
            "no,2,11",
            "d.csv, `y`, line 3: `no` is not a number; a label is 0 or 1 in every row: write 0 for no and 1 for yes",
        ),
        ("0,2,11", "0,much,11", "d.csv, `w`, line 3: `much` is not a number; give every row a weight"),
        ("0,2,11", "0,inf,11", "d.csv, `w`, line 3: the number is infinite; give every row a weight"),
        (
            "0.1,3.0",
            "low,3.0",
            "d.csv, `score`, line 3: `low` is not a number; give the teacher's probability",
        ),
        ("0,2,11", "0,-2,11", "d.csv, `w`, line 3: a negative weight (-2)"),
        ("0,2,11", "0,nan,11", "d.csv, `w`, line 3: the value is missing"),
        ("11,bob", "11,", "d.csv, `user`, line 3: the key is missing"),
        ("0.1,3.0", "1.1,3.0", "d.csv, `score`, line 3: a score outside 0 to 1 (1.1)"),
        ("0.1,3.0", "0.1,cheap", "d.csv, `price`, line 3: `cheap` is not a number; correct the value"),
        ("0.1,3.0", "0.1,1e60", "d.csv, `price`, line 3: the number is infinite"),
    ] {
        assert!(CSV.contains(from));
        let table = table(&CSV.replacen(from, to, 1)).unwrap();
        let encoded = Encoders::fit(&schema(), &table, &[0, 1, 2]).and_then(|e| e.encode(&schema(), &table));
        let text = encoded.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn encoders_of_another_schema_are_refused() {
    let other = |from: &str, to: &str| {
        let schema = Schema::parse(&SCHEMA.replacen(from, to, 1), Path::new("s.toml")).unwrap();
        encoders().encode(&schema, &table(CSV).unwrap())
    };
    assert!(other("buckets = 50", "buckets = 51").unwrap_err().to_string().contains("another `brand_hash`"));
    assert!(other("partition = \"tab\"", "").unwrap_err().to_string().contains("partition"));
    // A price changes nothing about the encoding.
    other("fetch_ms = 1", "fetch_ms = 2").unwrap();
}

#[test]
fn lists_where_single_values_are_needed_are_refused() {
    let mut lists = LargeListBuilder::new(LargeStringBuilder::new());
    lists.append_value([Some("a")]);
    let mut columns = table(CSV).unwrap().columns().to_vec();
    columns.iter_mut().for_each(|(_, column)| {
        let RawColumn::Text(text) = &*column else { panic!("CSV is text") };
        *column = RawColumn::Text(text.slice(0, 1));
    });
    for name in ["brand", "price"] {
        let mut columns = columns.clone();
        columns.iter_mut().find(|(n, _)| n == name).unwrap().1 = RawColumn::Lists(lists.finish_cloned());
        let table = RawTable::from_columns(Path::new("d.parquet"), columns);
        let text = Encoders::fit(&schema(), &table, &[0]).unwrap_err().to_string();
        assert!(
            text.contains(&format!("`{name}`: lists where")) && text.contains("declare it as a sequence"),
            "{text}"
        );
    }
}
