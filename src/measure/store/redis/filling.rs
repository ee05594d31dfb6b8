//! Filling a server: all rows under a new name, of which readers learn when they are whole.
//!
//! What fillings that ended in the middle have left is removed before anything is written: a server that they have filled up would
//! take nothing else. One that fails removes what it has written.
//!
//! Of several at once the last to publish its manifest keeps all its rows, and the others fail. For that a filling publishes in a
//! transaction that its own mark and the manifest have not changed, whoever removes rows of others does it in one that the manifest has
//! not changed, and rows never go without their mark.

use super::{Address, Link, MANIFEST, PATIENCE, Server, row_key};
use crate::{
    base::{Error, Result, error::Place, progress::Progress, stop::Stop},
    measure::store::{
        contents::{Rows, news},
        manifest::Manifest,
        pairs::each_value,
    },
};
use redis::{RedisError, RedisResult, Value};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// Value of the mark of a filling that is under way.
const BEGUN: &str = "begun";
/// Rows that are written, or keys that are removed, per trip.
const BATCH: usize = 1000;
/// What all keys begin with.
const OURS: &str = "autofas:";
/// Digits of the name of a filling.
const DIGITS: usize = 16;
/// How long a failed filling waits for a server that may not answer at all.
const CLEANING: Duration = Duration::from_secs(5);

/// What stands under [`MANIFEST`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Current {
    pub(super) filling: Filling,
    pub(super) manifest: Manifest,
}

/// The random name of a filling: no server has two of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Filling(String);

impl Filling {
    fn new() -> Self {
        // The system's randomness and not a seed's: two fillings with the same seed are still two.
        Self(format!("{:0DIGITS$x}", RandomState::new().hash_one(std::process::id())))
    }

    /// Whose key it is; None of one that no filling has written.
    fn of_key(key: &[u8]) -> Option<Self> {
        let name = key.strip_prefix(OURS.as_bytes())?;
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let (name, rest) = name.split_at_checked(DIGITS)?;
        let sound = rest.first() == Some(&b':') && name.iter().all(digit);
        sound.then(|| Self(String::from_utf8_lossy(name).into_owned()))
    }

    /// What all its keys begin with.
    fn own(&self) -> String {
        format!("{OURS}{}:", self.0)
    }

    pub(super) fn mark(&self) -> String {
        self.own() + "mark"
    }

    /// What the keys of a group's rows begin with.
    pub(super) fn prefix(&self, group: usize) -> Vec<u8> {
        format!("{}{group}:", self.own()).into_bytes()
    }
}

/// Writes all rows of `source` to the server at `address`, in the place of those that it has. One at a time: of two that fill a
/// server at once one fails. What fails, or is ended by a request to `stop`, removes what it has written.
pub fn fill(address: &Address, source: &dyn Rows, progress: &dyn Progress, stop: &Stop) -> Result<()> {
    let server = Server::find(address)?;
    let filling = Filling::new();
    let filled = write(&server, &filling, source, progress, stop);
    let Err(error) = filled else { return Ok(()) };
    match (clean(&server, &filling), &error) {
        // Whoever stops it is told that nothing is left.
        (Err(left), Error::Interrupted { .. }) => {
            Err(server.failed("remove the rows of a store", CLEANING, left))
        }
        _ => Err(error),
    }
}

/// Fails where [`fill`] would before it writes anything. Whether the server has rows that would be replaced.
pub fn check_fillable(address: &Address) -> Result<bool> {
    let server = Server::find(address)?;
    let mut link = server.connect(PATIENCE)?;
    let before = current_filling(&mut link).map_err(|e| not_taken(&server, e))?;
    Ok(before.is_some())
}

fn not_taken(server: &Server, error: RedisError) -> Error {
    server.failed("take the rows of a store", PATIENCE, error)
}

fn write(
    server: &Server,
    filling: &Filling,
    source: &dyn Rows,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<()> {
    let mut link = server.connect(PATIENCE)?;
    let failed = |e| not_taken(server, e);
    let manifest = source.manifest().clone();
    let overtaken = || {
        let problem = "somebody else filled or emptied the server meanwhile";
        let fix = "fill it again with `store load`, one at a time";
        Err(Error::input(&server.name, Place::field(filling.mark()), problem, fix))
    };
    let before = current_filling(&mut link).map_err(failed)?;
    if !remove_others(&mut link, before.as_ref()).map_err(failed)? {
        return overtaken();
    }
    redis::cmd("SET").arg(filling.mark()).arg(BEGUN).exec(&mut link).map_err(failed)?;
    let mut advance = news(source.manifest(), progress, stop);
    for place in 0..manifest.groups.len() {
        write_group(&mut link, filling, source, place, &mut advance, &failed)?;
    }
    let published = publish(&mut link, filling, manifest).map_err(failed)?;
    if !published || !remove_others(&mut link, Some(filling)).map_err(failed)? {
        return overtaken();
    }
    Ok(())
}

/// Makes a filling that is whole the one that readers are told of; false where another one has removed some of it, or is published
/// meanwhile.
fn publish(link: &mut Link, filling: &Filling, manifest: Manifest) -> RedisResult<bool> {
    redis::cmd("WATCH").arg(filling.mark()).arg(MANIFEST).exec(link)?;
    let mark: Option<String> = redis::cmd("GET").arg(filling.mark()).query(link)?;
    if mark.as_deref() != Some(BEGUN) {
        return Ok(false);
    }
    let before = current_filling(link)?;
    let mut transaction = redis::pipe();
    transaction.atomic().cmd("SET").arg(filling.mark()).arg(&manifest.rows_hash);
    let current = Current { filling: filling.clone(), manifest };
    let json = serde_json::to_vec(&current).expect("a manifest is plain data");
    transaction.cmd("SET").arg(MANIFEST).arg(json);
    // Before any of its rows: whoever still reads them is told by this.
    if let Some(before) = before {
        transaction.cmd("UNLINK").arg(before.mark());
    }
    Ok(transaction.query::<Value>(link)? != Value::Nil)
}

/// Removes what a filling that failed has written, through a connection of its own: on the other one an answer may be late. What
/// readers have been told of stays.
fn clean(server: &Server, filling: &Filling) -> RedisResult<()> {
    let mut link = server.link(CLEANING, Instant::now() + CLEANING)?;
    if current_filling(&mut link)?.as_ref() == Some(filling) {
        return Ok(());
    }
    each_key(
        &mut link,
        |other| other == filling,
        |link, keys| redis::cmd("UNLINK").arg(keys).exec(link).map(|()| true),
    )
    .map(drop)
}

/// Removes all keys of fillings, finished or not, but those of `current`; false where that is not the published one any more.
fn remove_others(link: &mut Link, current: Option<&Filling>) -> RedisResult<bool> {
    let unlink = |link: &mut Link, keys: Vec<Vec<u8>>| {
        redis::cmd("WATCH").arg(MANIFEST).exec(link)?;
        if current_filling(link)?.as_ref() != current {
            return Ok(false);
        }
        let mut transaction = redis::pipe();
        transaction.atomic().cmd("UNLINK").arg(keys);
        Ok(transaction.query::<Value>(link)? != Value::Nil)
    };
    each_key(link, |other| Some(other) != current, unlink)
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

/// Gives `unlink` all keys of those fillings that `which` names, some at a time and their marks with them, until it says that it has not
/// removed some; false then.
fn each_key(
    link: &mut Link,
    which: impl Fn(&Filling) -> bool,
    unlink: impl Fn(&mut Link, Vec<Vec<u8>>) -> RedisResult<bool>,
) -> RedisResult<bool> {
    let mut cursor = 0u64;
    loop {
        let (next, mut keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{OURS}{}:*", "?".repeat(DIGITS)))
            .arg("COUNT")
            .arg(BATCH)
            .query(link)?;
        let mut marks = BTreeSet::new();
        keys.retain(|key| {
            let filling = Filling::of_key(key).filter(&which);
            filling.map(|filling| marks.insert(filling.mark().into_bytes())).is_some()
        });
        keys.extend(marks);
        if !keys.is_empty() && !unlink(link, keys)? {
            return Ok(false);
        }
        cursor = next;
        if cursor == 0 {
            return Ok(true);
        }
    }
}

/// The filling whose rows the server gives, to whatever version of this program; None where it has none.
fn current_filling(link: &mut Link) -> RedisResult<Option<Filling>> {
    #[derive(Deserialize)]
    struct Named {
        filling: Filling,
    }
    let json: Option<Vec<u8>> = redis::cmd("GET").arg(MANIFEST).query(link)?;
    Ok(json.and_then(|json| serde_json::from_slice::<Named>(&json).ok()).map(|named| named.filling))
}
