//! Results of replays as text.

use crate::{
    app::cli::output::{self, ms},
    measure::{
        cost::CostSummary,
        latency::LatencySummary,
        measurement::{Measurement, Spread},
        plan::PlanChoice,
        regression::{Comparison, Gate, Verdict},
        replay::recorder::ColdRuns,
        scores::TraceOutputs,
        store::StoreSummary,
    },
};
use std::collections::BTreeSet;

/// A table of all results, then what is to be said of each.
pub(super) fn text(results: &[&Measurement]) -> String {
    let header = ["engine", "version", "requests", "ms", "p50", "p90", "p99", "p99.9", "mean", "max"];
    let rows: Vec<_> = results.iter().flat_map(|result| rows(result)).collect();
    let mut lines = vec![output::table(&header, &rows)];
    for result in results {
        let engine = result.setup.engine;
        lines.extend(remarks(result).into_iter().map(|remark| format!("{engine}: {remark}")));
    }
    lines.extend(results.iter().flat_map(|result| super::queue::text(result)));
    let notes: BTreeSet<_> = results.iter().flat_map(|result| &result.provenance.notes).collect();
    lines.extend(notes.into_iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

fn rows(result: &Measurement) -> Vec<Vec<String>> {
    let row = |first: [String; 3], name: &str, cells: [String; 6]| {
        first.into_iter().chain([name.to_owned()]).chain(cells).collect::<Vec<_>>()
    };
    let setup = &result.setup;
    let first = [setup.engine.to_string(), setup.engine_version.clone(), result.requests.to_string()];
    let blank = || [const { String::new() }; 3];
    let mut rows = vec![
        row(first, "response", columns_ms(&result.response_us)),
        row(blank(), "  at most", upper_ms(&result.response_us)),
        row(blank(), "queueing", columns_ms(&result.queueing_us)),
        row(blank(), "service", columns_ms(&result.service_us)),
    ];
    if let Some(parts) = &result.service_parts_us {
        rows.push(row(blank(), "  copy in", columns_ms(&parts.copy_in)));
        rows.push(row(blank(), "  compute", columns_ms(&parts.compute)));
        rows.push(row(blank(), "  copy out", columns_ms(&parts.copy_out)));
    }
    rows.push(row(blank(), "assembly", columns_ms(&result.assembly_us)));
    rows.extend(result.fetch_us.as_ref().map(|fetch_us| row(blank(), "fetch", columns_ms(fetch_us))));
    rows.push(row(blank(), "dispatch lag", columns_ms(&result.dispatch_lag_us)));
    rows
}

fn remarks(result: &Measurement) -> Vec<String> {
    let load = &result.load;
    let offered = load.offered_qps.map_or_else(String::new, |offered| format!("offered {offered:.1}, "));
    let mode = if load.offered_qps.is_none() { " without a schedule" } else { "" };
    let mut remarks = vec![format!(
        "{offered}answered {:.1} requests per second{mode}, {:.0} candidates on average",
        load.answered_qps, load.mean_candidates
    )];
    if let Some(outputs) = &result.outputs {
        remarks.push(format!(
            "the scores of the package agree within {:.1e} (allowed: {:.0e})",
            outputs.max_abs_difference, outputs.tolerance
        ));
    }
    remarks.extend(result.trace_outputs.as_ref().map(trace_outputs));
    remarks.extend(result.store.as_ref().map(store));
    remarks.extend(result.setup.plan_choice.as_ref().map(plan));
    remarks.extend(cold(&result.cold));
    remarks.push(cost(&result.cost));
    remarks.push(spread(result.passes.len(), &result.spread));
    remarks.extend(result.comparison.iter().flat_map(comparison));
    remarks.push(match result.valid {
        true => "VALID".to_owned(),
        false => format!("INVALID: {}", result.reasons.join("\n  and ")),
    });
    remarks
}

fn trace_outputs(outputs: &TraceOutputs) -> String {
    let engines = match outputs.compared_with.as_slice() {
        [] => "in all its sessions and passes".to_owned(),
        others => format!("with those of {}", others.join(" and ")),
    };
    let of = format!("{} of the trace's own requests", outputs.requests);
    match &outputs.largest {
        None => format!("the scores of {of} have nothing to be compared with"),
        Some(largest) if largest.abs_difference > outputs.tolerance => {
            format!("the scores of {of} DIFFER {engines} by up to {:.1e}", largest.abs_difference)
        }
        Some(largest) => format!("the scores of {of} agree {engines} within {:.1e}", largest.abs_difference),
    }
}

/// What first runs took: the median over sessions and passes, for the smallest and the largest number of candidates.
fn cold(cold: &[ColdRuns]) -> Option<String> {
    let median = |runs: &ColdRuns| {
        let mut us = runs.us.clone();
        us.sort_by(f64::total_cmp);
        us.get(us.len() / 2).copied()
    };
    let told = |runs: &ColdRuns| format!("{} ms at {} candidates", ms(median(runs)), runs.candidates);
    let (first, last) = (cold.first()?, cold.last()?);
    Some(match cold.len() {
        1 => format!("cold, a first run took {}", told(first)),
        _ => format!("cold, a first run took {} and {}", told(first), told(last)),
    })
}

fn cost(cost: &CostSummary) -> String {
    let number = |value: Option<f64>, unit: &str| value.map(|value| format!("{value:.1} {unit}"));
    let megabytes = |bytes: Option<u64>| bytes.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6));
    let per_request = [
        cost.cpu_us_per_request.map(|us| format!("{} ms of processor time", ms(Some(us)))),
        number(cost.minor_faults_per_request, "page faults"),
        number(cost.involuntary_switches_per_request, "forced context switches"),
        number(cost.allocations_per_request, "allocations"),
    ];
    let memory = [
        megabytes(cost.load_bytes).map(|bytes| format!("{bytes} for the sessions")),
        megabytes(cost.warm_up_bytes).map(|bytes| format!("{bytes} for their warm-up")),
        megabytes(cost.peak_resident_bytes).map(|bytes| format!("{bytes} in all at the most")),
    ];
    let told = |parts: &[Option<String>]| {
        let known: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        if known.is_empty() { "unknown here".to_owned() } else { known.join(", ") }
    };
    format!("a request costs {}; memory: {}", told(&per_request), told(&memory))
}

fn plan(choice: &PlanChoice) -> String {
    let mut text = format!("{} plan", choice.taken);
    if let (Some(symbolic_us), Some(bucketed_us)) = (choice.symbolic_us, choice.bucketed_us) {
        let [symbolic_ms, bucketed_ms] = [symbolic_us, bucketed_us].map(|us| ms(Some(us)));
        text += &format!(", found before timing: symbolic {symbolic_ms} ms, bucketed {bucketed_ms} ms");
    }
    if let Some(padding) = &choice.padding {
        text += &format!(
            "; padding adds {:.1} % of candidates and {:+.1} % of time",
            padding.added_candidates_pct, padding.added_time_pct
        );
    }
    text
}

fn store(summary: &StoreSummary) -> String {
    let StoreSummary { usage, bytes_per_request, fetches } = summary;
    let mut text = format!(
        "{} features of {} groups from the {} store {}: {:.1} kB per request",
        usage.features,
        usage.groups.len(),
        usage.kind,
        usage.place,
        bytes_per_request / 1e3
    );
    for (counts, what) in [
        (fetches.users, "rows of users are not in it"),
        (fetches.items, "rows of candidates are not in it"),
        (fetches.pairs, "rows of pairs were never seen"),
    ] {
        if counts.missing > 0 {
            text += &format!("; {} of {} {what}", counts.missing, counts.asked);
        }
    }
    text
}

fn spread(passes: usize, spread: &Spread) -> String {
    let figures = [
        ("service p50", spread.service_p50_pct),
        ("response p50", spread.response_p50_pct),
        ("response p99", spread.response_p99_pct),
    ];
    let known: Vec<String> =
        figures.iter().filter_map(|(name, pct)| pct.map(|pct| format!("{name} ±{pct:.1} %"))).collect();
    match known.as_slice() {
        [] => format!("{passes} pass, which has no spread"),
        known => format!("{passes} passes lie apart by {}", known.join(", ")),
    }
}

fn comparison(comparison: &Comparison) -> Vec<String> {
    let Comparison { max_regression_pct: limit, baseline, .. } = comparison;
    let mut lines = vec![match comparison.verdict {
        Verdict::Slower => format!("SLOWER than {baseline} by more than {limit} %"),
        Verdict::NotSlower => format!("not slower than {baseline} by more than {limit} %"),
        Verdict::NotDecided => format!(
            "NOT DECIDED whether it is slower than {baseline} by more than {limit} %; more --repeats or a quieter machine \
             make the intervals smaller"
        ),
    }];
    lines.extend(comparison.changes.iter().map(|change| {
        let verdict = match change.verdict {
            Verdict::Slower => "slower".to_owned(),
            Verdict::NotSlower => "not slower".to_owned(),
            Verdict::NotDecided => {
                format!("not decided, {:.1} % would have been seen", change.detectable_pct)
            }
        };
        format!(
            "  {}: {:+.1} % (99 %: {:+.1} to {:+.1} %): {verdict}",
            change.figure, change.change_pct, change.lower_pct, change.upper_pct
        )
    }));
    if !comparison.left_out.is_empty() {
        let figures = comparison.left_out.join(", ");
        lines.push(format!(
            "  left out: {figures}; a pass has too few requests for it, or there are fewer than two passes"
        ));
    }
    lines
}

/// What a result that regressed says of itself; none where the gate says something else.
pub(super) fn regression(result: &Measurement) -> Option<String> {
    let comparison = result.comparison.as_ref().filter(|_| result.gate == Some(Gate::Regressed))?;
    let slower = comparison.changes.iter().filter(|change| change.verdict == Verdict::Slower);
    let words: Vec<String> = slower
        .map(|change| {
            format!("{} by {:.1} %, at least {:.1} %", change.figure, change.change_pct, change.lower_pct)
        })
        .collect();
    Some(format!(
        "{} is slower than {}: {} (allowed: {} %)",
        result.setup.engine,
        comparison.baseline,
        words.join(", "),
        comparison.max_regression_pct
    ))
}

fn quantile_ms(us: Option<u64>) -> String {
    ms(us.map(|us| us as f64))
}

fn columns_ms(summary: &LatencySummary) -> [String; 6] {
    let LatencySummary { p50, p90, p99, p999, mean, max, .. } = *summary;
    [quantile_ms(p50), quantile_ms(p90), quantile_ms(p99), quantile_ms(p999), ms(mean), ms(max)]
}

/// The upper bounds of the percentiles.
fn upper_ms(summary: &LatencySummary) -> [String; 6] {
    let upper = |bounds: Option<[u64; 2]>| quantile_ms(bounds.map(|[_, upper]| upper));
    let bounds = summary.bounds;
    let none = || "-".to_owned();
    [upper(bounds.p50), upper(bounds.p90), upper(bounds.p99), upper(bounds.p999), none(), none()]
}

#[cfg(test)]
mod tests;
