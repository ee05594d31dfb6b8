//! A Redis server as store.
//!
//! Every row is a plain string. Its key is `autofas:ID:G:` and the key of the row as eight bytes, little-endian, where ID is a random
//! name of the filling and G is the place of the group in the [`Manifest`], which is itself the string `autofas:manifest`. Of pairs
//! all of a user are one value (`pairs.rs`). Another database of the server (`redis://host/1`) is another store.
//!
//! `autofas:ID:mark` is the filling's mark. Filling sets it first, then writes all rows, then sets it to the hash of the rows and
//! writes the manifest last, so that who opens the store sees the old content or the new one; then the old filling's mark goes, and
//! after it the old rows.
//!
//! A request costs one trip: the groups are asked for by one `MGET` each, and behind them the mark, all sent together. While the mark
//! is there and says the hash, all rows were: a server that was emptied, started again or filled again meanwhile fails the request,
//! instead of giving rows that are missing. What is not a string is a row that is not there, by the rules of `MGET`.

use super::{
    FeatureStore, Keys, Reader, RowSink,
    contents::{Rows, news},
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
    pairs::{Pairs, each_value},
};
use crate::base::{Error, Result, error::Place, progress::Progress, stop::Stop};
use address::Address;
use link::Link;
use redis::{Cmd, RedisError, RedisResult, Value};
use serde::{Deserialize, Serialize};
use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    time::{Duration, Instant},
};

pub mod address;
mod link;

const MANIFEST: &str = "autofas:manifest";
/// Value of the mark of a filling that is under way.
const BEGUN: &str = "begun";
/// Rows that are written, or keys that are removed, per trip.
const BATCH: usize = 1000;
/// A server that is filled or asked what it holds may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands under [`MANIFEST`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    filling: Filling,
    manifest: Manifest,
}

/// The random name of a filling: no server has two of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Filling(String);

impl Filling {
    fn new() -> Self {
        // The system's randomness and not a seed's: two fillings with the same seed are still two.
        Self(format!("{:016x}", RandomState::new().hash_one(std::process::id())))
    }

    /// What all its keys begin with.
    fn own(&self) -> String {
        format!("autofas:{}:", self.0)
    }

    fn mark(&self) -> String {
        self.own() + "mark"
    }

    /// What the keys of a group's rows begin with.
    fn prefix(&self, group: usize) -> Vec<u8> {
        format!("{}{group}:", self.own()).into_bytes()
    }
}

/// A server with what it holds.
pub struct RedisStore {
    server: Server,
    current: Current,
    timeout: Duration,
}

/// Where a server is.
struct Server {
    address: Address,
    /// For messages.
    name: String,
}

impl Server {
    fn new(address: &Address) -> Self {
        Self { address: address.clone(), name: address.to_string() }
    }

    /// Requests take `timeout` at most, and so does connecting.
    fn connect(&self, timeout: Duration) -> Result<Link> {
        self.connect_until(timeout, Instant::now() + timeout)
    }

    fn connect_until(&self, timeout: Duration, until: Instant) -> Result<Link> {
        Link::connect(&self.address, timeout, until).map_err(|e| self.failed("connect", timeout, e))
    }

    fn failed(&self, action: &str, timeout: Duration, error: RedisError) -> Error {
        let fix = match error.is_timeout() {
            true => format!(
                "it did not answer within {} ms: look at its load, or allow more, as in `{}?timeout_ms=1000`",
                timeout.as_millis(),
                self.name
            ),
            false => "see whether the server runs and takes this address, user and password".to_owned(),
        };
        Error::engine(&self.name, action, fix, error)
    }
}

fn row_key(prefix: &[u8], key: u64) -> Vec<u8> {
    [prefix, &key.to_le_bytes()].concat()
}

/// Writes all rows of `source` to the server at `address`, in the place of those that it has. One at a time: of two that fill a
/// server at once, the one that the other has come before fails. A request to `stop` removes what was written.
pub fn fill(address: &Address, source: &dyn Rows, progress: &dyn Progress, stop: &Stop) -> Result<()> {
    let server = Server::new(address);
    let mut link = server.connect(PATIENCE)?;
    let failed = |e| server.failed("take the rows of a store", PATIENCE, e);
    let manifest = source.manifest().clone();
    let (filling, rows_hash) = (Filling::new(), manifest.rows_hash.clone());
    redis::cmd("SET").arg(filling.mark()).arg(BEGUN).exec(&mut link).map_err(failed)?;
    let mut advance = news(source.manifest(), progress, stop);
    for place in 0..manifest.groups.len() {
        let written = write_group(&mut link, &filling, source, place, &mut advance, &failed);
        if let Err(interrupted @ Error::Interrupted { .. }) = written {
            // Else they would stay until the next filling.
            remove(&mut link, |key| key.starts_with(filling.own().as_bytes())).map_err(failed)?;
            return Err(interrupted);
        }
        written?;
    }
    let mark = redis::cmd("SET").arg(filling.mark()).arg(rows_hash).arg("XX").query::<Value>(&mut link);
    if mark.map_err(failed)? == Value::Nil {
        let problem = "somebody else filled or emptied the server meanwhile";
        let fix = "fill it again with `store load`, one at a time";
        return Err(Error::input(&server.name, Place::field(filling.mark()), problem, fix));
    }
    let before = current(&server, &mut link).ok();
    let json = serde_json::to_vec(&Current { filling: filling.clone(), manifest })
        .expect("a manifest is plain data");
    redis::cmd("SET").arg(MANIFEST).arg(json).exec(&mut link).map_err(failed)?;
    // Before any of its rows: whoever still reads them is told by this.
    let old = before.map(|before| redis::cmd("UNLINK").arg(before.filling.mark()).exec(&mut link));
    old.transpose().map_err(failed)?;
    remove(&mut link, |key| !key.starts_with(filling.own().as_bytes())).map_err(failed)
}

/// Writes the rows of a group, a thousand per trip.
fn write_group(
    link: &mut Link,
    filling: &Filling,
    source: &dyn Rows,
    group: usize,
    advance: impl FnMut() -> Result<()>,
    failed: &dyn Fn(RedisError) -> Error,
) -> Result<()> {
    let prefix = filling.prefix(group);
    let mut batch = redis::cmd("MSET");
    let mut waiting = 0;
    each_value(source, group, advance, |key, value| {
        batch.arg(row_key(&prefix, key)).arg(value);
        waiting += 1;
        if waiting == BATCH {
            batch.exec(link).map_err(failed)?;
            (batch, waiting) = (redis::cmd("MSET"), 0);
        }
        Ok(())
    })?;
    if waiting > 0 { batch.exec(link).map_err(failed) } else { Ok(()) }
}

/// Removes those keys of fillings, finished or not, that `which` names.
fn remove(link: &mut Link, which: impl Fn(&[u8]) -> bool) -> RedisResult<()> {
    let mut cursor = 0u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg("autofas:*:*")
            .arg("COUNT")
            .arg(BATCH)
            .query(link)?;
        let gone: Vec<_> = keys.into_iter().filter(|key| which(key)).collect();
        if !gone.is_empty() {
            redis::cmd("UNLINK").arg(gone).exec(link)?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// What a server says that it holds.
fn current(server: &Server, link: &mut Link) -> Result<Current> {
    let asked = redis::cmd("GET").arg(MANIFEST).query(link);
    let json: Option<Vec<u8>> = asked.map_err(|e| server.failed("say what it holds", PATIENCE, e))?;
    let wrong = |problem: String| Error::input(&server.name, Place::field(MANIFEST), problem, LOAD_AGAIN);
    let json = json.ok_or_else(|| wrong("the server holds no features".into()))?;
    serde_json::from_slice(&json).map_err(|e| wrong(format!("is no manifest of this version ({e})")))
}

impl RedisStore {
    /// Asks the server at `address` what it holds. Its readers have `timeout` for a request, connecting included.
    ///
    /// Fails when the server cannot be reached, or holds nothing that `store load` wrote.
    pub fn open(address: &Address, timeout: Duration) -> Result<Self> {
        let server = Server::new(address);
        let mut link = server.connect(PATIENCE)?;
        let mut current = current(&server, &mut link)?;
        current.manifest.place = server.name.clone();
        current.manifest.check(Path::new(&server.name))?;
        Ok(Self { server, current, timeout })
    }
}

impl FeatureStore for RedisStore {
    fn manifest(&self) -> &Manifest {
        &self.current.manifest
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let filling = &self.current.filling;
        Ok(Box::new(RedisReader {
            link: Some(self.server.connect(self.timeout)?),
            store: self,
            owners: self.current.manifest.by_owner(groups),
            prefixes: groups.iter().map(|&group| filling.prefix(group)).collect(),
            packed: Vec::new(),
        }))
    }
}

struct RedisReader<'a> {
    store: &'a RedisStore,
    /// None after a failure: what comes late would be taken for the answer to the next request.
    link: Option<Link>,
    owners: Vec<(Owner, Vec<Wanted>)>,
    /// Of the wanted groups.
    prefixes: Vec<Vec<u8>>,
    /// The commands of a request.
    packed: Vec<u8>,
}

impl RedisReader<'_> {
    /// One `MGET` per group, and the question for the mark; gives the number of commands, 0 where no row is asked for.
    fn pack(&mut self, keys: Keys<'_>) -> usize {
        self.packed.clear();
        let mut commands = 0;
        for (owner, groups) in &self.owners {
            let user = [keys.user];
            let asked = match owner {
                Owner::User | Owner::Pair => &user[..],
                Owner::Item => keys.items,
            };
            for group in groups.iter().filter(|_| !asked.is_empty()) {
                let mut command = Cmd::with_capacity(1 + asked.len(), 32 * asked.len());
                command.arg("MGET");
                let mut key = self.prefixes[group.wanted].clone();
                let fixed = key.len();
                for row in asked {
                    key.truncate(fixed);
                    key.extend_from_slice(&row.to_le_bytes());
                    command.arg(&key[..]);
                }
                command.write_packed_command(&mut self.packed);
                commands += 1;
            }
        }
        if commands == 0 {
            return 0;
        }
        let mark = self.store.current.filling.mark();
        redis::cmd("GET").arg(mark).write_packed_command(&mut self.packed);
        commands + 1
    }

    /// What the server answers to as many packed commands, of which the last asks for the mark; without the answer to that.
    fn ask(&mut self, commands: usize) -> Result<Vec<Value>> {
        let RedisStore { server, timeout, current } = self.store;
        let until = Instant::now() + *timeout;
        let mut link = match self.link.take() {
            Some(link) => link,
            None => server.connect_until(*timeout, until)?,
        };
        let mut answers = link
            .ask(&self.packed, commands, until)
            .map_err(|e| server.failed("answer a request", *timeout, e))?;
        self.link = Some(link);
        let mark = answers.pop();
        if mark.as_ref().and_then(bytes) == Some(current.manifest.rows_hash.as_bytes()) {
            return Ok(answers);
        }
        if let Some(Value::ServerError(error)) = mark {
            return Err(self.odd(&format!("an error ({error:?})")));
        }
        let problem = "the server was emptied or filled again since this store was opened";
        let fix = "run it again while nobody fills the server; where it is empty, fill it with `store load`";
        Err(Error::input(&server.name, Place::field(current.filling.mark()), problem, fix))
    }

    fn odd(&self, found: &str) -> Error {
        Error::input(
            &self.store.server.name,
            Place::whole(),
            format!("the server answers with {found}"),
            LOAD_AGAIN,
        )
    }
}

impl Reader for RedisReader<'_> {
    fn fetch(&mut self, keys: Keys<'_>, sink: &mut dyn RowSink) -> Result<()> {
        let mut answers = match self.pack(keys) {
            // Of no candidates, and nothing of the user.
            0 => return Ok(()),
            commands => self.ask(commands)?.into_iter(),
        };
        for (owner, groups) in &self.owners {
            for &Wanted { wanted, row_bytes, .. } in groups {
                if *owner == Owner::Item && keys.items.is_empty() {
                    continue;
                }
                let values = match answers.next() {
                    Some(Value::Array(values)) => values,
                    Some(Value::ServerError(error)) => return Err(self.odd(&format!("an error ({error:?})"))),
                    _ => return Err(self.odd("something else than rows")),
                };
                let rows: Vec<Option<&[u8]>> = values.iter().map(bytes).collect();
                match owner {
                    Owner::User | Owner::Item => sink.take(wanted, 0, &rows),
                    Owner::Pair => {
                        let value = rows.first().copied().flatten().unwrap_or_default();
                        let pairs = Pairs::parse(value, row_bytes)
                            .ok_or_else(|| self.odd("pairs of another length"))?;
                        let rows: Vec<_> = keys.items.iter().map(|&item| pairs.row(item)).collect();
                        sink.take(wanted, 0, &rows);
                    }
                }
            }
        }
        Ok(())
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
