//! On what something was measured: processor, cores given to this process, memory, kernel, program.

use crate::base::{Result, hash};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// The machine and the program of a measurement. What the system does not tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Short hash of processor model, cores and operating system: the host in a latency table's key.
    pub host: String,
    /// The processor's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Cores that affinity and control group leave to this process.
    pub cores: usize,
    /// Total memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
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
}

impl Environment {
    /// Looks at the machine. Fails only when the running program cannot be read.
    pub fn current() -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| crate::base::Error::io("/proc/self/exe", "find", e))
            .and_then(|path| hash::sha256_file(&path))?;
        let cpu = keyed(Path::new("/proc/cpuinfo"), "model name");
        let cores = cores();
        let os = std::env::consts::OS.to_owned();
        Ok(Self {
            host: fingerprint(cpu.as_deref(), cores, &os),
            cpu,
            cores,
            memory_bytes: keyed(Path::new("/proc/meminfo"), "MemTotal").and_then(|text| kibibytes(&text)),
            os,
            kernel: line(Path::new("/proc/sys/kernel/osrelease")),
            governor: line(Path::new("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            program_sha256: program,
        })
    }
}

/// The host's name in latency tables, without the cost of a whole [`Environment`].
pub fn host() -> String {
    let cpu = keyed(Path::new("/proc/cpuinfo"), "model name");
    fingerprint(cpu.as_deref(), cores(), std::env::consts::OS)
}

/// Cores that affinity and control group leave to this process.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn fingerprint(cpu: Option<&str>, cores: usize, os: &str) -> String {
    let text = format!("{}\n{cores}\n{os}\n{}", cpu.unwrap_or("unknown"), std::env::consts::ARCH);
    hash::sha256(text.as_bytes())[..12].to_owned()
}

fn line(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of the first `key: value` line.
fn keyed(path: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|k| k * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_changes_with_every_part_of_the_host() {
        let base = fingerprint(Some("cpu"), 2, "linux");
        assert_eq!(base, fingerprint(Some("cpu"), 2, "linux"));
        for other in [
            fingerprint(Some("cpv"), 2, "linux"),
            fingerprint(Some("cpu"), 3, "linux"),
            fingerprint(Some("cpu"), 2, "macos"),
            fingerprint(None, 2, "linux"),
        ] {
            assert_ne!(base, other);
        }
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
