//! The request that travels with a package, scored by the very session that is timed afterwards: a time counts only for
//! a session that computes what the model was exported to compute.
//!
//! Engines make another plan per candidate count, so the request is repeated or cut to the count that the session was
//! made for: the plan that is compared is the one that is timed.

use super::engine::{InputTensor, Inputs, Session, TensorData};
use crate::{
    base::{Error, Result, error::Place},
    export::{
        companions::{TEST_VECTORS, TestTensor, TestValues, TestVectors},
        signature::{ElementType, Rows, Signature, TensorSpec},
    },
};
use half::f16;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How far a session was from the scores of its package.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputCheck {
    /// Candidates of the request that was scored.
    pub candidates: usize,
    /// The limit that every difference kept.
    pub tolerance: f64,
    /// The largest |Δscore| of all sessions and plans of a pass.
    pub max_abs_difference: f64,
}

/// A request and its scores, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    inputs: Inputs,
    scores: Vec<f32>,
    tolerance: f64,
}

impl Vectors {
    /// The vectors of the package of `model`, for a session of that candidate count (as many as there are without one).
    /// None when the package has none.
    pub fn of(model: &Path, signature: &Signature, candidates: Option<usize>) -> Result<Option<Self>> {
        match TestVectors::beside(model)? {
            Some(vectors) if !vectors.scores.is_empty() => {
                Self::new(&vectors, signature, candidates).map(Some).map_err(|problem| {
                    let fix = "export the model again with `autofas-bench export`";
                    Error::input(model.with_file_name(TEST_VECTORS), Place::whole(), problem, fix)
                })
            }
            _ => Ok(None),
        }
    }

    fn new(vectors: &TestVectors, signature: &Signature, candidates: Option<usize>) -> Result<Self, String> {
        let known = vectors.scores.len();
        let wanted = candidates.unwrap_or(known);
        let names = vectors.inputs.iter().map(|tensor| &tensor.name);
        if !names.eq(signature.tensors.iter().map(|spec| &spec.name)) {
            return Err("its inputs are not those of the model".to_owned());
        }
        let tensors = vectors.inputs.iter().zip(&signature.tensors);
        let tensors =
            tensors.map(|(tensor, spec)| input(tensor, spec, known, wanted)).collect::<Result<_, _>>()?;
        let scores = vectors.scores.iter().copied().cycle().take(wanted).collect();
        let inputs = Inputs { candidates: wanted, tensors };
        Ok(Self { inputs, scores, tolerance: vectors.tolerance })
    }

    /// How far the package's own engine may be from its scores.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// The request.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Scores the request with a session. A score that is farther than `tolerance` from the package's is an
    /// [`Error::Limit`]; `engine` is named in it.
    pub fn compare(&self, engine: &str, session: &mut dyn Session, tolerance: f64) -> Result<OutputCheck> {
        let (mut found, mut largest) = (Vec::new(), 0.0f64);
        session.run(&self.inputs, &mut found)?;
        let limit = format!("agreement of {engine} with {TEST_VECTORS} within {tolerance:e}");
        if found.len() != self.scores.len() {
            let found = format!("{} scores for {} candidates", found.len(), self.scores.len());
            return Err(Error::Limit { limit, found });
        }
        for (candidate, (&score, &expected)) in found.iter().zip(&self.scores).enumerate() {
            let difference = (f64::from(score) - f64::from(expected)).abs();
            if difference.is_nan() || difference > tolerance {
                let found = format!(
                    "candidate {candidate} scores {score} where the package says {expected}; nothing was timed: \
                     export the model again, or use another provider or engine"
                );
                return Err(Error::Limit { limit, found });
            }
            largest = largest.max(difference);
        }
        Ok(OutputCheck { candidates: self.scores.len(), tolerance, max_abs_difference: largest })
    }
}

/// A tensor of the test request with `wanted` instead of `known` candidates. Ids that the model's tables do not hold are
/// refused, because an engine may panic on them.
fn input(tensor: &TestTensor, spec: &TensorSpec, known: usize, wanted: usize) -> Result<InputTensor, String> {
    let (name, columns) = (&tensor.name, spec.columns());
    let (from, to) = match spec.rows {
        Rows::One => (1, 1),
        Rows::Candidates => (known, wanted),
    };
    let data = match (&tensor.values, spec.element) {
        (TestValues::Ids(ids), ElementType::I64) if ids.len() == from * columns => {
            let bounds =
                spec.fields.iter().flat_map(|f| std::iter::repeat_n(i64::from(f.cardinality), f.columns));
            let mut places = ids.iter().zip(bounds.cycle());
            if let Some((id, bound)) = places.find(|(id, bound)| **id < 0 || *id >= bound) {
                return Err(format!("`{name}` holds the id {id}, and the model's table ends at {bound}"));
            }
            TensorData::I64(ids.iter().copied().cycle().take(to * columns).collect())
        }
        (TestValues::Numbers(numbers), ElementType::F32) if numbers.len() == from * columns => {
            TensorData::F32(numbers.iter().copied().cycle().take(to * columns).collect())
        }
        (TestValues::Numbers(numbers), ElementType::F16) if numbers.len() == from * columns => {
            TensorData::F16(numbers.iter().map(|&x| f16::from_f32(x)).cycle().take(to * columns).collect())
        }
        (TestValues::Ids(steps), ElementType::I8) if steps.len() == from * columns => {
            TensorData::I8(steps.iter().map(|&step| step as i8).cycle().take(to * columns).collect())
        }
        _ => return Err(format!("`{name}` does not hold {from} × {columns} values of its type")),
    };
    Ok(InputTensor { name: name.clone(), shape: [to, columns], data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::Layout,
        export::signature::{Content, Field},
    };

    fn signature() -> Signature {
        let field = |feature: &str, cardinality| Field { feature: feature.into(), columns: 1, cardinality };
        let tensor = |name: &str, rows, element, fields| TensorSpec {
            name: name.into(),
            rows,
            element,
            content: Content::Values,
            fields,
        };
        Signature {
            layout: Layout::UserOnce,
            tensors: vec![
                tensor("user_ids", Rows::One, ElementType::I64, vec![field("u", 9)]),
                tensor("item_num", Rows::Candidates, ElementType::F32, vec![field("x", 0), field("y", 0)]),
            ],
        }
    }

    /// Candidate c scores its first number; its second one is missing in every other row.
    fn vectors() -> TestVectors {
        let tensor = |name: &str, shape, values| TestTensor { name: name.to_owned(), shape, values };
        TestVectors {
            inputs: vec![
                tensor("user_ids", [1, 1], TestValues::Ids(vec![7])),
                tensor("item_num", [3, 2], TestValues::Numbers(vec![0.1, 1.0, 0.2, f32::NAN, 0.3, 2.0])),
            ],
            scores: vec![0.1, 0.2, 0.3],
            tolerance: 1e-5,
        }
    }

    /// Scores the first of two numbers per candidate, off by `off`.
    struct First {
        off: f32,
    }

    impl Session for First {
        fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
            let TensorData::F32(numbers) = &inputs.tensors[1].data else { panic!("numbers expected") };
            assert_eq!(inputs.tensors[1].shape, [inputs.candidates, 2]);
            scores.clear();
            scores.extend(numbers.chunks(2).map(|row| row[0] + self.off));
            Ok(())
        }
    }

    fn compare(off: f32, candidates: Option<usize>) -> Result<OutputCheck> {
        let vectors = Vectors::new(&vectors(), &signature(), candidates).unwrap();
        vectors.compare("engine 1", &mut First { off }, 1e-5)
    }

    #[test]
    fn the_request_is_repeated_or_cut_to_the_sessions_candidate_count() {
        for (candidates, expected) in [(None, 3), (Some(2), 2), (Some(8), 8)] {
            assert_eq!(compare(0.0, candidates).unwrap().candidates, expected);
        }
    }

    #[test]
    fn a_session_beyond_the_tolerance_is_a_limit_that_names_the_candidate() {
        assert!((compare(5e-6, None).unwrap().max_abs_difference - 5e-6).abs() < 1e-7);
        for off in [2e-5, -2e-5, f32::NAN] {
            let error = compare(off, None).unwrap_err();
            assert!(matches!(error, Error::Limit { .. }));
            assert!(
                error.to_string().contains("candidate 0") && error.to_string().contains("engine 1"),
                "{error}"
            );
        }
    }

    #[test]
    fn vectors_read_back_from_a_package_with_their_missing_numbers_and_their_absence_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        assert_eq!(Vectors::of(&model, &signature(), None).unwrap(), None);
        let file = model.with_file_name(TEST_VECTORS);
        let write = |vectors: &TestVectors| {
            let content = crate::export::companions::Versioned { schema_version: 1, content: vectors };
            crate::base::fsio::write_json(&file, &content).unwrap();
        };
        write(&vectors());
        let read = Vectors::of(&model, &signature(), None).unwrap().unwrap();
        let TensorData::F32(numbers) = &read.inputs.tensors[1].data else { panic!("numbers expected") };
        assert!(numbers[3].is_nan() && numbers[..3] == [0.1, 1.0, 0.2]);
        write(&TestVectors { inputs: vec![], scores: vec![], tolerance: 1e-5 });
        assert_eq!(Vectors::of(&model, &signature(), None).unwrap(), None);
    }

    #[test]
    fn vectors_of_another_model_and_ids_beyond_its_tables_are_refused() {
        let refused = |change: fn(&mut TestVectors)| {
            let mut vectors = vectors();
            change(&mut vectors);
            Vectors::new(&vectors, &signature(), None).unwrap_err()
        };
        assert!(refused(|v| v.inputs[0].name = "ids".into()).contains("not those of the model"));
        assert!(refused(|v| v.inputs[0].values = TestValues::Ids(vec![9])).contains("ends at 9"));
        assert!(refused(|v| v.scores.push(0.5)).contains("4 × 2"));
    }
}
