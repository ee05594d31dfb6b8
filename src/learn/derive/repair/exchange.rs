//! Without a budget: features of a derived network are exchanged for others, one for one, so that their number stays what the rule
//! of `[derive]` makes it.
//!
//! θ says on average over masks what a feature is worth, and two that say the same thing both look weak; what counts is what the
//! network lacks that has the others. So the supernet judges the network without each of its features, and with each of the others;
//! the features that are missed least are tried in exchange for those that add most, and the exchange that raises the AUC most is
//! made where it does so by more than [`SURE`]·σ; until none does.

use super::{Judge, MOST_JUDGED, Repair, SURE, judged::Judged};
use crate::{
    base::{Result, progress::Progress},
    learn::price_term::Prices,
    space::{SearchSpace, Subnet},
};

/// Features that are tried in exchange for as many others.
const PAIRED: usize = 4;

/// Exchanges features of `derived` by what `judge` says, as long as `must_keep` and `never` of the schema allow it. Deterministic.
pub fn exchange_features(
    space: &SearchSpace,
    prices: &Prices,
    judge: &dyn Judge,
    derived: Subnet,
    progress: &dyn Progress,
) -> Result<(Subnet, Repair)> {
    progress.stage("exchange features of the derived network", 0);
    let mut judged = Judged::new(space, prices, judge, progress);
    let mut subnet = derived;
    while judged.count() < MOST_JUDGED
        && let Some(better) = best_exchange(space, &mut judged, &subnet)?
    {
        subnet = judged.change(&subnet, better)?;
    }
    let repair = judged.repair(&subnet, None)?;
    Ok((subnet, repair))
}

/// The network with one feature exchanged that has the highest AUC, if that surely is above what `subnet` has.
fn best_exchange(space: &SearchSpace, judged: &mut Judged, subnet: &Subnet) -> Result<Option<Subnet>> {
    let has = |feature: &usize| subnet.features.binary_search(feature).is_ok();
    let changeable = (0..space.features.len()).filter(|&i| match has(&i) {
        true => !space.features[i].must_keep,
        false => !space.features[i].never,
    });
    let (ours, others): (Vec<usize>, Vec<usize>) = changeable.partition(has);
    let least_missed = highest(ours, |feature| Ok(judged.of(&subnet.without(feature))?.auc()))?;
    let most_welcome = highest(others, |feature| Ok(judged.of(&subnet.with(feature))?.auc()))?;
    let mut best: Option<(f64, Subnet)> = None;
    for &dropped in &least_missed {
        for &added in &most_welcome {
            let exchanged = subnet.without(dropped).with(added);
            if !exchanged.features.iter().any(|&feature| space.of_item(feature)) {
                continue;
            }
            let gain = judged.gain(&exchanged, subnet)?;
            if gain.is_above(SURE) && best.as_ref().is_none_or(|(most, _)| gain.auc > *most) {
                best = Some((gain.auc, exchanged));
            }
        }
    }
    Ok(best.map(|(_, exchanged)| exchanged))
}

/// The features of which `auc` is highest, the best first.
fn highest(features: Vec<usize>, mut auc: impl FnMut(usize) -> Result<f64>) -> Result<Vec<usize>> {
    let mut rated: Vec<(f64, usize)> =
        features.into_iter().map(|feature| Ok((auc(feature)?, feature))).collect::<Result<_>>()?;
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    rated.truncate(PAIRED);
    Ok(rated.into_iter().map(|(_, feature)| feature).collect())
}
