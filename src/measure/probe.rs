//! Fills the latency table: which layers a search space can be built of, as single-layer models, measured in one child
//! process per engine; and the service time of whole networks, measured the same way.

use super::{
    child::Launcher,
    engine::{self, SessionOptions},
    environment,
    job::ServiceResult,
    service::{Effort, Requests, ServiceJob, ServiceModel},
};
use crate::{
    base::{
        Error, Result,
        names::{EngineName, Layout, Precision},
    },
    data::schema::Side,
    export::{
        self, OnnxModel,
        probe::{self, ProbeInput},
    },
    price::table::{LatencyTable, Operation, TableContext, TableEntry},
    space::{Operator, SearchSpace},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Layers to be probed, and at which candidate counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbePlan {
    /// Every layer that a network of the space can have, first layers on a grid of input widths.
    pub operations: Vec<Operation>,
    /// Candidates per request.
    pub candidates: Vec<usize>,
    /// Layout of the first layers.
    pub layout: Layout,
    /// Width of every embedding of a first-layer probe.
    pub embedding_width: usize,
    /// Rows of every embedding table of a first-layer probe.
    pub cardinality: usize,
}

/// Which engine measures, how, and how thoroughly.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSettings {
    /// The runtime.
    pub engine: EngineName,
    /// How its sessions are made.
    pub options: SessionOptions,
    /// Number format of the graphs that are measured.
    pub precision: Precision,
    /// How thoroughly.
    pub effort: Effort,
    /// Of inputs and order.
    pub seed: u64,
}

/// Probed layers under one set of circumstances.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The circumstances.
    pub context: TableContext,
    /// Candidate count and value.
    pub entries: Vec<(usize, TableEntry)>,
}

/// Weights of probes that lie on the disk, and in the memory of a measuring process, at once.
const GROUP_BYTES: usize = 512 << 20;

impl ProbePlan {
    /// The plan for a space whose features have tables of about `cardinality` rows.
    ///
    /// First layers are probed at a quarter, half and all of each side's features, and at the fewest that a network
    /// can have: none on the user's side, one on the item's (none where items have rows). All embeddings of a probe have the space's mean width.
    pub fn for_space(
        space: &SearchSpace,
        cardinality: usize,
        layout: Layout,
        candidates: &[usize],
    ) -> Result<Self> {
        let total = space.input_widths(|_| 1.0);
        let least_items = usize::from(layout.rows().is_none());
        if (total.item == 0.0 && least_items > 0) || candidates.is_empty() {
            return Err(Error::usage(
                "a request without item features or without candidate counts cannot be probed",
                "declare at least one item feature in the schema, and name a candidate count",
            ));
        }
        let side =
            |side| (0..space.features.len()).filter(|&i| space.side_in_request(i) == Some(side)).count();
        let features = side(Side::User) + side(Side::Item);
        let embedding_width = ((total.total() / features as f64).round() as usize).max(1);
        let columns = |width: f64, count: usize, least: usize| -> BTreeSet<usize> {
            let all = (width / embedding_width as f64).ceil() as usize;
            let counts = [least, count.div_ceil(4), count.div_ceil(2), all];
            counts.into_iter().map(|count| count.clamp(least, all.max(least)) * embedding_width).collect()
        };
        let users = columns(total.user, side(Side::User), 0);
        let items = columns(total.item, side(Side::Item), least_items);
        let mut operations = Vec::new();
        for to in first_widths(space) {
            for &user in &users {
                operations.extend(items.iter().map(|&item| Operation::First { user, item, to }));
            }
        }
        operations.extend(later_layers(space));
        Ok(Self { operations, candidates: candidates.to_vec(), layout, embedding_width, cardinality })
    }

    /// Measures the plan in child processes: as many layers at a time as the disk and the memory of a small machine hold.
    pub fn run(&self, launcher: &Launcher, settings: &ServiceSettings) -> Result<Probed> {
        let mut groups = self.groups().into_iter();
        let mut probed = self.run_group(groups.next().unwrap_or_default(), launcher, settings)?;
        for group in groups {
            probed.entries.extend(self.run_group(group, launcher, settings)?.entries);
        }
        Ok(probed)
    }

    /// The operations in their order, cut so that the models of a group stay below [`GROUP_BYTES`] together.
    fn groups(&self) -> Vec<&[Operation]> {
        let (mut groups, mut begin, mut bytes) = (Vec::new(), 0, 0);
        for (at, &operation) in self.operations.iter().enumerate() {
            let size = self.model_bytes(operation);
            if at > begin && bytes + size > GROUP_BYTES {
                groups.push(&self.operations[begin..at]);
                (begin, bytes) = (at, 0);
            }
            bytes += size;
        }
        groups.push(&self.operations[begin..]);
        groups
    }

    /// Size of a probe's weights.
    fn model_bytes(&self, operation: Operation) -> usize {
        let numbers = match operation {
            Operation::Layer { from, to } => from * to,
            Operation::First { user, item, to } => (user + item) * (self.cardinality + to),
        };
        numbers * size_of::<f32>()
    }

    fn run_group(
        &self,
        operations: &[Operation],
        launcher: &Launcher,
        settings: &ServiceSettings,
    ) -> Result<Probed> {
        let folder =
            tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
        let mut models = Vec::with_capacity(operations.len());
        for (i, &operation) in operations.iter().enumerate() {
            let model = self.model(operation, settings.precision)?;
            let path = folder.path().join(format!("{i}.onnx"));
            model.write(&path)?;
            models.push(ServiceModel { name: operation.to_string(), path, signature: model.signature });
        }
        let result = launcher.service(settings.job(models, &self.candidates, Requests::Random))?;
        self.probed(operations, settings, result)
    }

    fn model(&self, operation: Operation, precision: Precision) -> Result<OnnxModel<'static>> {
        match operation {
            Operation::Layer { from, to } => probe::layer(from, to, precision),
            Operation::First { user, item, to } => {
                let input = ProbeInput {
                    user_features: user / self.embedding_width,
                    item_features: item / self.embedding_width,
                    width_per_feature: self.embedding_width,
                    cardinality: self.cardinality,
                };
                probe::first_layer(input, to, self.layout, precision)
            }
        }
    }

    /// Joins the samples, which come per candidate count in the order of the models, with their operations.
    fn probed(
        &self,
        operations: &[Operation],
        settings: &ServiceSettings,
        result: ServiceResult,
    ) -> Result<Probed> {
        let expected = self.candidates.len() * operations.len();
        if result.samples.len() != expected {
            return Err(Error::usage(
                format!("the measuring process gave {} samples instead of {expected}", result.samples.len()),
                "run the same version of the program as parent and child",
            ));
        }
        let entries = operations.iter().cycle().zip(&result.samples).map(|(&operation, sample)| {
            let (samples, mean_ms, noise_pct) = (sample.runs as u64, sample.mean_ms, sample.noise_pct);
            (sample.candidates, TableEntry { operation, samples, mean_ms, noise_pct })
        });
        Ok(Probed { entries: entries.collect(), context: context(settings, self.layout, &result) })
    }
}

impl Probed {
    /// Layers that stayed noisier than `max_noise_pct`: their values stand in the table with their noise.
    pub fn noisy(&self, max_noise_pct: f64) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.noise_pct > max_noise_pct).count()
    }

    /// Writes every value into `table`, over older ones of the same operation.
    pub fn insert_into(&self, table: &mut LatencyTable) -> Result<()> {
        self.entries
            .iter()
            .try_for_each(|&(candidates, entry)| table.insert(&self.context, candidates, entry))
    }
}

impl ServiceSettings {
    fn context(&self, layout: Layout, engine_version: String, host: String) -> TableContext {
        TableContext {
            engine: self.engine,
            engine_version,
            provider: self.options.provider,
            layout,
            precision: self.precision,
            threads: self.options.threads,
            host,
        }
    }

    fn job(&self, models: Vec<ServiceModel>, candidates: &[usize], requests: Requests) -> ServiceJob {
        ServiceJob {
            engine: self.engine,
            options: self.options.clone(),
            models,
            candidates: candidates.to_vec(),
            requests,
            effort: self.effort,
            seed: self.seed,
        }
    }
}

/// The circumstances that this program's measurements on this machine will have.
pub fn context_here(settings: &ServiceSettings, layout: Layout) -> Result<TableContext> {
    Ok(settings.context(layout, engine::engine(settings.engine)?.version(), environment::host()))
}

/// The circumstances of a result: what its values are filed under in a latency table.
pub fn context(settings: &ServiceSettings, layout: Layout, result: &ServiceResult) -> TableContext {
    settings.context(layout, result.engine_version.clone(), result.environment.host.clone())
}

/// Runs the smallest layer in a measuring process, so that an engine, a provider or a number of threads that this
/// machine does not have shows at once and not after hours of work.
pub fn trial(launcher: &Launcher, engine: EngineName, options: &SessionOptions) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
    let path = folder.path().join("trial.onnx");
    let precision = Precision::Fp32;
    let model = probe::layer(1, 1, precision)?;
    model.write(&path)?;
    let models = vec![ServiceModel { name: "trial".to_owned(), path, signature: model.signature }];
    let effort =
        Effort { passes: 2, block_ms: 0.0, min_runs: 1, max_runs: 1, repeats: 0, ..Effort::default() };
    let settings = ServiceSettings { engine, options: options.clone(), precision, effort, seed: 0 };
    launcher.service(settings.job(models, &[1], Requests::Random)).map(|_| ())
}

/// Service times of whole exported networks, (name, ONNX file) each, measured as the probes are but asked `requests`.
pub fn measure_networks(
    launcher: &Launcher,
    settings: &ServiceSettings,
    networks: &[(String, PathBuf)],
    candidates: &[usize],
    requests: Requests,
) -> Result<ServiceResult> {
    let model = |(name, path): &(String, PathBuf)| -> Result<ServiceModel> {
        let (signature, _) = export::read_signature(path)?;
        Ok(ServiceModel { name: name.clone(), path: absolute(path)?, signature })
    };
    let models = networks.iter().map(model).collect::<Result<_>>()?;
    launcher.service(settings.job(models, candidates, requests))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path, "resolve", e))
}

/// Whether a path through the space may skip all Mixops of `range`.
fn skippable(space: &SearchSpace, mut range: std::ops::Range<usize>) -> bool {
    range.all(|i| space.mixops[i].contains(&Operator::Zero))
}

fn widths(operators: &[Operator]) -> impl Iterator<Item = usize> {
    operators.iter().filter_map(|operator| operator.width())
}

/// Output widths that a first layer can have; 1 when no layer need be between input and output.
fn first_widths(space: &SearchSpace) -> BTreeSet<usize> {
    let depth = space.mixops.len();
    let mut found: BTreeSet<usize> =
        (0..depth).filter(|&i| skippable(space, 0..i)).flat_map(|i| widths(&space.mixops[i])).collect();
    if skippable(space, 0..depth) {
        found.insert(1);
    }
    found
}

/// Later layers that a path through the space can have, the output node included.
fn later_layers(space: &SearchSpace) -> Vec<Operation> {
    let depth = space.mixops.len();
    let mut found = BTreeSet::new();
    for i in 0..depth {
        for from in widths(&space.mixops[i]) {
            for j in i + 1..depth {
                if skippable(space, i + 1..j) {
                    found.extend(widths(&space.mixops[j]).map(|to| Operation::Layer { from, to }));
                }
            }
            if skippable(space, i + 1..depth) {
                found.insert(Operation::Layer { from, to: 1 });
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests;
