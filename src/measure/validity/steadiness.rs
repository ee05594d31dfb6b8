//! Whether the machine stayed the same. It did not, when
//! - the fixed work of a pass took 5 % longer or shorter after it than before: the clock was throttled or rose;
//! - a processor counted that it throttled itself for heat;
//! - the hypervisor gave more than 1 % of the time of the processors that a pass ran on to others: that reaches p99;
//! - service times drifted from the first half of the passes to the last: see [`drift`];
//! - the median service times of the passes lie apart by more than 3 % (their standard deviation, in percent of their mean:
//!   a range would grow with the number of passes), and by more than histograms tell apart. Such a result is void: what
//!   differs from itself cannot be compared with another.

use crate::measure::{
    latency::Latencies,
    measurement::{Pass, deviation},
    replay::recorder::Recording,
};

const CLOCK_PCT: f64 = 5.0;
const STEAL_PCT: f64 = 1.0;
const SPREAD_PCT: f64 = 3.0;
const DRIFT_PCT: f64 = 5.0;
/// What histograms tell apart: values are whole microseconds.
const RESOLUTION_US: f64 = 1.0;

/// What was not steady.
pub(super) fn reasons(passes: &[Pass], total: &Recording) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(clock(passes));
    reasons.extend(throttling(passes));
    reasons.extend(stealing(passes));
    let [first, last] = &total.halves;
    let half_candidates = passes.first().map_or([1.0; 2], |pass| pass.load.half_candidates);
    reasons.extend(drift(&first.service, &last.service, half_candidates));
    reasons.extend(apart(passes));
    reasons
}

fn clock(passes: &[Pass]) -> Option<String> {
    let change = |pass: &Pass| pass.conditions.clock_change_pct();
    let worst = passes.iter().map(change).max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    (worst.abs() > CLOCK_PCT).then(|| {
        let direction = if worst > 0.0 { "slower" } else { "faster" };
        format!(
            "the processor's clock became {:.0} % {direction} during a pass; let the machine settle and cool down, fix its \
             frequency, or stop what else runs on it",
            worst.abs()
        )
    })
}

fn throttling(passes: &[Pass]) -> Option<String> {
    let events: u64 = passes.iter().filter_map(|pass| pass.conditions.throttle_events).sum();
    (events > 0).then(|| format!("processors throttled themselves for heat {events} times; cool the machine"))
}

fn stealing(passes: &[Pass]) -> Option<String> {
    let worst = passes.iter().filter_map(|pass| pass.conditions.steal_pct).fold(0.0, f64::max);
    (worst > STEAL_PCT).then(|| {
        format!(
            "the hypervisor gave {worst:.1} % of the time of the processors that a pass ran on to others; measure when the \
             host is quieter, or on a machine of your own"
        )
    })
}

fn apart(passes: &[Pass]) -> Option<String> {
    let medians: Vec<u64> =
        passes.iter().map(|pass| pass.recording.service.summary().p50).collect::<Option<_>>()?;
    let ([deviation_us, pct], least, most) =
        (deviation(&medians)?, medians.iter().min()?, medians.iter().max()?);
    (pct > SPREAD_PCT && deviation_us > RESOLUTION_US).then(|| {
        format!(
            "void: the median service times of the {} passes lie between {least} and {most} µs, with a standard deviation of \
             {pct:.1} % where {SPREAD_PCT} % are allowed; stop what else runs on the machine, or use a longer trace; more \
             --repeats help only where few passes differ by chance",
            passes.len()
        )
    })
}

/// A drift of service times from the first half of the requests to the last.
///
/// Halves differ by chance. The median of each is known to within its bounds (99 % each, from order statistics), so a drift
/// counts only when the bounds of the two do not touch. With many requests tiny differences do not touch either, so it has
/// to be more than 5 % as well, and more than the halves' mean numbers of candidates differ: service time grows at most in
/// proportion to them.
fn drift(first: &Latencies, last: &Latencies, half_candidates: [f64; 2]) -> Option<String> {
    let medians = [first.quantile_us(0.5)?, last.quantile_us(0.5)?];
    let [[first_low, first_high], [last_low, last_high]] = [first.bounds_us(0.5)?, last.bounds_us(0.5)?];
    let apart_pct = |a: f64, b: f64| 100.0 * (a - b).abs() / a.min(b).max(RESOLUTION_US);
    let by_chance = first_low <= last_high && last_low <= first_high;
    let [a, b] = medians.map(|us| us as f64);
    let allowed = DRIFT_PCT + apart_pct(half_candidates[0], half_candidates[1]);
    let drifted = apart_pct(a, b) > allowed && (a - b).abs() > RESOLUTION_US;
    (drifted && !by_chance).then(|| {
        format!(
            "service times drifted: their median was {} µs in the first half of the requests and {} µs in the last; warm up \
             for longer, or let the machine settle",
            medians[0], medians[1]
        )
    })
}

#[cfg(test)]
mod tests;
