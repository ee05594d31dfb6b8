//! What README and docs/ say to type can be typed, and what they name is there.

use crate::{
    deploy::check_script,
    run::EXPERIMENT,
    world::{output, program},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Markdown of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [".", "docs", "docs/results"] {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(files.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    found
}

/// The content of a text's blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
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

/// The text outside of blocks.
fn prose(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn commands_of_all_pages_are_ones_that_the_program_takes() {
    let mut calls = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for script in blocks(&text, "sh").iter().filter(|script| script.contains("autofas-bench ")) {
            check_script(script, &page);
            calls += 1;
        }
    }
    assert!(calls > 10, "{calls}");
}

/// What Markdown's links, pictures and code of a page point at that would be a file of the repository.
fn named(text: &str) -> Vec<(String, bool)> {
    let prose = prose(text);
    let mut found = Vec::new();
    for opening in ["](", "src=\"", "srcset=\""] {
        let closing = if opening == "](" { ')' } else { '"' };
        let targets = prose.split(opening).skip(1).filter_map(|rest| Some(rest.split_once(closing)?.0));
        let own = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        found.extend(own.map(|target| (target.to_owned(), true)));
    }
    let scripts = blocks(text, "sh").concat();
    // What others' sources are called is none of ours.
    let prose = prose.split("\n## Sources\n").next().unwrap_or_default();
    let code = prose.split('`').skip(1).step_by(2).chain(scripts.lines()).flat_map(str::split_whitespace);
    let known = ["src/", "tests/", "scripts/", "fixtures/", "examples/", "docs/", "benches/", ".ci/"];
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    for word in code.map(|word| word.trim_start_matches("./").trim_end_matches([',', ':', ';', ')'])) {
        if known.iter().any(|folder| word.starts_with(folder)) && plain(word) {
            found.push((word.to_owned(), false));
        }
    }
    found
}

/// The anchors that a page's headings have.
fn anchors(text: &str) -> Vec<String> {
    let headings =
        prose(text).lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let anchor = |heading: String| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.into_iter().map(anchor).collect()
}

#[test]
fn files_and_headings_that_pages_name_are_there() {
    let (mut missing, mut links) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (target, link) in named(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let from = if link { page.parent().unwrap() } else { root() };
            let path = if file.is_empty() { page.clone() } else { from.join(file) };
            links += 1;
            let there = path.exists();
            let heading = there && !anchor.is_empty() && path.extension().is_some_and(|e| e == "md");
            if !there || heading && !anchors(&fs::read_to_string(&path).unwrap()).iter().any(|a| a == anchor)
            {
                missing.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    assert!(links > 100, "{links}");
}

#[test]
fn the_pages_of_docs_are_named_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for page in pages() {
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        let own = page.parent() == Some(&root().join("docs"));
        assert!(!own || readme.contains(&name), "the README does not name {name}");
    }
}

/// Everything of the README that can be done with a log of its own: the same commands, on small data and with little traffic.
#[test]
fn the_commands_of_the_readme_work_one_after_the_other() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Use it on your own data\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    output(here, &["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"]);
    fs::rename(here.join("log/log.parquet"), here.join("impressions.parquet")).unwrap();
    let [experiment] = &blocks(section, "toml")[..] else { panic!("one experiment") };
    let (_, small) = EXPERIMENT.split_once("[space]").unwrap();
    fs::write(here.join("my.toml"), format!("{experiment}[space]{small}")).unwrap();
    let commands = blocks(section, "sh").concat().replace("\\\n", " ");
    let mut done = Vec::new();
    for line in commands.lines().filter_map(|line| line.strip_prefix("autofas-bench ")) {
        let line = line.split(" # ").next().unwrap().replace("--rounds 3", "--rounds 1");
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let traffic = ["--requests", "120", "--candidates", "8", "--repeats", "1", "--engine", "tract"];
        match words[0] {
            // A search for a rate, and a baseline, take more measurements than a test has time for.
            "replay" if line.contains("--slo") || line.contains("--baseline") => continue,
            "replay" => words.extend(traffic),
            _ => {}
        }
        let code = program(here).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&code.stderr).into_owned();
        // So little traffic shows nothing, and says so.
        let expected = if words[0] == "replay" { 4 } else { 0 };
        assert_eq!(code.status.code(), Some(expected), "{line}: {said}");
        done.push(words[0].to_owned());
    }
    assert_eq!(done, ["data", "iterate", "importance", "export", "replay", "forecast"]);
    for file in ["runs/mine/report.html", "runs/mine/summary.json", "r.html"] {
        assert!(here.join(file).is_file(), "{file}");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let mut names: Vec<String> = Vec::new();
    let linux = &manifest["target"]["cfg(target_os = \"linux\")"];
    for table in [&manifest["dependencies"], &manifest["dev-dependencies"], &linux["dependencies"]] {
        names.extend(table.as_table().unwrap().keys().cloned());
    }
    let first = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut listed: Vec<String> =
        first.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect();
    names.sort();
    listed.sort();
    assert_eq!(listed, names);
}
