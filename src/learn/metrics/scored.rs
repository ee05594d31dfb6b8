//! What is lost where only some of a request's candidates are scored: a teacher's Recall@K against the number of candidates
//! that a model scores. A fast model that scores all of them may keep more than a better one that has time for a tenth.

use super::{each_list, top_k};
use crate::base::rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which candidates of a request are scored where not all of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum ScoringOrder {
    /// The first of them as they stand in the data: the ones that retrieval ranks highest, where the data keep its order.
    Data,
    /// As many at random, drawn for every request by itself.
    Random {
        /// Of the draws.
        seed: u64,
    },
}

/// How many candidates of every request are scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredCuts {
    /// Ascending, each once.
    cuts: Vec<usize>,
    order: ScoringOrder,
}

impl ScoredCuts {
    /// At these numbers of candidates, in any order.
    pub fn new(mut cuts: Vec<usize>, order: ScoringOrder) -> Self {
        cuts.sort_unstable();
        cuts.dedup();
        Self { cuts, order }
    }

    /// Which candidates are scored.
    pub fn order(&self) -> ScoringOrder {
        self.order
    }

    /// The most candidates that are scored; requests with fewer are left out.
    pub fn largest(&self) -> usize {
        self.cuts.last().copied().unwrap_or(0)
    }

    /// The positions of a list of `length` in the order in which they are scored.
    fn places(&self, request: u64, length: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..length).collect();
        if let ScoringOrder::Random { seed } = self.order {
            rng::shuffle(&mut places, &mut rng::generator(seed, &format!("scored/{request}")));
        }
        places
    }
}

/// Recall@K of a teacher against the candidates that were scored. All points are means over the same requests: those with
/// more than K candidates and no fewer than the largest number that was scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoredRecall {
    /// K: as many candidates a request keeps.
    pub k: usize,
    /// Requests that the means are over.
    pub requests: usize,
    /// By candidates scored, ascending.
    pub points: Vec<ScoredPoint>,
}

/// One number of candidates scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoredPoint {
    /// Candidates per request that were scored.
    pub scored: usize,
    /// The share of the teacher's top K of all candidates that is among the model's top K of those that were scored.
    pub recall: f64,
    /// Standard error of that mean over the requests; absent with one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

impl ScoredRecall {
    /// Recall and standard error at a number of candidates between two that were measured, on the line between them; none outside of
    /// them. The error is the most that it can be: those of the two may go together.
    pub fn at(&self, scored: f64) -> Option<(f64, Option<f64>)> {
        let upper = self.points.iter().position(|point| point.scored as f64 >= scored)?;
        let above = &self.points[upper];
        if above.scored as f64 == scored {
            return Some((above.recall, above.standard_error));
        }
        let below = &self.points[upper.checked_sub(1)?];
        let share = (scored - below.scored as f64) / (above.scored - below.scored) as f64;
        let between = |a: f64, b: f64| a + share * (b - a);
        let error = below.standard_error.zip(above.standard_error).map(|(a, b)| between(a, b));
        Some((between(below.recall, above.recall), error))
    }
}

/// [`ScoredRecall`] of requests that come some at a time, each of them whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredSums {
    cuts: ScoredCuts,
    /// By K: requests, and of every cut the sum of recalls and that of their squares.
    by_k: BTreeMap<usize, (usize, Vec<[f64; 2]>)>,
}

impl ScoredSums {
    /// Nothing yet.
    pub fn new(cuts: ScoredCuts) -> Self {
        Self { cuts, by_k: BTreeMap::new() }
    }

    /// Adds the lists of rows with these scores, teacher scores and requests, at every K of `at`.
    pub fn add(&mut self, scores: &[f32], teacher: &[f32], requests: &[u64], at: &[usize]) {
        let Self { cuts, by_k } = self;
        each_list(requests, |list| {
            if list.len() < cuts.largest() {
                return;
            }
            let of = |values: &[f32]| list.iter().map(|&row| values[row]).collect::<Vec<_>>();
            let (scores, best) = (of(scores), top_k(&of(teacher), list.len()));
            let mut rank = vec![0; list.len()];
            best.into_iter().enumerate().for_each(|(at, place)| rank[place] = at);
            let places = cuts.places(requests[list[0]], list.len());
            for (cut, &scored) in cuts.cuts.iter().enumerate() {
                // What is scored takes part as it stands in the data, so that ties are settled as in the whole list.
                let mut scored = places[..scored].to_vec();
                scored.sort_unstable();
                let own: Vec<f32> = scored.iter().map(|&place| scores[place]).collect();
                let order = top_k(&own, own.len());
                for &k in at.iter().filter(|&&k| k > 0 && k < list.len()) {
                    let found = order.iter().take(k).filter(|&&i| rank[scored[i]] < k).count();
                    let recall = found as f64 / k as f64;
                    let (requests, sums) =
                        by_k.entry(k).or_insert_with(|| (0, vec![[0.0; 2]; cuts.cuts.len()]));
                    *requests += usize::from(cut == 0);
                    sums[cut][0] += recall;
                    sums[cut][1] += recall * recall;
                }
            }
        });
    }

    /// Means over the lists, one per K that some list was long enough for, ascending.
    pub fn means(&self) -> Vec<ScoredRecall> {
        let of = |(&k, (requests, sums)): (&usize, &(usize, Vec<[f64; 2]>))| {
            let count = *requests as f64;
            let point = |(&scored, [sum, squares]): (&usize, &[f64; 2])| {
                let recall = sum / count;
                let variance = (squares / count - recall * recall).max(0.0);
                let standard_error = (*requests > 1).then(|| (variance / (count - 1.0)).sqrt());
                ScoredPoint { scored, recall, standard_error }
            };
            let points = self.cuts.cuts.iter().zip(sums).map(point).collect();
            ScoredRecall { k, requests: *requests, points }
        };
        self.by_k.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(cuts: &[usize], order: ScoringOrder, rows: [&[f32]; 2], requests: &[u64]) -> Vec<ScoredRecall> {
        let mut sums = ScoredSums::new(ScoredCuts::new(cuts.to_vec(), order));
        sums.add(rows[0], rows[1], requests, &[2, 1, 4]);
        sums.means()
    }

    fn recalls(curve: &ScoredRecall) -> Vec<(usize, f64)> {
        curve.points.iter().map(|point| (point.scored, point.recall)).collect()
    }

    #[test]
    fn the_first_candidates_hold_what_can_be_counted_by_hand() {
        // Request 7 has rows a b c d, request 9 rows e f g h (interleaved), request 5 two rows: fewer than the largest cut.
        let requests = [7, 9, 7, 5, 9, 7, 9, 5, 7, 9];
        //              a    e    b         f    c    g         d    h
        let teacher = [0.1, 0.9, 0.8, 0.9, 0.1, 0.3, 0.2, 0.1, 0.9, 0.8];
        let scores = [0.2, 0.5, 0.9, 0.9, 0.6, 0.1, 0.7, 0.1, 0.8, 0.9];
        // Teacher: 7 → d b c a, 9 → e h g f. The model, of all: 7 → b d a c, 9 → h g f e.
        // K = 1 — first 1: {a}, {e}: 0 and 1; first 2: b, f: 0 and 0; first 4: b, h: 0 and 0.
        // K = 2 — first 1: {a}, {e}: 0 and ½; first 2: {a b}, {e f}: ½ and ½; first 4: {b d}, {h g}: 1 and ½.
        let found = curve(&[4, 1, 2, 2], ScoringOrder::Data, [&scores, &teacher], &requests);
        assert_eq!(found.len(), 2, "no list is longer than 4");
        assert_eq!((found[0].k, found[0].requests), (1, 2));
        assert_eq!(recalls(&found[0]), [(1, 0.5), (2, 0.0), (4, 0.0)]);
        assert_eq!(recalls(&found[1]), [(1, 0.25), (2, 0.5), (4, 0.75)]);
        // 0 and 1: deviation √½ over two requests, so √½ / √2.
        assert_eq!(found[0].points[0].standard_error, Some(0.5));
        assert_eq!(found[1].points[1].standard_error, Some(0.0));
    }

    #[test]
    fn a_random_choice_has_the_mean_of_all_choices_and_repeats_by_seed() {
        // One list of 5 for each of 4,000 requests; the model agrees with the teacher. Of the 10 pairs, 1 holds both of the
        // top 2 and 6 one of them: the mean Recall@2 of two scored is 8/20, that of the best 1 of two scored 4/10.
        let requests: Vec<u64> = (0..20_000).map(|row| row / 5).collect();
        let scores: Vec<f32> = (0..20_000).map(|row| (row % 5) as f32 / 5.0).collect();
        let of = |seed| curve(&[2, 5], ScoringOrder::Random { seed }, [&scores, &scores], &requests);
        let found = of(3);
        for (curve, expected) in found.iter().zip([0.4, 0.4]) {
            let ScoredPoint { recall, standard_error, .. } = curve.points[0];
            let error = standard_error.unwrap();
            assert!(error < 0.01 && (recall - expected).abs() < 4.0 * error, "{curve:?}");
            assert_eq!(curve.points[1].recall, 1.0);
        }
        assert_eq!(found, of(3));
        assert_ne!(found, of(4));
        // The data's order would always take the two that are worst.
        let first = curve(&[2, 5], ScoringOrder::Data, [&scores, &scores], &requests);
        assert_eq!(first[1].points[0].recall, 0.0);
        // Parts of whole requests, in another order of them, make the same choices.
        let mut parts = ScoredSums::new(ScoredCuts::new(vec![2, 5], ScoringOrder::Random { seed: 3 }));
        for part in [10_000..20_000, 0..10_000] {
            parts.add(&scores[part.clone()], &scores[part.clone()], &requests[part], &[2, 1, 4]);
        }
        assert_eq!(recalls(&parts.means()[0]), recalls(&found[0]));
    }

    #[test]
    fn equal_scores_go_to_the_earlier_candidate_whatever_was_drawn() {
        let found = curve(&[3], ScoringOrder::Random { seed: 1 }, [&[0.5; 3], &[0.9, 0.2, 0.1]], &[1, 1, 1]);
        assert_eq!(found[0].points[0].recall, 1.0);
        assert_eq!(found[0].points[0].standard_error, None);
    }

    #[test]
    fn between_two_cuts_is_the_line_and_outside_is_nothing() {
        let point = |scored, recall, error| ScoredPoint { scored, recall, standard_error: Some(error) };
        let curve =
            ScoredRecall { k: 1, requests: 9, points: vec![point(100, 0.5, 0.125), point(300, 0.75, 0.0)] };
        let outcomes = [100.0, 200.0, 300.0].map(|scored| curve.at(scored).unwrap());
        assert_eq!(outcomes, [(0.5, Some(0.125)), (0.625, Some(0.0625)), (0.75, Some(0.0))]);
        assert_eq!((curve.at(99.0), curve.at(301.0), curve.at(0.0)), (None, None, None));
    }
}
