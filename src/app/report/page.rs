//! One page that holds the picture and the percentiles as a table; it loads nothing.

use super::{
    COLUMNS, Curve, Distribution,
    html::{document, drawn, table},
    load_text, paper, plot,
};
use maud::{Markup, html};
use std::io;

/// The page. Percentiles that too few requests earn are dashes.
///
/// # Errors
/// As [`plot::svg`].
pub fn html(title: &str, distributions: &[Distribution<'_>], curves: &[Curve<'_>]) -> io::Result<String> {
    let picture = plot::svg(distributions, curves)?;
    Ok(document(
        title,
        &html! {
            figure { (drawn(&picture)) }
            p {
                "Times in milliseconds, responses counted from the scheduled arrival. Percentiles appear where enough requests \
                 earn them."
                @if distributions.iter().any(|of| !of.valid) || curves.iter().any(|curve| curve.doubted > 0) {
                    " What is marked NOT VALID is not to be believed; the result says why."
                }
            }
            (percentiles(distributions))
        },
    ))
}

/// Percentiles in ms as a table.
pub fn percentiles(distributions: &[Distribution<'_>]) -> Markup {
    let names = COLUMNS.map(|(_, name)| format!("#{name}"));
    let columns: Vec<&str> = ["engine", "load", "time", "#requests"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .chain(["#max"])
        .collect();
    table(&columns, distributions.iter().map(row))
}

fn row(distribution: &Distribution<'_>) -> Markup {
    let histogram = distribution.histogram;
    let ms = |us: u64| paper::number(us as f64 / 1e3);
    let percentile = |quantile: f64| match distribution.earns(quantile) {
        true => ms(histogram.value_at_quantile(quantile)),
        false => "–".to_owned(),
    };
    html! {
        tr {
            td { (distribution.engine) @if !distribution.valid { " " span class="bad" { "NOT VALID" } } }
            td { (load_text(distribution.offered_qps)) }
            td { (distribution.kind) }
            td class="n" { (histogram.len()) }
            @for (quantile, _) in COLUMNS { td class="n" { (percentile(quantile)) } }
            td class="n" { (ms(histogram.max())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::Latencies;
    use std::time::Duration;

    #[test]
    fn the_page_holds_picture_and_table_and_loads_nothing() {
        let mut latencies = Latencies::default();
        (0..100).for_each(|_| latencies.record(Duration::from_micros(1500)));
        let responses = Distribution {
            engine: "a<b",
            offered_qps: Some(50.0),
            kind: "response",
            histogram: latencies.histogram(),
            distinct: 100,
            valid: true,
        };
        let page = html("Replay", &[responses], &[]).unwrap();
        assert!(page.contains("<svg") && page.contains("<title>Replay</title>"));
        // 100 requests earn p90 and not p99.
        let cells: Vec<&str> =
            page.split("<td").skip(1).map(|cell| cell.split(['<', '>']).nth(1).unwrap()).collect();
        assert_eq!(cells, ["a&lt;b", "50 requests/s", "response", "100", "1.5", "1.5", "–", "–", "–", "1.5"]);
        assert!(!page.contains("NOT VALID"));
        let doubted = html("Replay", &[Distribution { valid: false, ..responses }], &[]).unwrap();
        for told in ["marked NOT VALID", "50 requests/s, NOT VALID", "<span class=\"bad\">NOT VALID"] {
            assert!(doubted.contains(told), "{told}");
        }
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("src="), "{outside}");
    }
}
