//! What this machine has, with the fix for what is missing, and how fast it is.

use crate::{
    base::{
        Result, fsio,
        names::{EngineName, Provider},
    },
    measure::{
        engine::{EngineSettings, Setting, engine},
        environment::Environment,
        limits::SystemLimits,
        machine::{self, Effort, MachineSpeed, OverRounds},
        store::{StoreChoice, StoreKind},
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Findings {
    /// Version of this layout.
    pub schema_version: u32,
    /// Every runtime that this program knows.
    pub engines: Vec<EngineFinding>,
    /// Every kind of store, and those that were named.
    pub stores: Vec<StoreFinding>,
    /// What the system lets this process have.
    pub limits: SystemLimits,
    /// The machine and the program.
    pub environment: Environment,
    /// What was measured; absent where that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<MachineSpeed>,
    /// What makes timings on this machine doubtful, or a run fail, each with its fix.
    pub warnings: Vec<String>,
}

/// A runtime.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EngineFinding {
    /// Its name.
    pub engine: EngineName,
    /// Whether it can be used.
    pub available: bool,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it can compute.
    pub providers: Vec<Provider>,
    /// Providers that this program knows and the runtime was built without, each with its fix.
    pub missing_providers: Vec<MissingProvider>,
    /// What `replay --engine-option` can set.
    pub options: Vec<OptionFinding>,
    /// What is missing, and its fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A provider that a runtime was built without.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MissingProvider {
    /// Its name.
    pub provider: Provider,
    /// What to do about it.
    pub fix: &'static str,
}

/// A setting of a runtime.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OptionFinding {
    /// Its name.
    pub key: &'static str,
    /// What may be written for it.
    pub values: &'static str,
    /// What it is unless it is set.
    pub default: String,
}

/// A kind of store, or one that was named.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoreFinding {
    /// As `--store` has it.
    pub store: String,
    /// What kind it is.
    pub kind: StoreKind,
    /// Whether it can be used.
    pub available: bool,
    /// Rows of users, items and pairs that one that was named holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<[u64; 3]>,
    /// What is missing, and its fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where ONNX Runtime's providers for a device come from.
const DEVICE_FIX: &str = "./scripts/gpu fetches a library that has it, for a machine with an NVIDIA GPU; or set \
                          ORT_DYLIB_PATH to one";

/// Where a Redis server is that nobody has named.
const USUAL_SERVER: &str = "redis://127.0.0.1:6379";

/// Below this a run of the default space may not fit.
const ENOUGH_MEMORY_BYTES: u64 = 4 << 30;
/// Below this the weights, tables and ONNX files of a run may not fit.
const ENOUGH_DISK_BYTES: u64 = 2 << 30;
/// Data of many files, children and their pipes are open at once.
const ENOUGH_FILES: u64 = 256;
/// Threads of a training and of the measuring processes.
const ENOUGH_PROCESSES: u64 = 128;
/// Data, stores and tables of embeddings are mapped.
const ENOUGH_ADDRESSES: u64 = 64 << 30;

/// A steady machine's fastest round is no more than this many times its slowest.
const UNSTEADY: f64 = 1.5;

/// Whether the machine is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measuring {
    /// It is.
    Full,
    /// It is not: what there is is told at once.
    None,
}

/// Looks at the machine, at the disk of `folder`, and at these stores beside one of every kind.
pub fn examine(folder: &Path, stores: &[StoreChoice], measuring: Measuring) -> Result<Findings> {
    let environment = Environment::current()?;
    let limits = SystemLimits::current(folder);
    let usual = [
        StoreChoice::Memory("STORE".into()),
        StoreChoice::Embedded("STORE".into()),
        USUAL_SERVER.parse().expect("an address of a server"),
    ];
    let speed = (measuring == Measuring::Full).then(|| machine::measure(&Effort::of_this_machine()));
    let any = usual.iter().map(any_store).chain(stores.iter().map(named_store)).collect();
    Ok(Findings {
        schema_version: 2,
        engines: [EngineName::Tract, EngineName::OnnxRuntime].map(examine_engine).into(),
        stores: any,
        warnings: [warnings(&environment, &limits), speed.iter().flat_map(unsteady).collect()].concat(),
        limits,
        environment,
        speed,
    })
}

fn examine_engine(name: EngineName) -> EngineFinding {
    let options = options(name);
    match engine(name) {
        Ok(engine) => EngineFinding {
            engine: name,
            available: true,
            version: Some(engine.version()),
            missing_providers: missing(name, &engine.providers()),
            providers: engine.providers(),
            options,
            problem: None,
        },
        Err(error) => EngineFinding {
            engine: name,
            available: false,
            version: None,
            missing_providers: Vec::new(),
            providers: Vec::new(),
            options,
            problem: Some(error.to_string()),
        },
    }
}

/// Only ONNX Runtime can have others than the CPU.
fn missing(name: EngineName, providers: &[Provider]) -> Vec<MissingProvider> {
    let known = Provider::ALL.iter().copied().filter(|_| name == EngineName::OnnxRuntime);
    let absent = known.filter(|provider| !providers.contains(provider));
    absent.map(|provider| MissingProvider { provider, fix: DEVICE_FIX }).collect()
}

fn options(name: EngineName) -> Vec<OptionFinding> {
    let finding = |setting: &Setting| OptionFinding {
        key: setting.key,
        values: setting.values,
        default: setting.value(&EngineSettings::DEFAULT),
    };
    Setting::all().filter(|setting| setting.engine == name).map(finding).collect()
}

fn finding(store: &StoreChoice, rows: Result<Option<[u64; 3]>>, fix: &str) -> StoreFinding {
    let problem = rows.as_ref().err().map(|error| format!("{error}{fix}"));
    StoreFinding {
        store: store.to_string(),
        kind: store.kind().unwrap_or(StoreKind::Memory),
        available: problem.is_none(),
        rows: rows.ok().flatten(),
        problem,
    }
}

/// Whether stores of this kind can be used, whichever they are.
fn any_store(store: &StoreChoice) -> StoreFinding {
    let fix = match store.kind() {
        Some(StoreKind::Redis) => {
            "; `redis-server` starts one here (./scripts/setup-redis installs it), `doctor --store` asks another"
        }
        _ => "",
    };
    finding(store, store.trial().map(|()| None), fix)
}

/// What one that was named holds.
fn named_store(store: &StoreChoice) -> StoreFinding {
    finding(store, store.look().map(|(held, _)| Some([held.users, held.items, held.pairs])), "")
}

/// Where the same work took much longer in one round than in another.
fn unsteady(speed: &MachineSpeed) -> Vec<String> {
    let found = [("on one thread", &speed.one_thread), ("on all threads", &speed.all_threads)];
    let unsteady = found.into_iter().filter(|(_, found)| {
        let OverRounds { least, most, .. } = found.gemm_gflops;
        most > UNSTEADY * least
    });
    let told = unsteady.map(|(how, found)| {
        let OverRounds { least, most, .. } = found.gemm_gflops;
        format!(
            "products of matrices {how} ran at {least:.0} to {most:.0} Gflop/s, so timings here are doubtful: end what else runs on \
             this machine, and ask again"
        )
    });
    told.collect()
}

fn warnings(environment: &Environment, limits: &SystemLimits) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    if environment.cores < 2 {
        warn("one core: the generator and the engine disturb each other; give the process two".to_owned());
    }
    if let Some(quota) = limits.cpu_quota_cores.filter(|&quota| quota < environment.cores as f64) {
        warn(format!(
            "the control group gives the time of {quota:.2} processors to {} of them, and stops all threads when it is used up: \
             run with no more threads and workers together, or raise it (`docker run --cpus`)",
            environment.cores
        ));
    }
    if let Some(governor) = environment.governor.as_deref().filter(|&governor| governor != "performance") {
        warn(format!(
            "the frequency governor is `{governor}`, so the clock moves while timing; \
             set it with `cpupower frequency-set -g performance`"
        ));
    }
    if environment.memory_bytes.is_some_and(|bytes| bytes < ENOUGH_MEMORY_BYTES) {
        warn("less than 4 GiB of memory: choose a smaller batch_size and space".to_owned());
    } else if let Some(bytes) = limits.memory_bytes().filter(|&bytes| bytes < ENOUGH_MEMORY_BYTES) {
        warn(format!(
            "{} of memory are left: end other programs, raise the limit of the container (`docker run --memory`), or encode the data \
             with `data encode`",
            gib(bytes)
        ));
    }
    if let Some(bytes) = limits.address_space_bytes.filter(|&bytes| bytes < ENOUGH_ADDRESSES) {
        warn(format!(
            "`ulimit -v` leaves {} of addresses, and data and stores are mapped: `ulimit -v unlimited`",
            gib(bytes)
        ));
    }
    if let Some(files) = limits.open_files.filter(|&files| files < ENOUGH_FILES) {
        warn(format!("`ulimit -n` is {files}: `ulimit -n 1024`"));
    }
    if let Some(processes) = limits.processes.filter(|&processes| processes < ENOUGH_PROCESSES) {
        warn(format!(
            "{processes} processes and threads are allowed: raise `ulimit -u`, or the limit of the container (`docker run --pids-limit`)"
        ));
    }
    if let Err(error) = fsio::check_folder(&limits.folder) {
        warn(format!("runs cannot be written: {error}"));
    }
    for (folder, free, fix) in [
        (&limits.folder, limits.disk_free_bytes, "name a folder on another disk with --out"),
        (&limits.temporary_folder, limits.temporary_free_bytes, "set TMPDIR to a folder on another disk"),
    ] {
        if let Some(bytes) = free.filter(|&bytes| bytes < ENOUGH_DISK_BYTES) {
            warn(format!("{} are free in {}: {fix}", gib(bytes), folder.display()));
        }
    }
    warnings
}

/// Bytes in words.
pub fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_is_short_is_named_with_its_fix() {
        let mut environment = Environment { cores: 4, ..Environment::default() };
        let mut limits = SystemLimits {
            cores: 4,
            cpu_quota_cores: Some(4.0),
            memory_available_bytes: Some(64 << 30),
            memory_limit_bytes: None,
            address_space_bytes: None,
            open_files: Some(1024),
            processes: Some(60_000),
            folder: "runs".into(),
            disk_free_bytes: Some(100 << 30),
            temporary_folder: "/tmp".into(),
            temporary_free_bytes: Some(100 << 30),
        };
        assert_eq!(warnings(&environment, &limits), Vec::<String>::new());
        environment.cores = 1;
        environment.governor = Some("powersave".into());
        limits.cpu_quota_cores = Some(0.5);
        limits.memory_limit_bytes = Some(1 << 30);
        limits.address_space_bytes = Some(1 << 30);
        (limits.open_files, limits.processes) = (Some(64), Some(20));
        (limits.disk_free_bytes, limits.temporary_free_bytes) = (Some(1 << 20), Some(1 << 20));
        let said = warnings(&environment, &limits);
        for (said, fix) in said.iter().zip([
            "give the process two",
            "docker run --cpus",
            "cpupower",
            "docker run --memory",
            "ulimit -v unlimited",
            "ulimit -n 1024",
            "--pids-limit",
            "free in runs: name a folder on another disk",
            "free in /tmp: set TMPDIR",
        ]) {
            assert!(said.contains(fix), "{fix}: {said}");
        }
        assert_eq!(said.len(), 9, "{said:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_and_rounds_that_lie_far_apart_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said =
            warnings(&Environment { cores: 2, ..Environment::default() }, &SystemLimits::current(&file));
        assert!(said.iter().any(|said| said.contains("runs cannot be written: cannot create a folder at")));
        let mut speed = machine::measure(&Effort {
            least_rounds: 1,
            most_rounds: 1,
            matrix: 16,
            memory_bytes: 1 << 16,
            sleeps: 1,
            ..Effort::of_this_machine()
        });
        let mut told = |least| {
            let steady = OverRounds { median: 100.0, least: 90.0, most: 110.0, count: 3 };
            speed.one_thread.gemm_gflops = steady;
            speed.all_threads.gemm_gflops = OverRounds { least, ..steady };
            unsteady(&speed)
        };
        assert_eq!(told(80.0), Vec::<String>::new());
        let said = told(70.0);
        assert!(said.len() == 1 && said[0].contains("on all threads ran at 70 to 110 Gflop/s"), "{said:?}");
    }

    #[test]
    fn stores_in_this_process_are_there_and_a_server_that_is_not_is_named_with_its_fix() {
        for choice in [StoreChoice::Memory("x".into()), StoreChoice::Embedded("x".into())] {
            let found = any_store(&choice);
            assert!(found.available && found.problem.is_none(), "{found:?}");
        }
        // A port that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let found = any_store(&format!("redis://{free}").parse().unwrap());
        assert!(
            !found.available && found.problem.as_ref().unwrap().contains("./scripts/setup-redis"),
            "{found:?}"
        );
        let found = named_store(&StoreChoice::Embedded("nowhere".into()));
        assert!(!found.available && found.problem.as_ref().unwrap().contains("nowhere"), "{found:?}");
    }
}
