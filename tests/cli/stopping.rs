//! Runs that are stopped, killed, or run out of room, and go on.

use crate::world::{PROBE, World, failure, json, output, program};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Trains its teacher for a second or more, the rest as short as can be.
const EXPERIMENT: &str = r#"
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[16, 8, "zero"], [16, 8, "zero"]]
[teacher]
shared = [64, 32]
partition = [16]
max_epochs = 40
patience = 40
batch_size = 64
[search]
epochs = 1
[derive]
rule = "top_k"
k = 9
[retrain]
max_epochs = 1
[baseline]
widths = [16]
max_epochs = 1
[target]
engine = "tract"
engines = ["tract"]
candidates = 20
[traffic]
requests = 20
candidates = 20
qps = 200
[probe]
passes = 2
block_ms = 10
repeats = 0
[rounds]
count = 1
diverse = 1
held_out = 1
"#;

pub const ITERATE: [&str; 5] = ["iterate", "--config", "e.toml", "--out", "a run"];

/// A probing into `t.json`.
pub fn probe<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PROBE[..], &["--out", "t.json"], more].concat()
}

pub fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    output(folder.path(), &["data", "synth", "--requests", "200", "--candidates", "10", "--out", "log"]);
    fs::write(folder.path().join("e.toml"), EXPERIMENT).unwrap();
    folder
}

/// A program that is running, in a process group of its own as a shell would start it.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(program(folder).get_program())
            .args(args)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// Reads on until a line holds `text`.
    pub fn wait_for(&mut self, text: &str) {
        let from = self.said.len();
        while !self.said[from..].contains(text) {
            let read = self.stderr.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it ended without `{text}`:\n{}", self.said);
        }
    }

    /// The measuring process that it has started.
    pub fn measuring(&self) -> u32 {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        until("a measuring process", || fs::read_to_string(&path).ok()?.split(' ').next()?.parse().ok())
    }

    pub fn signal(&self, signal: &str, to: To) {
        let pid = self.child.id();
        let target = match to {
            To::Parent => pid.to_string(),
            To::Everybody => format!("-{pid}"),
        };
        send(signal, &target);
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Its exit code and everything it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        while self.stderr.read_line(&mut self.said).unwrap() > 0 {}
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), None, "{}", self.said);
        (status.code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion it is still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who gets a signal.
#[derive(Clone, Copy)]
pub enum To {
    Parent,
    /// As from a terminal.
    Everybody,
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A signal to any process.
pub fn signal(name: &str, pid: u32) {
    send(name, &pid.to_string());
}

fn send(signal: &str, target: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {target}")]).status();
    assert!(status.unwrap().success());
}

/// Waits until a process is gone, or nothing but an entry that nobody has asked for.
pub fn gone(pid: u32) {
    until("the end of the measuring process", || match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(") ").next()?.starts_with('Z').then_some(()),
        Err(_) => Some(()),
    });
}

/// The command between backquotes, run by a shell in `folder`: what it said.
fn run_named_command(folder: &Path, message: &str) -> String {
    let command = message.split('`').nth(1).unwrap_or_else(|| panic!("no command in {message}"));
    let done = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{command}: {said}");
    said
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(folder.join("a run/checkpoints/teacher-0")) else { return Vec::new() };
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_training_that_is_stopped_saves_and_names_the_command_that_goes_on() {
    let folder = world();
    let here = folder.path();
    let said = stopped_in_its_teacher(here, &ITERATE);
    let message = said.lines().last().unwrap();
    assert!(message.starts_with("error: stopped by SIGINT; "), "{said}");
    assert!(message.ends_with("iterate --config e.toml --out 'a run' --resume`"), "{said}");
    assert!(!checkpoints(here).is_empty(), "{said}");
    assert!(run_named_command(here, message).contains("goes on from"));
    assert!(!here.join("a run/checkpoints").exists(), "the result is there");
}

/// What a run said that got a SIGINT while its teacher was trained.
fn stopped_in_its_teacher(folder: &Path, args: &[&str]) -> String {
    let mut running = Running::start(folder, args);
    running.wait_for("train …");
    thread::sleep(Duration::from_millis(200));
    running.signal("INT", To::Everybody);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    said
}

#[test]
fn a_search_that_is_stopped_goes_on_as_a_search() {
    let folder = world();
    let here = folder.path();
    let said = stopped_in_its_teacher(here, &["search", "--config", "e.toml", "--out", "a run"]);
    let message = said.lines().last().unwrap();
    assert!(message.ends_with("search --config e.toml --out 'a run' --resume`"), "{said}");
    assert!(!checkpoints(here).is_empty(), "{said}");
    assert!(run_named_command(here, message).contains("goes on from"));
    assert!(here.join("a run/rounds/1/subnet.json").exists() && !here.join("a run/networks").exists());
}

#[test]
fn a_probing_that_is_stopped_keeps_what_it_has_and_leaves_no_process_behind() {
    for (signal, to, code) in [("TERM", To::Parent, 143), ("INT", To::Everybody, 130)] {
        let folder = world();
        let here = folder.path();
        let mut running = Running::start(here, &probe(&[]));
        running.wait_for("group 2 of ");
        let measuring = running.measuring();
        running.signal(signal, to);
        let (found, said) = running.end();
        assert_eq!(found, Some(code), "{said}");
        let message = said.lines().last().unwrap();
        assert!(message.contains(&format!("stopped by SIG{signal}")), "{said}");
        gone(measuring);
        assert!(!here.join("t.json").exists() && here.join("t.partial.json").exists());

        fs::write(here.join("e.toml"), EXPERIMENT.replace("passes = 2", "passes = 3")).unwrap();
        let other = failure(here, 1, &probe(&["--resume"]));
        assert!(other.contains("t.partial.json") && other.contains("without --resume"), "{other}");
        fs::write(here.join("e.toml"), EXPERIMENT).unwrap();

        let resumed = run_named_command(here, message);
        assert!(resumed.lines().any(|line| line.starts_with("1 of ")), "{resumed}");
        assert!(resumed.contains("groups have been probed before"), "{resumed}");
        assert!(!resumed.contains("group 1 of ") && resumed.contains("group 2 of "), "{resumed}");
        let table = json(here, &["table", "show", "t.json"]);
        let candidates: Vec<_> =
            table["buckets"].as_array().unwrap().iter().map(|b| &b["candidates"]).collect();
        assert_eq!(candidates, [20, 40]);
        assert!(!here.join("t.partial.json").exists());
        assert_eq!(json(here, &probe(&["--resume"])), table, "a finished table is read");
    }
}

/// A replay on `world::World`'s files, of so many requests per second.
pub fn replay<'a>(qps: &'a str, requests: &'a str, repeats: &'a str) -> Vec<&'a str> {
    let traffic = ["--qps", qps, "--requests", requests, "--candidates", "8", "--repeats", repeats];
    let model = ["replay", "--model", "model/model.onnx", "--data", "log/log.parquet", "--engine", "null"];
    [&model[..], &traffic, &["--out", "r.json"]].concat()
}

#[test]
fn a_replay_that_is_stopped_between_passes_keeps_those_that_it_has() {
    let world = World::new();
    let mut running = Running::start(world.path(), &replay("500", "60", "500"));
    running.wait_for("pass 3 of 500");
    running.signal("INT", To::Everybody);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.ends_with("the result is of what was measured until then: stopped by SIGINT"), "{said}");
    let result = world.read_json("r.json");
    assert_eq!((&result["interrupted"], &result["valid"]), (&true.into(), &false.into()));
    assert!(result["requests"].as_u64().unwrap() >= 120 && result["passes"].as_array().unwrap().len() < 500);
    assert!(result["reasons"].to_string().contains("stopped: only"), "{}", result["reasons"]);
}

#[test]
fn a_replay_that_is_stopped_in_the_middle_of_a_pass_keeps_what_was_answered() {
    // From a terminal everybody gets the signal; from elsewhere only the parent does, which tells its child.
    for (signal, to, code) in [("INT", To::Everybody, 130), ("TERM", To::Parent, 143)] {
        let world = World::new();
        // It lasts for minutes. A busy machine may need a while until the first request: then it is tried once more.
        let kept = [500, 2000, 8000].into_iter().find_map(|wait_ms| {
            let mut running = Running::start(world.path(), &replay("20", "4000", "1"));
            running.wait_for("pass 1 of 1");
            let measuring = running.measuring();
            thread::sleep(Duration::from_millis(wait_ms));
            running.signal(signal, to);
            let (found, said) = running.end();
            assert_eq!(found, Some(code), "{said}");
            gone(measuring);
            let kept = world.file("r.json").exists().then(|| world.read_json("r.json"));
            kept.filter(|kept| kept["requests"] != 0)
        });
        let kept = kept.expect("a partial result");
        assert_eq!((&kept["interrupted"], &kept["valid"]), (&true.into(), &false.into()));
        assert!((1..4000).contains(&kept["requests"].as_u64().unwrap()), "{}", kept["requests"]);
    }
}

#[test]
fn a_search_for_a_rate_that_is_stopped_at_its_first_keeps_what_it_has() {
    let world = World::new();
    let traffic = ["--requests", "500", "--candidates", "8", "--repeats", "1", "--plant-busy-us", "500"];
    let model = ["replay", "--model", "model/model.onnx", "--data", "log/log.parquet", "--engine", "null"];
    // Passes at the first rate last for minutes together.
    let search = ["--slo", "p50=5ms", "--min-duration", "300", "--out", "r.json"];
    let mut running = Running::start(world.path(), &[&model[..], &traffic, &search].concat());
    running.wait_for("per second, pass 2 of");
    running.signal("INT", To::Everybody);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    let result = world.read_json("r.json");
    assert_eq!((&result["interrupted"], &result["valid"]), (&true.into(), &false.into()));
    assert_eq!(result["slo"]["progress"], "partial");
    let points = result["slo"]["points"].as_array().unwrap();
    assert_eq!((points.len(), &points[0]["standing"]), (1, &"undecided".into()));
}

#[test]
fn a_measuring_process_does_not_outlive_a_killed_parent() {
    let folder = world();
    let mut running = Running::start(folder.path(), &probe(&[]));
    running.wait_for("group 1 of ");
    let measuring = running.measuring();
    running.signal("KILL", To::Parent);
    running.child.wait().unwrap();
    gone(measuring);
}

#[test]
fn a_full_disk_ends_the_run_with_the_files_name_and_the_last_checkpoint_stays_good() {
    let folder = world();
    let here = folder.path();
    // Two epochs of many steps, each of them saved: the first is not over when it is stopped.
    let settings = ["checkpoints.every_seconds=0.0", "teacher.max_epochs=2", "teacher.batch_size=8"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let iterate: Vec<&str> = ITERATE.into_iter().chain(settings).collect();
    let mut running = Running::start(here, &iterate);
    running.wait_for("train …");
    until("a checkpoint", || checkpoints(here).pop());
    running.signal("TERM", To::Parent);
    assert_eq!(running.end().0, Some(143));
    let kept = checkpoints(here).into_iter().max().unwrap();
    let size = fs::metadata(&kept).unwrap().len();

    // With the best epoch in it, the next checkpoint is a third larger: too large. The shell turns the signal off that
    // would kill a program at the limit; the write fails as on a full disk.
    let limit = size * 7 / 6 / 1024;
    let program = program(here).get_program().to_owned();
    let limited = Command::new("bash")
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")])
        .arg(program)
        .args([&iterate[..], &["--resume"]].concat())
        .current_dir(here)
        .output()
        .unwrap();
    let said = String::from_utf8(limited.stderr).unwrap();
    assert_eq!(limited.status.code(), Some(1), "{said}");
    let message = said.lines().last().unwrap();
    assert!(message.starts_with("error: cannot write a run/checkpoints/teacher-0/"), "{said}");
    assert!(message.contains("`ulimit -f`") && message.contains("File too large"), "{said}");
    let litter = fs::read_dir(kept.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name());
    assert!(litter.into_iter().all(|name| name.to_string_lossy().ends_with(".safetensors")));

    let resumed = program_output(here, &[&iterate[..], &["--resume"]].concat());
    assert!(resumed.contains("goes on from") && !resumed.contains("no readable"), "{resumed}");
}

/// What a run that succeeds said.
fn program_output(folder: &Path, args: &[&str]) -> String {
    String::from_utf8(program(folder).args(args).assert().success().get_output().stderr.clone()).unwrap()
}
