//! `export`: a network of a run as an ONNX package.

use super::output::{self, Format};
use crate::{
    app::export::{ExportRequest, Exported, export_from_run},
    base::{
        Error, Result,
        names::{Embeddings, Layout, PackageForm, Precision, RowFormat},
        progress::Progress,
    },
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench export --run runs/first --layout concat --out serving/concat
  autofas-bench export --run runs/first --layout item-cached --cache-rows i8 --out serving/cached
  autofas-bench export --run runs/first --package triton --name pre_ranker --out repository")]
pub struct ExportArgs {
    /// Run directory
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Canonical id, a folder of RUN/networks [default: the run's winner]
    #[arg(long, value_name = "ID")]
    candidate: Option<String>,
    /// concat, user-once or item-cached
    #[arg(long, value_name = "NAME", default_value_t = Layout::UserOnce)]
    layout: Layout,
    /// Rows of the item table of item-cached: f32, f16 or i8 [default: f32]
    #[arg(long, value_name = "NAME")]
    cache_rows: Option<RowFormat>,
    /// Embedding tables inside the graph, or outside for a parameter server
    #[arg(long, value_name = "WHERE", default_value_t = Embeddings::Inside)]
    embeddings: Embeddings,
    /// Keep the tables of a model with more bytes in model.onnx.data [default: 2 GiB]
    #[arg(long, value_name = "BYTES")]
    external_data_over: Option<u64>,
    /// fp32
    #[arg(long, value_name = "NAME", default_value_t = Precision::Fp32)]
    precision: Precision,
    /// Rows on which every engine must agree with the reference [default: the run's data]
    #[arg(long, value_name = "D.parquet")]
    data: Option<PathBuf>,
    /// plain, or triton: the next version of a model in a Triton model repository
    #[arg(long, value_name = "FORM", default_value_t = PackageForm::Plain)]
    package: PackageForm,
    /// What the Triton repository calls the model
    #[arg(long, value_name = "NAME", default_value = "pre_ranker")]
    name: String,
    /// Folder of the package, or the Triton repository
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ExportArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        progress.stage("export and prove", 0);
        let layout = self.layout()?;
        let Self {
            run, candidate, embeddings, external_data_over, precision, data, package, name, out, ..
        } = self;
        let exported = export_from_run(&ExportRequest {
            run,
            candidate,
            layout,
            embeddings,
            external_data_over,
            precision,
            data,
            package,
            name,
            out,
        })?;
        output::print(format, &exported, describe)
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
    }
    text
}
