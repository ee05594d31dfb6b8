//! Guards the house: rooms point downwards only, and each outside crate stays in the room that owns it.

mod paths;
mod selftest;
mod tokens;

use paths::references;
use std::path::Path;
use tokens::tokens;

/// From the highest to the lowest; a room may use those after it.
const ROOMS: [&str; 8] = ["app", "measure", "export", "learn", "price", "space", "data", "base"];

/// Crates (by the beginning of their names) and the places under src/ that may use them.
const OWNERS: [(&str, &[&str]); 8] = [
    ("candle_", &["learn/"]),
    ("forust_ml", &["learn/baseline/trees.rs"]),
    ("tract_", &["measure/engine/"]),
    ("ort", &["measure/engine/"]),
    ("heed", &["measure/store/"]),
    ("anyhow", &["app/cli/", "app/cli.rs", "main.rs"]),
    ("clap", &["app/cli/", "app/cli.rs", "main.rs"]),
    ("indicatif", &["app/cli/", "app/cli.rs"]),
];

/// Where output may go to the terminal; the program's entry may say on stderr why it failed.
const PRINTERS: [&str; 2] = ["app/cli/", "app/cli.rs"];

/// Where the time of day is read. Clocks are set, so nothing that is measured, waited for or repeated may go by it.
const WALL_CLOCK: &str = "base/calendar.rs";

fn within(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file.starts_with(place))
}

/// The module of a file under src/, such as ["price", "table"]; empty for lib.rs and main.rs.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(path, "lib" | "main") { vec![] } else { path.split('/').map(Into::into).collect() }
}

/// Everything that is wrong with one file, whose path is relative to src/.
fn violations(file: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let module = module(file);
    let level = |room: &str| ROOMS.iter().position(|known| *known == room);
    let here = module.first().map(|room| (room, level(room)));
    if let Some((room, None)) = here {
        found.push(format!("{file}: `{room}` is none of the rooms"));
    }
    for reference in references(source, &module) {
        let path = reference.segments.join("::");
        let place = format!("{file}:{}: `{path}`", reference.line);
        if reference.internal {
            let there = reference.segments.first().map(String::as_str).unwrap_or_default();
            match (here, level(there)) {
                (Some((_, Some(here))), Some(there)) if there < here => {
                    found.push(format!("{place} points upwards"))
                }
                (Some(_), None) => {
                    found.push(format!("{place} goes through the crate's root, not through a room"))
                }
                _ => {}
            }
        } else if let Some(problem) = foreign(file, &reference.segments) {
            found.push(format!("{place} {problem}"));
        }
    }
    found.extend(printing(file, source));
    found.extend(telling_the_time(file, source));
    found
}

/// What is wrong with the use of an outside crate.
fn foreign(file: &str, segments: &[String]) -> Option<String> {
    let owned = |name: &str| {
        let whole = segments[0] == name;
        whole || (name.ends_with('_') && segments[0].starts_with(name))
    };
    let (_, places) = OWNERS.iter().find(|(name, _)| owned(name))?;
    let messages = file.starts_with("export/") && segments.starts_with(&["tract_onnx".into(), "pb".into()]);
    (!within(file, places) && !messages).then(|| format!("belongs to {}", places.join(", ")))
}

/// Printing macros, and handles of the standard streams; methods and fields of those names (of child processes) are free.
fn printing(file: &str, source: &str) -> Vec<String> {
    if within(file, &PRINTERS) {
        return vec![];
    }
    let tokens = tokens(source);
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| &token.text);
    let prints = |at: usize| {
        let (before, after) = (text(at.checked_sub(1)), text(Some(at + 1)));
        match tokens[at].text.as_str() {
            "println" | "print" | "dbg" => after == "!",
            "eprintln" | "eprint" => after == "!" && file != "main.rs",
            "stdout" => before == "::" || (after == "(" && before != "." && before != "fn"),
            "stderr" => {
                (before == "::" || (after == "(" && before != "." && before != "fn")) && file != "main.rs"
            }
            _ => false,
        }
    };
    let places = (0..tokens.len()).filter(|&at| prints(at));
    places.map(|at| format!("{file}:{}: `{}` outside app/cli/", tokens[at].line, tokens[at].text)).collect()
}

/// The time of day, read elsewhere than in its place.
fn telling_the_time(file: &str, source: &str) -> Vec<String> {
    if file == WALL_CLOCK {
        return vec![];
    }
    let tokens = tokens(source);
    let reads = tokens.windows(3).filter(|three| {
        let words = [&three[0].text, &three[1].text, &three[2].text];
        words == ["SystemTime", "::", "now"]
    });
    reads.map(|three| format!("{file}:{}: the time of day outside {WALL_CLOCK}", three[0].line)).collect()
}

/// Files under src/ with their content, by path relative to it.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let parts = path.strip_prefix(root).unwrap().iter().map(|part| part.to_string_lossy());
                let name = parts.collect::<Vec<_>>().join("/");
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

#[test]
fn rooms_point_down_and_every_crate_stays_with_its_owner() {
    let found: Vec<String> = sources().iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_guard_sees_every_room_and_the_crates_it_guards() {
    let sources = sources();
    for room in ROOMS {
        let files =
            sources.iter().filter(|(file, _)| module(file).first().is_some_and(|first| first == room));
        assert!(files.count() > 0, "no file of {room} was read");
    }
    let crossing = sources.iter().flat_map(|(file, source)| {
        let here = module(file);
        references(source, &here)
            .into_iter()
            .filter(move |r| r.internal && r.segments.first() != here.first())
    });
    assert!(crossing.count() > 20, "the rooms use one another, but the guard hardly sees it");
}
