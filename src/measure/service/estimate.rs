//! From the times of single runs to an estimate of the mean service time, and to how far it may be believed.
//!
//! Interruptions only ever add time, so a block's value is the mean of its runs without the slowest quarter, and a
//! model's value is the median over its blocks. That is below the plain mean of all runs by what interruptions add.
//!
//! The noise is the standard error of that median: 1.2533·σ/√n for n blocks, with σ from the median absolute deviation
//! of all blocks, so that a few disturbed ones do not decide. Blocks are never thrown away: measuring again adds to them,
//! so a value is not repeated until two halves of it agree by chance.

/// The mean without the slowest quarter.
pub(in crate::measure) fn without_slowest_quarter(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let kept = values.len() - values.len() / 4;
    values[..kept].iter().sum::<f64>() / kept as f64
}

/// The middle value, or the mean of the two middle ones.
pub(in crate::measure) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Standard error of the median of all blocks, in percent of it.
pub(super) fn noise_pct(blocks_ms: &[f64]) -> f64 {
    let middle = median(blocks_ms.to_vec());
    let error = 1.2533 * deviation(blocks_ms, middle) / (blocks_ms.len() as f64).sqrt();
    // An engine that computes nothing may take no measurable time at all.
    100.0 * error / middle.max(f64::MIN_POSITIVE)
}

/// σ of normal values from their median absolute deviation around `middle`, with the factors of Croux and Rousseeuw
/// (1992) for few values, where the plain one is too small.
fn deviation(values: &[f64], middle: f64) -> f64 {
    const FEW: [f64; 8] = [1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107];
    let count = values.len();
    let factor = match count {
        0 | 1 => 1.0,
        2..=9 => FEW[count - 2],
        _ => count as f64 / (count as f64 - 0.8),
    };
    1.4826 * factor * median(values.iter().map(|value| (value - middle).abs()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;

    #[test]
    fn the_slowest_quarter_is_left_out_and_the_median_is_the_middle() {
        assert_eq!(without_slowest_quarter(vec![100.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(without_slowest_quarter(vec![9.0, 1.0]), 5.0);
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn the_noise_of_a_hand_made_sample() {
        // Median 10, absolute deviations 1, 1, 0, 2, 2: their median is 1.
        let found = noise_pct(&[9.0, 11.0, 10.0, 12.0, 8.0]);
        assert!((found - 10.0 * 1.2533 * 1.4826 * 1.206 / 5f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(noise_pct(&[0.0, 0.0]), 0.0);
    }

    /// Mean of the noise, and the deviation of the estimates that it stands for, over many measurements of `blocks`.
    fn simulated(blocks: usize, disturb: impl Fn(usize, f64) -> f64) -> (f64, f64) {
        let mut rng = rng::generator(1, "noise");
        let (mut noise, mut estimates) = (0.0, Vec::new());
        const TIMES: usize = 2000;
        for _ in 0..TIMES {
            let draws = rng::normals(blocks, 0.02, &mut rng);
            let times: Vec<f64> =
                draws.into_iter().enumerate().map(|(i, e)| disturb(i, 1.0 + f64::from(e))).collect();
            noise += noise_pct(&times) / TIMES as f64;
            estimates.push(median(times));
        }
        let mean = estimates.iter().sum::<f64>() / TIMES as f64;
        let variance = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / TIMES as f64;
        (noise, 100.0 * variance.sqrt() / mean)
    }

    #[test]
    fn the_noise_is_how_far_estimates_of_repeated_measurements_lie_apart() {
        for blocks in [4, 6, 12, 18, 60] {
            let (noise, apart) = simulated(blocks, |_, time| time);
            assert!((0.9..1.25).contains(&(noise / apart)), "{blocks} blocks: {noise} % for {apart} %");
        }
    }

    #[test]
    fn more_blocks_lower_the_noise_and_one_disturbed_block_hardly_moves_it() {
        let of = |blocks| simulated(blocks, |_, time| time).0;
        let ratio = of(6) / of(24);
        assert!((1.8..2.2).contains(&ratio), "four times the blocks halve it: {ratio}");
        let disturbed = simulated(12, |i, time| if i == 3 { 10.0 * time } else { time }).0;
        assert!(disturbed < 1.3 * of(12), "{disturbed}");
    }
}
