//! What the system lets this process have: processors' time, memory, files, threads, room on the disk. Read as Linux says it; what a
//! system does not tell is absent, and so is what it does not limit.

use super::environment::{cores, keyed, kibibytes};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What this process may have.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SystemLimits {
    /// Cores that affinity and control group leave to it, in whole ones.
    pub cores: usize,
    /// The control group's share of the processors' time, in processors; it may be no whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota_cores: Option<f64>,
    /// Memory that the system could give without swapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// The least limit of the control groups around this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// `ulimit -v`: addresses, which stores and tables on the disk take too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space_bytes: Option<u64>,
    /// `ulimit -n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// `ulimit -u`, or what the control groups allow where that is less: threads count as processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Where room was looked for.
    pub folder: PathBuf,
    /// What is left there for a user like this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// The folder for temporary files (TMPDIR).
    pub temporary_folder: PathBuf,
    /// What is left there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporary_free_bytes: Option<u64>,
}

impl SystemLimits {
    /// Of this process, and of a disk that has `folder` or is to have it.
    pub fn current(folder: &Path) -> Self {
        let ulimits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let groups = Groups::of_this_process();
        let temporary_folder = std::env::temp_dir();
        Self {
            cores: cores(),
            cpu_quota_cores: groups.cpu_quota_cores(),
            memory_available_bytes: available_bytes(),
            memory_limit_bytes: groups.least("memory.max", "memory/memory.limit_in_bytes"),
            address_space_bytes: ulimit(&ulimits, "Max address space"),
            open_files: ulimit(&ulimits, "Max open files"),
            processes: [ulimit(&ulimits, "Max processes"), groups.least("pids.max", "pids/pids.max")]
                .into_iter()
                .flatten()
                .min(),
            folder: folder.to_owned(),
            disk_free_bytes: disk_free_bytes(folder),
            temporary_free_bytes: disk_free_bytes(&temporary_folder),
            temporary_folder,
        }
    }

    /// Memory that is left for this process: what the system has, or the control group allows.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_available_bytes.into_iter().chain(self.memory_limit_bytes).min()
    }
}

/// Memory that the system could give without swapping.
fn available_bytes() -> Option<u64> {
    keyed("/proc/meminfo", "MemAvailable").and_then(|text| kibibytes(&text))
}

/// A soft limit in `/proc/self/limits`; none where it is unlimited.
fn ulimit(limits: &str, name: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The control groups that a process is in: its own and all around it, whose limits all hold.
struct Groups {
    /// Where the hierarchy is mounted.
    root: PathBuf,
    /// The own group, from there.
    own: PathBuf,
}

/// What version 1 says for no limit is a number near 2⁶³.
const NO_LIMIT: u64 = 1 << 60;

impl Groups {
    fn of_this_process() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        Self { root: "/sys/fs/cgroup".into(), own: own.into() }
    }

    /// What every group says in the file `name`, the own one first. Containers see theirs at the root.
    fn each(&self, name: &str) -> impl Iterator<Item = String> {
        let own = self.own.ancestors().map(|group| self.root.join(group).join(name));
        own.filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().into_iter()
    }

    /// The least number that they state in `name`, or that version 1 has in its one file.
    fn least(&self, name: &str, version1: &str) -> Option<u64> {
        let version1 = fs::read_to_string(self.root.join(version1)).ok();
        let stated = self.each(name).chain(version1).filter_map(|text| text.trim().parse::<u64>().ok());
        stated.filter(|&limit| limit < NO_LIMIT).min()
    }

    /// The least share of time: µs of quota in a period.
    fn cpu_quota_cores(&self) -> Option<f64> {
        let share = |text: String| {
            let (quota, period) = text.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        };
        let version1 = || {
            let of = |name| fs::read_to_string(self.root.join(format!("cpu/cpu.cfs_{name}_us"))).ok();
            let share = share(format!("{} {}", of("quota")?.trim(), of("period")?.trim()))?;
            (share > 0.0).then_some(share)
        };
        self.each("cpu.max").filter_map(share).chain(version1()).reduce(f64::min)
    }
}

/// What is left on the disk that holds `folder`, or that would: of the nearest folder that is there.
pub fn disk_free_bytes(folder: &Path) -> Option<u64> {
    let absolute = std::path::absolute(folder).ok()?;
    free(absolute.ancestors().find(|folder| folder.exists())?)
}

#[cfg(target_os = "linux")]
fn free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: the type is a struct of integers, for which zeros are a value.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero and, as `found`, outlives the call.
    let got = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) };
    (got == 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Other systems have another call for it.
#[cfg(not(target_os = "linux"))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             63204                63204                processes \n\
                    Max open files            1024                 524288               files     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        let names = ["Max open files", "Max processes", "Max address space", "Max pending signals"];
        assert_eq!(names.map(|name| ulimit(text, name)), [Some(1024), Some(63204), None, None]);
    }

    #[test]
    fn the_least_limit_of_all_groups_around_a_process_holds() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups { root: folder.path().to_owned(), own: "outer/inner".into() };
        assert_eq!((groups.least("memory.max", "none"), groups.cpu_quota_cores()), (None, None));
        for (group, memory, cpu) in [("outer/inner", "max", "150000 100000"), ("outer", "4096", "max 100000")]
        {
            let group = folder.path().join(group);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("memory.max"), memory.to_owned() + "\n").unwrap();
            fs::write(group.join("cpu.max"), cpu.to_owned() + "\n").unwrap();
        }
        assert_eq!((groups.least("memory.max", "none"), groups.cpu_quota_cores()), (Some(4096), Some(1.5)));
        // Version 1, with its word for no limit.
        fs::write(folder.path().join("v1"), "9223372036854771712\n").unwrap();
        assert_eq!(groups.least("nothing", "v1"), None);
        fs::write(folder.path().join("v1"), "512\n").unwrap();
        assert_eq!(groups.least("memory.max", "v1"), Some(512));
    }

    #[test]
    fn room_is_that_of_the_nearest_folder_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let found = SystemLimits::current(&folder.path().join("not/yet/there"));
        assert_eq!(found.disk_free_bytes.is_some(), cfg!(target_os = "linux"));
        assert!(found.disk_free_bytes.is_none_or(|bytes| bytes > 0));
        assert!(!folder.path().join("not").exists(), "nothing is made");
        let both =
            SystemLimits { memory_available_bytes: Some(9), memory_limit_bytes: Some(5), ..found.clone() };
        assert_eq!(both.memory_bytes(), Some(5));
        assert_eq!(
            SystemLimits { memory_available_bytes: None, memory_limit_bytes: None, ..found }.memory_bytes(),
            None
        );
    }
}
