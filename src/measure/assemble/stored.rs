//! From the rows of a feature store to the input tensors of a graph: every row is decoded into the columns of those of its
//! features that the graph reads, while it is in the cache, and without a copy in between.

use super::{Assembler, Result};
use crate::{
    base::{Error, error::Place},
    data::schema::{Schema, Source},
    export::signature::{Content, ElementType, Field, Rows, TensorSpec},
    measure::{
        engine::{Inputs, TensorData},
        store::{
            FetchCounts, Manifest, Owner, RowSink,
            layout::{Form, StoredFeature},
            manifest::LOAD_AGAIN,
        },
    },
};
use std::collections::HashMap;

/// What a graph reads of a stored group.
#[derive(Debug, Clone)]
pub(super) struct GroupPlan {
    /// Where the store is.
    store: String,
    /// Place in the manifest.
    group: usize,
    name: String,
    owner: Owner,
    row_bytes: usize,
    /// How many of its features.
    features: usize,
    runs: Vec<StoredRun>,
}

/// Neighbouring columns that are neighbours in the stored row as well, and as wide.
#[derive(Debug, Clone)]
struct StoredRun {
    tensor: usize,
    column: usize,
    offset: usize,
    values: Values,
    /// Ids end here, one per column; of numbers only how many there are counts.
    bounds: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    Ids1,
    Ids2,
    Ids4,
    Numbers,
}

impl Values {
    fn of(feature: &StoredFeature) -> Self {
        match (feature.form, feature.value_bytes) {
            (Form::Number, _) => Self::Numbers,
            (Form::Ids, 1) => Self::Ids1,
            (Form::Ids, 2) => Self::Ids2,
            (Form::Ids, _) => Self::Ids4,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Ids1 => 1,
            Self::Ids2 => 2,
            Self::Ids4 | Self::Numbers => 4,
        }
    }
}

/// A field of a graph in the rows of a store.
pub(super) struct Found {
    store: String,
    group: usize,
    name: String,
    owner: Owner,
    row_bytes: usize,
    feature: StoredFeature,
}

/// Finds fields in a store; none where the request carries them. What a store says of a field has to be what the schema and the
/// graph say: its rows are decoded by it into the tensor.
pub(super) fn finder(
    schema: &Schema,
    manifest: &Manifest,
) -> impl Fn(&TensorSpec, &Field) -> Result<Option<Found>> {
    let mut known = HashMap::new();
    for (group, stored) in manifest.groups.iter().enumerate() {
        let (name, owner, row_bytes) = (&stored.name, stored.owner, stored.row_bytes);
        for feature in &stored.features {
            known.insert(feature.name.clone(), (group, name.clone(), owner, row_bytes, feature.clone()));
        }
    }
    let store = manifest.place.clone();
    let fetched = schema.features.iter().filter(|feature| feature.source == Source::Store);
    let owners: HashMap<String, Owner> = fetched.map(|f| (f.name.clone(), f.kind.into())).collect();
    move |tensor, field| {
        let name = &field.feature;
        let Some(&whose) = owners.get(name) else { return Ok(None) };
        let wrong = |problem: String| Err(Error::input(&store, Place::field(name), problem, LOAD_AGAIN));
        let Some((group, group_name, owner, row_bytes, feature)) = known.get(name).cloned() else {
            return wrong("no group holds it".to_owned());
        };
        if owner != whose || tensor.rows == Rows::One && owner != Owner::User {
            return wrong(
                format!("the store has it by {owner:?}, and it is fetched by {whose:?}").to_lowercase(),
            );
        }
        // What a model takes embedded is refused by whoever asks, whatever its form.
        let taken = if tensor.element == ElementType::I64 { Form::Ids } else { Form::Number };
        if tensor.content == Content::Values && feature.form != taken {
            let problem = format!("the store has it as {:?}, and the model takes {taken:?}", feature.form);
            return wrong(problem.to_lowercase());
        }
        if (feature.length, feature.cardinality) != (field.columns, field.cardinality) {
            let problem = format!(
                "the store has {} values below {}, and the model takes {} below {}",
                feature.length, feature.cardinality, field.columns, field.cardinality
            );
            return wrong(problem);
        }
        let store = store.clone();
        Ok(Some(Found { store, group, name: group_name, owner, row_bytes, feature }))
    }
}

/// Adds the columns of a field to the plan of its group.
pub(super) fn add(plans: &mut Vec<GroupPlan>, found: Found, tensor: usize, column: usize, field: &Field) {
    let Found { store, group, name, owner, row_bytes, feature } = found;
    let place = plans.iter().position(|plan| plan.group == group).unwrap_or_else(|| {
        plans.push(GroupPlan { store, group, name, owner, row_bytes, features: 0, runs: Vec::new() });
        plans.len() - 1
    });
    plans[place].features += 1;
    let (runs, values) = (&mut plans[place].runs, Values::of(&feature));
    let bounds = std::iter::repeat_n(feature.cardinality, field.columns);
    match runs.last_mut() {
        Some(last)
            if (last.tensor, last.values) == (tensor, values)
                && last.column + last.bounds.len() == column
                && last.offset + last.bounds.len() * values.bytes() == feature.offset =>
        {
            last.bounds.extend(bounds);
        }
        _ => {
            let offset = feature.offset;
            runs.push(StoredRun { tensor, column, offset, values, bounds: bounds.collect() });
        }
    }
}

impl Assembler {
    /// Places in the manifest of the groups that are fetched, in the order in which a [`Scatter`] knows them.
    pub fn groups(&self) -> Vec<usize> {
        self.stored.iter().map(|plan| plan.group).collect()
    }

    /// How many features are fetched.
    pub fn stored_features(&self) -> usize {
        self.stored.iter().map(|plan| plan.features).sum()
    }

    /// What writes the stored columns of a request into `inputs`, which [`Assembler::fill`] has filled for it.
    pub fn scatter<'a>(&'a self, inputs: &'a mut Inputs, counts: &'a mut FetchCounts) -> Scatter<'a> {
        Scatter { plans: &self.stored, inputs, counts, fault: None }
    }
}

/// Decodes rows into the columns that they belong to.
pub struct Scatter<'a> {
    plans: &'a [GroupPlan],
    inputs: &'a mut Inputs,
    counts: &'a mut FetchCounts,
    fault: Option<Fault>,
}

/// A row that is none of its group.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Length { group: usize, candidate: usize, found: usize },
    Id { group: usize, first: usize, last: usize },
}

impl Scatter<'_> {
    /// Fails when a row was none of its group: of another length, or with ids that no encoder gives, which an engine might not
    /// survive.
    pub fn finish(self) -> Result<()> {
        let (group, problem) = match self.fault {
            None => return Ok(()),
            Some(Fault::Length { group, candidate, found }) => {
                let wanted = self.plans[group].row_bytes;
                (group, format!("the row for candidate {} has {found} bytes, not {wanted}", candidate + 1))
            }
            Some(Fault::Id { group, first, last }) => {
                let (first, last) = (first + 1, last + 1);
                (
                    group,
                    format!("a row for candidates {first} to {last} holds an id beyond its feature's last"),
                )
            }
        };
        let GroupPlan { store, name, .. } = &self.plans[group];
        Err(Error::input(store, Place::field(name), format!("it is damaged: {problem}"), LOAD_AGAIN))
    }

    fn count(&mut self, plan: &GroupPlan, rows: &[Option<&[u8]>]) {
        let found = rows.iter().flatten().count();
        let counts = self.counts.of(plan.owner);
        counts.asked += rows.len() as u64;
        counts.missing += (rows.len() - found) as u64;
        self.counts.bytes += (found * plan.row_bytes) as u64;
    }
}

impl RowSink for Scatter<'_> {
    fn take(&mut self, group: usize, first: usize, rows: &[Option<&[u8]>]) {
        let plan = &self.plans[group];
        self.count(plan, rows);
        let odd = |row: &Option<&[u8]>| row.is_some_and(|row| row.len() != plan.row_bytes);
        if let Some(at) = rows.iter().position(odd) {
            let found = rows[at].map_or(0, <[u8]>::len);
            self.fault.get_or_insert(Fault::Length { group, candidate: first + at, found });
            return;
        }
        for run in &plan.runs {
            let tensor = &mut self.inputs.tensors[run.tensor];
            // A user's row is repeated where the layout repeats it.
            let (repeated, columns) = match plan.owner {
                Owner::User => (tensor.shape[0], tensor.shape[1]),
                Owner::Item | Owner::Pair => (1, tensor.shape[1]),
            };
            let sound = match &mut tensor.data {
                TensorData::I64(out) => {
                    let out = &mut out[first * columns..];
                    match run.values {
                        Values::Ids1 => run.ids::<1>(rows, out, columns),
                        Values::Ids2 => run.ids::<2>(rows, out, columns),
                        _ => run.ids::<4>(rows, out, columns),
                    }
                }
                TensorData::F32(out) => run.numbers(rows, &mut out[first * columns..], columns),
                // Rows of items, which no store has.
                TensorData::F16(_) | TensorData::I8(_) => true,
            };
            if !sound {
                self.fault.get_or_insert(Fault::Id { group, first, last: first + rows.len() - 1 });
            }
            match &mut tensor.data {
                TensorData::I64(out) => run.repeat(out, columns, repeated),
                TensorData::F32(out) => run.repeat(out, columns, repeated),
                TensorData::F16(_) | TensorData::I8(_) => {}
            }
        }
    }
}

impl StoredRun {
    /// Decodes ids of `BYTES` bytes into rows of `columns` values. False when one is beyond its bound.
    fn ids<const BYTES: usize>(&self, rows: &[Option<&[u8]>], out: &mut [i64], columns: usize) -> bool {
        let id = |packed: &[u8]| {
            let mut bytes = [0; 4];
            bytes[..BYTES].copy_from_slice(packed);
            u32::from_le_bytes(bytes)
        };
        self.decode::<BYTES, _>(rows, out, columns, 0, |packed, out, bound| {
            let id = id(packed);
            *out = i64::from(id);
            id < bound
        })
    }

    /// Decodes numbers into rows of `columns` values; any is sound.
    fn numbers(&self, rows: &[Option<&[u8]>], out: &mut [f32], columns: usize) -> bool {
        self.decode::<4, _>(rows, out, columns, f32::NAN, |packed, out, _| {
            *out = f32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
            true
        })
    }

    /// Decodes values of `BYTES` bytes by `one`, which says whether a value is sound; false when one is not.
    fn decode<const BYTES: usize, T: Copy>(
        &self,
        rows: &[Option<&[u8]>],
        out: &mut [T],
        columns: usize,
        missing: T,
        one: impl Fn(&[u8], &mut T, u32) -> bool,
    ) -> bool {
        let mut sound = true;
        // From a run's first column to the one in the next row; none where a user's row has no candidate to stand by.
        let out = out.get_mut(self.column..).unwrap_or_default();
        let out = rows.iter().zip(out.chunks_mut(columns));
        match *self.bounds.as_slice() {
            // A column that stands alone needs no loop in the loop.
            [bound] => {
                for (row, out) in out {
                    match row {
                        Some(row) => sound &= one(&row[self.offset..][..BYTES], &mut out[0], bound),
                        None => out[0] = missing,
                    }
                }
            }
            ref bounds => {
                for (row, out) in out {
                    let out = &mut out[..bounds.len()];
                    let Some(row) = row else {
                        out.fill(missing);
                        continue;
                    };
                    let packed = row[self.offset..][..bounds.len() * BYTES].chunks_exact(BYTES);
                    for ((packed, out), &bound) in packed.zip(out).zip(bounds) {
                        sound &= one(packed, out, bound);
                    }
                }
            }
        }
        sound
    }

    /// Copies the columns of the first row into those after it, `rows` together.
    fn repeat<T: Copy>(&self, out: &mut [T], columns: usize, rows: usize) {
        let length = self.bounds.len();
        for row in 1..rows {
            out.copy_within(self.column..self.column + length, row * columns + self.column);
        }
    }
}
