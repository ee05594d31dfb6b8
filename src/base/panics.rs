//! Calls into libraries that end the thread at input that they do not expect. Their panic becomes a text, for an error that names the file; the
//! hook that prints panics is not told.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local! {
    /// Whether this thread's panics are caught here.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the words of its panic on this thread. What it was changing must not be used after one. The flag is the thread's: where
/// `work` lets a library run a foreign job on this thread meanwhile, as rayon does while it waits, that job's panic is not printed either.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    keep_silent();
    let before = CAUGHT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("without a message").to_owned()
    })
}

/// Panics that are caught are nobody's business but the caller's; all others go where they went.
fn keep_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                hook(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| -> u32 { panic!("at {}", 7) }), Err("at 7".to_owned()));
        assert_eq!(caught(|| -> u32 { panic!("plainly") }), Err("plainly".to_owned()));
        assert_eq!(caught(|| -> u32 { panic::panic_any(7) }), Err("without a message".to_owned()));
        assert!(!CAUGHT.get(), "panics of this thread are printed again");
        let nested = caught(|| (caught(|| -> u32 { panic!("within") }), CAUGHT.get()));
        assert_eq!(nested, Ok((Err("within".to_owned()), true)));
    }
}
