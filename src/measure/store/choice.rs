//! Which store a replay fetches from, as `--store` says it.

use super::{
    FeatureStore, Manifest,
    contents::Rows,
    embedded::{self, StoredFolder},
    memory::MemoryStore,
    redis::{self, RedisStore},
};
use crate::base::{Error, Result, progress::Progress};
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
        /// `redis://[user:password@]host[:port][/database]`.
        url: String,
        /// How long a request waits for it, in ms.
        timeout_ms: u64,
    },
}

/// How long a request waits for a server unless it is said.
const TIMEOUT_MS: u64 = 100;

/// What kind of store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the memory of the process.
    Memory,
    /// A file of the process, mapped.
    Embedded,
    /// A Redis server.
    Redis,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Redis => "redis",
        })
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
            Self::Redis { url, timeout_ms } => {
                Some(Box::new(RedisStore::open(url, Duration::from_millis(*timeout_ms))?))
            }
        })
    }

    /// Writes all rows of `source` into it: into a new folder, or into a server in the place of those that it has.
    pub fn fill(&self, source: &dyn Rows, progress: &dyn Progress) -> Result<()> {
        match self {
            Self::None => Err(Error::usage("`none` is no store", "name a folder, or redis://host")),
            Self::Memory(folder) | Self::Embedded(folder) => embedded::write(folder, source, progress),
            Self::Redis { url, .. } => redis::fill(url, source, progress),
        }
    }

    /// What it holds, and the length of its file where it is one.
    pub fn look(&self) -> Result<(Manifest, Option<u64>)> {
        match self {
            Self::None => Err(Error::usage("`none` is no store", "name a folder, or redis://host")),
            Self::Memory(folder) | Self::Embedded(folder) => {
                StoredFolder::read(folder).map(|stored| (stored.content, Some(stored.file_bytes)))
            }
            Self::Redis { url, timeout_ms } => {
                let store = RedisStore::open(url, Duration::from_millis(*timeout_ms))?;
                Ok((store.manifest().clone(), None))
            }
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

    /// Where it is, for results and messages: without a password.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::None => PathBuf::new(),
            Self::Memory(folder) | Self::Embedded(folder) => folder.clone(),
            Self::Redis { url, .. } => redis::without_password(url).into(),
        }
    }
}

impl FromStr for StoreChoice {
    type Err = Error;

    /// `none`, `memory:STORE`, `embedded:STORE`, or the address of a Redis server, whose end may say how long a request waits:
    /// `redis://host?timeout_ms=50`. Any other text is the path of a store that is copied into memory.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            _ if text == "none" => Self::None,
            Some(("memory", path)) => Self::Memory(path.into()),
            Some(("embedded", path)) => Self::Embedded(path.into()),
            Some(("redis", _)) => {
                let (url, option) = text.split_once('?').unwrap_or((text, ""));
                let timeout_ms = match option.strip_prefix("timeout_ms=").map(str::parse) {
                    None if option.is_empty() => TIMEOUT_MS,
                    Some(Ok(timeout_ms @ 1..)) => timeout_ms,
                    _ => {
                        let problem = format!("`{option}` is no option of a Redis store");
                        return Err(Error::usage(
                            problem,
                            "write redis://host?timeout_ms=50, with 1 ms at least",
                        ));
                    }
                };
                Self::Redis { url: url.to_owned(), timeout_ms }
            }
            _ => Self::Memory(text.into()),
        })
    }
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

    fn redis(url: &str, timeout_ms: u64) -> StoreChoice {
        StoreChoice::Redis { url: url.into(), timeout_ms }
    }

    #[test]
    fn a_store_is_named_by_its_kind_and_a_path_alone_is_copied_into_memory() {
        for (text, expected) in [
            ("none", StoreChoice::None),
            ("memory:a/b", StoreChoice::Memory("a/b".into())),
            ("embedded:a:b", StoreChoice::Embedded("a:b".into())),
            ("redis://host:1/2?timeout_ms=7", redis("redis://host:1/2", 7)),
        ] {
            let choice: StoreChoice = text.parse().unwrap();
            assert_eq!((choice.to_string(), &choice), (text.to_owned(), &expected));
        }
        let parsed = |text: &str| text.parse::<StoreChoice>().map_err(|error| error.to_string());
        assert_eq!(parsed("stores/first"), Ok(StoreChoice::Memory("stores/first".into())));
        assert_eq!(parsed("redis://host"), Ok(redis("redis://host", TIMEOUT_MS)));
        for wrong in ["redis://host?timeout=7", "redis://host?timeout_ms=0", "redis://host?timeout_ms=x"] {
            assert!(parsed(wrong).unwrap_err().contains("?timeout_ms=50"));
        }
    }

    #[test]
    fn a_password_does_not_get_into_results() {
        let choice = redis("redis://me:secret@host:1/2", 7);
        assert_eq!(choice.to_string(), "redis://host:1/2?timeout_ms=7");
        assert_eq!(choice.place(), PathBuf::from("redis://host:1/2"));
    }
}
