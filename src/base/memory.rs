//! The allocator of the programs: mimalloc, told to keep what is freed.
//!
//! A training step allocates and frees the same few hundred megabytes again and again. The system's allocator gives such
//! blocks back to the kernel each time, and mimalloc does so after ten milliseconds; either way the next step pays for
//! clearing the pages anew, about a tenth of its time. The library itself leaves the choice to its user.

/// Make this the global allocator of a program, and call [`keep_freed`] first thing in `main`.
pub type Allocator = mimalloc::MiMalloc;

/// The allocator.
pub const ALLOCATOR: Allocator = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3, which the binding has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Freed memory stays with the process instead of going back to the system.
pub fn keep_freed() {
    // SAFETY: sets a number that mimalloc reads when it frees pages; any value is sound, −1 means never.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
