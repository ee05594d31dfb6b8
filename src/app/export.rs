//! A network of a finished run as a package for a serving system, in any layout: the run itself exports in its target's.

use super::{
    config::{Experiment, Override, Stage},
    iterate::{RunPaths, Summary},
    package::{Numbers, Package, Provers},
};
use crate::{
    base::{
        Error, Result, fsio, keys,
        names::{Embeddings, EngineName, Layout, PackageForm, Precision},
    },
    data::{
        self,
        column::Column,
        dataset::{Dataset, Split},
        encode::Encoders,
        schema::Schema,
    },
    export::{
        self, Form, companions::TestVectors, quantise::QuantisationReport, rows::ItemTableSpec, triton,
    },
    learn::network::Network,
    measure::{
        engine::SessionOptions,
        prove::ParityReport,
        traced::{DataFiles, TracedData},
    },
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Draws the rows of the data on which the package is proved.
const PARITY_SEED: u64 = 0;

/// What is to be exported.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportRequest {
    /// Run directory.
    pub run: PathBuf,
    /// Canonical id; the run's winner when absent.
    pub candidate: Option<String>,
    /// How requests become inputs.
    pub layout: Layout,
    /// Where the embedding tables are.
    pub embeddings: Embeddings,
    /// A model with more bytes keeps its tables in a second file; at protobuf's limit when absent.
    pub external_data_over: Option<u64>,
    /// Number format of the graph.
    pub precision: Precision,
    /// Rows to prove the package on; the run's own data when absent.
    pub data: Option<PathBuf>,
    /// Trace on whose requests int8 finds its ranges; the rows that the run was trained on when absent.
    pub trace: Option<PathBuf>,
    /// Settings that take the place of the run's own.
    pub overrides: Vec<Override>,
    /// What the model is put into.
    pub package: PackageForm,
    /// What a Triton repository calls the model.
    pub name: String,
    /// Folder of the package, or the Triton repository.
    pub out: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// Version of this format.
    pub schema_version: u32,
    /// Canonical id.
    pub subnet: String,
    /// Layout of the graph.
    pub layout: Layout,
    /// Number format of the graph.
    pub precision: Precision,
    /// The item table that the model reads, with its memory and how often it has to be refilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_table: Option<ItemTableSpec>,
    /// The ONNX file, with its companions beside it.
    pub onnx: PathBuf,
    /// Every engine against the reference.
    pub parity: ParityReport,
    /// What int8 did to each layer; absent in other formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<QuantisationReport>,
}

/// Every second row to find ranges on, the others to judge by.
fn by_turns(rows: usize) -> Split {
    let from = |first: u32| (first..rows as u32).step_by(2).collect::<Vec<_>>().into();
    Split { train: from(0), valid: from(1) }
}

/// Proves the package and puts it into its folder: one that an engine scores otherwise is an [`Error::Limit`], and is not
/// put there.
pub fn export_from_run(request: &ExportRequest) -> Result<Exported> {
    if request.precision != Precision::Int8 && (request.trace.is_some() || !request.overrides.is_empty()) {
        return Err(Error::usage(
            format!("{} takes neither a trace nor settings of int8", request.precision),
            "leave them out, or add --precision int8",
        ));
    }
    let id = candidate(&request.run, request.candidate.as_ref())?;
    let folder = request.run.join("networks").join(&id);
    let network = Network::load(&folder.join("network.safetensors"))?;
    let (_, metadata) = export::read_signature(&folder.join("model.onnx"))?;
    let schema = Schema::load(&request.run.join("schema.json"))?;
    let encoders = Encoders::load(&request.run.join("encoders.json"))?;
    let path = match &request.data {
        Some(path) => path.clone(),
        None => fsio::read_json::<RunPaths>(&request.run.join(RunPaths::FILE))?.data,
    };
    let mut overrides = vec![Override::text("data.path", path.to_string_lossy())];
    overrides.extend(request.overrides.iter().cloned());
    let settings = Experiment::load(&request.run.join("config.toml"), &overrides)?.settings;
    let (data, split) = match (request.precision, &request.data) {
        // What int8 costs shows on rows that neither weights nor ranges were fitted to.
        (Precision::Int8, None) => {
            let seed = settings.seeds.of(Stage::Split);
            data::load_divided(&schema, &path, &encoders, &settings.split, seed)?
        }
        (precision, _) => {
            let data = data::load_with(&schema, &path, &encoders)?;
            // Rows that ranges were found on would flatter int8, were it judged on them.
            let split = match (precision, &request.trace) {
                (Precision::Int8, None) => by_turns(data.rows()),
                _ => {
                    let every: Column<u32> = (0..data.rows() as u32).collect::<Vec<_>>().into();
                    Split { train: every.clone(), valid: every }
                }
            };
            (data, split)
        }
    };
    let requests = request.trace.as_ref().map(|trace| -> Result<Dataset> {
        let files = DataFiles {
            rows: path.clone(),
            schema: request.run.join("schema.json"),
            encoders: request.run.join("encoders.json"),
        };
        Ok(TracedData::load(trace, &files)?.candidates_as_rows(settings.quantise.rows))
    });
    let requests = requests.transpose()?;
    let asked: Vec<u32> = (0..requests.as_ref().map_or(0, Dataset::rows) as u32).collect();
    let calibration = requests.as_ref().map_or((&data, &*split.train), |requests| (requests, &asked[..]));
    let package = Package {
        network: &network,
        metadata: &metadata,
        schema: &schema,
        encoders: &encoders,
        data: &data,
        numbers: Numbers { precision: request.precision, calibration, settings: &settings.quantise },
    };
    if request.package == PackageForm::Triton {
        triton::check_name(&request.name)?;
    }
    let engines = [EngineName::Tract, EngineName::OnnxRuntime];
    let form = Form::of(request.layout, &schema);
    let form = Form {
        embeddings: request.embeddings,
        external_data_over: request.external_data_over.unwrap_or(form.external_data_over),
        ..form
    };
    fsio::create_dir(&request.out)?;
    let draft = tempfile::Builder::new()
        .prefix(fsio::TEMPORARY)
        .tempdir_in(&request.out)
        .map_err(|e| Error::io(&request.out, "create a folder in", e))?;
    let target = match request.package {
        PackageForm::Plain => request.out.clone(),
        PackageForm::Triton => draft.path().join("package"),
    };
    let parity = package.write(
        &form,
        &target,
        &split.valid,
        PARITY_SEED,
        Provers { engines: &engines, options: &SessionOptions::PLAIN },
    )?;
    let quantisation = (request.precision == Precision::Int8)
        .then(|| fsio::read_json(&target.join(QuantisationReport::FILE)))
        .transpose()?;
    let mut onnx = target.join("model.onnx");
    let item_table = export::read_item_table(&onnx)?;
    if request.package == PackageForm::Triton {
        let (signature, _) = export::read_signature(&onnx)?;
        let vectors = TestVectors::beside(&onnx)?.unwrap_or_default();
        onnx = triton::add(&request.out, &request.name, &target, &signature, &vectors)?;
    }
    Ok(Exported {
        schema_version: 1,
        subnet: id,
        layout: request.layout,
        precision: request.precision,
        item_table,
        onnx,
        parity,
        quantisation,
    })
}

/// The id of the network, which the run must have; its winner's when none is asked for.
pub(crate) fn candidate(run: &Path, id: Option<&String>) -> Result<String> {
    let Some(id) = id else {
        let summary: Summary = fsio::read_json(&run.join("summary.json"))?;
        return Ok(summary.winner.network.subnet);
    };
    let folder = run.join("networks");
    let listed = std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, "list", e))?;
    let mut known: Vec<String> =
        listed.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    known.sort();
    if known.contains(id) {
        return Ok(id.clone());
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(Error::usage(format!("the run has no network `{id}`"), keys::suggestion(id, &known)))
}
