//! From encoded rows to the input tensors of a graph.
//!
//! A request has one user and n candidates. User and context values come from one row of the data, item values from one
//! row per candidate, and interactive values from the row of that very pair, when the log has one; otherwise they take
//! the declared default, "missing" (id 0, NaN). A plan of copies is made once; filling reuses the buffers. What a model
//! looks up instead, the rows of its item table and vectors of tables beside it, is copied from there.

use super::{
    engine::{InputTensor, Inputs, TensorData},
    lookup::{ItemTable, Lookups},
};
use crate::{
    base::{Error, Result},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        schema::{Kind, Schema},
    },
    export::{
        rows::ItemRows,
        signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
    },
    learn::network::{Embedding, NetworkInput},
};
use bytemuck::{Pod, Zeroable};
use std::{collections::HashMap, ops::Range, sync::Arc};

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

    /// Row of the pair, or of another pair of the item where the log never saw this one.
    pub fn logged(self) -> u32 {
        self.interactive().unwrap_or(self.item)
    }

    fn interactive(self) -> Option<u32> {
        (self.interactive != Self::NEVER).then_some(self.interactive)
    }
}

/// Which row of a request a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    User,
    Item,
    Interactive,
}

impl From<Kind> for Origin {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::User | Kind::Context => Origin::User,
            Kind::Item => Origin::Item,
            Kind::Interactive => Origin::Interactive,
        }
    }
}

/// Neighbouring columns that come from one place.
#[derive(Debug, Clone)]
struct Run {
    origin: Origin,
    what: What,
}

/// What a run copies.
#[derive(Debug, Clone)]
enum What {
    /// Neighbours in the data.
    Values(Range<usize>),
    /// The vector of the value in that slot.
    Vector(Slot, Arc<NetworkInput>),
    /// The row of the item, or its scale.
    Row(Arc<ItemTable>),
}

#[derive(Debug, Clone)]
struct TensorPlan {
    name: String,
    rows: Rows,
    element: ElementType,
    content: Content,
    columns: usize,
    runs: Vec<Run>,
}

/// The plan of copies from one data set's rows to one graph's inputs.
#[derive(Debug, Clone)]
pub struct Assembler {
    tensors: Vec<TensorPlan>,
}

impl Assembler {
    /// Plans requests: the schema tells which values belong to the user, the item and the pair.
    ///
    /// Fails when the data lacks a feature of the signature, or holds ids beyond the graph's tables.
    pub fn new(signature: &Signature, data: &Dataset, schema: &Schema) -> Result<Self> {
        Self::with(signature, data, schema, Lookups::default())
    }

    /// Like [`Assembler::new`], for a model that looks up what stands in `lookups`: [`Assembler::fill`] may then ask for
    /// items that the item table was filled with.
    pub fn with(signature: &Signature, data: &Dataset, schema: &Schema, lookups: Lookups) -> Result<Self> {
        let kinds: HashMap<_, _> = schema.features.iter().map(|f| (f.name.as_str(), f.kind)).collect();
        Self::plan(signature, data, &lookups, |field| match kinds.get(field.feature.as_str()) {
            Some(&kind) => Ok(kind.into()),
            None => Err(Error::usage(
                format!("the schema has no feature `{}`, which the model reads", field.feature),
                "use the schema that the model was exported with",
            )),
        })
    }

    /// Plans batches of logged rows that are scored as they are: [`Assembler::fill`] then takes a tensor with one row
    /// from the user's row, and everything else from the candidates' own rows.
    pub fn by_row(signature: &Signature, data: &Dataset) -> Result<Self> {
        Self::by_row_with(signature, data, Lookups::default())
    }

    /// Like [`Assembler::by_row`], for a model that looks up what stands in `lookups`.
    pub fn by_row_with(signature: &Signature, data: &Dataset, lookups: Lookups) -> Result<Self> {
        Self::plan(signature, data, &lookups, |_| Ok(Origin::Item))
    }

    fn plan(
        signature: &Signature,
        data: &Dataset,
        lookups: &Lookups,
        origin: impl Fn(&Field) -> Result<Origin>,
    ) -> Result<Self> {
        let features: HashMap<_, _> = data.features.iter().map(|f| (f.name.as_str(), f)).collect();
        let origin_of = |spec: &TensorSpec, field: &Field| match spec.rows {
            Rows::One => Ok(Origin::User),
            Rows::Candidates => origin(field),
        };
        let plan_tensor = |spec: &TensorSpec| {
            let mut runs: Vec<Run> = Vec::new();
            for field in &spec.fields {
                let feature = features.get(field.feature.as_str()).copied();
                match spec.content {
                    Content::Values => {
                        let from = start(field, spec.element, feature)?;
                        extend(&mut runs, origin_of(spec, field)?, from..from + field.columns);
                    }
                    Content::Embedded => {
                        let what = vector(field, feature, lookups)?;
                        runs.push(Run { origin: origin_of(spec, field)?, what });
                    }
                    Content::ItemRows | Content::ItemScales => {
                        let table = lookups.items.clone().ok_or_else(|| unfilled(&spec.name))?;
                        runs.push(Run { origin: Origin::Item, what: What::Row(table) });
                    }
                }
            }
            let TensorSpec { ref name, rows, element, content, .. } = *spec;
            Ok(TensorPlan { name: name.clone(), rows, element, content, columns: spec.columns(), runs })
        };
        Ok(Self { tensors: signature.tensors.iter().map(plan_tensor).collect::<Result<_>>()? })
    }

    /// Empty buffers for [`Assembler::fill`].
    pub fn inputs(&self) -> Inputs {
        let tensor = |plan: &TensorPlan| InputTensor {
            name: plan.name.clone(),
            shape: [0, plan.columns],
            data: match plan.element {
                ElementType::I64 => TensorData::I64(Vec::new()),
                ElementType::F32 => TensorData::F32(Vec::new()),
                ElementType::F16 => TensorData::F16(Vec::new()),
                ElementType::I8 => TensorData::I8(Vec::new()),
            },
        };
        Inputs { candidates: 0, tensors: self.tensors.iter().map(tensor).collect() }
    }

    /// Assembles one request into `inputs`, which came from [`Assembler::inputs`]. `data` is the data set of the plan.
    pub fn fill(&self, data: &Dataset, user_row: u32, candidates: &[Candidate], inputs: &mut Inputs) {
        inputs.candidates = candidates.len();
        for (plan, tensor) in self.tensors.iter().zip(&mut inputs.tensors) {
            tensor.shape[0] = match plan.rows {
                Rows::One => 1,
                Rows::Candidates => candidates.len(),
            };
            match &mut tensor.data {
                TensorData::I64(out) => {
                    plan.copy(user_row, candidates, out, |out, row, what| match (what, row) {
                        (What::Values(part), Some(row)) => {
                            out.extend(data.ids.of(row, part.clone()).map(i64::from));
                        }
                        (What::Values(part), None) => out.resize(out.len() + part.len(), 0),
                        _ => {}
                    })
                }
                TensorData::F32(out) => plan.copy(user_row, candidates, out, |out, row, what| {
                    floats(data, plan.content, row, what, out);
                }),
                TensorData::F16(out) => plan.copy(user_row, candidates, out, |out, row, what| {
                    if let (What::Row(table), Some(row)) = (what, row)
                        && let ItemRows::F16(rows) = table.rows()
                    {
                        out.extend_from_slice(&rows[table.values_of(row)]);
                    }
                }),
                TensorData::I8(out) => plan.copy(user_row, candidates, out, |out, row, what| {
                    if let (What::Row(table), Some(row)) = (what, row)
                        && let ItemRows::I8 { values, .. } = table.rows()
                    {
                        out.extend_from_slice(&values[table.values_of(row)]);
                    }
                }),
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
        let once = self.tensors.iter().filter(|plan| plan.rows == Rows::One);
        once.for_each(|plan| plan.values(data, row, &mut values));
        values
    }

    /// Everything that the inputs hold of that row of the data.
    pub(super) fn values(&self, data: &Dataset, row: usize) -> Vec<u32> {
        let mut values = Vec::new();
        self.tensors.iter().for_each(|plan| plan.values(data, row, &mut values));
        values
    }
}

/// What a tensor of floats holds of a row.
fn floats(data: &Dataset, content: Content, row: Option<usize>, what: &What, out: &mut Vec<f32>) {
    match (what, row) {
        (What::Values(part), Some(row)) => out.extend_from_slice(&data.numbers_of(row)[part.clone()]),
        (What::Values(part), None) => out.resize(out.len() + part.len(), f32::NAN),
        (What::Vector(slot, table), Some(row)) => table.append(data, row, *slot, out),
        (What::Vector(_, table), None) => table.append_missing(out),
        (What::Row(table), Some(row)) => match (table.rows(), content) {
            (ItemRows::F32(rows), _) => out.extend_from_slice(&rows[table.values_of(row)]),
            (ItemRows::I8 { scales, .. }, Content::ItemScales) => out.push(scales[table.place_of(row)]),
            _ => {}
        },
        (What::Row(_), None) => {}
    }
}

impl TensorPlan {
    /// `append` copies what a run holds of a row of the data, or what it holds where there is none.
    fn copy<U>(
        &self,
        user_row: u32,
        candidates: &[Candidate],
        out: &mut Vec<U>,
        append: impl Fn(&mut Vec<U>, Option<usize>, &What),
    ) {
        out.clear();
        let mut append =
            |source: Option<u32>, run: &Run| append(out, source.map(|row| row as usize), &run.what);
        match self.rows {
            Rows::One => self.runs.iter().for_each(|run| append(Some(user_row), run)),
            Rows::Candidates => {
                for candidate in candidates {
                    for run in &self.runs {
                        let source = match run.origin {
                            Origin::User => Some(user_row),
                            Origin::Item => Some(candidate.item),
                            Origin::Interactive => candidate.interactive(),
                        };
                        append(source, run);
                    }
                }
            }
        }
    }

    /// The values of that row of the data, as bits.
    fn values(&self, data: &Dataset, row: usize, values: &mut Vec<u32>) {
        for run in &self.runs {
            match (&run.what, self.element) {
                (What::Values(range), ElementType::I64) => values.extend(data.ids.of(row, range.clone())),
                (What::Values(range), _) => {
                    values.extend(data.numbers_of(row)[range.clone()].iter().map(|x| x.to_bits()));
                }
                (What::Vector(Slot::Ids { start, length }, _), _) => {
                    values.extend(data.ids.of(row, *start..start + length));
                }
                (What::Vector(Slot::Number { .. }, _) | What::Row(_), _) => {}
            }
        }
    }
}

/// Adds neighbouring columns to the run before them, where they go on from it.
fn extend(runs: &mut Vec<Run>, origin: Origin, columns: Range<usize>) {
    if let Some(Run { origin: last, what: What::Values(before) }) = runs.last_mut()
        && *last == origin
        && before.end == columns.start
    {
        before.end = columns.end;
    } else {
        runs.push(Run { origin, what: What::Values(columns) });
    }
}

/// The table of a feature whose vectors come in, found to fit the data.
fn vector(field: &Field, feature: Option<&EncodedFeature>, lookups: &Lookups) -> Result<What> {
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

fn unfilled(what: &str) -> Error {
    Error::usage(
        format!("the model looks `{what}` up in a table that is not beside it, or that is another one's"),
        "export the model again with `autofas-bench export`, and keep its files together",
    )
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
