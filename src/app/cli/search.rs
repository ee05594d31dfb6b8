//! `search`: the main job up to its first derived network.

use super::{
    output::{self, Format},
    run_args::RunArgs,
    signals,
};
use crate::{
    app::iterate::{SearchSummary, search},
    base::progress::Progress,
};
use clap::Args;

/// The verb's name on the command line.
const VERB: &str = "search";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench search --config E.toml --data D.parquet --out runs/first
  autofas-bench search --config E.toml --data D.parquet --out runs/first --table TABLE.json --json
  autofas-bench search --config E.toml --data D.parquet --out runs/first --resume

`iterate` with the same settings and --resume goes on from here: it trains, exports and measures the derived network. The \
                  number of its rounds is one of them: --set rounds.count=3.")]
pub struct SearchArgs {
    #[command(flatten)]
    run: RunArgs,
}

impl SearchArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        self.run.run(format, progress, None, search, |summary: &SearchSummary, out| {
            let next = iterate_command(signals::this_command());
            output::print(format, summary, |summary| {
                format!("{}\ntrain, export and measure it: `{next}`", summary.to_text(out))
            })
        })
    }
}

/// The command that goes on from a search which these words started.
fn iterate_command(words: impl Iterator<Item = String>) -> String {
    let mut verb = Some("iterate".to_owned());
    // The first of them, for files may have this name too.
    let word = |word: String| if word == VERB { verb.take().unwrap_or(word) } else { word };
    signals::resume_command(words.map(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_followed_by_an_iterate_with_its_settings() {
        let words = ["autofas-bench", "search", "--config", "search", "--out", "a run"];
        assert_eq!(
            iterate_command(words.into_iter().map(str::to_owned)),
            "autofas-bench iterate --config search --out 'a run' --resume"
        );
    }
}
