//! What the overlap of the best is between two trainings that differ in their seed alone, and what number formats leave of it: on
//! lists of one user with the items of 1,000 rows, and on the rows that users have in the log.

use crate::variants;
use autofas_bench::{
    base::names::{Embeddings, Layout},
    data::Loaded,
    export::{
        Form, Format, Reference,
        quantise::{GateLimits, Lists, QuantiseSettings, quantise},
    },
    learn::metrics::{TopSums, auc},
};
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

/// How many of a list of 1,000 rows.
const BEST: [usize; 4] = [10, 50, 100, 300];

/// How many of the rows of a user, of whom there are twice as many at least.
const BEST_OF_USER: [usize; 3] = [1, 5, 10];

pub fn print([experiment, data]: [&Path; 2]) {
    let (schema, loaded, experiment) = variants::loaded(experiment, data);
    let [network, other] = [0, 1].map(|seed| variants::trained(&schema, &loaded, &experiment, seed));
    let (data, valid) = (&loaded.dataset, &loaded.split.valid[..]);
    let halves = Format::Fp16.stored(&network, Embeddings::Inside).into_owned();
    let form = Form::of(Layout::UserOnce, &schema);
    // Limits that nothing breaks, so that every layer is in integers.
    let limits = GateLimits { max_auc_change: 2.0, min_overlap: 0.0, ..GateLimits::default() };
    let settings = QuantiseSettings { limits, ..experiment.settings.quantise.clone() };
    let bytes = quantise(&network, &form, data, &drawn(&loaded), None, &settings).expect("integers");
    let integers = Format::Int8(bytes.integers);
    let formats = [
        ("another seed", Reference::from(&other)),
        ("fp16", Reference::from(&halves)),
        ("int8 in every layer", Reference::of(&bytes.network, &integers)),
    ];
    let lists = Lists::new(&network, data, valid, 100);
    let length = lists.rows().len() / lists.count();
    let keys: Vec<u64> = (0..lists.rows().len()).map(|at| (at / length) as u64).collect();
    let users = of_users(data.user_keys.as_ref().expect("users"), valid);
    let score =
        |reference: &Reference<'_>, data: &_, rows: &[u32]| reference.score(data, rows).expect("scores");
    let plain = Reference::from(&network);
    let (listed, exact) = (score(&plain, lists.data(), lists.rows()), score(&plain, data, valid));
    let labels: Vec<f32> = valid.iter().map(|&row| data.labels[row as usize]).collect();
    let mut found = vec![json!({ "name": "the network", "auc": auc(&exact, &labels) })];
    for (name, reference) in formats {
        let mut sums = TopSums::default();
        sums.add(&score(&reference, lists.data(), lists.rows()), &listed, &keys, &BEST);
        let joined = sums.means().overlap_at;
        let of_user: BTreeMap<usize, Option<f64>> =
            BEST_OF_USER.iter().map(|&k| (k, of_log(&users, k, &plain, &reference, &loaded))).collect();
        let own = auc(&score(&reference, data, valid), &labels);
        found.push(json!({ "name": name, "auc": own, "joined": joined, "of_user": of_user }));
    }
    println!("{}", json!({ "lists": lists.count(), "found": found }));
}

/// The rows that the network was trained on, in an order that has nothing to do with time.
fn drawn(loaded: &Loaded) -> Vec<u32> {
    autofas_bench::app::package::draw(&loaded.split.train, usize::MAX, 0)
}

/// The rows of every user.
fn of_users(keys: &[u64], rows: &[u32]) -> Vec<Vec<u32>> {
    let mut users: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    rows.iter().for_each(|&row| users.entry(keys[row as usize]).or_default().push(row));
    users.into_values().collect()
}

/// Mean overlap of the `k` best over the users with 2 `k` rows or more.
fn of_log(
    users: &[Vec<u32>],
    k: usize,
    exact: &Reference<'_>,
    other: &Reference<'_>,
    loaded: &Loaded,
) -> Option<f64> {
    let long: Vec<&Vec<u32>> = users.iter().filter(|rows| rows.len() >= 2 * k).collect();
    let rows: Vec<u32> = long.iter().copied().flatten().copied().collect();
    let keys: Vec<u64> =
        long.iter().zip(0..).flat_map(|(rows, user)| std::iter::repeat_n(user, rows.len())).collect();
    let of = |reference: &Reference<'_>| reference.score(&loaded.dataset, &rows).expect("scores");
    let mut sums = TopSums::default();
    sums.add(&of(other), &of(exact), &keys, &[k]);
    sums.means().overlap_at.get(&k).copied()
}
