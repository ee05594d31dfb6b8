use super::*;
use crate::data::table::RawColumn;
use arrow::array::Int64Array;
use std::path::Path;

fn table(dates: &[i64]) -> RawTable {
    let column = RawColumn::Ints(Int64Array::from(dates.to_vec()));
    RawTable::from_columns(Path::new("d.csv"), vec![("date".to_owned(), column)])
}

fn schema() -> Schema {
    let text = "[data]\nlabel = \"y\"\ntime = \"date\"\n[[feature]]\nname = \"a\"\nkind = \"item\"\n\
        type = \"categorical\"\nfetch_ms = 1";
    Schema::parse(text, Path::new("s.toml")).unwrap()
}

fn split(settings: &str, dates: &[i64]) -> Result<Split> {
    let settings: SplitSettings = crate::base::keys::parse_toml(settings, Path::new("e.toml"))?;
    settings.split(&schema(), &table(dates), 1)
}

const DATES: [i64; 6] = [20220505, 20220503, 20220501, 20220504, 20220503, 20220506];

#[test]
fn both_bounds_leave_out_what_lies_beyond() {
    let text = "by = \"time\"\ncolumn = \"date\"\ntrain_until = 20220503\nvalid_from = 20220504\nvalid_until = 20220505";
    let found = split(text, &DATES).unwrap();
    assert_eq!(found, Split { train: vec![1, 2, 4].into(), valid: vec![0, 3].into() });
}

#[test]
fn one_bound_divides_everything() {
    let until = split("by = \"time\"\ntrain_until = 20220503", &DATES).unwrap();
    assert_eq!(until, Split { train: vec![1, 2, 4].into(), valid: vec![0, 3, 5].into() });
    assert_eq!(split("by = \"time\"\nvalid_from = 20220504", &DATES).unwrap(), until);
}

#[test]
fn bounds_may_be_dates_where_the_column_counts_milliseconds() {
    let day = 86_400_000;
    let found = split("by = \"time\"\nvalid_from = \"1970-01-03\"", &[0, 2 * day, 2 * day - 1]).unwrap();
    assert_eq!(found, Split { train: vec![0, 2].into(), valid: vec![1].into() });
}

#[test]
fn a_fraction_takes_the_latest_rows_and_keeps_equal_times_together() {
    let found = split("by = \"time\"\nvalid_fraction = 0.34", &DATES).unwrap();
    assert_eq!(*found.valid, [0, 5]);
    let tied = split("by = \"time\"\nvalid_fraction = 0.25", &[1, 2, 2, 2]).unwrap();
    assert_eq!(*tied.valid, [1, 2, 3]);
}

#[test]
fn a_shuffle_repeats_by_seed_and_keeps_every_row_once() {
    let settings = SplitSettings::Shuffle { valid_fraction: 0.3 };
    let table = table(&[0; 1000]);
    let of = |seed| settings.split(&schema(), &table, seed).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    assert_eq!(of(1).valid.len(), 300);
    let mut all = [&*of(1).train, &*of(1).valid].concat();
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

#[test]
fn rows_are_held_out_by_draws_of_their_own() {
    let shuffle = SplitSettings::Shuffle { valid_fraction: 0.25 };
    let divided = shuffle.split(&schema(), &table(&[0; 40]), 1).unwrap();
    let every: Vec<u32> = (0..40).collect();
    let taken: Vec<u32> = hold_out(&every, 0.25, 1).unwrap().taken().collect();
    assert_ne!(taken, *divided.valid);
}

#[test]
fn a_split_reads_its_column_beside_those_of_the_schema_once() {
    let columns = |text: &str| {
        let settings: SplitSettings = crate::base::keys::parse_toml(text, Path::new("e.toml")).unwrap();
        settings.columns(&schema()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(columns("by = \"time\"\nvalid_fraction = 0.1"), ["y", "a", "date"]);
    assert_eq!(columns("by = \"time\"\ncolumn = \"day\"\nvalid_fraction = 0.1"), ["y", "a", "day"]);
    assert_eq!(columns("by = \"time\"\ncolumn = \"a\"\nvalid_fraction = 0.1"), ["y", "a"]);
    assert_eq!(columns("by = \"shuffle\"\nvalid_fraction = 0.1"), ["y", "a"]);
}

#[test]
fn a_time_that_cannot_be_read_is_named_with_its_row() {
    let texts = arrow::array::LargeStringArray::from(vec!["11", "soon"]);
    let table = RawTable::from_columns(Path::new("d.csv"), vec![("date".to_owned(), RawColumn::Text(texts))]);
    let settings: SplitSettings =
        crate::base::keys::parse_toml("by = \"time\"\nvalid_fraction = 0.5", Path::new("e.toml")).unwrap();
    let text = settings.split(&schema(), &table, 1).unwrap_err().to_string();
    assert!(text.contains("d.csv, `date`, row 2: no time can be read here"), "{text}");
}

#[test]
fn settings_that_no_data_could_fit_are_refused_by_key_before_any_is_read() {
    let check = |text: &str| {
        let settings: SplitSettings = crate::base::keys::parse_toml(text, Path::new("e.toml")).unwrap();
        settings.check().map_err(|violation| violation.key)
    };
    for (text, key) in [
        ("by = \"shuffle\"\nvalid_fraction = 1.0", "valid_fraction"),
        ("by = \"time\"\nvalid_fraction = 0.0", "valid_fraction"),
        ("by = \"time\"", "valid_fraction"),
        ("by = \"time\"\nvalid_until = 5", "valid_fraction"),
        ("by = \"time\"\ntrain_until = 1\nvalid_fraction = 0.1", "valid_fraction"),
        ("by = \"time\"\ntrain_until = 4\nvalid_from = 4", "valid_from"),
        ("by = \"time\"\ntrain_until = \"soon\"", "train_until"),
        ("by = \"time\"\nvalid_from = \"2024-02-31\"", "valid_from"),
        ("by = \"time\"\ntrain_until = 4\nvalid_until = 4", "valid_until"),
        ("by = \"time\"\nvalid_from = 4\nvalid_until = 3", "valid_until"),
    ] {
        assert_eq!(check(text), Err(key), "{text}");
    }
    for text in [
        "by = \"shuffle\"\nvalid_fraction = 0.5",
        "by = \"time\"\nvalid_fraction = 0.5",
        "by = \"time\"\ntrain_until = 4",
        "by = \"time\"\nvalid_from = \"2024-02-29\"",
        "by = \"time\"\ntrain_until = 4\nvalid_from = 5\nvalid_until = 5",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_with_a_fix() {
    for (text, fix) in [
        ("by = \"time\"", "valid_fraction"),
        ("by = \"time\"\ntrain_until = 20220504\nvalid_from = 20220504", "later than"),
        ("by = \"time\"\ntrain_until = 1\nvalid_fraction = 0.1", "only `valid_fraction`"),
        ("by = \"time\"\ntrain_until = 1", "move the bounds"),
        ("by = \"time\"\nvalid_from = \"soon\"", "a date such as"),
        ("by = \"shuffle\"\nvalid_fraction = 1.5", "above 0 and below 1"),
        ("by = \"shuffle\"\nvalid_fractoin = 0.5", "did you mean `valid_fraction`"),
        ("by = \"tme\"", "did you mean `time`"),
    ] {
        let message = split(text, &DATES).unwrap_err().to_string();
        assert!(message.contains(fix), "{text}: {message}");
    }
}
