//! A store on the disk: LMDB in one file, mapped into memory.
//!
//! Every group is a database of its own, by the user's or the item's key; of pairs all of a user are one value (`pairs.rs`).

use super::{
    BLOCK, FeatureStore, Keys, Reader, RowSink,
    contents::{RowKey, Rows},
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
    pairs::{Pairs, each_value},
};
use crate::base::{Error, Result, error::Place, fsio};
use heed::{
    Database, Env, EnvFlags, EnvOpenOptions, IntegerComparator, PutFlags, RoTxn, WithoutTls,
    byteorder::NativeEndian,
    types::{Bytes, U64},
};
use std::path::{Path, PathBuf};

type Group = Database<U64<NativeEndian>, Bytes, IntegerComparator>;

/// A file of LMDB, opened for reading.
pub struct LmdbStore {
    path: PathBuf,
    manifest: Manifest,
    env: Env<WithoutTls>,
    groups: Vec<Group>,
}

/// Writes all rows of `source` into a new file; `advance` is called for every one, and ends it by failing.
pub fn fill(path: &Path, source: &dyn Rows, mut advance: impl FnMut() -> Result<()>) -> Result<()> {
    let failed = |e| failed(path, "write", e);
    let manifest = source.manifest();
    // Only addresses: the file grows as it is written. It reaches the disk once, at the end.
    let keys = Owner::ALL.map(|owner| manifest.keys(owner)).iter().sum::<u64>();
    let room = 4 * (manifest.row_bytes() + 128 * keys * manifest.groups.len() as u64) + (64 << 20);
    let env = open(path, EnvFlags::NO_SYNC, room as usize, manifest.groups.len()).map_err(failed)?;
    for place in 0..manifest.groups.len() {
        let mut writing = env.write_txn().map_err(failed)?;
        let name = name(place);
        let mut options = env.database_options().types::<U64<NativeEndian>, Bytes>().key_comparator();
        let database: Group = options.name(&name).create(&mut writing).map_err(failed)?;
        each_value(source, place, &mut advance, |key, value| {
            database.put_with_flags(&mut writing, PutFlags::APPEND, &key, value).map_err(failed)
        })?;
        writing.commit().map_err(failed)?;
    }
    env.force_sync().map_err(failed)
}

/// Writes a store without rows into a temporary folder and opens it: what fails there fails for every store.
pub fn trial() -> Result<()> {
    struct Nothing(Manifest);
    impl Rows for Nothing {
        fn manifest(&self) -> &Manifest {
            &self.0
        }
        fn each(&self, _: usize, _: &mut dyn FnMut(RowKey, &[u8]) -> Result<()>) -> Result<()> {
            Ok(())
        }
    }
    let folder = fsio::temporary_folder()?;
    let path = folder.path().join("trial");
    let nothing = Nothing(Manifest::of_nothing());
    fill(&path, &nothing, || Ok(()))?;
    LmdbStore::open(&path, nothing.0).map(drop)
}

fn name(group: usize) -> String {
    format!("group{group}")
}

/// `room` is the size of the map; 0 for that of a file that is there.
fn open(path: &Path, flags: EnvFlags, room: usize, groups: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(groups as u32 + 1);
    if room > 0 {
        options.map_size(room.next_multiple_of(1 << 20));
    }
    // SAFETY: whoever writes such a file renames it into place when it is whole, and nobody changes it afterwards; so it needs no
    // locks either, and one that is being written is its writer's alone.
    unsafe {
        options.flags(flags | EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK);
        options.open(path)
    }
}

fn failed(path: &Path, action: &'static str, error: heed::Error) -> Error {
    match error {
        heed::Error::Io(error) => Error::io(path, action, error),
        other => Error::input(path, Place::whole(), format!("LMDB cannot {action} it ({other})"), LOAD_AGAIN),
    }
}

impl LmdbStore {
    /// Opens a file that [`fill`] has written.
    pub fn open(path: &Path, manifest: Manifest) -> Result<Self> {
        let failed = |e| failed(path, "read", e);
        let env = open(path, EnvFlags::READ_ONLY, 0, manifest.groups.len()).map_err(failed)?;
        let reading = env.read_txn().map_err(failed)?;
        let group = |place: usize| {
            let name = name(place);
            let mut options = env.database_options().types::<U64<NativeEndian>, Bytes>().key_comparator();
            options.name(&name).open(&reading).map_err(failed)?.ok_or_else(|| {
                let group = &manifest.groups[place].name;
                Error::input(path, Place::field(group), "the file has no such group", LOAD_AGAIN)
            })
        };
        let groups = (0..manifest.groups.len()).map(group).collect::<Result<Vec<_>>>()?;
        // Else the handles of the groups would end with it.
        reading.commit().map_err(failed)?;
        Ok(Self { path: path.to_owned(), manifest, env, groups })
    }
}

impl Rows for LmdbStore {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn each(&self, group: usize, visit: &mut dyn FnMut(RowKey, &[u8]) -> Result<()>) -> Result<()> {
        let failed = |e| failed(&self.path, "read", e);
        let reading = self.env.read_txn().map_err(failed)?;
        let layout = &self.manifest.groups[group];
        for entry in self.groups[group].iter(&reading).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            match layout.owner {
                Owner::User | Owner::Item => visit([key, 0], value)?,
                Owner::Pair => {
                    let pairs = parse(&self.path, value, layout.row_bytes)?;
                    pairs.each().try_for_each(|(item, row)| visit([key, item], row))?;
                }
            }
        }
        Ok(())
    }
}

fn parse<'a>(path: &Path, value: &'a [u8], row_bytes: usize) -> Result<Pairs<'a>> {
    Pairs::parse(value, row_bytes).ok_or_else(|| {
        let problem = format!("{} bytes of a user's pairs are no rows of {row_bytes}", value.len());
        Error::input(path, Place::whole(), problem, LOAD_AGAIN)
    })
}

impl FeatureStore for LmdbStore {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let reading = self.env.read_txn().map_err(|e| failed(&self.path, "read", e))?;
        Ok(Box::new(LmdbReader { store: self, reading, owners: self.manifest.by_owner(groups) }))
    }
}

struct LmdbReader<'a> {
    store: &'a LmdbStore,
    /// Open as long as the reader: nobody writes, so it holds nothing back.
    reading: RoTxn<'a, WithoutTls>,
    owners: Vec<(Owner, Vec<Wanted>)>,
}

impl LmdbReader<'_> {
    fn get(&self, group: usize, key: u64) -> Result<Option<&[u8]>> {
        self.store.groups[group].get(&self.reading, &key).map_err(|e| failed(&self.store.path, "read", e))
    }
}

impl Reader for LmdbReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        for (owner, groups) in &self.owners {
            for &Wanted { wanted, group, row_bytes } in groups {
                let own = match owner {
                    Owner::User => {
                        sink.take(wanted, 0, &[self.get(group, keys.user)?]);
                        continue;
                    }
                    Owner::Item => None,
                    Owner::Pair => {
                        let value = self.get(group, keys.user)?;
                        Some(value.map_or(Ok(Pairs::default()), |value| {
                            parse(&self.store.path, value, row_bytes)
                        })?)
                    }
                };
                let mut block = [None; BLOCK];
                for (items, first) in keys.items.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
                    let block = &mut block[..items.len()];
                    for (row, &item) in block.iter_mut().zip(items) {
                        *row = match &own {
                            Some(pairs) => pairs.row(item),
                            None => self.get(group, item)?,
                        };
                    }
                    sink.take(wanted, first, block);
                }
            }
        }
        Ok(())
    }
}
