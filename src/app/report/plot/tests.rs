use super::*;
use crate::measure::latency::Latencies;
use std::time::Duration;

fn ramp(count: u64, us: u64) -> Latencies {
    let mut latencies = Latencies::default();
    (1..=count).for_each(|i| latencies.record(Duration::from_micros(i * us)));
    latencies
}

fn response<'a>(engine: &'a str, qps: f64, latencies: &'a Latencies) -> Distribution<'a> {
    let histogram = latencies.histogram();
    let distinct = latencies.distinct();
    Distribution { engine, offered_qps: Some(qps), kind: RESPONSE, histogram, distinct, valid: true }
}

#[test]
fn a_line_of_percentiles_is_the_quantile_function_and_ends_where_it_is_no_longer_earned() {
    let latencies = ramp(10_000, 1);
    let response = response("tract", 50.0, &latencies);
    let points = percentile_points(&response);
    // x = 2 is the 99th percentile: 9,900 µs.
    let (_, y) = points.iter().find(|(x, _)| (x - 2.0).abs() < 1e-9).unwrap();
    assert!((y - 9.9f64.log10()).abs() < 1e-3, "{y}");
    // 10,000 values earn q with ln 0.01 / ln q ≤ 10,000: 1 − q ≥ 4.604e-4.
    let (last, _) = points.last().unwrap();
    assert!((3.336 - STEP_DECADES..=3.337).contains(last), "{last}");
    // Ten passes over 1,000 requests earn what 1,000 do.
    let repeated = percentile_points(&Distribution { distinct: 1000, ..response });
    assert!(repeated.last().unwrap().0 < 3.337 - 0.9);
}

#[test]
fn scales_are_labelled_at_nines_and_at_one_two_five() {
    let latencies = ramp(10_000, 1);
    let all = [response("tract", 50.0, &latencies)];
    let lines = percentile_lines(&all, &Inks::of(&all, &[]));
    let x = percentile_scale(&lines);
    let names: Vec<String> = x.ticks.iter().map(|&at| (x.name)(at)).collect();
    assert_eq!(names, ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    let y = response_scale(&lines);
    let names: Vec<String> = y.ticks.iter().map(|&at| (y.name)(at)).collect();
    // From 1 µs, whose next mark below is half of it, to 10 ms, whose next mark above is 10 ms.
    assert_eq!(names[..3], ["0.0005", "0.001", "0.002"]);
    assert_eq!(names[names.len() - 2..], ["5", "10"]);
}

#[test]
fn numbers_are_short_and_keep_their_nines() {
    let written = [0.0, 0.0005, 1.5, 12.345, 250.0, 1234.5, 99.9, 99.99, 99.9999, 100.0].map(number);
    assert_eq!(written, ["0", "0.0005", "1.5", "12.3", "250", "1234", "99.9", "99.99", "99.9999", "100"]);
    assert_eq!([0.9, 1.0, 1.1, 2.5, 600.0].map(one_two_five), [1.0, 1.0, 2.0, 5.0, 1000.0]);
}

#[test]
fn a_curve_is_drawn_over_the_rate_and_other_kinds_are_not_drawn() {
    let latencies = ramp(500, 10);
    let service = Distribution { kind: "service", ..response("tract", 10.0, &latencies) };
    let all = [response("tract", 10.0, &latencies), service, response("onnxruntime", 20.0, &latencies)];
    let at = |qps: f64, p99: Option<f64>| (qps, [Some(qps), Some(2.0 * qps), p99, None]);
    let curve = |engine, points| Curve { engine, points, doubted: 0 };
    let steep = curve("onnxruntime", vec![at(3000.0, None), at(1000.0, Some(9000.0)), at(2000.0, Some(1e4))]);
    let inks = Inks::of(&all, std::slice::from_ref(&steep));
    let labels: Vec<String> = percentile_lines(&all, &inks).into_iter().map(|line| line.label).collect();
    assert_eq!(labels, ["tract, 10 requests/s", "onnxruntime, 20 requests/s"]);
    assert!(rate_lines(&[curve("tract", vec![at(1000.0, None)])], &inks).is_empty(), "one rate is no line");
    let lines = rate_lines(std::slice::from_ref(&steep), &inks);
    assert_eq!(lines.iter().map(|line| line.mark).collect::<Vec<_>>(), ["p50", "p90", "p99"]);
    assert_eq!(lines.iter().map(|line| line.label.as_str()).collect::<Vec<_>>(), ["onnxruntime", "", ""]);
    let doubted = Curve { doubted: 2, ..steep };
    assert_eq!(rate_lines(&[doubted], &inks)[0].label, "onnxruntime, NOT VALID at 2 of 3 rates");
    // 1,000 to 3,000 µs over as many requests per second.
    assert_eq!(lines[0].points[0], (1000.0, 0.0));
    assert_eq!(lines[2].points.iter().map(|point| point.0).collect::<Vec<_>>(), [1000.0, 2000.0]);
    assert!(lines.iter().all(|line| line.ink == INKS[1]), "the engine's own colour");
}

#[test]
fn what_may_not_be_believed_is_dashed_and_says_so() {
    let latencies = ramp(500, 10);
    let believed = response("tract", 10.0, &latencies);
    let other = response("onnxruntime", 20.0, &latencies);
    let all = [Distribution { valid: false, ..believed }, other];
    let lines = percentile_lines(&all, &Inks::of(&all, &[]));
    assert_eq!(lines[0].label, "tract, 10 requests/s, NOT VALID");
    assert_eq!((lines[0].dash, lines[1].dash), (DOUBTED, SOLID));
    let strokes = |distributions: &[_]| svg(distributions, &[]).unwrap().matches("<polyline").count();
    assert!(strokes(&all) > strokes(&[believed, other]) + 10);
}

#[test]
fn the_picture_is_one_svg_with_a_dark_style_and_no_font_of_its_own() {
    let latencies = ramp(5000, 1);
    let text = svg(&[response("tract", 50.0, &latencies)], &[]).unwrap();
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
    assert!(text.contains("prefers-color-scheme:dark") && text.contains("tract, 50 requests/s"));
    assert!(!text.contains("@font-face") && !text.contains("url("));
    // Every colour has a counterpart in the dark.
    for attribute in ["fill=\"#", "stroke=\"#"] {
        for piece in text.split(attribute).skip(1) {
            let colour = &piece[..6];
            assert!(text.contains(&format!("[fill=\"#{colour}\"]")), "{colour}");
        }
    }
    // Nothing to draw is an empty picture, no failure.
    assert!(svg(&[], &[]).unwrap().contains("</svg>"));
}
