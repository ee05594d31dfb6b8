//! A network with all features of the synthetic log, and requests to it.

use autofas_bench::{
    base::{names::Layout, rng},
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        encode::Encoders,
        schema::Schema,
        synth::{SynthSettings, generate},
    },
    export::{self, OnnxModel},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    measure::{
        lookup::Lookups,
        replay::{
            arrivals::Arrivals,
            make::{DataHashes, ListLength, Order, TraceRecipe, plan},
        },
        workload::{ResolvedTrace, TraceWorkload, request_log},
    },
};

const WIDTH: usize = 8;

pub struct Scene {
    schema: Schema,
    data: Dataset,
    pub model: OnnxModel<'static>,
}

impl Scene {
    /// With dense layers of these widths, the single output not named.
    pub fn new(layers: &[usize]) -> Self {
        let log = generate(&SynthSettings::default()).expect("a synthetic log");
        let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
        let encoders = Encoders::fit(&log.schema, &log.table, &rows).expect("encoders");
        let data = encoders.encode(&log.schema, &log.table).expect("encoded rows");
        let network = network(&log.schema, &data, layers);
        let metadata = export::Metadata::default();
        let model = export::onnx(&network, Layout::UserOnce, &metadata).expect("an exported network");
        Self { schema: log.schema, data, model: model.into_owned() }
    }

    /// Users of the log, each with so many of its items.
    pub fn requests(&self, requests: usize, candidates: usize) -> ResolvedTrace {
        let recipe = TraceRecipe {
            arrivals: Arrivals::Constant { qps: 1000.0 },
            requests,
            order: Order::Sampled,
            length: ListLength::Fixed(candidates),
            seed: 1,
        };
        let log = request_log(&self.data, None).expect("keys of users and items");
        let trace = plan(log, &recipe, DataHashes::default()).expect("a trace");
        let requests = trace.requests().map(Ok);
        ResolvedTrace::new("the trace of the figures".as_ref(), requests, &self.data)
            .expect("rows of its keys")
    }

    pub fn workload<'a>(&'a self, resolved: &'a ResolvedTrace) -> TraceWorkload<'a> {
        TraceWorkload::new(resolved, &self.data, &self.schema, &self.model.signature, &Lookups::default())
            .expect("a plan")
    }
}

fn network(schema: &Schema, data: &Dataset, widths: &[usize]) -> Network {
    let mut generator = rng::generator(1, "weights of the figures");
    let mut numbers = |count: usize| rng::uniforms(count, 0.2, &mut generator);
    let input = |(feature, encoded): (&_, &EncodedFeature)| -> NetworkInput {
        let feature: &autofas_bench::data::schema::Feature = feature;
        let rows = encoded.cardinality as usize * WIDTH;
        let embedding = match encoded.slot {
            Slot::Ids { length: 1, .. } => Embedding::Table { rows: numbers(rows) },
            Slot::Ids { length, .. } => Embedding::Pooled { rows: numbers(rows), length },
            Slot::Number { .. } => Embedding::Number { scale: numbers(WIDTH), missing: numbers(WIDTH) },
        };
        NetworkInput { feature: feature.name.clone(), side: feature.kind.side(), width: WIDTH, embedding }
    };
    let inputs: Vec<NetworkInput> = schema.features.iter().zip(&data.features).map(input).collect();
    let ends: Vec<usize> =
        [inputs.len() * WIDTH].into_iter().chain(widths.iter().copied()).chain([1]).collect();
    let layers = ends.windows(2).map(|pair| Dense {
        inputs: pair[0],
        outputs: pair[1],
        weight: numbers(pair[0] * pair[1]),
        bias: numbers(pair[1]),
    });
    let layers = layers.collect();
    Network { inputs, body: Body::Mlp(layers) }
}
