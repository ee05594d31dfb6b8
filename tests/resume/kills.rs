//! Where the child ends itself with SIGKILL: once at each of a list of places, and at moments drawn at random.

use autofas_bench::base::{
    fsio::{self, Moment},
    progress::Progress,
    rng,
};
use rand::RngExt;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What is going on when the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Checkpoint,
    Export,
    Replay,
    Table,
    Anywhere,
}

/// One kill: the first time that this moment is seen of a write to a path that contains this text.
const WRITES: [(Place, Moment, &str); 15] = [
    (Place::Checkpoint, Moment::Begun, "checkpoints/teacher-0"),
    (Place::Checkpoint, Moment::Filled, "checkpoints/warmup"),
    (Place::Checkpoint, Moment::Renamed, "checkpoints/rounds-1-search"),
    (Place::Checkpoint, Moment::Filled, "checkpoints/rounds-2-search"),
    (Place::Export, Moment::Begun, "model.onnx"),
    (Place::Export, Moment::Filled, "test_vectors.json"),
    (Place::Export, Moment::Renamed, "signature.json"),
    (Place::Export, Moment::Filled, "shapes/"),
    (Place::Replay, Moment::Filled, "tract.hlog"),
    (Place::Replay, Moment::Begun, "null.hlog"),
    (Place::Replay, Moment::Filled, "replay/tract.json"),
    (Place::Table, Moment::Begun, "tables/v1.json"),
    (Place::Table, Moment::Filled, "tables/v2.json"),
    (Place::Table, Moment::Filled, "tables/v3.json"),
    (Place::Table, Moment::Renamed, "tables/probed/tract.json"),
];

/// Places that the scripted engine passes in the middle of a replay.
pub const IN_A_REPLAY: [&str; 2] = ["replay of tract, between two networks", "replay of null, at its end"];

/// Kills at random moments, all in all.
const RANDOM: usize = 20;

/// One life of the program.
pub struct Kills {
    folder: PathBuf,
    /// What has been seen of progress and writes.
    events: AtomicU64,
    /// After so many events, and so much time then, a kill at random; none when there were enough.
    random: Option<(u64, Duration)>,
}

static KILLS: OnceLock<Kills> = OnceLock::new();

impl Kills {
    /// For the child of this number, which works in `folder`.
    pub fn begin(folder: &Path, leg: u64) -> &'static Self {
        let mut rng = rng::generator(leg, "kills");
        let random = (rng.random_range(2..60), Duration::from_micros(rng.random_range(0..4000)));
        let random = (struck(folder, Place::Anywhere) < RANDOM).then_some(random);
        fsio::WATCH.set(|path, moment| KILLS.get().unwrap().written(path, moment)).unwrap();
        KILLS.get_or_init(|| Self { folder: folder.to_owned(), events: AtomicU64::new(0), random })
    }

    /// At a place that has a name.
    pub fn reach(&self, name: &str) {
        if IN_A_REPLAY.contains(&name) {
            self.strike_once(Place::Replay, name);
        }
    }

    fn written(&self, path: &Path, moment: Moment) {
        let path = path.to_string_lossy();
        for (place, when, part) in WRITES {
            if when == moment && path.contains(part) {
                self.strike_once(place, part);
            }
        }
        self.event();
    }

    fn event(&self) {
        let events = self.events.fetch_add(1, Ordering::Relaxed);
        if let Some((_, delay)) = self.random.filter(|(at, _)| *at == events) {
            // From another thread, so that it strikes in the middle of whatever is going on then.
            let folder = self.folder.clone();
            thread::spawn(move || {
                thread::sleep(delay);
                strike(&folder, Place::Anywhere, &format!("after {events} events"));
            });
        }
    }

    fn strike_once(&self, place: Place, name: &str) {
        let line = format!("{place:?}: {name}");
        if !log(&self.folder).lines().any(|known| known == line) {
            strike(&self.folder, place, name);
        }
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("kills.log")).unwrap_or_default()
}

/// How often the program was killed at such a place.
pub fn struck(folder: &Path, place: Place) -> usize {
    log(folder).lines().filter(|line| line.starts_with(&format!("{place:?}: "))).count()
}

fn strike(folder: &Path, place: Place, name: &str) {
    let mut log = OpenOptions::new().create(true).append(true).open(folder.join("kills.log")).unwrap();
    writeln!(log, "{place:?}: {name}").unwrap();
    signal_hook::low_level::raise(signal_hook::consts::SIGKILL).unwrap();
}

impl Progress for Kills {
    fn stage(&self, _: &str, _: u64) {
        self.event();
    }

    fn advance(&self, _: u64, _: &str) {
        self.event();
    }

    fn say(&self, line: &str) {
        eprintln!("{line}");
        self.event();
    }
}
