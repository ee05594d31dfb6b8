//! A network of a finished run trained again on newer data: the same inputs and encoders, so that a serving system takes the new
//! version as it took the old one, and a report of what has changed.

use super::{
    config::{Experiment, Override, Stage},
    package::{self, DRIFT, Numbers, Package, Provers},
    source::Source,
};
use crate::{
    base::{Error, Result, fsio, progress::Progress},
    data::{
        self,
        dataset::{Dataset, Split},
        drift::{FeatureDrift, drift},
        encode::Fitted,
    },
    export::{self, Form, Metadata},
    learn::{
        checkpoint::Keeper,
        metrics::Metrics,
        network::{Network, PlainOnly},
        student::{Lesson, lists_of},
        train::{Rows, fit, metrics_of},
    },
    measure::prove::ParityReport,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

mod planned;

pub use planned::plan_retrain;

/// The folder beside the new model with its weights, as a run that `export` takes.
pub const RUN: &str = "run";

/// What is to be trained again.
#[derive(Debug, Clone)]
pub struct RetrainRequest {
    /// Run directory.
    pub run: PathBuf,
    /// Canonical id, a folder of the run's networks; its winner when absent.
    pub subnet: Option<String>,
    /// Newer rows with the columns of the run's schema.
    pub data: PathBuf,
    /// Where its weights begin.
    pub start: Start,
    /// Settings that differ from the run's.
    pub overrides: Vec<Override>,
    /// Folder of the new package.
    pub out: PathBuf,
}

/// Where the weights of a training begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Drawn anew.
    Cold,
    /// Those of the old version.
    Warm,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrained {
    /// Version of this format.
    pub schema_version: u32,
    /// Canonical id.
    pub subnet: String,
    /// The new version.
    pub onnx: PathBuf,
    /// Where its weights began.
    pub start: Start,
    /// New rows that were trained on.
    pub train_rows: usize,
    /// New rows that both versions are judged on.
    pub valid_rows: usize,
    /// The old version on those.
    pub old: Metrics,
    /// The new one.
    pub new: Metrics,
    /// The rows that the run trained on against the new ones, for the features of the network.
    pub drift: Vec<FeatureDrift>,
    /// Every engine against the reference.
    pub parity: ParityReport,
}

/// Trains, proves and writes the new version, with its report as the last file.
///
/// Whatever can be wrong with its files and inputs shows before the training. The weights are kept as a run of their own in
/// [`RUN`] before the package is proved, so that one that is refused costs no training.
pub fn retrain(request: &RetrainRequest, progress: &dyn Progress) -> Result<Retrained> {
    let old = Old::load(request)?;
    let experiment = old.0.experiment_on(&request.data, &request.overrides)?;
    let settings = &experiment.settings;
    let seed = |stage| settings.seeds.of(stage);
    progress.stage("read and encode the new data", 0);
    let new = data::load_divided(
        &old.0.schema,
        &request.data,
        &old.0.encoders,
        &settings.split,
        seed(Stage::Split),
    )?;
    let (data, split) = &new;
    progress.stage("compare them with the old data", 0);
    let drift = old.drift(&new)?;
    if let Some(note) = package::replacing(&request.out) {
        progress.say(&note);
    }
    fsio::create_dir(&request.out)?;
    let (network, metadata) = old.trained(request, &experiment, &new, progress)?;

    progress.stage("export and prove", 0);
    let target = &settings.target;
    let package = Package {
        network: &network,
        metadata: &metadata,
        schema: &old.0.schema,
        encoders: &old.0.encoders,
        data,
        numbers: Numbers {
            precision: target.precision,
            calibration: (data, &split.train),
            traffic: None,
            settings: &settings.quantise,
        },
    };
    let provers = Provers { engines: &target.engines, options: &target.session_options(), stop: None };
    let form = Form::of(old.0.signature.layout, &old.0.schema);
    let parity = package.write(&form, &request.out, &split.valid, seed(Stage::Rounds), provers)?;
    let metrics = |network: &Network| -> Result<Metrics> {
        Ok(metrics_of(&network.score(data, &split.valid)?, data, &split.valid))
    };
    let retrained = Retrained {
        schema_version: 1,
        subnet: old.0.id.clone(),
        onnx: request.out.join("model.onnx"),
        start: request.start,
        train_rows: split.train.len(),
        valid_rows: split.valid.len(),
        old: metrics(&old.0.network)?,
        new: metrics(&network)?,
        drift,
        parity,
    };
    fsio::write_json(&request.out.join(DRIFT), &retrained)?;
    Ok(retrained)
}

/// The network that is trained again.
struct Old(Source);

impl Old {
    /// Fails where the package could not be put, or the new version would take the old one's place.
    fn load(request: &RetrainRequest) -> Result<Self> {
        package::check_out(&request.out)?;
        let canonical = |path: &Path| std::fs::canonicalize(path).ok();
        let new = request.out.join(RUN);
        if let Some(run) = canonical(&request.run)
            && Some(run) == canonical(&new)
        {
            let problem =
                format!("the new version would be written over {}, which it is made from", new.display());
            return Err(Error::usage(problem, "name another folder with --out"));
        }
        Source::load(&request.run, request.subnet.as_ref()).map(Self)
    }

    /// The new version, kept in [`RUN`] of the request's folder, with what travels inside its file.
    fn trained(
        &self,
        request: &RetrainRequest,
        experiment: &Experiment,
        (data, split): &(Dataset, Split),
        progress: &dyn Progress,
    ) -> Result<(Network, Metadata)> {
        let settings = &experiment.settings;
        let train = &settings.retrain.train;
        let seed = settings.seeds.of(Stage::Retrain);
        if settings.retrain.unseen > 0 {
            progress
                .say("  note: [retrain] unseen needs the teachers of a run, so it counts in `iterate` alone");
        }
        let lists = match &data.teacher_scores {
            Some(_) => lists_of(&settings.retrain, data, &split.train)?,
            None => None,
        };
        let lesson = match &data.teacher_scores {
            Some(teacher) => Lesson::of(&settings.retrain, teacher, lists.as_ref()),
            None => Lesson::Labels,
        };
        let mut student = self.0.untrained(data, train, (lesson, PlainOnly::Retraining), seed)?;
        self.check_inputs(&student.to_network()?, &request.run)?;
        if request.start == Start::Warm {
            student.start_from(&self.0.network)?;
        }
        let report = fit(&mut student, Rows::alone(data, split), train, seed, progress, &mut Keeper::none())?;
        let network = student.to_network()?;
        let named = [
            ("auc", report.metrics.auc),
            ("gauc", report.metrics.gauc),
            ("logloss", Some(report.metrics.logloss)),
        ];
        let metrics = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let tool_version = env!("CARGO_PKG_VERSION").to_owned();
        let metadata = Metadata { metrics, tool_version, ..self.0.metadata.clone() };
        let kept = request.out.join(RUN);
        self.0.keep(&kept, &network, &metadata, experiment)?;
        progress.say(&format!("  weights kept: `export --run {}` makes any package of them", kept.display()));
        Ok((network, metadata))
    }

    /// Fails unless a network of the new version's shape takes the old one's inputs.
    fn check_inputs(&self, network: &Network, run: &Path) -> Result<()> {
        let form = Form::of(self.0.signature.layout, &self.0.schema);
        if export::onnx(network, form, &self.0.metadata)?.signature == self.0.signature {
            return Ok(());
        }
        Err(Error::usage(
            format!("the new version would take other inputs than the network of {}", run.display()),
            "search again with `iterate` on the new data",
        ))
    }

    /// What the run trained on against all new rows, for the features of the network.
    fn drift(&self, (data, split): &(Dataset, Split)) -> Result<Vec<FeatureDrift>> {
        let Source { network, schema, encoders, .. } = &self.0;
        let settings = self.0.experiment(&[])?.settings;
        let seed = settings.seeds.of(Stage::Split);
        let (before, trained) =
            data::load_divided(schema, &self.0.data_path()?, encoders, &settings.split, seed)?;
        let mut rows: Vec<u32> = split.train.to_vec();
        rows.extend_from_slice(&split.valid);
        let encoders = encoders.features();
        let has_unknown =
            |name: &str| encoders.iter().any(|e| e.name == name && matches!(e.fitted, Fitted::Vocabulary(_)));
        let mut found = drift((&before, &trained.train), (data, &rows), has_unknown);
        found.retain(|drift| network.inputs.iter().any(|input| input.feature == drift.feature));
        Ok(found)
    }
}
