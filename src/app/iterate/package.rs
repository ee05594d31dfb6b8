//! From a trained network to a proved ONNX package.

use super::{Run, meter::NamedModel};
use crate::{
    app::{
        config::Stage,
        package::{CERTIFICATE, Numbers, Package, Provers},
    },
    base::Result,
    export::{Form, Metadata},
    learn::{metrics::Metrics, network::Network, train::FitReport},
    measure::prove::ParityReport,
    space::Subnet,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A network that was exported and proved.
#[derive(Serialize, Deserialize)]
pub(super) struct Finished {
    /// The choice it stands for.
    pub(super) subnet: Subnet,
    /// Its canonical id.
    pub(super) id: String,
    /// Its folder under `networks/`.
    pub(super) name: String,
    /// The ONNX file.
    pub(super) onnx: PathBuf,
    /// Trained numbers.
    pub(super) parameters: usize,
    /// Multiply-adds of the dense layers for one candidate.
    pub(super) multiply_adds: usize,
}

impl Finished {
    /// The model as it is handed to a meter.
    pub(super) fn model(&self) -> NamedModel {
        NamedModel { name: self.name.clone(), path: self.onnx.clone() }
    }
}

impl Run<'_> {
    /// [`Run::exported`] for a network of the search space, with what it is.
    pub(super) fn finish(
        &self,
        name: &str,
        subnet: &Subnet,
        network: Network,
        fit: &FitReport,
        table_version: Option<u32>,
    ) -> Result<Finished> {
        let id = subnet.id(&self.space);
        let onnx = self.exported(name, &network, &self.metadata(&id, &fit.metrics, table_version))?;
        Ok(Finished {
            subnet: subnet.clone(),
            id,
            name: name.to_owned(),
            onnx,
            parameters: network.parameters(),
            multiply_adds: network.multiply_adds(),
        })
    }

    /// Exports a trained network of any form in the target's layout, into the folder `name` under `networks/`, and proves it on
    /// real rows in every engine: where its ONNX file lies. A network that does not agree fails the run before anything is timed.
    pub(in crate::app) fn exported(
        &self,
        name: &str,
        network: &Network,
        metadata: &Metadata,
    ) -> Result<PathBuf> {
        let folder = self.journal.path(&format!("networks/{name}"));
        let onnx = folder.join("model.onnx");
        let certificate = format!("networks/{name}/{CERTIFICATE}");
        let report = self.journal.remember_document(&certificate, ParityReport::SCHEMA_VERSION, || {
            self.progress.stage(&format!("export and prove {name}"), 0);
            let package = Package {
                network,
                metadata,
                schema: &self.schema,
                encoders: &self.loaded.encoders,
                data: &self.loaded.dataset,
                numbers: Numbers {
                    precision: self.settings.target.precision,
                    calibration: (&self.loaded.dataset, &self.loaded.split.train[..]),
                    traffic: None,
                    settings: &self.settings.quantise,
                },
            };
            let (target, seed) = (&self.settings.target, self.seed(Stage::Rounds));
            let (options, stop) = (&target.session_options(), Some(self.journal.stop()));
            let provers = Provers { engines: &target.engines, options, stop };
            let form = Form::of(target.layout, &self.schema);
            package.write(&form, &folder, &self.loaded.split.valid, seed, provers)
        })?;
        self.progress.say(&format!(
            "  {} rows agree in every engine within {:.1e}",
            report.rows,
            report.worst()
        ));
        for engine in report.gate.iter().flat_map(|gate| &gate.engines) {
            self.progress.say(&format!("  rounded, on {}: {} against fp32", engine.engine, engine.loss));
        }
        Ok(onnx)
    }

    /// What travels inside the file of the network `id`.
    pub(in crate::app) fn metadata(
        &self,
        id: &str,
        metrics: &Metrics,
        table_version: Option<u32>,
    ) -> Metadata {
        let metrics = [("auc", metrics.auc), ("gauc", metrics.gauc), ("logloss", Some(metrics.logloss))];
        Metadata {
            schema_hash: self.schema.hash(),
            encoder_hash: self.loaded.encoders.hash(),
            subnet: id.to_owned(),
            table_version,
            metrics: metrics
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
