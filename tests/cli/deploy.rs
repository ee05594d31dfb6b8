//! The jobs under docs/deploy: they cannot be run here, but they can be read, and the program can say whether it would take their calls.

use autofas_bench::app::cli::Cli;
use clap::{CommandFactory, Parser, error::ErrorKind};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use yaml_rust2::{Yaml, YamlLoader};

fn jobs(ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    found.sort();
    assert!(!found.is_empty(), "{ending}");
    found
}

/// What jobs find in their environment, and pages write for numbers.
const ENVIRONMENT: [(&str, &str); 10] = [
    ("SLURM_JOB_NAME", "autofas"),
    ("SLURM_ARRAY_TASK_ID", "1"),
    ("SLURM_ARRAY_TASK_COUNT", "8"),
    ("SLURM_CPUS_PER_TASK", "1"),
    ("JOB_COMPLETION_INDEX", "0"),
    ("experiment", "E.toml"),
    ("encoders", "encoders.json"),
    ("tables", "tables"),
    ("run", "RUN"),
    ("N", "100"),
];

/// Fails where bash cannot read a script, or the program would not take a call in it. Of a call with `…`, which leaves something
/// out, it has to know the verb and the options.
pub fn check_script(script: &str, place: &Path) {
    let read = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
    assert!(read.status.success(), "{}: {}", place.display(), String::from_utf8_lossy(&read.stderr));
    let joined = script.replace("\\\n", " ");
    for line in joined.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((_, call)) = line.split_once("autofas-bench ") else { continue };
        let words = words(call);
        let words = std::iter::once("autofas-bench".to_owned()).chain(words);
        if call.contains('…') {
            check_options(&words.collect::<Vec<_>>(), place);
        } else if let Err(refused) = Cli::try_parse_from(words)
            && !matches!(refused.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
        {
            panic!("{}: {call}: {refused}", place.display());
        }
    }
}

/// A call's words, as bash hands them to the program.
fn words(call: &str) -> Vec<String> {
    let end = [" | ", " || ", " && ", " > ", " >", "; "].iter().filter_map(|end| call.find(end)).min();
    let call = &call[..end.unwrap_or(call.len())];
    let script = format!("set -f; say() {{ printf '%s\\0' \"$@\"; }}; say {call}");
    let split = Command::new("bash").args(["-c", &script]).envs(ENVIRONMENT).output().unwrap();
    let said = String::from_utf8(split.stdout).unwrap();
    said.split_terminator('\0').map(str::to_owned).collect()
}

fn check_options(words: &[String], place: &Path) {
    let program = Cli::command();
    let mut verb = &program;
    let mut words = words[1..].iter().peekable();
    while let Some(next) = words.peek().and_then(|word| verb.find_subcommand(word.as_str())) {
        verb = next;
        words.next();
    }
    assert!(verb.get_name() != program.get_name(), "{}: no verb in {words:?}", place.display());
    for option in words.filter_map(|word| word.strip_prefix("--")) {
        let known = verb.get_arguments().chain(program.get_arguments()).filter_map(|arg| arg.get_long());
        let name = verb.get_name();
        assert!(
            known.into_iter().any(|long| long == option),
            "{}: {name} has no --{option}",
            place.display()
        );
    }
}

/// Every text behind a key `command` or `args`.
fn scripts(yaml: &Yaml, found: &mut Vec<String>) {
    match yaml {
        Yaml::Hash(entries) => entries.iter().for_each(|(key, value)| match key.as_str() {
            Some("command" | "args") => {
                let words = value.as_vec().into_iter().flatten();
                found.extend(words.filter_map(Yaml::as_str).map(str::to_owned));
            }
            _ => scripts(value, found),
        }),
        Yaml::Array(values) => values.iter().for_each(|value| scripts(value, found)),
        _ => {}
    }
}

#[test]
fn jobs_for_slurm_are_scripts_whose_calls_the_program_takes() {
    for path in jobs("sbatch") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!/bin/bash\n") && text.contains("\n#SBATCH --"), "{}", path.display());
        check_script(&text, &path);
    }
}

#[test]
fn jobs_for_kubernetes_are_yaml_whose_calls_the_program_takes() {
    for path in jobs("yaml") {
        let documents = YamlLoader::load_from_str(&fs::read_to_string(&path).unwrap());
        let documents = documents.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(!documents.is_empty());
        for document in &documents {
            for key in ["apiVersion", "kind"] {
                assert!(document[key].as_str().is_some(), "{} has no {key}", path.display());
            }
            assert!(document["metadata"]["name"].as_str().is_some(), "{}", path.display());
            let mut found = Vec::new();
            scripts(document, &mut found);
            let calls = found.iter().filter(|script| script.contains("autofas-bench "));
            assert!(calls.clone().count() > 0, "{}", path.display());
            calls.for_each(|script| check_script(script, &path));
        }
    }
}

#[test]
fn a_probing_in_parts_counts_them_from_one_and_all_of_them() {
    let text =
        |name: &str| jobs(name.rsplit('.').next().unwrap()).into_iter().find(|p| p.ends_with(name)).unwrap();
    let yaml = fs::read_to_string(text("probe-job.yaml")).unwrap();
    let documents = YamlLoader::load_from_str(&yaml).unwrap();
    let probe = &documents[0]["spec"];
    assert_eq!(probe["completionMode"].as_str(), Some("Indexed"));
    let parts = probe["completions"].as_i64().unwrap();
    assert!(yaml.contains(&format!("--shard $((JOB_COMPLETION_INDEX + 1))/{parts}")), "{yaml}");
    assert!(yaml.contains(&format!("seq 1 {parts}")), "the join waits for all of them");
    let slurm = fs::read_to_string(text("probe.sbatch")).unwrap();
    assert!(
        slurm.contains("#SBATCH --array=1-")
            && slurm.contains("$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT")
    );
}

/// The scripts of all jobs, with their places.
fn all_scripts() -> Vec<(PathBuf, String)> {
    let slurm = jobs("sbatch").into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    let kubernetes = jobs("yaml").into_iter().flat_map(|path| {
        let documents = YamlLoader::load_from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut found = Vec::new();
        documents.iter().for_each(|document| scripts(document, &mut found));
        found.into_iter().map(move |script| (path.clone(), script)).collect::<Vec<_>>()
    });
    slurm.chain(kubernetes).filter(|(_, script)| script.contains("\n")).collect()
}

#[test]
fn a_job_ends_at_its_first_failure_and_hands_signals_to_what_measures() {
    let scripts = all_scripts();
    assert!(scripts.len() >= 5, "{}", scripts.len());
    for (path, script) in scripts {
        let place = format!("{}:\n{script}", path.display());
        assert!(script.lines().any(|line| line.trim() == "set -euo pipefail"), "{place}");
        let joined = script.replace("\\\n", " ");
        let last = joined.lines().rfind(|line| !line.trim().is_empty()).unwrap().trim();
        let to_steps = joined.contains("#SBATCH --signal=TERM@") && last.starts_with("srun ");
        assert!(to_steps || last.starts_with("exec "), "{place}");
        for check in joined.lines().filter(|line| line.contains(" table check ")) {
            assert!(check.contains(" --resume"), "{place}");
        }
    }
}
