//! Whatever a file holds, its reader gives a value or an error that names the file. Replays the corpus of the fuzzer
//! (fixtures/fuzz/, a folder per reader) with what random changes make of it; AUTOFAS_BENCH_FUZZ_INPUTS says how many inputs each reader
//! gets, and AUTOFAS_UPDATE_FUZZ_SEEDS=1 writes the seeds of the corpus anew.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "what other tests need of it")]
mod support;

mod mutate;
mod readers;
mod seeds;

use readers::{READERS, Reader};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of the corpus in the repository.
const CORPUS_BYTES: usize = 200_000;
const INPUTS: usize = 2000;

fn corpus_folder(reader: &Reader) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz").join(reader.name)
}

/// The files of a reader by name.
fn corpus(reader: &Reader) -> Vec<(String, Vec<u8>)> {
    let folder = corpus_folder(reader);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
    };
    let mut files: Vec<_> = entries.map(read).collect();
    files.sort();
    files
}

fn inputs() -> usize {
    let told = std::env::var("AUTOFAS_BENCH_FUZZ_INPUTS");
    told.map_or(INPUTS, |told| told.parse().expect("AUTOFAS_BENCH_FUZZ_INPUTS is a number"))
}

#[test]
fn every_reader_accepts_its_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let update = std::env::var_os("AUTOFAS_UPDATE_FUZZ_SEEDS").is_some();
    for reader in &READERS {
        let seeds = seeds::of(reader.name, folder.path());
        if update {
            fs::create_dir_all(corpus_folder(reader)).unwrap();
            for (i, seed) in seeds.iter().enumerate() {
                fs::write(corpus_folder(reader).join(format!("seed-{i}")), seed).unwrap();
            }
        }
        for content in seeds {
            let own = tempfile::tempdir().unwrap();
            assert!(reader.read(own.path(), &content), "{}: a seed is refused", reader.name);
        }
    }
}

#[test]
fn the_corpus_is_small_and_every_reader_has_one() {
    let sizes = READERS.iter().map(|reader| {
        let files = corpus(reader);
        assert!(!files.is_empty(), "{}", reader.name);
        files.iter().map(|(_, content)| content.len()).sum::<usize>()
    });
    let bytes: usize = sizes.sum();
    assert!(bytes <= CORPUS_BYTES, "{bytes} bytes");
}

#[test]
fn every_reader_survives_its_corpus_and_changes_of_it() {
    let wanted = inputs();
    std::thread::scope(|scope| {
        for reader in &READERS {
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let corpus = corpus(reader);
                let mut accepted = 0;
                for (_, content) in &corpus {
                    accepted += usize::from(reader.read(folder.path(), content));
                }
                let mut changes = mutate::Changes::new(reader.name, &corpus);
                for _ in 0..wanted {
                    let content = changes.next();
                    let read = || reader.read(folder.path(), &content);
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                    let survived = outcome.unwrap_or_else(|_| {
                        let kept = std::env::temp_dir().join(format!("{}-panic", reader.name));
                        fs::write(&kept, &content).unwrap();
                        panic!("{}: the input is kept as {}", reader.name, kept.display())
                    });
                    accepted += usize::from(survived);
                }
                assert!(accepted > 0, "{}: nothing of its corpus is accepted", reader.name);
            });
        }
    });
}

#[test]
fn changes_are_seeded_and_of_every_kind() {
    let corpus = [("a".to_owned(), b"0123456789".to_vec()), ("b".to_owned(), b"abcdefghij".to_vec())];
    let made = |seed: &str| {
        let mut changes = mutate::Changes::new(seed, &corpus);
        (0..500).map(|_| changes.next()).collect::<Vec<_>>()
    };
    let all = made("one");
    assert_eq!(all, made("one"));
    assert_ne!(all, made("two"));
    assert!(all.iter().any(|c| c.len() < 10) && all.iter().any(|c| c.len() > 10));
    let of_both = |c: &Vec<u8>| c.contains(&b'1') && c.contains(&b'b');
    assert!(all.iter().any(of_both), "pieces of two files");
    assert!(all.iter().any(|c| c.len() == 10 && c.iter().any(|byte| !byte.is_ascii_alphanumeric())));
}
