//! NVIDIA devices and their driver, as the driver's own files tell.

use super::{keyed, line};
use std::{fs, path::Path};

/// Where the driver tells of itself.
pub(super) const DRIVER: &str = "/proc/driver/nvidia";

/// Name of every device with the driver's version, in the order of their bus addresses; empty without a driver.
pub(super) fn gpus(driver: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(driver.join("gpus")) else {
        return Vec::new();
    };
    let version = line(driver.join("version")).and_then(|text| version(&text));
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let names = folders.iter().filter_map(|folder| keyed(folder.join("information"), "Model"));
    names
        .map(|name| match &version {
            Some(version) => format!("{name}, driver {version}"),
            None => name,
        })
        .collect()
}

/// The first word of numbers and dots, among words such as `x86_64`.
fn version(text: &str) -> Option<String> {
    let numbers = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(numbers).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_is_named_with_the_version_of_the_driver() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(gpus(folder.path()), Vec::<String>::new());
        for (bus, name) in [("0000:41:00.0", "NVIDIA B"), ("0000:01:00.0", "NVIDIA A")] {
            let device = folder.path().join("gpus").join(bus);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("information"), format!("Model: \t\t {name}\nIRQ:   \t\t 41\n")).unwrap();
        }
        assert_eq!(gpus(folder.path()), ["NVIDIA A", "NVIDIA B"]);
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\n\
                    GCC version:  gcc version 15.3.0 (GCC)\n";
        fs::write(folder.path().join("version"), text).unwrap();
        assert_eq!(gpus(folder.path()), ["NVIDIA A, driver 580.159.04", "NVIDIA B, driver 580.159.04"]);
    }
}
