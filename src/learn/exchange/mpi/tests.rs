//! Transfers that end other than by being waited for. The tests start this program under `mpirun`; what is ignored here is the part
//! of one rank.

use super::*;
use launch::{ends, ranks_of, succeed};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

#[path = "../../../../tests/mpi/launch.rs"]
mod launch;

#[test]
fn an_mpi_that_cannot_be_called_beside_other_threads_is_refused() {
    let text = enough_threads(0).unwrap_err().to_string();
    assert!(text.contains("thread level 0"), "{text}");
    assert!((FUNNELED..4).all(|level| enough_threads(level).is_ok()));
}

/// The full name of a test here.
fn named(test: &str) -> String {
    format!("{}::{test}", module_path!().split_once("::").expect("inside the crate").1)
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_drops_a_transfer() {
    let (rank, _) = init().unwrap();
    let mut buffer = [0_u32; 1000];
    if rank == 0 {
        // The other rank has dropped its transfer long before there is anything to receive.
        std::thread::sleep(Duration::from_millis(300));
        buffer = [7; 1000];
    }
    drop(broadcast(&mut buffer));
    assert_eq!(buffer, [7; 1000], "rank {rank} goes on while MPI still writes into its buffer");
    finalize();
}

#[test]
fn a_dropped_transfer_is_waited_for() {
    succeed(ranks_of(&named("rank_that_drops_a_transfer"), 2));
}

#[test]
#[ignore = "is one rank of another test"]
fn rank_that_panics_with_a_transfer_under_way() {
    let (rank, _) = init().unwrap();
    if rank == 0 {
        // It never makes its part of the transfer.
        std::thread::sleep(Duration::from_secs(50));
        return;
    }
    let mut buffer = [0_u32; 1000];
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _coming = broadcast(&mut buffer);
        panic!("rank 1 gives up");
    }));
    // The buffer is gone while MPI may write into it: another exit code tells.
    abort(1);
}

#[test]
fn a_panic_ends_the_job_before_the_buffers_of_its_transfers_are_gone() {
    let (code, said) = ends(ranks_of(&named("rank_that_panics_with_a_transfer_under_way"), 2));
    assert!(said.contains("rank 1 gives up"), "{said}");
    assert_eq!(code, Some(PANICKED), "{said}");
}
