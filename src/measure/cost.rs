//! What serving costs besides time: processor time, page faults, context switches, memory, allocations.
//!
//! The system's own counters are read around a run, not in it. Where a system has no such counter, or refuses it, the field
//! is absent.

use super::environment::{keyed, kibibytes};
use crate::base::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fs, time::Duration};

/// What the system has counted of a thread or a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a processor, in the program and in the kernel.
    pub cpu: Duration,
    /// Pages that were given without reading from a device.
    pub minor_faults: u64,
    /// Pages that had to be read.
    pub major_faults: u64,
    /// Times that a processor was given up, in order to wait.
    pub voluntary_switches: u64,
    /// Times that a processor was taken away.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Of this thread since its start.
    pub fn of_thread() -> Option<Self> {
        system::usage(system::Whose::Thread)
    }

    /// Of this process since its start, all threads.
    pub fn of_process() -> Option<Self> {
        system::usage(system::Whose::Process)
    }

    /// What came since `earlier`, of the same thread or process.
    pub fn since(self, earlier: Self) -> Self {
        self.combine(earlier, u64::saturating_sub, Duration::saturating_sub)
    }

    /// Together with another thread's.
    pub fn plus(self, other: Self) -> Self {
        self.combine(other, u64::saturating_add, Duration::saturating_add)
    }

    fn combine(
        self,
        other: Self,
        count: impl Fn(u64, u64) -> u64,
        time: impl Fn(Duration, Duration) -> Duration,
    ) -> Self {
        Self {
            cpu: time(self.cpu, other.cpu),
            minor_faults: count(self.minor_faults, other.minor_faults),
            major_faults: count(self.major_faults, other.major_faults),
            voluntary_switches: count(self.voluntary_switches, other.voluntary_switches),
            involuntary_switches: count(self.involuntary_switches, other.involuntary_switches),
        }
    }
}

/// What a run cost, raw: sums over its workers while the clock ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of the threads that serve. What a runtime computes on threads of its own is not in it.
    pub workers: Option<Usage>,
    /// Of the whole process, with the threads of the runtime.
    pub process: Option<Usage>,
    /// Time that workers spun through until a request was due. It is the generator's, and part of the processor time above.
    pub spun: Duration,
    /// Allocations of the workers ([`allocations`](crate::base::memory::allocations)).
    pub allocations: Option<u64>,
    /// What loading the sessions added to the resident memory, where whoever loaded them asked ([`growth`]).
    pub load_bytes: Option<u64>,
    /// What warming them up added.
    pub warm_up_bytes: Option<u64>,
    /// Largest resident memory while the clock ran, data and histograms included.
    pub peak_bytes: Option<u64>,
}

impl Cost {
    /// Adds what another worker of the same run has cost. What belongs to the process stays as it is.
    pub fn add_worker(&mut self, other: &Self) {
        self.workers = both(self.workers, other.workers, Usage::plus);
        self.allocations = both(self.allocations, other.allocations, |mine, theirs| mine + theirs);
        self.spun += other.spun;
    }

    /// Adds what belongs to the process in another pass, which was another process: times add up, of memory the most counts.
    pub fn add_process(&mut self, other: &Self) {
        self.process = both(self.process, other.process, Usage::plus);
        self.load_bytes = both(self.load_bytes, other.load_bytes, u64::max);
        self.warm_up_bytes = both(self.warm_up_bytes, other.warm_up_bytes, u64::max);
        self.peak_bytes = both(self.peak_bytes, other.peak_bytes, u64::max);
    }

    /// What is reported of it, for a run of so many requests that were answered.
    pub fn summary(&self, requests: u64) -> CostSummary {
        let each = |count: u64| count as f64 / requests.max(1) as f64;
        let each_us = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1) as f64;
        let of_workers = |count: fn(Usage) -> u64| self.workers.map(|usage| each(count(usage)));
        let serving_us = |usage: Usage| each_us(usage.cpu.saturating_sub(self.spun));
        CostSummary {
            cpu_us_per_request: self.process.map(serving_us),
            worker_cpu_us_per_request: self.workers.map(serving_us),
            spun_us_per_request: each_us(self.spun),
            minor_faults_per_request: of_workers(|usage| usage.minor_faults),
            major_faults_per_request: of_workers(|usage| usage.major_faults),
            voluntary_switches_per_request: of_workers(|usage| usage.voluntary_switches),
            involuntary_switches_per_request: of_workers(|usage| usage.involuntary_switches),
            allocations_per_request: self.allocations.map(each),
            load_bytes: self.load_bytes,
            warm_up_bytes: self.warm_up_bytes,
            peak_resident_bytes: self.peak_bytes,
        }
    }
}

fn both<T>(mine: Option<T>, theirs: Option<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    Some(join(mine?, theirs?))
}

/// The cost of a run, per answered request where a name says per request. Fields that the system does not tell are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CostSummary {
    /// Processor time of the process per request, without the time that the generator spun through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_request: Option<f64>,
    /// The same of the serving threads alone: less where a runtime computes on threads of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_cpu_us_per_request: Option<f64>,
    /// Time that the generator spun through per request.
    pub spun_us_per_request: f64,
    /// Page faults of the serving threads without a read from a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor_faults_per_request: Option<f64>,
    /// Page faults of the serving threads with such a read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major_faults_per_request: Option<f64>,
    /// Context switches of the serving threads, in order to wait: for an arrival, or for a thread of the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voluntary_switches_per_request: Option<f64>,
    /// Context switches of the serving threads, because somebody else wanted the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub involuntary_switches_per_request: Option<f64>,
    /// Allocations of the serving threads in steady state, without those inside of libraries of another language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_request: Option<f64>,
    /// What loading all sessions added to the resident memory: models and plans. Less than they take where they use again
    /// what was freed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_bytes: Option<u64>,
    /// What warming them up added: buffers, plans for single candidate counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up_bytes: Option<u64>,
    /// Largest resident memory while the clock ran, data and histograms included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
}

/// What `task` adds to the resident memory of this process, beside its result.
pub fn growth<T>(task: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    let before = resident_bytes();
    let result = task()?;
    Ok((result, both(resident_bytes(), before, u64::saturating_sub)))
}

/// Where the process stood when its workers were warm: what it uses from then on serves requests.
pub struct Begun {
    warm_up_bytes: Option<u64>,
    has_peak: bool,
    usage: Option<Usage>,
}

impl Begun {
    /// Now; `unwarmed_bytes` were resident before the warm-up.
    pub fn now(unwarmed_bytes: Option<u64>) -> Self {
        Self {
            warm_up_bytes: both(resident_bytes(), unwarmed_bytes, u64::saturating_sub),
            has_peak: reset_peak(),
            usage: Usage::of_process(),
        }
    }

    /// Adds what was used since.
    pub fn add_to(self, cost: &mut Cost) {
        cost.process = Usage::of_process().zip(self.usage).map(|(now, then)| now.since(then));
        cost.peak_bytes = peak_bytes().filter(|_| self.has_peak);
        cost.warm_up_bytes = self.warm_up_bytes;
    }
}

/// Memory of this process that is resident now.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS")
}

/// Largest resident memory of this process since [`reset_peak`] (or its start).
pub fn peak_bytes() -> Option<u64> {
    status("VmHWM")
}

/// Starts the peak anew. False where the system does not allow it.
pub fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn status(key: &str) -> Option<u64> {
    keyed("/proc/self/status", key).and_then(|text| kibibytes(&text))
}

#[cfg(target_os = "linux")]
mod system {
    use super::Usage;
    use std::time::Duration;

    pub(super) enum Whose {
        Thread,
        Process,
    }

    pub(super) fn usage(whose: Whose) -> Option<Usage> {
        let whose = match whose {
            Whose::Thread => libc::RUSAGE_THREAD,
            Whose::Process => libc::RUSAGE_SELF,
        };
        // SAFETY: the type consists of integers, for which zeros are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` outlives the call and is of the type that it fills.
        if unsafe { libc::getrusage(whose, &raw mut usage) } != 0 {
            return None;
        }
        let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
        Some(Usage {
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
            voluntary_switches: usage.ru_nvcsw as u64,
            involuntary_switches: usage.ru_nivcsw as u64,
        })
    }
}

/// Other systems do not tell it of a single thread.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) enum Whose {
        Thread,
        Process,
    }

    pub(super) fn usage(_: Whose) -> Option<super::Usage> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn usage(n: u64) -> Usage {
        Usage {
            cpu: Duration::from_micros(100 * n),
            minor_faults: n,
            major_faults: 2 * n,
            voluntary_switches: 3 * n,
            involuntary_switches: 4 * n,
        }
    }

    #[test]
    fn costs_of_workers_add_up_and_are_told_per_request() {
        let worker = |n| Cost {
            workers: Some(usage(n)),
            allocations: Some(10 * n),
            spun: Duration::from_micros(20 * n),
            ..Cost::default()
        };
        let mut cost = worker(3);
        cost.add_worker(&worker(7));
        assert_eq!((cost.workers, cost.allocations), (Some(usage(10)), Some(100)));
        cost.process = Some(usage(12));
        (cost.load_bytes, cost.warm_up_bytes, cost.peak_bytes) = (Some(1000), Some(1700), Some(2000));
        let summary = cost.summary(50);
        // 1,200 µs of the process and 1,000 µs of the workers, of which 200 µs were spun through.
        assert_eq!((summary.cpu_us_per_request, summary.worker_cpu_us_per_request), (Some(20.0), Some(16.0)));
        assert_eq!((summary.spun_us_per_request, summary.allocations_per_request), (4.0, Some(2.0)));
        assert_eq!(
            (summary.minor_faults_per_request, summary.major_faults_per_request),
            (Some(0.2), Some(0.4))
        );
        assert_eq!(summary.voluntary_switches_per_request, Some(0.6));
        assert_eq!(summary.involuntary_switches_per_request, Some(0.8));
        assert_eq!((summary.load_bytes, summary.warm_up_bytes), (Some(1000), Some(1700)));
        assert_eq!(summary.peak_resident_bytes, Some(2000));
        assert_eq!(usage(5).since(usage(3)), usage(2));
    }

    #[test]
    fn what_one_worker_does_not_know_is_absent_for_all() {
        let mut cost = Cost { allocations: Some(1), ..Cost::default() };
        cost.add_worker(&Cost::default());
        let json = serde_json::to_value(cost.summary(1)).unwrap();
        assert_eq!(json, serde_json::json!({ "spun_us_per_request": 0.0 }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_and_memory_show_in_the_counters_of_linux() {
        let (thread, process) = (Usage::of_thread().unwrap(), Usage::of_process().unwrap());
        assert!(process.cpu + Duration::from_millis(1) >= thread.cpu);
        let begun = std::time::Instant::now();
        // Fresh pages, which no allocator had before.
        let fresh = || -> Result<memmap2::MmapMut> {
            let mut pages = memmap2::MmapMut::map_anon(64 << 20).unwrap();
            pages.fill(1);
            Ok(black_box(pages))
        };
        // Other tests of this process give pages back meanwhile, some of them more than these: once out of ten it shows.
        let grown = |_| growth(fresh).map(|(pages, grown)| (pages, grown.unwrap())).unwrap();
        let (mut pages, _) = (0..10).map(grown).find(|&(_, grown)| grown > 32 << 20).expect("growth shows");
        while Usage::of_thread().unwrap().since(thread).cpu < Duration::from_millis(5) {
            pages.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
            assert!(begun.elapsed() < Duration::from_secs(60), "time on a processor does not pass");
        }
        // Of pages of 4 kB or, where the system likes, of 2 MB.
        assert!(Usage::of_thread().unwrap().since(thread).minor_faults >= 16);
        assert!(resident_bytes().unwrap() > 32 << 20);
        assert!(peak_bytes().unwrap() >= 64 << 20);
        drop(pages);
    }
}
