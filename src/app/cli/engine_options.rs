//! `--engine-option`: settings that one runtime has and others have not.

use crate::{
    base::{Result, names::EngineName},
    measure::engine::EngineSettings,
};
use clap::{Args, ValueHint};

#[derive(Debug, Args)]
pub struct EngineOptionArgs {
    /// A setting of one engine; may be repeated. tract: plan; ONNX Runtime: spinning, arena, memory_pattern,
    /// graph_optimization, io_binding, tensorrt_cache. `doctor` shows their values
    #[arg(long = "engine-option", value_name = "KEY=VALUE", value_hint = ValueHint::Other)]
    options: Vec<String>,
}

impl EngineOptionArgs {
    /// The settings of the engines that will be measured.
    pub fn settings(&self, engines: &[EngineName]) -> Result<EngineSettings> {
        let mut settings = EngineSettings::DEFAULT;
        self.options.iter().try_for_each(|option| settings.set(option, engines))?;
        Ok(settings)
    }
}
