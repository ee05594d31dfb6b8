//! A budget that is stated as a percentile under load: what it is forecast from, what it is held against, and that a run
//! which is stopped at every replay ends with the same bytes.

use crate::{
    EXPERIMENT,
    dear::{alone_ms, probe_alone, widths, with_log},
    files, resumed,
    scripted::{self, ScriptedMeter},
};
use autofas_bench::{
    app::{
        config::{Experiment, Override},
        iterate::{Meter, NamedModel, RunRequest, ServiceTime, Summary, Traffic, iterate, search},
    },
    base::{Error, Result, fsio, names::EngineName, stop::Stop},
    data::schema::Schema,
    measure::{
        measurement::Measurement,
        probe::ProbePlan,
        replay::{
            forecast::{self, ForecastSettings},
            trace_file::TraceReader,
            work::{Before, WorkSample},
            work_model::WorkModel,
        },
        tail::TailForecast,
    },
    price::{
        feature::FeaturePrices,
        path::{Step, steps},
        table::{TableContext, Value},
    },
};
use std::{cell::Cell, fs, path::Path};

const SCRIPTED: ScriptedMeter<'static> = ScriptedMeter { at: &|_| {} };
const QPS: f64 = 3000.0;
/// What a request adds to the engine's run.
const OVERHEAD: f64 = 1.25;

/// Layers cost what they cost alone, but those between hidden ones `dearer` times as much inside a network. Requests to a
/// network keep their worker for exponential times, and what a replay shows is the queue behind such a worker.
struct QueueMeter<'a> {
    dearer: f64,
    /// Whether its replays may be believed.
    valid: bool,
    replayed: &'a dyn Fn(),
}

impl QueueMeter<'_> {
    fn mean_ms(&self, model: &NamedModel) -> f64 {
        let inside = |step| match step {
            Step::Layer { to: 2.., .. } => self.dearer * alone_ms(step),
            _ => alone_ms(step),
        };
        steps(&widths(&model.name)).map(inside).sum()
    }
}

fn work(mean_ms: f64) -> Result<WorkModel> {
    let sample = |i: u32| WorkSample {
        candidates: 20,
        before: Before::Work,
        work_ns: (-1e6 * mean_ms * (1.0 - (f64::from(i) + 0.5) / 5000.0).ln()) as u64,
    };
    WorkModel::fit(&(0..5000).map(sample).collect::<Vec<_>>())
}

impl Meter for QueueMeter<'_> {
    fn context(&self, engine: EngineName) -> Result<TableContext> {
        SCRIPTED.context(engine)
    }

    fn probe(&self, engine: EngineName, plan: &ProbePlan) -> Result<Vec<Value>> {
        probe_alone(engine, plan)
    }

    fn service(&self, _: EngineName, models: &[NamedModel], _: Option<&Traffic>) -> Result<Vec<ServiceTime>> {
        let time = |model| ServiceTime { mean_ms: self.mean_ms(model), noise_pct: 0.5 };
        Ok(models.iter().map(time).collect())
    }

    fn replay(
        &self,
        engine: EngineName,
        models: &[NamedModel],
        traffic: &Traffic,
    ) -> Result<Vec<Measurement>> {
        (self.replayed)();
        let trace = TraceReader::open(&traffic.trace)?.trace()?;
        let replay = |model: &NamedModel| {
            let ms = self.mean_ms(model);
            let work = work(OVERHEAD * ms)?;
            let settings = ForecastSettings { requests: 200_000, ..ForecastSettings::of(1, 11) };
            let queue = forecast::at_rate(&work, forecast::Traffic::of(&trace), settings, QPS)?;
            let log = traffic.hlogs.join(format!("{}-{engine}.hlog", model.name));
            fsio::write(&log, format!("{ms}\n").as_bytes())?;
            Ok(Measurement {
                response_us: queue.response.summary(),
                work: Some(work),
                valid: self.valid,
                ..scripted::measurement(engine, ms)
            })
        };
        models.iter().map(replay).collect()
    }

    fn describe(&self, path: &Path) -> Result<()> {
        SCRIPTED.describe(path)
    }
}

/// The declared price of all features, in ms.
fn of_all_features(folder: &Path) -> f64 {
    let schema = Schema::load(&folder.join("log/schema.toml")).unwrap();
    FeaturePrices::declared(&schema).expected(&vec![1.0; schema.features.len()]).ms
}

/// Two hidden layers in every network, and an objective that all features and `above_ms` keep.
fn experiment(folder: &Path, above_ms: f64, settings: &[(&str, &str)]) -> Experiment {
    let text = EXPERIMENT
        .replace("[[16, 8, \"zero\"], [8, \"zero\"]]", "[[16, 8], [8]]")
        .replace("rule = \"top_k\"\nk = 9\n", "rule = \"budget\"\n")
        .replace("requests = 20\n", &format!("requests = 459\nqps = {QPS:.1}\n"));
    let objective = format!("p99={:.6}ms", of_all_features(folder) + above_ms);
    let mut overrides = vec![Override::text("derive.objective", objective)];
    overrides.extend(settings.iter().map(|&(key, value)| Override::parse(key, value)));
    Experiment::parse(&folder.join("e.toml"), &text, &overrides).unwrap()
}

fn run(experiment: &Experiment, out: &Path, dearer: f64) -> Result<Summary> {
    let meter = QueueMeter { dearer, valid: true, replayed: &|| {} };
    iterate(resumed(experiment, out, &meter))
}

#[test]
fn a_run_stopped_at_every_replay_ends_with_the_bytes_of_one_that_was_left_alone() {
    let folder = with_log();
    let folder = folder.path();
    let experiment = experiment(folder, 9.0, &[]);
    let (whole, divided) = (folder.join("whole"), folder.join("divided"));
    let summary = run(&experiment, &whole, 1.0).unwrap();

    let mut legs = 0;
    let found = loop {
        let stop = Stop::new("go on");
        let replays = Cell::new(0);
        let replayed = || {
            replays.set(replays.get() + 1);
            stop.request(2);
        };
        let meter = QueueMeter { dearer: 1.0, valid: true, replayed: &replayed };
        let request = RunRequest { stop: Some(&stop), ..resumed(&experiment, &divided, &meter) };
        let leg = match legs {
            0 => search(request).map(|_| None),
            _ => iterate(request).map(Some),
        };
        legs += 1;
        match leg {
            Ok(Some(summary)) => break summary,
            Ok(None) => panic!("the search was not stopped at the replay of its reference"),
            Err(error) => {
                assert!(matches!(error, Error::Interrupted { .. }) && replays.get() == 1, "{error}")
            }
        }
    };
    // The reference, two rounds, and the winner with the plain DNN on the first engine; nothing is left to stop after the second.
    assert_eq!(legs, 5);
    assert_eq!(found, summary);
    let (wanted, left) = (files(&whole), files(&divided));
    assert!(left.keys().eq(wanted.keys()), "{:?} {:?}", left.keys(), wanted.keys());
    for (name, bytes) in &wanted {
        assert!(left[name] == *bytes, "{} differs", name.display());
    }
}

fn forecast_of(run: &Path, round: usize) -> TailForecast {
    let json: serde_json::Value =
        fsio::read_json(&run.join(format!("rounds/{round}/forecast.json"))).unwrap();
    serde_json::from_value(json["result"].clone()).unwrap()
}

#[test]
fn what_was_forecast_is_what_a_replay_shows_and_each_round_learns_from_the_last_winner() {
    let folder = with_log();
    let folder = folder.path();
    let out = folder.join("run");
    let experiment = experiment(folder, 9.0, &[]);
    let summary = run(&experiment, &out, 1.0).unwrap();
    summary.check_budget().unwrap();
    let budget = summary.winner.budget.unwrap();
    let tail = budget.tail.unwrap();
    let features = summary.rounds[0].feature_ms;
    let (predicted, measured) = (tail.predicted_ms - features, budget.measured_ms.unwrap() - features);
    assert!((predicted / measured - 1.0).abs() < 0.05, "{predicted} {measured}");
    // More than service alone: the queue is in it.
    let service = summary.winner.service[&EngineName::Tract].ms;
    assert!(measured > 1.2 * 100f64.ln() * OVERHEAD * service, "{measured} {service}");
    assert!(budget.met && tail.upper_ms.unwrap() > budget.measured_ms.unwrap(), "{budget:?}");
    assert!(summary.rounds.iter().all(|round| round.budget.unwrap().met));
    let text = summary.to_text(Path::new("run"));
    for expected in [
        "features and network under load: p99 ",
        "within the objective p99=",
        " at 3000 requests per second to 1 worker",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(forecast_of(&out, 1).network.starts_with("baseline-"));
    assert_eq!(forecast_of(&out, 2).network, summary.rounds[0].network.subnet);
    // A search by itself tells the same prediction.
    let meter = QueueMeter { dearer: 1.0, valid: true, replayed: &|| {} };
    let searched = search(resumed(&experiment, &out, &meter)).unwrap();
    assert_eq!(
        searched.tail.unwrap().predicted_ms,
        summary.rounds[0].budget.unwrap().tail.unwrap().predicted_ms
    );
    assert!(searched.to_text(&out).contains("ms predicted at 3000 requests per second"));
}

#[test]
fn an_objective_that_no_measured_network_keeps_is_said_in_the_summary_and_is_a_limit() {
    let folder = with_log();
    let folder = folder.path();
    // Layers alone keep it, networks do not.
    let one_round = experiment(folder, 9.0, &[("rounds.count", "1")]);
    let summary = run(&one_round, &folder.join("one"), 50.0).unwrap();
    let budget = summary.winner.budget.unwrap();
    assert!(!budget.met && budget.tail.unwrap().predicted_ms < budget.budget_ms, "{budget:?}");
    assert!(summary.to_text(Path::new("run")).contains("NOT WITHIN the objective"));
    let missed = summary.check_budget().unwrap_err();
    assert!(
        matches!(missed, Error::Limit { .. }) && missed.to_string().contains("the objective p99="),
        "{missed}"
    );
    // The second round's table has learnt it, and no network of the space is served at that rate.
    let two_rounds = experiment(folder, 9.0, &[("rounds.diverse", "6")]);
    let unreachable = run(&two_rounds, &folder.join("two"), 50.0).unwrap_err();
    assert!(matches!(unreachable, Error::Limit { .. }), "{unreachable}");
    assert!(unreachable.to_string().contains("more than the workers can keep up with"), "{unreachable}");
}

#[test]
fn a_replay_that_may_not_be_believed_keeps_no_objective_and_teaches_no_forecast() {
    let folder = with_log();
    let folder = folder.path();
    let (experiment, out) = (experiment(folder, 9.0, &[]), folder.join("run"));
    let meter = QueueMeter { dearer: 1.0, valid: false, replayed: &|| {} };
    let summary = iterate(RunRequest::new(&experiment, &out, &meter)).unwrap();
    let budget = summary.winner.budget.unwrap();
    assert!(!budget.met && budget.tail.unwrap().upper_ms.unwrap() < budget.budget_ms, "{budget:?}");
    assert!(summary.check_budget().unwrap_err().to_string().contains("NOT VALID"));
    assert!(forecast_of(&out, 2).network.starts_with("baseline-"));
}

#[test]
fn an_objective_below_every_network_names_the_cheapest_with_its_forecast() {
    let folder = with_log();
    let folder = folder.path();
    let experiment = experiment(folder, 0.0, &[("derive.objective", "\"p99=0.3ms\"")]);
    let refused = run(&experiment, &folder.join("run"), 1.0).unwrap_err();
    assert!(matches!(refused, Error::Limit { .. }), "{refused}");
    let text = refused.to_string();
    for expected in
        ["a budget of 0.3 ms for features and p99 of the response at 3000", "the cheapest network f"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(
        !folder.join("run/warmup.safetensors").exists(),
        "prices alone say so, before anything is searched"
    );
}

#[test]
fn without_keys_an_objective_is_refused_before_anything_is_trained() {
    let folder = with_log();
    let folder = folder.path();
    let schema = folder.join("log/schema.toml");
    let text = fsio::read_text(&schema).unwrap();
    let without = text.lines().filter(|line| !line.starts_with("user_key") && !line.starts_with("item_key"));
    let without: Vec<&str> = without.collect();
    assert_eq!(without.len() + 2, text.lines().count());
    fs::write(&schema, without.join("\n")).unwrap();
    let refused = run(&experiment(folder, 9.0, &[]), &folder.join("run"), 1.0).unwrap_err().to_string();
    assert!(refused.contains("schema.toml, `data`: no user_key and item_key"), "{refused}");
    assert!(refused.contains("budget_ms"), "{refused}");
    assert!(!folder.join("run").exists());
}
