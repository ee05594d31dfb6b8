//! Progress on the standard error stream: a bar on a terminal, one line per stage in a pipe, nothing where that is asked.

use super::style;
use crate::{
    base::progress::{Progress, Silent},
    measure::child::Notice,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    fmt::Write,
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The progress of a run by hand or by a script. A terminal that cannot move its cursor gets lines.
pub fn for_stderr(quiet: bool) -> Arc<dyn Progress + Send> {
    let moves = stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb");
    match (quiet, moves) {
        (true, _) => Arc::new(Silent),
        (false, true) => Arc::new(Bar::new(ProgressDrawTarget::stderr)),
        (false, false) => Arc::new(Lines),
    }
}

/// Says lines through `progress` as long as that is there: who keeps this leaves no bar on the terminal.
pub fn notice(progress: &Arc<dyn Progress + Send>) -> Notice {
    let progress = Arc::downgrade(progress);
    Box::new(move |line| {
        if let Some(progress) = progress.upgrade() {
            progress.say(line);
        }
    })
}

/// Stages and results as lines; steps are left out.
struct Lines;

impl Progress for Lines {
    fn stage(&self, name: &str, _: u64) {
        style::say(&format!("{name} …"));
    }

    fn advance(&self, _: u64, _: &str) {}

    fn say(&self, line: &str) {
        style::say(line);
    }
}

/// Of a stage with `total` steps: how far, how fast, how much longer, and what the computation says of itself. A stage
/// of unknown length has no end to wait for.
fn style(total: u64) -> ProgressStyle {
    let template = match total {
        0 => "{spinner} {prefix} {elapsed} {wide_msg}",
        _ => "{spinner} {prefix} {bar:20} {pos}/{len} {elapsed}, {per_sec}, ETA {eta} {wide_msg}",
    };
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A line that cannot be formatted is not worth a failure.
        let _ = write!(out, "{}", rate_text(state.per_sec()));
    };
    ProgressStyle::with_template(template).expect("the template is well formed").with_key("per_sec", rate)
}

/// Of a stage that is drawn once: a spinner that stands still would look as if the program hung.
fn standing() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} (measuring, so nothing moves here) …")
        .expect("the template is well formed")
}

/// Steps of a second, or the seconds of a step where those are many.
fn rate_text(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        "… steps/s".to_owned()
    } else if per_second < 1.0 {
        format!("{:.1} s/step", 1.0 / per_second)
    } else {
        format!("{per_second:.1} steps/s")
    }
}

/// One bar, that of the current stage.
struct Bar {
    current: Mutex<ProgressBar>,
    target: fn() -> ProgressDrawTarget,
}

impl Bar {
    fn new(target: fn() -> ProgressDrawTarget) -> Self {
        Self { current: Mutex::new(ProgressBar::hidden()), target }
    }

    fn bar(&self, total: u64, name: &str) -> ProgressBar {
        ProgressBar::with_draw_target(Some(total), (self.target)())
            .with_style(style(total))
            .with_prefix(name.to_owned())
    }

    fn replace(&self, bar: ProgressBar) {
        self.with(|current| std::mem::replace(current, bar).finish_and_clear());
    }

    fn with<R>(&self, use_bar: impl FnOnce(&mut ProgressBar) -> R) -> R {
        use_bar(&mut self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Progress for Bar {
    fn stage(&self, name: &str, total: u64) {
        let bar = self.bar(total, name);
        bar.enable_steady_tick(Duration::from_millis(200));
        self.replace(bar);
    }

    fn measuring(&self, name: &str) {
        let bar = self.bar(0, name).with_style(standing());
        self.replace(bar.clone());
        bar.tick();
    }

    fn advance(&self, done: u64, note: &str) {
        self.with(|bar| {
            bar.set_position(done);
            bar.set_message(note.to_owned());
        });
    }

    fn say(&self, line: &str) {
        // Hidden bars swallow lines, so the bar only steps aside.
        self.with(|bar| bar.suspend(|| style::say(line)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.with(|bar| bar.finish_and_clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    /// A terminal that keeps all that it was told to show.
    #[derive(Debug)]
    struct Recording(&'static Mutex<String>);

    impl Recording {
        fn keep(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    impl TermLike for Recording {
        fn width(&self) -> u16 {
            140
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            self.keep("\n")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_tells_stage_position_rate_rest_and_the_note() {
        static SHOWN: Mutex<String> = Mutex::new(String::new());
        let bar = Bar::new(|| ProgressDrawTarget::term_like(Box::new(Recording(&SHOWN))));
        bar.stage("search", 40);
        std::thread::sleep(Duration::from_millis(300));
        bar.advance(10, "loss1 0.5 AUC 0.73");
        std::thread::sleep(Duration::from_millis(500));
        drop(bar);
        let shown = SHOWN.lock().unwrap();
        let line = shown.lines().find(|line| line.contains("10/40")).unwrap_or_else(|| panic!("{shown:?}"));
        for wanted in ["search", "steps/s, ETA ", "loss1 0.5 AUC 0.73"] {
            assert!(line.contains(wanted), "{wanted:?} is not in {line:?}");
        }
    }

    #[test]
    fn nothing_is_drawn_while_another_process_measures() {
        static SHOWN: Mutex<String> = Mutex::new(String::new());
        let bar = Bar::new(|| ProgressDrawTarget::term_like(Box::new(Recording(&SHOWN))));
        bar.measuring("replay");
        let drawn = SHOWN.lock().unwrap().clone();
        assert!(drawn.contains("replay"), "it says what it does");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(*SHOWN.lock().unwrap(), drawn);
    }

    #[test]
    fn the_bar_steps_aside_for_a_notice_and_goes_with_its_verb() {
        static SHOWN: Mutex<String> = Mutex::new(String::new());
        let drawn = || SHOWN.lock().unwrap().matches("replay").count();
        let progress: Arc<dyn Progress + Send> =
            Arc::new(Bar::new(|| ProgressDrawTarget::term_like(Box::new(Recording(&SHOWN)))));
        let notice = notice(&progress);
        progress.measuring("replay");
        let before = drawn();
        notice("warning: the measurement is started once more");
        assert_eq!(drawn(), before + 1, "it is drawn again below the line");
        drop(progress);
        assert!(SHOWN.lock().unwrap().ends_with('\n'), "it was cleared");
        notice("warning: nobody hears this");
    }

    #[test]
    fn slow_steps_are_counted_in_seconds() {
        assert_eq!(rate_text(12.34), "12.3 steps/s");
        assert_eq!(rate_text(0.25), "4.0 s/step");
        assert_eq!(rate_text(0.0), "… steps/s");
    }
}
