//! Hands the fuzzer's inputs to the reader that AUTOFAS_BENCH_READER names (scripts/fuzz sets it): one program for all of them, because
//! linking takes longer than anything else here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

#[path = "../../tests/readers/readers.rs"]
mod readers;

use readers::{READERS, Reader};

static READER: LazyLock<&Reader> = LazyLock::new(|| {
    let wanted = std::env::var("AUTOFAS_BENCH_READER").unwrap_or_default();
    let names: Vec<_> = READERS.iter().map(|reader| reader.name).collect();
    let found = READERS.iter().find(|reader| reader.name == wanted);
    found.unwrap_or_else(|| panic!("AUTOFAS_BENCH_READER={wanted}: there are {}", names.join(", ")))
});
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder to write to"));

fuzz_target!(|content: &[u8]| {
    READER.read(FOLDER.path(), content);
});
