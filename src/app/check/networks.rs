//! Which networks judge a table, and their ONNX files.

use super::{CheckRequest, Checked};
use crate::{
    base::{Error, Result, progress::Progress, rng},
    export::probe,
    measure::probe::{model_bytes, request_inputs},
    price::observation::Observation,
    space::{Subnet, design::stratified_subnets},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Why a network is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Drawn over depths, widths and numbers of features.
    Random,
    /// Found in a round of the run.
    Winner,
}

/// A network that a table is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChosenNetwork {
    /// Canonical id.
    pub network: String,
    /// Why it is here.
    pub choice: Choice,
    /// How many features it reads.
    pub features: usize,
    /// Widths of its hidden layers.
    pub layers: Vec<usize>,
}

/// The networks of a check.
pub(super) struct Chosen {
    pub(super) networks: Vec<ChosenNetwork>,
    subnets: Vec<Subnet>,
    /// Without a time yet.
    pub(super) observations: Vec<Observation>,
    /// Winners that the table has seen.
    pub(super) excluded: Vec<String>,
}

/// The winners that the table has not seen in any of `buckets`, and random networks up to the wanted number.
pub(super) fn choose(request: &CheckRequest, buckets: &[Checked]) -> Result<Chosen> {
    let CheckRequest { table, space, .. } = request;
    // Between two counts, what both neighbours have seen is in the price.
    let mut known = Vec::new();
    for Checked { context, candidates, .. } in buckets {
        known.extend(table.priced_from(context, *candidates)?);
    }
    let blank = |subnet: &Subnet| Observation::of(space, subnet, 1.0, 0.0);
    let seen = |subnet: &Subnet| {
        let observation = blank(subnet);
        known.iter().any(|bucket| bucket.knows(&observation))
    };
    let (excluded, mut subnets): (Vec<Subnet>, Vec<Subnet>) =
        request.winners.iter().cloned().partition(&seen);
    let winners = subnets.len();
    let alike =
        |a: &Subnet, b: &Subnet| a.layer_widths() == b.layer_widths() && a.input(space) == b.input(space);
    let taken = |subnet: &Subnet| seen(subnet) || request.winners.iter().any(|winner| alike(winner, subnet));
    let rest = request.networks.saturating_sub(winners);
    subnets.extend(stratified_subnets(space, rest, taken, rng::generator(request.seed, "table check")));
    if subnets.is_empty() {
        return Err(Error::usage(
            "there is no network that the table has not seen",
            "give a --networks above 0, or a space with more networks",
        ));
    }
    let describe = |(at, subnet): (usize, &Subnet)| ChosenNetwork {
        network: subnet.id(space),
        choice: if at < winners { Choice::Winner } else { Choice::Random },
        features: subnet.features.len(),
        layers: subnet.layer_widths(),
    };
    Ok(Chosen {
        networks: subnets.iter().enumerate().map(describe).collect(),
        observations: subnets.iter().map(blank).collect(),
        excluded: excluded.iter().map(|subnet| subnet.id(space)).collect(),
        subnets,
    })
}

impl Chosen {
    /// Says what is not as it was asked for.
    pub(super) fn describe(&self, wanted: usize, progress: &dyn Progress) {
        if !self.excluded.is_empty() {
            let names = self.excluded.join(", ");
            progress.say(&format!("left out, for the table has seen their shapes: {names}"));
        }
        let found = self.networks.len();
        if found < wanted {
            progress
                .say(&format!("the space has {found} networks that the table has not seen, not {wanted}"));
        }
    }

    /// Size of every network's weights, in bytes.
    pub(super) fn bytes(&self, request: &CheckRequest) -> Vec<usize> {
        let of = |subnet: &Subnet| {
            let input = subnet.input(request.space).widths.total().round() as usize;
            let widths = [&[input], &subnet.layer_widths()[..], &[1]].concat();
            model_bytes(request.space, &request.cardinalities, &subnet.features, &widths)
        };
        self.subnets.iter().map(of).collect()
    }

    /// Writes networks, by their numbers, with random weights into `folder`: latency does not depend on training.
    pub(super) fn export(
        &self,
        request: &CheckRequest,
        which: Range<usize>,
        folder: &Path,
    ) -> Result<Vec<(String, PathBuf)>> {
        let write = |at: usize| {
            let subnet = &self.subnets[at];
            let inputs = request_inputs(request.space, &request.cardinalities, &subnet.features);
            let name = subnet.id(request.space);
            let path = folder.join(format!("{at}.onnx"));
            probe::network(inputs, &subnet.layer_widths(), request.layout, request.precision, &name)?
                .write(&path)?;
            Ok((name, path))
        };
        which.map(write).collect()
    }
}
