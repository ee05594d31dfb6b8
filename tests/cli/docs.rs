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
    for folder in [".", "docs", "docs/deploy", "docs/results"] {
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

/// Commands of other pages that can be done behind those of the README, in this order, by how they begin.
const ELSEWHERE: [(&str, &str); 20] = [
    ("report.md", "report --run runs/first"),
    ("schema.md", "data draft "),
    ("schema.md", "data inspect "),
    ("data.md", "data encode "),
    ("export.md", "export --run RUN --layout item-cached"),
    ("engines.md", "replay --model out/model.onnx"),
    ("stores.md", "store load "),
    ("stores.md", "store show "),
    ("stores.md", "replay --model out/model.onnx"),
    ("table.md", "table probe --config E.toml --candidates"),
    ("table.md", "table show "),
    ("table.md", "table check --table table.json"),
    ("table.md", "table predict --table RUN"),
    ("stores.md", "store price "),
    ("formats.md", "replay --model M.onnx"),
    ("serving.md", "evaluate --model out/model.onnx"),
    ("compare.md", "compare --config E.toml --data"),
    ("compare.md", "compare --config E.toml --data D.parquet --out comparisons/first --resume"),
    ("compare.md", "compare --render "),
    ("report.md", "report --run comparisons/first"),
];

/// The calls of the program in a text, with the comments behind them cut.
fn calls(text: &str) -> Vec<String> {
    let script = blocks(text, "sh").concat().replace("\\\n", " ");
    let lines = script.lines().filter_map(|line| line.strip_prefix("autofas-bench "));
    lines.map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
}

/// What makes a comparison a matter of seconds.
const FEW_SYSTEMS: [&str; 10] = [
    "--systems",
    "autofas,plain-dnn",
    "--seeds",
    "1",
    "--budgets",
    "50",
    "--set",
    "compare.trials=0",
    "--set",
    "compare.widths=[16, 8]",
];

/// Runs a call on little data and with little traffic.
fn done(here: &Path, call: &str) {
    let mut call = call.replace("--rounds 3", "--rounds 1").replace("--time timestamp", "--time time_ms");
    // A percentile that few requests tell.
    call = call.replace("RUN/tables/v3.json", "table.json").replace("p99=20ms", "p50=20ms");
    for (counted, few) in [("3000", "80"), ("1000", "50"), ("300", "20"), ("100", "10")] {
        call =
            format!("{call} ").replace(&format!("--candidates {counted} "), &format!("--candidates {few} "));
    }
    let mut words: Vec<&str> = call.split_whitespace().collect();
    match (words[0], words[1]) {
        ("replay", _) if !call.contains("--requests") => {
            words.extend(["--requests", "120", "--candidates", "8", "--repeats", "3", "--engine", "tract"]);
            words.extend(["--min-requests", "100", "--min-duration", "0"]);
        }
        ("table", "probe") => words.extend(["--networks", "4", "--held-out", "1"]),
        ("table", "check") => words.extend(["--networks", "4"]),
        ("store", "price") => {
            words.extend(["--candidates", "50", "--passes", "2", "--block", "2", "--engine", "tract"]);
        }
        ("compare", "--config") => words.extend(FEW_SYSTEMS),
        _ => {}
    }
    let ended = program(here).args(&words).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    // So little traffic may show nothing, which a replay says with a code of its own.
    let fine: &[i32] = if words[0] == "replay" { &[0, 4] } else { &[0] };
    assert!(ended.status.code().is_some_and(|code| fine.contains(&code)), "{words:?}: {said}");
}

/// What README and docs/ say to type, as far as it can be done with a log of one's own.
#[test]
fn the_commands_of_the_pages_work_one_after_the_other() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Use it on your own data\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    output(here, &["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"]);
    fs::rename(here.join("log/log.parquet"), here.join("impressions.parquet")).unwrap();
    let [experiment] = &blocks(section, "toml")[..] else { panic!("one experiment") };
    let (_, small) = EXPERIMENT.split_once("[space]").unwrap();
    fs::write(here.join("readme.toml"), experiment).unwrap();
    assert!(
        output(here, &["iterate", "--config", "readme.toml", "--print-config"]).contains("budget_ms = 2.0")
    );
    // A busy machine may show no network within a budget.
    let (data, _) = experiment.split_once("[derive]").unwrap();
    fs::write(here.join("my.toml"), format!("{data}[space]{small}")).unwrap();
    // A baseline has to be measured on a machine that does nothing else: tests/cli/gate.rs has one of an engine without noise.
    let own = calls(section);
    let (noisy, own): (Vec<_>, Vec<_>) = own.iter().partition(|call| call.contains("--baseline"));
    own.iter().for_each(|call| done(here, call));
    assert_eq!((own.len(), noisy.len()), (7, 1));
    for file in ["runs/mine/report.html", "runs/mine/summary.json", "r.html"] {
        assert!(here.join(file).is_file(), "{file}");
    }

    let link =
        |there: &str, name: &str| std::os::unix::fs::symlink(here.join(there), here.join(name)).unwrap();
    let links = [
        ("runs/mine", "RUN"),
        ("runs/mine", "runs/first"),
        ("package", "out"),
        ("package/model.onnx", "M.onnx"),
        ("package/schema.json", "schema.json"),
        ("package/encoders.json", "encoders.json"),
        ("impressions.parquet", "new_day.parquet"),
    ];
    links.iter().for_each(|(there, name)| link(there, name));
    fs::copy(here.join("impressions.parquet"), here.join("D.parquet")).unwrap();
    fs::copy(here.join("my.toml"), here.join("E.toml")).unwrap();
    fs::create_dir(here.join("impressions")).unwrap();
    fs::copy(here.join("D.parquet"), here.join("impressions/1.parquet")).unwrap();
    for (page, begin) in ELSEWHERE {
        let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
        let call = calls(&text).into_iter().find(|call| call.starts_with(begin));
        done(here, &call.unwrap_or_else(|| panic!("{page} has no `{begin}`")));
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
