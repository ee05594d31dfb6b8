//! `store load` and `store show`.

use super::{
    files::{self, DataArgs},
    output::{self, Format},
};
use crate::{
    base::progress::Progress,
    data::schema::Schema,
    measure::store::{
        Manifest, Owner,
        contents::Contents,
        embedded::{self, StoredFolder},
    },
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Fill a feature store from a data set: the last row of every user, item and pair
    Load(LoadArgs),
    /// Describe a feature store: groups, rows, bytes
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autofas-bench store load --model out/model.onnx --data D.parquet --out stores/first
  autofas-bench store load --schema S.toml --encoders E.json --data D.parquet --out stores/first

Stored are the features whose source is `store`, those of one fetch_group in one row. `replay --store stores/first` fetches them.")]
pub struct LoadArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Exported model whose schema and encoders the store is for
    #[arg(long, value_name = "M.onnx")]
    model: Option<PathBuf>,
    /// Folder of the store
    #[arg(long, value_name = "STORE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  autofas-bench store show stores/first")]
pub struct ShowArgs {
    /// Folder of the store
    store: PathBuf,
}

impl StoreVerb {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        let stored = match self {
            Self::Load(args) => args.load(progress)?,
            Self::Show(args) => StoredFolder::read(&args.store)?,
        };
        output::print(format, &stored, text)
    }
}

impl LoadArgs {
    fn load(&self, progress: &dyn Progress) -> anyhow::Result<StoredFolder> {
        let files = self.data.files(self.model.as_deref())?;
        progress.stage("read the data", 0);
        let (dataset, encoders) = files::load(&files)?;
        let schema = Schema::load(&files.schema)?;
        let contents = Contents::of(&schema, encoders.hash(), &dataset)?;
        Ok(embedded::write(&self.out, &contents, progress)?)
    }
}

fn text(stored: &StoredFolder) -> String {
    let Manifest { users, items, pairs, groups, rows_hash, .. } = &stored.content;
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let owner = match group.owner {
                Owner::User => "user",
                Owner::Item => "item",
                Owner::Pair => "pair",
            };
            let keys = stored.content.keys(group.owner);
            let numbers = [group.features.len() as u64, keys, group.row_bytes as u64];
            [group.name.clone(), owner.to_owned()]
                .into_iter()
                .chain(numbers.map(|number| number.to_string()))
                .collect()
        })
        .collect();
    let table = output::table(&["group", "of", "features", "rows", "bytes per row"], &rows);
    format!(
        "{table}\n{users} users, {items} items, {pairs} pairs; {:.1} MB on the disk; filled with rows {}",
        stored.file_bytes as f64 / 1e6,
        &rows_hash[..rows_hash.len().min(12)]
    )
}
