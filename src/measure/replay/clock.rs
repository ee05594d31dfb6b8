//! The time of a replay: the machine's own, or a virtual one whose time passes only when something says so, which
//! makes the arithmetic of the issue loop exact in tests.

use std::time::{Duration, Instant};

/// A monotonic time since some origin.
pub trait Clock: Sync {
    /// Time since the origin.
    fn now(&self) -> Duration;
    /// Returns at `due` or, unavoidably, a little later; at once when `due` has passed.
    fn wait_until(&self, due: Duration) -> Waited;
}

/// A wait that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// The time now.
    pub now: Duration,
    /// How long a processor was kept busy with waiting.
    pub spun: Duration,
}

/// The machine's monotonic clock.
pub struct RealClock {
    origin: Instant,
}

/// The scheduler wakes a sleeper late, by its timer slack and by the time a core takes to wake; the last stretch is
/// spun through.
const SPIN: Duration = Duration::from_micros(300);

impl RealClock {
    /// Starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wait_until(&self, due: Duration) -> Waited {
        let mut now = self.now();
        while due > now + SPIN {
            std::thread::sleep(due - now - SPIN);
            now = self.now();
        }
        let awake = now;
        while now < due {
            std::hint::spin_loop();
            now = self.now();
        }
        Waited { now, spun: now - awake }
    }
}

#[cfg(test)]
pub(crate) mod virtual_time {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Time that passes by `pass` and by waiting; every wait oversleeps by `late`.
    #[derive(Default)]
    pub(crate) struct VirtualClock {
        pub(crate) now_ns: AtomicU64,
        pub(crate) late: Duration,
    }

    impl VirtualClock {
        pub(crate) fn pass(&self, time: Duration) {
            self.now_ns.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    impl Clock for VirtualClock {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.now_ns.load(Ordering::SeqCst))
        }

        fn wait_until(&self, due: Duration) -> Waited {
            if due > self.now() {
                self.now_ns.store((due + self.late).as_nanos() as u64, Ordering::SeqCst);
            }
            Waited { now: self.now(), spun: Duration::ZERO }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_never_returns_early() {
        let clock = RealClock::start();
        for us in [0, 50, 700, 3000] {
            let due = clock.now() + Duration::from_micros(us);
            let waited = clock.wait_until(due);
            assert!(waited.now >= due && clock.now() >= waited.now);
            // What was slept is not spun, and what is over already takes neither.
            assert_eq!(clock.wait_until(due).spun, Duration::ZERO);
            assert!(waited.spun <= waited.now - (due - Duration::from_micros(us)));
        }
    }
}
