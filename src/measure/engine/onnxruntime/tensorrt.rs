//! What TensorRT is told of the shapes to come: it builds an engine for a range of shapes, and builds again, for seconds, when
//! a request leaves it. The range is that of the candidate counts known beforehand.

use crate::{
    export::signature::{Rows, Signature},
    measure::engine::CandidateCounts,
};

/// Shapes of the inputs with a row per candidate, as the provider's options take them: `name:rows x columns,…`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// At the fewest candidates.
    pub(super) min: String,
    /// At the count that kernels are chosen for, that of the middle request.
    pub(super) opt: String,
    /// At the most candidates.
    pub(super) max: String,
}

/// The profile of a graph; none where no count is known.
pub(super) fn profile(signature: &Signature, counts: &CandidateCounts) -> Option<Profile> {
    let (fewest, most) = counts.range()?;
    let shapes = |candidates: usize| {
        let inputs = signature.tensors.iter().filter(|tensor| tensor.rows == Rows::Candidates);
        let shapes = inputs.map(|tensor| format!("{}:{candidates}x{}", tensor.name, tensor.columns()));
        shapes.collect::<Vec<_>>().join(",")
    };
    Some(Profile { min: shapes(fewest), opt: shapes(counts.median), max: shapes(most) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::Layout,
        export::signature::{Content, ElementType, Field, TensorSpec},
    };

    #[test]
    fn the_profile_spans_the_counts_and_names_the_inputs_that_follow_them() {
        let tensor = |name: &str, rows, columns| TensorSpec {
            name: name.into(),
            rows,
            element: ElementType::I64,
            content: Content::Values,
            fields: vec![Field { feature: "f".into(), columns, cardinality: 9 }],
        };
        let signature = Signature {
            layout: Layout::UserOnce,
            tensors: vec![
                tensor("user_ids", Rows::One, 4),
                tensor("item_ids", Rows::Candidates, 5),
                tensor("item_num", Rows::Candidates, 2),
            ],
        };
        let found = profile(&signature, &CandidateCounts::of([100, 300, 300, 1000])).unwrap();
        assert_eq!(found.min, "item_ids:100x5,item_num:100x2");
        assert_eq!(found.opt, "item_ids:300x5,item_num:300x2");
        assert_eq!(found.max, "item_ids:1000x5,item_num:1000x2");
        assert_eq!(profile(&signature, &CandidateCounts::UNKNOWN), None);
    }
}
