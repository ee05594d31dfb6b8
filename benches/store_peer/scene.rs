//! A store filled from a log, requests to it, and a model's inputs that are fetched: KuaiRand where its file is named, else the
//! synthetic log.

use autofas_bench::{
    base::{names::Layout, progress::Silent, stop::Stop},
    data::{
        self,
        dataset::Dataset,
        encode::Encoders,
        schema::{Schema, Source},
        split::SplitSettings,
        synth::{SynthSettings, generate},
    },
    export::signature::Signature,
    measure::{
        assemble::{Assembler, Candidate},
        engine::Inputs,
        lookup::Lookups,
        replay::{
            arrivals::Arrivals,
            make::{DataHashes, ListLength, Order, TraceRecipe, plan},
        },
        store::{
            FeatureStore, FetchCounts, Keys, Owner, Reader, RowSink, StoreChoice,
            contents::{Contents, RowKey, Rows},
            embedded,
        },
        workload::request_log,
    },
};
use hashbrown::HashMap;
use std::{hint::black_box, path::Path};

const REQUESTS: usize = 200;

pub struct Scene {
    schema: Schema,
    data: Dataset,
    /// With the store in it.
    folder: tempfile::TempDir,
}

impl Scene {
    /// Of the Parquet file, or of a synthetic log.
    pub fn new(file: Option<&Path>) -> Self {
        let (schema, data, encoders) = match file {
            Some(file) => {
                let schema = Schema::load("fixtures/kuairand.schema.toml".as_ref()).expect("the schema");
                let split = SplitSettings::Shuffle { valid_fraction: 0.1 };
                let loaded = data::load(&schema, file, &split, 1).expect("encoded data");
                (schema, loaded.dataset, loaded.encoders)
            }
            None => {
                let settings =
                    SynthSettings { requests: 5000, users: 20_000, items: 20_000, ..Default::default() };
                let log = generate(&settings).expect("a synthetic log");
                let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
                let encoders = Encoders::fit(&log.schema, &log.table, &rows).expect("encoders");
                let data = encoders.encode(&log.schema, &log.table).expect("encoded rows");
                (log.schema, data, encoders)
            }
        };
        let folder = tempfile::tempdir().expect("a folder for the store");
        let contents = Contents::of(&schema, encoders.hash(), &data).expect("something to store");
        embedded::write(&folder.path().join("store"), &contents, &Silent, &Stop::never()).expect("a store");
        Self { schema, data, folder }
    }

    /// `kind` is `memory`, `embedded`, or the address of a Redis server, which is filled.
    pub fn store(&self, kind: &str) -> Box<dyn FeatureStore> {
        let folder = self.folder.path().join("store");
        let remote = kind.starts_with("redis://");
        let named = if remote { kind.to_owned() } else { format!("{kind}:{}", folder.display()) };
        let choice: StoreChoice = named.parse().expect("a choice");
        if remote {
            choice
                .fill(&embedded::open(&folder).expect("the store"), &Silent, &Stop::never())
                .expect("a server that takes rows");
        }
        choice.open().expect("the store").expect("no choice without a store")
    }

    /// So many of the stored features, evenly over all of them.
    fn signature(&self, features: usize) -> Signature {
        let stored: Vec<_> = self.schema.features.iter().zip(&self.data.features).collect();
        let stored: Vec<_> =
            stored.into_iter().filter(|(feature, _)| feature.source == Source::Store).collect();
        let features = features.min(stored.len());
        let chosen = (0..features).map(|i| stored[i * stored.len() / features]);
        Signature::of_features(
            Layout::UserOnce,
            chosen.map(|(feature, encoded)| (feature.kind.side(), encoded)),
        )
    }

    /// Requests as a trace makes them: users of the log, their items, and as many others as are wanted.
    fn requests(&self, candidates: usize) -> Vec<(u64, Vec<u64>)> {
        let recipe = TraceRecipe {
            arrivals: Arrivals::Constant { qps: 1000.0 },
            requests: REQUESTS,
            order: Order::Sampled,
            length: ListLength::Fixed(candidates),
            seed: 1,
        };
        let log = request_log(&self.data, None).expect("keys of users and items");
        let trace = plan(log, &recipe, DataHashes::default()).expect("a trace");
        trace.requests().map(|request| (request.user, request.candidates)).collect()
    }
}

/// Fetches of one worker, and the same rows got in other ways.
pub struct Fetches<'a> {
    assembler: Assembler,
    reader: Box<dyn Reader + 'a>,
    requests: Vec<(u64, Vec<u64>)>,
    inputs: Inputs,
    counts: FetchCounts,
    copied: Copied,
    maps: Vec<Map>,
    next: usize,
}

/// A group in the plainest form: a hash map from keys to rows.
struct Map {
    of_pairs: bool,
    rows: HashMap<RowKey, Vec<u8>>,
}

fn map(store: &dyn Rows, group: usize) -> Map {
    let mut rows = HashMap::new();
    let keep = &mut |key, row: &[u8]| {
        rows.insert(key, row.to_vec());
        Ok(())
    };
    store.each(group, keep).expect("rows");
    Map { of_pairs: store.manifest().groups[group].owner == Owner::Pair, rows }
}

/// What a bare loop does with its rows.
#[derive(Default)]
struct Copied(Vec<u8>);

impl RowSink for Copied {
    fn take(&mut self, _: usize, _: usize, rows: &[Option<&[u8]>]) {
        rows.iter().flatten().for_each(|row| self.0.extend_from_slice(row));
    }
}

impl<'a> Fetches<'a> {
    pub fn new(scene: &Scene, store: &'a dyn FeatureStore, candidates: usize, features: usize) -> Self {
        let signature = scene.signature(features);
        let assembler = Assembler::fetching(
            &signature,
            &scene.data,
            &scene.schema,
            store.manifest(),
            &Lookups::default(),
        );
        let assembler = assembler.expect("a plan");
        let mut inputs = assembler.inputs();
        // Shapes the buffers; there is nothing else to copy.
        assembler.fill(&scene.data, 0, &vec![Candidate::of_row(0); candidates], &mut inputs);
        let reader = store.reader(&assembler.groups()).expect("a reader");
        let requests = scene.requests(candidates);
        let (counts, copied) = (FetchCounts::default(), Copied::default());
        let rows = Contents::of(&scene.schema, String::new(), &scene.data).expect("something to store");
        // A user's row is one get of thousands.
        let of_candidates = |&group: &usize| rows.manifest().groups[group].owner != Owner::User;
        let groups = assembler.groups().into_iter().filter(of_candidates);
        let maps = groups.map(|group| map(&rows, group)).collect();
        Self { assembler, reader, requests, inputs, counts, copied, maps, next: 0 }
    }

    pub fn groups(&self) -> usize {
        self.assembler.groups().len()
    }

    pub fn features(&self) -> usize {
        self.assembler.stored_features()
    }

    /// What was fetched so far.
    pub fn counts(&self) -> FetchCounts {
        self.counts
    }

    /// The next request's rows, decoded into the inputs.
    pub fn fetch(&mut self) {
        let (user, items) = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.counts.requests += 1;
        let mut scatter = self.assembler.scatter(&mut self.inputs, &mut self.counts);
        self.reader.fetch(Keys { user: *user, items }, &mut scatter).expect("rows");
        scatter.finish().expect("sound rows");
        black_box(&self.inputs);
    }

    /// One get per group and candidate from a hash map of each group, whose rows are copied one after the other.
    pub fn maps(&mut self) {
        let (user, items) = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.copied.0.clear();
        for map in &self.maps {
            for item in items {
                let key = if map.of_pairs { [*user, *item] } else { [*item, 0] };
                self.copied.0.extend(map.rows.get(&key).into_iter().flatten());
            }
        }
        black_box(&self.copied.0);
    }

    /// The same gets as a fetch's, whose rows are only copied one after the other.
    pub fn copied(&mut self) {
        let (user, items) = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.copied.0.clear();
        self.reader.fetch(Keys { user: *user, items }, &mut self.copied).expect("rows");
        black_box(&self.copied.0);
    }
}
