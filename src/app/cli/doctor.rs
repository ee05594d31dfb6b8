//! `doctor`: what this machine has, and the fix for what is missing.

use super::output::{self, Format};
use crate::{
    base::names::{EngineName, Provider},
    measure::{
        engine::{EngineSettings, Setting, engine},
        environment::Environment,
    },
};
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench doctor --json")]
pub struct DoctorArgs {}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    schema_version: u32,
    engines: Vec<EngineFinding>,
    environment: Environment,
    /// What makes timings on this machine doubtful.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EngineFinding {
    engine: EngineName,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    providers: Vec<Provider>,
    /// Providers that this program knows and the runtime was built without, each with its fix.
    missing_providers: Vec<MissingProvider>,
    /// What `replay --engine-option` can set.
    options: Vec<OptionFinding>,
    /// What is missing, and its fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct MissingProvider {
    provider: Provider,
    fix: &'static str,
}

#[derive(Debug, Serialize)]
struct OptionFinding {
    key: &'static str,
    /// What may be written for it.
    values: &'static str,
    default: String,
}

/// Where ONNX Runtime's providers for a device come from.
const DEVICE_FIX: &str = "./scripts/gpu fetches a library that has it, for a machine with an NVIDIA GPU; or set \
                          ORT_DYLIB_PATH to one";

/// Below this a run of the default space may not fit.
const ENOUGH_MEMORY_BYTES: u64 = 4 << 30;

impl DoctorArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let environment = Environment::current()?;
        let engines = [EngineName::Tract, EngineName::OnnxRuntime].map(examine);
        let findings = Findings {
            schema_version: 1,
            warnings: warnings(&environment),
            engines: engines.into(),
            environment,
        };
        output::print(format, &findings, describe)
    }
}

fn examine(name: EngineName) -> EngineFinding {
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

fn warnings(environment: &Environment) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment.cores < 2 {
        warnings.push(
            "one core: the generator and the engine disturb each other; give the process two".to_owned(),
        );
    }
    if let Some(governor) = environment.governor.as_deref().filter(|&governor| governor != "performance") {
        warnings.push(format!(
            "the frequency governor is `{governor}`, so the clock moves while timing; \
             set it with `cpupower frequency-set -g performance`"
        ));
    }
    if environment.memory_bytes.is_some_and(|bytes| bytes < ENOUGH_MEMORY_BYTES) {
        warnings.push("less than 4 GiB of memory: choose a smaller batch_size and space".to_owned());
    }
    warnings
}

fn describe(findings: &Findings) -> String {
    let mut lines = Vec::new();
    for finding in &findings.engines {
        lines.push(match (&finding.version, &finding.problem) {
            (Some(version), _) => {
                let providers: Vec<_> = finding.providers.iter().map(|provider| provider.name()).collect();
                format!("{:<12} {version}, providers: {}", finding.engine, providers.join(", "))
            }
            (None, problem) => {
                format!("{:<12} MISSING: {}", finding.engine, problem.as_deref().unwrap_or("unknown"))
            }
        });
        let missing = finding.missing_providers.iter();
        lines.extend(
            missing.map(|missing| format!("{:<12}   without {}: {}", "", missing.provider, missing.fix)),
        );
        lines.extend(
            finding.options.iter().map(|option| {
                format!("{:<12}   {}={} (of {})", "", option.key, option.default, option.values)
            }),
        );
    }
    let environment = &findings.environment;
    let unknown = || "unknown".to_owned();
    let memory = environment
        .memory_bytes
        .map_or_else(unknown, |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)));
    lines.push(format!("{:<12} {}", "cpu", environment.cpu.clone().unwrap_or_else(unknown)));
    lines.push(format!("{:<12} {}", "threads", environment.cores));
    lines.push(format!("{:<12} {memory}", "memory"));
    lines.extend(environment.gpus.iter().map(|gpu| format!("{:<12} {gpu}", "gpu")));
    lines.push(format!("{:<12} {} (in latency tables)", "host", environment.host));
    lines.push(format!("{:<12} {}", "program", environment.program_version));
    lines.extend(findings.warnings.iter().map(|warning| format!("{:<12} {warning}", "warning")));
    lines.join("\n")
}
