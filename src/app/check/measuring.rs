//! Every network measured twice, in two processes: once through all engines and candidate counts, then once more, so that what
//! changes on the machine in between shows as noise. Networks come in batches that disk and memory hold: one is exported, measured,
//! and removed before the next. What has been measured is kept beside the result.

use super::{CheckRequest, Checked, networks::Chosen};
use crate::{
    app::{plan::span, probe::Begin},
    base::{Error, Result, error::Place, fsio, progress::Progress, stop::Stop},
    measure::{environment::Environment, job::ServiceResult, probe::ServiceSettings, service::Effort},
    price::table::TableContext,
};
use serde::{Deserialize, Serialize};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Service times of networks, (name, ONNX file) each, interleaved, at one candidate count, in one process.
pub type Measure<'a> = &'a dyn Fn(&ServiceSettings, &[(String, PathBuf)], usize) -> Result<ServiceResult>;

/// Version of the file that holds what has been measured.
const SCHEMA_VERSION: u32 = 2;
/// Models that are on the disk, and in the memory of a measuring process, at once.
const BATCH_BYTES: usize = 512 << 20;

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

/// The times of a batch of networks in one of both halves of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    /// Number of the batch's first network.
    first: usize,
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
    let _claim = fsio::claim(&request.out)?;
    let file = kept_beside(&request.out);
    let mut kept = Kept::begin(&file, How::of(request, chosen), begin)?;
    let batches = batches(&chosen.bytes(request), BATCH_BYTES);
    let mut rest = Rest::of(buckets, &batches, &kept);
    for batch in &batches {
        let open = kept.open(batch, buckets);
        let done = 2 * buckets.len() - open.len();
        if done > 0 {
            progress.say(&format!("{} networks: {done} measurements have been made before", batch.len()));
        }
        stop.check()?;
        if open.is_empty() {
            continue;
        }
        progress.stage(&format!("export {} of {} networks", batch.len(), chosen.networks.len()), 0);
        // Removed with all that is in it before the next batch.
        let folder = fsio::temporary_folder()?;
        let models = chosen.export(request, batch.clone(), folder.path())?;
        for (half, bucket) in open {
            stop.check()?;
            let Checked { settings, context, candidates } = bucket;
            progress.measuring(&format!(
                "time {} networks on {} at {candidates} candidates, {} of 2",
                models.len(),
                context.engine,
                half + 1
            ));
            let begun = Instant::now();
            let settings = request.settings[*settings].clone();
            let settings = ServiceSettings { effort: half_of(settings.effort), ..settings };
            let (ms, environment) = timed(&settings, &models, *candidates, measure)?;
            let (context, candidates) = (context.clone(), *candidates);
            let first = batch.start;
            kept.measured.push(Measured { first, half, context, candidates, ms, environment });
            fsio::write_json(&file, &kept)?;
            rest.advance(candidates * batch.len(), begun.elapsed());
            if let Some(left) = rest.left() {
                progress.say(&format!("about {} left", span(left.as_secs_f64())));
            }
        }
    }
    kept.times(&batches, buckets)
}

/// Half the passes for each of two measurements, so that both together take as long as a probe does.
fn half_of(effort: Effort) -> Effort {
    Effort { passes: (effort.passes / 2).max(2), ..effort }
}

/// The times of `models` in their order, measured in one process.
fn timed(
    settings: &ServiceSettings,
    models: &[(String, PathBuf)],
    candidates: usize,
    measure: Measure,
) -> Result<(Vec<f64>, Environment)> {
    let result = measure(settings, models, candidates)?;
    if result.samples.len() != models.len() {
        return Err(Error::usage(
            format!(
                "the measuring process gave {} samples instead of {}",
                result.samples.len(),
                models.len()
            ),
            "run the same version of the program as parent and child",
        ));
    }
    Ok((result.samples.iter().map(|sample| sample.mean_ms).collect(), result.environment))
}

/// Numbers of networks of these sizes, in their order, cut so that a batch stays below `most` bytes where one network does.
fn batches(bytes: &[usize], most: usize) -> Vec<Range<usize>> {
    let (mut batches, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (at, &size) in bytes.iter().enumerate() {
        if at > begin && sum + size > most {
            batches.push(begin..at);
            (begin, sum) = (at, 0);
        }
        sum += size;
    }
    batches.push(begin..bytes.len());
    batches
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
    /// What `begin` begins with: nothing, or what is there.
    fn begin(file: &Path, how: How, begin: Begin) -> Result<Self> {
        match begin {
            Begin::WhereItStopped if file.exists() => known(file, how),
            _ => {
                // Else what is given up here would be gone on with where this one is stopped in its first measurement.
                fsio::remove(file)?;
                Ok(Self { schema_version: SCHEMA_VERSION, how, measured: Vec::new() })
            }
        }
    }

    /// What of a batch is still to be measured: all buckets, then all of them once more.
    fn open<'b>(&self, batch: &Range<usize>, buckets: &'b [Checked]) -> Vec<(usize, &'b Checked)> {
        let halves = (0..2).flat_map(|half| buckets.iter().map(move |bucket| (half, bucket)));
        halves.filter(|&(half, bucket)| self.find(batch.start, half, bucket).is_none()).collect()
    }

    /// Everything that was measured, put together.
    fn times(&self, batches: &[Range<usize>], buckets: &[Checked]) -> Result<Times> {
        let lost = || Error::usage("a measurement was lost", "begin anew without --resume");
        let times = |bucket, half| {
            let of = |batch: &Range<usize>| self.find(batch.start, half, bucket).map(|found| &found.ms[..]);
            let parts: Option<Vec<&[f64]>> = batches.iter().map(of).collect();
            parts.map(|parts| parts.concat()).ok_or_else(lost)
        };
        let by_bucket =
            buckets.iter().map(|bucket| Ok([times(bucket, 0)?, times(bucket, 1)?])).collect::<Result<_>>()?;
        let environment = self.measured.last().map(|last| last.environment.clone()).ok_or_else(lost)?;
        Ok(Times { by_bucket, environment })
    }

    fn find(&self, first: usize, half: usize, bucket: &Checked) -> Option<&Measured> {
        self.measured.iter().find(|m| {
            (m.first, m.half, m.candidates) == (first, half, bucket.candidates) && m.context == bucket.context
        })
    }
}

/// What a check that was stopped has measured.
fn known(file: &Path, how: How) -> Result<Kept> {
    let fix = "go on with the program that began it, or begin anew without --resume";
    let kept: Kept = fsio::read_versioned(file, SCHEMA_VERSION, fix)?;
    if kept.how == how {
        return Ok(kept);
    }
    let fix = "go on with the same table, experiment and options, or begin anew without --resume";
    Err(Error::input(file, Place::whole(), "what was measured before was measured otherwise", fix))
}

/// How much is left: the time of a measurement goes with its networks and candidates, more or less.
struct Rest {
    left: usize,
    done: usize,
    spent: Duration,
}

impl Rest {
    fn of(buckets: &[Checked], batches: &[Range<usize>], kept: &Kept) -> Self {
        let mut left = 0;
        for batch in batches {
            for bucket in buckets {
                let open = (0..2).filter(|&half| kept.find(batch.start, half, bucket).is_none()).count();
                left += open * bucket.candidates * batch.len();
            }
        }
        Self { left, done: 0, spent: Duration::ZERO }
    }

    fn advance(&mut self, work: usize, spent: Duration) {
        self.left -= work;
        self.done += work;
        self.spent += spent;
    }

    fn left(&self) -> Option<Duration> {
        let share = self.left as f64 / self.done.max(1) as f64;
        (self.left > 0).then(|| self.spent.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_network_once_and_stay_below_their_size_where_one_does() {
        assert_eq!(batches(&[4, 4, 4, 9, 1, 1, 20, 1], 10), [0..2, 2..3, 3..5, 5..6, 6..7, 7..8]);
        assert_eq!(batches(&[1, 2], 10).first(), Some(&(0..2)));
    }
}
