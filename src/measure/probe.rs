//! Fills the latency table: single layers and whole random networks of a search space, measured in child processes; and
//! the service time of any exported networks, measured the same way.

mod gathered;
mod plan;
mod sets;
mod shard;

pub use gathered::features_hash;
pub use plan::{Networks, ProbeGroup, ProbePlan, Subject, model_bytes, request_inputs};
pub use shard::Shard;

use super::{
    child::Launcher,
    engine::{self, SessionOptions},
    environment,
    job::ServiceResult,
    service::{Effort, Requests, ServiceJob, ServiceModel},
};
use crate::{
    base::{
        Error, Result, fsio,
        names::{EngineName, Layout, Precision},
    },
    export::{self, probe},
    price::table::{LatencyTable, TableContext, Value},
};
use std::path::{Path, PathBuf};

/// Which engine measures, how, and how thoroughly.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSettings {
    /// The runtime.
    pub engine: EngineName,
    /// How its sessions are made.
    pub options: SessionOptions,
    /// Number format of the graphs that are measured.
    pub precision: Precision,
    /// How thoroughly.
    pub effort: Effort,
    /// Of inputs and order.
    pub seed: u64,
}

/// What was probed under one set of circumstances.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The circumstances.
    pub context: TableContext,
    /// Candidate count and value.
    pub values: Vec<(usize, Value)>,
}

impl ProbePlan {
    /// Measures the whole plan on one engine, group after group.
    pub fn run(&self, launcher: &Launcher, settings: &ServiceSettings) -> Result<Probed> {
        let context = context_here(settings, self.layout)?;
        let mut probed = Probed { context, values: Vec::new() };
        for group in self.groups(settings.seed) {
            probed.values.extend(self.run_group(&group, launcher, settings, None)?.values);
        }
        Ok(probed)
    }

    /// Measures a group in a child process. After `time_limit_s` no more is measured than has to be.
    pub fn run_group(
        &self,
        group: &ProbeGroup,
        launcher: &Launcher,
        settings: &ServiceSettings,
        time_limit_s: Option<f64>,
    ) -> Result<Probed> {
        let folder = fsio::temporary_folder()?;
        let mut models = Vec::with_capacity(group.subjects.len());
        for &at in &group.subjects {
            launcher.stop.check()?;
            let subject = &self.subjects[at];
            let model = self.model(subject, settings.precision)?;
            let path = folder.path().join(format!("{at}.onnx"));
            model.write(&path)?;
            let (name, signature, cold_runs) = (self.name(subject), model.signature, self.cold_runs(subject));
            models.push(ServiceModel { name, path, signature, cold_runs });
        }
        let job = settings.job(models, &[group.candidates], Requests::Random);
        let result = launcher.service(ServiceJob { time_limit_s, ..job })?;
        self.probed(group, settings, result)
    }

    /// Joins the samples, which come in the order of the models, with their subjects.
    fn probed(
        &self,
        group: &ProbeGroup,
        settings: &ServiceSettings,
        result: ServiceResult,
    ) -> Result<Probed> {
        let expected = group.subjects.len();
        if result.samples.len() != expected {
            return Err(Error::usage(
                format!("the measuring process gave {} samples instead of {expected}", result.samples.len()),
                "run the same version of the program as parent and child",
            ));
        }
        let values = group.subjects.iter().zip(&result.samples);
        let values = values.map(|(&at, sample)| (sample.candidates, self.value(&self.subjects[at], sample)));
        Ok(Probed { values: values.collect(), context: context(settings, self.layout, &result) })
    }
}

impl Probed {
    /// Values that stayed noisier than `max_noise_pct`: they stand in the table with their noise.
    pub fn noisy(&self, max_noise_pct: f64) -> usize {
        self.values.iter().filter(|(_, value)| value.noise_pct() > max_noise_pct).count()
    }

    /// Writes every value into `table`, over older ones of the same thing.
    pub fn insert_into(self, table: &mut LatencyTable) -> Result<()> {
        let context = &self.context;
        self.values
            .into_iter()
            .try_for_each(|(candidates, value)| table.insert_value(context, candidates, value))
    }
}

impl ServiceSettings {
    fn context(&self, layout: Layout, engine_version: String, host: String) -> TableContext {
        TableContext {
            engine: self.engine,
            engine_version,
            provider: self.options.provider,
            layout,
            precision: self.precision,
            threads: self.options.threads,
            host,
        }
    }

    fn job(&self, models: Vec<ServiceModel>, candidates: &[usize], requests: Requests) -> ServiceJob {
        ServiceJob {
            engine: self.engine,
            options: self.options.clone(),
            models,
            candidates: candidates.to_vec(),
            requests,
            effort: self.effort,
            seed: self.seed,
            time_limit_s: None,
        }
    }
}

/// The circumstances that this program's measurements on this machine will have.
pub fn context_here(settings: &ServiceSettings, layout: Layout) -> Result<TableContext> {
    Ok(settings.context(layout, engine::engine(settings.engine)?.version(), environment::host()))
}

/// The circumstances of a result: what its values are filed under in a latency table.
pub fn context(settings: &ServiceSettings, layout: Layout, result: &ServiceResult) -> TableContext {
    settings.context(layout, result.engine_version.clone(), result.environment.host.clone())
}

/// Runs the smallest layer in a measuring process, so that an engine, a provider or a number of threads that this
/// machine does not have shows at once and not after hours of work.
pub fn trial(launcher: &Launcher, engine: EngineName, options: &SessionOptions) -> Result<()> {
    let folder = fsio::temporary_folder()?;
    let path = folder.path().join("trial.onnx");
    let precision = Precision::Fp32;
    let model = probe::layer(1, 1, precision)?;
    model.write(&path)?;
    let models =
        vec![ServiceModel { name: "trial".to_owned(), path, signature: model.signature, cold_runs: 0 }];
    let effort =
        Effort { passes: 2, block_ms: 0.0, min_runs: 1, max_runs: 1, repeats: 0, ..Effort::default() };
    let settings = ServiceSettings { engine, options: options.clone(), precision, effort, seed: 0 };
    launcher.service(settings.job(models, &[1], Requests::Random)).map(|_| ())
}

/// Service times of whole exported networks, (name, ONNX file) each, measured as the probes are but asked `requests`.
pub fn measure_networks(
    launcher: &Launcher,
    settings: &ServiceSettings,
    networks: &[(String, PathBuf)],
    candidates: &[usize],
    requests: Requests,
) -> Result<ServiceResult> {
    let model = |(name, path): &(String, PathBuf)| -> Result<ServiceModel> {
        let (signature, _) = export::read_signature(path)?;
        Ok(ServiceModel { name: name.clone(), path: absolute(path)?, signature, cold_runs: 0 })
    };
    let models = networks.iter().map(model).collect::<Result<_>>()?;
    launcher.service(settings.job(models, candidates, requests))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path, "resolve", e))
}

#[cfg(test)]
mod tests;
