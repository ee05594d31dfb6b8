//! `report`: a run or a comparison as a page.

use super::output::{self, Format};
use crate::{
    app::page::{self, Written},
    base::Error,
};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench report --run runs/first
  autofas-bench report --run comparisons/first --out first.html

The page loads nothing. Its pictures are also written as SVG files, into a folder beside it that is named as it is. `iterate` and \
                  `compare` write it when they end; of an unfinished run it shows what is there so far.")]
pub struct ReportArgs {
    /// Folder of a run (`iterate`, `search`) or of a comparison (`compare`)
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Where the page goes: RUN/report.html
    #[arg(long, value_name = "R.html")]
    out: Option<PathBuf>,
}

impl ReportArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        if let Some(out) =
            self.out.as_deref().filter(|out| out.extension().is_none_or(|ending| ending != "html"))
        {
            return Err(Error::usage(
                format!("the page {} does not end in .html, and its pictures go into a folder named as it without that", out.display()),
                "give --out a name that ends in .html",
            )
            .into());
        }
        let written = page::write(&self.run, self.out.as_deref())?;
        output::print(format, &written, Written::to_text)
    }
}
