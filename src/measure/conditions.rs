//! What the machine did to a pass: how fast a fixed piece of work ran before and after it, how much of its processors the
//! hypervisor took away meanwhile, and how often the processor throttled itself.
//!
//! The clock is measured and not read: in a virtual machine, and with many governors, the frequency in `/proc/cpuinfo` is
//! the nominal one whatever the processor does. The fixed work is a chain of integer operations in which each waits for the
//! one before, so that its time is a number of clock cycles; and the sum of an array that does not fit into the first
//! caches, which shows neighbours that use the memory. Both are run several times and the fastest counts: interruptions
//! only add.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

/// The fastest of several runs of two fixed pieces of work, on the thread that asks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FixedWork {
    /// A chain of dependent integer operations: clock cycles.
    pub clock_us: f64,
    /// Summing 4 MiB: caches and memory.
    pub memory_us: f64,
}

/// Links of the chain: about a third of a millisecond.
const CHAIN: u64 = 200_000;
/// Numbers that are summed.
const NUMBERS: usize = 1 << 20;
/// Runs of each go on for this long, and the fastest counts: a core that has slept needs a while until its clock is back.
const EFFORT: Duration = Duration::from_millis(40);

impl FixedWork {
    /// Does the work now: for 80 ms.
    pub fn measure() -> Self {
        let numbers = vec![1u32; NUMBERS];
        Self {
            clock_us: fastest_us(|| chain(black_box(CHAIN))),
            memory_us: fastest_us(|| u64::from(black_box(&numbers).iter().sum::<u32>())),
        }
    }
}

/// Multiplication and exclusive or by turns: no processor computes a link before the one above it.
fn chain(links: u64) -> u64 {
    (0..links).fold(0x9e37_79b9_7f4a_7c15, |x, i| (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ i)
}

fn fastest_us(work: impl Fn() -> u64) -> f64 {
    let (start, mut fastest) = (Instant::now(), Duration::MAX);
    while start.elapsed() < EFFORT {
        let begun = Instant::now();
        black_box(work());
        fastest = fastest.min(begun.elapsed());
    }
    fastest.as_secs_f64() * 1e6
}

/// What the machine did during one pass. What the system does not tell is absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// Fixed work just before the warm-up.
    pub before: FixedWork,
    /// The same just after the last answer.
    pub after: FixedWork,
    /// Share of the time of the processors that the pass ran on (the pinned ones, else those that it was allowed) that the
    /// hypervisor gave to others, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_pct: Option<f64>,
    /// Times that a processor throttled itself for heat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_events: Option<u64>,
}

impl Conditions {
    /// How much the clock changed from before to after, in percent of the faster; positive when it became slower.
    pub fn clock_change_pct(&self) -> f64 {
        let (before, after) = (self.before.clock_us, self.after.clock_us);
        100.0 * (after - before) / before.min(after)
    }
}

/// A pass that is being watched.
pub struct Watch {
    before: FixedWork,
    processors: Option<Vec<usize>>,
    jiffies: Option<Jiffies>,
    throttled: Option<u64>,
}

impl Watch {
    /// Begins to watch a pass that runs on these processors; on all where nobody knows.
    pub fn begin(processors: Option<Vec<usize>>) -> Self {
        let before = FixedWork::measure();
        let jiffies = Jiffies::now(processors.as_deref());
        Self { before, processors, jiffies, throttled: throttle_count() }
    }

    /// What happened since.
    pub fn end(self) -> Conditions {
        let now = Jiffies::now(self.processors.as_deref());
        let steal_pct = self.jiffies.zip(now).map(|(then, now)| now.stolen_since_pct(then));
        let throttle_events =
            self.throttled.zip(throttle_count()).map(|(then, now)| now.saturating_sub(then));
        Conditions { before: self.before, after: FixedWork::measure(), steal_pct, throttle_events }
    }
}

/// Time of some processors, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jiffies {
    total: u64,
    stolen: u64,
}

impl Jiffies {
    fn now(processors: Option<&[usize]>) -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?, processors)
    }

    /// From the lines of `/proc/stat` of these processors, or of all together; none when one of them has no line.
    fn of(stat: &str, processors: Option<&[usize]>) -> Option<Self> {
        let line = |name: String| Self::of_line(stat.lines().find_map(|line| line.strip_prefix(&name))?);
        let Some(processors) = processors else { return line("cpu ".to_owned()) };
        let each = processors.iter().map(|cpu| line(format!("cpu{cpu} ")));
        each.reduce(|sum, one| {
            let (sum, one) = (sum?, one?);
            Some(Self { total: sum.total + one.total, stolen: sum.stolen + one.stolen })
        })?
    }

    /// User, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user and nice already.
    fn of_line(line: &str) -> Option<Self> {
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { total: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    fn stolen_since_pct(self, then: Self) -> f64 {
        let total = self.total.saturating_sub(then.total).max(1);
        100.0 * self.stolen.saturating_sub(then.stolen) as f64 / total as f64
    }
}

/// Of all processors together; none where no processor counts it.
fn throttle_count() -> Option<u64> {
    let cpus = fs::read_dir("/sys/devices/system/cpu").ok()?;
    let count = |entry: fs::DirEntry| {
        let path = entry.path().join("thermal_throttle/core_throttle_count");
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    cpus.filter_map(|entry| count(entry.ok()?)).reduce(|a, b| a + b)
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// A pass on a machine that nothing disturbed.
    pub(crate) const QUIET: Conditions = Conditions {
        before: FixedWork { clock_us: 300.0, memory_us: 200.0 },
        after: FixedWork { clock_us: 300.0, memory_us: 200.0 },
        steal_pct: Some(0.0),
        throttle_events: None,
    };
}

#[cfg(test)]
mod tests {
    use super::{examples::QUIET, *};

    #[test]
    fn fixed_work_takes_time_and_a_longer_chain_is_other_work() {
        let work = FixedWork::measure();
        assert!(work.clock_us > 0.0 && work.memory_us > 0.0);
        assert_ne!(chain(10), chain(11), "the compiler may not drop a link");
    }

    #[test]
    fn the_share_that_was_stolen_is_that_of_the_ticks_between() {
        let then = Jiffies::of("cpu  100 0 50 800 10 0 5 35 7 7\ncpu0 1 2 3\n", None).unwrap();
        assert_eq!(then, Jiffies { total: 1000, stolen: 35 });
        let now = Jiffies::of("cpu  140 0 60 840 10 0 5 45 9 9\n", None).unwrap();
        assert_eq!(now.stolen_since_pct(then), 10.0);
        assert_eq!(then.stolen_since_pct(then), 0.0);
        for broken in ["", "cpu0 1 2", "cpu  1 2 3", "cpu  1 2 3 x 5 6 7 8"] {
            assert_eq!(Jiffies::of(broken, None), None, "{broken}");
        }
    }

    #[test]
    fn only_the_processors_that_a_pass_ran_on_count() {
        // Of 16 processors one is stolen from, a tenth of its time; the first line is the sum of all.
        let stat = |busy: u64, stolen: u64| {
            let cpu = |n: u64| match n {
                1 => format!("cpu1 {busy} 0 0 0 0 0 0 {stolen} 0 0\n"),
                n => format!("cpu{n} {} 0 0 0 0 0 0 0 0 0\n", busy + stolen),
            };
            let all = format!("cpu  {} 0 0 0 0 0 0 {stolen} 0 0\n", 16 * (busy + stolen) - stolen);
            all + &(0..16).map(cpu).collect::<String>() + "intr 7 8\n"
        };
        let (then, now) = (stat(1000, 10), stat(1900, 110));
        let pct = |cpus: Option<&[usize]>| {
            Some(Jiffies::of(&now, cpus)?.stolen_since_pct(Jiffies::of(&then, cpus)?))
        };
        assert_eq!(pct(Some(&[1])), Some(10.0));
        assert_eq!(pct(Some(&[1, 11])), Some(5.0));
        assert_eq!(pct(Some(&[0, 10])), Some(0.0));
        assert_eq!(pct(None), Some(0.625));
        assert_eq!((pct(Some(&[1, 16])), pct(Some(&[]))), (None, None));
    }

    #[test]
    fn a_clock_that_slows_down_is_a_positive_change_of_the_faster() {
        let of = |before, after| {
            let at = |clock_us| FixedWork { clock_us, ..QUIET.before };
            Conditions { before: at(before), after: at(after), ..QUIET }.clock_change_pct()
        };
        assert!((of(100.0, 110.0) - 10.0).abs() < 1e-9 && (of(110.0, 100.0) + 10.0).abs() < 1e-9);
    }
}
