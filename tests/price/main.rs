//! The latency table from outside: files, look-ups, joins and calibration.

mod calibration;
mod merging;
mod tables;
mod union;

use autofas_bench::{
    base::names::{EngineName, Layout, Precision, Provider},
    price::table::{LatencyTable, Operation, RunQuantiles, TableContext, TableEntry},
};

/// Hidden widths that the tables of these tests know.
const WIDTHS: [usize; 3] = [64, 32, 16];
const CANDIDATES: usize = 1000;

fn context() -> TableContext {
    TableContext {
        engine: EngineName::Tract,
        engine_version: "0.23.9".into(),
        provider: Provider::Cpu,
        layout: Layout::UserOnce,
        precision: Precision::Fp32,
        threads: 2,
        host: "a1b2c3d4".into(),
    }
}

fn entry(operation: Operation, mean_ms: f64) -> TableEntry {
    TableEntry {
        operation,
        samples: 100,
        mean_ms,
        noise_pct: 0.5,
        quantiles: RunQuantiles::default(),
        origin: 0,
    }
}

/// Every first layer over a grid of widths and every later layer, at prices that follow the work with some unevenness.
fn probed() -> LatencyTable {
    let mut table = LatencyTable::new("probe");
    let mut insert = |operation, mean_ms| {
        table.insert(&context(), CANDIDATES, entry(operation, mean_ms)).unwrap();
    };
    for to in WIDTHS.into_iter().chain([1]) {
        for user in [8, 24, 48] {
            for item in [16, 40, 96] {
                let work = (user as f64 * 0.1 + item as f64) * to as f64;
                insert(
                    Operation::First { user, item, to },
                    0.1 + 1e-4 * work + 1e-3 * ((user + to) % 7) as f64,
                );
            }
        }
        for from in WIDTHS {
            let work = (from * to) as f64;
            insert(Operation::Layer { from, to }, 0.02 + 1e-4 * work + 1e-3 * ((from + 3 * to) % 11) as f64);
        }
    }
    table
}

/// Hidden widths of every network of up to two layers, and of all with three different ones.
fn networks() -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for a in WIDTHS {
        all.push(vec![a]);
        for b in WIDTHS {
            all.push(vec![a, b]);
            all.extend(WIDTHS.iter().filter(|&&c| a != b && b != c && a != c).map(|&c| vec![a, b, c]));
        }
    }
    all
}
