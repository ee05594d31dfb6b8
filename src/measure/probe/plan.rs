//! What has to be measured so that a table can price a search space, and in which groups.
//!
//! - every later layer alone, and a call that computes nothing;
//! - first layers of every width on a grid of input widths. The points of the grid are sets of the space's own features, each
//!   side's features in one order of which the points take the beginnings, so that every kind of feature is in each as
//!   often as in the space;
//! - first layers of the least width over other sets: each group of features by itself, and random ones. They tell
//!   apart what inputs are made of;
//! - whole random networks in which every layer comes at least twice, and others that judge the table.
//!
//! Everything is cut into groups of one candidate count that a child process measures at once, in random order and random
//! company: a drift of the machine meets all kinds alike.

use super::sets::{grid, in_proportion, other_sets};
use crate::{
    base::{
        Error, Result, check,
        names::{Layout, Precision},
        rng,
    },
    data::schema::Side,
    export::{
        OnnxModel,
        probe::{self, ProbeFeature},
    },
    learn::network::NetworkInput,
    measure::service::{Effort, ServiceSample},
    price::{
        agreement::Shape,
        observation::Observation,
        table::{Bucket, InputEntry, LatencyTable, Operation, TableContext, TableEntry, Value},
    },
    space::{
        Input, SearchSpace, Subnet,
        design::{covering_subnets, edges, random_subnets},
    },
};
use serde::Serialize;

/// Weights of models that lie on the disk, and in the memory of a measuring process, at once.
pub(super) const GROUP_BYTES: usize = 512 << 20;
/// Models of a group: few enough that little is lost when a probing is stopped.
const GROUP_MODELS: usize = 48;
/// Every layer is in at least so many of the networks that a table learns from.
const TIMES_IN_NETWORKS: usize = 2;
/// Runs of a network with cold caches.
const COLD_RUNS: usize = 3;
/// For estimates alone: multiply-adds per second of one core, and seconds to load a model.
const MULTIPLY_ADDS_PER_S: f64 = 2.5e10;
const LOAD_S: f64 = 0.05;

/// How many whole networks are measured at every candidate count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Networks {
    /// For the table to learn from; more where every layer's coming twice takes more.
    pub fitted: usize,
    /// To judge the table by.
    pub held_out: usize,
}

impl Networks {
    /// Layers alone.
    pub const NONE: Self = Self { fitted: 0, held_out: 0 };
}

/// One thing to measure. Features are indices into the space's, ascending.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A later layer, or a call.
    Layer(Operation),
    /// A first layer at a point of the grid.
    Grid {
        /// Its input.
        features: Vec<usize>,
        /// Outputs.
        to: usize,
    },
    /// A first layer over another set of features.
    Input {
        /// Its input.
        features: Vec<usize>,
        /// Outputs.
        to: usize,
    },
    /// A network to learn from.
    Network(Subnet),
    /// A network to judge by.
    HeldOut(Subnet),
}

/// All that is measured for a space, and at which candidate counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbePlan {
    /// The space.
    #[serde(skip)]
    pub space: SearchSpace,
    /// What is measured, each once.
    pub subjects: Vec<Subject>,
    /// Candidates per request.
    pub candidates: Vec<usize>,
    /// Layout of first layers and networks.
    pub layout: Layout,
    /// Rows of every feature's embedding table.
    pub cardinalities: Vec<usize>,
}

/// Subjects that are measured at once, by their positions, and at which candidate count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeGroup {
    /// Candidates per request.
    pub candidates: usize,
    /// Positions in [`ProbePlan::subjects`].
    pub subjects: Vec<usize>,
}

impl ProbePlan {
    /// The plan for a space, served in `layout`, whose features have tables of `cardinalities` rows. `seed` decides which features and networks
    /// are drawn.
    pub fn for_space(
        space: &SearchSpace,
        cardinalities: &[usize],
        layout: Layout,
        candidates: &[usize],
        networks: Networks,
        seed: u64,
    ) -> Result<Self> {
        let tells_apart = space.input_widths(|_| 1.0).item > 0.0 || layout.rows().is_some();
        if !tells_apart || candidates.is_empty() {
            return Err(Error::usage(
                "a request without item features or without candidate counts cannot be probed",
                "declare at least one item feature in the schema, and name a candidate count",
            ));
        }
        candidates.iter().try_for_each(|&count| check::candidates("candidates", count))?;
        let draws = |purpose: &str| rng::generator(seed, purpose);
        let sides =
            [Side::User, Side::Item].map(|side| in_proportion(space, side, &mut draws("probe order")));
        let edges = edges(space);
        let first: Vec<usize> = edges.iter().filter(|(from, _)| from.is_none()).map(|&(_, to)| to).collect();
        let later = edges.iter().filter_map(|&(from, to)| Some(Operation::Layer { from: from?, to }));
        let mut subjects: Vec<Subject> =
            [Operation::Call].into_iter().chain(later).map(Subject::Layer).collect();
        let grid = grid(space, &sides, layout);
        for &to in &first {
            subjects.extend(grid.iter().map(|features| Subject::Grid { features: features.clone(), to }));
        }
        let sets = other_sets(space, &sides, &grid, &mut draws("probe inputs"));
        // The narrowest product hides least of what the input costs.
        subjects.extend(first.first().into_iter().flat_map(|&to| {
            sets.iter().map(move |features| Subject::Input { features: features.clone(), to })
        }));
        let held_out = random_subnets(space, networks.held_out, &[], draws("probe judges"));
        if networks.fitted > 0 {
            let rng = draws("probe networks");
            let fitted = covering_subnets(space, networks.fitted, TIMES_IN_NETWORKS, &held_out, rng);
            subjects.extend(fitted.into_iter().map(Subject::Network));
        }
        subjects.extend(held_out.into_iter().map(Subject::HeldOut));
        let (mut candidates, cardinalities) = (candidates.to_vec(), cardinalities.to_vec());
        // A count that is named twice is measured once.
        candidates.sort_unstable();
        candidates.dedup();
        Ok(Self { space: space.clone(), subjects, candidates, layout, cardinalities })
    }

    /// All subjects at all candidate counts, each once, in seeded random order: small enough to be measured at once.
    pub fn groups(&self, seed: u64) -> Vec<ProbeGroup> {
        let mut rng = rng::generator(seed, "probe groups");
        let mut groups = Vec::new();
        for &candidates in &self.candidates {
            let mut order: Vec<usize> = (0..self.subjects.len()).collect();
            rng::shuffle(&mut order, &mut rng);
            // Of about equal size, so that no last one is measured in little company.
            let size = order.len().div_ceil(order.len().div_ceil(GROUP_MODELS).max(1)).max(1);
            let (mut group, mut bytes) = (Vec::new(), 0);
            for at in order {
                let more = self.model_bytes(&self.subjects[at]);
                if group.len() == size || (!group.is_empty() && bytes + more > GROUP_BYTES) {
                    groups.push(ProbeGroup { candidates, subjects: std::mem::take(&mut group) });
                    bytes = 0;
                }
                group.push(at);
                bytes += more;
            }
            groups.push(ProbeGroup { candidates, subjects: group });
        }
        rng::shuffle(&mut groups, &mut rng);
        groups
    }

    /// About how long a group takes with the least passes, in seconds of a machine like any other.
    pub fn expected_s(&self, group: &ProbeGroup, effort: &Effort) -> f64 {
        let of = |&at: &usize| {
            let run_s =
                self.multiply_adds(&self.subjects[at]) * group.candidates as f64 / MULTIPLY_ADDS_PER_S;
            let visit_s = (effort.block_ms / 1e3).max((effort.min_runs + 1) as f64 * run_s);
            LOAD_S + effort.passes as f64 * visit_s
        };
        group.subjects.iter().map(of).sum()
    }

    /// What a table does not hold of a group; None where it holds all of it.
    pub fn lacking(
        &self,
        table: &LatencyTable,
        context: &TableContext,
        group: &ProbeGroup,
    ) -> Option<ProbeGroup> {
        let bucket = table.bucket(context, group.candidates).ok();
        let known = |&at: &usize| bucket.is_some_and(|bucket| self.is_in(bucket, &self.subjects[at]));
        let subjects: Vec<usize> = group.subjects.iter().copied().filter(|at| !known(at)).collect();
        (!subjects.is_empty()).then_some(ProbeGroup { candidates: group.candidates, subjects })
    }

    fn is_in(&self, bucket: &Bucket, subject: &Subject) -> bool {
        let alone = |operation: Option<Operation>| {
            operation.is_some_and(|operation| {
                bucket.entries.binary_search_by_key(&operation, |entry| entry.operation).is_ok()
            })
        };
        let blank = |subnet| Observation::of(&self.space, subnet, 1.0, 0.0);
        match subject {
            Subject::Layer(_) => alone(self.operation(subject)),
            Subject::Grid { features, .. } => {
                alone(self.operation(subject)) && bucket.grid.contains(&self.input(features))
            }
            Subject::Input { features, to } => {
                let input = self.input(features);
                bucket.inputs.iter().any(|entry| entry.input == input && entry.to == *to)
            }
            Subject::Network(subnet) => bucket.shape_of(&blank(subnet)) == Shape::Seen,
            // What the table has learnt from cannot judge it any more.
            Subject::HeldOut(subnet) => bucket.knows(&blank(subnet)),
        }
    }

    /// The input over a set of features.
    pub fn input(&self, features: &[usize]) -> Input {
        self.space.input(|i| f64::from(u8::from(features.binary_search(&i).is_ok())))
    }

    /// The table's key of a layer that is probed for itself.
    pub fn operation(&self, subject: &Subject) -> Option<Operation> {
        match subject {
            Subject::Layer(operation) => Some(*operation),
            Subject::Grid { features, to } => Some(grid_point(&self.input(features), *to)),
            Subject::Input { .. } | Subject::Network(_) | Subject::HeldOut(_) => None,
        }
    }

    /// How a subject is called.
    pub fn name(&self, subject: &Subject) -> String {
        match subject {
            Subject::Layer(operation) => operation.to_string(),
            Subject::Grid { features, to } | Subject::Input { features, to } => {
                let widths = self.input(features).widths;
                format!("first layer (user {}, item {}) → {to}", widths.user, widths.item)
            }
            Subject::Network(subnet) | Subject::HeldOut(subnet) => subnet.id(&self.space),
        }
    }

    /// The model that stands for a subject, in a number format; a call has nothing that could be in integers.
    pub fn model(&self, subject: &Subject, precision: Precision) -> Result<OnnxModel<'static>> {
        match subject {
            // One value per candidate goes in and comes out again.
            Subject::Layer(Operation::Call) => probe::layer(1, 1, Precision::Fp32),
            Subject::Layer(Operation::Layer { from, to }) => probe::layer(*from, *to, precision),
            Subject::Layer(operation @ Operation::First { .. }) => Err(Error::usage(
                format!("{operation} does not say which features it reads"),
                "probe it at a point of the grid",
            )),
            Subject::Grid { features, to } | Subject::Input { features, to } => {
                probe::first_layer(self.inputs(features), *to, self.layout, precision)
            }
            Subject::Network(subnet) | Subject::HeldOut(subnet) => {
                let (inputs, widths) = (self.inputs(&subnet.features), subnet.layer_widths());
                probe::network(inputs, &widths, self.layout, precision, &subnet.id(&self.space))
            }
        }
    }

    fn inputs(&self, features: &[usize]) -> Vec<NetworkInput> {
        request_inputs(&self.space, &self.cardinalities, features)
    }

    /// Runs of a subject with cold caches.
    pub fn cold_runs(&self, subject: &Subject) -> usize {
        match subject {
            Subject::Network(_) | Subject::HeldOut(_) => COLD_RUNS,
            Subject::Layer(_) | Subject::Grid { .. } | Subject::Input { .. } => 0,
        }
    }

    /// What a measurement of a subject adds to a table.
    pub fn value(&self, subject: &Subject, sample: &ServiceSample) -> Value {
        let (samples, mean_ms, noise_pct) = (sample.runs as u64, sample.mean_ms, sample.noise_pct);
        let quantiles = sample.quantiles;
        let entry = |operation| TableEntry { operation, samples, mean_ms, noise_pct, quantiles, origin: 0 };
        let observed = |subnet: &Subnet| Observation {
            cold_ms: sample.cold_ms,
            ..Observation::of(&self.space, subnet, mean_ms, noise_pct)
        };
        match subject {
            Subject::Layer(operation) => Value::Layer(entry(*operation)),
            Subject::Grid { features, to } => {
                let input = self.input(features);
                Value::Grid(entry(grid_point(&input, *to)), input)
            }
            Subject::Input { features, to } => {
                let input = self.input(features);
                Value::Input(InputEntry { input, to: *to, samples, mean_ms, noise_pct, quantiles, origin: 0 })
            }
            Subject::Network(subnet) => Value::Network(observed(subnet)),
            Subject::HeldOut(subnet) => Value::HeldOut(observed(subnet)),
        }
    }

    /// Widths from the input to the last layer.
    fn widths(&self, subject: &Subject) -> Vec<usize> {
        let columns = |features: &[usize]| self.input(features).widths.total().round() as usize;
        match subject {
            Subject::Layer(Operation::Layer { from, to }) => vec![*from, *to],
            Subject::Layer(_) => vec![1, 1],
            Subject::Grid { features, to } | Subject::Input { features, to } => vec![columns(features), *to],
            Subject::Network(subnet) | Subject::HeldOut(subnet) => {
                let input = std::iter::once(columns(&subnet.features));
                input.chain(subnet.layer_widths()).chain([1]).collect()
            }
        }
    }

    fn multiply_adds(&self, subject: &Subject) -> f64 {
        self.widths(subject).windows(2).map(|pair| (pair[0] * pair[1]) as f64).sum()
    }

    /// Size of a model's weights.
    pub(super) fn model_bytes(&self, subject: &Subject) -> usize {
        let features = match subject {
            Subject::Layer(_) => &[][..],
            Subject::Grid { features, .. } | Subject::Input { features, .. } => features,
            Subject::Network(subnet) | Subject::HeldOut(subnet) => &subnet.features,
        };
        model_bytes(&self.space, &self.cardinalities, features, &self.widths(subject))
    }
}

/// Size of the weights of a model over features, in bytes: embedding tables, and layers of these widths from the input on.
pub fn model_bytes(
    space: &SearchSpace,
    cardinalities: &[usize],
    features: &[usize],
    widths: &[usize],
) -> usize {
    let table = |i: usize| cardinalities[i] * space.features[i].width;
    let layers: usize = widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
    (requested(space, features).map(table).sum::<usize>() + layers) * size_of::<f32>()
}

/// The inputs of a network that is measured and not trained, over features of `space`: those that a request holds.
pub fn request_inputs(space: &SearchSpace, cardinalities: &[usize], features: &[usize]) -> Vec<NetworkInput> {
    let of = |i: usize| ProbeFeature { feature: &space.features[i], cardinality: cardinalities[i] };
    probe::inputs(&requested(space, features).map(of).collect::<Vec<_>>())
}

/// Those of the features that a request holds; rows stand for the others.
fn requested(space: &SearchSpace, features: &[usize]) -> impl Iterator<Item = usize> {
    features.iter().copied().filter(|&i| space.side_in_request(i).is_some())
}

/// The table's key of a first layer over whole features, whose widths are whole too.
fn grid_point(input: &Input, to: usize) -> Operation {
    let [user, item] = [input.widths.user, input.widths.item].map(|width| width.round() as usize);
    Operation::First { user, item, to }
}
