//! Which software measured: crates as they were locked, libraries as they are loaded.

use crate::base::hash;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Crates that runtimes and histograms come from.
const CRATES: [&str; 4] = ["hdrhistogram", "ort", "ort-sys", "tract-onnx"];

/// How the names of libraries of runtimes begin.
const LIBRARIES: [&str; 5] = ["libonnxruntime", "libcudart", "libcudnn", "libcublas", "libnvinfer"];

/// Versions of the crates that measure, from the lock file that this program was built with.
pub(super) fn crates() -> BTreeMap<String, String> {
    locked(include_str!("../../../Cargo.lock"))
}

fn locked(lock: &str) -> BTreeMap<String, String> {
    let version = |name: &&str| {
        let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(((*name).to_owned(), after.split('"').next()?.to_owned()))
    };
    CRATES.iter().filter_map(version).collect()
}

/// File names and SHA-256 of the runtimes' libraries that are loaded into this process; empty where the system does not tell
/// which are.
pub(super) fn libraries() -> BTreeMap<String, String> {
    let mapped = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let hashed = |path: &str| {
        let path = Path::new(path);
        Some((path.file_name()?.to_str()?.to_owned(), hash::sha256_file(path).ok()?))
    };
    runtimes(&mapped).into_iter().filter_map(hashed).collect()
}

/// Paths of the runtimes' libraries among the mappings of a process.
fn runtimes(maps: &str) -> BTreeSet<&str> {
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            LIBRARIES.iter().any(|library| name.starts_with(library))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"ort\"\nversion = \"2.0.0-rc.15\"\nsource = \"x\"\n\n[[package]]\nname = \
                    \"tract-onnx\"\nversion = \"0.23.9\"\n";
        let found: Vec<_> =
            locked(lock).into_iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(found, ["ort 2.0.0-rc.15", "tract-onnx 0.23.9"]);
        assert_eq!(crates().len(), CRATES.len(), "every crate is there by that name: {:?}", crates());
    }

    #[test]
    fn libraries_of_runtimes_are_found_once_among_the_mappings() {
        let maps = "7f00-7f01 r--p 0000 08:01 12  /opt/x y/libonnxruntime.so.1.31.1\n\
                    7f01-7f02 r-xp 0000 08:01 12  /opt/x y/libonnxruntime.so.1.31.1\n\
                    7f02-7f03 r-xp 0000 08:01 13  /usr/lib/libc.so.6\n7f03-7f04 rw-p 0000 00:00 0  [heap]\n";
        assert_eq!(Vec::from_iter(runtimes(maps)), ["/opt/x y/libonnxruntime.so.1.31.1"]);
    }
}
