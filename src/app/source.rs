//! A trained network with all that a package of it is made from, in the folder of a run or in one like it that `retrain` leaves.

use super::{
    config::{Experiment, Override},
    iterate::{PLAIN, RunPaths, Summary},
};
use crate::{
    base::{Error, Result, error::Place, fsio, keys},
    data::{dataset::Dataset, encode::Encoders, schema::Schema},
    export::{self, Metadata, companions::Versioned, signature::Signature},
    learn::{
        embedding::input_features,
        network::{Network, PlainOnly},
        settings::TrainSettings,
        student::{Lesson, Student},
    },
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A network of a run.
#[derive(Debug)]
pub(super) struct Source {
    folder: PathBuf,
    /// Canonical id.
    pub(super) id: String,
    /// Its weights.
    pub(super) network: Network,
    /// The inputs of its package.
    pub(super) signature: Signature,
    /// What travels inside its file.
    pub(super) metadata: Metadata,
    /// What the columns mean.
    pub(super) schema: Schema,
    /// What makes ids of values.
    pub(super) encoders: Encoders,
}

/// Version of [`Description`].
const DESCRIPTION_VERSION: u32 = 1;
/// What can be done about a file of another version.
const AGAIN: &str = "use the program that wrote the folder, or make it again with this one";

/// What a file of weights does not say of its network, where there is no package of it.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    schema_version: u32,
    signature: Signature,
    metadata: Metadata,
}

impl Source {
    pub(super) const SETTINGS: &str = "config.toml";
    const SCHEMA: &str = "schema.json";
    const ENCODERS: &str = "encoders.json";
    const WEIGHTS: &str = "network.safetensors";
    const DESCRIPTION: &str = "network.json";

    /// The network `id` of the run in `folder`; its winner, or the only one, when absent.
    pub(super) fn load(folder: &Path, id: Option<&String>) -> Result<Self> {
        let id = candidate(folder, id)?;
        let own = folder.join("networks").join(&id);
        let description = own.join(Self::DESCRIPTION);
        let (signature, metadata) = if description.exists() {
            let Description { signature, metadata, .. } =
                fsio::read_versioned(&description, DESCRIPTION_VERSION, AGAIN)?;
            (signature, metadata)
        } else {
            export::read_signature(&own.join("model.onnx"))?
        };
        Ok(Self {
            network: Network::load(&own.join(Self::WEIGHTS))?,
            schema: Schema::load(&folder.join(Self::SCHEMA))?,
            encoders: Encoders::load(&folder.join(Self::ENCODERS))?,
            folder: folder.to_owned(),
            id,
            signature,
            metadata,
        })
    }

    /// Keeps `network` as the only one of a run in `folder`, with these settings and data: [`Source::load`] reads it back. What is in
    /// the folder stays until all of the new one is written.
    pub(super) fn keep(
        &self,
        folder: &Path,
        network: &Network,
        metadata: &Metadata,
        experiment: &Experiment,
    ) -> Result<()> {
        fsio::replace_dir(folder, |new| self.write(new, network, metadata, experiment))
    }

    fn write(
        &self,
        folder: &Path,
        network: &Network,
        metadata: &Metadata,
        experiment: &Experiment,
    ) -> Result<()> {
        let own = folder.join("networks").join(&self.id);
        fsio::write(&folder.join(Self::SETTINGS), experiment.resolved.to_string().as_bytes())?;
        let schema = Versioned { schema_version: Schema::VERSION, content: &self.schema };
        fsio::write_json(&folder.join(Self::SCHEMA), &schema)?;
        self.encoders.save(&folder.join(Self::ENCODERS))?;
        let path = experiment.named_data()?;
        let data = std::path::absolute(&path).map_err(|e| Error::io(path, "resolve", e))?;
        fsio::write_json(
            &folder.join(RunPaths::FILE),
            &RunPaths { schema_version: RunPaths::SCHEMA_VERSION, data },
        )?;
        let (signature, metadata) = (self.signature.clone(), metadata.clone());
        let description = Description { schema_version: DESCRIPTION_VERSION, signature, metadata };
        fsio::write_json(&own.join(Self::DESCRIPTION), &description)?;
        network.save(&own.join(Self::WEIGHTS))
    }

    /// An untrained network of the same shape, for what is for plain networks `only`.
    pub(super) fn untrained<'s>(
        &self,
        data: &Dataset,
        settings: &TrainSettings,
        (lesson, only): (Lesson<'s>, PlainOnly),
        seed: u64,
    ) -> Result<Student<'s>> {
        let Self { network, schema, .. } = self;
        let layers = network.mlp(only)?.layers;
        let features = input_features(&schema.features, &self.features(), data)?;
        let hidden = layers.len() - 1;
        let widths: Vec<usize> = layers[..hidden].iter().map(|layer| layer.outputs).collect();
        Student::new(features, &widths, settings, lesson, seed)
    }

    /// Positions in the schema of the features that it reads.
    pub(super) fn features(&self) -> Vec<usize> {
        let of_network = |name: &str| self.network.inputs.iter().any(|input| input.feature == name);
        let every = self.schema.features.iter().enumerate();
        every.filter(|(_, feature)| of_network(&feature.name)).map(|(at, _)| at).collect()
    }

    /// The settings of the run, with others in the place of some.
    pub(super) fn experiment(&self, overrides: &[Override]) -> Result<Experiment> {
        Experiment::load(&self.folder.join(Self::SETTINGS), overrides)
    }

    /// The same for rows at `data`.
    pub(super) fn experiment_on(&self, data: &Path, overrides: &[Override]) -> Result<Experiment> {
        let mut all = overrides.to_vec();
        all.push(Override::text("data.path", data.to_string_lossy()));
        self.experiment(&all)
    }

    /// The rows that the network was trained on, where they lay.
    pub(super) fn data_path(&self) -> Result<PathBuf> {
        let path = self.folder.join(RunPaths::FILE);
        let paths: RunPaths = fsio::read_versioned(&path, RunPaths::SCHEMA_VERSION, AGAIN)?;
        Ok(paths.data)
    }

    /// Schema and encoders as files.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        [Self::SCHEMA, Self::ENCODERS].map(|name| self.folder.join(name))
    }
}

/// The id of the network, which the run must have; when none is asked for, its winner's, or that of the only network of a run
/// that has no winner, unless that is the plain DNN.
pub(super) fn candidate(run: &Path, id: Option<&String>) -> Result<String> {
    if id.is_none()
        && let Some(summary) = Summary::of_run(run)?
    {
        return Ok(summary.winner.network.subnet);
    }
    let folder = run.join("networks");
    if !run.exists() {
        return Err(Error::io(run, "look at", std::io::ErrorKind::NotFound.into()));
    }
    if !folder.exists() {
        let fix = "name the folder of a run, or finish it with `iterate --resume`; those of a comparison are in \
                   seeds/SEED/SYSTEM/networks, each with its model.onnx";
        return Err(Error::input(&folder, Place::whole(), "there are no trained networks", fix));
    }
    let known = fsio::list_names(&folder)?;
    match (id, &known[..]) {
        (Some(id), _) if known.contains(id) => Ok(id.clone()),
        (None, [only]) if !only.starts_with(PLAIN) => Ok(only.clone()),
        (Some(id), _) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let problem = format!("{}: the run has no network `{id}`", folder.display());
            Err(Error::usage(problem, keys::suggestion(id, &known)))
        }
        (None, _) => {
            let problem = format!("{}: the run has no winner among {}", folder.display(), known.join(", "));
            Err(Error::usage(
                problem,
                "name one of them with --candidate, or finish the run with `iterate --resume`",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_winner_gives_its_only_network_and_never_the_plain_dnn() {
        let run = tempfile::tempdir().unwrap();
        let found = || candidate(run.path(), None).map_err(|error| error.to_string());
        let train = |name: &str| std::fs::create_dir_all(run.path().join("networks").join(name)).unwrap();
        assert!(found().unwrap_err().contains("no trained networks"));
        train("baseline-f9-8");
        let text = found().unwrap_err();
        assert!(text.contains("no winner among baseline-f9-8; name one of them with --candidate"), "{text}");
        std::fs::remove_dir(run.path().join("networks/baseline-f9-8")).unwrap();
        train("f3-8");
        assert_eq!(found().unwrap(), "f3-8");
        train("f4-8");
        assert!(found().unwrap_err().contains("no winner among f3-8, f4-8"));
    }
}
