use super::*;
use crate::data::split::{Moment, SplitSettings};

fn with(text: &str, overrides: &[(&str, &str)]) -> Result<Experiment> {
    let overrides: Vec<_> = overrides.iter().map(|(k, v)| Override::parse(k, v)).collect();
    Experiment::parse(Path::new("conf/e.toml"), &format!("data.schema = \"s.toml\"\n{text}"), &overrides)
}

#[test]
fn paths_count_from_the_file_and_from_the_working_directory() {
    let experiment = with("data.path = \"d.csv\"", &[]).unwrap();
    assert_eq!(experiment.schema_path(), Path::new("conf/s.toml"));
    assert_eq!(experiment.data_path().unwrap(), Path::new("conf/d.csv"));
    let experiment = with("data.path = \"d.csv\"", &[("data.path", "other/d.csv")]).unwrap();
    assert_eq!(experiment.data_path().unwrap(), Path::new("other/d.csv"));
    assert_eq!(experiment.trace_recipe().arrivals, Arrivals::Poisson { qps: 50.0 });
    let Arrivals::Recorded { file, .. } =
        with("traffic.arrivals = \"a.csv\"", &[]).unwrap().trace_recipe().arrivals
    else {
        panic!("the file's arrivals are recorded");
    };
    assert_eq!(file, Path::new("conf/a.csv"));
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
    let experiment =
        with("[teacher]\ndropout = 0.1\nbatch_size = 64", &[("teacher.dropout", "0.3")]).unwrap();
    assert_eq!(experiment.settings.teacher.train.dropout, 0.3);
    assert_eq!(experiment.settings.teacher.train.batch_size, 64);
    assert_eq!(experiment.settings.teacher.train.max_epochs, 6);
    assert_eq!(experiment.resolved.origin("teacher.dropout"), Origin::CommandLine);
    assert_eq!(experiment.resolved.origin("teacher.batch_size"), Origin::File);
    assert_eq!(experiment.resolved.origin("teacher.max_epochs"), Origin::Default);
}

fn problem(text: &str) -> String {
    with(text, &[]).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_names_file_key_and_nearest_known_key() {
    let text = problem("[teacher]\nlearn_rate = 0.1");
    assert!(text.starts_with("conf/e.toml, `teacher.learn_rate`: "), "{text}");
    assert!(text.contains("`teacher.learning_rate`"), "{text}");
    assert!(problem("[serch]\nepochs = 1").contains("`serch`: unknown key; did you mean `search`?"));
    assert!(problem("[search]\nmax_epochs = 1").contains("`search.max_epochs`: unknown key"));
    assert!(problem("[search]\ngate = { kid = \"relaxed\" }").contains("`search.gate.kind`"));
}

#[test]
fn a_bad_type_names_its_key_even_inside_shared_settings() {
    let text = problem("[teacher]\nbatch_size = \"big\"");
    assert!(text.contains("`teacher.batch_size`") && text.contains("such as `2048`"), "{text}");
    assert!(problem("[search]\ngradient_block = \"of\"").contains("`search.gradient_block`"));
    assert!(problem("[retrain]\npatience = -1").contains("`retrain.patience`"));
    assert!(problem("[space]\nmixops = [[64, \"zeros\"]]").contains("`space.mixops`"));
    assert!(problem("teacher = 3").contains("`teacher`"));
    assert!(problem("[teacher]\ndropout = { a = 1 }").contains("`teacher.dropout`"));
    assert!(problem("[traffic]\narrivals = 3").contains("`traffic.arrivals`"));
}

#[test]
fn a_value_out_of_range_names_its_key() {
    assert!(problem("[baseline]\ndropout = 1.5").contains("`baseline.dropout`: 1.5 is outside"));
    let cold = "[search.gate]\nkind = \"relaxed\"\nend_temperature = 0";
    assert!(problem(cold).contains("`search.gate.end_temperature`"));
    let budget = |stated: &str| problem(&format!("[derive]\nrule = \"budget\"\n{stated}"));
    assert!(
        budget("")
            .contains("`derive.budget_ms`: no budget is stated; give budget_ms for the mean, or objective")
    );
    assert!(
        budget("budget_ms = 3\nobjective = \"p99=9ms\"")
            .contains("`derive.objective`: the budget is stated twice")
    );
    let text = budget("objective = \"p95=9ms\"");
    assert!(
        text.contains("`derive.objective`: `p95=9ms` is no objective") && text.contains("as in p99=20ms"),
        "{text}"
    );
    assert!(budget("objective = 9").contains("`derive.objective`"));
    assert!(
        budget("budget_ms = \"3\"")
            .contains("`derive.budget_ms`: invalid type: string \"3\", expected f64; write a number")
    );
    let text = budget("objective = \"p99=9ms\"\n[traffic]\nrequests = 458");
    assert!(
        text.contains("`traffic.requests`: 458 requests cannot show") && text.contains("at least 459"),
        "{text}"
    );
    // A median is earned earlier, but the scatter of requests is not.
    assert!(budget("objective = \"p50=9ms\"\n[traffic]\nrequests = 99").contains("at least 100"));
    assert!(problem("[traffic]\nworkers = 0").contains("`traffic.workers`: 0 is too small"));
    assert!(problem("[split]\nvalid_fraction = 1.5").contains("`split.valid_fraction`: 1.5 is not between"));
    let bounds = "[split]\nby = \"time\"\ntrain_until = 5\nvalid_from = 5";
    assert!(problem(bounds).contains("`split.valid_from`: the training rows reach"));
    assert!(problem("[checkpoints]\nkeep = 0").contains("`checkpoints.keep`: 0 is too small"));
    assert!(problem("[checkpoints]\nevery_seconds = -1").contains("`checkpoints.every_seconds`"));
}

#[test]
fn what_no_engine_can_do_is_refused_before_a_run_begins() {
    for (text, expected) in [
        ("[target]\nthreads = 2", "`target.threads`: tract runs on one thread"),
        ("[target]\nprovider = \"cuda\"", "`target.provider`: tract does not run on cuda"),
        ("[target]\nengine = \"null\"\nengines = [\"null\"]", "`target.engines`: the null engine"),
        ("[traffic]\nrequests = 1", "`traffic.requests`: 1 is too small"),
    ] {
        let found = problem(text);
        assert!(found.contains(expected), "{found}");
    }
    let alone = "[target]\nengines = [\"onnxruntime\"]\nthreads = 2\nprovider = \"cuda\"";
    assert_eq!(with(alone, &[]).unwrap().settings.target.threads, 2);
}

#[test]
fn a_percentile_under_load_and_measured_prices_of_fetching_are_refused_together() {
    let with_prices = |stated: &str| {
        with(&format!("[derive]\nrule = \"budget\"\n{stated}\n[target]\nfetch_prices = \"f.json\""), &[])
    };
    let text = with_prices("objective = \"p99=9ms\"").unwrap_err().to_string();
    assert!(
        text.contains("`target.fetch_prices`: measured prices") && text.contains("derive.budget_ms"),
        "{text}"
    );
    with_prices("budget_ms = 9").unwrap();
}

#[test]
fn a_value_that_the_chosen_rule_ignores_is_an_error() {
    let text = problem("[derive]\nrule = \"top_k\"\ntheta = 0.4");
    assert!(text.contains("`derive.theta`: has no effect"), "{text}");
}

#[test]
fn a_rule_of_the_command_line_drops_what_the_file_says_for_its_own() {
    let text = "[derive]\nrule = \"budget\"\nbudget_ms = 3\n[split]\nby = \"time\"\nvalid_fraction = 0.3";
    let printed = with(text, &[]).unwrap().resolved.to_string();
    let top = [("derive.rule", "top_k"), ("derive.k", "7"), ("split.by", "shuffle")];
    let experiment = Experiment::parse(
        Path::new("conf/e.toml"),
        &printed,
        &top.map(|(path, value)| Override::parse(path, value)),
    )
    .unwrap();
    assert_eq!(experiment.settings.derive.budget(), None);
    assert_eq!(experiment.resolved.tree["derive"]["k"].as_integer(), Some(7));
    // What both rules read stays; what the command line says in vain, and the file for its own rule, is wrong as before.
    assert_eq!(experiment.settings.split, SplitSettings::Shuffle { valid_fraction: 0.3 });
    let problem = |text: &str, more: &[(&str, &str)]| with(text, more).unwrap_err().to_string();
    let found = problem(text, &[top[0], top[1], ("derive.budget_ms", "2")]);
    assert!(found.contains("command line, `derive.budget_ms`: has no effect"), "{found}");
    let text = text.replace("budget_ms = 3", "budget_ms = 3\nk = 7");
    let found = problem(&text, &[("derive.rule", "budget")]);
    assert!(found.contains("`derive.k`: has no effect"), "{found}");
}

#[test]
fn a_rule_in_the_file_drops_the_defaults_of_the_other_rules() {
    let bounds = "[split]\nby = \"time\"\ntrain_until = 5\nvalid_from = 6";
    let SplitSettings::Time { valid_fraction, train_until, .. } = with(bounds, &[]).unwrap().settings.split
    else {
        panic!("a split by time");
    };
    assert_eq!((valid_fraction, train_until), (None, Some(Moment::Number(5))));
    let shuffled = with("split = { by = \"shuffle\", valid_fraction = 0.5 }", &[]).unwrap().settings.split;
    assert_eq!(shuffled, SplitSettings::Shuffle { valid_fraction: 0.5 });
    assert!(problem("[split]\nby = \"shuffle\"").contains("`split.by`: missing field `valid_fraction`"));
}

#[test]
fn of_two_tables_with_faults_the_first_is_named_right() {
    let text = problem("[split]\nby = \"shuffle\"\nvalid_fraction = 0.5\n[teacher]\npatience = \"x\"");
    assert!(text.contains("`teacher.patience`"), "{text}");
    let text = problem("[teacher]\npatience = \"x\"\nbatch_size = \"y\"");
    assert!(text.contains("`teacher.patience`"), "{text}");
}

#[test]
fn values_laid_over_an_experiment_win_and_leave_its_paths_where_they_are() {
    let first = with("data.path = \"d.csv\"\n[derive]\nrule = \"top_k\"\nk = 7", &[]).unwrap();
    let over = |texts: &[&str]| {
        let all: Vec<_> = texts.iter().map(|text| Override::assignment(text).unwrap()).collect();
        first.with(Path::new("conf/e.toml"), &all)
    };
    let second = over(&["retrain.dropout=0.5", "derive.rule=budget", "derive.budget_ms=2.0"]).unwrap();
    assert_eq!(second.settings.retrain.train.dropout, 0.5);
    assert_eq!(second.settings.derive.budget().unwrap().limit_ms(), 2.0);
    assert_eq!(second.data_path().unwrap(), Path::new("conf/d.csv"));
    let problem = |texts: &[&str]| over(texts).unwrap_err().to_string();
    assert!(problem(&["retrain.dropuot=0.5"]).contains("`retrain.dropout`"));
    assert!(problem(&["retrain.dropout=2"]).contains("`retrain.dropout`: 2 is outside"));
    assert!(problem(&["derive.theta=0.5"]).contains("`derive.theta`: has no effect"));
    let third = first.changed(|settings| settings.search.lambda1 = 0.0);
    assert_eq!(third.resolved.tree["search"]["lambda1"].as_float(), Some(0.0));
}

#[test]
fn the_missing_schema_is_named() {
    let text = Experiment::parse(Path::new("e.toml"), "", &[]).unwrap_err().to_string();
    assert!(text.starts_with("e.toml, `data.schema`: "), "{text}");
}

#[test]
fn a_syntax_error_names_the_row() {
    assert!(problem("[teacher]\ndropout = = 1").starts_with("conf/e.toml, line 3: "));
}

#[test]
fn an_objective_is_printed_as_it_is_written() {
    let text = "[derive]\nrule = \"budget\"\nobjective = \"p99.9=1500us\"";
    let experiment = with(text, &[("derive.objective", "p99=20ms")]).unwrap();
    let budget = experiment.settings.derive.budget().unwrap();
    assert_eq!((budget.limit_ms(), budget.budget_ms), (20.0, None));
    let printed = experiment.resolved.to_string();
    assert!(printed.lines().any(|line| line.starts_with("objective = \"p99=20ms\"")), "{printed}");
    let again = Experiment::parse(Path::new("conf/e.toml"), &printed, &[]).unwrap();
    assert_eq!(again.settings, experiment.settings);
}

#[test]
fn what_is_printed_reads_back_as_the_same_settings() {
    let first = with(
        "[derive]\nrule = \"top_k\"\nk = 7\n[seeds]\nteacher = 3\n[search.gate]\nkind = \"relaxed\"",
        &[("space.mixops", "[[32, \"zero\"]]"), ("search.price_first_layer", "paper")],
    )
    .unwrap();
    let printed = first.resolved.to_string();
    let second = Experiment::parse(Path::new("conf/e.toml"), &printed, &[]).unwrap();
    assert_eq!(first.settings, second.settings);
    assert!(printed.lines().any(|l| l.starts_with("k = 7 ") && l.ends_with("# file")), "{printed}");
    assert!(
        printed.lines().any(|l| l.starts_with("dropout = 0.2 ") && l.ends_with("# default")),
        "{printed}"
    );
    assert!(printed.lines().any(|l| l.starts_with("mixops") && l.ends_with("# command line")), "{printed}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_numbers_are_set_print_and_parse_are_inverse(
        dropout in 0.0f32..0.99,
        learning_rate in 1e-6f32..1.0,
        qps in 1e-3f64..1e6,
        (epochs, seed) in (1usize..1000, proptest::prelude::any::<u32>()),
    ) {
        let text = format!(
            "[teacher]\ndropout = {dropout:?}\nlearning_rate = {learning_rate:?}\nmax_epochs = {epochs}\n\
             [traffic]\nqps = {qps:?}\n[seeds]\nbase = {seed}"
        );
        let first = with(&text, &[]).unwrap();
        proptest::prop_assert_eq!(first.settings.teacher.train.dropout, dropout);
        let printed = first.resolved.to_string();
        let second = Experiment::parse(Path::new("conf/e.toml"), &printed, &[]).unwrap();
        proptest::prop_assert_eq!(first.settings, second.settings, "{}", printed);
    }
}
