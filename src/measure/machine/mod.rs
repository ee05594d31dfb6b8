//! How fast this machine is at what the times of networks and fetches are made of: products of matrices, moving memory, telling the
//! time and waking who sleeps. Figures of two machines differ as these do, and where they differ otherwise, something else is the
//! reason.
//!
//! All parts are measured by turns, in several rounds, so that a drift of the machine shows in the spread of each: median, least and
//! most over the rounds. With all threads every thread does its own part at once, as workers of a replay do, and the rate is
//! that of all together.

mod memory;
mod product;
mod timer;

use super::{environment, limits::SystemLimits, service::caches};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

/// A figure over the rounds that it was measured in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct OverRounds {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// How many there are.
    pub count: usize,
}

impl OverRounds {
    /// Of some values; zeros without any.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            least: at(0),
            most: at(last),
            count: values.len(),
        }
    }
}

/// What so many threads do at once, all together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Throughput {
    /// Threads.
    pub threads: usize,
    /// Products of f32 matrices, 10⁹ multiplications and additions per second.
    pub gemm_gflops: OverRounds,
    /// Reading memory that no cache holds, 10⁹ bytes per second.
    pub read_gb_per_s: OverRounds,
    /// Copying such memory, 10⁹ bytes per second; what is read and what is written both count.
    pub copy_gb_per_s: OverRounds,
}

/// The clock that everything here is timed with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Timer {
    /// What asking for the time costs, in ns.
    pub cost_ns: OverRounds,
    /// The smallest step between two answers, in ns.
    pub resolution_ns: OverRounds,
}

/// Who sleeps until a request is due wakes late.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct WakeUp {
    /// How long was slept.
    pub asked_us: u64,
    /// How much later it was, in µs: over all sleeps.
    pub late_us: OverRounds,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MachineSpeed {
    /// By one thread.
    pub one_thread: Throughput,
    /// By as many as this process has cores.
    pub all_threads: Throughput,
    /// The clock.
    pub timer: Timer,
    /// Sleeping.
    pub wake_up: WakeUp,
    /// Memory that reading and copying went through, all threads together.
    pub memory_bytes: usize,
    /// How long all of it took.
    pub seconds: f64,
}

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Rounds, at least.
    pub least_rounds: usize,
    /// Rounds, at most.
    pub most_rounds: usize,
    /// No further round begins after this.
    pub time: Duration,
    /// Rows and columns of the matrices.
    pub matrix: usize,
    /// Memory that reading and copying go through, all threads together.
    pub memory_bytes: usize,
    /// Asking for the time, in a round.
    pub askings: usize,
    /// Sleeps of a round.
    pub sleeps: usize,
}

/// No more memory than this is gone through, whatever the system says of caches that many machines share.
const MOST_BYTES: usize = 512 << 20;
/// Nor less.
const LEAST_BYTES: usize = 64 << 20;
/// How often the last cache fits into it.
const CACHES: usize = 4;
/// How long is slept.
const SLEEP: Duration = Duration::from_millis(1);

impl Effort {
    /// About five seconds, and memory that the caches of this machine do not hold, as far as it has so much left.
    pub fn of_this_machine() -> Self {
        let wanted = (CACHES * caches::last_cache_bytes()).clamp(LEAST_BYTES, MOST_BYTES);
        // One thread and all of them have as much each, and the rest of the process needs some.
        let left = SystemLimits::current(&std::env::temp_dir()).memory_bytes();
        let left = left.map_or(usize::MAX, |bytes| bytes as usize);
        Self {
            least_rounds: 3,
            most_rounds: 15,
            time: Duration::from_secs(5),
            matrix: 1024,
            memory_bytes: wanted.min(left / 8),
            askings: 20_000,
            sleeps: 20,
        }
    }
}

/// Values of all rounds.
#[derive(Default)]
struct Rounds {
    gemm_gflops: Vec<f64>,
    read_gb_per_s: Vec<f64>,
    copy_gb_per_s: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, parts: &mut [Part], effort: &Effort) {
        let threads = parts.len() as f64;
        let flops = 2.0 * (effort.matrix as f64).powi(3) * threads;
        let bytes: usize = parts.iter().map(|part| part.memory.bytes()).sum();
        self.gemm_gflops.push(flops / 1e9 / at_once(parts, |part| part.product.run()));
        self.read_gb_per_s.push(bytes as f64 / 1e9 / at_once(parts, |part| part.memory.read()));
        self.copy_gb_per_s.push(bytes as f64 / 1e9 / at_once(parts, |part| part.memory.copy()));
    }

    fn throughput(self, threads: usize) -> Throughput {
        let Self { gemm_gflops, read_gb_per_s, copy_gb_per_s } = self;
        let [gemm_gflops, read_gb_per_s, copy_gb_per_s] =
            [gemm_gflops, read_gb_per_s, copy_gb_per_s].map(OverRounds::of);
        Throughput { threads, gemm_gflops, read_gb_per_s, copy_gb_per_s }
    }
}

/// What one thread works on.
struct Part {
    product: product::Product,
    memory: memory::Memory,
}

impl Part {
    fn new(effort: &Effort, threads: usize) -> Self {
        Self {
            product: product::Product::new(effort.matrix),
            memory: memory::Memory::new(effort.memory_bytes / threads),
        }
    }
}

/// Measures this machine.
pub fn measure(effort: &Effort) -> MachineSpeed {
    let begun = Instant::now();
    let threads = environment::cores();
    let parts = |threads: usize| (0..threads).map(|_| Part::new(effort, threads)).collect::<Vec<_>>();
    let (mut single, mut every) = (parts(1), parts(threads));
    let (mut one, mut all) = (Rounds::default(), Rounds::default());
    let (mut cost_ns, mut resolution_ns, mut late_us) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.most_rounds {
        if round >= effort.least_rounds && begun.elapsed() >= effort.time {
            break;
        }
        one.add(&mut single, effort);
        all.add(&mut every, effort);
        cost_ns.push(timer::cost_ns(effort.askings));
        resolution_ns.extend(timer::resolution_ns(&timer::answers(effort.askings)));
        late_us.extend((0..effort.sleeps).map(|_| timer::late_us(SLEEP)));
    }
    MachineSpeed {
        one_thread: one.throughput(1),
        all_threads: all.throughput(threads),
        timer: Timer { cost_ns: OverRounds::of(cost_ns), resolution_ns: OverRounds::of(resolution_ns) },
        wake_up: WakeUp { asked_us: SLEEP.as_micros() as u64, late_us: OverRounds::of(late_us) },
        memory_bytes: effort.memory_bytes,
        seconds: begun.elapsed().as_secs_f64(),
    }
}

/// Seconds from when all threads are ready until the last of them is done, each with a part of its own.
fn at_once(parts: &mut [Part], work: impl Fn(&mut Part) + Sync) -> f64 {
    if let [only] = parts {
        let begun = Instant::now();
        work(only);
        return begun.elapsed().as_secs_f64();
    }
    let ready = Barrier::new(parts.len());
    let (ready, work) = (&ready, &work);
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let run = |part| {
            scope.spawn(move || {
                ready.wait();
                let begun = Instant::now();
                work(part);
                (begun, Instant::now())
            })
        };
        let threads: Vec<_> = parts.iter_mut().map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    let begun = times.iter().map(|&(begun, _)| begun).min().expect("there is a part");
    let ended = times.iter().map(|&(_, ended)| ended).max().expect("there is a part");
    (ended - begun).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let spread = OverRounds::of(vec![4.0, 1.0, 2.0, 9.0]);
        assert_eq!(spread, OverRounds { median: 3.0, least: 1.0, most: 9.0, count: 4 });
        assert_eq!(OverRounds::of(vec![5.0]), OverRounds { median: 5.0, least: 5.0, most: 5.0, count: 1 });
        assert_eq!(OverRounds::of(vec![]).count, 0);
    }

    #[test]
    fn every_part_is_measured_in_every_round_and_no_round_begins_late() {
        let effort = Effort {
            least_rounds: 2,
            most_rounds: 9,
            time: Duration::ZERO,
            matrix: 16,
            memory_bytes: 1 << 16,
            askings: 100,
            sleeps: 3,
        };
        let speed = measure(&effort);
        assert_eq!((speed.one_thread.threads, speed.all_threads.threads), (1, environment::cores()));
        for throughput in [&speed.one_thread, &speed.all_threads] {
            for spread in [throughput.gemm_gflops, throughput.read_gb_per_s, throughput.copy_gb_per_s] {
                assert_eq!(spread.count, 2);
                assert!(0.0 < spread.least && spread.least <= spread.median && spread.median <= spread.most);
            }
        }
        assert_eq!((speed.timer.cost_ns.count, speed.wake_up.late_us.count), (2, 6));
        assert!(speed.wake_up.late_us.least >= 0.0, "nobody wakes early");
        assert_eq!(speed.memory_bytes, 1 << 16);
    }

    #[test]
    fn all_threads_work_at_once_and_each_on_its_own_part() {
        let effort = Effort { matrix: 4, memory_bytes: 4096, ..Effort::of_this_machine() };
        let mut parts: Vec<Part> = (0..3).map(|_| Part::new(&effort, 3)).collect();
        // Nobody passes before all are there: one after the other would wait for ever.
        let met = Barrier::new(3);
        let seconds = at_once(&mut parts, |part| {
            met.wait();
            part.memory.copy();
        });
        assert!(seconds > 0.0);
        assert!(parts.iter().all(|part| part.memory.bytes() > 0 && part.memory.is_copied()));
    }
}
