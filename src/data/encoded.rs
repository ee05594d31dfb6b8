//! A data set that was encoded once into a folder and is mapped into memory from there, so that it may be far larger than the
//! memory.
//!
//! ```text
//! FOLDER/  encoded.json     what it holds
//!          encoders.json    fitted on the training rows
//!          NAME.bin         one column, little-endian: ids (packed, see Packing), numbers, labels, weights, …
//!          train.bin, valid.bin   the rows of the split, ascending
//! ```
//!
//! The folder gets its name when it is whole; until then it is called `FOLDER.unfinished`.
//!
//! The source is read in pieces: once to divide the rows and to fit the encoders, once to encode, and before both where a split
//! needs the number of rows or the border in time. What grows with the number of rows is held on the disk, but for the times
//! of all rows where a fraction splits by time, and the distinct values of every column.

use super::{
    Loaded,
    column::{self, Column},
    dataset::{Dataset, Split},
    encode::{Encoders, EncodersFitting, RowLayout},
    ids::Ids,
    rows_hash::{RowsHasher, name},
    schema::Schema,
    split::{AllRows, SplitSettings, neither_empty},
    table::{RawTable, TableFiles},
    time,
};
use crate::base::{Error, Result, error::Place, fsio, progress::Progress};
use bytemuck::Pod;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

const HEADER: &str = "encoded.json";
const ENCODERS: &str = "encoders.json";
const TRAIN: &str = "train";
const VALID: &str = "valid";
const SCHEMA_VERSION: u32 = 1;
/// What helps where a folder is damaged or of another version.
const AGAIN: &str = "encode the data again with `data encode`";

/// What an encoded folder holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the folder's form.
    pub schema_version: u32,
    /// Number of rows.
    pub rows: usize,
    /// Rows that are trained on; the encoders were fitted on them.
    pub train_rows: usize,
    /// Rows that are validated on.
    pub valid_rows: usize,
    /// Bytes of all columns.
    pub bytes: u64,
    /// Names of all columns.
    pub columns: Vec<String>,
    /// Of the schema.
    pub schema_hash: String,
    /// Of the encoders.
    pub encoder_hash: String,
    /// [`Dataset::rows_hash`].
    pub rows_hash: String,
    /// How the rows were divided.
    pub split: SplitSettings,
    /// Seed of the split.
    pub split_seed: u64,
}

/// Whether `path` is a folder that [`write()`] has finished.
pub fn is_encoded(path: &Path) -> bool {
    path.join(HEADER).is_file()
}

/// Encodes the file or folder at `source` into `folder`, which must not be there or be empty. What an unfinished call has left
/// beside it is written again.
pub fn write(
    schema: &Schema,
    source: &Path,
    settings: &SplitSettings,
    seed: u64,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Header> {
    let unfinished = Unfinished::claim(folder)?;
    let files = TableFiles::find(source)?;
    progress.stage("divide the rows and fit the encoders", 0);
    let mut divider = settings.divider(schema, &Source { files: &files, schema }, seed)?;
    let mut columns = Columns::new(&unfinished.folder);
    let (mut rows, mut train_rows, mut valid_rows) = (0, 0, 0);
    let mut fitting = EncodersFitting::new(schema);
    files.each_piece(&settings.columns(schema), |piece| {
        let (mut train, mut valid) = (Vec::new(), Vec::new());
        divider.divide(piece, |part, row| part.of(&mut train, &mut valid).push(row))?;
        columns.append(TRAIN, bytemuck::cast_slice(&train))?;
        columns.append(VALID, bytemuck::cast_slice(&valid))?;
        train_rows += train.len();
        valid_rows += valid.len();
        let in_piece: Vec<u32> = train.iter().map(|&row| row - rows as u32).collect();
        rows += piece.rows();
        progress.advance(rows as u64, &format!("{rows} rows"));
        fitting.see(piece, &in_piece)
    })?;
    divider.finish()?;
    neither_empty(train_rows, valid_rows, rows)?;
    let encoders = fitting.finish();
    progress.stage("encode", rows as u64);
    let (encoded, rows_hash) = encode(&files, schema, &encoders, &mut columns, progress)?;
    if encoded != rows {
        let problem = format!("{rows} rows when read first, {encoded} when read again");
        let fix = "encode the data again when nobody writes to them";
        return Err(Error::input(source, Place::whole(), problem, fix));
    }
    encoders.save(&unfinished.folder.join(ENCODERS))?;
    let header = Header {
        schema_version: SCHEMA_VERSION,
        rows,
        train_rows,
        valid_rows,
        columns: columns.names(),
        bytes: columns.finish()?,
        schema_hash: schema.hash(),
        encoder_hash: encoders.hash(),
        rows_hash,
        split: settings.clone(),
        split_seed: seed,
    };
    fsio::write_json(&unfinished.folder.join(HEADER), &header)?;
    unfinished.finish(folder)?;
    Ok(header)
}

/// Encodes all rows into `columns`: how many they were, and their hash.
fn encode(
    files: &TableFiles,
    schema: &Schema,
    encoders: &Encoders,
    columns: &mut Columns,
    progress: &dyn Progress,
) -> Result<(usize, String)> {
    let (mut hasher, mut rows) = (RowsHasher::default(), 0);
    files.each_piece(&schema.columns(), |piece| {
        let data = encoders.encode(schema, piece)?;
        data.columns().iter().try_for_each(|(name, bytes)| columns.append(name, bytes))?;
        hasher.add(&data);
        rows += piece.rows();
        progress.advance(rows as u64, "");
        Ok(())
    })?;
    Ok((rows, hasher.finish()))
}

/// Maps the data set in `folder`, which must have been encoded with this schema and split.
pub fn open(folder: &Path, schema: &Schema, settings: &SplitSettings, seed: u64) -> Result<Loaded> {
    let encoders = Encoders::load(&folder.join(ENCODERS))?;
    let (dataset, split) = (map(folder, schema, &encoders)?, split(folder, settings, seed)?);
    Ok(Loaded { dataset, split, encoders })
}

/// Maps the split in `folder`, which must be this one.
pub fn split(folder: &Path, settings: &SplitSettings, seed: u64) -> Result<Split> {
    let header = header(folder)?;
    if (&header.split, header.split_seed) != (settings, seed) {
        return Err(differs(folder, "another split"));
    }
    Ok(Split {
        train: mapped_below(folder, TRAIN, header.train_rows, header.rows)?,
        valid: mapped_below(folder, VALID, header.valid_rows, header.rows)?,
    })
}

/// Maps the rows in `folder`, which must have been encoded with these encoders.
pub fn map(folder: &Path, schema: &Schema, encoders: &Encoders) -> Result<Dataset> {
    let header = header(folder)?;
    for (found, wanted, what) in [
        (&header.schema_hash, schema.hash(), "another schema"),
        (&header.encoder_hash, encoders.hash(), "other encoders"),
    ] {
        if *found != wanted {
            return Err(differs(folder, what));
        }
    }
    let rows = header.rows;
    let RowLayout { features, number_slots } = encoders.layout();
    let packing = encoders.packing();
    let bytes = mapped(folder, name::IDS, rows.saturating_mul(packing.stride()))?;
    Ok(Dataset {
        features,
        ids: Ids::packed(packing, bytes),
        number_slots,
        numbers: mapped(folder, name::NUMBERS, rows.saturating_mul(number_slots))?,
        labels: mapped(folder, name::LABELS, rows)?,
        other_labels: (schema.other_labels.iter().enumerate())
            .map(|(i, label)| Ok((label.clone(), mapped(folder, &name::other_label(i), rows)?)))
            .collect::<Result<_>>()?,
        weights: mapped(folder, name::WEIGHTS, rows)?,
        groups: optional(folder, &header, name::GROUPS)?,
        partitions: mapped_below(folder, name::PARTITIONS, rows, encoders.partition_count() as usize)?,
        partition_count: encoders.partition_count(),
        teacher_scores: optional(folder, &header, name::TEACHER_SCORES)?,
        requests: optional(folder, &header, name::REQUESTS)?,
        user_keys: optional(folder, &header, name::USERS)?,
        item_keys: optional(folder, &header, name::ITEMS)?,
        stated_hash: Some(header.rows_hash),
    })
}

fn header(folder: &Path) -> Result<Header> {
    fsio::read_versioned(&folder.join(HEADER), SCHEMA_VERSION, AGAIN)
}

fn differs(folder: &Path, what: &str) -> Error {
    let problem = format!("the data were encoded with {what} than is asked for now");
    Error::input(
        folder.join(HEADER),
        Place::whole(),
        problem,
        "encode them again with `data encode`, or use the experiment that they were encoded with",
    )
}

fn optional<T: Pod>(folder: &Path, header: &Header, name: &str) -> Result<Option<Column<T>>> {
    let present = header.columns.iter().any(|column| column == name);
    present.then(|| mapped(folder, name, header.rows)).transpose()
}

fn mapped<T: Pod>(folder: &Path, column: &str, length: usize) -> Result<Column<T>> {
    Column::map(&file(folder, column), length, AGAIN)
}

/// [`mapped`], for what others are found by: in a damaged folder they would not be there.
fn mapped_below(folder: &Path, column: &str, length: usize, end: usize) -> Result<Column<u32>> {
    Column::map_below(&file(folder, column), length, end, AGAIN)
}

fn file(folder: &Path, column: &str) -> PathBuf {
    folder.join(format!("{column}.bin"))
}

/// The folder under the name that it has until it is whole.
struct Unfinished {
    folder: PathBuf,
    /// Nobody else writes there as long as this is open.
    _lock: File,
}

impl Unfinished {
    const LOCK: &str = "lock";

    fn claim(folder: &Path) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let own = folder.with_file_name(format!("{name}.unfinished"));
        check_free(folder)?;
        fsio::create_dir(&own)?;
        let path = own.join(Self::LOCK);
        File::create(&path).map_err(|e| Error::io(&path, "create", e))?;
        let lock = fsio::lock(&path, "the folder")?;
        // Another process may have finished it before the lock was ours.
        check_free(folder).or_else(|taken| fsio::remove_dir(&own).and(Err(taken)))?;
        for entry in std::fs::read_dir(&own).map_err(|e| Error::io(&own, "list", e))? {
            let entry = entry.map_err(|e| Error::io(&own, "list", e))?.path();
            if entry != path {
                fsio::remove(&entry)?;
            }
        }
        Ok(Self { folder: own, _lock: lock })
    }

    fn finish(self, folder: &Path) -> Result<()> {
        std::fs::rename(&self.folder, folder).map_err(|e| Error::io(folder, "rename into", e))?;
        // Not before: without it another process would take what is finished for remains.
        fsio::remove(&folder.join(Self::LOCK))
    }
}

/// Fails where something is in the place of the folder, or it could not be made.
fn check_free(folder: &Path) -> Result<()> {
    if is_encoded(folder) {
        let problem = format!("{} holds encoded data already", folder.display());
        return Err(Error::usage(problem, "name another --out, or remove it"));
    }
    fsio::check_free(folder)
}

/// The source as a split may have to see it before the first row is divided.
struct Source<'a> {
    files: &'a TableFiles,
    schema: &'a Schema,
}

impl AllRows for Source<'_> {
    fn count(&self) -> Result<usize> {
        let mut rows = 0;
        self.files.each_piece(&[&self.schema.label], |piece| {
            rows += piece.rows();
            Ok(())
        })?;
        Ok(rows)
    }

    fn times(&self, column: &str) -> Result<Vec<i64>> {
        let mut all = Vec::new();
        self.files.each_piece(&[column], |piece: &RawTable| {
            all.extend(time::times(piece, column)?);
            Ok(())
        })?;
        Ok(all)
    }
}

/// The files of columns while they grow.
struct Columns<'a> {
    folder: &'a Path,
    files: BTreeMap<String, (BufWriter<File>, u64)>,
}

impl<'a> Columns<'a> {
    fn new(folder: &'a Path) -> Self {
        Self { folder, files: BTreeMap::new() }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = file(self.folder, name);
        let io = |e| Error::io(&path, "write", e);
        if !self.files.contains_key(name) {
            let file = File::create(&path).map_err(io)?;
            self.files.insert(name.to_owned(), (BufWriter::new(file), 0));
        }
        let (file, length) = self.files.get_mut(name).expect("made above");
        *length += bytes.len() as u64;
        column::write(file, bytes).map_err(io)
    }

    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// Brings everything to the disk; returns how many bytes that is.
    fn finish(self) -> Result<u64> {
        let mut bytes = 0;
        for (name, (mut writer, length)) in self.files {
            bytes += length;
            let path = file(self.folder, &name);
            let done = writer.flush().and_then(|()| writer.get_ref().sync_data());
            done.map_err(|e| Error::io(path, "write", e))?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
