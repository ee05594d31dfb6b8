//! Curves of a training as TensorBoard event files.
//!
//! No maintained crate writes them, and they are little: a file of records, each `length u64 | crc of the length |
//! content | crc of the content` in little endian, with CRC-32C masked as TensorFlow does; the content is a protobuf
//! `Event`. The messages below have the fields of TensorFlow's event.proto and summary.proto that a scalar needs.
//!
//! The files hold times of day, and a resumed training adds a file of its own: they are for looking at and no part of
//! a run's results. So a disk that is full ends the curves and not the training.

mod reading;

pub use reading::read;

use crate::base::{
    Error, Result, calendar, fsio,
    progress::{Pace, Progress},
};
use prost::Message;
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Of curves that get a point with every step: all points until here, then those of every tenth step.
const DENSE_UNTIL: u64 = 100;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    /// Written even when it is 0: there it is a member of a oneof.
    #[prost(oneof = "Kind", tags = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
}

/// A progress that passes everything on and keeps the points of curves in `folder`, which appears with the first one.
pub struct Curves<'a> {
    inner: &'a dyn Progress,
    folder: PathBuf,
    state: Mutex<State>,
}

enum State {
    /// No point has come.
    Waiting,
    Open(EventFile),
    /// Writing has failed; that was said once.
    Failed,
}

impl<'a> Curves<'a> {
    /// Curves in `folder`; everything else goes to `inner`.
    pub fn new(inner: &'a dyn Progress, folder: &Path) -> Self {
        Self { inner, folder: folder.to_owned(), state: Mutex::new(State::Waiting) }
    }

    fn write(&self, tag: &str, step: u64, value: f64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = match &mut *state {
            State::Failed => return,
            State::Open(file) => file.scalar(tag, step, value),
            State::Waiting => EventFile::create(&self.folder).and_then(|mut file| {
                file.scalar(tag, step, value)?;
                *state = State::Open(file);
                Ok(())
            }),
        };
        if let Err(problem) = written {
            *state = State::Failed;
            self.inner.say(&format!("no more curves for TensorBoard: {problem}"));
        }
    }
}

impl Progress for Curves<'_> {
    fn stage(&self, name: &str, total: u64) {
        self.inner.stage(name, total);
    }

    fn measuring(&self, name: &str) {
        self.inner.measuring(name);
    }

    fn advance(&self, done: u64, note: &str) {
        self.inner.advance(done, note);
    }

    fn say(&self, line: &str) {
        self.inner.say(line);
    }

    fn record(&self, pace: Pace, tag: &str, step: u64, value: f64) {
        if pace == Pace::Seldom || step <= DENSE_UNTIL || step.is_multiple_of(10) {
            self.write(tag, step, value);
        }
        self.inner.record(pace, tag, step, value);
    }
}

/// One file of events that grows; not renamed into place like results, because TensorBoard reads it meanwhile. Every event is
/// handed to the system at once: a training that is killed goes on from its last checkpoint, and never records again what came
/// before.
struct EventFile {
    path: PathBuf,
    out: File,
}

impl EventFile {
    /// A new file in `folder`, beside those of earlier starts.
    fn create(folder: &Path) -> Result<Self> {
        fsio::create_dir(folder)?;
        let seconds = now_s() as u64;
        let (path, file) = (0..)
            .map(|n| folder.join(format!("events.out.tfevents.{seconds:010}.{}.{n}", std::process::id())))
            .find_map(|path| match File::create_new(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => None,
                other => Some((path, other)),
            })
            .expect("some number is free");
        let out = file.map_err(|e| Error::io(&path, "create", e))?;
        let mut file = Self { path, out };
        file.event(0, What::FileVersion("brain.Event:2".to_owned()))?;
        Ok(file)
    }

    fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let value = Value { tag: tag.to_owned(), kind: Some(Kind::SimpleValue(value as f32)) };
        self.event(step, What::Summary(Summary { value: vec![value] }))
    }

    fn event(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event { wall_time: now_s(), step: step as i64, what: Some(what) };
        self.out.write_all(&record(&event.encode_to_vec())).map_err(|e| Error::io(&self.path, "write", e))
    }
}

fn now_s() -> f64 {
    calendar::now_since_1970().as_secs_f64()
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let [of_length, of_content] = [&length, content].map(|bytes| masked_crc(bytes).to_le_bytes());
    [&length, &of_length[..], content, &of_content].concat()
}

/// TensorFlow's mask keeps the checksum of a text that holds its own checksum from being trivial.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), the reversed polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
    }

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        let out = record(&[7; 24]);
        // From `RecordWriter` of tensorboard 2.21.
        assert_eq!(out[..8], 24u64.to_le_bytes());
        assert_eq!(out[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(out[12..36], [7; 24]);
        assert_eq!(out[36..], [0x7d, 0x9a, 0x83, 0xa1]);
    }

    #[test]
    fn a_value_of_0_is_written() {
        let value = Value { tag: "a".to_owned(), kind: Some(Kind::SimpleValue(0.0)) };
        assert_eq!(value.encode_to_vec(), [0x0a, 1, b'a', 0x15, 0, 0, 0, 0]);
    }

    #[test]
    fn every_start_has_a_file_of_its_own_and_nothing_recorded_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let curves = folder.path().join("teacher");
        drop(Curves::new(&Silent, &curves));
        assert!(!curves.exists());
        for _ in 0..2 {
            Curves::new(&Silent, &curves).record(Pace::Seldom, "a", 1, 2.0);
        }
        assert_eq!(std::fs::read_dir(&curves).unwrap().count(), 2);
    }

    #[test]
    fn a_point_is_there_as_soon_as_it_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let curves = Curves::new(&Silent, folder.path());
        for step in 1..=3 {
            curves.record(Pace::Seldom, "a", step, 2.0);
            assert_eq!(read(folder.path()).unwrap()["a"].len() as u64, step);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said_once() {
        struct Said(Mutex<Vec<String>>);
        impl Progress for Said {
            fn stage(&self, _: &str, _: u64) {}
            fn measuring(&self, name: &str) {
                self.say(name);
            }
            fn advance(&self, _: u64, _: &str) {}
            fn say(&self, line: &str) {
                self.0.lock().unwrap().push(line.to_owned());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not a folder");
        std::fs::write(&file, "").unwrap();
        let said = Said(Mutex::new(Vec::new()));
        let curves = Curves::new(&said, &file);
        curves.record(Pace::Seldom, "a", 1, 2.0);
        curves.record(Pace::Seldom, "a", 2, 2.0);
        // What nothing may be drawn during is not taken for a stage.
        curves.measuring("another process");
        let said = said.0.lock().unwrap();
        assert!(said.len() == 2 && said[0].contains("not a folder"), "{said:?}");
        assert_eq!(said[1], "another process");
    }
}
