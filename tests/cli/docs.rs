//! What README and docs/ say to type: the options are there.

use crate::deploy::check_script;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain([root.join("README.md")]).collect()
}

/// The content of a page's blocks of a language.
fn blocks(page: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

#[test]
fn commands_of_all_pages_name_options_there_are() {
    let mut calls = 0;
    for page in pages() {
        for script in blocks(&page, "sh").iter().filter(|script| script.contains("autofas-bench ")) {
            check_script(script, &page);
            calls += 1;
        }
    }
    assert!(calls > 10, "{calls}");
}
