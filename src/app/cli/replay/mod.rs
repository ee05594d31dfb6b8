//! `replay`: real latency of an exported model under recorded traffic.

mod describe;
mod outputs;
mod planned;
mod queue;

use super::{
    engine_options::EngineOptionArgs,
    files::DataArgs,
    output::{self, Format},
    recipe::RecipeArgs,
    signals,
    store_name::StoreName,
};
use crate::{
    base::{
        Error, Result, fsio,
        names::{EngineName, Provider},
        progress::Progress,
    },
    measure::{
        campaign::{Campaign, Measured, Turn},
        child::Launcher,
        engine::SessionOptions,
        hlog,
        job::ReplayJob,
        measurement::{Measurement, Plan},
        planted::Planted,
        probe,
        regression::{Baseline, LEAST_PASSES},
        replay::{trace::Pacing, trace_file::TraceReader},
        store::StoreChoice,
        validity::Limits,
    },
};
use clap::Args;
use queue::QueueArgs;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Headings of the help.
const TRAFFIC: &str = "Traffic";
const SERVING: &str = "Serving";
const MEASURING: &str = "Measuring";
const QUEUE: &str = "Queue";

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench replay --model out/model.onnx --data D.parquet --qps 50
  autofas-bench replay --model out/model.onnx --data D.parquet \\
      --arrivals arrivals.csv --qps 50 --engine tract --out r.json
  autofas-bench replay --model out/model.onnx --data D.parquet --qps 50 \\
      --dry-run   # how long?
  autofas-bench replay --model out/model.onnx --data D.parquet --qps 50 \\
      --baseline r.json --out now.json
  autofas-bench replay --model out/model.onnx --data D.parquet \\
      --arrivals arrivals.csv --slo p99=20ms --out peak.json

Before its clock starts, every session scores the request of test_vectors.json beside the model, and some of the trace's own. \
                  Scores that differ from the package's by more than its tolerance end the replay with exit code 3; those that differ \
                  between engines, plans or passes make the result INVALID.

Exit codes once results are written: 3 when one is slower than --baseline by more than --max-regression and by more than noise, or \
                  when a search finds no rate for --slo; 4 when none is, and one is INVALID: that says nothing of the speed, so \
                  measure again. `gate` in the result is passed, regressed, undecided or invalid.

SIGINT ends a replay with what it has: the result is written, marked as interrupted and INVALID, or with the curve of a search so \
                  far."
)]
pub struct ReplayArgs {
    /// The exported model
    #[arg(long, value_name = "M.onnx")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Where the result goes: an object, or a list of them when there are several engines
    #[arg(long, value_name = "R.json")]
    out: Option<PathBuf>,
    /// Where the histograms go, of a search for --slo those of the rate of its result; with several engines, the engine's name is
    /// put before the ending
    #[arg(long, value_name = "R.hlog")]
    hlog: Option<PathBuf>,
    #[command(flatten)]
    outputs: outputs::OutputArgs,
    /// Read and check everything, say what would be replayed and for how long, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// A trace of `trace make`, instead of one that is made now
    #[arg(long, help_heading = TRAFFIC, value_name = "T.parquet", conflicts_with_all = RecipeArgs::TRAFFIC)]
    trace: Option<PathBuf>,
    /// Replay recorded arrivals this many times faster
    #[arg(long, help_heading = TRAFFIC, value_name = "X", conflicts_with_all = ["qps", "closed", "offline"])]
    speed: Option<f64>,
    /// Mean requests per second; recorded arrivals are stretched to it
    #[arg(long, help_heading = TRAFFIC, value_name = "Q", conflicts_with_all = ["closed", "offline"])]
    qps: Option<f64>,
    /// One request after the other, without a schedule: shows the highest rate, not the response under load
    #[arg(long, help_heading = TRAFFIC, conflicts_with = "offline")]
    closed: bool,
    /// All requests at once, as a batch job asks: shows the throughput
    #[arg(long, help_heading = TRAFFIC)]
    offline: bool,
    #[command(flatten, next_help_heading = TRAFFIC)]
    recipe: RecipeArgs,
    /// tract, onnxruntime or null; may be repeated [default: all that compute on --provider]
    #[arg(long, help_heading = SERVING, hide_possible_values = true, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// Where the features come from whose source is a store: none (with the request, so that inference alone is measured),
    /// memory:STORE (copied into memory, as a path alone), embedded:STORE (on the disk), redis://host?timeout_ms=100 (a Redis server,
    /// and how long a request waits for it; rediss:// over TLS)
    #[arg(long, help_heading = SERVING, value_name = "STORE", default_value_t = StoreChoice::None, value_parser = StoreName)]
    store: StoreChoice,
    /// Where ONNX Runtime computes: cpu, cuda or tensorrt
    #[arg(long, help_heading = SERVING, hide_possible_values = true, value_name = "NAME", default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Threads inside one request
    #[arg(long, help_heading = SERVING, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Requests that are served at once
    #[arg(long, help_heading = SERVING, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// Requests that may wait at once; one more is rejected and counted [default: as many as there are]
    #[arg(long, help_heading = SERVING, value_name = "N", conflicts_with_all = ["closed", "offline"])]
    max_queue: Option<usize>,
    #[command(flatten, next_help_heading = SERVING)]
    engine_options: EngineOptionArgs,
    /// Requests of every number of candidates that each worker runs before the clock starts, after a cold one
    #[arg(long, help_heading = MEASURING, value_name = "N", default_value_t = 20)]
    warmup: usize,
    /// Passes over the trace, by turns with the other engines; their spread is reported
    #[arg(long, help_heading = MEASURING, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// Answered requests of the trace that a valid result needs; 459 earn a p99, and more passes add none
    #[arg(long, help_heading = MEASURING, value_name = "N", default_value_t = 459)]
    min_requests: u64,
    /// Seconds that a valid result needs, in all passes together
    #[arg(long, help_heading = MEASURING, value_name = "S", default_value_t = 10.0)]
    min_duration: f64,
    /// An older result of the same model, trace, setup and host to hold this one against
    #[arg(long, help_heading = MEASURING, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    /// How much slower than --baseline a result may be, in percent
    #[arg(long, help_heading = MEASURING, value_name = "PCT", default_value_t = 5.0, requires = "baseline")]
    max_regression: f64,
    /// Spin for this long after every run of the engine, to see what is made of a delay that is known
    #[arg(long, help_heading = MEASURING, value_name = "US", default_value_t = 0.0, hide = true)]
    plant_busy_us: f64,
    /// Make every run this much longer by spinning
    #[arg(long, help_heading = MEASURING, value_name = "PCT", default_value_t = 0.0, hide = true)]
    plant_slowdown_pct: f64,
    #[command(flatten, next_help_heading = QUEUE)]
    queue: QueueArgs,
}

/// Any rate does: without a schedule the arrivals are not looked at, and a search stretches them.
const ANY_QPS: f64 = 1.0;

impl ReplayArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        self.check()?;
        let baseline = self.baseline.as_deref().map(Baseline::load).transpose()?;
        let launcher = Launcher::this_program(&signals::stop_and_end()?)?;
        let engines = self.engines();
        progress.stage("try the engines", 0);
        for &engine in &engines {
            probe::trial(&launcher, engine, &self.options()?)?;
        }
        let folder = fsio::temporary_folder()?;
        let trace = self.trace_in(folder.path(), progress)?;
        let jobs = engines.iter().map(|&engine| self.job(engine, &trace)).collect::<Result<Vec<_>>>()?;
        if let Some(baseline) = &baseline {
            // Before an hour is spent on what cannot be compared.
            jobs.iter().try_for_each(|job| baseline.of(job, &self.model).map(drop))?;
        }
        let campaign = Campaign { jobs, plan: self.plan(), scored: BTreeMap::new() };
        let recorded = TraceReader::open(&trace)?.trace()?;
        if self.dry_run {
            return output::print(format, &self.planned(&campaign, &recorded)?, ToString::to_string);
        }
        let replay = |campaign: &Campaign| {
            campaign.run(&launcher, |turn| {
                let Turn { engine, pass, passes } = turn;
                let at = campaign.rate().map_or_else(String::new, |qps| format!(" at {qps:.1} per second"));
                progress.measuring(&format!("replay on {engine}{at}, pass {pass} of {passes}"));
            })
        };
        let outcome = match self.queue.slo.is_empty() {
            true => replay(&campaign)?,
            false => self.queue.search(&campaign, &recorded, replay, |measured| self.write(measured))?,
        };
        let mut measured: Vec<Measured> = outcome.measured.into_iter().flatten().collect();
        if let Some(baseline) = &baseline {
            // A baseline or a model that is gone meanwhile loses no measurement. What fails here fails below, and is told there.
            let _ = self.write(&measured);
            self.hold_against(baseline, &campaign, &mut measured)?;
        }
        // What cannot be simulated loses no measurement.
        let added = measured.iter_mut().try_for_each(|measured| self.queue.add_to(measured, &recorded));
        let written = self.write(&measured);
        let results: Vec<&Measurement> = measured.iter().map(|measured| &measured.measurement).collect();
        match results.as_slice() {
            [one] if engines.len() == 1 => output::print(format, one, |one| describe::text(&[one]))?,
            several => output::print(format, &several, |several| describe::text(several))?,
        }
        // What could not be written has at least been printed.
        written?;
        match outcome.failure {
            Some(stopped @ Error::Interrupted { .. }) if !results.is_empty() => {
                Err(anyhow::Error::new(stopped).context("the result is of what was measured until then"))
            }
            Some(failure) => Err(failure.into()),
            None => {
                added?;
                queue::check(&results)?;
                Ok(believed(&results)?)
            }
        }
    }

    /// The trace that was named, or one that is made in `folder`.
    fn trace_in(&self, folder: &Path, progress: &dyn Progress) -> Result<PathBuf> {
        if let Some(path) = &self.trace {
            return Ok(path.clone());
        }
        progress.stage("make the trace", 0);
        let qps = if self.closed || self.offline || !self.queue.slo.is_empty() {
            self.recipe.check_stretchable()?;
            Some(ANY_QPS)
        } else {
            self.qps
        };
        let trace = self.recipe.make(&self.data.files(Some(&self.model))?, qps)?;
        let path = folder.join("trace.parquet");
        trace.write(&path)?;
        Ok(path)
    }

    /// Sets every result beside that of `baseline` for the same engine.
    fn hold_against(
        &self,
        baseline: &Baseline,
        campaign: &Campaign,
        measured: &mut [Measured],
    ) -> Result<()> {
        for Measured { measurement, .. } in measured {
            let of_engine = |job: &&ReplayJob| job.engine == measurement.setup.engine;
            let job = campaign.jobs.iter().find(of_engine).expect("a result is of a job");
            let older = baseline.of(job, &self.model)?;
            measurement.hold_against(older, &baseline.file(), self.max_regression);
        }
        Ok(())
    }

    /// Refuses options that make no sense together, before anything is read.
    fn check(&self) -> Result<()> {
        self.outputs.check()?;
        self.out.iter().try_for_each(|path| fsio::check_file(path))?;
        self.engines()
            .iter()
            .try_for_each(|&engine| self.hlog_of(engine).map_or(Ok(()), |path| fsio::check_file(&path)))?;
        if self.workers == 0 || self.threads == 0 {
            let fix = "give at least 1 worker and 1 thread";
            return Err(Error::usage("nobody would serve the requests", fix));
        }
        if self.repeats == 0 || self.baseline.is_some() && self.repeats < LEAST_PASSES {
            return Err(Error::usage(
                format!("--repeats {} gives no spread", self.repeats),
                format!("give at least 1, and at least {LEAST_PASSES} with --baseline"),
            ));
        }
        for (option, value) in [
            ("--min-duration", self.min_duration),
            ("--max-regression", self.max_regression),
            ("--plant-busy-us", self.plant_busy_us),
            ("--plant-slowdown-pct", self.plant_slowdown_pct),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::usage(format!("{option} {value} is no limit"), "give 0 or more"));
            }
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let limits = Limits { min_requests: self.min_requests, min_duration_s: self.min_duration };
        Plan { repeats: self.repeats, seed: self.recipe.seed, limits }
    }

    fn job(&self, engine: EngineName, trace: &Path) -> Result<ReplayJob> {
        Ok(ReplayJob {
            engine,
            options: self.options()?,
            workers: self.workers,
            models: vec![self.model.clone()],
            trace: trace.to_owned(),
            pacing: self.pacing(),
            warmup: self.warmup,
            max_queue: self.max_queue,
            plans: BTreeMap::new(),
            data: self.data.files(Some(&self.model))?,
            planted: self.planted(),
            store: self.store.clone(),
        })
    }

    fn planted(&self) -> Option<Planted> {
        let planted = Planted { busy_us: self.plant_busy_us, slowdown_pct: self.plant_slowdown_pct };
        (planted.busy_us > 0.0 || planted.slowdown_pct > 0.0).then_some(planted)
    }

    /// Where the histograms of an engine go.
    fn hlog_of(&self, engine: EngineName) -> Option<PathBuf> {
        let path = self.hlog.as_ref()?;
        Some(match self.engines().len() {
            1 => path.clone(),
            _ => path.with_extension(format!("{engine}.hlog")),
        })
    }

    /// Writes results, histograms and pictures where that was asked for: all that can be, and fails with the first that cannot.
    fn write(&self, measured: &[Measured]) -> Result<()> {
        let results: Vec<_> = measured.iter().map(|measured| &measured.measurement).collect();
        // Who is stopped before the first request has nothing to write.
        let out = self.out.iter().filter(|_| !results.is_empty()).map(|path| match results.as_slice() {
            [one] if self.engines().len() == 1 => fsio::write_json(path, one),
            several => fsio::write_json(path, &several),
        });
        let hlogs = measured.iter().filter_map(|Measured { measurement, recording, .. }| {
            let path = self.hlog_of(measurement.setup.engine)?;
            Some(hlog::write_recording(&path, recording))
        });
        let mut written: Vec<Result<()>> = out.chain(hlogs).collect();
        written.extend(self.outputs.write(measured));
        written.into_iter().collect()
    }

    /// Only ONNX Runtime has other providers than the CPU.
    fn engines(&self) -> Vec<EngineName> {
        match (self.engine.as_slice(), self.provider) {
            ([], Provider::Cpu) => vec![EngineName::Tract, EngineName::OnnxRuntime],
            ([], _) => vec![EngineName::OnnxRuntime],
            (chosen, _) => {
                // Once each: its second result would have the name of the first.
                let mut seen = BTreeSet::new();
                chosen.iter().copied().filter(|engine| seen.insert(*engine)).collect()
            }
        }
    }

    fn options(&self) -> Result<SessionOptions> {
        let settings = self.engine_options.settings(&self.engines())?;
        Ok(SessionOptions {
            provider: self.provider,
            threads: self.threads,
            settings,
            ..SessionOptions::PLAIN
        })
    }

    fn pacing(&self) -> Pacing {
        let recorded = self.trace.is_some() || self.recipe.arrivals.is_some();
        match (self.qps, self.speed) {
            _ if self.closed => Pacing::Closed,
            _ if self.offline => Pacing::Offline,
            (Some(qps), _) if recorded => Pacing::Rate { qps },
            (_, speed) => Pacing::Speed { factor: speed.unwrap_or(1.0) },
        }
    }
}

/// Fails when a result regressed, or may not be believed; of several engines, neither hides the other. By now the
/// results have been written and printed with their reasons.
fn believed(results: &[&Measurement]) -> Result<()> {
    let reasons: Vec<String> = results
        .iter()
        .filter(|result| !result.valid)
        .map(|result| format!("{}: {}", result.setup.engine, result.reasons.join("; ")))
        .collect();
    let slower: Vec<String> = results.iter().filter_map(|result| describe::regression(result)).collect();
    let (invalid, slower) = (reasons.join("; "), slower.join("; "));
    let also =
        if invalid.is_empty() { String::new() } else { format!("\n  and a result is INVALID: {invalid}") };
    match (slower.is_empty(), invalid.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::NotValid { reasons: invalid }),
        (false, _) => {
            Err(Error::Limit { limit: "the speed of the baseline".to_owned(), found: slower + &also })
        }
    }
}
