//! `table show`.

use super::output::{self, Format};
use crate::price::table::{Bucket, LatencyTable, Operation};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TableVerb {
    /// Print a latency table: what was probed, and what whole networks taught about it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench table show runs/mine/tables/v2.json")]
pub struct ShowArgs {
    /// The table
    table: PathBuf,
}

impl TableVerb {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let Self::Show(args) = self;
        output::print(format, &LatencyTable::load(&args.table)?, describe)
    }
}

fn describe(table: &LatencyTable) -> String {
    let mut text = format!("table {}, made from {}\n", table.id(), table.created_from);
    for parent in &table.parents {
        text += &format!("derived from {parent}\n");
    }
    for bucket in &table.buckets {
        text += &format!("\n{} at {} candidates\n", bucket.context, bucket.candidates);
        if let Some(correction) = &bucket.correction {
            text += &format!(
                "corrected by {} networks: {:.4} ms for every network, first layers × {:.3}, inner × {:.3}, output × {:.3}\n",
                bucket.observations.len(),
                correction.fixed_ms,
                correction.first,
                correction.inner,
                correction.output
            );
        }
        text += &entries(bucket);
        text.push('\n');
    }
    text
}

fn entries(bucket: &Bucket) -> String {
    let rows = bucket.entries.iter().map(|entry| {
        let layer = match entry.operation {
            Operation::First { user, item, to } => format!("first {user}+{item} -> {to}"),
            Operation::Layer { from, to } => format!("{from} -> {to}"),
        };
        vec![
            layer,
            format!("{:.4}", entry.mean_ms),
            format!("{:.1}", entry.noise_pct),
            entry.samples.to_string(),
        ]
    });
    output::table(&["layer", "probed ms", "noise %", "runs"], &rows.collect::<Vec<_>>())
}
