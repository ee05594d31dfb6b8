//! Mean service time of many models on one engine: what probes and whole networks are compared by.
//!
//! For each candidate count all models are loaded once and visited in several passes, each in a new seeded order, so
//! that a drift of the machine meets all of them alike. One visit is a block of runs in a row, after one that warms
//! the caches. A block's value is the mean of its runs without the slowest quarter (interruptions only ever add), and a
//! model's mean is the median over its blocks. The noise is the difference of the estimates from the even and from the
//! odd passes, relative to the mean; models above the stated noise are visited again.
//!
//! Only [`Session::run`] is timed. Inputs are random ids below the signature's cardinalities and numbers in [-1, 1)
//! none of which is denormal, the same for every engine.

use super::{
    engine::{Engine, InputTensor, Inputs, Session, SessionOptions, TensorData},
    replay::clock::Clock,
};
use crate::{
    base::{Error, Result, names::EngineName, rng},
    export::signature::{ElementType, Rows, Signature, TensorSpec},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// A model to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceModel {
    /// How its samples are called.
    pub name: String,
    /// The ONNX file.
    pub path: PathBuf,
    /// Its inputs.
    pub signature: Signature,
}

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Visits to every model, at least 2.
    pub passes: usize,
    /// Runs of a visit go on for this long …
    pub block_ms: f64,
    /// … but are at least this many …
    pub min_runs: usize,
    /// … and at most this many.
    pub max_runs: usize,
    /// Models noisier than this are visited again …
    pub max_noise_pct: f64,
    /// … this many times, with as many passes each.
    pub repeats: usize,
}

impl Default for Effort {
    /// About a minute for 130 probes of 0.05 to 5 ms.
    fn default() -> Self {
        Self { passes: 6, block_ms: 25.0, min_runs: 4, max_runs: 40, max_noise_pct: 3.0, repeats: 2 }
    }
}

impl Effort {
    /// Refuses what would measure nothing.
    pub fn check(&self) -> Result<()> {
        if self.passes >= 2 && self.min_runs >= 1 && self.max_runs >= self.min_runs {
            return Ok(());
        }
        Err(Error::usage(
            format!("{self:?} measures nothing"),
            "give at least 2 passes and 1 run, and no fewer runs at most than at least",
        ))
    }
}

/// What to measure on which engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceJob {
    /// The runtime.
    pub engine: EngineName,
    /// How sessions are made; the hint is set per candidate count.
    pub options: SessionOptions,
    /// The models.
    pub models: Vec<ServiceModel>,
    /// Candidate counts at which each is measured.
    pub candidates: Vec<usize>,
    /// How thoroughly.
    pub effort: Effort,
    /// Of inputs and order.
    pub seed: u64,
}

/// The service time of one model at one candidate count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSample {
    /// The model's name.
    pub model: String,
    /// Number of candidates.
    pub candidates: usize,
    /// Estimated mean service time.
    pub mean_ms: f64,
    /// Median over all timed runs.
    pub p50_ms: f64,
    /// Timed runs.
    pub runs: usize,
    /// Estimate of every block, in order of time.
    pub block_ms: Vec<f64>,
    /// Difference of the estimates from even and odd passes, relative to the mean.
    pub noise_pct: f64,
}

/// Different requests per model, so that a run does not always find its embedding rows in the nearest cache.
const VARIANTS: u64 = 3;

struct Subject<'a> {
    model: &'a ServiceModel,
    session: Box<dyn Session>,
    inputs: Vec<Inputs>,
    blocks_ms: Vec<f64>,
    runs_ms: Vec<f64>,
}

/// Runs a job in this process. Samples come per candidate count in the order of the models.
pub fn measure(job: &ServiceJob, engine: &dyn Engine, clock: &dyn Clock) -> Result<Vec<ServiceSample>> {
    job.effort.check()?;
    let mut samples = Vec::with_capacity(job.models.len() * job.candidates.len());
    for &candidates in &job.candidates {
        samples.extend(measure_at(job, candidates, engine, clock)?);
    }
    Ok(samples)
}

fn measure_at(
    job: &ServiceJob,
    candidates: usize,
    engine: &dyn Engine,
    clock: &dyn Clock,
) -> Result<Vec<ServiceSample>> {
    let options = SessionOptions { candidates_hint: Some(candidates), ..job.options.clone() };
    let mut subjects = Vec::with_capacity(job.models.len());
    for model in &job.models {
        subjects.push(subject(model, engine, &options, job.seed, candidates)?);
    }
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut generator = rng::generator(job.seed, "service order");
    for round in 0..=job.effort.repeats {
        if round > 0 {
            order.retain(|&i| noise_pct(&subjects[i].blocks_ms) > job.effort.max_noise_pct);
        }
        for _ in 0..job.effort.passes {
            rng::shuffle(&mut order, &mut generator);
            for &i in &order {
                subjects[i].visit(job.effort, clock)?;
            }
        }
    }
    Ok(subjects.iter().map(|subject| subject.sample(candidates)).collect())
}

fn subject<'a>(
    model: &'a ServiceModel,
    engine: &dyn Engine,
    options: &SessionOptions,
    seed: u64,
    candidates: usize,
) -> Result<Subject<'a>> {
    let ids = model.signature.tensors.iter().any(|tensor| tensor.element == ElementType::I64);
    Ok(Subject {
        session: engine.load(&model.path, options)?,
        inputs: (0..if ids { VARIANTS } else { 1 })
            .map(|variant| random_inputs(&model.signature, candidates, seed.wrapping_add(variant)))
            .collect(),
        model,
        blocks_ms: Vec::new(),
        runs_ms: Vec::new(),
    })
}

impl Subject<'_> {
    fn visit(&mut self, effort: Effort, clock: &dyn Clock) -> Result<()> {
        let mut scores = Vec::new();
        let mut run = |turn: usize| -> Result<Duration> {
            let begun = clock.now();
            self.session.run(&self.inputs[turn % self.inputs.len()], &mut scores)?;
            Ok(clock.now().saturating_sub(begun))
        };
        run(0)?;
        let budget = Duration::from_secs_f64(effort.block_ms.max(0.0) / 1e3);
        let (mut block, mut spent) = (Vec::new(), Duration::ZERO);
        while block.len() < effort.min_runs || (block.len() < effort.max_runs && spent < budget) {
            let time = run(block.len() + 1)?;
            spent += time;
            block.push(time.as_secs_f64() * 1e3);
        }
        self.runs_ms.extend_from_slice(&block);
        self.blocks_ms.push(without_slowest_quarter(block));
        Ok(())
    }

    fn sample(&self, candidates: usize) -> ServiceSample {
        ServiceSample {
            model: self.model.name.clone(),
            candidates,
            mean_ms: median(self.blocks_ms.clone()),
            p50_ms: median(self.runs_ms.clone()),
            runs: self.runs_ms.len(),
            block_ms: self.blocks_ms.clone(),
            noise_pct: noise_pct(&self.blocks_ms),
        }
    }
}

/// Inputs of one request with random content: ids below the cardinality, numbers in [-1, 1).
pub fn random_inputs(signature: &Signature, candidates: usize, seed: u64) -> Inputs {
    let mut generator = rng::generator(seed, "service inputs");
    let tensors = signature
        .tensors
        .iter()
        .map(|spec| {
            let rows = match spec.rows {
                Rows::One => 1,
                Rows::Candidates => candidates,
            };
            let shape = [rows, spec.columns()];
            InputTensor { name: spec.name.clone(), shape, data: random_data(spec, rows, &mut generator) }
        })
        .collect();
    Inputs { candidates, tensors }
}

fn random_data(spec: &TensorSpec, rows: usize, generator: &mut rng::Generator) -> TensorData {
    match spec.element {
        // `uniforms` draws multiples of 2⁻²³, so the only value below the normal range is 0 itself.
        ElementType::F32 => TensorData::F32(rng::uniforms(rows * spec.columns(), 1.0, generator)),
        ElementType::I64 => {
            let bounds: Vec<i64> = spec
                .fields
                .iter()
                .flat_map(|field| std::iter::repeat_n(i64::from(field.cardinality.max(1)), field.columns))
                .collect();
            let draw = |_| bounds.iter().map(|&bound| generator.random_range(0..bound)).collect::<Vec<_>>();
            TensorData::I64((0..rows).flat_map(draw).collect())
        }
    }
}

fn without_slowest_quarter(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let kept = values.len() - values.len() / 4;
    values[..kept].iter().sum::<f64>() / kept as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn noise_pct(blocks_ms: &[f64]) -> f64 {
    let half = |first| median(blocks_ms.iter().skip(first).step_by(2).copied().collect());
    // An engine that computes nothing may take no measurable time at all.
    100.0 * (half(0) - half(1)).abs() / median(blocks_ms.to_vec()).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::{Layout, Provider},
        export::signature::Field,
        measure::replay::clock::virtual_time::VirtualClock,
    };
    use std::{
        path::Path,
        sync::{Arc, Mutex},
    };

    fn signature() -> Signature {
        let field =
            |feature: &str, columns, cardinality| Field { feature: feature.into(), columns, cardinality };
        let tensor =
            |name: &str, rows, element, fields| TensorSpec { name: name.into(), rows, element, fields };
        Signature {
            layout: Layout::UserOnce,
            tensors: vec![
                tensor("user_ids", Rows::One, ElementType::I64, vec![field("u", 1, 3)]),
                tensor(
                    "item_ids",
                    Rows::Candidates,
                    ElementType::I64,
                    vec![field("a", 1, 2), field("b", 2, 50)],
                ),
                tensor("item_num", Rows::Candidates, ElementType::F32, vec![field("x", 1, 0)]),
            ],
        }
    }

    /// Model `n` takes n ms at 100 candidates; the machine slows down by `drift` with every run, and each 9th run is
    /// interrupted.
    struct Scripted {
        clock: Arc<VirtualClock>,
        log: Mutex<Vec<u64>>,
        drift: f64,
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
            let mut log = self.script.log.lock().unwrap();
            log.push(self.ms);
            let slower = 1.0 + self.script.drift * log.len() as f64;
            let interrupted = if log.len().is_multiple_of(9) { 50.0 } else { 0.0 };
            let ms = self.ms as f64 * slower * inputs.candidates as f64 / 100.0 + interrupted;
            self.script.clock.pass(Duration::from_secs_f64(ms / 1e3));
            Ok(())
        }
    }

    fn run(models: &[u64], drift: f64, effort: Effort) -> (Vec<ServiceSample>, Vec<u64>) {
        let script = Arc::new(Scripted { clock: Arc::default(), log: Mutex::default(), drift });
        let models = models.iter().map(|ms| ServiceModel {
            name: format!("{ms} ms"),
            path: ms.to_string().into(),
            signature: signature(),
        });
        let job = ServiceJob {
            engine: EngineName::Null,
            options: SessionOptions { provider: Provider::Cpu, threads: 1, candidates_hint: None },
            models: models.collect(),
            candidates: vec![100, 200],
            effort,
            seed: 1,
        };
        let samples = measure(&job, &script, &*script.clock).unwrap();
        let log = script.log.lock().unwrap().clone();
        (samples, log)
    }

    const EFFORT: Effort =
        Effort { passes: 6, block_ms: 0.0, min_runs: 8, max_runs: 8, max_noise_pct: 3.0, repeats: 2 };

    #[test]
    fn interruptions_do_not_move_the_mean_and_samples_keep_the_models_order() {
        let (samples, log) = run(&[3, 1, 2], 0.0, EFFORT);
        let found: Vec<_> = samples.iter().map(|s| (s.model.as_str(), s.candidates)).collect();
        let names = ["3 ms", "1 ms", "2 ms"];
        let expected: Vec<_> = [100, 200].iter().flat_map(|&c| names.map(|n| (n, c))).collect();
        assert_eq!(found, expected);
        for (sample, expected) in samples.iter().zip([3.0, 1.0, 2.0, 6.0, 2.0, 4.0]) {
            assert!((sample.mean_ms - expected).abs() < 1e-6, "{sample:?}");
            assert!((sample.p50_ms - expected).abs() < 1e-6 && sample.noise_pct < 1e-6);
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
        assert!(quiet.iter().all(|s| s.block_ms.len() == 6));
        let drifting = run(&[1, 2], 0.01, Effort { max_noise_pct: 0.1, ..EFFORT }).0;
        assert!(drifting.iter().all(|s| s.block_ms.len() == 18));
        let log = run(&[1, 2, 3, 4, 5], 0.0, Effort { min_runs: 1, max_runs: 1, repeats: 0, ..EFFORT }).1;
        let passes: Vec<_> = log.chunks(10).collect();
        assert!(passes.windows(2).any(|w| w[0] != w[1]));
        assert!(passes.iter().all(|p| (1..=5).all(|m| p.iter().filter(|&&x| x == m).count() == 2)));
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
        assert!(
            ids.chunks(3).all(|r| (0..2).contains(&r[0]) && r[1..].iter().all(|id| (0..50).contains(id)))
        );
        assert!(ids.chunks(3).any(|r| r[1] > 25), "the whole range is drawn");
        let TensorData::F32(numbers) = &inputs.tensors[2].data else { panic!("numbers expected") };
        assert!(numbers.iter().all(|x| x.abs() <= 1.0 && !x.is_subnormal()));
    }
}
