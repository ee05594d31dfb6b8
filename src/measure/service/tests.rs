use super::*;
use crate::{
    base::names::Layout,
    export::signature::{Content, ElementType, Field, Rows, TensorSpec},
    measure::{
        engine::{Inputs, TensorData},
        replay::clock::virtual_time::VirtualClock,
    },
};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

fn signature() -> Signature {
    let field = |feature: &str, columns, cardinality| Field { feature: feature.into(), columns, cardinality };
    let tensor = |name: &str, rows, element, fields| TensorSpec {
        name: name.into(),
        rows,
        element,
        content: Content::Values,
        fields,
    };
    Signature {
        layout: Layout::UserOnce,
        tensors: vec![
            tensor("user_ids", Rows::One, ElementType::I64, vec![field("u", 1, 3)]),
            tensor("item_ids", Rows::Candidates, ElementType::I64, vec![field("a", 1, 2), field("b", 2, 50)]),
            tensor("item_num", Rows::Candidates, ElementType::F32, vec![field("x", 1, 0)]),
        ],
    }
}

/// Model `n` takes n ms at 100 candidates; the machine slows down by `drift` with every run, and each 9th run is
/// interrupted.
struct Scripted {
    clock: Arc<VirtualClock>,
    log: Mutex<Vec<u64>>,
    /// What model 1 was asked.
    asked: Mutex<Vec<Inputs>>,
    drift: f64,
    /// How far visits of nine runs lie apart.
    jitter: f64,
}

struct ScriptedSession {
    ms: u64,
    script: Arc<Scripted>,
}

impl Engine for Arc<Scripted> {
    fn name(&self) -> EngineName {
        EngineName::Null
    }
    fn version(&self) -> String {
        "scripted".into()
    }
    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        assert!(options.candidates_hint.is_some());
        let ms = model.to_str().and_then(|name| name.parse().ok()).expect("a number as name");
        Ok(Box::new(ScriptedSession { ms, script: self.clone() }))
    }
}

impl Session for ScriptedSession {
    fn run(&mut self, inputs: &Inputs, _: &mut Vec<f32>) -> Result<()> {
        if self.ms == 1 {
            self.script.asked.lock().unwrap().push(inputs.clone());
        }
        let mut log = self.script.log.lock().unwrap();
        log.push(self.ms);
        let visit = log.len() / 9;
        let wobble = self.script.jitter * ((visit * 37 % 11) as f64 / 11.0 - 0.5);
        let slower = (1.0 + self.script.drift * log.len() as f64) * (1.0 + wobble);
        let interrupted = if log.len().is_multiple_of(9) { 50.0 } else { 0.0 };
        let ms = self.ms as f64 * slower * inputs.candidates as f64 / 100.0 + interrupted;
        self.script.clock.pass(Duration::from_secs_f64(ms / 1e3));
        Ok(())
    }
}

fn run(models: &[u64], drift: f64, effort: Effort) -> (Vec<ServiceSample>, Vec<u64>) {
    let (samples, script) = run_script(models, drift, effort);
    let log = script.log.lock().unwrap().clone();
    (samples, log)
}

fn run_script(models: &[u64], drift: f64, effort: Effort) -> (Vec<ServiceSample>, Arc<Scripted>) {
    run_with(models, [drift, 0.0], effort, None)
}

fn run_with(
    models: &[u64],
    [drift, jitter]: [f64; 2],
    effort: Effort,
    time_limit_s: Option<f64>,
) -> (Vec<ServiceSample>, Arc<Scripted>) {
    let (clock, log, asked) = (Arc::default(), Mutex::default(), Mutex::default());
    let script = Arc::new(Scripted { clock, log, asked, drift, jitter });
    let models = models.iter().map(|ms| ServiceModel {
        name: format!("{ms} ms"),
        path: ms.to_string().into(),
        signature: signature(),
        cold_runs: 0,
    });
    let job = ServiceJob {
        engine: EngineName::Null,
        options: SessionOptions::PLAIN,
        models: models.collect(),
        candidates: vec![100, 200],
        requests: Requests::Random,
        effort,
        seed: 1,
        time_limit_s,
    };
    let samples = measure(&job, &script, &*script.clock, || ()).unwrap();
    (samples, script)
}

const EFFORT: Effort = Effort {
    passes: 6,
    block_ms: 0.0,
    min_runs: 8,
    max_runs: 8,
    target_noise_pct: 1.5,
    repeats: 2,
    max_noise_pct: 3.0,
};

#[test]
fn interruptions_do_not_move_the_mean_and_samples_keep_the_models_order() {
    let (samples, log) = run(&[3, 1, 2], 0.0, EFFORT);
    let found: Vec<_> = samples.iter().map(|s| (s.model.as_str(), s.candidates)).collect();
    let names = ["3 ms", "1 ms", "2 ms"];
    let expected: Vec<_> = [100, 200].iter().flat_map(|&c| names.map(|n| (n, c))).collect();
    assert_eq!(found, expected);
    for (sample, expected) in samples.iter().zip([3.0, 1.0, 2.0, 6.0, 2.0, 4.0]) {
        assert!((sample.mean_ms - expected).abs() < 1e-6, "{sample:?}");
        let near = |found: Option<f64>| found.is_some_and(|ms| (ms - expected).abs() < 1e-6);
        let RunQuantiles { p50_ms, p90_ms, p99_ms } = sample.quantiles;
        assert!(near(p50_ms) && p90_ms.is_some() && sample.noise_pct < 1e-6, "{sample:?}");
        assert_eq!(p99_ms, None, "48 runs do not earn it");
        assert_eq!((sample.runs, sample.block_ms.len()), (48, 6));
    }
    assert_eq!(log.len(), 2 * 3 * 6 * 9, "one warming run in front of each block");
}

#[test]
fn a_drift_of_the_machine_hits_all_models_alike() {
    // The machine becomes many times slower during the run; the ratios of the models must survive.
    let (samples, _) = run(&[10, 20, 30], 0.01, Effort { passes: 24, repeats: 0, ..EFFORT });
    for (sample, expected) in samples[..3].iter().zip([1.0, 2.0, 3.0]) {
        let ratio = sample.mean_ms / samples[0].mean_ms;
        assert!((ratio / expected - 1.0).abs() < 0.05, "{ratio} for {expected}");
    }
}

#[test]
fn only_noisy_models_are_visited_again_and_the_order_varies_by_pass() {
    let quiet = run(&[1, 2], 0.0, EFFORT).0;
    assert!(quiet.iter().all(|s| s.block_ms.len() == 6 && !s.void));
    let drifting = run(&[1, 2], 0.01, Effort { target_noise_pct: 0.1, max_noise_pct: 0.1, ..EFFORT }).0;
    assert!(drifting.iter().all(|s| s.block_ms.len() == 18 && s.void), "still too noisy after the repeats");
    let log = run(&[1, 2, 3, 4, 5], 0.0, Effort { min_runs: 1, max_runs: 1, repeats: 0, ..EFFORT }).1;
    let passes: Vec<_> = log.chunks(10).collect();
    assert!(passes.windows(2).any(|w| w[0] != w[1]));
    assert!(passes.iter().all(|p| (1..=5).all(|m| p.iter().filter(|&&x| x == m).count() == 2)));
}

#[test]
fn a_visit_goes_on_with_the_requests_where_the_one_before_it_ended() {
    let effort = Effort { passes: 10, min_runs: 5, max_runs: 5, repeats: 0, ..EFFORT };
    let (_, script) = run_script(&[1, 2], 0.0, effort);
    let asked = script.asked.lock().unwrap();
    // Ten visits of one warming and five timed runs, at the first of two candidate counts.
    let asked = &asked[..60];
    assert!(asked.iter().all(|inputs| inputs.candidates == 100));
    let repeated = (0..60).filter(|&i| asked[..i].contains(&asked[i])).count();
    assert_eq!(repeated, 0, "sixty different requests");
}

#[test]
fn a_block_runs_for_its_time_within_its_bounds() {
    let effort = Effort { block_ms: 10.0, min_runs: 2, max_runs: 5, passes: 2, repeats: 0, ..EFFORT };
    let samples = run(&[1, 4, 100], 0.0, effort).0;
    assert!(samples[0].runs <= 10, "at most 5 a block");
    assert!(samples[1].runs <= 6, "3 fill 10 ms");
    assert_eq!(samples[2].runs, 4, "at least 2 a block");
    let none = Effort { passes: 1, ..EFFORT };
    assert!(none.check().unwrap_err().to_string().contains("at least 2 passes"));
}

#[test]
fn random_inputs_fit_the_signature_and_repeat_by_seed() {
    let inputs = random_inputs(&signature(), 40, 7);
    assert_eq!(inputs, random_inputs(&signature(), 40, 7));
    assert_ne!(inputs, random_inputs(&signature(), 40, 8));
    let shapes: Vec<_> = inputs.tensors.iter().map(|t| t.shape).collect();
    assert_eq!(shapes, [[1, 1], [40, 3], [40, 1]]);
    let TensorData::I64(ids) = &inputs.tensors[1].data else { panic!("ids expected") };
    assert_eq!(ids.len(), 120);
    assert!(ids.chunks(3).all(|r| (0..2).contains(&r[0]) && r[1..].iter().all(|id| (0..50).contains(id))));
    assert!(ids.chunks(3).any(|r| r[1] > 25), "the whole range is drawn");
    let TensorData::F32(numbers) = &inputs.tensors[2].data else { panic!("numbers expected") };
    assert!(numbers.iter().all(|x| x.abs() <= 1.0 && !x.is_subnormal()));
}

#[test]
fn a_model_is_visited_until_its_noise_is_at_the_target_and_no_longer() {
    // The machine wobbles between visits; only the target differs.
    let blocks = |target_noise_pct| {
        let effort = Effort { target_noise_pct, repeats: 9, ..EFFORT };
        let samples = run_with(&[5, 7], [0.0, 0.2], effort, None).0;
        samples[..2].iter().map(|s| (s.block_ms.len(), s.noise_pct)).collect::<Vec<_>>()
    };
    for (blocks, noise_pct) in blocks(1000.0) {
        assert_eq!(blocks, EFFORT.passes, "{noise_pct}");
    }
    for (blocks, noise_pct) in blocks(2.0) {
        assert!(noise_pct <= 2.0 && (7..60).contains(&blocks), "{blocks} {noise_pct}");
    }
    for (blocks, _) in blocks(1e-9) {
        assert_eq!(blocks, 10 * EFFORT.passes, "no more than its repeats");
    }
}

#[test]
fn a_job_that_is_out_of_time_visits_every_model_as_often_as_it_must() {
    let (samples, _) = run_with(&[5, 7], [0.0; 2], EFFORT, Some(0.0));
    assert!(samples.iter().all(|sample| sample.block_ms.len() == LEAST_PASSES));
    let (samples, _) = run_with(&[5, 7], [0.0; 2], EFFORT, Some(1e6));
    assert!(samples.iter().all(|sample| sample.block_ms.len() == EFFORT.passes));
}

#[test]
fn percentiles_are_those_of_single_runs_where_there_are_enough() {
    let of = |runs: u32| {
        // In no order.
        let ms: Vec<f64> = (0..runs).map(|run| f64::from(run * 7 % runs + 1)).collect();
        let RunQuantiles { p50_ms, p90_ms, p99_ms } = quantiles(&ms);
        [p50_ms, p90_ms, p99_ms]
    };
    assert_eq!(of(6), [None; 3]);
    assert_eq!(of(43), [Some(22.0), None, None]);
    assert_eq!(of(50), [Some(25.0), Some(45.0), None]);
    assert_eq!(of(1000), [Some(500.0), Some(900.0), Some(990.0)]);
}
