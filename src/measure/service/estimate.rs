//! From the times of single runs to an estimate of the mean service time, and to how far it may be believed.
//!
//! Interruptions only ever add time, so a block's value is the mean of its runs without the slowest quarter, and a
//! model's value is the median over its blocks. That is below the plain mean of all runs by what interruptions add.

/// The mean without the slowest quarter.
pub(super) fn without_slowest_quarter(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let kept = values.len() - values.len() / 4;
    values[..kept].iter().sum::<f64>() / kept as f64
}

/// The middle value, or the mean of the two middle ones.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Difference of the estimates from the even and from the odd blocks, in percent of the estimate from all.
pub(super) fn noise_pct(blocks_ms: &[f64]) -> f64 {
    let half = |first| median(blocks_ms.iter().skip(first).step_by(2).copied().collect());
    // An engine that computes nothing may take no measurable time at all.
    100.0 * (half(0) - half(1)).abs() / median(blocks_ms.to_vec()).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_quarter_is_left_out_and_the_median_is_the_middle() {
        assert_eq!(without_slowest_quarter(vec![100.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(without_slowest_quarter(vec![9.0, 1.0]), 5.0);
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        assert_eq!(noise_pct(&[1.0, 1.1, 1.0, 1.1]), 100.0 * (1.1 - 1.0) / 1.05);
    }
}
