//! Ranking and calibration metrics.

/// Area under the ROC curve, ties counted half; `None` without both classes.
pub fn auc(scores: &[f32], labels: &[f32]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let up = tied.iter().filter(|&&i| labels[i] > 0.5).count() as f64;
        let down = tied.len() as f64 - up;
        pairs += up * (below + down / 2.0);
        below += down;
        positives += up;
    }
    (positives > 0.0 && below > 0.0).then(|| pairs / (positives * below))
}

/// AUC within groups, weighted by their rows; `None` without a group of both classes.
pub fn gauc(scores: &[f32], labels: &[f32], groups: &[u32]) -> Option<f64> {
    let mut rows: std::collections::BTreeMap<u32, (Vec<f32>, Vec<f32>)> = Default::default();
    for ((&score, &label), &group) in scores.iter().zip(labels).zip(groups) {
        let (s, l) = rows.entry(group).or_default();
        s.push(score);
        l.push(label);
    }
    let (sum, weight) = rows
        .values()
        .filter_map(|(s, l)| Some((auc(s, l)? * s.len() as f64, s.len() as f64)))
        .fold((0.0, 0.0), |(sum, weight), (a, w)| (sum + a, weight + w));
    (weight > 0.0).then(|| sum / weight)
}

/// Mean binary cross-entropy.
pub fn logloss(scores: &[f32], labels: &[f32]) -> f64 {
    let sum: f64 = scores
        .iter()
        .zip(labels)
        .map(|(&p, &y)| {
            let p = f64::from(p).clamp(1e-7, 1.0 - 1e-7);
            -(f64::from(y) * p.ln() + (1.0 - f64::from(y)) * (1.0 - p).ln())
        })
        .sum();
    sum / scores.len() as f64
}
