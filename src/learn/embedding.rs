//! From encoded rows to the concatenated input `[rows, width]`.
//!
//! Categorical features of one width share one table and one gather: thirty gathers and a concatenation cost several
//! times as much. So the columns of the input stand group by group; [`EmbeddingBank::columns`] tells where a feature's
//! columns are, and nothing outside this file may assume schema order.

use super::{
    Learn, network,
    ops::gate::Columns,
    params::{DenseParams, Params},
    values,
};
use crate::{
    base::{Error, Result},
    data::{
        dataset::{Dataset, Slot},
        schema::{Feature, Side},
    },
};
use candle_core::{D, Tensor};
use std::{collections::BTreeMap, ops::Range};

/// A feature as a network reads it: its encoding in the data set and its embedding's width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFeature {
    /// The schema's name.
    pub name: String,
    /// Once per request, or once per candidate.
    pub side: Side,
    /// Width of the embedding.
    pub width: usize,
    /// Where the encoded value stands.
    pub slot: Slot,
    /// Ids are below this; 0 for numbers.
    pub cardinality: u32,
}

impl InputFeature {
    /// Trained numbers of its embedding.
    pub fn parameters(&self) -> usize {
        match self.slot {
            Slot::Ids { .. } => self.cardinality as usize * self.width,
            Slot::Number { .. } => 2 * self.width,
        }
    }
}

/// The chosen features (indices into `features`, ascending) as `data` encodes them.
pub fn input_features(features: &[Feature], chosen: &[usize], data: &Dataset) -> Result<Vec<InputFeature>> {
    chosen
        .iter()
        .map(|&i| {
            let feature = &features[i];
            let encoded = data.feature(&feature.name)?;
            Ok(InputFeature {
                name: feature.name.clone(),
                side: feature.kind.side(),
                width: feature.width,
                slot: encoded.slot,
                cardinality: encoded.cardinality,
            })
        })
        .collect()
}

/// How the features of one group become vectors.
#[derive(Debug, Clone)]
enum Source {
    /// One gather from a joint table; feature f's ids are shifted by `offsets[f]`.
    Table { starts: Vec<usize>, offsets: Vec<u32>, table: Tensor },
    /// A single sequence: mean of the embeddings of the ids that are not 0.
    Pooled { start: usize, length: usize, table: Tensor },
    /// x·scale, or `missing`; both `[features, width]`.
    Numbers { indices: Vec<usize>, scale: Tensor, missing: Tensor },
}

#[derive(Debug, Clone)]
struct Group {
    width: usize,
    /// Indices into the bank's features.
    members: Vec<usize>,
    source: Source,
}

/// The embeddings of all features of a network.
#[derive(Debug, Clone)]
pub struct EmbeddingBank {
    features: Vec<InputFeature>,
    groups: Vec<Group>,
    columns: Vec<Range<usize>>,
}

/// Names of the tables in [`Params`] begin with this.
pub const EMBEDDING: &str = "embedding.";

/// Deviation of the first values of ids' embeddings: next to nothing, so that an id that training never or hardly saw says nothing. Fifty
/// times as much costs a network that many new users meet a thousandth of its AUC (docs/results/2026-11-26-teachers.md).
const INITIAL_DEVIATION: f32 = 0.001;

/// The same of numbers' embeddings, which every row reads.
const INITIAL_NUMBER_DEVIATION: f32 = 0.05;

impl EmbeddingBank {
    /// Creates the tables in `params`, under names that begin with [`EMBEDDING`].
    pub fn new(features: Vec<InputFeature>, params: &mut Params) -> Result<Self> {
        let mut tables = BTreeMap::<usize, Vec<usize>>::new();
        let mut numbers = BTreeMap::<usize, Vec<usize>>::new();
        let mut groups = Vec::new();
        for (i, feature) in features.iter().enumerate() {
            match feature.slot {
                Slot::Ids { length: 1, .. } => tables.entry(feature.width).or_default().push(i),
                Slot::Number { .. } => numbers.entry(feature.width).or_default().push(i),
                Slot::Ids { .. } => groups.push(pooled_group(&features, i, params)?),
            }
        }
        for (width, members) in tables {
            groups.push(table_group(&features, width, members, params)?);
        }
        for (width, members) in numbers {
            groups.push(number_group(&features, width, members, params)?);
        }
        let mut columns = vec![0..0; features.len()];
        let mut next = 0;
        for group in &groups {
            for &member in &group.members {
                columns[member] = next..next + group.width;
                next += group.width;
            }
        }
        Ok(Self { features, groups, columns })
    }

    /// The features in schema order.
    pub fn features(&self) -> &[InputFeature] {
        &self.features
    }

    /// Where every feature's columns are, for masks.
    pub fn gate_columns(&self) -> Columns {
        Columns::new(self.columns.clone())
    }

    /// The columns of the input that feature `index` fills.
    pub fn columns(&self, index: usize) -> Range<usize> {
        self.columns[index].clone()
    }

    /// Width of the concatenated input.
    pub fn width(&self) -> usize {
        self.features.iter().map(|f| f.width).sum()
    }

    /// Sets the tables in `params`, which this bank was made with, to those of a plain network over the same features.
    ///
    /// Fails where an embedding has another kind or size.
    pub fn set_plain(&self, plain: &[network::NetworkInput], params: &Params) -> Result<()> {
        let same = plain.iter().map(|input| &input.feature).eq(self.features.iter().map(|f| &f.name));
        if !same {
            let problem = "the network reads other features than the one that is trained";
            return Err(Error::usage(problem, "begin with the weights of the same subnet"));
        }
        self.groups.iter().try_for_each(|group| group.set_plain(&self.features, plain, params))
    }

    /// The inputs of a plain network: feature `i`'s embedding as data.
    pub fn to_plain(&self) -> Result<Vec<network::NetworkInput>> {
        let mut plain: Vec<Option<network::Embedding>> = vec![None; self.features.len()];
        for group in &self.groups {
            group.to_plain(&self.features, &mut plain)?;
        }
        Ok(self
            .features
            .iter()
            .zip(plain)
            .map(|(feature, embedding)| network::NetworkInput {
                feature: feature.name.clone(),
                side: feature.side,
                width: feature.width,
                embedding: embedding.expect("every feature is in one group"),
            })
            .collect())
    }
}

fn table_group(
    features: &[InputFeature],
    width: usize,
    members: Vec<usize>,
    params: &mut Params,
) -> Result<Group> {
    let (mut starts, mut offsets, mut rows) = (Vec::new(), Vec::new(), 0u32);
    for &member in &members {
        let feature = &features[member];
        if let Slot::Ids { start, .. } = feature.slot {
            starts.push(start);
        }
        offsets.push(rows);
        rows += feature.cardinality;
    }
    let table =
        params.normal(&format!("{EMBEDDING}ids{width}"), (rows as usize, width), INITIAL_DEVIATION)?;
    Ok(Group { width, members, source: Source::Table { starts, offsets, table } })
}

fn pooled_group(features: &[InputFeature], member: usize, params: &mut Params) -> Result<Group> {
    let feature = &features[member];
    let Slot::Ids { start, length } = feature.slot else { unreachable!("only sequences are pooled") };
    let name = format!("{EMBEDDING}pooled.{}", feature.name);
    let table = params.normal(&name, (feature.cardinality as usize, feature.width), INITIAL_DEVIATION)?;
    Ok(Group { width: feature.width, members: vec![member], source: Source::Pooled { start, length, table } })
}

fn number_group(
    features: &[InputFeature],
    width: usize,
    members: Vec<usize>,
    params: &mut Params,
) -> Result<Group> {
    let indices = members
        .iter()
        .filter_map(|&m| match features[m].slot {
            Slot::Number { index } => Some(index),
            Slot::Ids { .. } => None,
        })
        .collect();
    let shape = (members.len(), width);
    let scale =
        params.normal(&format!("{EMBEDDING}numbers{width}.scale"), shape, INITIAL_NUMBER_DEVIATION)?;
    let missing =
        params.normal(&format!("{EMBEDDING}numbers{width}.missing"), shape, INITIAL_NUMBER_DEVIATION)?;
    Ok(Group { width, members, source: Source::Numbers { indices, scale, missing } })
}

impl Group {
    fn set_plain(
        &self,
        features: &[InputFeature],
        plain: &[network::NetworkInput],
        params: &Params,
    ) -> Result<()> {
        let wrong = |member: usize| {
            let problem = format!("the embedding of `{}` has another kind or size", features[member].name);
            Error::usage(problem, "begin with weights that were trained with the same encoders")
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for &member in &self.members {
            let size = features[member].cardinality as usize * self.width;
            match (&self.source, &plain[member].embedding) {
                (Source::Table { .. }, network::Embedding::Table { rows })
                | (Source::Pooled { .. }, network::Embedding::Pooled { rows, .. })
                    if rows.len() == size =>
                {
                    first.extend_from_slice(rows);
                }
                (Source::Numbers { .. }, network::Embedding::Number { scale, missing })
                    if scale.len() == self.width && missing.len() == self.width =>
                {
                    first.extend_from_slice(scale);
                    second.extend_from_slice(missing);
                }
                _ => return Err(wrong(member)),
            }
        }
        let width = self.width;
        match &self.source {
            Source::Table { .. } => params.set(&format!("{EMBEDDING}ids{width}"), first),
            Source::Pooled { .. } => {
                params.set(&format!("{EMBEDDING}pooled.{}", features[self.members[0]].name), first)
            }
            Source::Numbers { .. } => {
                params.set(&format!("{EMBEDDING}numbers{width}.scale"), first)?;
                params.set(&format!("{EMBEDDING}numbers{width}.missing"), second)
            }
        }
    }

    fn to_plain(&self, features: &[InputFeature], plain: &mut [Option<network::Embedding>]) -> Result<()> {
        match &self.source {
            Source::Table { offsets, table, .. } => {
                for (&member, &offset) in self.members.iter().zip(offsets) {
                    let part = table.narrow(0, offset as usize, features[member].cardinality as usize);
                    let rows = values(&part.learn("slice an embedding table")?)?;
                    plain[member] = Some(network::Embedding::Table { rows });
                }
            }
            Source::Pooled { length, table, .. } => {
                plain[self.members[0]] =
                    Some(network::Embedding::Pooled { rows: values(table)?, length: *length });
            }
            Source::Numbers { scale, missing, .. } => {
                for (k, &member) in self.members.iter().enumerate() {
                    let row = |t: &Tensor| values(&t.narrow(0, k, 1).learn("slice an embedding")?);
                    plain[member] =
                        Some(network::Embedding::Number { scale: row(scale)?, missing: row(missing)? });
                }
            }
        }
        Ok(())
    }
}

/// Selects rows of a first layer's weight `[columns of the bank, outputs]` in schema order of `features` (indices
/// into the bank), as a plain network has them.
pub(in crate::learn) fn rows_in_schema_order(
    bank: &EmbeddingBank,
    features: &[usize],
    weight: &Tensor,
) -> Result<Tensor> {
    let rows: Vec<u32> = features.iter().flat_map(|&i| bank.columns(i)).map(|column| column as u32).collect();
    let rows = Tensor::new(rows, weight.device()).learn("order rows")?;
    // A pair's weights are a slice of a wider matrix.
    weight.contiguous().and_then(|w| w.index_select(&rows, D::Minus2)).learn("order rows")
}

/// Layers one behind the other as plain data, the first of which takes all features of the bank in schema order.
pub(super) fn plain_layers<'l>(
    bank: &EmbeddingBank,
    layers: impl IntoIterator<Item = &'l DenseParams>,
) -> Result<Vec<network::Dense>> {
    let every: Vec<usize> = (0..bank.features().len()).collect();
    let plain = |(depth, layer): (usize, &DenseParams)| match depth {
        0 => {
            let weight = rows_in_schema_order(bank, &every, &layer.weight)?;
            DenseParams { weight, bias: layer.bias.clone() }.to_plain()
        }
        _ => layer.to_plain(),
    };
    layers.into_iter().enumerate().map(plain).collect()
}

mod lookup;
#[cfg(test)]
mod tests;
