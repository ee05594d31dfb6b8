//! Which store a replay fetches from, as `--store` says it.

use super::{
    FeatureStore, Manifest,
    contents::Rows,
    embedded::{self, StoredFolder},
    lmdb,
    memory::MemoryStore,
    redis::{
        self, RedisStore,
        address::{Address, FORM},
    },
};
use crate::base::{Error, Result, fsio, keys, names::named, progress::Progress, stop::Stop};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// Where stored features come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "place", rename_all = "lowercase")]
pub enum StoreChoice {
    /// From no store: every value is copied from the data, and only inference is measured.
    #[default]
    None,
    /// From the memory of the process, which holds a copy of an embedded store.
    Memory(PathBuf),
    /// From the embedded store itself, on the disk.
    Embedded(PathBuf),
    /// From a Redis server.
    Redis {
        /// Where it is, and as whom it is asked.
        address: Address,
        /// How long a request waits for its whole answer, in ms.
        timeout_ms: u64,
    },
}

/// How long a request waits for a server unless it is said.
const TIMEOUT_MS: u64 = 100;

named! {
    /// What kind of store it is.
    StoreKind {
        /// In the memory of the process.
        Memory = "memory",
        /// A file of the process, mapped.
        Embedded = "embedded",
        /// A Redis server.
        Redis = "redis",
    }
}

impl StoreChoice {
    /// Opens it; none where nothing is fetched.
    ///
    /// Fails when it is not there, is damaged, or is of another version of this program.
    pub fn open(&self) -> Result<Option<Box<dyn FeatureStore>>> {
        Ok(match self {
            Self::None => None,
            Self::Memory(folder) => Some(Box::new(MemoryStore::of(&embedded::open(folder)?)?)),
            Self::Embedded(folder) => Some(Box::new(embedded::open(folder)?)),
            Self::Redis { address, timeout_ms } => {
                Some(Box::new(RedisStore::open(address, Duration::from_millis(*timeout_ms))?))
            }
        })
    }

    /// Writes all rows of `source` into it: into a new folder, or into a server in the place of those that it has. A request to
    /// `stop` ends that, and nothing is left of it.
    pub fn fill(&self, source: &dyn Rows, progress: &dyn Progress, stop: &Stop) -> Result<()> {
        match self {
            Self::None => Err(no_store()),
            Self::Memory(folder) | Self::Embedded(folder) => embedded::write(folder, source, progress, stop),
            Self::Redis { address, .. } => redis::fill(address, source, progress, stop),
        }
    }

    /// Fails where [`StoreChoice::fill`] would before it writes anything. Whether it holds something that would be replaced.
    pub fn check_fillable(&self) -> Result<bool> {
        match self {
            Self::None => Err(no_store()),
            Self::Memory(folder) | Self::Embedded(folder) => fsio::check_free(folder).map(|()| false),
            Self::Redis { address, .. } => redis::check_fillable(address),
        }
    }

    /// What it holds, and the length of its file where it is one.
    pub fn look(&self) -> Result<(Manifest, Option<u64>)> {
        match self {
            Self::None => Err(no_store()),
            Self::Memory(folder) | Self::Embedded(folder) => {
                StoredFolder::read(folder).map(|stored| (stored.content, Some(stored.file_bytes)))
            }
            Self::Redis { address, timeout_ms } => {
                let store = RedisStore::open(address, Duration::from_millis(*timeout_ms))?;
                Ok((store.manifest().clone(), None))
            }
        }
    }

    /// Tries whether stores of its kind can be used here, and a server be reached, whatever it holds.
    pub fn trial(&self) -> Result<()> {
        match self {
            Self::None | Self::Memory(_) => Ok(()),
            Self::Embedded(_) => lmdb::trial(),
            Self::Redis { address, timeout_ms } => redis::trial(address, Duration::from_millis(*timeout_ms)),
        }
    }

    /// Its kind; none where nothing is fetched.
    pub fn kind(&self) -> Option<StoreKind> {
        match self {
            Self::None => None,
            Self::Memory(_) => Some(StoreKind::Memory),
            Self::Embedded(_) => Some(StoreKind::Embedded),
            Self::Redis { .. } => Some(StoreKind::Redis),
        }
    }

    /// Its kind; fails where nothing is fetched.
    pub fn required(&self) -> Result<StoreKind> {
        self.kind().ok_or_else(no_store)
    }

    /// As whom a server is asked, in a form that only [`StoreChoice::tell`] reads: the JSON form of a choice does not hold it. None where
    /// nobody is named.
    pub fn secret(&self) -> Option<String> {
        match self {
            Self::Redis { address, .. } => address.secret(),
            Self::None | Self::Memory(_) | Self::Embedded(_) => None,
        }
    }

    /// Says as whom a server is to be asked: what [`StoreChoice::secret`] gave.
    pub fn tell(&mut self, secret: &str) -> Result<()> {
        match self {
            Self::Redis { address, .. } => address.tell(secret),
            Self::None | Self::Memory(_) | Self::Embedded(_) => Ok(()),
        }
    }

    /// Where it is, for results and messages: without a password.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::None => PathBuf::new(),
            Self::Memory(folder) | Self::Embedded(folder) => folder.clone(),
            Self::Redis { address, .. } => address.to_string().into(),
        }
    }
}

/// How a store is named.
const KINDS: [&str; 3] = ["memory", "embedded", "redis"];
const NAMES: &str = "write memory:STORE, embedded:STORE or redis://host; a path without a `:` is a store that is copied into memory";

impl FromStr for StoreChoice {
    type Err = Error;

    /// `none`, `memory:STORE`, `embedded:STORE`, or the address of a Redis server (`redis://`, `rediss://` with TLS), whose end may say how long a request waits:
    /// `redis://host?timeout_ms=50`. Any other text without a `:` is the path of a store that is copied into memory.
    ///
    /// What is refused may be an address with a password, so messages do not repeat it.
    fn from_str(text: &str) -> Result<Self> {
        let folder = |path: &str| match path.is_empty() || path.contains("://") {
            true => Err(Error::usage("no folder has such a name", NAMES)),
            false => Ok(PathBuf::from(path)),
        };
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None => folder(text).map(Self::Memory),
            Some(("memory", path)) => folder(path).map(Self::Memory),
            Some(("embedded", path)) => folder(path).map(Self::Embedded),
            Some(("redis" | "rediss", _)) => redis(text),
            Some((kind, _)) => Err(unknown(kind)),
        }
    }
}

fn redis(text: &str) -> Result<StoreChoice> {
    let (address, option) = Address::parse(text)?;
    let timeout_ms = match option.strip_prefix("timeout_ms=").map(str::parse) {
        None if option.is_empty() => TIMEOUT_MS,
        Some(Ok(timeout_ms @ 1..)) => timeout_ms,
        _ => {
            return Err(Error::usage(
                "a Redis store has the option timeout_ms alone, of 1 ms at least",
                FORM,
            ));
        }
    };
    Ok(StoreChoice::Redis { address, timeout_ms })
}

fn no_store() -> Error {
    Error::usage("`none` is no store", "name a folder, or redis://host")
}

/// Of a kind that there is not. Only a plain word is shown: anything else may be a part of a password.
fn unknown(kind: &str) -> Error {
    if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Error::usage("a path with a `:` needs the kind of its store before it", NAMES);
    }
    let fix = match keys::nearest(kind, KINDS) {
        Some(near) => format!("did you mean `{near}:`? {NAMES}"),
        None => NAMES.to_owned(),
    };
    Error::usage(format!("there is no kind `{kind}` of store"), fix)
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        match (self, self.kind()) {
            (Self::Redis { timeout_ms, .. }, _) => write!(f, "{}?timeout_ms={timeout_ms}", place.display()),
            (_, None) => f.write_str("none"),
            (_, Some(kind)) => write!(f, "{kind}:{}", place.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(address: &str, timeout_ms: u64) -> StoreChoice {
        StoreChoice::Redis { address: Address::parse(address).unwrap().0, timeout_ms }
    }

    fn parsed(text: &str) -> std::result::Result<StoreChoice, String> {
        text.parse::<StoreChoice>().map_err(|error| error.to_string())
    }

    #[test]
    fn a_store_is_named_by_its_kind_and_a_path_alone_is_copied_into_memory() {
        for (text, expected) in [
            ("none", StoreChoice::None),
            ("memory:a/b", StoreChoice::Memory("a/b".into())),
            ("embedded:a:b", StoreChoice::Embedded("a:b".into())),
            ("redis://host:1/2?timeout_ms=7", redis("redis://host:1/2", 7)),
            ("rediss://host:1/2?timeout_ms=7", redis("rediss://host:1/2", 7)),
        ] {
            let choice: StoreChoice = text.parse().unwrap();
            assert_eq!((choice.to_string(), &choice), (text.to_owned(), &expected));
        }
        assert_eq!(parsed("stores/first"), Ok(StoreChoice::Memory("stores/first".into())));
        assert_eq!(parsed("redis://host"), Ok(redis("redis://host", TIMEOUT_MS)));
        for wrong in ["redis://host?timeout=7", "redis://host?timeout_ms=0", "redis://host?timeout_ms=x"] {
            assert!(parsed(wrong).unwrap_err().contains("?timeout_ms=100"));
        }
    }

    #[test]
    fn what_is_no_kind_of_store_is_refused_with_the_nearest_and_not_taken_for_a_folder() {
        for (wrong, expected) in [
            ("memroy:path", "no kind `memroy` of store; did you mean `memory:`?"),
            ("reids://host", "did you mean `redis:`?"),
            ("Embedded:path", "did you mean `embedded:`?"),
            ("http://host", "no kind `http` of store; write memory:STORE"),
            ("rediss:/host", "rediss://… for a server with TLS"),
            ("redis:/host", "redis://[user:password@]host"),
            ("a/b:c", "needs the kind of its store"),
            ("memory:", "no folder has such a name"),
            ("memory:redis://host", "no folder has such a name"),
            ("", "no folder has such a name"),
        ] {
            let found = parsed(wrong).unwrap_err();
            assert!(found.contains(expected), "{wrong}: {found}");
        }
    }

    #[test]
    fn a_password_does_not_get_into_results_and_messages() {
        for text in ["redis://me:secret@host:1/2?timeout_ms=7", "redis://:secret?@host:1/2?timeout_ms=7"] {
            let choice: StoreChoice = text.parse().unwrap();
            assert_eq!(choice.to_string(), "redis://host:1/2?timeout_ms=7");
            assert_eq!(choice.place(), PathBuf::from("redis://host:1/2"));
            assert!(!format!("{choice:?}").contains("secret"));
            // A measuring process has to know it, and is told apart from its job, which is a file.
            let told = serde_json::to_string(&choice).unwrap();
            assert!(!told.contains("secret"), "{told}");
            let mut read: StoreChoice = serde_json::from_str(&told).unwrap();
            assert_ne!(read, choice);
            read.tell(&choice.secret().unwrap()).unwrap();
            assert_eq!(read, choice);
        }
        for wrong in [
            "redis:/:secret@host",
            "rediss://:secret@host:port",
            "reids://:secret@host",
            "//:secret@host",
            ":secret@host",
            "redis://:secret@host?timeout=1",
            "redis://:secret@host:port",
            "memory:redis://:secret@host",
            "user/:secret@host",
        ] {
            let found = parsed(wrong).unwrap_err();
            assert!(!found.contains("secret"), "{wrong}: {found}");
        }
    }
}
