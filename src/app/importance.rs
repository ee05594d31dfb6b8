//! What each feature of a run's retrained network is worth in AUC, beside what the network would take less without it.
//!
//! Two ways to take a feature away are asked of the network as it is ([`learn::importance`](crate::learn::importance)): its mean embedding for
//! all rows, and its values permuted among them. Nothing is trained again, so one of two twins looks as if it were worth little.
//! Prices are those of the run: of features as its search paid them, of layers as its last table has them, both in the mean.
//!
//! The rows are those that the run validates on. That describes a network that was chosen already; nothing is chosen by it.

use super::{
    config::{Settings, Stage},
    iterate::{FoundBy, Journal, LastPrices, found_by},
    source::Source,
};
use crate::{
    base::{Result, fsio, names::EngineName, progress::Progress, rng, stop::Stop},
    data::{self, schema::Kind},
    learn::{
        derive::Price,
        importance::{
            Importance, Judged, leave_one_out, permutation,
            priced::{Priced, priced},
            some_of,
        },
        metrics::Metrics,
        network::PlainOnly,
        price_term::Prices,
        settings::{Measure, PermutationSettings},
        student::Lesson,
        train::metrics_of,
    },
    price::{resolved::TablePrices, target::MeanService},
    space::{Operator, SearchSpace, Subnet},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of [`FeatureImportance`].
const SCHEMA_VERSION: u32 = 1;

/// What is lost shows nothing unless it is above so many of its standard errors.
const ERRORS: f64 = 2.0;

/// Whose features are judged on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportanceRequest {
    /// Run directory.
    pub run: PathBuf,
    /// A folder of the run's networks; its winner when absent.
    pub network: Option<String>,
    /// Validation rows, at most. They are in memory at once, embedded.
    pub rows: usize,
    /// Permutations of each feature.
    pub repeats: usize,
}

/// What the features of a network are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureImportance {
    /// Version of this format.
    pub schema_version: u32,
    /// A folder of the run's networks.
    pub network: String,
    /// Validation rows that it was judged on.
    pub rows: usize,
    /// There, with all of its features.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Permutations of each feature.
    pub repeats: usize,
    /// Of permutations, and of rows where not all are judged on.
    pub seed: u64,
    /// Id of the latency table that layers are priced by: the run's last one.
    pub table: String,
    /// On which engine.
    pub engine: EngineName,
    /// Candidates of every request.
    pub candidates: usize,
    /// Price of all of its features, in ms.
    pub feature_ms: f64,
    /// Its mean service time as the table has it, in ms; absent where that has no price for one of its layers, such as for a plain DNN of
    /// other widths than the space's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ms: Option<f64>,
    /// The search that found it, from the run's folder; absent where it came to be otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Those that lose most when left out come first.
    pub features: Vec<FeatureWorth>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureWorth {
    /// The schema's name.
    pub feature: String,
    /// What it describes.
    pub kind: Kind,
    /// θ at the end of the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// With its mean embedding in place of its own, for all rows.
    pub left_out: Lost,
    /// With its values permuted among the rows: the mean over the repeats.
    pub permuted: Lost,
    /// Neither loses more than two of its standard errors, so that these rows do not tell its worth from 0.
    pub within_noise: bool,
    /// What the network would take less without it, features and layers together, in ms; absent where the rest would be no network,
    /// for want of a feature of the item's side, and where a layer has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_ms: Option<f64>,
    /// The AUC that is lost when it is left out, per ms that is saved; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_lost_per_ms: Option<f64>,
}

/// What altering a feature loses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Below 0 the network does better without.
    pub auc: f64,
    /// Standard error for want of more rows (DeLong's, of the difference on the same rows); of one permutation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Standard deviation over the permutations, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

impl Lost {
    fn of(importance: &Importance) -> Self {
        let Importance { value, error, deviation, .. } = *importance;
        Self { auc: value, error, deviation }
    }

    fn within_noise(&self) -> bool {
        self.error.is_none_or(|error| self.auc <= ERRORS * error)
    }
}

/// Asks the network and writes what it says to [`written_to`].
///
/// Fails where the run has no such network, the network is none of plain layers, or the run has no table.
pub fn importance(request: &ImportanceRequest, progress: &dyn Progress) -> Result<FeatureImportance> {
    let source = Source::load(&request.run, request.network.as_ref())?;
    let settings = source.experiment(&[])?.settings;
    let network = Chosen::of(&source, request, &settings)?;
    let (split_seed, seed) = (settings.seeds.of(Stage::Split), settings.seeds.of(Stage::Retrain));
    progress.stage("read and encode the data", 0);
    let path = source.data_path()?;
    let (data, split) =
        data::load_divided(&source.schema, &path, &source.encoders, &settings.split, split_seed)?;
    let rows = some_of(&split.valid, request.rows, rng::derive(seed, "rows that importance is judged on"))?;
    let train = &settings.retrain.train;
    let student = source.untrained(&data, train, (Lesson::Labels, PlainOnly::Importance), seed)?;
    student.start_from(&source.network)?;
    let judged = Judged::new(&source.schema, &data, &rows);
    let permutations = PermutationSettings { repeats: request.repeats, measure: Measure::Auc };
    let left_out = leave_one_out(&student, &judged, Measure::Auc, progress)?;
    let permuted = permutation(&student, &judged, &permutations, seed, progress, &Stop::never())?;
    let scores = source.network.score(&data, &rows)?;
    let found = FeatureImportance {
        schema_version: SCHEMA_VERSION,
        network: source.id.clone(),
        rows: rows.len(),
        metrics: metrics_of(&scores, &data, &rows),
        repeats: request.repeats,
        seed,
        table: network.last.table.id(),
        engine: settings.target.engine,
        candidates: settings.target.candidates,
        feature_ms: network.feature_ms(),
        service_ms: network.service_ms,
        search: network.found_by.as_ref().map(|search| search.file.clone()),
        features: network.worths(&source, left_out, &permuted)?,
    };
    fsio::write_json(&written_to(&request.run, &source.id), &found)?;
    Ok(found)
}

/// Where the answer for a network is kept, from its run's folder.
pub fn file(network: &str) -> String {
    format!("importance/{network}.json")
}

/// Where the answer for a network of `run` is kept.
pub fn written_to(run: &Path, network: &str) -> PathBuf {
    run.join(file(network))
}

/// The answer for a network of `run`, if it was asked for before.
pub(super) fn kept(run: &Path, network: &str) -> Result<Option<FeatureImportance>> {
    Journal::followed(run).recall_document(&file(network), SCHEMA_VERSION)
}

/// The network as prices see it.
struct Chosen {
    /// All features of the schema, and its own layers.
    space: SearchSpace,
    subnet: Subnet,
    last: LastPrices,
    layers: TablePrices,
    /// None where a layer has no price.
    service_ms: Option<f64>,
    found_by: Option<FoundBy>,
}

impl Chosen {
    fn of(source: &Source, request: &ImportanceRequest, settings: &Settings) -> Result<Self> {
        let layers = source.network.mlp(PlainOnly::Importance)?.layers;
        let hidden = &layers[..layers.len() - 1];
        let operators: Vec<Operator> = hidden.iter().map(|layer| Operator::Mlp(layer.outputs)).collect();
        let of_layers = |mixops: Vec<Vec<Operator>>| -> Result<SearchSpace> {
            Ok(SearchSpace::new(source.schema.features.clone(), mixops)?.served_in(settings.target.layout))
        };
        let space = of_layers(operators.iter().map(|&operator| vec![operator]).collect())?;
        let subnet = Subnet { features: source.features(), operators };
        let last = LastPrices::of(&request.run, settings, &source.schema, &space)?;
        let layers = last.table.prices(&last.context, settings.target.candidates)?;
        let price = Price::known(&space, &subnet, &last.prices(source, &layers))?;
        let service_ms = price.map(|price| price.service_ms);
        let searched = of_layers(settings.space.mixops.clone())?;
        let found_by = found_by(&request.run, &searched, &source.id)?;
        Ok(Self { space, subnet, last, layers, service_ms, found_by })
    }

    /// Equation (4) of its features.
    fn feature_ms(&self) -> f64 {
        self.last.features.selected_ms(&self.subnet.features, self.space.features.len())
    }

    /// One line per feature, by what is lost when it is left out.
    fn worths(
        &self,
        source: &Source,
        left_out: Vec<Importance>,
        permuted: &[Importance],
    ) -> Result<Vec<FeatureWorth>> {
        let all = priced(left_out, &self.space, &self.subnet, &self.last.prices(source, &self.layers))?;
        let worth = |Priced { importance, saved_ms }: Priced| {
            let place = self.space.features.iter().position(|feature| feature.name == importance.feature)?;
            let permuted = permuted.iter().find(|permuted| permuted.feature == importance.feature)?;
            let (left_out, permuted) = (Lost::of(&importance), Lost::of(permuted));
            let paying = saved_ms.filter(|ms| *ms > 0.0);
            Some(FeatureWorth {
                feature: importance.feature,
                kind: self.space.features[place].kind,
                theta: self.found_by.as_ref().map(|search| search.theta[place]),
                left_out,
                permuted,
                within_noise: left_out.within_noise() && permuted.within_noise(),
                saved_ms,
                auc_lost_per_ms: paying.map(|ms| left_out.auc / ms),
            })
        };
        Ok(all.into_iter().filter_map(worth).collect())
    }
}

impl LastPrices {
    /// With these layers, in the mean.
    fn prices<'p>(&self, source: &'p Source, layers: &'p TablePrices) -> Prices<'p> {
        let (schema, features) = (&source.schema, self.features.clone());
        Prices { schema, features, layers, target: &MeanService, budget_ms: None }
    }
}
