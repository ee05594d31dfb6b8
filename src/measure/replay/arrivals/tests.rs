use super::*;
use std::path::Path;

fn recorded_in(text: &str, requests: usize) -> Result<Schedule> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arrivals.csv");
    crate::base::fsio::write(&file, text.as_bytes()).unwrap();
    let candidates_column = text.contains("Tokens").then(|| "Tokens".to_owned());
    Arrivals::Recorded { file, time_column: "TIMESTAMP".into(), candidates_column }.schedule(requests, 0)
}

const THREE: &str = "TIMESTAMP,Tokens\n2023-11-16 23:59:59.9799600,4808\n2023-11-17 00:00:00.0319610,3180\n\
                     2023-11-17 00:00:00.0319610,110\n";

#[test]
fn recorded_times_are_exact_microseconds_from_the_first() {
    let schedule = recorded_in(THREE, 3).unwrap();
    assert_eq!(schedule.offsets_us, [0, 52_001, 52_001]);
    assert_eq!(schedule.candidates.unwrap(), [4808, 3180, 110]);
    assert!(schedule.notes.is_empty());
    assert_eq!(recorded_in(THREE, 2).unwrap().offsets_us, [0, 52_001]);
}

#[test]
fn a_recording_that_is_too_short_begins_again_with_its_gaps_and_counts() {
    // Span 52,001 and mean gap 26,000.5, so the second time begins at 78,002.
    let schedule = recorded_in(THREE, 8).unwrap();
    let expected = [0, 52_001, 52_001, 78_002, 130_003, 130_003, 156_004, 208_005];
    assert_eq!(schedule.offsets_us, expected);
    assert_eq!(schedule.candidates.unwrap(), [4808, 3180, 110, 4808, 3180, 110, 4808, 3180]);
    assert!(
        schedule.notes[0].contains("3 recorded arrivals come 2.67 times, every 0.078 s"),
        "{:?}",
        schedule.notes
    );
    let moment = recorded_in("TIMESTAMP\n7\n7\n", 3).unwrap_err().to_string();
    assert!(moment.contains("arrivals.csv") && moment.contains("want 2 requests"), "{moment}");
}

#[test]
fn a_repeated_recording_keeps_its_rate_and_the_variation_of_its_gaps() {
    let bursty = Arrivals::Bursty { qps: 100.0, on_ms: 50.0, off_ms: 200.0 };
    let offsets = bursty.schedule(4000, 5).unwrap().offsets_us;
    let text: String =
        offsets.iter().map(|&us| format!("{}.{:06}\n", us / 1_000_000, us % 1_000_000)).collect();
    let repeated = recorded_in(&format!("TIMESTAMP\n{text}"), 14_000).unwrap().offsets_us;
    assert_eq!(repeated[..4000], offsets[..]);
    let (once, thrice) = (moments(&offsets), moments(&repeated));
    assert!((thrice.0 / once.0 - 1.0).abs() < 0.01, "mean gaps {once:?} {thrice:?}");
    assert!((thrice.1 / once.1 - 1.0).abs() < 0.05, "variation {once:?} {thrice:?}");
    // Every gap inside of a repetition is a gap of the recording, in its place.
    for (i, pair) in repeated.windows(2).enumerate().filter(|(i, _)| i % 4000 != 3999) {
        assert_eq!(pair[1] - pair[0], offsets[i % 4000 + 1] - offsets[i % 4000]);
    }
}

#[test]
fn recorded_files_that_are_wrong_name_row_and_fix() {
    for (text, expected) in [
        ("TIMESTAMP\n2\n1\n", "`TIMESTAMP`, row 2: earlier than the row before; sort"),
        ("TIMESTAMP\n1\nnoon\n", "`TIMESTAMP`, row 2: `noon` is not a time; write"),
        ("TIMESTAMP,Tokens\n1,many\n", "`Tokens`, row 1: `many` is not a number"),
        ("TIMESTAMP,Tokens\n1,-4\n", "`Tokens`, row 1: `-4` is not a number"),
        ("TIMESTAMP,Tokens\n1,4\n2\n", "row 2: not a row of the header's columns"),
        ("TIMESTAMP\n", "no arrivals"),
        ("time\n1\n", "`TIMESTAMP`: no such column; there are time"),
    ] {
        let message = recorded_in(text, 9).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("arrivals.csv"), "{message}");
    }
    let gone =
        Arrivals::Recorded { file: "gone.csv".into(), time_column: "t".into(), candidates_column: None };
    assert!(gone.schedule(1, 0).unwrap_err().to_string().contains("gone.csv"));
    assert_eq!(gone.to_string(), format!("recorded in {}", Path::new("gone.csv").display()));
}

#[test]
fn schedules_repeat_by_seed_and_differ_between_seeds() {
    for arrivals in
        [Arrivals::Poisson { qps: 100.0 }, Arrivals::Bursty { qps: 100.0, on_ms: 10.0, off_ms: 30.0 }]
    {
        let of = |seed| arrivals.schedule(500, seed).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }
}

/// Mean and squared coefficient of variation of the gaps.
fn moments(offsets: &[u64]) -> (f64, f64) {
    let gaps: Vec<f64> = offsets.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
    let n = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    (mean, gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n / mean.powi(2))
}

#[test]
fn poisson_gaps_are_exponential_with_the_stated_rate() {
    let offsets = Arrivals::Poisson { qps: 200.0 }.schedule(40_001, 1).unwrap().offsets_us;
    let (mean, variation) = moments(&offsets);
    // Standard errors at 40,000 gaps: 0.5 % of the mean, 2 % of the squared variation, 0.0025 of a share.
    assert!((mean / 5000.0 - 1.0).abs() < 0.02, "mean {mean}");
    assert!((variation - 1.0).abs() < 0.08, "variation {variation}");
    let beyond = |t: f64| offsets.windows(2).filter(|w| (w[1] - w[0]) as f64 > t).count() as f64 / 40_000.0;
    for t in [1000.0, 5000.0, 15_000.0] {
        assert!((beyond(t) - (-t / 5000.0).exp()).abs() < 0.01, "share beyond {t}");
    }
}

#[test]
fn bursts_have_the_mean_rate_and_the_variation_of_their_closed_form() {
    for (qps, on_ms, off_ms) in [(100.0, 50.0, 150.0), (40.0, 200.0, 100.0), (500.0, 20.0, 20.0)] {
        let bursty = Arrivals::Bursty { qps, on_ms, off_ms };
        let (mean, variation) = moments(&bursty.schedule(400_001, 2).unwrap().offsets_us);
        let expected = 1.0 + 2.0 * qps * (off_ms / 1e3).powi(2) / ((on_ms + off_ms) / 1e3);
        // The mean of n gaps strays by its variation over √n, at most 0.8 % here.
        assert!((mean * qps / 1e6 - 1.0).abs() < 0.02, "mean {mean} µs at {qps}");
        assert!((variation / expected - 1.0).abs() < 0.05, "variation {variation} for {expected}");
    }
}

#[test]
fn a_burst_is_a_poisson_process_at_the_rate_while_on() {
    // Gaps within bursts of 1 s at 400 per second against silences of 3 s: all but 1 in 400 are within.
    let bursty = Arrivals::Bursty { qps: 100.0, on_ms: 1000.0, off_ms: 3000.0 };
    assert_eq!(
        bursty.to_string(),
        "bursty, 100 per second: 400 per second for 1000 ms, none for 3000 ms (means)"
    );
    let offsets = bursty.schedule(200_001, 3).unwrap().offsets_us;
    let within = offsets.windows(2).map(|w| w[1] - w[0]).filter(|&gap| gap < 50_000);
    let (count, sum) = within.fold((0u64, 0u64), |(n, sum), gap| (n + 1, sum + gap));
    // A request ends a burst with probability 1/401, after which the gap exceeds 50 ms but for 1.7 %.
    let silences = 200_000 - count;
    assert!((450..=550).contains(&silences), "{silences}");
    assert!(
        (sum as f64 / count as f64 / 2500.0 - 1.0).abs() < 0.02,
        "mean gap {}",
        sum as f64 / count as f64
    );
}

#[test]
fn rates_and_durations_that_make_no_sense_are_refused() {
    let bursty = |qps, on_ms, off_ms| Arrivals::Bursty { qps, on_ms, off_ms };
    for (arrivals, expected) in [
        (Arrivals::Poisson { qps: 0.0 }, "the rate"),
        (Arrivals::Constant { qps: f64::NAN }, "the rate"),
        (bursty(-1.0, 1.0, 1.0), "the rate"),
        (bursty(1.0, 0.0, 1.0), "of a burst"),
        (bursty(1.0, 1.0, f64::INFINITY), "between two bursts"),
        (bursty(1e-6, 1.0, 1.0), "bursts would share one request"),
    ] {
        let message = arrivals.schedule(5, 0).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn constant_arrivals_do_not_drift() {
    let offsets = Arrivals::Constant { qps: 3.0 }.schedule(3001, 0).unwrap().offsets_us;
    assert_eq!((offsets[0], offsets[1], offsets[3000]), (0, 333_333, 1_000_000_000));
}
