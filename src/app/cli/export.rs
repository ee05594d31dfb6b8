//! `export`: a network of a run as an ONNX package.

use super::output::{self, Format};
use crate::{
    app::{
        config::Override,
        export::{ExportRequest, Exported, export_from_run, plan_export},
        plan::Plan,
    },
    base::{
        Error, Result,
        names::{Embeddings, Layout, PackageForm, Precision, RangeMethod, RowFormat},
        progress::Progress,
    },
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench export --run runs/first --layout concat --out serving/concat
  autofas-bench export --run runs/first --layout item-cached --cache-rows i8 \\
      --out serving/cached
  autofas-bench export --run runs/first --precision int8 --trace peak.parquet \\
      --out serving/int8
  autofas-bench export --run runs/first --package triton --name pre_ranker \\
      --out repository"
)]
pub struct ExportArgs {
    /// Run directory, or the run/ of what `retrain` wrote
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Canonical id, a folder of RUN/networks [default: the run's winner, or its only network]
    #[arg(long, value_name = "ID", visible_aliases = ["subnet", "network"])]
    candidate: Option<String>,
    /// concat, user-once, item-cached, item-cached-f16 or item-cached-i8
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = Layout::UserOnce)]
    layout: Layout,
    /// Rows of the item table of item-cached: f32, f16 or i8 [default: f32]
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    cache_rows: Option<RowFormat>,
    /// Embedding tables inside the graph, or outside for a parameter server
    #[arg(long, hide_possible_values = true, value_name = "WHERE", default_value_t = Embeddings::Inside)]
    embeddings: Embeddings,
    /// Keep the tables of a model with more bytes in model.onnx.data [default: 2 GiB]
    #[arg(long, value_name = "BYTES")]
    external_data_over: Option<u64>,
    /// fp32, fp16 (stored, computed with in fp32) or int8 (dense layers)
    #[arg(long, hide_possible_values = true, value_name = "NAME", default_value_t = Precision::Fp32)]
    precision: Precision,
    /// Rows on which every engine must agree with the reference [default: the run's data]
    #[arg(long, value_name = "D.parquet")]
    data: Option<PathBuf>,
    /// plain, or triton: the next version of a model in a Triton model repository
    #[arg(long, hide_possible_values = true, value_name = "FORM", default_value_t = PackageForm::Plain)]
    package: PackageForm,
    /// What the Triton repository calls the model
    #[arg(long, value_name = "NAME", default_value = "pre_ranker")]
    name: String,
    /// Folder of the package, or the Triton repository
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read and check everything, say what would be done and with how much room, and write nothing
    #[arg(long)]
    dry_run: bool,
    // Last: what follows a group would stand under the group's heading.
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    quantise: QuantiseArgs,
}

/// What int8 takes instead of the run's `[quantise]`.
#[derive(Debug, Args)]
#[command(next_help_heading = "int8")]
struct QuantiseArgs {
    /// Find ranges on the candidates of this trace [default: rows that the run was trained on]
    #[arg(long, value_name = "T")]
    trace: Option<PathBuf>,
    /// Rows that ranges and losses are found on
    #[arg(long, value_name = "N")]
    calibration_rows: Option<u32>,
    /// Methods that ranges are chosen from: min-max, percentile, least-squares
    #[arg(long, hide_possible_values = true, value_name = "NAME,NAME", value_delimiter = ',')]
    ranges: Vec<RangeMethod>,
    /// 8, or 7 for processors without VNNI, whose 16-bit sums 8 bits can overflow
    #[arg(long, value_name = "BITS")]
    weight_bits: Option<u32>,
}

/// What rounding may cost, instead of the run's `[quantise.limits]`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of fp16, int8 and rounded rows")]
struct GateArgs {
    /// The largest |ΔAUC| against fp32
    #[arg(long, value_name = "X")]
    max_auc_change: Option<f64>,
    /// The least share of a list's best in fp32 that stay among its best
    #[arg(long, value_name = "SHARE")]
    min_overlap: Option<f64>,
    /// How many of a list are its best
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
}

impl GateArgs {
    fn overrides(&self) -> Vec<Override> {
        let number = |key: &str, value: Option<f64>| value.map(|v| Override::parse(key, &format!("{v:?}")));
        let all = [
            number("quantise.limits.max_auc_change", self.max_auc_change),
            number("quantise.limits.min_overlap", self.min_overlap),
            self.top_k.map(|k| Override::count("quantise.limits.top_k", k)),
        ];
        all.into_iter().flatten().collect()
    }
}

impl QuantiseArgs {
    fn overrides(&self) -> Vec<Override> {
        let count = |key: &str, value: Option<u32>| value.map(|v| Override::count(key, v));
        let names: Vec<_> = self.ranges.iter().map(|method| format!("\"{method}\"")).collect();
        let methods = Override::parse("quantise.methods", &format!("[{}]", names.join(", ")));
        let all = [
            count("quantise.rows", self.calibration_rows),
            (!names.is_empty()).then_some(methods),
            count("quantise.weight_bits", self.weight_bits),
        ];
        all.into_iter().flatten().collect()
    }
}

impl ExportArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        progress.stage(if self.dry_run { "read and check" } else { "export and prove" }, 0);
        let layout = self.layout()?;
        let Self {
            run,
            candidate,
            embeddings,
            external_data_over,
            precision,
            gate,
            quantise,
            data,
            package,
            name,
            out,
            dry_run,
            ..
        } = self;
        let (overrides, limits, trace) = (quantise.overrides(), gate.overrides(), quantise.trace);
        let request = ExportRequest {
            run,
            candidate,
            layout,
            embeddings,
            external_data_over,
            precision,
            data,
            trace,
            overrides,
            limits,
            package,
            name,
            out,
        };
        match dry_run {
            true => output::print(format, &plan_export(&request)?, Plan::to_string),
            false => {
                if let Some(note) = request.replacing() {
                    progress.say(&note);
                }
                output::print(format, &export_from_run(&request)?, describe)
            }
        }
    }
}

impl ExportArgs {
    fn layout(&self) -> Result<Layout> {
        let Some(rows) = self.cache_rows else { return Ok(self.layout) };
        self.layout.with_rows(rows).ok_or_else(|| {
            let problem = format!("layout {} keeps no rows of items", self.layout);
            Error::usage(problem, "give --layout item-cached, or leave --cache-rows out")
        })
    }
}

fn describe(exported: &Exported) -> String {
    let Exported { subnet, layout, precision, item_table, onnx, parity, .. } = exported;
    let mut text = format!("{subnet} as {layout}, {precision}: {}", onnx.display());
    if let Some(table) = item_table {
        text += &format!("\n{table}");
    }
    for engine in &parity.engines {
        text += &format!(
            "\n{} {}: at most {:.1e} from the reference on {} rows",
            engine.engine, engine.version, engine.max_abs_difference, parity.rows
        );
        if let Some(table) = engine.item_table.filter(|table| table.rows != RowFormat::F32) {
            text +=
                &format!("; rows in {} move scores by at most {:.1e}", table.rows, table.max_abs_rounding);
        }
    }
    if let Some(quantisation) = &exported.quantisation {
        text += &format!("\n{}", quantisation.table());
    }
    for engine in parity.gate.iter().flat_map(|gate| &gate.engines) {
        text += &format!("\n{} {}: {} against fp32", engine.engine, engine.version, engine.loss);
    }
    text
}
