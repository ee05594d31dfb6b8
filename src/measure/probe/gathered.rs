//! What first layers and networks gather from, as a table states it: two tables go together only where it is the same.

use super::{ProbePlan, Subject};
use crate::{
    base::hash,
    price::origin::Gathered,
    space::{Group, SearchSpace},
};
use std::collections::BTreeSet;

impl ProbePlan {
    /// What the plan's first layers gather from.
    pub fn gathered(&self) -> Gathered {
        let grid = |subject: &Subject| match subject {
            Subject::Grid { features, .. } => {
                Some(serde_json::to_string(&self.input(features)).expect("plain data"))
            }
            _ => None,
        };
        let points: BTreeSet<String> = self.subjects.iter().filter_map(grid).collect();
        let points: Vec<String> = points.into_iter().collect();
        Gathered {
            features: features_hash(&self.space, &self.cardinalities),
            grid: hash::sha256(points.join("\n").as_bytes()),
        }
    }
}

/// Hash of what any first layer over the space's features gathers from: every feature's name, form, width and rows, whose
/// number is as the encoders say. Standardised numbers have no table, whatever `cardinalities` holds for them.
pub fn features_hash(space: &SearchSpace, cardinalities: &[usize]) -> String {
    let words = space.features.iter().zip(cardinalities).map(|(feature, rows)| {
        let (name, width) = (&feature.name, feature.width);
        match Group::of(feature) {
            Group::Numbers => format!("{name} {width} number\n"),
            Group::Sequences { length, .. } => format!("{name} {width} lists of {length} of {rows}\n"),
            Group::Ids { .. } => format!("{name} {width} ids of {rows}\n"),
        }
    });
    hash::sha256(words.collect::<String>().as_bytes())
}
