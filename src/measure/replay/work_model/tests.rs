use super::*;
use crate::base::rng;

fn sample(candidates: u32, before: Before, us: f64) -> WorkSample {
    WorkSample { candidates, before, work_ns: (us * 1e3) as u64 }
}

/// Exponential work of mean `mean_us`, at its mid-point quantiles.
fn exponential(candidates: u32, mean_us: f64, count: usize) -> impl Iterator<Item = WorkSample> {
    (0..count).map(move |i| {
        let level = (i as f64 + 0.5) / count as f64;
        sample(candidates, Before::Work, -mean_us * (1.0 - level).ln())
    })
}

fn draws(model: &WorkModel, candidates: u32, before: Before, count: usize) -> Vec<f64> {
    let mut draws = WorkDraws::new(model, rng::generator(1, "work"));
    let mut all: Vec<f64> = (0..count).map(|_| draws.next_ns(candidates, before) as f64 / 1e3).collect();
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn levels_and_cells_belong_together() {
    assert_eq!((level(0), level(1), level(63), level(127)), (0.0, 1.0 / 64.0, 63.0 / 64.0, 1.0));
    assert_eq!(cell(0), (0, 0.0));
    assert_eq!(cell(1 << 63), (32, 0.0));
    assert_eq!(cell(u64::MAX).0, 126);
    for bits in
        [0x0123_4567_89ab_cdef, 0xfbff_ffff_ffff_ffff, 0xfc00_0000_0000_0000, 0xffee_0000_1234_5678u64]
    {
        let (cell, part) = cell(bits);
        let found = level(cell) + f64::from(part) * (level(cell + 1) - level(cell));
        assert!((found - bits as f64 / 2f64.powi(64)).abs() < 1e-6, "{bits:x}");
    }
}

#[test]
fn draws_have_the_quantiles_and_the_mean_of_the_samples() {
    let samples: Vec<_> = exponential(100, 500.0, 20_000).collect();
    let model = WorkModel::fit(&samples).unwrap();
    assert!((model.mean_us(100.0, Before::Work) - 500.0).abs() < 0.5);
    let all = draws(&model, 100, Before::Work, 400_000);
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    assert!((mean - 500.0).abs() < 4.0, "{mean}");
    for level in [0.1f64, 0.5, 0.9, 0.99, 0.999] {
        let (found, expected) = (all[(level * 400_000.0) as usize], -500.0 * (1.0 - level).ln());
        assert!((found / expected - 1.0).abs() < 0.03, "{level}: {found} for {expected}");
    }
}

#[test]
fn work_of_counts_in_between_is_interpolated_and_beyond_them_extrapolated() {
    let samples: Vec<_> = [(100, 100.0), (200, 300.0), (400, 500.0)]
        .into_iter()
        .flat_map(|(candidates, us)| (0..200).map(move |_| sample(candidates, Before::Work, us)))
        .collect();
    let model = WorkModel::fit(&samples).unwrap();
    assert_eq!(model.groups.len(), 3);
    assert_eq!(model.seen(), (100, 400));
    let counts = &model.candidates;
    assert_eq!((counts.len(), counts[0], counts[300], counts[599]), (600, 100, 200, 400));
    for (candidates, expected) in [
        (100, 100.0),
        (150, 200.0),
        (200, 300.0),
        (300, 400.0),
        (400, 500.0),
        (500, 600.0),
        (60, 20.0),
        (10, 0.0),
    ] {
        let found = draws(&model, candidates, Before::Work, 3);
        assert!((found[0] - expected).abs() < 0.1, "{candidates}: {found:?}");
        assert!((model.mean_us(f64::from(candidates), Before::Work) - expected).abs() < 0.1, "{candidates}");
    }
    assert!((model.mean_over_us([100, 300].into_iter()) - 250.0).abs() < 0.1);
}

#[test]
fn unequal_counts_in_a_group_do_not_widen_the_spread_of_equal_requests() {
    // 2 µs a candidate, without any spread, at counts that one group holds.
    let samples: Vec<_> =
        (0..1000).map(|i| sample(1000 + i % 200, Before::Work, f64::from(2 * (1000 + i % 200)))).collect();
    let model = WorkModel::fit(&samples).unwrap();
    assert_eq!(model.groups.len(), 1);
    let all = draws(&model, 1100, Before::Work, 1000);
    assert!((all[0] - 2199.0).abs() < 2.0 && (all[999] - 2199.0).abs() < 2.0, "{} {}", all[0], all[999]);
}

#[test]
fn the_two_states_are_told_apart_and_a_state_that_was_not_seen_takes_the_other() {
    let both: Vec<_> = (0..400)
        .map(|i| if i % 2 == 0 { sample(10, Before::Work, 100.0) } else { sample(10, Before::Pause, 140.0) })
        .collect();
    let model = WorkModel::fit(&both).unwrap();
    let mean = |model: &WorkModel, before| model.mean_us(10.0, before).round();
    assert_eq!((mean(&model, Before::Work), mean(&model, Before::Pause)), (100.0, 140.0));
    let paused: Vec<_> = both.into_iter().filter(|s| s.before == Before::Pause).collect();
    let model = WorkModel::fit(&paused).unwrap();
    assert_eq!((mean(&model, Before::Work), mean(&model, Before::Pause)), (140.0, 140.0));
}

#[test]
fn the_mean_over_all_samples_is_kept_where_counts_and_work_are_skewed() {
    // Work that grows faster than in proportion in the last group: the line there is held back, the mean is not.
    let samples: Vec<_> = (1..=3000u32)
        .map(|i| {
            let candidates = 10 + (i * i) % 7919;
            sample(candidates, Before::Work, 50.0 + (f64::from(candidates) / 40.0).powi(2))
        })
        .collect();
    let model = WorkModel::fit(&samples).unwrap();
    let measured = samples.iter().map(|s| s.work_ns as f64 / 1e3).sum::<f64>() / 3000.0;
    let modelled = model.mean_over_us(samples.iter().map(|s| s.candidates));
    assert!((modelled / measured - 1.0).abs() < 1e-3, "{modelled} for {measured}");
}

#[test]
fn counts_keep_their_tail() {
    // Log-normal counts, ln σ = 0.8 around 250, at 20,000 evenly spaced levels of a standard normal distribution, whose
    // quantiles are found on a grid by adding up its density.
    let (step, mut below, mut z) = (1e-4f64, 0.0f64, -5.0f64);
    let density = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let counts: Vec<u32> = (0..20_000)
        .map(|i| {
            while below < (f64::from(i) + 0.5) / 20_000.0 {
                below += density(z) * step;
                z += step;
            }
            (250.0 * (0.8 * z).exp()).round() as u32
        })
        .collect();
    // In another order than theirs.
    let samples: Vec<_> = (0..20_000).map(|i| sample(counts[i * 7 % 20_000], Before::Work, 1.0)).collect();
    let kept = WorkModel::fit(&samples).unwrap().candidates;
    assert_eq!(kept.len(), COUNTS);
    let mut generator = rng::generator(1, "counts");
    let mut drawn: Vec<u32> = (0..50_000).map(|_| kept[generator.random_range(0..kept.len())]).collect();
    drawn.sort_unstable();
    let near = |found: u32, expected: u32, within: f64| {
        let apart = (f64::from(found) / f64::from(expected) - 1.0).abs();
        assert!(apart <= within, "{found} for {expected}");
    };
    near(counts[19_800], 1607, 0.01);
    for (level, within) in [(0.01, 0.05), (0.5, 0.03), (0.9, 0.03), (0.99, 0.05)] {
        near(drawn[(level * 50_000.0) as usize], counts[(level * 20_000.0) as usize], within);
    }
    assert_eq!((drawn[0], drawn[49_999]), (counts[0], counts[19_999]));
    let mean = |counts: &[u32]| counts.iter().map(|c| f64::from(*c)).sum::<f64>() / counts.len() as f64;
    assert!((mean(&kept) / mean(&counts) - 1.0).abs() < 0.01, "{} for {}", mean(&kept), mean(&counts));
}

#[test]
fn a_largest_number_that_nothing_could_hold_a_list_up_to_is_drawn_from_all_the_same() {
    let samples: Vec<_> = exponential(100, 500.0, 200).collect();
    let mut model = WorkModel::fit(&samples).unwrap();
    model.groups[0].max_candidates = u32::MAX;
    model.check(std::path::Path::new("r.json")).unwrap();
    let mut draws = WorkDraws::new(&model, rng::generator(1, "test"));
    assert!(draws.next_ns(u32::MAX, Before::Work) > 0 && draws.positions.len() <= 1 << 21);
}

#[test]
fn a_model_reads_back_and_broken_ones_are_named() {
    let samples: Vec<_> = exponential(100, 500.0, 200).collect();
    let model = WorkModel::fit(&samples).unwrap();
    let file = std::path::Path::new("r.json");
    let read: WorkModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
    assert_eq!(read, model);
    read.check(file).unwrap();
    let mut short = model.clone();
    short.groups[0].after_work_us.pop();
    let mut falling = model;
    falling.groups[0].after_pause_us[3] = 1e9;
    let uncounted = WorkModel { candidates: Vec::new(), ..read.clone() };
    let mut twisted = read.clone();
    (twisted.groups[0].min_candidates, twisted.groups[0].max_candidates) = (900, 100);
    let mut overlapping = read.clone();
    let next = WorkGroup { candidates: 600.0, max_candidates: 700, ..read.groups[0].clone() };
    overlapping.groups.push(next);
    for broken in [short, falling, uncounted, twisted, overlapping, WorkModel { groups: Vec::new(), ..read }]
    {
        assert!(broken.check(file).unwrap_err().to_string().contains("r.json"));
    }
    assert!(WorkModel::fit(&samples[..99]).unwrap_err().to_string().contains("99 requests"));
}
