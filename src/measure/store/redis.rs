//! A Redis server as store.
//!
//! Every row is a plain string. Its key is `autofas:N:G:` and the key of the row as eight bytes, little-endian, where N numbers the
//! fillings of the server and G is the place of the group in the [`Manifest`], which is itself the string `autofas:manifest`. Filling
//! writes all rows under a new number and the manifest last, so that a reader sees the old content or the new one; then the old rows
//! go. Of pairs all of a user are one value (`pairs.rs`). Another database of the server (`redis://host/1`) is
//! another store.
//!
//! A request costs one trip: the groups are asked for by one `MGET` each, which are sent together. What is not a string is a row
//! that is not there, by the rules of `MGET`.

use super::{
    FeatureStore, Keys, Reader, RowSink,
    contents::{Rows, news},
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
    pairs::{Pairs, each_value},
};
use crate::base::{Error, Result, error::Place, progress::Progress};
use redis::{Client, Cmd, Connection, ConnectionLike, RedisError, Value};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};

const MANIFEST: &str = "autofas:manifest";
const FILLINGS: &str = "autofas:fillings";
/// Rows that are written, or keys that are removed, per trip.
const BATCH: usize = 1000;
/// A server that is filled or asked what it holds may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands under [`MANIFEST`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    filling: u64,
    manifest: Manifest,
}

/// A server with what it holds.
pub struct RedisStore {
    server: Server,
    current: Current,
    timeout: Duration,
}

/// Where a server is.
struct Server {
    client: Client,
    /// Without a password.
    name: String,
}

impl Server {
    fn new(url: &str) -> Result<Self> {
        let client = Client::open(url).map_err(|e| {
            Error::usage(
                format!("`{}` is no address of a Redis server ({e})", without_password(url)),
                "write redis://[user:password@]host[:port][/database]",
            )
        })?;
        Ok(Self { client, name: without_password(url) })
    }

    fn connect(&self, timeout: Duration) -> Result<Connection> {
        let connected = || {
            let connection = self.client.get_connection_with_timeout(timeout)?;
            connection.set_read_timeout(Some(timeout))?;
            connection.set_write_timeout(Some(timeout))?;
            Ok(connection)
        };
        connected().map_err(|e| self.failed("connect", timeout, e))
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

/// The address without what only its owner should know.
pub fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

fn prefix(filling: u64, group: usize) -> Vec<u8> {
    format!("autofas:{filling}:{group}:").into_bytes()
}

fn row_key(prefix: &[u8], key: u64) -> Vec<u8> {
    [prefix, &key.to_le_bytes()].concat()
}

/// Writes all rows of `source` to the server at `url`, in the place of those that it has. One at a time: of two that fill a server at
/// once the later one may miss rows.
pub fn fill(url: &str, source: &dyn Rows, progress: &dyn Progress) -> Result<()> {
    let server = Server::new(url)?;
    let mut connection = server.connect(PATIENCE)?;
    let failed = |e| server.failed("take the rows of a store", PATIENCE, e);
    let manifest = source.manifest().clone();
    let filling: u64 = redis::cmd("INCR").arg(FILLINGS).query(&mut connection).map_err(failed)?;
    let mut advance = news(source.manifest(), progress);
    for place in 0..manifest.groups.len() {
        let prefix = prefix(filling, place);
        let mut batch = redis::cmd("MSET");
        let mut waiting = 0;
        each_value(source, place, &mut advance, |key, value| {
            batch.arg(row_key(&prefix, key)).arg(value);
            waiting += 1;
            if waiting == BATCH {
                batch.exec(&mut connection).map_err(failed)?;
                (batch, waiting) = (redis::cmd("MSET"), 0);
            }
            Ok(())
        })?;
        if waiting > 0 {
            batch.exec(&mut connection).map_err(failed)?;
        }
    }
    let json = serde_json::to_vec(&Current { filling, manifest }).expect("a manifest is plain data");
    redis::cmd("SET").arg(MANIFEST).arg(json).exec(&mut connection).map_err(failed)?;
    remove_others(filling, &mut connection).map_err(failed)
}

/// Removes the rows of all other fillings, finished or not.
fn remove_others(filling: u64, connection: &mut Connection) -> redis::RedisResult<()> {
    let own = format!("autofas:{filling}:");
    let mut cursor = 0u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg("autofas:[0-9]*:*")
            .arg("COUNT")
            .arg(BATCH)
            .query(connection)?;
        let old: Vec<_> = keys.into_iter().filter(|key| !key.starts_with(own.as_bytes())).collect();
        if !old.is_empty() {
            redis::cmd("UNLINK").arg(old).exec(connection)?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

impl RedisStore {
    /// Asks the server at `url` what it holds. Its readers wait `timeout` at most for a connection, and as long for an answer.
    ///
    /// Fails when the server cannot be reached, or holds nothing that `store load` wrote.
    pub fn open(url: &str, timeout: Duration) -> Result<Self> {
        let server = Server::new(url)?;
        let mut connection = server.connect(PATIENCE)?;
        let asked = redis::cmd("GET").arg(MANIFEST).query(&mut connection);
        let json: Option<Vec<u8>> = asked.map_err(|e| server.failed("say what it holds", PATIENCE, e))?;
        let name = Path::new(&server.name);
        let wrong = |problem: String| Error::input(name, Place::field(MANIFEST), problem, LOAD_AGAIN);
        let json = json.ok_or_else(|| wrong("the server holds no features".into()))?;
        let mut current: Current =
            serde_json::from_slice(&json).map_err(|e| wrong(format!("is no manifest ({e})")))?;
        current.manifest.place = server.name.clone();
        current.manifest.check(name)?;
        Ok(Self { server, current, timeout })
    }
}

impl FeatureStore for RedisStore {
    fn manifest(&self) -> &Manifest {
        &self.current.manifest
    }

    fn reader(&self, groups: &[usize]) -> Result<Box<dyn Reader + '_>> {
        let prefixes = groups.iter().map(|&group| prefix(self.current.filling, group)).collect();
        Ok(Box::new(RedisReader {
            connection: Some(self.server.connect(self.timeout)?),
            store: self,
            owners: self.current.manifest.by_owner(groups),
            prefixes,
            packed: Vec::new(),
        }))
    }
}

struct RedisReader<'a> {
    store: &'a RedisStore,
    /// None after a failure: what comes late would be taken for the answer to the next request.
    connection: Option<Connection>,
    owners: Vec<(Owner, Vec<Wanted>)>,
    /// Of the wanted groups.
    prefixes: Vec<Vec<u8>>,
    /// The commands of a request.
    packed: Vec<u8>,
}

impl RedisReader<'_> {
    /// One `MGET` per group; gives their number.
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
        commands
    }

    /// What the server answers to as many packed commands.
    fn ask(&mut self, commands: usize) -> Result<Vec<Value>> {
        let RedisStore { server, timeout, .. } = self.store;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => server.connect(*timeout)?,
        };
        let answers = connection
            .req_packed_commands(&self.packed, 0, commands)
            .map_err(|e| server.failed("answer a request", *timeout, e))?;
        self.connection = Some(connection);
        Ok(answers)
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
