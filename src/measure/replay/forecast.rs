//! What responses to expect at rates that were not replayed: [`simulate`](super::simulate) over a
//! [`WorkModel`] and traffic whose pace is changed.

use super::{
    simulate::{Arrival, Simulated, simulate},
    trace::{self, Trace},
    work_model::{WorkDraws, WorkModel},
};
use crate::{
    base::{
        Error, Result,
        objective::Objective,
        rng::{self, Generator},
    },
    measure::latency::LatencySummary,
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the forecasts that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Shares of the workers' capacity that a forecast shows, in percent.
pub const LOADS_PCT: [f64; 10] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0];

/// Which requests come.
#[derive(Debug, Clone, Copy)]
pub enum Traffic<'a> {
    /// Independent exponential gaps; each request has one of these numbers of candidates, drawn evenly.
    Poisson {
        /// At least one.
        candidates: &'a [u32],
    },
    /// Those of a trace, all gaps scaled to the wanted rate. The trace is played from its begin, each time into an empty
    /// queue as a replay does and with new draws of work, until there are enough requests.
    Recorded {
        /// Arrivals, ascending, in µs.
        offsets_us: &'a [u64],
        /// Candidates of each.
        candidates: &'a [u32],
    },
}

impl<'a> Traffic<'a> {
    /// [`Traffic::Recorded`] as a trace has it.
    pub fn of(trace: &'a Trace) -> Self {
        Self::Recorded { offsets_us: trace.arrivals_us(), candidates: trace.candidates() }
    }

    /// Mean work of its requests under `model`, begun straight after one another, in µs.
    pub fn mean_work_us(self, model: &WorkModel) -> f64 {
        let (Self::Poisson { candidates } | Self::Recorded { candidates, .. }) = self;
        model.mean_over_us(candidates.iter().copied())
    }
}

/// How a forecast is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastSettings {
    /// Workers in front of which the one queue stands.
    pub workers: usize,
    /// Requests of every simulated rate, at least.
    pub requests: usize,
    /// Of gaps and work.
    pub seed: u64,
}

impl ForecastSettings {
    /// As many requests as make a simulated 99.9th percentile steady.
    pub fn of(workers: usize, seed: u64) -> Self {
        Self { workers, requests: 500_000, seed }
    }
}

/// Expected responses over rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Version of this layout.
    pub schema_version: u32,
    /// Workers that were simulated.
    pub workers: usize,
    /// The arrivals in words.
    pub arrivals: String,
    /// Of gaps and work.
    pub seed: u64,
    /// Requests per second that keep all workers at work all the time.
    pub capacity_qps: f64,
    /// In the order in which they were asked for.
    pub points: Vec<ForecastPoint>,
}

/// Expected responses at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastPoint {
    /// Share of the capacity in percent. From about 95 on, a trace of finite length says more about its length than about
    /// the queue.
    pub load_pct: f64,
    /// Requests per second.
    pub offered_qps: f64,
    /// Completion − arrival; absent from the capacity on, where a queue grows without bound and its figures would be those of
    /// the length of the simulation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_us: Option<LatencySummary>,
    /// Begin of work − arrival; absent with the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_us: Option<LatencySummary>,
}

/// Requests per second that keep `workers` workers at work all the time under `traffic`.
pub fn capacity_qps(model: &WorkModel, traffic: Traffic<'_>, workers: usize) -> f64 {
    workers as f64 * 1e6 / traffic.mean_work_us(model)
}

/// Forecasts at the loads `loads_pct` (percent of the capacity) and then at the rates `qps`. `arrivals` are the traffic in words.
pub fn forecast(
    model: &WorkModel,
    traffic: Traffic<'_>,
    arrivals: String,
    settings: ForecastSettings,
    loads_pct: &[f64],
    qps: &[f64],
) -> Result<Forecast> {
    let capacity_qps = capacity_qps(model, traffic, settings.workers);
    let rates = loads_pct.iter().map(|pct| pct / 100.0 * capacity_qps).chain(qps.iter().copied());
    let point = |offered_qps: f64| -> Result<ForecastPoint> {
        let bounded = offered_qps < capacity_qps || !offered_qps.is_finite();
        // A rate that is none is refused there.
        let simulated = bounded.then(|| at_rate(model, traffic, settings, offered_qps)).transpose()?;
        Ok(ForecastPoint {
            load_pct: 100.0 * offered_qps / capacity_qps,
            offered_qps,
            response_us: simulated.as_ref().map(|simulated| simulated.response.summary()),
            waiting_us: simulated.as_ref().map(|simulated| simulated.waiting.summary()),
        })
    };
    Ok(Forecast {
        schema_version: SCHEMA_VERSION,
        workers: settings.workers,
        arrivals,
        seed: settings.seed,
        capacity_qps,
        points: rates.map(point).collect::<Result<_>>()?,
    })
}

/// Simulates one rate.
pub fn at_rate(
    model: &WorkModel,
    traffic: Traffic<'_>,
    settings: ForecastSettings,
    qps: f64,
) -> Result<Simulated> {
    if !(qps.is_finite() && qps > 0.0) {
        return Err(Error::usage(
            format!("{qps} requests per second cannot be simulated"),
            "give a rate above 0",
        ));
    }
    let mut draws = WorkDraws::new(model, rng::generator(settings.seed, "work"));
    let mut work_ns = |candidates, before| draws.next_ns(candidates, before);
    match traffic {
        Traffic::Poisson { candidates: [] } => Err(Error::usage(
            "traffic whose requests have no candidates cannot be simulated",
            "give at least one number of candidates",
        )),
        Traffic::Poisson { candidates } => {
            let generator = rng::generator(settings.seed, "arrivals");
            let arrivals = PoissonArrivals { candidates, mean_gap_ns: 1e9 / qps, at_ns: 0.0, generator };
            simulate(arrivals.take(settings.requests), settings.workers, work_ns)
        }
        Traffic::Recorded { offsets_us, candidates } => {
            let recorded_qps = trace::mean_qps(offsets_us).ok_or_else(|| {
                Error::usage(
                    "the trace's requests come all at once, which has no rate",
                    "give a trace that lasts some time",
                )
            })?;
            let factor = 1e3 * recorded_qps / qps;
            let mut total = Simulated::default();
            while total.response.count() < settings.requests as u64 {
                let arrivals = offsets_us.iter().zip(candidates).map(|(&offset_us, &candidates)| Arrival {
                    at_ns: (offset_us as f64 * factor).round() as u64,
                    candidates,
                });
                total.merge(&simulate(arrivals, settings.workers, &mut work_ns)?);
            }
            Ok(total)
        }
    }
}

/// The highest rate whose simulated response holds `objectives`, to one percent; none when not even a hundredth of the capacity
/// does. A search by replays begins there.
pub fn highest_qps(
    model: &WorkModel,
    traffic: Traffic<'_>,
    settings: ForecastSettings,
    objectives: &[Objective],
) -> Result<Option<f64>> {
    let capacity_qps = capacity_qps(model, traffic, settings.workers);
    let holds = |qps: f64| -> Result<bool> {
        let response = at_rate(model, traffic, settings, qps)?.response;
        Ok(objectives.iter().all(|objective| objective.holds_in(&response)))
    };
    let (mut highest, mut fails) = (0.01 * capacity_qps, capacity_qps);
    if !holds(highest)? {
        return Ok(None);
    }
    while fails > 1.01 * highest {
        let middle = (highest * fails).sqrt();
        if holds(middle)? { highest = middle } else { fails = middle }
    }
    Ok(Some(highest))
}

struct PoissonArrivals<'a> {
    candidates: &'a [u32],
    mean_gap_ns: f64,
    at_ns: f64,
    generator: Generator,
}

impl Iterator for PoissonArrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let candidates = match self.candidates {
            [only] => *only,
            several => several[self.generator.random_range(0..several.len())],
        };
        let at_ns = self.at_ns as u64;
        // 1 − U lies in (0, 1], so the logarithm is finite.
        self.at_ns -= self.mean_gap_ns * (1.0 - self.generator.random::<f64>()).ln();
        Some(Arrival { at_ns, candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::replay::work::{Before, WorkSample};

    /// Constant work of 1 ms for 10 candidates and 3 ms for 30.
    fn model() -> WorkModel {
        let samples: Vec<_> = [(10, 1_000_000), (30, 3_000_000)]
            .into_iter()
            .flat_map(|(candidates, work_ns)| {
                (0..200).map(move |_| WorkSample { candidates, before: Before::Work, work_ns })
            })
            .collect();
        WorkModel::fit(&samples).unwrap()
    }

    fn settings(workers: usize) -> ForecastSettings {
        ForecastSettings { requests: 200_000, ..ForecastSettings::of(workers, 5) }
    }

    #[test]
    fn the_capacity_is_what_the_mean_work_leaves_room_for() {
        let model = model();
        let capacity = |candidates: &[u32], workers| {
            capacity_qps(&model, Traffic::Poisson { candidates }, workers).round()
        };
        assert_eq!((capacity(&[10], 1), capacity(&[10, 30], 1), capacity(&[20], 4)), (1000.0, 500.0, 2000.0));
    }

    #[test]
    fn poisson_traffic_waits_as_pollaczek_and_khinchine_say() {
        // Work of 1 or 3 ms, evenly: E[S] = 2 ms, E[S²] = 5 ms², so at a load of 0.8 W = λ·E[S²] / 2(1 − ρ) = 5 ms.
        let traffic = Traffic::Poisson { candidates: &[10, 30] };
        let found = forecast(&model(), traffic, String::new(), settings(1), &[80.0], &[400.0]).unwrap();
        assert_eq!(
            found.points[0].response_us, found.points[1].response_us,
            "400 of 500 per second are 80 %"
        );
        let mean = found.points[0].waiting_us.as_ref().unwrap().mean.unwrap();
        assert!((mean / 5000.0 - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn from_the_capacity_on_nothing_is_said_of_the_response() {
        let traffic = Traffic::Poisson { candidates: &[10] };
        let of = |qps: &[f64]| forecast(&model(), traffic, String::new(), settings(1), &[], qps);
        let capacity = of(&[]).unwrap().capacity_qps;
        let found = of(&[0.9 * capacity, capacity, 2.0 * capacity]).unwrap().points;
        let known = found.iter().map(|point| (point.response_us.is_some(), point.waiting_us.is_some()));
        assert_eq!(known.collect::<Vec<_>>(), [(true, true), (false, false), (false, false)]);
        assert!(!serde_json::to_string(&found[1]).unwrap().contains("response_us"));
        assert!(of(&[f64::INFINITY]).is_err());
    }

    #[test]
    fn recorded_traffic_keeps_its_bursts_and_is_stretched_to_the_rate() {
        // Pairs that come together, every 2 s: the second of a pair waits for the first, at any moderate rate.
        let offsets_us: Vec<u64> = (0..1000).map(|i| i / 2 * 2_000_000).collect();
        let candidates = vec![10; 1000];
        let traffic = Traffic::Recorded { offsets_us: &offsets_us, candidates: &candidates };
        for qps in [10.0, 500.0] {
            let found = at_rate(&model(), traffic, settings(1), qps).unwrap();
            assert_eq!((found.response.count(), found.waiting.mean_us()), (200_000, Some(500.0)));
            assert_eq!(found.response.summary().max, Some(2000.0));
        }
        // At 4,000 per second the work of each pair takes four times the gap to the next.
        assert!(at_rate(&model(), traffic, settings(1), 4000.0).unwrap().waiting.mean_us() > Some(100_000.0));
        assert_eq!(at_rate(&model(), traffic, settings(2), 500.0).unwrap().waiting.mean_us(), Some(0.0));
    }

    #[test]
    fn the_highest_rate_that_holds_is_found_by_simulation() {
        // Requests of 1 ms at equal distance wait for nobody below 1,000 per second; above, they wait ever longer.
        let offsets_us: Vec<u64> = (0..50_000).map(|i| i * 1000).collect();
        let candidates = vec![10; 50_000];
        let traffic = Traffic::Recorded { offsets_us: &offsets_us, candidates: &candidates };
        let highest =
            |limit: &str| highest_qps(&model(), traffic, settings(1), &[limit.parse().unwrap()]).unwrap();
        assert!(
            highest("p99=2ms").is_some_and(|qps| (980.0..=1000.0).contains(&qps)),
            "{:?}",
            highest("p99=2ms")
        );
        assert_eq!(highest("p99=0.5ms"), None);
    }

    #[test]
    fn a_forecast_repeats_by_seed() {
        let of = |seed| {
            let settings = ForecastSettings { requests: 1000, ..ForecastSettings::of(1, seed) };
            let traffic = Traffic::Poisson { candidates: &[10] };
            forecast(&model(), traffic, String::new(), settings, &[70.0], &[]).unwrap().points
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let at_once = Traffic::Recorded { offsets_us: &[5, 5], candidates: &[1, 1] };
        for (traffic, qps, expected) in [
            (at_once, 1.0, "all at once"),
            (Traffic::Poisson { candidates: &[] }, 1.0, "no candidates"),
            (Traffic::Poisson { candidates: &[1] }, 0.0, "rate above 0"),
            (Traffic::Poisson { candidates: &[1] }, f64::NAN, "rate above 0"),
        ] {
            let error = at_rate(&model(), traffic, settings(1), qps).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
