//! What a shell, a terminal and a pipe get: completions, manual pages, colours, bars, silence.

use crate::world::{failure, output, program};
use autofas_bench::app::cli::Cli;
use clap::{Command, CommandFactory};
use std::{fs, path::Path, process};

fn here() -> &'static Path {
    Path::new(".")
}

/// Every verb with its words, from the program's own list.
pub fn verbs(command: &Command, before: &[String]) -> Vec<Vec<String>> {
    let each = command.get_subcommands().flat_map(|verb| {
        let words = [before, &[verb.get_name().to_owned()]].concat();
        let inner = verbs(verb, &words);
        std::iter::once(words).chain(inner)
    });
    each.collect()
}

/// Those that the help shows.
fn shown() -> Vec<Vec<String>> {
    verbs(&Cli::command(), &[]).into_iter().filter(|verb| verb[0] != "engine-child").collect()
}

fn run(program: &str, args: &[&str]) -> Option<process::Output> {
    process::Command::new(program).args(args).output().ok()
}

/// What bash offers after these words.
pub fn completed(script: &str, words: &[&str]) -> Vec<String> {
    let line = words.join(" ");
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let ask = format!(
        "{script}\nCOMP_WORDS=({line})\nCOMP_CWORD={}\nset -- $(complete -p autofas-bench)\n\
         while [ \"$1\" != -F ]; do shift; done\n$2 autofas-bench '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len() - 1
    );
    let done = run("bash", &["--norc", "-c", &ask]).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_takes_the_script_and_completes_verbs_options_and_names() {
    let script = output(here(), &["completions", "bash"]);
    let read = run("bash", &["-n", "-c", &script]).unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(completed(&script, &["autofas-bench", "iter"]), ["iterate"]);
    assert_eq!(completed(&script, &["autofas-bench", "table", "pro"]), ["probe"]);
    assert_eq!(completed(&script, &["autofas-bench", "iterate", "--dry"]), ["--dry-run"]);
    assert_eq!(completed(&script, &["autofas-bench", "replay", "--engine", "onnx"]), ["onnxruntime"]);
    assert_eq!(completed(&script, &["autofas-bench", "engine-ch"]), [""], "hidden");
}

/// What fish offers for this line, without the descriptions; none where fish is not here.
fn offered_by_fish(script: &Path, line: &str) -> Option<Vec<String>> {
    let ask = "source $argv[1]; complete -C $argv[2]";
    let done = run("fish", &["--no-config", "-c", ask, script.to_str().unwrap(), line])?;
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let offered = String::from_utf8(done.stdout).unwrap();
    Some(offered.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
}

#[test]
fn fish_takes_the_script_and_completes_verbs_options_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("autofas-bench.fish");
    fs::write(&script, output(here(), &["completions", "fish"])).unwrap();
    for (line, expected) in [
        ("autofas-bench rep", &["replay", "report"][..]),
        ("autofas-bench table pro", &["probe"]),
        ("autofas-bench iterate --dry", &["--dry-run"]),
        ("autofas-bench replay --engine onnx", &["onnxruntime"]),
        ("autofas-bench engine-ch", &[]),
        ("autofas-bench help tab", &["table"]),
        ("autofas-bench completions pow", &["powershell"]),
    ] {
        let Some(offered) = offered_by_fish(&script, line) else { return };
        assert_eq!(offered, expected, "{line}");
    }
}

/// A zsh behind a terminal is given a line and the key that completes; whoever waits for what the line becomes ends with it.
const ZSH: &str = "zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z \"fpath=($1 \\$fpath); autoload -U compinit; compinit -u -D; print rea''dy\"
zpty -r -m z said '*ready*'
zpty -w -n z \"$2\"$'\\t'
zpty -r -m z said \"*$3*\"";

#[test]
fn zsh_takes_the_script_and_completes_verbs_options_and_names() {
    const NOT_HERE: Option<i32> = Some(127);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("_autofas-bench"), output(here(), &["completions", "zsh"])).unwrap();
    for (line, expected) in [
        ("autofas-bench repo", "autofas-bench report"),
        ("autofas-bench table pro", "table probe"),
        ("autofas-bench iterate --dry", "iterate --dry-run"),
        ("autofas-bench replay --engine onnx", "--engine onnxruntime"),
        ("autofas-bench completions pow", "completions powershell"),
    ] {
        let folder = folder.path().to_str().unwrap();
        let done = run("timeout", &["20", "zsh", "-f", "-c", ZSH, "zsh", folder, line, expected]);
        let Some(done) = done.filter(|done| done.status.code() != NOT_HERE) else { return };
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn every_shell_has_a_script_that_knows_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(here(), &["completions", shell]);
        for verb in shown() {
            assert!(script.contains(verb.last().unwrap().as_str()), "{shell}: {verb:?}");
        }
        assert!(!script.contains("engine-child"), "{shell}");
        // Read by the shell itself, where it is here; bash has a test of its own.
        if ["zsh", "fish"].contains(&shell) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("script");
            fs::write(&path, &script).unwrap();
            let read = run(shell, &["-n", path.to_str().unwrap()]);
            assert!(read.is_none_or(|read| read.status.success()), "{shell} refuses its script");
        }
    }
    assert!(failure(here(), 2, &["completions", "bsh"]).contains("'bash'"));
    assert!(failure(here(), 2, &["completions", "bash", "--json"]).contains("--json"));
}

/// A page as a reader sees it, by whichever program is here; warnings are failures. A machine without any shows the source.
fn rendered(page: &Path) -> String {
    let path = page.to_str().unwrap();
    let wide = process::Command::new("man")
        .args(["--warnings", "-l", path])
        // Where no language is set, terminals have the fewest letters.
        .env("LC_ALL", "C")
        .env("MANWIDTH", "300")
        .env("MANPAGER", "cat")
        .output()
        .ok();
    let done = wide.or_else(|| run("groff", &["-man", "-Tutf8", "-P-cbou", "-ww", path]));
    let Some(done) = done else { return fs::read_to_string(page).unwrap() };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.trim().is_empty(), "{}: {said}", page.display());
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn every_verb_has_a_manual_page_that_renders_without_warnings() {
    let folder = tempfile::tempdir().unwrap();
    output(folder.path(), &["man", "--out", "man1"]);
    let pages: Vec<_> =
        fs::read_dir(folder.path().join("man1")).unwrap().map(|page| page.unwrap().path()).collect();
    assert_eq!(pages.len(), 1 + shown().len(), "{pages:?}");
    let main = rendered(&folder.path().join("man1/autofas-bench.1"));
    for verb in shown() {
        let name = format!("autofas-bench-{}.1", verb.join("-"));
        let page = rendered(&folder.path().join("man1").join(&name));
        for wanted in
            [format!("autofas-bench {}", verb.join(" ")), "--json".to_owned(), "EXAMPLES".to_owned()]
        {
            assert!(page.replace("\\-", "-").contains(&wanted), "{name}: {wanted}: {page}");
        }
        assert!(
            verb.len() > 1 || main.replace("\\-", "-").contains(&format!("autofas-bench-{}", verb[0])),
            "{verb:?}"
        );
    }
    assert!(main.contains("Exit codes:"), "{main}");
}

/// What a terminal shows of a command, with what it is told to do about colours and cursors.
fn on_terminal(folder: &Path, command: &str, settings: &[(&str, &str)]) -> Option<String> {
    let binary = program(folder).get_program().to_str().unwrap().to_owned();
    let mut script = process::Command::new("script");
    script.args(["-qec", &format!("{binary} {command}"), "/dev/null"]).current_dir(folder);
    // Logs of CI show colours whatever TERM says, and the others override it too.
    for said in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        script.env_remove(said);
    }
    script.env("TERM", "xterm").envs(settings.iter().copied());
    let done = script.output().ok()?;
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn colours_are_for_terminals_alone_and_not_where_nobody_wants_them() {
    const RED: &str = "\u{1b}[31m";
    let folder = tempfile::tempdir().unwrap();
    let wrong = "table show gone.json";
    assert!(!failure(folder.path(), 1, &["table", "show", "gone.json"]).contains('\u{1b}'));
    assert!(!output(folder.path(), &["--help"]).contains('\u{1b}'));
    let Some(shown) = on_terminal(folder.path(), wrong, &[]) else { return };
    assert!(shown.contains(RED) && shown.contains("gone.json"), "{shown:?}");
    for settings in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let shown = on_terminal(folder.path(), wrong, &settings).unwrap();
        assert!(!shown.contains(RED) && shown.contains("error: cannot read gone.json"), "{shown:?}");
        let usage = on_terminal(folder.path(), "table shw", &settings).unwrap();
        assert!(!usage.contains(RED) && usage.contains("'show'"), "{usage:?}");
    }
}

#[test]
fn a_pipe_gets_lines_a_terminal_a_bar_and_who_asks_for_quiet_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    crate::run::csv_log(here, "0");
    let encode = ["data", "encode", "--config", "c.toml", "--out"];
    let said = |out: &str, more: &[&str]| {
        let done = program(here).args([&encode[..], &[out], more].concat()).output().unwrap();
        assert!(done.status.success());
        [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [result, progress] = said("a", &[]);
    assert!(result.starts_with("400 rows in a") && progress.contains(" …\n"), "{result}{progress}");
    assert!(!progress.contains('\r') && !progress.contains('\u{1b}'), "{progress:?}");
    for quiet in ["--quiet", "-q"] {
        let [result, progress] = said(&format!("b{quiet}"), &[quiet]);
        assert!(result.starts_with("400 rows") && progress.is_empty(), "{progress}");
    }
    assert!(
        failure(here, 1, &["-q", "table", "show", "gone.json"]).starts_with("error: "),
        "errors are said"
    );
    let on = |out: &str, settings: &[(&str, &str)]| {
        on_terminal(here, &format!("{} {out}", encode.join(" ")), settings)
    };
    let Some(shown) = on("c", &[]) else { return };
    assert!(shown.contains('\u{1b}'), "a bar moves the cursor: {shown:?}");
    let shown = on("d", &[("TERM", "dumb")]).unwrap();
    assert!(shown.contains(" …") && !shown.contains('\u{1b}'), "{shown:?}");
    let shown = on("e --quiet", &[]).unwrap();
    assert!(shown.contains("400 rows") && !shown.contains('\u{1b}'), "{shown:?}");
}
