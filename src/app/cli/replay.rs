//! `replay`: real latency of an exported model under recorded traffic.

use super::{
    files::DataArgs,
    output::{self, Format},
    recipe::RecipeArgs,
};
use crate::{
    base::{
        Error, Result, fsio,
        names::{EngineName, Provider},
        progress::Progress,
        stop::Stop,
    },
    measure::{
        child::Launcher,
        engine::SessionOptions,
        job::{ReplayJob, ReplayModel},
        latency::LatencySummary,
        measurement::Measurement,
        probe,
        replay::trace::Pacing,
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench replay --model out/model.onnx --data D.parquet --qps 50
  autofas-bench replay --model out/model.onnx --data D.parquet --arrivals arrivals.csv --qps 50 --engine tract --out r.json

Before its clock starts, every session scores the request of test_vectors.json beside the model; scores that differ by more
than 1e-5 end the replay with exit code 3. So does, after results were written, a result that is NOT VALID.")]
pub struct ReplayArgs {
    /// The exported model
    #[arg(long, value_name = "M.onnx")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// A trace of `trace make`, instead of one that is made now
    #[arg(long, value_name = "T.parquet", conflicts_with = "recipe")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// tract, onnxruntime or null; may be repeated [default: all that compute on --provider]
    #[arg(long, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// Where ONNX Runtime computes: cpu, cuda or tensorrt
    #[arg(long, value_name = "NAME", default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Threads inside one request
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Requests that are served at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// Replay recorded arrivals this many times faster
    #[arg(long, value_name = "X", conflicts_with_all = ["qps", "closed"])]
    speed: Option<f64>,
    /// Mean requests per second; recorded arrivals are stretched to it
    #[arg(long, value_name = "Q", conflicts_with = "closed")]
    qps: Option<f64>,
    /// One request after the other, without a schedule: shows the highest rate, not the response under load
    #[arg(long)]
    closed: bool,
    /// Requests that every worker runs before the clock starts
    #[arg(long, value_name = "N", default_value_t = 20)]
    warmup: usize,
    /// Where the result goes: an object, or a list of them when there are several engines
    #[arg(long, value_name = "R.json")]
    out: Option<PathBuf>,
    /// Where the histograms go; with several engines, the engine's name is put before the ending
    #[arg(long, value_name = "R.hlog")]
    hlog: Option<PathBuf>,
}

/// Any rate does: in closed loop the arrivals are not looked at.
const CLOSED_QPS: f64 = 1.0;

impl ReplayArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        self.pacing()?;
        let launcher = Launcher::this_program(&Stop::never())?;
        let engines = self.engines();
        progress.stage("try the engines", 0);
        for &engine in &engines {
            probe::trial(&launcher, engine, &self.options())?;
        }
        let folder = tempfile::tempdir()?;
        let trace = match &self.trace {
            Some(path) => path.clone(),
            None => {
                progress.stage("make the trace", 0);
                let qps = if self.closed { Some(CLOSED_QPS) } else { self.qps };
                let trace = self.recipe.make(&self.data.files(Some(&self.model))?, qps)?;
                let path = folder.path().join("trace.parquet");
                trace.write(&path)?;
                path
            }
        };
        let mut results = Vec::new();
        for &engine in &engines {
            progress.measuring(&format!("replay on {engine}"));
            results.extend(launcher.replay(self.job(engine, engines.len(), &trace)?)?);
            // Now, so that a later engine's failure loses nothing.
            match (&self.out, engines.len(), results.as_slice()) {
                (Some(path), 1, [one]) => fsio::write_json(path, one)?,
                (Some(path), _, several) => fsio::write_json(path, &several)?,
                (None, ..) => {}
            }
        }
        match results.as_slice() {
            [one] => output::print(format, one, |one| describe(std::slice::from_ref(one)))?,
            several => output::print(format, &several, |several| describe(several))?,
        }
        Ok(believed(&results)?)
    }

    fn job(&self, engine: EngineName, engines: usize, trace: &Path) -> Result<ReplayJob> {
        let hlog = self.hlog.as_ref().map(|path| match engines {
            1 => path.clone(),
            _ => path.with_extension(format!("{engine}.hlog")),
        });
        Ok(ReplayJob {
            engine,
            options: self.options(),
            workers: self.workers,
            models: vec![ReplayModel { path: self.model.clone(), hlog }],
            trace: trace.to_owned(),
            pacing: self.pacing()?,
            warmup: self.warmup,
            data: self.data.files(Some(&self.model))?,
        })
    }

    /// Only ONNX Runtime has other providers than the CPU.
    fn engines(&self) -> Vec<EngineName> {
        match (self.engine.as_slice(), self.provider) {
            ([], Provider::Cpu) => vec![EngineName::Tract, EngineName::OnnxRuntime],
            ([], _) => vec![EngineName::OnnxRuntime],
            (chosen, _) => chosen.to_vec(),
        }
    }

    fn options(&self) -> SessionOptions {
        SessionOptions { provider: self.provider, threads: self.threads, candidates_hint: None }
    }

    fn pacing(&self) -> Result<Pacing> {
        if self.workers == 0 || self.threads == 0 {
            return Err(Error::usage(
                "nobody would serve the requests",
                "give at least 1 worker and 1 thread",
            ));
        }
        let recorded = self.trace.is_some() || self.recipe.arrivals.is_some();
        Ok(match (self.closed, self.qps, self.speed) {
            (true, ..) => Pacing::Closed,
            (_, Some(qps), _) if recorded => Pacing::Rate { qps },
            (_, _, speed) => Pacing::Speed { factor: speed.unwrap_or(1.0) },
        })
    }
}

/// Fails when a result may not be believed; by now it has been written and printed with its reasons.
fn believed(results: &[Measurement]) -> Result<()> {
    let reasons: Vec<String> = results
        .iter()
        .filter(|result| !result.valid)
        .map(|result| format!("{}: {}", result.setup.engine, result.reasons.join("; ")))
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::Limit { limit: "a replay that may be believed".to_owned(), found: reasons.join("; ") })
}

fn describe(results: &[Measurement]) -> String {
    let header = ["engine", "version", "requests", "ms", "p50", "p90", "p99", "p99.9", "mean", "max"];
    let mut rows = Vec::new();
    for result in results {
        let parts = [
            ("response", &result.response_us),
            ("service", &result.service_us),
            ("assembly", &result.assembly_us),
            ("dispatch lag", &result.dispatch_lag_us),
        ];
        for (i, (name, summary)) in parts.into_iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            let mut row = vec![
                first(result.setup.engine.to_string()),
                first(result.setup.engine_version.clone()),
                first(result.requests.to_string()),
                name.to_owned(),
            ];
            row.extend(columns_ms(summary));
            rows.push(row);
        }
    }
    let mut text = output::table(&header, &rows);
    for result in results {
        let engine = result.setup.engine;
        let load = match result.load.offered_qps {
            Some(offered) => {
                format!("offered {offered:.1}, answered {:.1} requests per second", result.load.answered_qps)
            }
            None => format!("answered {:.1} requests per second in closed loop", result.load.answered_qps),
        };
        text += &format!("\n{engine}: {load}, {:.0} candidates on average", result.load.mean_candidates);
        if let Some(outputs) = &result.outputs {
            text += &format!(
                "\n{engine}: the scores of the package agree within {:.1e} (allowed: {:.0e})",
                outputs.max_abs_difference, outputs.tolerance
            );
        }
        for reason in &result.reasons {
            text += &format!("\n{engine}: NOT VALID: {reason}");
        }
    }
    let notes: std::collections::BTreeSet<_> = results.iter().flat_map(|r| &r.provenance.notes).collect();
    text + &notes.into_iter().map(|note| format!("\nnote: {note}")).collect::<String>()
}

fn columns_ms(summary: &LatencySummary) -> [String; 6] {
    let quantile = |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.3}", us as f64 / 1e3));
    let ms = |us: Option<f64>| us.map_or("-".to_owned(), |us| format!("{:.3}", us / 1e3));
    [
        quantile(summary.p50),
        quantile(summary.p90),
        quantile(summary.p99),
        quantile(summary.p999),
        ms(summary.mean),
        ms(summary.max),
    ]
}
