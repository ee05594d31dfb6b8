//! Data sets through the library's front door: schema, files, split and encoders together.

use autofas_bench::data::{
    self,
    batches::epoch_batches,
    dataset::Batch,
    schema::Schema,
    split::{Moment, SplitSettings},
    synth::{self, SynthSettings},
};
use std::path::Path;

const SCHEMA: &str = r#"
[data]
label = "click"
time = "second"

[defaults]
item = { fetch_ms = 0.5 }

[[feature]]
columns = ["price", "stock"]
kind = "item"
type = "numeric"
encoding = "standardize"

[[feature]]
name = "brand"
kind = "item"
type = "categorical"
min_count = 1
"#;

const HEADER: &str = "day,second,click,brand,price,stock\n";
const MONDAY: &str = "1,100,1,a,2,7\n1,101,0,b,4,\n";
const TUESDAY: &str = "2,200,0,c,100,7\n2,201,1,a,3,9\n";

fn schema() -> Schema {
    Schema::parse(SCHEMA, Path::new("shop.toml")).unwrap()
}

/// Trained on the first day, by a column that is no feature.
fn first_day() -> SplitSettings {
    SplitSettings::Time {
        column: Some("day".to_owned()),
        train_until: Some(Moment::Number(1)),
        valid_from: None,
        valid_until: None,
        valid_fraction: None,
    }
}

#[test]
fn a_folder_of_files_is_one_data_set_and_encoders_carry_over() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, whole) = (folder.path().join("parts"), folder.path().join("whole.csv"));
    std::fs::create_dir(&parts).unwrap();
    std::fs::write(parts.join("1.csv"), format!("{HEADER}{MONDAY}")).unwrap();
    std::fs::write(parts.join("2.csv"), format!("{HEADER}{TUESDAY}")).unwrap();

    let loaded = data::load(&schema(), &parts, &first_day(), 1).unwrap();
    assert_eq!(loaded.split.train, [0, 1]);
    assert_eq!(loaded.split.valid, [2, 3]);
    // Prices 2 and 4 have mean 3 and deviation 1; brand c came on the second day only.
    let prices: Vec<f32> = loaded.dataset.numbers.iter().copied().step_by(2).collect();
    assert_eq!(prices, [-1.0, 1.0, 8.0, 0.0]);
    assert_eq!((0..4).map(|row| loaded.dataset.ids.at(row, 0)).collect::<Vec<_>>(), [2, 3, 1, 2]);

    // Rows to be scored need no time.
    std::fs::write(&whole, format!("{HEADER}{MONDAY}{TUESDAY}").replace("second", "minute")).unwrap();
    let again = data::load_with(&schema(), &whole, &loaded.encoders).unwrap();
    assert_eq!(again.ids, loaded.dataset.ids);
    assert_eq!(again.labels, [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_cell_that_cannot_be_used_is_named_with_its_own_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.csv"), format!("{HEADER}{MONDAY}")).unwrap();
    std::fs::write(folder.path().join("2.csv"), format!("{HEADER}{}", TUESDAY.replace("3,9", "3,few")))
        .unwrap();
    let text = data::load(&schema(), folder.path(), &first_day(), 1).unwrap_err().to_string();
    let expected = "2.csv, `stock`, line 3: `few` is not a number; correct the value";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_batch_holds_the_rows_that_it_names() {
    let settings = SynthSettings { requests: 10, ..SynthSettings::default() };
    let log = synth::generate(&settings).unwrap();
    let split = SplitSettings::Shuffle { valid_fraction: 0.25 };
    let loaded = data::load_table(&log.schema, &log.table, &split, 1).unwrap();
    let mut seen = 0;
    for rows in epoch_batches(&loaded.split.train, 64, 1, 0) {
        let batch = Batch::of(&loaded.dataset, &rows);
        for (place, &row) in rows.iter().enumerate() {
            let ids: Vec<u32> = loaded.dataset.ids.of_row(row as usize).collect();
            assert_eq!(batch.ids_of(place), ids);
            assert_eq!(batch.labels[place], loaded.dataset.labels[row as usize]);
            assert_eq!(batch.partitions[place], loaded.dataset.partitions[row as usize]);
        }
        seen += batch.rows();
    }
    assert_eq!(seen, 150);
}
