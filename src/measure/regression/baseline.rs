//! An older result that a newer one is held against, and whether the two may be compared at all.

use super::LEAST_PASSES;
use crate::{
    base::{
        Error, Result,
        error::Place,
        hash,
        names::{EngineName, Provider},
    },
    measure::{
        engine::EngineSettings,
        environment,
        job::ReplayJob,
        measurement::{AGAIN, Measurement},
        replay::trace::Pacing,
        store::StoreKind,
    },
};
use std::path::{Path, PathBuf};

/// The results of a file that `replay --out` wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    path: PathBuf,
    results: Vec<Measurement>,
}

impl Baseline {
    /// As [`Measurement::load`].
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), results: Measurement::load(path)? })
    }

    /// The file's name.
    pub fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// The result that a job's one may be held against, looked for before anything is measured.
    ///
    /// Fails when there is none of the engine; when it may not be believed; and when it is of another model, trace, setup or
    /// host, with all that differs. Versions of engine and program may differ: those are what a gate is for.
    pub fn of(&self, job: &ReplayJob, model: &Path) -> Result<&Measurement> {
        let wrong = |problem: String, fix: &str| Error::input(&self.path, Place::whole(), problem, fix);
        let wanted = Subject::of_job(job, model)?;
        let mut of_engine = self.results.iter().filter(|result| result.setup.engine == job.engine).peekable();
        if of_engine.peek().is_none() {
            let problem = format!("has no result of {}", job.engine);
            return Err(wrong(
                problem,
                "name only engines that it has with --engine, or measure it again with them",
            ));
        }
        let differing: Vec<(&Measurement, Vec<String>)> =
            of_engine.map(|result| (result, Subject::of(result).differences(&wanted))).collect();
        let Some((result, _)) = differing.iter().find(|(_, differences)| differences.is_empty()) else {
            let problem = format!(
                "its result of {} cannot be compared with this replay: {}",
                job.engine,
                differing[0].1.join("; ")
            );
            return Err(wrong(problem, "replay as it was measured, or measure it again as you replay now"));
        };
        if !result.valid {
            let problem = format!("its result of {} is not valid: {}", job.engine, result.reasons.join("; "));
            return Err(wrong(problem, AGAIN));
        }
        if result.passes.len() < LEAST_PASSES {
            let problem = format!(
                "its result of {} has {} passes, and the spread of fewer than {LEAST_PASSES} says nothing",
                job.engine,
                result.passes.len()
            );
            return Err(wrong(problem, "measure it again with --repeats 3 or more"));
        }
        Ok(result)
    }
}

/// All that has to be equal in two results for their times to be comparable.
#[derive(Debug, Clone, PartialEq)]
struct Subject {
    engine: EngineName,
    provider: Provider,
    threads: usize,
    settings: EngineSettings,
    workers: usize,
    warmup_requests: usize,
    max_queue: Option<usize>,
    pacing: Pacing,
    store: Option<StoreKind>,
    model_sha256: String,
    trace_sha256: String,
    host: String,
}

impl Subject {
    fn of_job(job: &ReplayJob, model: &Path) -> Result<Self> {
        Ok(Self {
            engine: job.engine,
            provider: job.options.provider,
            threads: job.options.threads,
            settings: job.options.settings.only(job.engine),
            workers: job.workers,
            warmup_requests: job.warmup,
            max_queue: job.max_queue,
            pacing: job.pacing,
            store: job.store.kind(),
            model_sha256: hash::sha256_file(model)?,
            trace_sha256: hash::sha256_file(&job.trace)?,
            host: environment::host(),
        })
    }

    fn of(result: &Measurement) -> Self {
        Self {
            engine: result.setup.engine,
            provider: result.setup.provider,
            threads: result.setup.threads,
            settings: result.setup.engine_settings.clone(),
            workers: result.setup.workers,
            warmup_requests: result.setup.warmup_requests,
            max_queue: result.setup.max_queue,
            pacing: result.setup.pacing,
            store: result.store.as_ref().map(|store| store.usage.kind),
            model_sha256: result.provenance.model_sha256.clone(),
            trace_sha256: result.provenance.trace_sha256.clone(),
            host: result.environment.host.clone(),
        }
    }

    /// What of this, the older one, is otherwise in `newer`.
    fn differences(&self, newer: &Self) -> Vec<String> {
        let pairs = [
            ("model", short(&self.model_sha256), short(&newer.model_sha256)),
            ("trace", short(&self.trace_sha256), short(&newer.trace_sha256)),
            ("host", self.host.clone(), newer.host.clone()),
            ("provider", self.provider.to_string(), newer.provider.to_string()),
            ("number of threads", self.threads.to_string(), newer.threads.to_string()),
            ("setting of the engine", format!("{:?}", self.settings), format!("{:?}", newer.settings)),
            ("number of workers", self.workers.to_string(), newer.workers.to_string()),
            ("warm-up", self.warmup_requests.to_string(), newer.warmup_requests.to_string()),
            ("limit of the queue", format!("{:?}", self.max_queue), format!("{:?}", newer.max_queue)),
            ("pacing", format!("{:?}", self.pacing), format!("{:?}", newer.pacing)),
            ("kind of store", store(self.store), store(newer.store)),
        ];
        let differing = pairs.into_iter().filter(|(_, older, newer)| older != newer);
        differing
            .map(|(what, older, newer)| format!("another {what} ({older} there, {newer} here)"))
            .collect()
    }
}

fn store(kind: Option<StoreKind>) -> String {
    kind.map_or("none".to_owned(), |kind| kind.to_string())
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fsio;
    use crate::measure::{
        campaign::examples::job,
        measurement::examples::{pass, plan},
        store::examples::summary,
        validity::examples::recording,
    };

    /// A job and a valid result of it.
    fn subject(folder: &Path) -> (ReplayJob, Measurement) {
        let file = |name: &str| {
            fsio::write(&folder.join(name), name.as_bytes()).unwrap();
            folder.join(name)
        };
        let job = ReplayJob {
            models: vec![file("model.onnx")],
            trace: file("trace.parquet"),
            pacing: Pacing::Speed { factor: 1.0 },
            ..job(EngineName::Null, &[])
        };
        let mut pass = pass(recording(1000, 0, 0), 1, 2);
        pass.environment.host = environment::host();
        pass.setup.candidates_hint = Some(8);
        pass.provenance.model_sha256 = hash::sha256(b"model.onnx");
        pass.provenance.trace_sha256 = hash::sha256(b"trace.parquet");
        (job, Measurement::of(&vec![pass; 3], &plan(3)).unwrap().0)
    }

    fn refused(folder: &Path, job: &ReplayJob, result: &Measurement) -> String {
        let path = folder.join("old.json");
        fsio::write_json(&path, result).unwrap();
        let baseline = Baseline::load(&path).unwrap();
        let error = baseline.of(job, &job.models[0]).unwrap_err().to_string();
        assert!(error.contains("old.json"), "{error}");
        error
    }

    #[test]
    fn the_result_of_the_engine_is_found_in_a_single_result_and_in_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let (job, result) = subject(folder.path());
        let mut other = result.clone();
        other.setup.engine = EngineName::Tract;
        let path = folder.path().join("old.json");
        fsio::write_json(&path, &result).unwrap();
        assert_eq!(Baseline::load(&path).unwrap().of(&job, &job.models[0]).unwrap(), &result);
        fsio::write_json(&path, &[&other, &result]).unwrap();
        assert_eq!(Baseline::load(&path).unwrap().of(&job, &job.models[0]).unwrap(), &result);
        let ort = ReplayJob { engine: EngineName::OnnxRuntime, ..job };
        let error = Baseline::load(&path).unwrap().of(&ort, &ort.models[0]).unwrap_err().to_string();
        assert!(error.contains("no result of onnxruntime") && error.contains("--engine"), "{error}");
    }

    #[test]
    fn what_is_otherwise_is_named_and_versions_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (job, result) = subject(folder.path());
        type Change = fn(&mut Measurement);
        let changes: [(&str, Change); 8] = [
            ("another model", |r| r.provenance.model_sha256 = "ab".into()),
            ("another trace", |r| r.provenance.trace_sha256 = "ab".into()),
            ("another host", |r| r.environment.host = "ab".into()),
            ("another number of threads", |r| r.setup.threads = 2),
            ("another number of workers", |r| r.setup.workers = 2),
            ("another warm-up", |r| r.setup.warmup_requests = 9),
            ("another pacing", |r| r.setup.pacing = Pacing::Closed),
            ("another kind of store", |r| r.store = Some(summary())),
        ];
        for (named, change) in changes {
            let mut changed = result.clone();
            change(&mut changed);
            let error = refused(folder.path(), &job, &changed);
            assert!(error.contains(named) && error.matches("another").count() == 1, "{error}");
        }
        let mut newer = result.clone();
        newer.setup.engine_version = "9".into();
        newer.environment.program_sha256 = "9".into();
        let path = folder.path().join("old.json");
        fsio::write_json(&path, &newer).unwrap();
        Baseline::load(&path).unwrap().of(&job, &job.models[0]).unwrap();
    }

    #[test]
    fn results_that_may_not_be_believed_or_cannot_be_read_are_no_baseline() {
        let folder = tempfile::tempdir().unwrap();
        let (job, result) = subject(folder.path());
        let invalid = Measurement { valid: false, reasons: vec!["it rained".into()], ..result.clone() };
        assert!(refused(folder.path(), &job, &invalid).contains("it rained"));
        let mut few = result.clone();
        few.passes.truncate(2);
        assert!(refused(folder.path(), &job, &few).contains("--repeats 3"));
        let path = folder.path().join("old.json");
        for (text, expected) in [
            (
                r#"{"schema_version": 3}"#,
                "`schema_version`: is 3, this program reads 4: its percentiles and bounds count every pass as further \
                 requests, those of today only the requests of one pass; measure it again with `replay --out`",
            ),
            (r#"{"schema_version": 5}"#, "`schema_version`: is 5, this program reads 4; measure it again"),
            (r#"[{"engine": "tract"}]"#, "is not there"),
            (r#"{"schema_version": 4}"#, "not a result of `replay`"),
            ("{", "not the JSON expected"),
        ] {
            fsio::write(&path, text.as_bytes()).unwrap();
            let error = Baseline::load(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("old.json"), "{error}");
        }
    }
}
