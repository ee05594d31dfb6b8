//! Two towers: the user's features and the candidate's never meet before the last product, so that either side's vector can be
//! computed without the other.
//!
//! score = σ(⟨user(x_u), item(x_v)⟩ + b), with x_u the embeddings of user and context, and x_v those of item and interactive
//! features (Huang et al., "Learning Deep Structured Semantic Models", CIKM 2013; Covington et al., RecSys 2016).

use super::{Dense, NetworkInput, dense};
use crate::data::schema::Side;
use serde::{Deserialize, Serialize};

/// The towers of a network. Which features a tower reads is said by their sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwoTower {
    /// From the embeddings of the user's side, in the order of the inputs, to a vector: at least one layer, ReLU between.
    pub user: Vec<Dense>,
    /// The same for the item's side, to a vector of the same width.
    pub item: Vec<Dense>,
    /// What is added to the product of the vectors.
    pub bias: f32,
}

impl TwoTower {
    /// The bias: what is trained beside embeddings and layers.
    pub(super) const FURTHER_PARAMETERS: usize = 1;

    /// The layers of that side's tower.
    pub fn tower(&self, side: Side) -> &[Dense] {
        match side {
            Side::User => &self.user,
            Side::Item => &self.item,
        }
    }

    /// Width of the two vectors.
    pub fn vector(&self) -> usize {
        self.item.last().map_or(0, |layer| layer.outputs)
    }

    pub(super) fn multiply_adds(&self) -> usize {
        dense::multiply_adds(&self.user) + dense::multiply_adds(&self.item) + self.vector()
    }

    /// Of the concatenated embeddings of one row.
    pub(super) fn logit(&self, inputs: &[NetworkInput], embedded: &[f32]) -> f32 {
        let vector = |side| {
            let (mut own, mut rest) = (Vec::with_capacity(embedded.len()), embedded);
            for input in inputs {
                let (columns, behind) = rest.split_at(input.width);
                rest = behind;
                if input.side == side {
                    own.extend_from_slice(columns);
                }
            }
            dense::forward(self.tower(side), &own)
        };
        let (user, item) = (vector(Side::User), vector(Side::Item));
        user.iter().zip(item).map(|(u, v)| u * v).sum::<f32>() + self.bias
    }
}
