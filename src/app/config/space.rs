//! `[space]`: the operators of every Mixop, written as widths and `"zero"`.

use crate::space::Operator;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What may be chosen beside the schema's features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpaceSettings {
    /// One list per hidden layer that a network may have, a Mixop: the widths to choose from, and `"zero"`, which leaves the layer out.
    #[serde(serialize_with = "write_mixops", deserialize_with = "read_mixops")]
    pub mixops: Vec<Vec<Operator>>,
}

impl Default for SpaceSettings {
    fn default() -> Self {
        let widths = [1024, 512, 256, 128, 64].map(Operator::Mlp);
        let mixop: Vec<_> = widths.into_iter().chain([Operator::Zero]).collect();
        Self { mixops: vec![mixop; 3] }
    }
}

/// An operator as the user writes it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenOperator {
    Width(usize),
    Word(String),
}

fn write_mixops<S: Serializer>(mixops: &[Vec<Operator>], serializer: S) -> Result<S::Ok, S::Error> {
    let written = |operator: &Operator| match operator {
        Operator::Mlp(width) => WrittenOperator::Width(*width),
        Operator::Zero => WrittenOperator::Word("zero".to_owned()),
    };
    let all: Vec<Vec<_>> = mixops.iter().map(|mixop| mixop.iter().map(written).collect()).collect();
    all.serialize(serializer)
}

fn read_mixops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<Operator>>, D::Error> {
    let operator = |written| match written {
        WrittenOperator::Width(width) => Ok(Operator::Mlp(width)),
        WrittenOperator::Word(word) if word == "zero" => Ok(Operator::Zero),
        WrittenOperator::Word(word) => {
            Err(D::Error::custom(format!("`{word}` is neither a width nor \"zero\"")))
        }
    };
    let all = Vec::<Vec<WrittenOperator>>::deserialize(deserializer)?;
    all.into_iter().map(|mixop| mixop.into_iter().map(operator).collect()).collect()
}
