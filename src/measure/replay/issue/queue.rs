//! Whose turn is next: one queue in front of all workers, first come, first served.

use super::Loop;
use crate::measure::replay::clock::Clock;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A request for a free worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) request: usize,
    pub(super) arrival_us: u64,
    /// When it arrives.
    pub(super) due: Duration,
    /// When its worker was free to take it, which may be before.
    pub(super) free: Duration,
}

/// The schedule as a queue. Free workers take from it, ahead of the arrival, so there is no thread that would hand out.
pub(super) struct Queue<'a> {
    mode: Loop,
    schedule_us: &'a [u64],
    /// When the schedule starts.
    pub(super) origin: Duration,
    next: AtomicUsize,
    room: Option<Mutex<Room>>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        mode: Loop,
        schedule_us: &'a [u64],
        max_queue: Option<usize>,
        origin: Duration,
    ) -> Self {
        let room = max_queue.map(|places| Mutex::new(Room::new(places.min(schedule_us.len()))));
        Self { mode, schedule_us, origin, next: AtomicUsize::new(0), room }
    }

    /// The next request that finds room; none when all had their turn. `rejected` counts those that found none.
    pub(super) fn take(&self, clock: &dyn Clock, rejected: &mut u64) -> Option<Turn> {
        let Some(room) = &self.room else { return self.next(clock.now()) };
        // Locked before the clock is read: turns begin in the order of the queue.
        let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
        let free = clock.now();
        loop {
            let turn = self.next(free)?;
            if room.admits(turn.due, free) {
                return Some(turn);
            }
            *rejected += 1;
        }
    }

    fn next(&self, free: Duration) -> Option<Turn> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let arrival_us = *self.schedule_us.get(request)?;
        let due = match self.mode {
            Loop::Open => self.origin + Duration::from_micros(arrival_us),
            Loop::Closed => free,
            Loop::Offline => self.origin,
        };
        Some(Turn { request, arrival_us, due, free })
    }
}

/// A queue with so many places. Since requests begin in the order of their arrival, one arrives at a full queue when as
/// many as there are places, those admitted last, all begin after its arrival.
struct Room {
    places: usize,
    /// When the requests that were admitted last began or will begin, at most one per place, ascending.
    begins: VecDeque<Duration>,
}

impl Room {
    fn new(places: usize) -> Self {
        Self { places, begins: VecDeque::with_capacity(places + 1) }
    }

    /// Whether the next request in order of arrival, which is due at `due` and can begin at `free`, has a place to wait, or
    /// no need of one.
    fn admits(&mut self, due: Duration, free: Duration) -> bool {
        let waits = free > due;
        let full = self.begins.len() >= self.places && self.begins.front().is_none_or(|&first| first > due);
        if waits && full {
            return false;
        }
        self.begins.push_back(due.max(free));
        if self.begins.len() > self.places {
            self.begins.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_a_place_only_while_it_waits() {
        let us = Duration::from_micros;
        // (due, the moment a worker is free, admitted), with two places.
        let requests = [
            (0, 0, true),
            (1, 10, true),
            (2, 20, true),
            (3, 30, false), // both places are taken until 10
            (9, 30, false),
            (10, 30, true), // the one that begins at 10 waits no more
            (11, 40, false),
            (20, 40, true),
            (50, 50, true), // a worker is free
            (51, 60, true),
        ];
        let mut room = Room::new(2);
        for (due, free, admitted) in requests {
            assert_eq!(room.admits(us(due), us(free)), admitted, "due at {due}");
        }
        let mut none = Room::new(0);
        assert!(none.admits(us(5), us(5)) && none.admits(us(9), us(7)));
        assert!(!none.admits(us(5), us(6)), "nobody may wait");
    }
}
