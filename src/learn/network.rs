//! A trained network as plain data, with a reference forward pass that uses no tensor library: what is exported is
//! proved against it.
//!
//! Every network reads features through embeddings; its [`Body`] says what is computed from them. What a body is made of
//! and how a row goes through it stands in a file of its own below this one.

mod dense;
mod forest;
mod input;
mod mlp;
mod partitioned;
mod shapes;
mod two_tower;

pub use dense::Dense;
pub use forest::{Branch, Forest, Node};
pub use input::{Embedding, NetworkInput};
pub use mlp::{Mlp, PlainOnly};
pub use partitioned::Partitioned;
pub use two_tower::TwoTower;

use crate::{
    base::{Error, Result},
    data::{dataset::Dataset, schema::Side},
};
use input::Reader;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Embeddings → a body → the probability of a click.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Features in schema order.
    pub inputs: Vec<NetworkInput>,
    /// What is computed from their embeddings.
    pub body: Body,
}

/// What a network computes from its embeddings: a logit, whose sigmoid is the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Concatenation in the order of the inputs → dense layers with ReLU between. At least one layer; the last has one output
    /// and no ReLU.
    Mlp(Vec<Dense>),
    /// A tower per side, and the product of their vectors.
    TwoTower(TwoTower),
    /// Layers that all rows share, and an MLP per partition.
    Partitioned(Partitioned),
    /// Trees over inputs that are each one wide: no layers, and of every input the one number that trees compare
    /// ([`NetworkInput::value`]).
    Forest(Forest),
}

impl Body {
    /// What messages call a network of that form.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "a plain network",
            Self::TwoTower(_) => "a two-tower network",
            Self::Partitioned(_) => "a network with a head per partition",
            Self::Forest(_) => "gradient boosted trees",
        }
    }

    /// All dense layers, in the order in which a file has them.
    pub fn layers(&self) -> Vec<&Dense> {
        match self {
            Self::Mlp(layers) => layers.iter().collect(),
            Self::TwoTower(towers) => towers.user.iter().chain(&towers.item).collect(),
            Self::Partitioned(parts) => parts.shared.iter().chain(parts.heads.iter().flatten()).collect(),
            Self::Forest(_) => Vec::new(),
        }
    }

    /// [`Body::layers`], to change them.
    pub fn layers_mut(&mut self) -> Vec<&mut Dense> {
        match self {
            Self::Mlp(layers) => layers.iter_mut().collect(),
            Self::TwoTower(towers) => towers.user.iter_mut().chain(&mut towers.item).collect(),
            Self::Partitioned(parts) => {
                parts.shared.iter_mut().chain(parts.heads.iter_mut().flatten()).collect()
            }
            Self::Forest(_) => Vec::new(),
        }
    }
}

impl Network {
    /// Width of the concatenated input.
    pub fn input_width(&self) -> usize {
        input::width(&self.inputs)
    }

    /// Trained numbers: embedding rows, weights and biases; thresholds and leaves of trees.
    pub fn parameters(&self) -> usize {
        // Trees take numbers as they are: no vector of theirs was learned.
        let as_it_is = |input: &NetworkInput| {
            matches!((&self.body, &input.embedding), (Body::Forest(_), Embedding::Number { .. }))
        };
        let embeddings: usize =
            self.inputs.iter().filter(|input| !as_it_is(input)).map(NetworkInput::parameters).sum();
        let layers: usize = self.body.layers().iter().map(|l| l.weight.len() + l.bias.len()).sum();
        let rest = match &self.body {
            Body::TwoTower(_) => TwoTower::FURTHER_PARAMETERS,
            Body::Mlp(_) | Body::Partitioned(_) => 0,
            Body::Forest(forest) => forest.parameters(),
        };
        embeddings + layers + rest
    }

    /// Multiply-adds of the dense layers for one candidate by itself: both towers and the product of their vectors; the
    /// shared layers and the head of the candidate's partition. Trees compare and add, and multiply nothing.
    pub fn multiply_adds(&self) -> usize {
        match &self.body {
            Body::Mlp(layers) => dense::multiply_adds(layers),
            Body::TwoTower(towers) => towers.multiply_adds(),
            Body::Partitioned(parts) => parts.multiply_adds(),
            Body::Forest(_) => 0,
        }
    }

    /// Names of the features on that side.
    pub fn features_of(&self, side: Side) -> Vec<&str> {
        let own = self.inputs.iter().filter(|input| input.side == side);
        own.map(|input| input.feature.as_str()).collect()
    }

    /// The network as layers one behind the other, for what only plain networks have.
    ///
    /// Fails for every other form.
    pub fn mlp(&self, purpose: PlainOnly) -> Result<Mlp<'_>> {
        match &self.body {
            Body::Mlp(layers) => Ok(Mlp { inputs: &self.inputs, layers }),
            other => {
                let (what, fix) = purpose.refusal();
                Err(Error::usage(format!("{what} is for plain networks, and this is {}", other.name()), fix))
            }
        }
    }

    /// What keeps the numbers from fitting their own shapes; whatever passes can be scored and exported.
    pub fn check(&self) -> Result<(), String> {
        shapes::check(self)
    }

    /// Scores of the given rows, in their order: the reference that exported graphs are compared with.
    ///
    /// Fails when the data set lacks a feature of the network.
    pub fn score(&self, data: &Dataset, rows: &[u32]) -> Result<Vec<f32>> {
        let reader = Reader::new(&self.inputs, data)?;
        let logit = |row: u32| {
            let embedded = || reader.embedded(row, |_| true);
            match &self.body {
                Body::Mlp(layers) => dense::forward(layers, &embedded())[0],
                Body::TwoTower(towers) => towers.logit(&self.inputs, &embedded()),
                Body::Partitioned(parts) => parts.logit(&embedded(), reader.id(row, parts.input)),
                Body::Forest(forest) => forest.log_odds(&reader.values(row)),
            }
        };
        Ok(rows.par_iter().map(|&row| sigmoid(logit(row))).collect())
    }
}

/// The probability of a logit.
fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests;
