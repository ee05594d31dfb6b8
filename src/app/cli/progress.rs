//! Progress on the standard error stream: a bar on a terminal, one line per stage in a pipe.

use crate::base::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    sync::Mutex,
    time::Duration,
};

/// The progress of a run by hand or by a script.
pub fn for_stderr() -> Box<dyn Progress> {
    if stderr().is_terminal() { Box::new(Bar::new()) } else { Box::new(Lines) }
}

/// Stages and results as lines; steps are left out.
struct Lines;

impl Progress for Lines {
    fn stage(&self, name: &str, _: u64) {
        eprintln!("{name} …");
    }

    fn advance(&self, _: u64, _: &str) {}

    fn say(&self, line: &str) {
        eprintln!("{line}");
    }
}

/// One bar, that of the current stage.
struct Bar {
    current: Mutex<ProgressBar>,
}

impl Bar {
    fn new() -> Self {
        Self { current: Mutex::new(ProgressBar::hidden()) }
    }

    fn with<R>(&self, use_bar: impl FnOnce(&mut ProgressBar) -> R) -> R {
        use_bar(&mut self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Progress for Bar {
    fn stage(&self, name: &str, total: u64) {
        let template = match total {
            0 => "{spinner} {prefix} {elapsed} {wide_msg}",
            _ => "{spinner} {prefix} {bar:30} {pos}/{len} {elapsed} {wide_msg}",
        };
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
            .with_style(ProgressStyle::with_template(template).expect("the template is well formed"))
            .with_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.with(|current| std::mem::replace(current, bar).finish_and_clear());
    }

    fn advance(&self, done: u64, note: &str) {
        self.with(|bar| {
            bar.set_position(done);
            bar.set_message(note.to_owned());
        });
    }

    fn say(&self, line: &str) {
        // Hidden bars swallow lines, so the bar only steps aside.
        self.with(|bar| bar.suspend(|| eprintln!("{line}")));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.with(|bar| bar.finish_and_clear());
    }
}
