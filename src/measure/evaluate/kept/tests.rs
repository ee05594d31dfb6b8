use super::*;
use crate::{
    base::{Error, rng},
    learn::{metrics::ScoringOrder, train::metrics_of},
};
use rand::RngExt;

/// Rows with ties, with negative and tiny scores, in requests of one to about twenty rows.
fn scored(rows: usize) -> (Vec<f32>, Dataset) {
    let mut rng = rng::generator(5, "test/kept");
    let coarse = |rng: &mut rng::Generator| rng.random_range(-40..400) as f32 / 256.0;
    let scores = (0..rows).map(|row| if row % 7 == 0 { 1e-20 * row as f32 } else { coarse(&mut rng) });
    let scores: Vec<f32> = scores.collect();
    let label = |rng: &mut rng::Generator| f32::from(rng.random_range(0..3) == 0);
    let mut labels = || (0..rows).map(|_| label(&mut rng)).collect::<Column<f32>>();
    let data = Dataset {
        labels: labels(),
        other_labels: vec![("buy".to_owned(), labels())],
        groups: Some((0..rows as u64).map(|row| row * 7919 % 97).collect()),
        requests: Some((0..rows as u64).map(|row| row * row % 101).collect()),
        teacher_scores: Some((0..rows).map(|row| (row * 31 % 257) as f32 / 257.0).collect()),
        ..Dataset::default()
    };
    (scores, data)
}

fn kept(scores: &[f32], data: &Dataset) -> Rows {
    let mut kept = Kept::default();
    let every: Vec<u32> = (0..scores.len() as u32).collect();
    // In pieces of another size than the parts.
    every
        .chunks(333)
        .for_each(|rows| kept.add(&scores[rows[0] as usize..][..rows.len()], data, rows).unwrap());
    kept.finish().unwrap()
}

#[test]
fn metrics_of_parts_are_those_of_the_whole() {
    let (scores, data) = scored(2000);
    let rows = kept(&scores, &data);
    let every: Vec<u32> = (0..2000).collect();
    let whole = metrics_of(&scores, &data, &every);
    let lists = TopLists::of(
        &scores,
        data.teacher_scores.as_ref().unwrap(),
        data.requests.as_ref().unwrap(),
        &[3, 10],
    );
    assert!(lists.recall_at[&3] > 0.0 && lists.overlap_at[&10] < 1.0);
    assert_eq!(rows.metrics(2000), whole);
    assert_eq!(rows.top_lists(2000, &[3, 10]), lists);
    for part in [1, 17, 500, 1999] {
        let parts = rows.metrics(part);
        assert_eq!(parts.auc, whole.auc, "pairs are counted, whatever the part");
        let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-12;
        assert!(close(parts.gauc, whole.gauc) && parts.logloss == whole.logloss, "{part}");
        assert!(close(parts.other_labels["buy"].gauc, whole.other_labels["buy"].gauc));
        assert_eq!(parts.other_labels["buy"].auc, whole.other_labels["buy"].auc);
        let found = rows.top_lists(part, &[3, 10]);
        assert!((found.recall_at[&3] - lists.recall_at[&3]).abs() < 1e-12);
        assert!((found.overlap_at[&10] - lists.overlap_at[&10]).abs() < 1e-12);
    }
}

#[test]
fn recall_over_candidates_scored_is_the_same_in_parts_and_names_its_lists() {
    let (scores, data) = scored(2000);
    let rows = kept(&scores, &data);
    for order in [ScoringOrder::Data, ScoringOrder::Random { seed: 2 }] {
        let cuts = ScoredCuts::new(vec![5, 12], order);
        let whole = rows.scored(2000, &[3, 10], &cuts).unwrap();
        let mut sums = ScoredSums::new(cuts.clone());
        let (teacher, requests) = (data.teacher_scores.as_ref().unwrap(), data.requests.as_ref().unwrap());
        sums.add(&scores, teacher, requests, &[3, 10]);
        assert_eq!(whole, sums.means());
        assert!(whole.iter().all(|curve| curve.requests > 10 && curve.points[0].recall > 0.0), "{whole:?}");
        for part in [1, 17, 500] {
            for (found, whole) in rows.scored(part, &[3, 10], &cuts).unwrap().iter().zip(&whole) {
                assert_eq!((found.k, found.requests), (whole.k, whole.requests));
                for (found, whole) in found.points.iter().zip(&whole.points) {
                    assert!((found.recall - whole.recall).abs() < 1e-12, "{found:?} {whole:?}");
                }
            }
        }
    }
    let hash = rows.lists_hash().unwrap();
    let other: Vec<f32> = scores.iter().map(|score| score / 2.0).collect();
    assert_eq!(kept(&other, &data).lists_hash().unwrap(), hash, "another model of the same lists");
    let teacher = data.teacher_scores.as_ref().unwrap().iter().map(|score| score / 2.0).collect();
    let otherwise = Dataset { teacher_scores: Some(teacher), ..data };
    assert_ne!(kept(&scores, &otherwise).lists_hash().unwrap(), hash);
    let without = kept(&[0.5], &Dataset { labels: vec![1.0].into(), ..Dataset::default() });
    assert_eq!(without.lists_hash(), None);
}

#[test]
fn parts_are_as_small_as_they_were_asked_to_be() {
    let (scores, data) = scored(2000);
    let mut sizes = Vec::new();
    by_key(data.groups.as_ref().unwrap(), 100, |rows| sizes.push(rows.len()));
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (20, 2000));
    // 97 groups of 20 or 21 rows do not divide evenly.
    assert!(sizes.iter().all(|&size| size <= 300), "{sizes:?}");
    let high = |score: f32| (ascending(score) >> (32 - HIGH_BITS)) as usize;
    let ranges = ranges(scores.iter().map(|&score| high(score)), 100);
    let rows = |range: &Range<usize>| scores.iter().filter(|&&score| range.contains(&high(score))).count();
    assert!(ranges.len() >= 20 && ranges.iter().all(|range| rows(range) <= 100));
    assert_eq!(ranges.iter().map(rows).sum::<usize>(), 2000);
    assert!(ascending(-1.0) < ascending(-0.5) && ascending(-0.5) < ascending(-0.0));
    assert!(ascending(-0.0) == ascending(0.0) && ascending(0.0) < ascending(1e-20));
}

#[test]
fn a_score_that_is_no_number_leaves_no_auc() {
    assert_eq!(auc_in_parts(&[0.5, f32::NAN, 0.25], &[1.0, 0.0, 0.0], 1), None);
    assert_eq!(auc_in_parts(&[0.5, 0.25], &[1.0, 1.0], 1), None);
}

#[test]
fn every_group_has_the_metrics_of_its_rows() {
    let data = Dataset {
        labels: vec![1.0, 0.0, 0.0, 1.0].into(),
        groups: Some(vec![8, 3, 8, 8].into()),
        ..Dataset::default()
    };
    let rows = kept(&[0.5, 0.25, 0.75, 0.875], &data);
    let mut found = Vec::new();
    rows.each_group(10, &mut |group| {
        found.push(group.clone());
        Ok(())
    })
    .unwrap();
    let of = |key: u64, rows, positives, mean_score, auc, logloss: f64| GroupMetrics {
        key,
        rows,
        positives,
        mean_score,
        auc,
        logloss,
    };
    let eight = (0.5f64.ln() + 0.25f64.ln() + 0.875f64.ln()) / -3.0;
    assert_eq!(found, [of(3, 1, 0, 0.25, None, -0.75f64.ln()), of(8, 3, 2, 2.125 / 3.0, Some(0.5), eight)]);
    assert!(rows.each_group(1, &mut |_| Err(Error::usage("full", "stop"))).is_err());
    let without = kept(&[0.5], &Dataset { labels: vec![1.0].into(), ..Dataset::default() });
    let text = without.each_group(1, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(text.contains("no group column"), "{text}");
}
