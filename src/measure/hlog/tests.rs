use super::{reading::read, *};
use crate::measure::latency::Latencies;
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

const STARTED: Duration = Duration::from_millis(1_700_000_000_250);

fn write_all(path: &Path, intervals: &[Interval<'_>]) -> Result<()> {
    write(path, "test", UNIX_EPOCH + STARTED, intervals)
}

fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut latencies = Latencies::default();
    values.into_iter().for_each(|us| latencies.record(Duration::from_micros(us)));
    latencies.histogram().clone()
}

fn interval<'a>(start_s: u64, end_s: u64, tag: &'a str, histogram: &'a Histogram<u64>) -> Interval<'a> {
    Interval { start: Duration::from_secs(start_s), end: Duration::from_secs(end_s), tag, histogram }
}

#[test]
fn a_log_reads_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    let response = histogram((0..5000).map(|i| i * i % 700_001));
    let service = histogram([17, 17, 17]);
    write_all(&path, &[interval(0, 3, "response", &response), interval(0, 3, "service", &service)]).unwrap();
    let back = read(&path).unwrap();
    assert_eq!(back, vec![("response".to_owned(), response), ("service".to_owned(), service)]);
}

#[test]
fn lines_stand_by_their_begin_under_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    let (early, late) = (histogram([1500]), histogram([9000]));
    write_all(&path, &[interval(1, 2, "a", &late), interval(0, 1, "a", &early), interval(0, 2, "b", &early)])
        .unwrap();
    let text = fsio::read_text(&path).unwrap();
    let until_payload: Vec<&str> = text.lines().map(|l| l.split("HIST").next().unwrap()).collect();
    assert_eq!(
        until_payload,
        [
            "#[Histogram log format version 1.3]",
            "#[test; values in microseconds, Interval_Max in milliseconds]",
            "#[StartTime: 1700000000.250 (seconds since epoch)]",
            "#[BaseTime: 1700000000.250 (seconds since epoch)]",
            "#[MaxValueDivisor: 1000.000]",
            "Tag=a,0.000,1.000,1.500,",
            "Tag=b,0.000,2.000,1.500,",
            "Tag=a,1.000,1.000,9.007,",
        ]
    );
}

#[test]
fn a_tag_that_a_log_cannot_say_is_an_error_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    let any = histogram([1]);
    for tag in ["a,b", "a b", ""] {
        let error = write_all(&path, &[interval(0, 1, tag, &any)]).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error} {cause}").contains("the tag"), "{error} {cause}");
        assert!(!path.exists());
    }
}

#[test]
fn a_damaged_log_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    fsio::write(&path, b"Tag=response,0.000,1.000,2.000,HISTFAAA!\n").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("r.hlog"));
}

#[test]
fn the_stretches_of_a_replay_add_up_to_the_whole_and_everything_else_is_one_line() {
    use crate::measure::replay::recorder::{Cut, Part, Recording, Times};
    let cut = Cut::of(&[0, 2_500_000]);
    let mut recording =
        Recording { intervals: cut.intervals(), span: Duration::from_millis(2600), ..Recording::default() };
    for i in 0..500 {
        let at = |us: u64| Duration::from_micros(i * 5000 + us);
        let times = Times {
            part: Part::of(i as usize, 500),
            due: at(0),
            free: at(0),
            begun: at(2),
            assembled: at(10),
            fetched: None,
            completed: at(11 + i),
        };
        recording.answered(times);
        recording.intervals[cut.index(i * 5000)].answered.answered(&times);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.hlog");
    write_recording(&path, &recording).unwrap();
    let lines = read(&path).unwrap();
    let count = |wanted: &str| lines.iter().filter(|(tag, _)| tag == wanted).count();
    assert_eq!(["response", "service", "queueing", "lag", "assembly"].map(count), [3, 3, 1, 1, 1]);
    for (tag, whole) in [("response", &recording.response), ("service", &recording.service)] {
        let mut sum = Latencies::default().histogram().clone();
        lines.iter().filter(|(t, _)| t == tag).for_each(|(_, histogram)| sum.add(histogram).unwrap());
        assert_eq!(&sum, whole.histogram(), "{tag}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_log_reads_back_equal_in_the_order_of_its_begins(
        lines in prop::collection::vec(("[!-+\\--~]{1,12}", 0u64..100, prop::collection::vec(0u64..1 << 40, 0..50)), 0..6),
    ) {
        let mut lines: Vec<(String, u64, Histogram<u64>)> =
            lines.into_iter().map(|(tag, start, values)| (tag, start, histogram(values))).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.hlog");
        let all: Vec<_> = lines.iter().map(|(tag, start, own)| interval(*start, start + 1, tag, own)).collect();
        write_all(&path, &all).unwrap();
        lines.sort_by_key(|line| line.1);
        let expected: Vec<_> = lines.into_iter().map(|(tag, _, own)| (tag, own)).collect();
        prop_assert_eq!(read(&path).unwrap(), expected);
    }
}
