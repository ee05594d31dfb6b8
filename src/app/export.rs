//! A network of a finished run as a package for a serving system, in any layout: the run itself exports in its target's.

use super::{
    iterate::{RunPaths, Summary},
    package::{Package, Provers},
};
use crate::{
    base::{
        Error, Result, fsio, keys,
        names::{Embeddings, EngineName, Layout, PackageForm, Precision},
    },
    data::{self, encode::Encoders, schema::Schema},
    export::{self, Form, companions::TestVectors, rows::ItemTableSpec, triton},
    learn::network::Network,
    measure::{engine::SessionOptions, prove::ParityReport},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Draws the rows of the data on which the package is proved.
const PARITY_SEED: u64 = 0;

/// What is to be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// Proves the package and puts it into its folder: one that an engine scores otherwise is an [`Error::Limit`], and is not
/// put there.
pub fn export_from_run(request: &ExportRequest) -> Result<Exported> {
    // The only format there is; another one has to be told to the exporter here.
    let Precision::Fp32 = request.precision;
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
    let data = data::load_with(&schema, &path, &encoders)?;
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let package =
        Package { network: &network, metadata: &metadata, schema: &schema, encoders: &encoders, data: &data };
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
        &rows,
        PARITY_SEED,
        Provers { engines: &engines, options: &SessionOptions::PLAIN },
    )?;
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
