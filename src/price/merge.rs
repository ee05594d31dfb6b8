//! Joining tables: several hosts or engines in one file.

use super::{
    observation::Observation,
    table::{Bucket, LatencyTable, TableEntry},
};
use crate::base::Result;

/// Everything in any of `tables` (at least one), as the version after the newest of them.
///
/// Where two hold the same layer under the same circumstances, the value of more samples is kept, then the one of less
/// noise; of two observations of one network, the less noisy one. Buckets that came together from several tables are
/// corrected anew. The order of the tables changes nothing but that of the parents.
pub fn merge(tables: &[LatencyTable]) -> Result<LatencyTable> {
    let mut joined = LatencyTable::new(format!("merge of {} tables", tables.len()));
    joined.version = tables.iter().map(|table| table.version).max().unwrap_or(0) + 1;
    joined.parents = tables.iter().map(LatencyTable::id).collect();
    for bucket in tables.iter().flat_map(|table| &table.buckets) {
        let known = joined.bucket_or_new(&bucket.context, bucket.candidates);
        if known.entries.is_empty() && known.observations.is_empty() {
            *known = bucket.clone();
        } else if known != bucket {
            join(known, bucket);
            known.refit()?;
        }
    }
    Ok(joined)
}

fn join(known: &mut Bucket, other: &Bucket) {
    for entry in &other.entries {
        match known.entries.binary_search_by_key(&entry.operation, |e| e.operation) {
            Ok(at) if better(entry, &known.entries[at]) => known.entries[at] = *entry,
            Ok(_) => {}
            Err(at) => known.entries.insert(at, *entry),
        }
    }
    for observation in &other.observations {
        match known.observations.binary_search_by(|o| o.order(observation)) {
            Ok(at) => {
                let kept = &mut known.observations[at];
                let rank = |o: &Observation| (o.noise_pct, o.measured_ms);
                if rank(observation) < rank(kept) {
                    *kept = observation.clone();
                }
            }
            Err(at) => known.observations.insert(at, observation.clone()),
        }
    }
}

/// The last comparison only makes the choice independent of the order of the tables.
fn better(a: &TableEntry, b: &TableEntry) -> bool {
    let (more, less) = ((a.samples, b.samples), (a.noise_pct, b.noise_pct));
    more.0 > more.1 || (more.0 == more.1 && (less.0, a.mean_ms) < (less.1, b.mean_ms))
}
