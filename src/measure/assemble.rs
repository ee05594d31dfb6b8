//! From encoded rows to the input tensors of a graph.
//!
//! A request has one user and n candidates. User and context values come from one row of the data, item values from one
//! row per candidate, and interactive values from the row of that very pair, when the log has one; otherwise they take
//! the declared default, "missing" (id 0, NaN). A plan of copies is made once; filling reuses the buffers.
//!
//! Where a feature store takes part, the features that it holds come from its rows instead ([`stored`]), and filling copies the
//! others: what the request itself carries.

pub mod stored;

use super::{
    engine::{InputTensor, Inputs, TensorData},
    store::{Manifest, Owner},
};
use crate::{
    base::{Error, Result},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        schema::Schema,
    },
    export::signature::{ElementType, Field, Rows, Signature},
};
use bytemuck::{Pod, Zeroable};
use std::{collections::HashMap, ops::Range};

/// Where the values of one candidate come from: eight plain bytes, so that those of a long trace can lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Candidate {
    item: u32,
    interactive: u32,
}

impl Candidate {
    /// No data set has so many rows that this is one of them.
    const NEVER: u32 = u32::MAX;

    /// The row with the item's values, and the one with the values of the pair of user and item; `None` when the log never saw it.
    pub fn new(item: u32, interactive: Option<u32>) -> Self {
        Self { item, interactive: interactive.unwrap_or(Self::NEVER) }
    }

    /// An impression of the log: all values are in its row.
    pub fn of_row(row: u32) -> Self {
        Self::new(row, Some(row))
    }

    /// Row with the item's values.
    pub fn item(self) -> u32 {
        self.item
    }

    fn interactive(self) -> Option<u32> {
        (self.interactive != Self::NEVER).then_some(self.interactive)
    }
}

/// Neighbouring columns that are neighbours in the data as well.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Which row of a request the values come from.
    owner: Owner,
    /// First of the tensor's columns.
    column: usize,
    /// First of the row's ids or numbers.
    from: usize,
    length: usize,
}

#[derive(Debug, Clone)]
struct TensorPlan {
    name: String,
    rows: Rows,
    element: ElementType,
    columns: usize,
    runs: Vec<Run>,
}

/// The plan of copies from one data set's rows, and from a store's, to one graph's inputs.
#[derive(Debug, Clone)]
pub struct Assembler {
    tensors: Vec<TensorPlan>,
    /// What is not in `tensors`, because a store has it.
    stored: Vec<stored::GroupPlan>,
}

impl Assembler {
    /// Plans requests: the schema tells which values belong to the user, the item and the pair.
    ///
    /// Fails when the data lacks a feature of the signature, or holds ids beyond the graph's tables.
    pub fn new(signature: &Signature, data: &Dataset, schema: &Schema) -> Result<Self> {
        Self::plan(signature, data, owners(schema), |_| Ok(None))
    }

    /// Plans requests whose stored features come from a store: [`Assembler::fill`] leaves their columns alone, and a
    /// [`stored::Scatter`] writes them.
    ///
    /// Fails as [`Assembler::new`] does, and when the store lacks a stored feature of the signature or has it in another form.
    pub fn fetching(
        signature: &Signature,
        data: &Dataset,
        schema: &Schema,
        manifest: &Manifest,
    ) -> Result<Self> {
        Self::plan(signature, data, owners(schema), stored::finder(schema, manifest))
    }

    /// Plans batches of logged rows that are scored as they are: [`Assembler::fill`] then takes a tensor with one row
    /// from the user's row, and everything else from the candidates' own rows.
    pub fn by_row(signature: &Signature, data: &Dataset) -> Result<Self> {
        Self::plan(signature, data, |_| Ok(Owner::Item), |_| Ok(None))
    }

    fn plan(
        signature: &Signature,
        data: &Dataset,
        owner: impl Fn(&Field) -> Result<Owner>,
        find: impl Fn(&Field) -> Result<Option<stored::Found>>,
    ) -> Result<Self> {
        let features: HashMap<_, _> = data.features.iter().map(|f| (f.name.as_str(), f)).collect();
        let (mut tensors, mut stored) = (Vec::new(), Vec::new());
        for (place, spec) in signature.tensors.iter().enumerate() {
            let (mut runs, mut column): (Vec<Run>, _) = (Vec::new(), 0);
            for field in &spec.fields {
                let from = start(field, spec.element, features.get(field.feature.as_str()).copied())?;
                match find(field)? {
                    Some(found) => stored::add(&mut stored, found, place, column, field),
                    None => {
                        let owner = match spec.rows {
                            Rows::One => Owner::User,
                            Rows::Candidates => owner(field)?,
                        };
                        add(&mut runs, Run { owner, column, from, length: field.columns });
                    }
                }
                column += field.columns;
            }
            let (name, rows, element) = (spec.name.clone(), spec.rows, spec.element);
            tensors.push(TensorPlan { name, rows, element, columns: column, runs });
        }
        Ok(Self { tensors, stored })
    }

    /// Empty buffers for [`Assembler::fill`].
    pub fn inputs(&self) -> Inputs {
        let tensor = |plan: &TensorPlan| InputTensor {
            name: plan.name.clone(),
            shape: [0, plan.columns],
            data: match plan.element {
                ElementType::I64 => TensorData::I64(Vec::new()),
                ElementType::F32 => TensorData::F32(Vec::new()),
            },
        };
        Inputs { candidates: 0, tensors: self.tensors.iter().map(tensor).collect() }
    }

    /// Assembles one request into `inputs`, which came from [`Assembler::inputs`]. `data` is the data set of the plan.
    pub fn fill(&self, data: &Dataset, user_row: u32, candidates: &[Candidate], inputs: &mut Inputs) {
        inputs.candidates = candidates.len();
        for (plan, tensor) in self.tensors.iter().zip(&mut inputs.tensors) {
            let rows = match plan.rows {
                Rows::One => 1,
                Rows::Candidates => candidates.len(),
            };
            tensor.shape[0] = rows;
            match &mut tensor.data {
                TensorData::I64(ids) => {
                    ids.resize(rows * plan.columns, 0);
                    let copy = |to: &mut [i64], row, part| {
                        to.iter_mut().zip(data.ids.of(row, part)).for_each(|(to, id)| *to = i64::from(id));
                    };
                    plan.copy(user_row, candidates, copy, 0, ids);
                }
                TensorData::F32(numbers) => {
                    numbers.resize(rows * plan.columns, 0.0);
                    let copy = |to: &mut [f32], row, part: Range<usize>| {
                        to.copy_from_slice(&data.numbers_of(row)[part]);
                    };
                    plan.copy(user_row, candidates, copy, f32::NAN, numbers);
                }
            }
        }
    }

    /// Positions in `rows`, in batches that [`Assembler::fill`] can take with any of their rows as the user's: rows with
    /// equal values in the tensors that have one row, in the order of their first appearance.
    pub fn batches(&self, data: &Dataset, rows: &[u32]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        for (position, &row) in rows.iter().enumerate() {
            let batch = *known.entry(self.user_values(data, row as usize)).or_insert_with(|| {
                batches.push(Vec::new());
                batches.len() - 1
            });
            batches[batch].push(position);
        }
        batches
    }

    fn user_values(&self, data: &Dataset, row: usize) -> Vec<u32> {
        let mut values = Vec::new();
        for plan in self.tensors.iter().filter(|plan| plan.rows == Rows::One) {
            for run in &plan.runs {
                let range = run.from..run.from + run.length;
                match plan.element {
                    ElementType::I64 => values.extend(data.ids.of(row, range)),
                    ElementType::F32 => {
                        values.extend(data.numbers_of(row)[range].iter().map(|x| x.to_bits()))
                    }
                }
            }
        }
        values
    }
}

impl TensorPlan {
    /// `copy` copies a part of a row of the data.
    fn copy<U: Copy>(
        &self,
        user_row: u32,
        candidates: &[Candidate],
        copy: impl Fn(&mut [U], usize, Range<usize>),
        missing: U,
        out: &mut [U],
    ) {
        let copy = |source: Option<u32>, run: &Run, row: &mut [U]| {
            let to = &mut row[run.column..run.column + run.length];
            match source {
                Some(row) => copy(to, row as usize, run.from..run.from + run.length),
                None => to.fill(missing),
            }
        };
        match self.rows {
            Rows::One => self.runs.iter().for_each(|run| copy(Some(user_row), run, out)),
            // Nothing to copy, and perhaps no column.
            Rows::Candidates if self.runs.is_empty() => {}
            Rows::Candidates => {
                for (candidate, row) in candidates.iter().zip(out.chunks_exact_mut(self.columns)) {
                    for run in &self.runs {
                        let source = match run.owner {
                            Owner::User => Some(user_row),
                            Owner::Item => Some(candidate.item),
                            Owner::Pair => candidate.interactive(),
                        };
                        copy(source, run, row);
                    }
                }
            }
        }
    }
}

/// Adds columns to a plan, as a part of the run before them where they are neighbours in the data as well.
fn add(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last)
            if last.owner == run.owner
                && last.column + last.length == run.column
                && last.from + last.length == run.from =>
        {
            last.length += run.length;
        }
        _ => runs.push(run),
    }
}

/// Whose a field is, by the schema.
fn owners(schema: &Schema) -> impl Fn(&Field) -> Result<Owner> {
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
fn start(field: &Field, element: ElementType, feature: Option<&EncodedFeature>) -> Result<usize> {
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

#[cfg(test)]
mod tests;
