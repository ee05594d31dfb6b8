//! One child process per measurement, so that threads, arenas and caches of one engine do not touch another's; and one per work on
//! a model from elsewhere, so that a runtime that aborts ends no more than that. Only one child of this process runs at a time.
//!
//! A child does not outlive its parent: its standard input is a pipe that the system closes when the parent ends,
//! however it ends, and with `--tied` the child ends then too. A byte that comes through it is the number of a signal: the
//! request to stop that the parent has got, which the child's own terminal may not have sent.
//!
//! A child that measures service times and crashes, or gives no result in its time, is started once more: hours of probing do not
//! end with one slip of a runtime. The second failure is the error. One that is killed is not: that is what the system does where
//! memory ends, and it would be so again. Passes of a replay are repeated by [`campaign`](super::campaign),
//! whose results say so.

use super::{
    environment,
    job::{Job, ReplayJob, ServiceResult},
    measurement::Pass,
    service::ServiceJob,
};
use crate::base::{Error, Result, fsio, names::EngineName, stop::Stop};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// The hidden verb of the command line that runs [`run_job`](super::job::run_job).
pub const VERB: &str = "engine-child";
/// Its option to end when its standard input is closed.
const TIED: &str = "--tied";
/// The variable of its environment with what [`Job::secret`] gives: the job itself is a file, which a program that is killed leaves.
pub const SECRET: &str = "AUTOFAS_BENCH_STORE_IDENTITY";

/// Lines of a failed child's messages that are passed on.
const LAST_LINES: usize = 12;
/// How often the parent looks whether the child is done: seldom, because it shares the cores.
const POLL: Duration = Duration::from_millis(20);

/// What a replay may take to end with what it has, once it was asked to stop: a request that runs is finished, then the
/// result is written.
pub const GRACE: Duration = Duration::from_secs(20);

/// Says a line to whoever uses the program.
pub type Notice = Box<dyn Fn(&str) + Send + Sync>;

/// Where it is said that a child was started again; the command line sets it.
pub static NOTICE: OnceLock<Notice> = OnceLock::new();

/// Says that work on an engine begins again after this error, where there is somebody to tell.
pub(super) fn say_again(what: &str, error: &Error) {
    if let Some(notice) = NOTICE.get() {
        notice(&format!("warning: {what} is started once more: {error}"));
    }
}

/// Which program measures, and how long it may take.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program: it must know the verb [`VERB`] with `--job` and `--out`.
    pub program: PathBuf,
    /// A child that runs longer, beside the schedule that it waits for, is ended.
    pub timeout: Duration,
    /// A child that is running when somebody asks to stop is ended; one that replays is told, and ends with what it has.
    pub stop: Stop,
    /// How long a replay may take for that: [`GRACE`], or nothing for who keeps no part of a replay.
    pub grace: Duration,
}

/// How a child came to its end.
enum End {
    Exited(ExitStatus),
    OutOfTime,
}

impl Launcher {
    /// This very program, with an hour of time.
    pub fn this_program(stop: &Stop) -> Result<Self> {
        let (program, timeout) = (environment::program()?, Duration::from_secs(3600));
        Ok(Self { program, timeout, stop: stop.clone(), grace: GRACE })
    }

    /// Replays a trace in a child process: one pass per model. When somebody asks to stop, the child ends with what it has
    /// measured: the last pass may be interrupted, and passes may be missing.
    /// `schedule` is how long its requests take to arrive.
    pub fn replay(&self, job: ReplayJob, schedule: Duration) -> Result<Vec<Pass>> {
        self.measure(&Job::Replay(job), schedule)
    }

    /// Measures service times in a child process, or in a second one when the first crashes or gives no result in its time.
    pub fn service(&self, job: ServiceJob) -> Result<ServiceResult> {
        let job = Job::Service(job);
        match self.measure(&job, Duration::ZERO) {
            Err(error) if error.is_crash() => {
                say_again("the measurement", &error);
                self.measure(&job, Duration::ZERO).map_err(|again| again.after(&error))
            }
            done => done,
        }
    }

    /// Has other work than measuring done in a child process, however long it takes: the verb reads `job` and writes the result.
    /// What a child says before it ends by itself is an [`Error::Said`].
    pub fn work<T: DeserializeOwned>(&self, job: &impl Serialize, engine: EngineName) -> Result<T> {
        match self.run(job, engine, Duration::MAX, None, None) {
            Err(Error::Child { code: Some(code), stderr, .. }) => {
                let said = stderr.strip_prefix("error: ").unwrap_or(&stderr).to_owned();
                Err(Error::Said { said, code })
            }
            other => other,
        }
    }

    /// `schedule` is how long the job waits for what it measures: it counts beside the launcher's time.
    fn measure<T: DeserializeOwned>(&self, job: &Job, schedule: Duration) -> Result<T> {
        let grace = matches!(job, Job::Replay(_)).then_some(self.grace);
        self.run(job, job.engine(), self.timeout.saturating_add(schedule), grace, job.secret())
    }

    /// Runs the verb, at most for `timeout`; with a `grace` it is told of a request to stop, and has that long to end. A
    /// `secret` goes through its environment and into no file.
    fn run<T: DeserializeOwned>(
        &self,
        job: &impl Serialize,
        engine: EngineName,
        timeout: Duration,
        grace: Option<Duration>,
        secret: Option<String>,
    ) -> Result<T> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = fsio::temporary_folder()?;
        let file = |name: &str| folder.path().join(name);
        fsio::write_json(&file("job.json"), job)?;
        let messages = File::create(file("stderr")).map_err(|e| Error::io(file("stderr"), "create", e))?;
        let mut child = Command::new(&self.program)
            .arg(VERB)
            .arg("--job")
            .arg(file("job.json"))
            .arg("--out")
            .arg(file("result.json"))
            .arg(TIED)
            .env_remove(SECRET)
            .envs(secret.map(|secret| (SECRET, secret)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .map_err(|e| Error::io(&self.program, "start", e))?;
        let failed = |status: String, code| {
            Err(Error::Child {
                engine: engine.to_string(),
                status,
                code,
                stderr: last_lines(&file("stderr")),
            })
        };
        match self.wait(&mut child, timeout, grace)? {
            End::OutOfTime => failed(format!("no result within {} s", timeout.as_secs_f64()), None),
            End::Exited(status) if !status.success() => {
                self.check_stop(status)?;
                failed(status.to_string(), status.code())
            }
            End::Exited(_) if !file("result.json").exists() => {
                failed("success, but without a result".to_owned(), None)
            }
            End::Exited(_) => fsio::read_json(&file("result.json")),
        }
    }

    /// Waits for the child; ends it when its time is over, or somebody has asked to stop and the grace, where it has one, is
    /// over too.
    fn wait(&self, child: &mut Child, timeout: Duration, grace: Option<Duration>) -> Result<End> {
        let lost = |e| Error::io(&self.program, "wait for", e);
        let begun = Instant::now();
        let mut told: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(lost)? {
                return Ok(End::Exited(status));
            }
            let out_of_time = begun.elapsed() > timeout;
            let stopped = match (self.stop.signal(), grace) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(signal), Some(grace)) => {
                    let told = *told.get_or_insert_with(|| {
                        if let Some(pipe) = &mut child.stdin {
                            // One that has ended meanwhile need not be told.
                            let _ = pipe.write_all(&[signal as u8]);
                        }
                        Instant::now()
                    });
                    told.elapsed() > grace
                }
            };
            if out_of_time || stopped {
                // It may have ended by itself meanwhile, which is as good.
                let _ = child.kill();
                child.wait().map_err(lost)?;
                self.stop.check()?;
                return Ok(End::OutOfTime);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Fails when the child was ended by a request to stop: a terminal sends its signals to parent and child alike, and
    /// the child's end may be seen before the parent's own signal.
    fn check_stop(&self, status: ExitStatus) -> Result<()> {
        #[cfg(unix)]
        if std::os::unix::process::ExitStatusExt::signal(&status).is_some() && !self.stop.requested() {
            std::thread::sleep(POLL);
        }
        self.stop.check()
    }
}

fn last_lines(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.len() {
        0 => "it wrote nothing".to_owned(),
        count => lines[count.saturating_sub(LAST_LINES)..].join("\n"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::measure::{
        engine::SessionOptions,
        service::{Effort, Requests},
    };
    use std::os::unix::fs::PermissionsExt;

    fn job() -> ServiceJob {
        ServiceJob {
            engine: EngineName::Tract,
            options: SessionOptions::PLAIN,
            models: Vec::new(),
            candidates: vec![10],
            requests: Requests::Random,
            effort: Effort::default(),
            seed: 1,
            time_limit_s: None,
        }
    }

    /// Runs a shell script in place of the program: `$3` is the job, `$5` the result.
    fn run(script: &str, timeout: Duration) -> Result<ServiceResult> {
        with(script, timeout, |launcher| launcher.service(job()))
    }

    fn with<T>(script: &str, timeout: Duration, ask: impl Fn(Launcher) -> Result<T>) -> Result<T> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        ask(Launcher { program, timeout, stop: Stop::never(), grace: GRACE })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_failing_child_is_an_error_with_engine_status_and_last_words() {
        let error = run("for i in $(seq 100); do echo \"line $i\" >&2; done; exit 3", LONG).unwrap_err();
        let Error::Child { engine, status, code, stderr } = error else { panic!("{error}") };
        assert_eq!((engine.as_str(), code), ("tract", Some(3)));
        assert!(status.contains('3'), "{status}");
        assert!(stderr.ends_with("line 100") && !stderr.contains("line 88\n"), "{stderr}");
    }

    #[test]
    fn a_crash_a_missing_result_and_a_child_without_end_are_errors() {
        for (script, timeout, expected) in [
            ("kill -6 $$", LONG, "signal"),
            ("exit 0", LONG, "without a result"),
            ("exec sleep 60", Duration::from_millis(100), "within 0.1 s"),
        ] {
            let error = run(script, timeout).unwrap_err();
            let text = error.to_string();
            assert!(matches!(&error, Error::Child { .. }) && text.contains(expected), "{text}");
            assert!(
                text.contains("process for tract ended") && text.contains(", as one before it"),
                "{text}"
            );
        }
        let nowhere =
            Launcher { program: "/nowhere/at-all".into(), timeout: LONG, stop: Stop::never(), grace: GRACE };
        assert!(nowhere.service(job()).unwrap_err().to_string().contains("/nowhere/at-all"));
    }

    /// A script that does `first` when it is started for the first time, and `then` later.
    fn at_first(first: &str, then: &str) -> String {
        format!(
            "mark=\"$(dirname \"$0\")/mark\"\n[ -e \"$mark\" ] || {{ touch \"$mark\"; {first}; }}\n{then}"
        )
    }

    #[test]
    fn a_child_that_crashes_or_hangs_is_started_once_more_and_one_that_says_what_is_wrong_is_not() {
        let result = format!("cat > \"$5\" <<'END'\n{RESULT}\nEND");
        let hang = "exec sleep 60";
        assert_eq!(run(&at_first("kill -6 $$", &result), LONG).unwrap().engine_version, "9");
        let killed = run(&at_first("kill -9 $$", &result), LONG).unwrap_err().to_string();
        assert!(killed.contains("SIGKILL") && killed.contains("ran out of memory"), "{killed}");
        // As long as a busy machine may take to start a shell.
        assert_eq!(run(&at_first(hang, &result), Duration::from_secs(5)).unwrap().engine_version, "9");
        let said = run(&at_first("echo odd >&2; exit 2", &result), LONG).unwrap_err();
        assert!(matches!(said, Error::Child { code: Some(2), .. }), "{said}");
        let twice = run(&at_first("kill -6 $$", "kill -11 $$"), LONG).unwrap_err().to_string();
        assert!(
            twice.contains("signal: 11") && twice.contains(", as one before it with signal: 6"),
            "{twice}"
        );
    }

    #[test]
    fn a_replay_of_which_nobody_keeps_a_part_is_ended_as_soon_as_somebody_asks() {
        let begun = Instant::now();
        let stopped = with("exec sleep 60", LONG, |launcher| {
            launcher.stop.request(15);
            let launcher = Launcher { grace: Duration::ZERO, ..launcher };
            launcher.replay(crate::measure::campaign::examples::job(EngineName::Tract, &["m.onnx"]), LONG)
        });
        assert!(matches!(stopped, Err(Error::Interrupted { signal: 15, .. })));
        assert!(begun.elapsed() < GRACE / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn other_work_may_take_longer_and_its_child_speaks_for_itself() {
        let work = |script: &str| {
            let timeout = Duration::from_millis(1);
            with(script, timeout, |launcher| launcher.work::<u64>(&"asked", EngineName::OnnxRuntime))
        };
        assert_eq!(work("grep -q asked \"$3\" && sleep 0.1 && echo 7 > \"$5\"").unwrap(), 7);
        let error = work("echo 'error: m.onnx: odd; mend it' >&2; exit 2").unwrap_err();
        assert!(matches!(error, Error::Said { code: 2, .. }));
        assert_eq!(error.to_string(), "m.onnx: odd; mend it");
        let error = work("kill -9 $$").unwrap_err();
        assert!(
            matches!(&error, Error::Child { code: None, .. }) && error.to_string().contains("onnxruntime")
        );
    }

    const RESULT: &str = r#"{"engine_version": "9", "samples": [], "environment": {"host": "h", "cores": 1, "os": "o",
            "program_version": "0", "program_sha256": "0"}}"#;

    #[test]
    fn the_child_gets_the_verb_and_the_job_and_its_result_comes_back() {
        let script = format!(
            "[ \"$1\" = engine-child ] && [ \"$2\" = --job ] && [ \"$4\" = --out ] || exit 1\n\
             grep -q '\"job\": \"service\"' \"$3\" && grep -q tract \"$3\" || exit 2\ncat > \"$5\" <<'END'\n{RESULT}\nEND"
        );
        assert_eq!(run(&script, LONG).unwrap().engine_version, "9");
    }
}
