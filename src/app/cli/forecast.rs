//! `forecast`: what a replay's result says about rates that were not replayed, by simulating the queue.

use super::output::{self, Format, ms};
use crate::{
    base::{
        Error, Result, hash,
        names::EngineName,
        objective::{Objective, Percentile},
    },
    measure::{
        capacity::{Affordable, AffordedRecall, Capacity, CapacityQuestion, Recalls},
        measurement::Measurement,
        replay::{
            forecast::{Forecast, ForecastSettings, LOADS_PCT, Traffic, forecast},
            slo::{Progress, SloCurve},
            trace::Trace,
            trace_file::TraceReader,
        },
    },
};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench forecast r.json --qps 80
  autofas-bench forecast r.json --trace T.parquet --workers 4 --slo p99=20ms \\
      --capacity-qps 2000
  autofas-bench forecast small.json large.json --slo p99=20ms \\
      --capacity-qps 200 --recall small-e.json --recall large-e.json"
)]
pub struct ForecastArgs {
    /// Results of `replay --out`, of any number of models and engines
    #[arg(value_name = "R.json", required = true)]
    results: Vec<PathBuf>,
    /// Arrivals and numbers of candidates, stretched to each rate [default: Poisson, with the candidates of the result]
    #[arg(long, value_name = "T.parquet")]
    trace: Option<PathBuf>,
    /// Workers behind the queue [default: the result's]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// A rate in requests per second, beside 10 to 95 % of what the workers can serve; may be repeated
    #[arg(long, value_name = "Q")]
    qps: Vec<f64>,
    /// What has to hold at --capacity-qps, such as p99=20ms; may be repeated
    #[arg(long, value_name = "P=TIME", requires = "capacity_qps")]
    slo: Vec<Objective>,
    /// How many cores this rate needs at --slo, and how many candidates per request it affords
    #[arg(long, value_name = "Q", requires = "slo")]
    capacity_qps: Option<f64>,
    /// An evaluation of a model of the results (`evaluate --scored N,N --out`): what the candidates that --slo affords keep of the
    /// teacher's top K; may be repeated, once per model
    #[arg(long, value_name = "E.json", requires = "capacity_qps")]
    recall: Vec<PathBuf>,
    /// Simulated requests of every rate, at least
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    requests: usize,
    /// Seed of gaps and work
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// One engine's forecast.
#[derive(Debug, Serialize)]
struct Forecasted {
    engine: EngineName,
    model: String,
    /// Threads of each worker.
    threads: usize,
    /// Why to take it with care: what speaks against the result, and what was left out.
    reasons: Vec<String>,
    #[serde(flatten)]
    forecast: Forecast,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<Capacity>,
}

/// The trace of `--trace`.
struct Given {
    trace: Trace,
    sha256: String,
}

impl ForecastArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        if self.workers == Some(0) || self.requests == 0 {
            let fix = "give at least 1 worker and 1 request";
            return Err(Error::usage("nothing would be simulated", fix).into());
        }
        let mut results = Vec::new();
        for path in &self.results {
            results.extend(Measurement::load(path)?.into_iter().map(|result| (path, result)));
        }
        let recalls = Recalls::load(&self.recall)?;
        recalls.check_used(results.iter().map(|(_, result)| &*result.provenance.model_sha256))?;
        let read = |path: &PathBuf| -> Result<Given> {
            Ok(Given { trace: TraceReader::open(path)?.trace()?, sha256: hash::sha256_file(path)? })
        };
        let given = self.trace.as_ref().map(read).transpose()?;
        let of = |(path, result): &(&PathBuf, Measurement)| {
            let mut forecasted = self.forecast(path, result, given.as_ref())?;
            let scored = recalls.of(&result.provenance.model_sha256);
            if let (Some(capacity), Some(scored)) = (&mut forecasted.capacity, scored) {
                capacity.recall = AffordedRecall::of(capacity.affordable, scored);
            }
            Ok(forecasted)
        };
        let forecasts = results.iter().map(of).collect::<Result<Vec<_>>>()?;
        match forecasts.as_slice() {
            [one] => output::print(format, one, |one| describe(std::slice::from_ref(one))),
            several => output::print(format, &several, |several| describe(several)),
        }
    }

    fn forecast(&self, path: &Path, result: &Measurement, given: Option<&Given>) -> Result<Forecasted> {
        let model = result.work_model(path)?;
        let (traffic, arrivals) = match given {
            Some(Given { trace, .. }) => (Traffic::of(trace), trace.stretched()),
            None => (Traffic::Poisson { candidates: &model.candidates }, "Poisson".to_owned()),
        };
        let workers = self.workers.unwrap_or(result.setup.workers);
        let settings = ForecastSettings { workers, requests: self.requests, seed: self.seed };
        let threads = result.setup.threads;
        let mut reasons = result.doubts();
        let other = other_question(result, workers, given, &self.slo);
        if let (Some(other), Some(_), Some(_)) = (&other, &result.slo, self.capacity_qps) {
            reasons.push(format!("the measured curve is left out: it is that of {other}"));
        }
        let curve = result.slo.as_ref().filter(|_| other.is_none());
        let capacity = self.capacity_qps.map(|qps| {
            CapacityQuestion { qps, objectives: &self.slo, threads, settings }.answer(model, traffic, curve)
        });
        Ok(Forecasted {
            engine: result.setup.engine,
            model: result.provenance.model.clone(),
            threads,
            reasons,
            forecast: forecast(model, traffic, arrivals, settings, &LOADS_PCT, &self.qps)?,
            capacity: capacity.transpose()?,
        })
    }
}

/// Of what the result's curve is where that is not what is simulated.
fn other_question(
    result: &Measurement,
    workers: usize,
    given: Option<&Given>,
    objectives: &[Objective],
) -> Option<String> {
    let provenance = &result.provenance;
    let same_traffic = match given {
        Some(Given { sha256, .. }) => *sha256 == provenance.trace_sha256,
        // As the simulation then has it; the words are those of `Arrivals`.
        None => provenance.arrivals.starts_with("Poisson,"),
    };
    let other = result.slo.as_ref().filter(|curve| !curve.answers(objectives));
    match (workers == result.setup.workers, same_traffic, other) {
        (false, ..) => Some("another number of workers".to_owned()),
        (true, false, _) => Some("other traffic; give the result's trace with --trace".to_owned()),
        (true, true, Some(curve)) => Some(format!("other objectives ({})", limits(&curve.objectives))),
        (true, true, None) => None,
    }
}

fn describe(forecasts: &[Forecasted]) -> String {
    let one = |forecasted: &Forecasted| {
        let mut lines = vec![format!("{}, {}", forecasted.engine, forecasted.model)];
        lines.extend(forecasted.reasons.iter().map(|reason| format!("with care: {reason}")));
        lines.push(forecast_text(&forecasted.forecast));
        lines.extend(forecasted.capacity.as_ref().map(capacity_text));
        lines.join("\n")
    };
    forecasts.iter().map(one).chain(recall_text(forecasts)).collect::<Vec<_>>().join("\n\n")
}

/// What every model keeps of the teacher's favourites within the same objective, and why that is not known where it is not; none
/// without an evaluation.
fn recall_text(forecasts: &[Forecasted]) -> Option<String> {
    let known = forecasts.iter().filter_map(|forecasted| Some((forecasted, forecasted.capacity.as_ref()?)));
    let known: Vec<_> = known.filter(|(_, capacity)| !capacity.recall.is_empty()).collect();
    let (_, first) = known.first()?;
    let rows = known.iter().flat_map(|(forecasted, capacity)| {
        let cores = forecasted.threads * forecasted.forecast.workers;
        let candidates = match capacity.affordable {
            Affordable::Exactly { candidates } => candidates.to_string(),
            Affordable::AtLeast { candidates } => format!("{candidates} or more"),
            Affordable::Fewer { candidates } => format!("fewer than {candidates}"),
        };
        capacity.recall.iter().map(move |recall| {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
            vec![
                forecasted.model.clone(),
                forecasted.engine.to_string(),
                cores.to_string(),
                candidates.clone(),
                recall.k.to_string(),
                number(recall.recall),
                number(recall.standard_error),
            ]
        })
    });
    let header = ["model", "engine", "cores", "candidates", "K", "recall", "standard error"];
    let mut lines = vec![
        format!(
            "the teacher's top K that the affordable candidates keep, {:.1} per second at {}",
            first.offered_qps,
            limits(&first.objectives)
        ),
        output::table(&header, &rows.collect::<Vec<_>>()),
    ];
    let unknown = known.iter().flat_map(|(forecasted, capacity)| {
        capacity.recall.iter().filter_map(|recall| {
            let why = recall.not_known.as_ref()?;
            Some(format!("not known of {} at K = {}: {why}", forecasted.model, recall.k))
        })
    });
    lines.extend(unknown);
    Some(lines.join("\n"))
}

fn limits(objectives: &[Objective]) -> String {
    objectives.iter().map(Objective::to_string).collect::<Vec<_>>().join(", ")
}

/// Stands where a queue grows as long as requests come.
pub(super) const NO_BOUND: &str = "no bound";

/// A forecast as a table of responses over rates.
pub(super) fn forecast_text(forecast: &Forecast) -> String {
    let rows = forecast.points.iter().map(|point| {
        let mut row = vec![format!("{:.0}", point.load_pct), format!("{:.1}", point.offered_qps)];
        row.extend(match (&point.response_us, &point.waiting_us) {
            (Some(response), Some(waiting)) => {
                let [p50, p90, p99, p999] = [response.p50, response.p90, response.p99, response.p999]
                    .map(|us| ms(us.map(|us| us as f64)));
                [p50, p90, p99, p999, ms(waiting.mean)]
            }
            _ => [NO_BOUND; 5].map(str::to_owned),
        });
        row
    });
    let header = ["load %", "per second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "mean wait ms"];
    format!(
        "simulated response, {} workers that can serve {:.1} per second, arrivals: {}\n{}",
        forecast.workers,
        forecast.capacity_qps,
        forecast.arrivals,
        output::table(&header, &rows.collect::<Vec<_>>())
    )
}

/// A search as a table of its replays, and what it found.
pub(super) fn curve_text(curve: &SloCurve) -> String {
    let mut points: Vec<_> = curve.points.iter().collect();
    points.sort_by(|a, b| a.offered_qps.total_cmp(&b.offered_qps));
    let rows = points.into_iter().map(|point| {
        let mut row = vec![format!("{:.2}", point.offered_qps), point.observed.requests.to_string()];
        row.extend(Percentile::ALL.map(|percentile| ms(point.observed.response_us.get(percentile))));
        row.push(if point.observed.valid { "VALID" } else { "INVALID" }.to_owned());
        row.push(point.standing.to_string());
        row
    });
    let header = ["per second", "requests", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "replay", "objective"];
    let limits = limits(&curve.objectives);
    let highest = curve.highest_qps.unwrap_or(0.0);
    let confidence = 100.0 * curve.confidence;
    let found = match curve.progress {
        Progress::Partial => format!("{limits}: the search was not finished; {highest:.2} per second hold"),
        Progress::Nothing => format!("{limits}: no rate that was tried holds"),
        Progress::Unbounded => format!("{limits}: {highest:.2} per second hold, and more was not tried"),
        Progress::Found => {
            let above = match (curve.lowest_undecided_qps, curve.lowest_failed_qps) {
                (Some(undecided), _) => {
                    format!("{undecided:.2} are undecided: within the limits, but not VALID")
                }
                (None, failed) => format!("{:.2} do not", failed.unwrap_or(f64::INFINITY)),
            };
            format!("{limits}: {highest:.2} per second hold with {confidence:.0} % confidence, {above}")
        }
    };
    format!("{}\n{found}", output::table(&header, &rows.collect::<Vec<_>>()))
}

/// What a rate needs and affords, in words.
pub(super) fn capacity_text(capacity: &Capacity) -> String {
    let mut lines =
        vec![format!("{:.1} per second at {}:", capacity.offered_qps, limits(&capacity.objectives))];
    lines.push(match capacity.simulated_cores {
        Some(cores) => format!("  {cores} cores behind one queue, by simulation"),
        None => "  no number of cores is enough, by simulation".to_owned(),
    });
    if let Some(cores) = capacity.measured_cores {
        lines.push(format!("  {cores} cores as copies of what was replayed, by the measured curve"));
    }
    lines.push(match capacity.affordable {
        Affordable::Exactly { candidates } => {
            format!("  {candidates} candidates per request on the simulated workers")
        }
        Affordable::AtLeast { candidates } => {
            format!(
                "  {candidates} candidates per request and perhaps more, which no request of the replay had"
            )
        }
        Affordable::Fewer { candidates } => {
            format!("  fewer than {candidates} candidates per request, which no request of the replay had")
        }
    });
    lines.join("\n")
}
