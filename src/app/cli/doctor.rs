//! `doctor`: what this machine has, with the fix for what is missing, and how fast it is.

use super::{
    output::{self, Format},
    store_name::StoreName,
};
use crate::{
    app::doctor::{EngineFinding, Findings, Measuring, StoreFinding, examine, gib},
    measure::{
        environment::Environment,
        limits::SystemLimits,
        machine::{MachineSpeed, OverRounds, Throughput},
        store::StoreChoice,
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench doctor
  autofas-bench doctor --json > machine.json
  autofas-bench doctor --folder /data/runs --store redis://10.0.0.7 --quick

The measurements take about five seconds. They tell why times of two machines differ: by their arithmetic, their memory, or \
                  their clock. Each is a median with its least and most over several rounds; where these lie far apart, something \
                  else runs here.")]
pub struct DoctorArgs {
    /// Where runs will be written: what is free there is told
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// A store that replays will fetch from: what it holds is told; may be repeated
    #[arg(long, value_name = "STORE", value_parser = StoreName)]
    store: Vec<StoreChoice>,
    /// Measure nothing
    #[arg(long)]
    quick: bool,
}

impl DoctorArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let measuring = if self.quick { Measuring::None } else { Measuring::Full };
        output::print(format, &examine(&self.folder, &self.store, measuring)?, describe)
    }
}

/// A line with what it is about.
fn line(about: &str, text: impl std::fmt::Display) -> String {
    format!("{about:<12} {text}")
}

fn describe(findings: &Findings) -> String {
    let mut lines = Vec::new();
    findings.engines.iter().for_each(|engine| lines.extend(engine_lines(engine)));
    lines.extend(findings.stores.iter().map(store_line));
    lines.extend(machine_lines(&findings.environment));
    lines.extend(limit_lines(&findings.limits));
    lines.extend(findings.speed.iter().flat_map(speed_lines));
    lines.extend(findings.warnings.iter().map(|warning| line("warning", warning)));
    lines.join("\n")
}

fn engine_lines(finding: &EngineFinding) -> Vec<String> {
    let name = finding.engine.name();
    let mut lines = vec![match (&finding.version, &finding.problem) {
        (Some(version), _) => {
            let providers: Vec<_> = finding.providers.iter().map(|provider| provider.name()).collect();
            line(name, format!("{version}, providers: {}", providers.join(", ")))
        }
        (None, problem) => line(name, format!("MISSING: {}", problem.as_deref().unwrap_or("unknown"))),
    }];
    let missing = finding.missing_providers.iter();
    lines.extend(missing.map(|missing| line("", format!("  without {}: {}", missing.provider, missing.fix))));
    let options = finding.options.iter();
    lines.extend(
        options.map(|option| line("", format!("  {}={} (of {})", option.key, option.default, option.values))),
    );
    lines
}

fn store_line(finding: &StoreFinding) -> String {
    let found = match (&finding.problem, finding.rows) {
        (Some(problem), _) => format!("MISSING: {problem}"),
        (None, Some([users, items, pairs])) => format!("holds {users} users, {items} items, {pairs} pairs"),
        (None, None) => "can be used".to_owned(),
    };
    line("store", format!("{} {found}", finding.store))
}

fn machine_lines(environment: &Environment) -> Vec<String> {
    let unknown = || "unknown".to_owned();
    let mut lines = vec![
        line("cpu", environment.cpu.clone().unwrap_or_else(unknown)),
        line("threads", environment.cores),
        line("memory", environment.memory_bytes.map_or_else(unknown, gib)),
    ];
    lines.extend(environment.gpus.iter().map(|gpu| line("gpu", gpu)));
    lines.push(line("host", format!("{} (in latency tables)", environment.host)));
    lines.push(line("program", &environment.program_version));
    lines
}

fn limit_lines(limits: &SystemLimits) -> Vec<String> {
    let none = || "no limit".to_owned();
    let count = |value: Option<u64>| value.map_or_else(none, |value| value.to_string());
    let unknown = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), gib);
    let quota = limits.cpu_quota_cores.map_or_else(none, |cores| format!("{cores:.2} processors"));
    vec![
        line("limits", format!("processors' time of the control group: {quota}")),
        line(
            "",
            format!(
                "memory: {} available; control group: {}",
                unknown(limits.memory_available_bytes),
                limits.memory_limit_bytes.map_or_else(none, gib)
            ),
        ),
        line("", format!("addresses (ulimit -v): {}", limits.address_space_bytes.map_or_else(none, gib))),
        line("", format!("open files (ulimit -n): {}", count(limits.open_files))),
        line("", format!("processes and threads (ulimit -u, control group): {}", count(limits.processes))),
        line("", format!("free in {}: {}", place(&limits.folder), unknown(limits.disk_free_bytes))),
        line(
            "",
            format!(
                "free in {} (TMPDIR): {}",
                limits.temporary_folder.display(),
                unknown(limits.temporary_free_bytes)
            ),
        ),
    ]
}

/// A folder, with a word where it has to be made yet.
fn place(folder: &Path) -> String {
    let there = if folder.exists() { "" } else { " (which is not there yet)" };
    format!("{}{there}", folder.display())
}

fn speed_lines(speed: &MachineSpeed) -> Vec<String> {
    let MachineSpeed { one_thread, all_threads, timer, wake_up, seconds, .. } = speed;
    let row = |name: &str, unit: &str, spread: OverRounds| {
        let number = |value: f64| format!("{value:.*}", if value < 10.0 { 2 } else { 1 });
        let OverRounds { median, least, most, .. } = spread;
        vec![name.to_owned(), number(median), number(least), number(most), unit.to_owned()]
    };
    let threads = |found: &Throughput, by: &str| {
        vec![
            row(&format!("products of f32 matrices, {by}"), "Gflop/s", found.gemm_gflops),
            row(&format!("reading memory, {by}"), "GB/s", found.read_gb_per_s),
            row(&format!("copying memory, {by}"), "GB/s", found.copy_gb_per_s),
        ]
    };
    let mut rows = threads(one_thread, "1 thread");
    rows.extend(threads(all_threads, &format!("{} threads", all_threads.threads)));
    rows.push(row("asking for the time", "ns", timer.cost_ns));
    rows.push(row("smallest step of the clock", "ns", timer.resolution_ns));
    rows.push(row(&format!("waking late from {} µs of sleep", wake_up.asked_us), "µs", wake_up.late_us));
    let table = output::table(&["measured", "median", "least", "most", ""], &rows);
    let rounds = one_thread.gemm_gflops.count;
    let mut lines: Vec<String> = vec![String::new()];
    lines.extend(table.lines().map(str::to_owned));
    lines.push(format!("in {rounds} rounds and {seconds:.1} s"));
    lines.push(String::new());
    lines
}
