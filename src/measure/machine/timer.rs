//! What telling the time costs, how fine it is, and how late a sleeper wakes.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Mean cost of asking for the time, in ns, over so many askings.
pub(super) fn cost_ns(askings: usize) -> f64 {
    let begun = Instant::now();
    (0..askings).for_each(|_| {
        black_box(Instant::now());
    });
    begun.elapsed().as_nanos() as f64 / askings.max(1) as f64
}

/// So many answers in a row, since the first.
pub(super) fn answers(askings: usize) -> Vec<Duration> {
    let mut answers = Vec::with_capacity(askings);
    let begun = Instant::now();
    answers.extend((0..askings).map(|_| begun.elapsed()));
    answers
}

/// The smallest step between two answers that differ, in ns; none where all are the same.
pub(super) fn resolution_ns(answers: &[Duration]) -> Option<f64> {
    let steps = answers.windows(2).filter_map(|pair| pair[1].checked_sub(pair[0]));
    steps.filter(|step| !step.is_zero()).min().map(|step| step.as_nanos() as f64)
}

/// How much longer than `asked` a sleep takes, in µs.
pub(super) fn late_us(asked: Duration) -> f64 {
    let begun = Instant::now();
    std::thread::sleep(asked);
    begun.elapsed().saturating_sub(asked).as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolution_is_the_smallest_step_and_no_standstill() {
        let at = |ns: &[u64]| ns.iter().map(|&ns| Duration::from_nanos(ns)).collect::<Vec<_>>();
        assert_eq!(resolution_ns(&at(&[0, 0, 120, 120, 160, 300])), Some(40.0));
        assert_eq!(resolution_ns(&at(&[7, 7, 7])), None);
        assert_eq!(resolution_ns(&[]), None);
    }

    #[test]
    fn answers_never_go_back() {
        let answers = answers(1000);
        assert_eq!(answers.len(), 1000);
        assert!(answers.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
