use super::*;
use crate::{
    base::names::{Layout, TractPlan},
    data::{
        self,
        schema::{Schema, Side},
    },
    export::companions::{TEST_VECTORS, Versioned},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    measure::{
        prove::test_vectors,
        replay::{
            arrivals::Arrivals,
            make::{self, DataHashes, ListLength, Order, TraceRecipe},
            trace::Origin,
            trace_file::{self, TraceReader},
        },
        scores::ScoreDifference,
        service::Requests,
        workload,
    },
};

const SCHEMA: &str = r#"
[data]
label = "click"
user_key = "user"
item_key = "item"
[defaults]
width = 4
categorical = { encoding = "vocabulary", min_count = 1 }
[[feature]]
name = "user"
kind = "user"
source = "matching"
type = "categorical"
fetch_ms = 0.1
[[feature]]
name = "item"
kind = "item"
source = "store"
type = "categorical"
fetch_ms = 0.1
"#;

/// A log of 5 users and 20 items, its encoders, a trace of 700 requests and a model, all in `folder`.
fn prepare(folder: &Path, encoder_hash: Option<&str>) -> ReplayJob {
    let rows: String = (0..100).map(|i| format!("{},u{},i{}\n", i % 2, i % 5, i * 7 % 20)).collect();
    let file = |name: &str| folder.join(name);
    fsio::write(&file("log.csv"), format!("click,user,item\n{rows}").as_bytes()).unwrap();
    fsio::write(&file("schema.toml"), SCHEMA.as_bytes()).unwrap();
    let schema = Schema::load(&file("schema.toml")).unwrap();
    let split = data::split::SplitSettings::Shuffle { valid_fraction: 0.1 };
    let loaded = data::load(&schema, &file("log.csv"), &split, 1).unwrap();
    loaded.encoders.save(&file("encoders.json")).unwrap();
    let recipe = TraceRecipe {
        arrivals: Arrivals::Poisson { qps: 20_000.0 },
        requests: 700,
        order: Order::Sampled,
        length: ListLength::Fixed(6),
        seed: 1,
    };
    let log = workload::request_log(&loaded.dataset, None).unwrap();
    let hashes = DataHashes { encoders: loaded.encoders.hash(), rows: loaded.dataset.rows_hash() };
    make::plan(log, &recipe, hashes).unwrap().write(&file("trace.parquet")).unwrap();
    let input = |(side, feature): (Side, &data::dataset::EncodedFeature)| NetworkInput {
        feature: feature.name.clone(),
        side,
        width: 4,
        embedding: Embedding::Table { rows: vec![0.1; feature.cardinality as usize * 4] },
    };
    let network = Network {
        inputs: [Side::User, Side::Item].into_iter().zip(&loaded.dataset.features).map(input).collect(),
        body: Body::Mlp(vec![Dense { inputs: 8, outputs: 1, weight: vec![0.1; 8], bias: vec![0.0] }]),
    };
    let metadata = export::Metadata {
        encoder_hash: encoder_hash.map_or_else(|| loaded.encoders.hash(), str::to_owned),
        ..export::Metadata::default()
    };
    let model = export::onnx(&network, Layout::UserOnce, &metadata).unwrap();
    model.write(&file("model.onnx")).unwrap();
    let vectors = test_vectors(&network, &model, &loaded.dataset, &[3, 1, 4, 15]).unwrap();
    let vectors = Versioned { schema_version: 1, content: &vectors };
    fsio::write_json(&file(TEST_VECTORS), &vectors).unwrap();
    ReplayJob {
        engine: EngineName::Null,
        options: SessionOptions::PLAIN,
        workers: 1,
        models: vec![file("model.onnx")],
        trace: file("trace.parquet"),
        pacing: Pacing::Speed { factor: 1.0 },
        warmup: 5,
        max_queue: None,
        plans: BTreeMap::new(),
        data: DataFiles {
            rows: file("log.csv"),
            schema: file("schema.toml"),
            encoders: file("encoders.json"),
        },
        planted: None,
        store: StoreChoice::None,
    }
}

#[test]
fn a_replay_job_runs_from_files_to_files_on_every_engine_of_this_crate() {
    for engine in [EngineName::Null, EngineName::Tract] {
        let folder = tempfile::tempdir().unwrap();
        let job = ReplayJob { engine, ..prepare(folder.path(), None) };
        let out = folder.path().join("out.json");
        run_job(&Job::Replay(job), &out, &Stop::never()).unwrap();
        let [pass]: [Pass; 1] = fsio::read_json(&out).unwrap();
        let recording = &pass.recording;
        assert_eq!((recording.requests(), recording.errors), (700, 0), "{:?}", recording.first_error);
        let (response, service) = (recording.response.summary(), recording.service.summary());
        assert_eq!((response.count, recording.warmup.count()), (700, 5));
        assert!(response.p99.is_some() && response.mean >= service.mean);
        assert!(!recording.interrupted && pass.conditions.before.clock_us > 0.0);
        assert_eq!((pass.load.mean_candidates, pass.load.max_candidates), (6.0, 6));
        assert_eq!(pass.load.half_candidates, [6.0, 6.0]);
        assert_eq!(pass.setup.layout, Layout::UserOnce);
        assert_eq!(pass.setup.candidates_hint, Some(6), "all requests of the trace have six");
        assert_eq!(pass.setup.engine_settings.tract.is_some(), engine == EngineName::Tract);
        let choice = pass.setup.plan_choice.as_ref().map(|plan| (plan.asked, plan.requests, plan.padding));
        assert_eq!(choice, (engine == EngineName::Tract).then_some((TractPlan::Auto, 24, None)));
        // The four candidates of the package, repeated to the six that the session was made for.
        let compared = pass.outputs.map(|outputs| outputs.candidates);
        assert_eq!(compared, (engine == EngineName::Tract).then_some(6));
        assert_eq!(pass.provenance.rows_hash.len(), 64);
    }
}

#[test]
fn a_replay_that_was_asked_to_stop_before_its_first_request_has_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::never();
    stop.request(2);
    let engine = engine::engine(EngineName::Null).unwrap();
    let passes = super::replay(&prepare(folder.path(), None), &*engine, &RealClock::start(), &stop).unwrap();
    assert!(passes.is_empty());
}

/// Without anybody who asks to stop.
fn replay(job: &ReplayJob, engine: &dyn Engine, clock: &dyn Clock) -> Result<Vec<Pass>> {
    super::replay(job, engine, clock, &Stop::never())
}

#[test]
fn a_service_job_runs_from_files_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let replay = prepare(folder.path(), None);
    let path = replay.models[0].clone();
    let signature = export::read_signature(&path).unwrap().0;
    let job = Job::Service(ServiceJob {
        engine: EngineName::Tract,
        options: replay.options,
        models: vec![service::ServiceModel { name: "m".into(), path, signature, cold_runs: 2 }],
        candidates: vec![3, 50],
        requests: Requests::Trace { trace: replay.trace, data: replay.data },
        effort: service::Effort { passes: 2, block_ms: 0.0, min_runs: 2, repeats: 0, ..Default::default() },
        seed: 1,
        time_limit_s: None,
    });
    let out = folder.path().join("out.json");
    run_job(&job, &out, &Stop::never()).unwrap();
    let result: ServiceResult = fsio::read_json(&out).unwrap();
    assert_eq!(result.samples.iter().map(|s| s.candidates).collect::<Vec<_>>(), [3, 50]);
    assert!(result.samples.iter().all(|s| s.mean_ms > 0.0 && s.runs == 4));
    assert!(result.samples.iter().all(|s| s.cold_ms.is_some_and(|ms| ms > 0.0)), "apart from the other runs");
    #[cfg(target_os = "linux")]
    assert_eq!(result.environment.pinned_cores.map(|cores| cores.len()), Some(1), "one thread measures");
}

/// Rewrites a trace with another origin.
fn with_origin(path: &Path, change: impl FnOnce(&mut Origin)) {
    let reader = TraceReader::open(path).unwrap();
    let mut origin = reader.origin().clone();
    change(&mut origin);
    let requests = reader.collect::<Result<Vec<_>>>().unwrap();
    trace_file::write(path, &origin, requests.len(), requests).unwrap();
}

#[test]
fn a_trace_is_refused_when_a_single_row_of_its_data_has_changed_unless_it_never_knew_them() {
    let folder = tempfile::tempdir().unwrap();
    let job = prepare(folder.path(), None);
    let engine = engine::engine(EngineName::Null).unwrap();
    let run = || replay(&job, &*engine, &RealClock::start());
    run().unwrap();
    let log = fsio::read_text(&job.data.rows).unwrap();
    // The same users and items: only one pair differs.
    fsio::write(&job.data.rows, log.replacen("u1,i7", "u1,i14", 1).as_bytes()).unwrap();
    let error = run().unwrap_err().to_string();
    assert!(error.contains("trace.parquet") && error.contains("other rows"), "{error}");
    with_origin(&job.trace, |origin| origin.rows_hash = None);
    run().unwrap();
}

#[test]
fn a_trace_or_a_model_of_other_encoders_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let job = prepare(folder.path(), Some("of another run"));
    let engine = engine::engine(EngineName::Null).unwrap();
    let run = |job: &ReplayJob| replay(job, &*engine, &RealClock::start()).unwrap_err().to_string();
    assert!(run(&job).contains("model.onnx") && run(&job).contains("other encoders"), "{}", run(&job));
    with_origin(&job.trace, |origin| origin.encoder_hash = "of yet another".into());
    assert!(run(&job).contains("trace.parquet"), "{}", run(&job));
}

#[test]
fn a_model_that_scores_otherwise_than_its_package_says_is_not_timed() {
    let folder = tempfile::tempdir().unwrap();
    let job = ReplayJob { engine: EngineName::Tract, workers: 2, ..prepare(folder.path(), None) };
    let engine = engine::engine(EngineName::Tract).unwrap();
    let file = folder.path().join(TEST_VECTORS);
    let mut vectors: serde_json::Value = fsio::read_json(&file).unwrap();
    let score = vectors["scores"][2].as_f64().unwrap();
    for (off, agrees) in [(5e-6, true), (3e-5, false)] {
        vectors["scores"][2] = (score + off).into();
        fsio::write_json(&file, &vectors).unwrap();
        match replay(&job, &*engine, &RealClock::start()) {
            Ok(_) => assert!(agrees),
            Err(error) => {
                assert!(!agrees && matches!(error, Error::Limit { .. }), "{error}");
                assert!(
                    error.to_string().contains("candidate 2") && error.to_string().contains("tract"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_package_without_test_vectors_is_replayed_and_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let job = ReplayJob { engine: EngineName::Tract, ..prepare(folder.path(), None) };
    let engine = engine::engine(EngineName::Tract).unwrap();
    std::fs::remove_file(folder.path().join(TEST_VECTORS)).unwrap();
    let pass = replay(&job, &*engine, &RealClock::start()).unwrap().remove(0);
    assert!(pass.outputs.is_none() && pass.recording.response.count() == 700);
}

/// tract, whose session number `n` of those that were loaded adds `off(n)` to every score.
struct Drifting<F>(Box<dyn Engine>, std::sync::atomic::AtomicUsize, F);

struct DriftingSession(Box<dyn Session>, f32);

impl<F: Fn(usize) -> f32 + Send + Sync> Engine for Drifting<F> {
    fn name(&self) -> EngineName {
        self.0.name()
    }
    fn version(&self) -> String {
        self.0.version()
    }
    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Box::new(DriftingSession(self.0.load(model, options)?, (self.2)(number))))
    }
}

impl Session for DriftingSession {
    fn run(&mut self, inputs: &engine::Inputs, scores: &mut Vec<f32>) -> Result<()> {
        self.0.run(inputs, scores)?;
        scores.iter_mut().for_each(|score| *score += self.1);
        Ok(())
    }
}

#[test]
fn every_session_and_plan_scores_the_traces_own_requests_and_the_null_engine_none() {
    let folder = tempfile::tempdir().unwrap();
    let job = ReplayJob { engine: EngineName::Tract, workers: 2, ..prepare(folder.path(), None) };
    std::fs::remove_file(folder.path().join(TEST_VECTORS)).unwrap();
    let scores = |off: fn(usize) -> f32, warmup| {
        let engine = Drifting(engine::engine(EngineName::Tract).unwrap(), 0.into(), off);
        let job = ReplayJob { warmup, ..job.clone() };
        let pass = replay(&job, &engine, &RealClock::start()).unwrap().remove(0);
        assert_eq!(pass.recording.cold.len(), usize::from(warmup > 0));
        pass.scores.unwrap()
    };
    let same = scores(|_| 0.0, 5);
    assert!(same.engine.starts_with("tract 0.") && same.requests.len() >= 24, "{}", same.requests.len());
    assert!(same.within.unwrap().abs_difference < 1e-6);
    // Two sessions to choose a plan from, then the workers' two.
    let second = scores(|n| if n == 3 { 0.25 } else { 0.0 }, 5).within.unwrap();
    assert!(
        (second.abs_difference - 0.25).abs() < 1e-5 && second.engine.contains("in session 2"),
        "{second:?}"
    );
    let plan = scores(|n| if n == 0 { 0.25 } else { 0.0 }, 5).within.unwrap();
    assert!(plan.engine.contains("any count") && plan.other_engine.contains("per bucket"), "{plan:?}");
    // Where the clock starts cold, a session of its own is compared, before the workers' are made.
    let apart = scores(|n| if n == 2 { 0.25 } else { 0.0 }, 0);
    let difference = ScoreDifference::largest(["a", "b"], [&apart.requests, &same.requests]).unwrap();
    assert!((difference.abs_difference - 0.25).abs() < 1e-5);

    let null = ReplayJob { engine: EngineName::Null, ..job.clone() };
    let engine = engine::engine(EngineName::Null).unwrap();
    let pass = replay(&null, &*engine, &RealClock::start()).unwrap().remove(0);
    assert!(pass.scores.is_none() && pass.outputs.is_none());
}
