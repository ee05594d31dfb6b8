//! A verb that several processes run together: rank 0 speaks, and an error of one ends all.

use super::style;
use crate::{
    base::progress::{Progress, Silent},
    learn::exchange::{self, Exchange},
};
use std::{thread, time::Duration};

/// Most errors are the same on all ranks: the others give rank 0 this long to say it and end the job.
const AFTER_RANK_0: Duration = Duration::from_secs(2);

/// Runs `verb` as one of the ranks that this process was started with. Only rank 0 gets `progress`.
pub fn together(
    progress: &dyn Progress,
    verb: impl FnOnce(&dyn Exchange, &dyn Progress) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ranks = exchange::join()?;
    let place = ranks.place();
    let progress = if ranks.leads() { progress } else { &Silent };
    if place.size > 1 {
        progress.say(&format!("{} ranks train together", place.size));
    }
    let result = verb(&*ranks, progress);
    if let (Err(error), true) = (&result, place.size > 1) {
        if !ranks.leads() {
            thread::sleep(AFTER_RANK_0);
        }
        style::say(&format!("error: rank {} of {}: {error:#}", place.rank, place.size));
        ranks.abort(i32::from(super::exit_status(error)));
    }
    result
}
