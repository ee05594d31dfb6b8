//! Joining tables: several hosts or engines in one file.

use super::{
    entry::order_inputs,
    observation::Observation,
    table::{Bucket, InputEntry, LatencyTable, TableEntry, put},
};
use crate::base::Result;
use std::cmp::{Ordering, Reverse};

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
    other.grid.iter().for_each(|&input| put(&mut known.grid, input, order_inputs));
    for entry in &other.inputs {
        let rank = |e: &InputEntry| (Reverse(e.samples), e.noise_pct, e.mean_ms);
        keep_better(&mut known.inputs, entry, InputEntry::order, rank);
    }
    let rank = |o: &Observation| (o.noise_pct, o.measured_ms);
    for observation in &other.observations {
        keep_better(&mut known.observations, observation, Observation::order, rank);
    }
    for observation in &other.held_out {
        keep_better(&mut known.held_out, observation, Observation::order, rank);
    }
    // What one table learnt from cannot judge the joined one.
    let learnt = &known.observations;
    known.held_out.retain(|o| learnt.binary_search_by(|fitted| fitted.order(o)).is_err());
}

/// Puts `item` into a sorted list, where one of the same place stays if it ranks before.
fn keep_better<T: Clone, R: PartialOrd>(
    list: &mut Vec<T>,
    item: &T,
    order: impl Fn(&T, &T) -> Ordering,
    rank: impl Fn(&T) -> R,
) {
    match list.binary_search_by(|known| order(known, item)) {
        Ok(at) if rank(item) < rank(&list[at]) => list[at] = item.clone(),
        Ok(_) => {}
        Err(at) => list.insert(at, item.clone()),
    }
}

/// The last comparison only makes the choice independent of the order of the tables.
fn better(a: &TableEntry, b: &TableEntry) -> bool {
    let (more, less) = ((a.samples, b.samples), (a.noise_pct, b.noise_pct));
    more.0 > more.1 || (more.0 == more.1 && (less.0, a.mean_ms) < (less.1, b.mean_ms))
}
