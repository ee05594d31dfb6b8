//! The time of a replay: the machine's own, or a virtual one whose time passes only when something says so, which
//! makes the arithmetic of the issue loop exact in tests.

use std::time::{Duration, Instant};

/// A monotonic time since some origin.
pub trait Clock: Sync {
    /// Time since the origin.
    fn now(&self) -> Duration;
    /// Returns at `due` or, unavoidably, a little later; at once when `due` has passed.
    fn wait_until(&self, due: Duration);
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

    fn wait_until(&self, due: Duration) {
        loop {
            let left = due.saturating_sub(self.now());
            if left.is_zero() {
                return;
            }
            if left > SPIN {
                std::thread::sleep(left - SPIN);
            } else {
                std::hint::spin_loop();
            }
        }
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

        fn wait_until(&self, due: Duration) {
            if due > self.now() {
                self.now_ns.store((due + self.late).as_nanos() as u64, Ordering::SeqCst);
            }
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
            clock.wait_until(due);
            assert!(clock.now() >= due);
        }
    }
}
