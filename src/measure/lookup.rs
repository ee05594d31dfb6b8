//! What a model looks up that is not computed in the request: the rows of its item table, and the vectors of embedding tables
//! that lie beside it.
//!
//! The item table is filled once, before anything is timed, by the model's own second graph in the engine that serves. It
//! lies flat in memory: looking an item up is copying its row.

use super::{
    assemble::{Assembler, Candidate},
    engine::{Engine, Session, SessionOptions},
    evaluate::BATCH,
};
use crate::{
    base::{
        Error, Result,
        error::Place,
        fsio,
        names::{EngineName, RowFormat},
    },
    data::{dataset::Dataset, schema::Side},
    export::{
        self, OnnxModel,
        check::Limits,
        model::{ITEM_MODEL, beside},
        outside::{MANIFEST, Manifest, Pooling, TableSpec},
        rows::ItemRows,
        signature::{Content, Signature},
    },
    learn::network::{Embedding, Network, NetworkInput, PlainOnly},
};
use safetensors::SafeTensors;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The tables of one model for one data set.
#[derive(Debug, Clone, Default)]
pub struct Lookups {
    pub(super) items: Option<Arc<ItemTable>>,
    pub(super) embeddings: BTreeMap<String, Arc<NetworkInput>>,
    cached: BTreeSet<String>,
}

/// Rows of items, found by their rows in the data.
#[derive(Debug)]
pub struct ItemTable {
    /// Per row of the data the row of its item.
    place: Vec<u32>,
    rows: ItemRows,
    outputs: usize,
    items: usize,
}

/// Rows of the data without an item in the table.
const NOWHERE: u32 = u32::MAX;

/// What a model looks up, read once for data that come in pieces: the tables beside it, and the session that fills its item
/// table.
pub struct LookupFiles<'a> {
    engine: &'a dyn Engine,
    options: SessionOptions,
    embeddings: BTreeMap<String, Arc<NetworkInput>>,
    items: Option<ItemModel>,
}

/// The second graph of a model.
struct ItemModel {
    path: PathBuf,
    signature: Signature,
    format: RowFormat,
    /// Values of a row.
    outputs: usize,
    /// Made for the first items, since some engines want to know how many they are.
    session: Option<Box<dyn Session>>,
}

impl<'a> LookupFiles<'a> {
    /// Reads what lies beside `model`, as far as `signature`, its own, asks for it.
    pub fn open(
        engine: &'a dyn Engine,
        model: &Path,
        signature: &Signature,
        options: &SessionOptions,
    ) -> Result<Self> {
        let asks = |signature: &Signature, content| signature.tensors.iter().any(|t| t.content == content);
        let items = ItemModel::of(model, signature)?;
        let signatures = [Some(signature), items.as_ref().map(|items| &items.signature)];
        let outside = signatures.into_iter().flatten().any(|signature| asks(signature, Content::Embedded));
        let embeddings = match outside {
            true => read_embeddings(&beside(model, MANIFEST))?,
            false => BTreeMap::new(),
        };
        Ok(Self { engine, options: options.clone(), embeddings, items })
    }

    /// Features that the item table is filled from.
    pub fn item_features(&self) -> BTreeSet<String> {
        self.items.as_ref().map(|items| features(&items.signature)).unwrap_or_default()
    }

    /// The tables for `data`; an item table is filled for the items of `rows`.
    pub fn of(&mut self, data: &Dataset, rows: impl FnOnce() -> Result<Vec<u32>>) -> Result<Lookups> {
        let mut lookups = Lookups { embeddings: self.embeddings.clone(), ..Lookups::default() };
        if let Some(model) = &mut self.items {
            let assembler = Assembler::by_row(&model.signature, data, &lookups)?;
            let (mut table, different) =
                ItemTable::of(&assembler, data, &rows()?, model.format, model.outputs);
            table.fill(self.engine, model, &assembler, &self.options, data, &different)?;
            lookups.items = Some(Arc::new(table));
            lookups.cached = features(&model.signature);
        }
        Ok(lookups)
    }
}

impl ItemModel {
    /// None where `model` has no item table.
    fn of(model: &Path, signature: &Signature) -> Result<Option<Self>> {
        let Some(cached) = signature.tensors.iter().find(|tensor| tensor.content == Content::ItemRows) else {
            return Ok(None);
        };
        let format = signature.layout.rows().ok_or_else(|| {
            let problem = format!("has an item table, and its layout `{}` has none", signature.layout);
            Error::input(model, Place::whole(), problem, "export it again with `autofas-bench export`")
        })?;
        let path = beside(model, ITEM_MODEL);
        let (signature, _) = export::read_signature(&path)?;
        Ok(Some(Self { path, signature, format, outputs: cached.columns(), session: None }))
    }
}

impl Lookups {
    /// [`LookupFiles::open`] and [`LookupFiles::of`], for data that come at once.
    pub fn of(
        engine: &dyn Engine,
        model: &Path,
        signature: &Signature,
        options: &SessionOptions,
        data: &Dataset,
        rows: impl FnOnce() -> Result<Vec<u32>>,
    ) -> Result<Self> {
        LookupFiles::open(engine, model, signature, options)?.of(data, rows)
    }

    /// The tables of `model`, an export of `network`, as the network itself would fill them.
    pub fn by_reference(network: &Network, model: &OnnxModel<'_>, data: &Dataset) -> Result<Self> {
        let mut lookups = Self::default();
        let all = [Some(&model.signature), model.item_model().map(|item| &item.signature)];
        let embedded = all.into_iter().flatten().flat_map(|signature| &signature.tensors);
        for field in embedded.filter(|t| t.content == Content::Embedded).flat_map(|t| &t.fields) {
            let input = network.inputs.iter().find(|input| input.feature == field.feature);
            lookups.embeddings.extend(input.map(|input| (field.feature.clone(), Arc::new(input.clone()))));
        }
        if let (Some(spec), Some(item)) = (&model.item_table, model.item_model()) {
            let assembler = Assembler::by_row(&item.signature, data, &lookups)?;
            let rows: Vec<u32> = (0..data.rows() as u32).collect();
            let (mut table, different) = ItemTable::of(&assembler, data, &rows, spec.rows, spec.outputs);
            lookups.cached = features(&item.signature);
            let parts = network
                .mlp(PlainOnly::ItemTable)?
                .part_of(data, &different, |input| lookups.is_cached(input))?;
            parts.iter().for_each(|row| table.rows.push(row));
            lookups.items = Some(Arc::new(table));
        }
        Ok(lookups)
    }

    /// Whether a feature's part of the first layer comes from the item table.
    pub fn is_cached(&self, input: &NetworkInput) -> bool {
        self.cached.contains(&input.feature)
    }

    /// The item table, where the model has one.
    pub fn items(&self) -> Option<&ItemTable> {
        self.items.as_deref()
    }
}

/// The features that a graph reads.
fn features(signature: &Signature) -> BTreeSet<String> {
    signature.tensors.iter().flat_map(|tensor| &tensor.fields).map(|field| field.feature.clone()).collect()
}

impl ItemTable {
    /// An empty table for the items of `rows`, and which rows of the data its own rows, in their order, are to be made from.
    /// `assembler` knows what an item is: items whose values are equal share a row.
    fn of(
        assembler: &Assembler,
        data: &Dataset,
        rows: &[u32],
        format: RowFormat,
        outputs: usize,
    ) -> (Self, Vec<u32>) {
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut different = Vec::new();
        let mut place = vec![NOWHERE; data.rows()];
        for &row in rows {
            let next = different.len() as u32;
            let own = *known.entry(assembler.values(data, row as usize)).or_insert(next);
            if own == next {
                different.push(row);
            }
            place[row as usize] = own;
        }
        (Self { place, rows: ItemRows::new(format), outputs, items: different.len() }, different)
    }

    /// Runs the item model over the items.
    fn fill(
        &mut self,
        engine: &dyn Engine,
        model: &mut ItemModel,
        assembler: &Assembler,
        options: &SessionOptions,
        data: &Dataset,
        different: &[u32],
    ) -> Result<()> {
        let session = match &mut model.session {
            Some(session) => session,
            none => {
                // Any count will do, and the last batch has another.
                let hint = Some(BATCH.min(different.len()).max(1));
                let options = SessionOptions { candidates_hint: hint, ..options.clone() };
                none.insert(engine.load(&model.path, &options)?)
            }
        };
        let (mut inputs, mut values) = (assembler.inputs(), Vec::new());
        for batch in different.chunks(BATCH) {
            let candidates: Vec<_> = batch.iter().map(|&row| Candidate::of_row(row)).collect();
            assembler.fill(data, batch[0], &candidates, &mut inputs);
            session.run(&inputs, &mut values)?;
            if engine.name() == EngineName::Null {
                // What computes nothing gets rows of the right size.
                values.resize(batch.len() * self.outputs, 0.0);
            }
            if values.len() != batch.len() * self.outputs {
                let problem = format!("gave {} values for {} items", values.len(), batch.len());
                let fix = "export the model again with `autofas-bench export`";
                return Err(Error::input(&model.path, Place::whole(), problem, fix));
            }
            values.chunks_exact(self.outputs).for_each(|row| self.rows.push(row));
        }
        Ok(())
    }

    /// Number format of the rows.
    pub fn format(&self) -> RowFormat {
        match &self.rows {
            ItemRows::F32(_) => RowFormat::F32,
            ItemRows::F16(_) => RowFormat::F16,
            ItemRows::I8 { .. } => RowFormat::I8,
        }
    }

    /// Different items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The row of the item of that row of the data, as the graph reads it.
    pub fn row_of(&self, data_row: u32) -> Vec<f32> {
        self.rows.row(self.place[data_row as usize] as usize, self.outputs)
    }

    /// How far a value of that row may be from `exact`, by rounding alone.
    pub fn half_step(&self, data_row: u32, exact: f32) -> f32 {
        self.rows.half_step(self.place[data_row as usize] as usize, exact)
    }

    /// All rows in their format.
    pub(super) fn rows(&self) -> &ItemRows {
        &self.rows
    }

    /// Where the values of the item of that row of the data stand.
    pub(super) fn values_of(&self, data_row: usize) -> std::ops::Range<usize> {
        let place = self.place[data_row] as usize;
        place * self.outputs..(place + 1) * self.outputs
    }

    /// Which row is that of the item of that row of the data.
    pub(super) fn place_of(&self, data_row: usize) -> usize {
        self.place[data_row] as usize
    }
}

/// The tables that the manifest names.
fn read_embeddings(manifest: &Path) -> Result<BTreeMap<String, Arc<NetworkInput>>> {
    let content = Manifest::load(manifest)?;
    let path = manifest.with_file_name(&content.file);
    let fix = "export the model again with `autofas-bench export`";
    let bytes = fsio::read_regular(&path, Limits::STANDARD.external_bytes, fix)?;
    let wrong = |problem: String| Error::input(&path, Place::whole(), problem, fix);
    let file =
        SafeTensors::deserialize(&bytes).map_err(|e| wrong(format!("not a safetensors file ({e})")))?;
    let table = |spec: TableSpec| {
        let TableSpec { feature, rows, width, pooling, length } = spec;
        let view = file.tensor(&feature).map_err(|e| wrong(format!("lacks `{feature}` ({e})")))?;
        if view.dtype() != safetensors::Dtype::F32 || view.shape() != [rows, width] {
            return Err(wrong(format!("`{feature}` is not f32 [{rows}, {width}] as the manifest says")));
        }
        let rows = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let embedding = match pooling {
            Pooling::None => Embedding::Table { rows },
            Pooling::Mean => Embedding::Pooled { rows, length },
        };
        let input = NetworkInput { feature: feature.clone(), side: Side::Item, width, embedding };
        Ok((feature, Arc::new(input)))
    };
    content.tables.into_iter().map(table).collect()
}
