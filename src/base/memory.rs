//! The allocator of the programs: mimalloc, told to keep what is freed, with a count of what each thread allocates.
//!
//! A training step allocates and frees the same few hundred megabytes again and again. The system's allocator gives such
//! blocks back to the kernel each time, and mimalloc does so after ten milliseconds; either way the next step pays for
//! clearing the pages anew, about a tenth of its time. The library itself leaves the choice to its user.
//!
//! Under AddressSanitizer (scripts/sanitize) blocks come from the system instead: the sanitizer watches those alone.

#[cfg(not(sanitized))]
use mimalloc::MiMalloc as Source;
#[cfg(sanitized)]
use std::alloc::System as Source;
use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    hint::black_box,
};

/// mimalloc, with a number of its own per thread: one addition beside every allocation. Make this the global allocator of
/// a program, and call [`keep_freed`] first thing in `main`.
pub struct Allocator;

/// The allocator.
pub const ALLOCATOR: Allocator = Allocator;

thread_local! {
    // Without a destructor, so that it may be used at any time of a thread's life.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the source as it came, and counting allocates nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { Source.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { Source.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `block` came from the source, as all blocks of this allocator do.
        unsafe { Source.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { Source.dealloc(block, layout) }
    }
}

/// Allocations of this thread so far, growth of a block included; none in a program with another allocator. What a library
/// of another language allocates by itself, as ONNX Runtime does, is not among them.
pub fn allocations() -> Option<u64> {
    let before = COUNT.get();
    drop(black_box(Box::new(0u8)));
    let after = COUNT.get();
    (after > before).then_some(before)
}

/// `mi_option_purge_delay` of mimalloc 2 and 3, which the binding has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Freed memory stays with the process instead of going back to the system.
pub fn keep_freed() {
    // SAFETY: sets a number that mimalloc reads when it frees pages; any value is sound, −1 means never.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

/// Unit tests count as the programs do.
#[cfg(test)]
#[global_allocator]
static OF_TESTS: Allocator = ALLOCATOR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allocation_of_this_thread_is_counted_and_those_of_others_are_not() {
        // Asking costs one itself.
        let cost_of = |task: &dyn Fn()| {
            let before = allocations().unwrap();
            task();
            allocations().unwrap() - before - 1
        };
        assert_eq!(cost_of(&|| ()), 0);
        assert_eq!(cost_of(&|| drop(black_box(vec![0u8; 10]))), 1);
        let growing = || {
            let mut bytes: Vec<u8> = Vec::with_capacity(1);
            bytes.reserve_exact(1000);
            drop(black_box(bytes));
        };
        assert_eq!(cost_of(&growing), 2);
        let theirs = || (0..1000).for_each(|i| drop(black_box(vec![i; 10])));
        let spawning = cost_of(&|| drop(std::thread::spawn(theirs).join()));
        assert!(spawning < 1000, "{spawning}");
    }

    #[test]
    fn freed_memory_is_told_to_stay() {
        keep_freed();
        // SAFETY: reads a number.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, -1);
    }

    /// scripts/sanitize sees this fail before it believes that the others pass.
    #[cfg(sanitized)]
    #[test]
    #[ignore = "reads what was freed"]
    fn planted_read_of_freed_memory() {
        let block = black_box(Box::new(7u8));
        let freed = &raw const *block;
        drop(block);
        // SAFETY: there is none, which the sanitizer has to notice.
        black_box(unsafe { freed.read() });
    }
}
