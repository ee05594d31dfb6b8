//! Every system on the same rows, the same table and the same replay: trained, exported, scored and timed, once per seed and
//! budget, and set beside each other with the statistics that tell a difference from chance.
//!
//! [`compare`] reads as what is done. Systems are files in `systems`, which know nothing of measurements; `measured` makes one
//! [`Training`] of what a system built; `report` makes a [`Comparison`] of all that are stored, and so does [`render`]
//! without training anything.
//!
//! ```text
//! DIR/  config.toml, data.json, schema.json, encoders.json, environment.json, paths.json    as of a run of `iterate`
//!       tables/, replay/trace.parquet    what all systems are priced by, and what is replayed into them
//!       setup.json                       rows, engine and candidates, for reports
//!       trials/SYSTEM.json               settings that were tried on training rows, and the ones that were taken; guide.json
//!       seeds/N/guide/                   the teacher of the Nth seed; seeds/N/SYSTEM[-BUDGETms]/ what a system trained
//!       results/N/SYSTEM[-BUDGETms].json one training with all that was measured; guide.json: r(x) of the Nth seed
//!       scores/N/SYSTEM[-BUDGETms].bin   its scores of the validation rows; scores/labels.bin and scores/groups.bin beside
//!       compare.json, compare.md, compare.svg
//! ```

mod lists;
mod measured;
mod pace;
mod planned;
mod report;
mod result;
mod scene;
mod systems;
mod trials;

pub use planned::plan_compare;
pub(in crate::app) use report::CAPTION;
pub use report::{
    Against, Agreement, Comparison, Compute, OverSeeds, SoftTargets, SystemSummary, TimesSummary, render,
};
pub use result::{Fetched, Latency, Outcome, Setup, Times, Trained, Training, Trial, TrialLog};

use crate::{
    app::{
        config::Experiment,
        iterate::{Run, RunRequest},
    },
    base::{Error, Result},
    data::dataset::Split,
    space::Operator,
};
use scene::Stage;
use systems::system;

/// Version of `compare.json` and of the results beside it.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Trains and measures every system of `[compare]`, each seed and budget that is not stored in the run directory yet, and reports on
/// all that are.
///
/// Fails where this process is one of several ranks.
pub fn compare(request: RunRequest) -> Result<Comparison> {
    request.check_alone("a comparison trains")?;
    let root = Run::open(request)?;
    let trial_rows = checked(&root, request.experiment)?;
    root.begin()?;
    let stage = Stage::new(&root, request.experiment, trial_rows)?;
    let mut pace = stage.pace()?;
    let chosen = stage.tune(&mut pace)?;
    stage.train_all(&chosen, &mut pace)?;
    render(request.out)
}

/// Tries what would fail late, and divides the training rows for trials.
fn checked(root: &Run, experiment: &Experiment) -> Result<Split> {
    check_widths(root)?;
    check_judging(root)?;
    check_forms(root)?;
    trials::rows(root, experiment)
}

/// Under a budget networks are judged on training rows that the teacher never saw.
fn check_judging(root: &Run) -> Result<()> {
    if root.settings.search.held_out > 0.0 {
        return Ok(());
    }
    Err(Error::usage(
        "`search.held_out` is 0, and searches under a budget judge networks on training rows that are held out",
        "give a share such as 0.1",
    ))
}

/// Networks of other forms than the space's have fewer layouts, and ask more of the schema.
fn check_forms(root: &Run) -> Result<()> {
    let named = root.settings.compare.systems.iter();
    named
        .filter_map(|&name| system(name).other(root.settings))
        .try_for_each(|other| root.check_system(&other))
}

/// Hand-chosen layers are priced by the table, which has the widths of the space.
fn check_widths(root: &Run) -> Result<()> {
    let widths = &root.settings.compare.widths;
    let mixops = &root.space.mixops;
    let offered = |(depth, &width): (usize, &usize)| {
        mixops.get(depth).is_some_and(|mixop| mixop.contains(&Operator::Mlp(width)))
    };
    if widths.iter().enumerate().all(offered) {
        return Ok(());
    }
    Err(Error::usage(
        format!(
            "`compare.widths`: {widths:?} are not all among the widths of the Mixops at their depths, so they have no price"
        ),
        "choose widths of [space] mixops, or add them there",
    ))
}
