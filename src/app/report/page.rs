//! One page that holds the picture and the percentiles as a table; it loads nothing.

use super::{Curve, Distribution, load_text, plot};
use crate::measure::latency::samples_needed;
use std::io;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;background:#fcfcfb;color:#2a2a28}\
svg{width:100%;height:auto}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #e1e0d9}\
th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}\
@media (prefers-color-scheme:dark){body{background:#1a1a19;color:#deddd6}th,td{border-color:#383835}}";

const COLUMNS: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// The page. Percentiles that too few requests earn are dashes.
///
/// # Errors
/// As [`plot::svg`].
pub fn html(title: &str, distributions: &[Distribution<'_>], curves: &[Curve<'_>]) -> io::Result<String> {
    let title = escaped(title);
    let picture = plot::svg(distributions, curves)?;
    let heads: String = COLUMNS.iter().map(|(_, name)| format!("<th>{name}")).collect();
    let rows: String = distributions.iter().map(row).collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <h1>{title}</h1>\n{picture}\
         <p>Times in milliseconds, responses counted from the scheduled arrival. Percentiles appear where enough requests \
         earn them.</p>\n<div class=\"wide\"><table>\n<tr><th>engine<th>load<th>time<th>requests{heads}<th>max\n\
         {rows}</table></div>\n</html>\n"
    ))
}

fn row(distribution: &Distribution<'_>) -> String {
    let histogram = distribution.histogram;
    let ms = |us: u64| plot::number(us as f64 / 1e3);
    let cells: String = COLUMNS
        .iter()
        .map(|&(quantile, _)| match histogram.len() >= samples_needed(quantile) {
            true => format!("<td>{}", ms(histogram.value_at_quantile(quantile))),
            false => "<td>–".to_owned(),
        })
        .collect();
    format!(
        "<tr><td>{}<td>{}<td>{}<td>{}{cells}<td>{}\n",
        escaped(distribution.engine),
        load_text(distribution.offered_qps),
        escaped(distribution.kind),
        histogram.len(),
        ms(histogram.max()),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
        };
        let page = html("Replay", &[responses], &[]).unwrap();
        assert!(page.contains("<svg") && page.contains("<title>Replay</title>"));
        // 100 requests earn p90 and not p99.
        let row = "<tr><td>a&lt;b<td>50 requests/s<td>response<td>100<td>1.5<td>1.5<td>–<td>–<td>–<td>1.5\n";
        assert!(page.contains(row), "{page}");
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("src="), "{outside}");
    }
}
