//! How many cores a rate needs at an objective, and how many candidates per request the objective affords.
//!
//! Both come from simulation, and where a curve was measured, the cores from it too. The simulation puts one queue in front of
//! all workers and lets none of them slow another; the measured answer is that of as many copies of what was replayed as the
//! rate needs, each with its own queue and its share of the requests. The first is what a machine with that many cores could do
//! at best, the second is what is certain.

mod recall;

pub use recall::{AffordedRecall, Recalls};

use super::{
    latency::Latencies,
    replay::{
        forecast::{self, ForecastSettings, Traffic},
        slo::SloCurve,
        work_model::WorkModel,
    },
};
use crate::base::{Result, objective::Objective};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of this layout.
pub const SCHEMA_VERSION: u32 = 1;

/// More workers are not simulated.
const MOST_WORKERS: usize = 4096;

/// What a rate needs and affords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Version of this layout.
    pub schema_version: u32,
    /// Requests per second.
    pub offered_qps: f64,
    /// What has to hold.
    pub objectives: Vec<Objective>,
    /// Cores of the smallest number of workers behind one queue whose simulated response holds; absent when none up to 4,096
    /// workers does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_cores: Option<usize>,
    /// Cores of as many copies of what was replayed as the rate needs at the highest rate of the measured curve; absent without
    /// such a curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_cores: Option<usize>,
    /// Candidates that every request may have at this rate on the workers that were replayed.
    pub affordable: Affordable,
    /// What so many candidates keep of the teacher's favourites, by K; empty without an evaluation of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall: Vec<AffordedRecall>,
}

/// How many candidates every request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "known", rename_all = "kebab-case")]
pub enum Affordable {
    /// So many and no more.
    Exactly {
        /// Per request.
        candidates: u32,
    },
    /// As many as any request of the replay had; more were not measured.
    AtLeast {
        /// Per request.
        candidates: u32,
    },
    /// Fewer than any request of the replay had; fewer were not measured.
    Fewer {
        /// Per request.
        candidates: u32,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct CapacityQuestion<'a> {
    /// Requests per second.
    pub qps: f64,
    /// What has to hold.
    pub objectives: &'a [Objective],
    /// Threads inside one request: cores of one worker.
    pub threads: usize,
    /// How it is simulated, with the workers that were replayed.
    pub settings: ForecastSettings,
}

impl CapacityQuestion<'_> {
    /// Answers from `model` under `traffic` and, where there is one, from the `curve` that was measured with the same workers and
    /// threads.
    pub fn answer(
        &self,
        model: &WorkModel,
        traffic: Traffic<'_>,
        curve: Option<&SloCurve>,
    ) -> Result<Capacity> {
        let copies = |highest_qps: f64| (self.qps / highest_qps).ceil().max(1.0) as usize;
        let measured = curve.filter(|curve| curve.answers(self.objectives)).and_then(|c| c.highest_qps);
        Ok(Capacity {
            schema_version: SCHEMA_VERSION,
            offered_qps: self.qps,
            objectives: self.objectives.to_vec(),
            simulated_cores: self.workers(model, traffic)?.map(|workers| workers * self.threads),
            measured_cores: measured.map(|qps| copies(qps) * self.settings.workers * self.threads),
            affordable: self.candidates(model, traffic)?,
            recall: Vec::new(),
        })
    }

    /// The smallest number of workers whose simulated response holds.
    fn workers(&self, model: &WorkModel, traffic: Traffic<'_>) -> Result<Option<usize>> {
        let holds = |workers: usize| -> Result<bool> {
            let settings = ForecastSettings { workers, ..self.settings };
            Ok(self.hold(&forecast::at_rate(model, traffic, settings, self.qps)?.response))
        };
        // With fewer, the queue has no end.
        let fewest = (self.qps / forecast::capacity_qps(model, traffic, 1)).ceil().max(1.0);
        if fewest > MOST_WORKERS as f64 {
            return Ok(None);
        }
        let (mut fails, mut enough) = (fewest as usize - 1, fewest as usize);
        while !holds(enough)? {
            if enough >= MOST_WORKERS {
                return Ok(None);
            }
            (fails, enough) = (enough, (2 * enough).min(MOST_WORKERS));
        }
        while enough - fails > 1 {
            let middle = fails + (enough - fails) / 2;
            if holds(middle)? { enough = middle } else { fails = middle }
        }
        Ok(Some(enough))
    }

    /// The most candidates that every request may have, within what was measured.
    fn candidates(&self, model: &WorkModel, traffic: Traffic<'_>) -> Result<Affordable> {
        let holds = |candidates: u32| -> Result<bool> {
            let simulated = match traffic {
                Traffic::Poisson { .. } => {
                    let traffic = Traffic::Poisson { candidates: &[candidates] };
                    forecast::at_rate(model, traffic, self.settings, self.qps)?
                }
                Traffic::Recorded { offsets_us, .. } => {
                    let all = vec![candidates; offsets_us.len()];
                    let traffic = Traffic::Recorded { offsets_us, candidates: &all };
                    forecast::at_rate(model, traffic, self.settings, self.qps)?
                }
            };
            Ok(self.hold(&simulated.response))
        };
        let (mut most, mut fails) = model.seen();
        if holds(fails)? {
            return Ok(Affordable::AtLeast { candidates: fails });
        }
        if !holds(most)? {
            return Ok(Affordable::Fewer { candidates: most });
        }
        while fails - most > 1 {
            let middle = most + (fails - most) / 2;
            if holds(middle)? { most = middle } else { fails = middle }
        }
        Ok(Affordable::Exactly { candidates: most })
    }

    fn hold(&self, response: &Latencies) -> bool {
        self.objectives.iter().all(|objective| objective.holds_in(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::replay::{
        slo::{Observed, Percentiles},
        work::{Before, WorkSample},
    };

    /// 10 µs a candidate, without spread, seen from 100 to 400.
    fn model() -> WorkModel {
        let samples: Vec<_> = [100, 200, 400]
            .into_iter()
            .flat_map(|candidates| {
                let work_ns = u64::from(candidates) * 10_000;
                (0..200).map(move |_| WorkSample { candidates, before: Before::Work, work_ns })
            })
            .collect();
        WorkModel::fit(&samples).unwrap()
    }

    fn question<'a>(qps: f64, objectives: &'a [Objective], workers: usize) -> CapacityQuestion<'a> {
        let settings = ForecastSettings { requests: 20_000, ..ForecastSettings::of(workers, 1) };
        CapacityQuestion { qps, objectives, threads: 2, settings }
    }

    /// Requests at equal distance: below the capacity nobody waits, so what holds can be worked out.
    fn steady(requests: usize) -> (Vec<u64>, Vec<u32>) {
        ((0..requests as u64).map(|i| i * 1000).collect(), vec![200; requests])
    }

    #[test]
    fn steady_requests_need_as_many_workers_as_are_busy_at_once() {
        let (offsets_us, candidates) = steady(20_000);
        let traffic = Traffic::Recorded { offsets_us: &offsets_us, candidates: &candidates };
        let objectives = ["p99=2.1ms".parse().unwrap()];
        // 2 ms of work each: 450 per second keep 0.9 workers busy, 2,900 keep 5.8, each worker with 2 threads.
        for (qps, cores) in [(450.0, 2), (2900.0, 12)] {
            let found = question(qps, &objectives, 1).answer(&model(), traffic, None).unwrap();
            assert_eq!((found.simulated_cores, found.measured_cores), (Some(cores), None));
        }
        let never = ["p99=1.9ms".parse().unwrap()];
        assert_eq!(question(450.0, &never, 1).answer(&model(), traffic, None).unwrap().simulated_cores, None);
    }

    #[test]
    fn random_requests_need_more_than_keep_up_with_them() {
        let traffic = Traffic::Poisson { candidates: &[200] };
        let objectives = ["p99=3ms".parse().unwrap()];
        let found = question(450.0, &objectives, 1).answer(&model(), traffic, None).unwrap();
        assert!(found.simulated_cores > Some(2), "one worker would be busy for 90 % of the time");
    }

    #[test]
    fn the_budget_affords_so_many_candidates() {
        let (offsets_us, candidates) = steady(20_000);
        let traffic = Traffic::Recorded { offsets_us: &offsets_us, candidates: &candidates };
        let affordable = |qps: f64, limit: &str| {
            question(qps, &[limit.parse().unwrap()], 1).answer(&model(), traffic, None).unwrap().affordable
        };
        // At 100 per second nobody waits up to 10 ms of work, and 3 ms are 300 candidates; the histogram has three digits.
        let Affordable::Exactly { candidates } = affordable(100.0, "p99=3ms") else { panic!("in between") };
        assert!((298..=301).contains(&candidates), "{candidates}");
        // At 500 per second more than 2 ms of work do not keep up.
        let Affordable::Exactly { candidates } = affordable(500.0, "p99=3ms") else { panic!("in between") };
        assert!((199..=201).contains(&candidates), "{candidates}");
        assert_eq!(affordable(100.0, "p99=5ms"), Affordable::AtLeast { candidates: 400 });
        assert_eq!(affordable(100.0, "p99=0.9ms"), Affordable::Fewer { candidates: 100 });
    }

    #[test]
    fn a_measured_curve_answers_with_copies_of_what_was_measured() {
        let objectives: [Objective; 1] = ["p99=3ms".parse().unwrap()];
        let mut curve = SloCurve::new(objectives.to_vec(), 3.0).unwrap();
        let observed = |us: f64| Observed {
            requests: 1000,
            rejected: 0,
            response_us: Percentiles::of(|_| Some(us)),
            response_upper_us: Percentiles::of(|_| Some(us)),
            valid: true,
            reasons: Vec::new(),
        };
        curve.add(300.0, observed(3000.0));
        let traffic = Traffic::Poisson { candidates: &[200] };
        let answer = |curve: &SloCurve| {
            question(1000.0, &objectives, 3).answer(&model(), traffic, Some(curve)).unwrap().measured_cores
        };
        // 300 per second hold: four copies of 3 workers with 2 threads.
        assert_eq!(answer(&curve), Some(4 * 3 * 2));
        let two: [Objective; 2] = ["p99=3ms".parse().unwrap(), "p50=2ms".parse().unwrap()];
        let mut both = SloCurve::new(vec![two[1], two[0]], 3.0).unwrap();
        both.add(300.0, observed(2000.0));
        let found = question(1000.0, &two, 3).answer(&model(), traffic, Some(&both)).unwrap();
        assert_eq!(found.measured_cores, Some(4 * 3 * 2), "in whatever order objectives are stated");
        assert_eq!(answer(&both), None, "it has to hold more");
        curve.objectives[0].limit_us = 1.0;
        assert_eq!(answer(&curve), None, "it answers another question");
    }
}
