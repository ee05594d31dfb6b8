//! From encoded rows to the input tensors of a graph.
//!
//! A request has one user and n candidates. User and context values come from one row of the data, item values from one
//! row per candidate, and interactive values from the row of that very pair, when the log has one; otherwise they take
//! the declared default, "missing" (id 0, NaN). A plan of copies is made once; filling reuses the buffers. What a model
//! looks up instead, the rows of its item table and vectors of tables beside it, is copied from there.
//!
//! Where a feature store takes part, the features that it holds come from its rows instead ([`stored`]), and filling copies the
//! others: what the request itself carries.

mod fit;
pub mod stored;

use super::{
    engine::{InputTensor, Inputs, TensorData},
    lookup::{ItemTable, Lookups},
    store::{Manifest, Owner},
};
use crate::{
    base::Result,
    data::{
        dataset::{Dataset, Slot},
        schema::Schema,
    },
    export::{
        rows::ItemRows,
        signature::{Content, ElementType, Field, Rows, Signature, TensorSpec},
    },
    learn::network::NetworkInput,
};
use bytemuck::{Pod, Zeroable};
use fit::{not_fetched, owners, start, unfilled, vector};
use half::f16;
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

    /// Whether the log has the pair.
    pub(super) fn is_logged(self) -> bool {
        self.interactive().is_some()
    }

    fn interactive(self) -> Option<u32> {
        (self.interactive != Self::NEVER).then_some(self.interactive)
    }
}

/// Neighbouring columns that come from one place.
#[derive(Debug, Clone)]
struct Run {
    /// Which row of a request the values come from.
    owner: Owner,
    /// Those of the tensor.
    columns: Range<usize>,
    what: What,
}

/// What a run copies.
#[derive(Debug, Clone)]
enum What {
    /// Neighbours in the data, from that one of the row's ids or numbers on.
    Values(usize),
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
        Self::with(signature, data, schema, &Lookups::default())
    }

    /// Like [`Assembler::new`], for a model that looks up what stands in `lookups`: [`Assembler::fill`] may then ask for
    /// items that the item table was filled with.
    pub fn with(signature: &Signature, data: &Dataset, schema: &Schema, lookups: &Lookups) -> Result<Self> {
        Self::plan(signature, data, lookups, owners(schema), |_, _| Ok(None))
    }

    /// Plans requests whose stored features come from a store: [`Assembler::fill`] leaves their columns alone, and a
    /// [`stored::Scatter`] writes them. Rows of items are copied from memory all the same.
    ///
    /// Fails as [`Assembler::new`] does, when the store lacks a stored feature of the signature or has it in another form, and
    /// when the model takes vectors of a stored feature.
    pub fn fetching(
        signature: &Signature,
        data: &Dataset,
        schema: &Schema,
        manifest: &Manifest,
        lookups: &Lookups,
    ) -> Result<Self> {
        Self::plan(signature, data, lookups, owners(schema), stored::finder(schema, manifest))
    }

    /// Plans batches of logged rows that are scored as they are: [`Assembler::fill`] then takes a tensor with one row
    /// from the user's row, and everything else from the candidates' own rows or from what the model looks up in `lookups`.
    pub fn by_row(signature: &Signature, data: &Dataset, lookups: &Lookups) -> Result<Self> {
        Self::plan(signature, data, lookups, |_| Ok(Owner::Item), |_, _| Ok(None))
    }

    fn plan(
        signature: &Signature,
        data: &Dataset,
        lookups: &Lookups,
        owner: impl Fn(&Field) -> Result<Owner>,
        find: impl Fn(&TensorSpec, &Field) -> Result<Option<stored::Found>>,
    ) -> Result<Self> {
        let features: HashMap<_, _> = data.features.iter().map(|f| (f.name.as_str(), f)).collect();
        let owner_of = |spec: &TensorSpec, field: &Field| match spec.rows {
            Rows::One => Ok(Owner::User),
            Rows::Candidates => owner(field),
        };
        let (mut tensors, mut stored) = (Vec::new(), Vec::new());
        for (place, spec) in signature.tensors.iter().enumerate() {
            let (mut runs, mut column): (Vec<Run>, _) = (Vec::new(), 0);
            for field in &spec.fields {
                let feature = features.get(field.feature.as_str()).copied();
                let columns = column..column + field.columns;
                match spec.content {
                    Content::Values => {
                        let from = start(field, spec.element, feature)?;
                        match find(spec, field)? {
                            Some(found) => stored::add(&mut stored, found, place, column, field),
                            None => {
                                let (owner, what) = (owner_of(spec, field)?, What::Values(from));
                                add(&mut runs, Run { owner, columns, what });
                            }
                        }
                    }
                    Content::Embedded if find(spec, field)?.is_some() => {
                        return Err(not_fetched(&field.feature));
                    }
                    Content::Embedded => {
                        let what = vector(field, feature, lookups)?;
                        runs.push(Run { owner: owner_of(spec, field)?, columns, what });
                    }
                    Content::ItemRows | Content::ItemScales => {
                        let table = lookups.items.clone().ok_or_else(|| unfilled(&spec.name))?;
                        runs.push(Run { owner: Owner::Item, columns, what: What::Row(table) });
                    }
                }
                column += field.columns;
            }
            let TensorSpec { ref name, rows, element, content, .. } = *spec;
            tensors.push(TensorPlan { name: name.clone(), rows, element, content, columns: column, runs });
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
            let rows = match plan.rows {
                Rows::One => 1,
                Rows::Candidates => candidates.len(),
            };
            tensor.shape[0] = rows;
            match &mut tensor.data {
                TensorData::I64(ids) => {
                    ids.resize(rows * plan.columns, 0);
                    plan.copy(user_row, candidates, ids, |to, row, what| match (what, row) {
                        (What::Values(from), Some(row)) => {
                            let ids = data.ids.of(row, *from..from + to.len());
                            to.iter_mut().zip(ids).for_each(|(to, id)| *to = i64::from(id));
                        }
                        _ => to.fill(0),
                    })
                }
                TensorData::F32(out) => {
                    out.resize(rows * plan.columns, 0.0);
                    plan.copy(user_row, candidates, out, |to, row, what| {
                        floats(data, plan.content, row, what, to)
                    });
                }
                TensorData::F16(out) => {
                    out.resize(rows * plan.columns, f16::ZERO);
                    plan.copy(user_row, candidates, out, |to, row, what| {
                        if let (What::Row(table), Some(row)) = (what, row)
                            && let ItemRows::F16(rows) = table.rows()
                        {
                            to.copy_from_slice(&rows[table.values_of(row)]);
                        }
                    });
                }
                TensorData::I8(out) => {
                    out.resize(rows * plan.columns, 0);
                    plan.copy(user_row, candidates, out, |to, row, what| {
                        if let (What::Row(table), Some(row)) = (what, row)
                            && let ItemRows::I8 { values, .. } = table.rows()
                        {
                            to.copy_from_slice(&values[table.values_of(row)]);
                        }
                    });
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
fn floats(data: &Dataset, content: Content, row: Option<usize>, what: &What, to: &mut [f32]) {
    match (what, row) {
        (What::Values(from), Some(row)) => {
            to.copy_from_slice(&data.numbers_of(row)[*from..from + to.len()]);
        }
        (What::Values(_), None) => to.fill(f32::NAN),
        (What::Vector(slot, table), Some(row)) => table.write(data, row, *slot, to),
        (What::Vector(_, table), None) => table.write_missing(to),
        (What::Row(table), Some(row)) => match (table.rows(), content) {
            (ItemRows::F32(rows), _) => to.copy_from_slice(&rows[table.values_of(row)]),
            (ItemRows::I8 { scales, .. }, Content::ItemScales) => to.fill(scales[table.place_of(row)]),
            _ => {}
        },
        (What::Row(_), None) => {}
    }
}

impl TensorPlan {
    /// `copy` writes what a run holds of a row of the data, or what it holds where there is none.
    fn copy<U>(
        &self,
        user_row: u32,
        candidates: &[Candidate],
        out: &mut [U],
        copy: impl Fn(&mut [U], Option<usize>, &What),
    ) {
        let copy = |source: Option<u32>, run: &Run, row: &mut [U]| {
            copy(&mut row[run.columns.clone()], source.map(|row| row as usize), &run.what);
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

    /// The values of that row of the data, as bits.
    fn values(&self, data: &Dataset, row: usize, values: &mut Vec<u32>) {
        for Run { columns, what, .. } in &self.runs {
            match (what, self.element) {
                (What::Values(from), ElementType::I64) => {
                    values.extend(data.ids.of(row, *from..from + columns.len()));
                }
                (What::Values(from), _) => {
                    let numbers = &data.numbers_of(row)[*from..from + columns.len()];
                    values.extend(numbers.iter().map(|x| x.to_bits()));
                }
                (What::Vector(Slot::Ids { start, length }, _), _) => {
                    values.extend(data.ids.of(row, *start..start + length));
                }
                (What::Vector(Slot::Number { .. }, _) | What::Row(_), _) => {}
            }
        }
    }
}

/// Adds columns to a plan, as a part of the run before them where they are neighbours in the data as well.
fn add(runs: &mut Vec<Run>, run: Run) {
    if let (Some(last), What::Values(from)) = (runs.last_mut(), &run.what)
        && let What::Values(before) = last.what
        && last.owner == run.owner
        && last.columns.end == run.columns.start
        && before + last.columns.len() == *from
    {
        last.columns.end = run.columns.end;
    } else {
        runs.push(run);
    }
}

#[cfg(test)]
mod tests;
