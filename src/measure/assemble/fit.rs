//! Whether the features that a graph reads are in the data, the schema and the tables beside the model, in the same form.

use super::What;
use crate::{
    base::{Error, Result},
    data::{
        dataset::{EncodedFeature, Slot},
        schema::Schema,
    },
    export::signature::{ElementType, Field},
    learn::network::Embedding,
    measure::{lookup::Lookups, store::Owner},
};
use std::collections::HashMap;

/// The table of a feature whose vectors come in, found to fit the data.
pub(super) fn vector(field: &Field, feature: Option<&EncodedFeature>, lookups: &Lookups) -> Result<What> {
    let table = lookups.embeddings.get(&field.feature).ok_or_else(|| unfilled(&field.feature))?;
    // As the graph would take it if the table were inside.
    let columns = match table.embedding {
        Embedding::Pooled { length, .. } => length,
        _ => 1,
    };
    start(&Field { columns, ..field.clone() }, ElementType::I64, feature)?;
    match feature {
        Some(feature) if table.width == field.columns => Ok(What::Vector(feature.slot, table.clone())),
        _ => Err(unfilled(&field.feature)),
    }
}

pub(super) fn unfilled(what: &str) -> Error {
    Error::usage(
        format!("the model looks `{what}` up in a table that is not beside it, or that is another one's"),
        "export the model again with `autofas-bench export`, and keep its files together",
    )
}

pub(super) fn not_fetched(feature: &str) -> Error {
    Error::usage(
        format!("the model takes vectors of `{feature}`, and the store has its ids"),
        "replay it without --store, or a model that was exported with --embeddings inside",
    )
}

/// Whose a field is, by the schema.
pub(super) fn owners(schema: &Schema) -> impl Fn(&Field) -> Result<Owner> {
    let kinds: HashMap<_, _> = schema.features.iter().map(|f| (f.name.as_str(), f.kind)).collect();
    move |field| match kinds.get(field.feature.as_str()) {
        Some(&kind) => Ok(kind.into()),
        None => Err(Error::usage(
            format!("the schema has no feature `{}`, which the model reads", field.feature),
            "use the schema that the model was exported with",
        )),
    }
}

/// First column of a field in the data's rows, once type, length and cardinality are found to fit.
pub(super) fn start(field: &Field, element: ElementType, feature: Option<&EncodedFeature>) -> Result<usize> {
    let wrong = |problem: String| {
        Err(Error::usage(
            problem,
            "encode the data with the schema and encoders that the model was exported with",
        ))
    };
    let name = &field.feature;
    let Some(feature) = feature else {
        return wrong(format!("the data has no feature `{name}`, which the model reads"));
    };
    match (feature.slot, element) {
        (Slot::Ids { length, .. }, ElementType::I64) if length != field.columns => {
            wrong(format!("`{name}` has {length} ids per row, and the model takes {}", field.columns))
        }
        (Slot::Ids { .. }, ElementType::I64) if feature.cardinality > field.cardinality => wrong(format!(
            "`{name}` has ids up to {}, and the model's table ends at {}",
            feature.cardinality, field.cardinality
        )),
        (Slot::Ids { start, .. }, ElementType::I64) => Ok(start),
        (Slot::Number { index }, ElementType::F32) => Ok(index),
        _ => wrong(format!("`{name}` is encoded in another way than the model expects")),
    }
}
