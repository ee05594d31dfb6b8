//! The same in redb, to be compared.

use super::{
    FeatureStore, Keys, Reader, RowSink,
    contents::Rows,
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
    pairs::{Gathering, Pairs},
};
use crate::base::{Error, Result, error::Place};
use redb::{Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, TableDefinition};
use std::path::{Path, PathBuf};

/// A file of redb, opened for reading.
pub struct RedbStore {
    path: PathBuf,
    manifest: Manifest,
    database: ReadOnlyDatabase,
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> Error {
    Error::input(path, Place::whole(), format!("redb failed ({})", error.into()), LOAD_AGAIN)
}

/// Writes all rows of `source`.
pub fn fill(path: &Path, source: &dyn Rows) -> Result<()> {
    let database = Database::create(path).map_err(|e| failed(path, e))?;
    for (place, group) in source.manifest().groups.iter().enumerate() {
        let writing = database.begin_write().map_err(|e| failed(path, e))?;
        {
            let name = format!("group{place}");
            let definition: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(&name);
            let mut table = writing.open_table(definition).map_err(|e| failed(path, e))?;
            let mut put =
                |key: u64, value: &[u8]| table.insert(key, value).map(drop).map_err(|e| failed(path, e));
            let mut gathering = Gathering::default();
            source.each(place, &mut |key, row| match group.owner {
                Owner::User | Owner::Item => put(key[0], row),
                Owner::Pair => gathering.add(key, row).map_or(Ok(()), |(user, value)| put(user, &value)),
            })?;
            gathering.finish().map_or(Ok(()), |(user, value)| put(user, &value))?;
        }
        writing.commit().map_err(|e| failed(path, e))?;
    }
    Ok(())
}

impl RedbStore {
    /// Opens a file that [`fill`] has written.
    pub fn open(path: &Path, manifest: Manifest) -> Result<Self> {
        let database = ReadOnlyDatabase::open(path).map_err(|e| failed(path, e))?;
        Ok(Self { path: path.to_owned(), manifest, database })
    }
}

impl FeatureStore for RedbStore {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let reading = self.database.begin_read().map_err(|e| failed(&self.path, e))?;
        let table = |group: &usize| {
            let name = format!("group{group}");
            let definition: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(&name);
            reading.open_table(definition).map_err(|e| failed(&self.path, e))
        };
        let tables = groups.iter().map(table).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(RedbReader { store: self, tables, owners: self.manifest.by_owner(groups) }))
    }
}

struct RedbReader<'a> {
    store: &'a RedbStore,
    tables: Vec<ReadOnlyTable<u64, &'static [u8]>>,
    owners: Vec<(Owner, Vec<Wanted>)>,
}

const BLOCK: usize = 64;

impl Reader for RedbReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        let mut guards = Vec::with_capacity(BLOCK);
        for (owner, groups) in &self.owners {
            for &Wanted { wanted, row_bytes, .. } in groups {
                let get = |key: u64| self.tables[wanted].get(key).map_err(|e| failed(&self.store.path, e));
                let mut block = [None; BLOCK];
                match owner {
                    Owner::User => {
                        let row = get(keys.user)?;
                        sink.take(wanted, 0, &[row.as_ref().map(|row| row.value())]);
                    }
                    Owner::Item => {
                        for (items, first) in keys.items.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
                            let mut block = [None; BLOCK];
                            guards.clear();
                            for &item in items {
                                guards.push(get(item)?);
                            }
                            for (row, guard) in block.iter_mut().zip(&guards) {
                                *row = guard.as_ref().map(|guard| guard.value());
                            }
                            sink.take(wanted, first, &block[..items.len()]);
                        }
                    }
                    Owner::Pair => {
                        let value = get(keys.user)?;
                        let pairs = value.as_ref().and_then(|value| Pairs::parse(value.value(), row_bytes));
                        let pairs = pairs.unwrap_or_default();
                        for (items, first) in keys.items.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
                            block.iter_mut().zip(items).for_each(|(row, &item)| *row = pairs.row(item));
                            sink.take(wanted, first, &block[..items.len()]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
