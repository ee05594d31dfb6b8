//! Which store a replay fetches from, as `--store` says it.

use super::{FeatureStore, embedded, memory::MemoryStore};
use crate::base::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

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
}

/// What kind of store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the memory of the process.
    Memory,
    /// A file of the process, mapped.
    Embedded,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
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
        })
    }

    /// Its kind; none where nothing is fetched.
    pub fn kind(&self) -> Option<StoreKind> {
        match self {
            Self::None => None,
            Self::Memory(_) => Some(StoreKind::Memory),
            Self::Embedded(_) => Some(StoreKind::Embedded),
        }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &Path {
        match self {
            Self::None => Path::new(""),
            Self::Memory(folder) | Self::Embedded(folder) => folder,
        }
    }
}

impl FromStr for StoreChoice {
    type Err = Infallible;

    /// `none`, `memory:STORE`, `embedded:STORE`; any other text is the path of a store that is copied into memory.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once(':') {
            _ if text == "none" => Self::None,
            Some(("memory", path)) => Self::Memory(path.into()),
            Some(("embedded", path)) => Self::Embedded(path.into()),
            _ => Self::Memory(text.into()),
        })
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            None => f.write_str("none"),
            Some(kind) => write!(f, "{kind}:{}", self.place().display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_its_kind_and_a_path_alone_is_copied_into_memory() {
        for (text, expected) in [
            ("none", StoreChoice::None),
            ("memory:a/b", StoreChoice::Memory("a/b".into())),
            ("embedded:a:b", StoreChoice::Embedded("a:b".into())),
        ] {
            let choice: StoreChoice = text.parse().unwrap();
            assert_eq!((choice.to_string(), &choice), (text.to_owned(), &expected));
        }
        assert_eq!("stores/first".parse(), Ok(StoreChoice::Memory("stores/first".into())));
    }
}
