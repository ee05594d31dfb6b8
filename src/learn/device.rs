//! Where networks are trained: main memory, or a CUDA device in a build with the feature `cuda`.
//!
//! A process trains on one device, chosen once before anything is trained. Dense layers, Mixops, θ and α live there; embedding
//! tables stay in main memory, where rows are looked up and moved, and a batch's embeddings and their gradient travel. The
//! custom operations of [`super::ops`] are for the CPU; on another device each runs as the plain candle operations that the
//! tests compare it with. No test runs on a CUDA device.

use super::Learn;
use crate::base::{Error, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// `[training]` of the experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSettings {
    /// Where all networks are trained. Engines have a provider of their own.
    pub device: TrainDevice,
}

/// A device to train on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainDevice {
    /// Main memory and all cores.
    #[default]
    Cpu,
    /// The first CUDA device that the process sees.
    Cuda,
}

static CPU: Device = Device::Cpu;
static CHOSEN: OnceLock<Device> = OnceLock::new();

/// Trains on this device from now on. May be called again with the same one.
pub fn choose(wanted: TrainDevice) -> Result<()> {
    let found = match wanted {
        TrainDevice::Cpu => Device::Cpu,
        TrainDevice::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0).learn("open the CUDA device")?,
        TrainDevice::Cuda => {
            return Err(Error::usage(
                "[training] device is cuda, and this program was built without CUDA",
                "build it with `--features cuda`, or set device = \"cpu\" in [training]",
            ));
        }
    };
    if CHOSEN.get_or_init(|| found.clone()).is_cpu() == found.is_cpu() {
        return Ok(());
    }
    Err(Error::usage("this process trains on another device already", "start a process for each device"))
}

/// The chosen device; the CPU while none is.
pub(super) fn device() -> &'static Device {
    CHOSEN.get().unwrap_or(&CPU)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_refuses_it_and_says_how_to_get_it() {
        let text = choose(TrainDevice::Cuda).unwrap_err().to_string();
        assert!(text.contains("--features cuda"), "{text}");
        choose(TrainDevice::Cpu).unwrap();
        assert!(device().is_cpu());
    }
}
