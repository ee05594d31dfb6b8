//! A network of a finished run as a package for a serving system, in any layout: the run itself exports in its target's.

use super::{
    config::{Override, Settings, Stage},
    package::{self, Numbers, Package, Provers},
    source::Source,
};
use crate::{
    base::{
        Error, Result, fsio,
        names::{Embeddings, Layout, PackageForm, Precision},
    },
    data::{
        self,
        column::Column,
        dataset::{Dataset, Split},
        schema::Schema,
    },
    export::{
        self, Described, Form, companions::TestVectors, quantise::QuantisationReport, rows::ItemTableSpec,
        triton,
    },
    measure::{
        gate::Rounding,
        prove::ParityReport,
        traced::{DataFiles, TracedData},
    },
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

mod planned;

pub use planned::plan_export;

/// Draws the rows of the data on which the package is proved.
const PARITY_SEED: u64 = 0;

/// What is to be exported.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportRequest {
    /// Run directory, or the `run/` that `retrain` leaves.
    pub run: PathBuf,
    /// Canonical id; the run's winner, or its only network, when absent.
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
    /// Settings of int8 that take the place of the run's own.
    pub overrides: Vec<Override>,
    /// What any rounding may cost, in the place of the run's own limits.
    pub limits: Vec<Override>,
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

impl ExportRequest {
    /// What of the model is going to be rounded.
    fn rounding(&self) -> Rounding {
        Rounding { precision: self.precision, rows: self.layout.rows() }
    }

    /// What is said before this takes the place of a package. A Triton repository keeps the versions before.
    pub fn replacing(&self) -> Option<String> {
        package::replacing(&self.out).filter(|_| self.package == PackageForm::Plain)
    }

    /// Fails on settings of what is not done, and where the package could not be put.
    fn check(&self) -> Result<()> {
        if self.precision != Precision::Int8 && (self.trace.is_some() || !self.overrides.is_empty()) {
            return Err(Error::usage(
                format!("{} takes neither a trace nor settings of int8", self.precision),
                "leave them out, or add --precision int8",
            ));
        }
        if !self.rounding().any() && !self.limits.is_empty() {
            return Err(Error::usage(
                "nothing of this export is rounded, so that no limit of its loss counts",
                "leave --max-auc-change, --min-overlap and --top-k out",
            ));
        }
        package::check_out(&self.out)?;
        match self.package {
            PackageForm::Triton => triton::check_name(&self.name),
            PackageForm::Plain => Ok(()),
        }
    }

    /// The rows that the package is proved and judged on, with those that were trained on.
    fn rows(&self, source: &Source, path: &Path, settings: &Settings) -> Result<(Dataset, Split)> {
        // What rounding costs shows on rows that neither weights nor ranges were fitted to.
        if self.data.is_none() && self.rounding().any() {
            let seed = settings.seeds.of(Stage::Split);
            return data::load_divided(&source.schema, path, &source.encoders, &settings.split, seed);
        }
        let data = data::load_with(&source.schema, path, &source.encoders)?;
        let split = match self.precision {
            // Rows that layers were chosen on would flatter int8, were it judged on them.
            Precision::Int8 => by_turns(data.rows()),
            Precision::Fp32 | Precision::Fp16 => {
                let every: Column<u32> = (0..data.rows() as u32).collect::<Vec<_>>().into();
                Split { train: every.clone(), valid: every }
            }
        };
        Ok((data, split))
    }

    /// Candidates of the trace's requests, where one is given: `most` of them.
    fn traffic(&self, source: &Source, path: &Path, most: usize) -> Result<Option<Dataset>> {
        let Some(trace) = &self.trace else { return Ok(None) };
        let [schema, encoders] = source.files();
        let files = DataFiles { rows: path.to_owned(), schema, encoders };
        Ok(Some(TracedData::load(trace, &files)?.candidates_as_rows(most)))
    }

    /// How the graph is written.
    fn form(&self, schema: &Schema) -> Form {
        let form = Form::of(self.layout, schema);
        Form {
            embeddings: self.embeddings,
            external_data_over: self.external_data_over.unwrap_or(form.external_data_over),
            ..form
        }
    }
}

/// Proves the package in the engines of the run's target and puts it into its folder: one that an engine scores otherwise is
/// an [`Error::Limit`], and is not put there.
pub fn export_from_run(request: &ExportRequest) -> Result<Exported> {
    request.check()?;
    let was_there = request.out.exists();
    let exported = exported(request);
    if exported.is_err() && !was_there {
        fsio::remove_if_empty(&request.out);
    }
    exported
}

fn exported(request: &ExportRequest) -> Result<Exported> {
    let source = Source::load(&request.run, request.candidate.as_ref())?;
    let path = request.data.clone().map_or_else(|| source.data_path(), Ok)?;
    let overrides = [&request.overrides[..], &request.limits].concat();
    let settings = source.experiment_on(&path, &overrides)?.settings;
    let (data, split) = request.rows(&source, &path, &settings)?;
    let traffic = request.traffic(&source, &path, settings.quantise.rows)?;
    let package = Package {
        network: &source.network,
        metadata: &source.metadata,
        schema: &source.schema,
        encoders: &source.encoders,
        data: &data,
        numbers: Numbers {
            precision: request.precision,
            calibration: (&data, &split.train),
            traffic: traffic.as_ref(),
            settings: &settings.quantise,
        },
    };
    fsio::create_dir(&request.out)?;
    let draft = fsio::temporary_folder_in(&request.out)?;
    let target = match request.package {
        PackageForm::Plain => request.out.clone(),
        PackageForm::Triton => draft.path().join("package"),
    };
    let (serving, options) = (&settings.target, settings.target.session_options());
    let provers = Provers { engines: &serving.engines, options: &options, stop: None };
    let parity = package.write(&request.form(&source.schema), &target, &split.valid, PARITY_SEED, provers)?;
    let quantisation = (request.precision == Precision::Int8)
        .then(|| fsio::read_json(&target.join(QuantisationReport::FILE)))
        .transpose()?;
    let mut onnx = target.join("model.onnx");
    let Described { signature, item_table, .. } = export::describe(&onnx)?;
    if request.package == PackageForm::Triton {
        let vectors = TestVectors::beside(&onnx)?.unwrap_or_default();
        onnx = triton::add(&request.out, &request.name, &target, &signature, &vectors)?;
    }
    Ok(Exported {
        schema_version: 1,
        subnet: source.id,
        layout: request.layout,
        precision: request.precision,
        item_table,
        onnx,
        parity,
        quantisation,
    })
}
