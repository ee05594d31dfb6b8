//! A network of a finished run trained again on newer data: the same inputs and encoders, so that a serving system takes the new
//! version as it took the old one, and a report of what has changed.

use super::{
    config::{Experiment, Override, Stage},
    export::candidate,
    iterate::RunPaths,
    package::{Numbers, Package, Provers},
};
use crate::{
    base::{Error, Result, error::Place, fsio, progress::Progress},
    data::{
        self,
        dataset::{Dataset, Split},
        drift::{FeatureDrift, drift},
        encode::{Encoders, Fitted},
        schema::Schema,
    },
    export::{self, Form},
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        metrics::Metrics,
        network::Network,
        student::{Lesson, Student},
        train::{Rows, fit, metrics_of},
    },
    measure::prove::ParityReport,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the report beside the new model.
pub const REPORT: &str = "drift.json";

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

/// What belongs to the network that is trained again.
struct Old {
    id: String,
    folder: PathBuf,
    network: Network,
    schema: Schema,
    encoders: Encoders,
}

/// Trains, proves and writes the new version, with its report as the last file.
pub fn retrain(request: &RetrainRequest, progress: &dyn Progress) -> Result<Retrained> {
    let old = Old::load(request)?;
    let mut overrides = request.overrides.clone();
    overrides.push(Override::text("data.path", request.data.to_string_lossy()));
    let settings = Experiment::load(&request.run.join("config.toml"), &overrides)?.settings;
    let seed = |stage| settings.seeds.of(stage);
    progress.stage("read and encode the new data", 0);
    let (data, split) =
        data::load_divided(&old.schema, &request.data, &old.encoders, &settings.split, seed(Stage::Split))?;

    let lesson = match (&data.teacher_scores, settings.retrain.distillation) {
        (Some(teacher), lambda1) if lambda1 > 0.0 => Lesson::Distilled { teacher, lambda1 },
        _ => Lesson::Labels,
    };
    let mut student = old.student(&data, &settings.retrain.train, lesson, seed(Stage::Retrain))?;
    if request.start == Start::Warm {
        student.start_from(&old.network)?;
    }
    let train = &settings.retrain.train;
    let rows = Rows::alone(&data, &split);
    let report = fit(&mut student, rows, train, seed(Stage::Retrain), progress, &mut Keeper::none())?;
    let network = student.to_network()?;

    progress.stage("export and prove", 0);
    let (signature, before) = export::read_signature(&old.folder.join("model.onnx"))?;
    let named = [
        ("auc", report.metrics.auc),
        ("gauc", report.metrics.gauc),
        ("logloss", Some(report.metrics.logloss)),
    ];
    let metrics = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let metadata = export::Metadata { metrics, tool_version: env!("CARGO_PKG_VERSION").to_owned(), ..before };
    let Old { id, schema, encoders, .. } = &old;
    let target = &settings.target;
    let numbers = Numbers {
        precision: target.precision,
        calibration: (&data, &split.train[..]),
        settings: &settings.quantise,
    };
    let package = Package { network: &network, metadata: &metadata, schema, encoders, data: &data, numbers };
    let provers = Provers { engines: &target.engines, options: &target.session_options() };
    let form = Form::of(signature.layout, schema);
    let parity = package.write(&form, &request.out, &split.valid, seed(Stage::Rounds), provers)?;
    let onnx = request.out.join("model.onnx");
    if export::read_signature(&onnx)?.0 != signature {
        let problem = "the new version takes other inputs than the old one";
        return Err(Error::input(
            onnx,
            Place::whole(),
            problem,
            "search again with `iterate` on the new data",
        ));
    }
    network.save(&request.out.join("network.safetensors"))?;
    let retrained = Retrained {
        schema_version: 1,
        subnet: id.clone(),
        onnx,
        start: request.start,
        train_rows: split.train.len(),
        valid_rows: split.valid.len(),
        old: metrics_of(&old.network.score(&data, &split.valid)?, &data, &split.valid),
        new: metrics_of(&network.score(&data, &split.valid)?, &data, &split.valid),
        drift: old.drift(request, (&data, &split))?,
        parity,
    };
    fsio::write_json(&request.out.join(REPORT), &retrained)?;
    Ok(retrained)
}

impl Old {
    fn load(request: &RetrainRequest) -> Result<Self> {
        let id = candidate(&request.run, request.subnet.as_ref())?;
        let folder = request.run.join("networks").join(&id);
        Ok(Self {
            network: Network::load(&folder.join("network.safetensors"))?,
            schema: Schema::load(&request.run.join("schema.json"))?,
            encoders: Encoders::load(&request.run.join("encoders.json"))?,
            id,
            folder,
        })
    }

    /// An untrained network of the same shape.
    fn student<'s>(
        &self,
        data: &Dataset,
        settings: &crate::learn::settings::TrainSettings,
        lesson: Lesson<'s>,
        seed: u64,
    ) -> Result<Student<'s>> {
        let of_network = |name: &str| self.network.inputs.iter().any(|input| input.feature == name);
        let chosen: Vec<usize> = (0..self.schema.features.len())
            .filter(|&place| of_network(&self.schema.features[place].name))
            .collect();
        let features = input_features(&self.schema.features, &chosen, data)?;
        let hidden = self.network.layers.len() - 1;
        let widths: Vec<usize> = self.network.layers[..hidden].iter().map(|layer| layer.outputs).collect();
        Student::new(features, &widths, settings, lesson, seed)
    }

    /// What the run trained on against all new rows, for the features of the network.
    fn drift(
        &self,
        request: &RetrainRequest,
        (data, split): (&Dataset, &Split),
    ) -> Result<Vec<FeatureDrift>> {
        let path = fsio::read_json::<RunPaths>(&request.run.join(RunPaths::FILE))?.data;
        let settings = Experiment::load(&request.run.join("config.toml"), &[])?.settings;
        let seed = settings.seeds.of(Stage::Split);
        let (before, trained) =
            data::load_divided(&self.schema, &path, &self.encoders, &settings.split, seed)?;
        let mut rows: Vec<u32> = split.train.to_vec();
        rows.extend_from_slice(&split.valid);
        let encoders = self.encoders.features();
        let has_unknown =
            |name: &str| encoders.iter().any(|e| e.name == name && matches!(e.fitted, Fitted::Vocabulary(_)));
        let mut found = drift((&before, &trained.train), (data, &rows), has_unknown);
        found.retain(|drift| self.network.inputs.iter().any(|input| input.feature == drift.feature));
        Ok(found)
    }
}
