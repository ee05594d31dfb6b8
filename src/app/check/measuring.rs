//! Every network measured twice, in two processes: once through all engines and candidate counts, then once more, so that what
//! changes on the machine in between shows as noise. What has been measured is kept beside the result.

use super::{CheckRequest, Checked, networks::Chosen};
use crate::{
    app::probe::{Begin, duration_text},
    base::{Error, Result, error::Place, fsio, progress::Progress, stop::Stop},
    measure::{environment::Environment, job::ServiceResult, probe::ServiceSettings, service::Effort},
    price::table::TableContext,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Service times of networks, (name, ONNX file) each, interleaved, at one candidate count, in one process.
pub type Measure<'a> = &'a dyn Fn(&ServiceSettings, &[(String, PathBuf)], usize) -> Result<ServiceResult>;

/// Version of the file that holds what has been measured.
const SCHEMA_VERSION: u32 = 1;
/// Models that are in the memory of a measuring process at once.
const GROUP_BYTES: u64 = 512 << 20;

/// What has been measured, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    schema_version: u32,
    how: How,
    measured: Vec<Measured>,
}

/// Times from other circumstances do not go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct How {
    table: String,
    networks: Vec<String>,
    effort: Vec<Effort>,
    seed: u64,
    cardinalities: Vec<usize>,
}

/// The times of all networks in one of both halves of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    half: usize,
    context: TableContext,
    candidates: usize,
    ms: Vec<f64>,
    environment: Environment,
}

/// By bucket, half and network, in ms.
pub(super) struct Times {
    pub(super) by_bucket: Vec<[Vec<f64>; 2]>,
    pub(super) environment: Environment,
}

/// Where results are kept until the check is done.
pub(super) fn kept_beside(out: &Path) -> PathBuf {
    out.with_extension("partial.json")
}

pub(super) fn measure_twice(
    request: &CheckRequest,
    buckets: &[Checked],
    chosen: &Chosen,
    begin: Begin,
    measure: Measure,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Times> {
    let file = kept_beside(&request.out);
    let how = How::of(request, chosen);
    let mut kept = match begin {
        Begin::WhereItStopped if file.exists() => known(&file, how)?,
        _ => Kept { schema_version: SCHEMA_VERSION, how, measured: Vec::new() },
    };
    let folder = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
    let mut models: Vec<(String, PathBuf)> = Vec::new();
    let mut rest = Rest::of(buckets, &kept);
    for half in 0..2 {
        for bucket in buckets {
            let Checked { settings, context, candidates } = bucket;
            let engine = context.engine;
            if kept.find(half, context, *candidates).is_some() {
                progress.say(&format!("{engine} at {candidates} candidates has been measured before"));
                continue;
            }
            stop.check()?;
            if models.is_empty() {
                progress.stage(&format!("export {} networks", chosen.networks.len()), 0);
                models = chosen.export(request, folder.path())?;
            }
            let turn = half + 1;
            progress.measuring(&format!(
                "time {} networks on {engine} at {candidates} candidates, {turn} of 2",
                models.len()
            ));
            let begun = Instant::now();
            let settings = request.settings[*settings].clone();
            let settings = ServiceSettings { effort: half_of(settings.effort), ..settings };
            let (ms, environment) = timed(&settings, &models, *candidates, measure)?;
            let (context, candidates) = (context.clone(), *candidates);
            kept.measured.push(Measured { half, context, candidates, ms, environment });
            fsio::write_json(&file, &kept)?;
            rest.advance(candidates, begun.elapsed());
            if let Some(left) = rest.left() {
                progress.say(&format!("about {} left", duration_text(left.as_secs_f64())));
            }
        }
    }
    let lost = || Error::usage("a measurement was lost", "begin anew without --resume");
    let by_bucket = buckets
        .iter()
        .map(|Checked { context, candidates, .. }| {
            let of =
                |half| kept.find(half, context, *candidates).map(|found| found.ms.clone()).ok_or_else(lost);
            Ok([of(0)?, of(1)?])
        })
        .collect::<Result<_>>()?;
    let environment = kept.measured.last().map(|last| last.environment.clone()).ok_or_else(lost)?;
    Ok(Times { by_bucket, environment })
}

/// Half the passes for each of two measurements, so that both together take as long as a probe does.
fn half_of(effort: Effort) -> Effort {
    Effort { passes: (effort.passes / 2).max(2), ..effort }
}

/// The times of `models` in their order, as many in one process as its memory holds.
fn timed(
    settings: &ServiceSettings,
    models: &[(String, PathBuf)],
    candidates: usize,
    measure: Measure,
) -> Result<(Vec<f64>, Environment)> {
    let mut times = Vec::with_capacity(models.len());
    let mut environment = Environment::default();
    for group in groups(models)? {
        let result = measure(settings, group, candidates)?;
        if result.samples.len() != group.len() {
            return Err(Error::usage(
                format!(
                    "the measuring process gave {} samples instead of {}",
                    result.samples.len(),
                    group.len()
                ),
                "run the same version of the program as parent and child",
            ));
        }
        times.extend(result.samples.iter().map(|sample| sample.mean_ms));
        environment = result.environment;
    }
    Ok((times, environment))
}

/// The models in their order, cut so that a group stays below [`GROUP_BYTES`].
fn groups(models: &[(String, PathBuf)]) -> Result<Vec<&[(String, PathBuf)]>> {
    let (mut groups, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (at, (_, path)) in models.iter().enumerate() {
        let size = std::fs::metadata(path).map_err(|e| Error::io(path, "look at", e))?.len();
        if at > begin && bytes + size > GROUP_BYTES {
            groups.push(&models[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += size;
    }
    groups.push(&models[begin..]);
    Ok(groups)
}

impl How {
    fn of(request: &CheckRequest, chosen: &Chosen) -> Self {
        Self {
            table: request.table.id(),
            networks: chosen.networks.iter().map(|network| network.network.clone()).collect(),
            effort: request.settings.iter().map(|settings| settings.effort).collect(),
            seed: request.seed,
            cardinalities: request.cardinalities.clone(),
        }
    }
}

impl Kept {
    fn find(&self, half: usize, context: &TableContext, candidates: usize) -> Option<&Measured> {
        let same = |m: &&Measured| m.half == half && m.candidates == candidates && m.context == *context;
        self.measured.iter().find(same)
    }
}

/// What a check that was stopped has measured.
fn known(file: &Path, how: How) -> Result<Kept> {
    let kept: Kept = fsio::read_json(file)?;
    if kept.schema_version == SCHEMA_VERSION && kept.how == how {
        return Ok(kept);
    }
    Err(Error::input(
        file,
        Place::whole(),
        "what was measured before was measured otherwise",
        "go on with the same table, experiment and options, or begin anew without --resume",
    ))
}

/// How much is left: the time of a bucket goes with its candidates, more or less.
struct Rest {
    left: usize,
    done: usize,
    spent: Duration,
}

impl Rest {
    fn of(buckets: &[Checked], kept: &Kept) -> Self {
        let halves = [0, 1].into_iter().flat_map(|half| buckets.iter().map(move |bucket| (half, bucket)));
        let open = halves.filter(|(half, b)| kept.find(*half, &b.context, b.candidates).is_none());
        Self { left: open.map(|(_, b)| b.candidates).sum(), done: 0, spent: Duration::ZERO }
    }

    fn advance(&mut self, candidates: usize, spent: Duration) {
        self.left -= candidates;
        self.done += candidates;
        self.spent += spent;
    }

    fn left(&self) -> Option<Duration> {
        let share = self.left as f64 / self.done.max(1) as f64;
        (self.left > 0).then(|| self.spent.mul_f64(share))
    }
}
