//! Help, versions and exit codes.

use crate::{
    run::csv_log,
    shell::verbs,
    world::{failure, output, program},
};
use autofas_bench::app::cli::Cli;
use clap::CommandFactory;
use std::{path::Path, process::Stdio};

#[test]
fn every_verb_shows_an_example_of_itself() {
    for verb in verbs(&Cli::command(), &[]) {
        let words: Vec<&str> = verb.iter().map(String::as_str).collect();
        let help = output(Path::new("."), &[&words[..], &["--help"]].concat());
        let example = format!("autofas-bench {}", verb.join(" "));
        let examples = help.split("Example").nth(1).unwrap_or_else(|| panic!("{verb:?} has no example"));
        assert!(examples.contains(&example), "{verb:?}: {help}");
        assert!(help.contains("--json") && help.contains("--quiet"), "{verb:?}");
    }
}

#[test]
fn examples_fit_a_narrow_terminal_and_can_be_copied_and_all_else_fills_its_lines() {
    let cli = Cli::command();
    let all = verbs(&cli, &[]);
    let helps = all.iter().map(|verb| {
        verb.iter().fold(&cli, |command, name| command.find_subcommand(name).unwrap()).get_after_help()
    });
    for help in helps.chain([cli.get_after_help()]).flatten().map(ToString::to_string) {
        for paragraph in help.split("\n\n") {
            let Some((_, examples)) =
                paragraph.split_once(":\n").filter(|(first, _)| first.starts_with("Example"))
            else {
                assert!(!paragraph.contains('\n'), "lines are broken where the terminal ends: {paragraph}");
                continue;
            };
            let wide: Vec<_> = examples.lines().filter(|line| line.chars().count() > 79).collect();
            assert!(wide.is_empty(), "{wide:?}");
            let begins =
                |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  #");
            let several = examples.lines().filter(begins).count() > 1;
            assert_eq!(several, paragraph.starts_with("Examples:"), "{paragraph}");
        }
    }
}

#[test]
fn what_a_verb_cannot_do_without_stands_under_no_heading_of_a_group() {
    for verb in verbs(&Cli::command(), &[]) {
        let cli = Cli::command();
        let command = verb.iter().fold(&cli, |command, name| command.find_subcommand(name).unwrap());
        let required = command.get_arguments().filter(|argument| argument.is_required_set());
        let grouped: Vec<_> = required.filter(|argument| argument.get_help_heading().is_some()).collect();
        assert!(grouped.is_empty(), "{verb:?}: {grouped:?}");
    }
}

#[test]
fn the_overview_names_the_verbs() {
    insta::assert_snapshot!(output(Path::new("."), &["--help"]));
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&[][..], &["no-such-verb"], &["replay"], &["trace", "show"], &["doctor", "--what"]] {
        failure(folder.path(), 2, args);
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_1_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["trace", "show", "gone.parquet"][..],
        &["table", "show", "gone.json"],
        &["evaluate", "--model", "gone.onnx", "--data", "d.csv"],
    ] {
        let message = failure(folder.path(), 1, args);
        assert!(message.starts_with("error: cannot read ") && message.contains("gone."), "{message}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(program(folder.path()).get_program())
        .args(["doctor", "--quick", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_name_that_is_nearly_one_is_answered_with_that() {
    let folder = tempfile::tempdir().unwrap();
    csv_log(folder.path(), "0");
    let replay = ["replay", "--model", "m.onnx", "--data", "d.csv", "--qps", "2"];
    let export = ["export", "--run", "run", "--out", "o"];
    let compare = ["compare", "--config", "c.toml", "--out", "o"];
    for (args, near) in [
        (vec!["iterat"], "'iterate'"),
        (vec!["table", "prob"], "'probe'"),
        (vec!["iterate", "--confg", "c.toml"], "'--config'"),
        ([&replay[..], &["--engine", "trakt"]].concat(), "'tract'"),
        ([&replay[..], &["--provider", "cuba"]].concat(), "'cuda'"),
        ([&replay[..], &["--store", "redi://host"]].concat(), "`redis:`"),
        ([&replay[..], &["--engine-option", "spining=on"]].concat(), "`spinning`"),
        ([&export[..], &["--layout", "user_once"]].concat(), "'user-once'"),
        ([&export[..], &["--ranges", "min-mx"]].concat(), "'min-max'"),
        ([&compare[..], &["--systems", "autofsa,rd"]].concat(), "'autofas'"),
        ([&compare[..], &["--set", "target.engine=trakt"]].concat(), "`tract`"),
        ([&compare[..], &["--set", "search.epohs=2"]].concat(), "`search.epochs`"),
        (
            vec![
                "data",
                "draft",
                "--data",
                "d.csv",
                "--label",
                "c",
                "--user",
                "u",
                "--item",
                "i",
                "--out",
                "s",
                "--fetch-ms",
                "itm=1",
            ],
            "`item`",
        ),
    ] {
        let failed = program(folder.path()).args(&args).assert().failure().get_output().stderr.clone();
        let said = String::from_utf8(failed).unwrap();
        assert!(said.contains(near), "{args:?}: {said}");
    }
    let column = [
        "data", "draft", "--data", "log.csv", "--label", "clik", "--user", "user", "--item", "item", "--out",
        "s.toml",
    ];
    assert!(failure(folder.path(), 1, &column).contains("did you mean `click`?"));
}
