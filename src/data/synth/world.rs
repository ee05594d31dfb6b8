//! Users, items and requests, and what each holds. Everything is drawn independently, so that no feature tells of another
//! but by design.

use super::SynthSettings;
use crate::base::rng::{self, Generator};
use rand::RngExt;

/// Values of a category that takes part in a pair.
const CATEGORIES: u32 = 2;
/// Different tags.
pub(super) const TAGS: u32 = 12;
/// Most tags of an item.
const MAX_TAGS: usize = 4;
/// Different ids of high cardinality.
const TOKENS: u32 = 100_000;
/// Deviation of the noise in noisy copies; what they copy has deviation 1.
const NOISE: f32 = 0.7;
/// Share of pairs without a known affinity.
const MISSING_AFFINITY: f32 = 0.05;
/// Shares of the scenarios.
const SCENARIOS: [f32; 3] = [0.5, 0.3, 0.2];
/// First request: 2024-01-01, in ms since 1970.
const START_MS: i64 = 1_704_067_200_000;
/// The log spans ten days.
const SPAN_MS: i64 = 10 * 86_400_000;

pub(super) struct User {
    pub id: i64,
    pub taste: u32,
    pub plan: u32,
    pub activity: f32,
    pub activity_noisy: f32,
    pub badge: u32,
}

pub(super) struct Item {
    pub id: i64,
    pub style: u32,
    pub format: u32,
    pub quality: f32,
    pub quality_noisy: f32,
    pub tags: Vec<u32>,
    pub weight: f32,
}

pub(super) struct Request {
    pub id: i64,
    pub time_ms: i64,
    user: usize,
    pub scenario: usize,
    pub device: u32,
    pub campaign: u32,
    pub session: u32,
    pub trace: u32,
    pub weather: f32,
    candidates: Vec<Pair>,
}

/// One candidate of one request.
pub(super) struct Pair {
    item: usize,
    pub seen: u32,
    pub channel: u32,
    pub affinity: Option<f32>,
    pub affinity_noisy: f32,
    pub batch: u32,
    pub token: u32,
    pub noise: f32,
}

/// Everything that a row is made from.
pub(super) struct Impression<'a> {
    pub user: &'a User,
    pub item: &'a Item,
    pub request: &'a Request,
    pub pair: &'a Pair,
}

pub(super) struct World {
    users: Vec<User>,
    items: Vec<Item>,
    requests: Vec<Request>,
}

impl World {
    pub fn draw(settings: &SynthSettings) -> Self {
        let mut rng = rng::generator(settings.seed, "synth world");
        let mut order: Vec<usize> = (0..settings.items).collect();
        Self {
            users: (0..settings.users).map(|id| user(id, &mut rng)).collect(),
            items: (0..settings.items).map(|id| item(id, &mut rng)).collect(),
            requests: (0..settings.requests).map(|id| request(id, settings, &mut order, &mut rng)).collect(),
        }
    }

    /// All rows, request after request.
    pub fn impressions(&self) -> impl Iterator<Item = Impression<'_>> {
        self.requests.iter().flat_map(move |request| {
            request.candidates.iter().map(move |pair| Impression {
                user: &self.users[request.user],
                item: &self.items[pair.item],
                request,
                pair,
            })
        })
    }
}

fn normal(rng: &mut Generator) -> f32 {
    rng.sample(rand_distr::StandardNormal)
}

/// A standard normal value and its noisy copy.
fn with_noisy_copy(rng: &mut Generator) -> [f32; 2] {
    let value = normal(rng);
    [value, value + NOISE * normal(rng)]
}

fn user(id: usize, rng: &mut Generator) -> User {
    let [activity, activity_noisy] = with_noisy_copy(rng);
    User {
        id: id as i64,
        taste: rng.random_range(0..CATEGORIES),
        plan: rng.random_range(0..CATEGORIES),
        activity,
        activity_noisy,
        badge: rng.random_range(0..5),
    }
}

fn item(id: usize, rng: &mut Generator) -> Item {
    let [quality, quality_noisy] = with_noisy_copy(rng);
    let tags = rng.random_range(1..=MAX_TAGS);
    Item {
        id: id as i64,
        style: rng.random_range(0..CATEGORIES),
        format: rng.random_range(0..CATEGORIES),
        quality,
        quality_noisy,
        tags: (0..tags).map(|_| rng.random_range(0..TAGS)).collect(),
        weight: normal(rng),
    }
}

/// `count` different values of `order`: the first places after a partial shuffle, which is taken back, so that the next
/// draw finds the same order without making it anew.
fn different(count: usize, order: &mut [usize], rng: &mut Generator) -> Vec<usize> {
    let swaps: Vec<usize> = (0..count).map(|place| rng.random_range(place..order.len())).collect();
    for (place, &other) in swaps.iter().enumerate() {
        order.swap(place, other);
    }
    let chosen = order[..count].to_vec();
    for (place, &other) in swaps.iter().enumerate().rev() {
        order.swap(place, other);
    }
    chosen
}

/// `order` is that of the items.
fn request(id: usize, settings: &SynthSettings, order: &mut [usize], rng: &mut Generator) -> Request {
    let items = different(settings.candidates, order, rng);
    let share = rng.random::<f32>();
    let gap_ms = SPAN_MS / settings.requests as i64;
    Request {
        id: id as i64,
        time_ms: START_MS + id as i64 * gap_ms + rng.random_range(0..gap_ms.max(1)),
        user: rng.random_range(0..settings.users),
        scenario: usize::from(share >= SCENARIOS[0]) + usize::from(share >= SCENARIOS[0] + SCENARIOS[1]),
        device: rng.random_range(0..CATEGORIES),
        campaign: rng.random_range(0..CATEGORIES),
        session: rng.random_range(0..TOKENS),
        trace: rng.random_range(0..TOKENS),
        weather: normal(rng),
        candidates: items.into_iter().map(|item| pair(item, rng)).collect(),
    }
}

fn pair(item: usize, rng: &mut Generator) -> Pair {
    let [affinity, affinity_noisy] = with_noisy_copy(rng);
    Pair {
        item,
        seen: rng.random_range(0..CATEGORIES),
        channel: rng.random_range(0..CATEGORIES),
        affinity: (rng.random::<f32>() >= MISSING_AFFINITY).then_some(affinity),
        affinity_noisy,
        batch: rng.random_range(0..TOKENS),
        token: rng.random_range(0..TOKENS),
        noise: normal(rng),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_different_and_leave_the_order_as_it_was() {
        let mut rng = rng::generator(1, "test");
        let mut order: Vec<usize> = (0..50).collect();
        let mut seen = [false; 50];
        for _ in 0..40 {
            let mut again = rng.clone();
            let chosen = different(20, &mut order, &mut rng);
            // The plain way: shuffle a list of its own.
            let mut list: Vec<usize> = (0..50).collect();
            for place in 0..20 {
                list.swap(place, again.random_range(place..50));
            }
            assert_eq!(chosen, list[..20]);
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 20);
            chosen.into_iter().for_each(|item| seen[item] = true);
            assert!(order.iter().copied().eq(0..50));
        }
        assert_eq!(seen, [true; 50]);
    }
}
