//! Ranks that exchange over MPI.

use super::{Exchange, mpi};
use crate::{base::Result, data::shard::Place};
use std::{
    sync::{Mutex, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// Numbers that travel at once, about: 4 MiB. While one bucket is on its way, the one before it is added up.
const BUCKET: usize = 1 << 20;

/// How long a rank that waits for rank 0 keeps its processor busy, and how often it looks after that.
const PATIENCE: Duration = Duration::from_millis(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// This process among those of an MPI job. All calls come from the thread that joined.
#[derive(Debug)]
pub struct Ranks {
    place: Place,
    thread: ThreadId,
    scratch: Mutex<Scratch>,
}

/// Memory of [`Exchange::sum`], kept between steps.
#[derive(Debug, Default)]
struct Scratch {
    /// The pieces that all ranks have for this one.
    pieces: Vec<f32>,
    /// Their sums.
    sums: Vec<f32>,
}

impl Ranks {
    /// Joins the job; once per process.
    pub fn join() -> Result<Self> {
        let (rank, size) = mpi::init()?;
        let place = Place { rank, size };
        Ok(Self { place, thread: thread::current().id(), scratch: Mutex::default() })
    }

    fn check_thread(&self) {
        assert_eq!(thread::current().id(), self.thread, "MPI is called by the thread that joined");
    }

    fn gather<T: mpi::Number>(&self, own: &[T]) -> Vec<T> {
        self.check_thread();
        let mut lengths = vec![0u32; self.place.size];
        mpi::all_gather(&mut [own.len() as u32], &mut lengths, self.place.size).wait();
        mpi::gather_pieces(own, &lengths.iter().map(|&length| length as usize).collect::<Vec<_>>())
    }
}

impl Exchange for Ranks {
    fn place(&self) -> Place {
        self.place
    }

    /// Every rank adds up one piece of each bucket and then gives the sums to all: as much travels as in the best
    /// all-reduce, and the order of the additions is ours.
    fn sum(&self, values: &mut Vec<f32>) {
        self.check_thread();
        let (size, length) = (self.place.size, values.len());
        values.resize(length.next_multiple_of(size), 0.0);
        let bucket = (BUCKET / size).max(1) * size;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch { pieces, sums } = &mut *scratch;
        pieces.resize(values.len(), 0.0);
        sums.resize(values.len() / size, 0.0);

        let buckets = values.chunks_mut(bucket).zip(pieces.chunks_mut(bucket));
        let coming: Vec<_> = buckets.map(|(values, pieces)| mpi::all_to_all(values, pieces, size)).collect();
        let mut going = Vec::with_capacity(coming.len());
        for (coming, sums) in coming.into_iter().zip(sums.chunks_mut(bucket / size)) {
            let (values, pieces) = coming.wait();
            add_pieces(sums, pieces);
            going.push(mpi::all_gather(sums, values, size));
        }
        for going in going {
            going.wait();
        }
        values.truncate(length);
    }

    fn gather_floats(&self, own: Vec<f32>) -> Vec<f32> {
        self.gather(&own)
    }

    fn gather_counts(&self, own: Vec<u32>) -> Vec<u32> {
        self.gather(&own)
    }

    fn broadcast(&self, own: Option<Vec<u8>>) -> Vec<u8> {
        self.check_thread();
        let mut bytes = if self.leads() { own.unwrap_or_default() } else { Vec::new() };
        let mut length = [bytes.len() as u32, (bytes.len() as u64 >> 32) as u32];
        let mut coming = mpi::broadcast(&mut length);
        // What rank 0 has at hand comes at once; what it computes may take long.
        let begin = Instant::now();
        while !self.leads() && !coming.is_done() {
            if begin.elapsed() > PATIENCE {
                thread::sleep(LOOK_EVERY);
            }
        }
        coming.wait();
        bytes.resize(length[0] as usize | (length[1] as usize) << 32, 0);
        for part in bytes.chunks_mut(1 << 30) {
            mpi::broadcast(part).wait();
        }
        bytes
    }

    fn abort(&self, code: i32) {
        mpi::abort(code);
    }
}

/// The sum of pieces that stand one after the other, in their order.
fn add_pieces(sums: &mut [f32], pieces: &[f32]) {
    let mut pieces = pieces.chunks_exact(sums.len());
    sums.copy_from_slice(pieces.next().expect("at least one rank"));
    for piece in pieces {
        sums.iter_mut().zip(piece).for_each(|(sum, x)| *sum += x);
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        // The others wait in an exchange that this rank will never make.
        if thread::panicking() {
            mpi::abort(mpi::PANICKED);
        }
        mpi::finalize();
    }
}
