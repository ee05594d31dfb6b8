//! Both sides of `scripts/figures/store`: fetches into the inputs, and the same rows got in plainer ways, by turns in one process.
//!
//! `store_peer KIND CANDIDATES FEATURES DATA` answers lines `NAME COUNT` (see `protocol`); KIND is `memory`, `embedded` or the address of
//! a Redis server, which is filled; DATA is the Parquet file of KuaiRand, or `synthetic`.

#[path = "../protocol/mod.rs"]
mod protocol;
mod scene;

use autofas_bench::base::memory;
use protocol::{Workload, serve};
use scene::{Fetches, Scene};
use serde_json::{Value, json};
use std::{path::Path, time::Instant};

// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

struct Store<'a> {
    fetches: Fetches<'a>,
    ready: Value,
}

impl Store<'_> {
    fn times(&mut self, count: usize, run: impl Fn(&mut Fetches<'_>)) -> Value {
        let before = self.fetches.counts();
        let timed = |_| {
            let begin = Instant::now();
            run(&mut self.fetches);
            begin.elapsed().as_secs_f64() * 1e3
        };
        let ms: Vec<f64> = (0..count).map(timed).collect();
        let after = self.fetches.counts();
        let of = |before: u64, after: u64| (after - before) as f64 / count as f64;
        let rows = of(before.users.asked + before.items.asked, after.users.asked + after.items.asked);
        json!({ "ms": ms, "bytes_per_request": of(before.bytes, after.bytes), "rows_per_request": rows })
    }
}

impl Workload for Store<'_> {
    fn name(&self) -> &'static str {
        "fetch"
    }

    fn run(&mut self, count: usize) -> Value {
        self.times(count, |fetches| fetches.fetch())
    }

    fn other(&mut self, name: &str, count: usize) -> Value {
        match name {
            "copied" => self.times(count, |fetches| fetches.copied()),
            "maps" => self.times(count, |fetches| fetches.maps()),
            _ => panic!("`{name}` is none of the commands fetch, copied and maps"),
        }
    }

    fn ready(&self) -> Value {
        self.ready.clone()
    }
}

fn main() {
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [kind, candidates, features, data] = arguments.as_slice() else {
        return println!("run by scripts/figures/store, which speaks to it");
    };
    let scene = Scene::new((data != "synthetic").then_some(Path::new(data)));
    let store = scene.store(kind);
    let number = |text: &String| text.parse().expect("a number");
    let mut fetches = Fetches::new(&scene, &*store, number(candidates), number(features));
    // Every request once, cold.
    (0..200).for_each(|_| fetches.fetch());
    let manifest = store.manifest();
    let ready = json!({ "kind": kind, "groups": fetches.groups(), "features": fetches.features(), "items": manifest.items,
        "pairs": manifest.pairs, "row_bytes": manifest.row_bytes() });
    serve(Store { fetches, ready });
}
