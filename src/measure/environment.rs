//! On what something was measured: processor, cores given to this process, memory, kernel, program.

mod gpus;
mod software;

use crate::base::{Error, Result, hash};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The machine and the program of a measurement. What the system does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Short hash of processor model and instruction sets, cores and operating system: the host in a latency table's key.
    pub host: String,
    /// The processor's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Those of its instruction sets that decide how fast networks run, of every processor's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instruction_sets: Vec<String>,
    /// Processors that affinity leaves to this process, in the kernel's list form such as `0-3,7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// What the control group lets all its processes use of the processors' time, as its file says it: µs of quota and of
    /// the period that it is for, or `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<String>,
    /// Cores that affinity and control group leave to this process.
    pub cores: usize,
    /// Processors that the measuring threads were confined to; absent where the system does not allow that, and where
    /// nothing is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_cores: Option<Vec<usize>>,
    /// Total memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// NVIDIA devices that the system shows, each with the driver's version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Frequency governor of the first core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Version of this crate.
    pub program_version: String,
    /// SHA-256 of the running program.
    pub program_sha256: String,
    /// Versions of the crates that measure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crates: BTreeMap<String, String>,
    /// SHA-256 of the runtimes' libraries that were loaded, by file name; empty where the system does not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub libraries: BTreeMap<String, String>,
}

impl Environment {
    /// Looks at the machine. Fails only when the running program cannot be read.
    pub fn current() -> Result<Self> {
        let os = std::env::consts::OS.to_owned();
        Ok(Self {
            host: host(),
            cpu: keyed(CPUINFO, "model name"),
            instruction_sets: instruction_sets(&fs::read_to_string(CPUINFO).unwrap_or_default()),
            affinity: keyed("/proc/self/status", "Cpus_allowed_list"),
            cpu_quota: cpu_quota(),
            cores: cores(),
            pinned_cores: None,
            memory_bytes: keyed("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)),
            gpus: gpus::gpus(gpus::DRIVER.as_ref()),
            os,
            kernel: line("/proc/sys/kernel/osrelease"),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            program_sha256: hash::sha256_file(&program()?)?,
            crates: software::crates(),
            libraries: software::libraries(),
        })
    }
}

/// The host's name in latency tables, without the cost of a whole [`Environment`].
pub fn host() -> String {
    let cpuinfo = fs::read_to_string(CPUINFO).unwrap_or_default();
    fingerprint(&cpuinfo, cores(), std::env::consts::OS)
}

/// The running program's file: on Linux the very file that runs, whatever was built or put in its place since.
pub fn program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().map_err(|e| Error::io("the running program", "find", e))
}

/// Cores that affinity and control group leave to this process.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const CPUINFO: &str = "/proc/cpuinfo";

/// What tells processors apart, on x86 and on ARM. Names alone do not: an "AMD EPYC" may have AVX-512 or not.
const CPU_KEYS: [&str; 10] = [
    "vendor_id",
    "model name",
    "cpu family",
    "model",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU variant",
    "CPU part",
    "Features",
];

fn fingerprint(cpuinfo: &str, cores: usize, os: &str) -> String {
    // A set, because processors of one machine repeat each other, and those of two kinds stand in any order.
    let lines: BTreeSet<String> = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| CPU_KEYS.contains(&key.trim()))
        .map(|(key, value)| {
            let mut words: Vec<&str> = value.split_whitespace().collect();
            if ["flags", "Features"].contains(&key.trim()) {
                words.sort_unstable();
            }
            format!("{}: {}", key.trim(), words.join(" "))
        })
        .collect();
    let cpu = Vec::from_iter(lines).join("\n");
    let text = format!("{cpu}\n{cores}\n{os}\n{}", std::env::consts::ARCH);
    hash::sha256(text.as_bytes())[..12].to_owned()
}

/// What kernels of networks choose by, on x86 and on ARM.
const INSTRUCTION_SETS: [&str; 22] = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "asimddp",
    "sve",
    "i8mm",
    "bf16",
];

/// Those that every processor has.
fn instruction_sets(cpuinfo: &str) -> Vec<String> {
    let flags: Vec<BTreeSet<&str>> = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| ["flags", "Features"].contains(&key.trim()))
        .map(|(_, value)| value.split_whitespace().collect())
        .collect();
    let everywhere = |set: &&str| !flags.is_empty() && flags.iter().all(|flags| flags.contains(set));
    INSTRUCTION_SETS.into_iter().filter(everywhere).map(str::to_owned).collect()
}

/// Of the control group that this process is in; containers see theirs at the root. Version 2, then version 1.
fn cpu_quota() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let version1 = || {
        let of = |name: &str| line(format!("/sys/fs/cgroup/cpu/cpu.cfs_{name}_us"));
        Some(format!("{} {}", of("quota")?, of("period")?))
    };
    line(format!("/sys/fs/cgroup/{own}/cpu.max")).or_else(|| line("/sys/fs/cgroup/cpu.max")).or_else(version1)
}

fn line(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of the first `key: value` line.
pub(super) fn keyed(path: impl AsRef<Path>, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

pub(super) fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|k| k * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor as Linux describes it.
    fn x86(model: u32, flags: &str) -> String {
        format!(
            "processor\t: 0\nmodel name\t: AMD EPYC\nmodel\t\t: {model}\ncpu MHz\t\t: 2400.1\nflags\t\t: {flags}\n"
        )
    }

    #[test]
    fn the_fingerprint_changes_with_every_part_of_the_host() {
        let base = fingerprint(&x86(1, "avx2 fma"), 2, "linux");
        let arm = |part: &str| format!("CPU implementer : 0x41\nCPU part : {part}\nFeatures : asimd sve\n");
        for other in [
            fingerprint(&x86(1, "avx2 avx512f fma"), 2, "linux"),
            fingerprint(&x86(17, "avx2 fma"), 2, "linux"),
            fingerprint(&x86(1, "avx2 fma"), 3, "linux"),
            fingerprint(&x86(1, "avx2 fma"), 2, "macos"),
            fingerprint("", 2, "linux"),
        ] {
            assert_ne!(base, other);
        }
        assert_ne!(fingerprint(&arm("0xd0c"), 2, "linux"), fingerprint(&arm("0xd40"), 2, "linux"));
    }

    #[test]
    fn the_fingerprint_is_the_same_for_the_same_processors_at_any_moment() {
        let one = x86(1, "avx2 fma");
        let moved = one.replace("2400.1", "1200.7").replace("avx2 fma", "fma avx2");
        assert_eq!(fingerprint(&one, 2, "linux"), fingerprint(&moved, 2, "linux"));
        assert_eq!(fingerprint(&one, 2, "linux"), fingerprint(&format!("{one}\n{one}"), 2, "linux"));
    }

    #[test]
    fn only_instruction_sets_of_every_processor_are_named() {
        let both = format!("{}{}", x86(1, "fpu avx2 fma avx512f"), x86(1, "fma avx2 fpu"));
        assert_eq!(instruction_sets(&both), ["avx2", "fma"]);
        assert_eq!(instruction_sets("Features\t: fp asimd sve\n"), ["asimd", "sve"]);
        assert!(instruction_sets("").is_empty());
    }

    #[test]
    fn keyed_lines_are_found_and_sizes_are_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meminfo");
        fs::write(&path, "MemTotal:       1024 kB\nMemFree: 1 kB\n").unwrap();
        assert_eq!(keyed(&path, "MemTotal").and_then(|t| kibibytes(&t)), Some(1 << 20));
        assert_eq!(keyed(&path, "Swap"), None);
    }

    #[test]
    fn the_current_environment_names_host_and_program() {
        let environment = Environment::current().unwrap();
        assert_eq!(environment.host, host());
        assert_eq!(environment.program_sha256.len(), 64);
        assert!(environment.cores >= 1);
    }
}
