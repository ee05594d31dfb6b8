//! A Redis server as store.
//!
//! Every row is a plain string. Its key is `autofas:ID:G:` and the key of the row as eight bytes, little-endian, where ID is a random
//! name of the filling and G is the place of the group in the [`Manifest`], which is itself the string `autofas:manifest`. Of pairs
//! all of a user are one value (`pairs.rs`). Another database of the server (`redis://host/1`) is another store.
//!
//! `autofas:ID:mark` is the filling's mark. Filling (`filling.rs`) sets it first, then writes all rows, then sets it to the hash of the
//! rows and writes the manifest last, so that who opens the store sees the old content or the new one; then the old filling's mark goes,
//! and after it the old rows.
//!
//! A request costs one trip: the groups are asked for by one `MGET` each, and behind them the mark, all sent together. Whoever removes
//! rows removes their mark first, so while it is there and says the hash, no filling had removed any: a server that was emptied,
//! started again or filled again meanwhile fails the request, instead of giving rows that are missing. A server that evicts keys takes
//! single rows and tells nobody; those are counted as missing. What is not a string is a row that is not there, by the rules of `MGET`.

use super::{
    FeatureStore, Keys, Reader, RowSink,
    layout::Owner,
    manifest::{LOAD_AGAIN, Manifest, Wanted},
    pairs::Pairs,
};
use crate::base::{Error, Result, error::Place};
use address::{Address, Transport};
use filling::Current;
use link::Link;
use redis::{Cmd, RedisError, RedisResult, Value};
use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    time::{Duration, Instant},
};
use tls::Tls;

pub mod address;
mod filling;
mod link;
mod tls;

pub use filling::{check_fillable, fill};

const MANIFEST: &str = "autofas:manifest";
/// A server that is filled or asked what it holds may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with what it holds.
pub struct RedisStore {
    server: Server,
    current: Current,
    timeout: Duration,
}

/// Where a server is.
struct Server {
    address: Address,
    /// What its host stood for when the store was opened: no time-out bounds a look-up.
    sockets: Vec<SocketAddr>,
    /// How it is recognised; none of a plain connection.
    tls: Option<Tls>,
    /// For messages.
    name: String,
}

impl Server {
    /// Looks up the host.
    fn find(address: &Address) -> Result<Self> {
        let name = address.to_string();
        let found = address.socket().to_socket_addrs();
        let fix = "see whether the name of the host is right, and known here";
        let sockets = found.map_err(|e| Error::engine(&name, "look up the host", fix, e))?.collect();
        let tls = match address.transport() {
            Transport::Plain => None,
            Transport::Tls => Some(Tls::of(address)?),
        };
        Ok(Self { address: address.clone(), sockets, tls, name })
    }

    /// Requests take `timeout` at most, and so does connecting.
    fn connect(&self, timeout: Duration) -> Result<Link> {
        self.connect_until(timeout, Instant::now() + timeout)
    }

    fn connect_until(&self, timeout: Duration, until: Instant) -> Result<Link> {
        self.link(timeout, until).map_err(|e| self.failed("connect", timeout, e))
    }

    fn link(&self, timeout: Duration, until: Instant) -> RedisResult<Link> {
        Link::connect(&self.address, &self.sockets, self.tls.as_ref(), timeout, until)
    }

    fn failed(&self, action: &str, timeout: Duration, error: RedisError) -> Error {
        let fix = match (error.is_timeout(), &self.tls) {
            (true, tls) => format!(
                "it did not answer within {} ms: {}look at its load, or allow more, as in `{}?timeout_ms=1000`",
                timeout.as_millis(),
                // One without takes the first words for the begin of a command, and waits for its end.
                tls.as_ref().map_or("", |_| "see whether it speaks TLS there, "),
                self.name
            ),
            _ if error.code() == Some("WRONGTYPE") => format!(
                "{MANIFEST} is somebody else's there: remove it, or name another database of the server, as in `redis://host/1`"
            ),
            (false, None) => "see whether the server runs and takes this address, user and password".to_owned(),
            (false, Some(_)) => {
                "see whether the server runs, takes this address, user and password, speaks TLS there, and shows a certificate for \
                 this host that the machine trusts or that is in the file SSL_CERT_FILE"
                    .to_owned()
            }
        };
        // Its own words alone: they repeat those of its cause.
        Error::engine(&self.name, action, fix, error.to_string())
    }
}

/// Asks a server whether it is there, and takes its address, user and password.
pub fn trial(address: &Address, timeout: Duration) -> Result<()> {
    Server::find(address)?.connect(timeout).map(drop)
}

fn row_key(prefix: &[u8], key: u64) -> Vec<u8> {
    [prefix, &key.to_le_bytes()].concat()
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
    /// Asks the server at `address` what it holds. Its readers have `timeout` for a request, connecting included; its host is looked up
    /// once, here.
    ///
    /// Fails when the server cannot be reached, or holds nothing that `store load` wrote.
    pub fn open(address: &Address, timeout: Duration) -> Result<Self> {
        let server = Server::find(address)?;
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
