//! What is measured of a system once it is built, alike for all: its scores of the validation rows and of whole requests, its
//! package, and its times by replay.

use super::{
    lists::Lists,
    result::{Fetched, Latency, Times, Trained},
    scene::Scene,
    systems::{Built, Form},
};
use crate::{
    app::iterate::{Guide, NamedModel, Run, Traffic},
    base::{Result, fsio},
    learn::{
        metrics::{BINS, Calibration, TopLists},
        train::metrics_of,
    },
    measure::{replay::trace::Pacing, store::StoreChoice},
    price::path::subnet_ms,
};
use std::collections::BTreeMap;

/// Labels of the validation rows, for paired statistics.
pub(super) const LABELS: &str = "scores/labels.bin";
/// The user of each, as a number from 0.
pub(super) const GROUPS: &str = "scores/groups.bin";

/// Keeps labels and groups of the validation rows: the GAUC's groups, else users, else every row by itself.
pub(super) fn keep_truth(root: &Run) -> Result<()> {
    let (data, valid) = (&root.loaded.dataset, &root.loaded.split.valid);
    let labels: Vec<f32> = valid.iter().map(|&row| data.labels[row as usize]).collect();
    let mut numbers = BTreeMap::new();
    let keys = data.groups.as_ref().or(data.user_keys.as_ref());
    let groups: Vec<u32> = valid
        .iter()
        .map(|&row| {
            let key = keys.map_or(u64::from(row), |keys| keys[row as usize]);
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        })
        .collect();
    fsio::write(&root.journal.path(LABELS), bytemuck::cast_slice(&labels))?;
    fsio::write(&root.journal.path(GROUPS), bytemuck::cast_slice(&groups))
}

/// What all systems of one seed are measured with.
pub(super) struct Measuring<'l> {
    pub(super) guide: Guide,
    /// Whole requests, with the teacher's scores.
    lists: Option<(&'l Lists, Vec<f32>)>,
}

impl<'l> Measuring<'l> {
    pub(super) fn new(guide: Guide, lists: Option<&'l Lists>) -> Result<Self> {
        let lists = match lists {
            Some(lists) => Some((lists, lists.taught(guide.teacher())?)),
            None => None,
        };
        Ok(Self { guide, lists })
    }

    /// `place` is the training's name in the comparison.
    pub(super) fn measure(&self, root: &Run, scene: &Scene, built: &Built, place: &str) -> Result<Trained> {
        let run = scene.run;
        let (data, valid) = (&run.loaded.dataset, &run.loaded.split.valid);
        let network = run.network(&built.name)?;
        let scores = network.score(data, valid)?;
        let top_lists = match &self.lists {
            Some((lists, taught)) => lists.kept(&network, taught)?,
            None => TopLists::default(),
        };
        let metadata = run.metadata(&built.name, &built.metrics, Some(scene.table.version));
        let onnx = run.exported(&built.name, &network, &metadata)?;
        let feature_ms = run.feature_ms(&built.subnet);
        let predicted_ms = match built.form {
            // The plain DNN may have layers that no table knows.
            Form::Layers => {
                scene.priced(|prices| Ok(subnet_ms(&run.space, &built.subnet, prices.layers).ok()))?
            }
            Form::Other => None,
        };
        let file = format!("scores/{place}.bin");
        fsio::write(&root.journal.path(&file), bytemuck::cast_slice(&scores))?;
        let labels: Vec<f32> = valid.iter().map(|&row| data.labels[row as usize]).collect();
        Ok(Trained {
            features: built.subnet.feature_names(&run.space).into_iter().map(str::to_owned).collect(),
            layers: built.subnet.layer_widths(),
            strengths: built.strengths.clone(),
            metrics: metrics_of(&scores, data, valid),
            calibration: Calibration::of(&scores, &labels, BINS),
            top_lists,
            parameters: network.parameters(),
            multiply_adds: network.multiply_adds(),
            feature_ms,
            predicted_ms,
            latency: latency(
                root,
                NamedModel { name: built.name.clone(), path: onnx.clone() },
                feature_ms,
                place,
            )?,
            onnx: onnx.strip_prefix(root.journal.path("")).unwrap_or(&onnx).display().to_string(),
            scores: file,
            measuring_s: 0.0,
        })
    }
}

/// Times of a network by replay, one request after the other: nothing waits for a worker.
fn latency(root: &Run, model: NamedModel, feature_ms: f64, place: &str) -> Result<Option<Latency>> {
    let Some(traffic) = root.traffic()? else { return Ok(None) };
    let store = match root.store_path() {
        Some(folder) => StoreChoice::Embedded(folder),
        None => StoreChoice::None,
    };
    let traffic = Traffic {
        hlogs: root.journal.path(&format!("seeds/{place}/replay")),
        pacing: Pacing::Closed,
        store,
        ..traffic
    };
    let engine = root.settings.target.engine;
    root.progress.measuring(&format!("replay {} on {engine}", model.name));
    let Some(replayed) = root.replay_models(engine, &[model], &traffic)?.pop() else {
        return Ok(None);
    };
    let measurement = replayed.measurement;
    let response = Times::of(&measurement.response_us);
    let (fetched, fetch, total) = match &measurement.fetch_us {
        Some(fetch) => (Fetched::FromStore, Times::of(fetch), response),
        None => {
            let price =
                if root.fetch_table.is_some() { Fetched::MeasuredPrice } else { Fetched::DeclaredPrice };
            (price, Times::constant(feature_ms), response.plus(feature_ms))
        }
    };
    Ok(Some(Latency {
        engine,
        candidates: measurement.load.mean_candidates,
        fetched,
        fetch,
        inference: Times::of(&measurement.service_us),
        total,
        valid: measurement.valid,
        reasons: measurement.reasons,
    }))
}
