//! Steps of the joint search on real data, and the export of everything that another program needs to take the same steps.

use super::{milliseconds, protocol::Workload};
use autofas_bench::{
    app::config::{Experiment, Stage},
    base::{
        progress::{Pace, Progress},
        rng,
    },
    data::{
        self, Loaded,
        batches::epoch_batches,
        dataset::Split,
        schema::{Schema, Side, Source},
        split::hold_out,
    },
    learn::{
        checkpoint::Keeper,
        embedding::input_features,
        network::Embedding,
        price_term::Prices,
        search::{Scene, Search},
        settings::{Paths, SearchSettings, TeacherSettings},
        teacher::Teacher,
        train::{Rows, Trainable, score_rows},
    },
    price::{linear::LinearPrices, target::MeanService},
    space::{Operator, SearchSpace},
};
use candle_core::{Device, Tensor};
use rand::RngExt;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

/// Rows that an epoch ends with here; a whole validation set takes longer in proportion.
const VALIDATION_ROWS: usize = 4096;

/// About what 1,000 candidates take on one core.
const PRICES: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 2e-5, layer_ms: 0.02, user_share: 0.001, fixed_ms: 0.05 };

/// An untrained teacher and everything that a search over its embeddings reads: time does not depend on training.
pub struct SearchSteps {
    schema: Schema,
    space: SearchSpace,
    loaded: Loaded,
    teacher: Teacher,
    soft: Vec<f32>,
    held_out: Vec<u32>,
    settings: SearchSettings,
    seed: u64,
    folder: PathBuf,
}

impl SearchSteps {
    pub fn new(experiment: &str, data: &str, folder: &str) -> Self {
        let experiment = Experiment::load(Path::new(experiment), &[]).expect("an experiment");
        let mut settings = experiment.settings.clone();
        // The reference takes the whole mixture.
        settings.search.paths = Paths::All;
        let seed = |stage| settings.seeds.of(stage);
        let mut schema = Schema::load(&experiment.schema_path()).expect("a schema");
        // It has a teacher of the default layers, with a head per partition.
        schema.partition = Some("tab".to_owned());
        settings.teacher = TeacherSettings::default();
        let space =
            SearchSpace::new(schema.features.clone(), settings.space.mixops.clone()).expect("a space");
        let loaded =
            data::load(&schema, Path::new(data), &settings.split, seed(Stage::Split)).expect("encoded data");
        let every: Vec<usize> = (0..space.features.len()).collect();
        let features = input_features(&space.features, &every, &loaded.dataset).expect("features");
        let partitions = loaded.dataset.partition_count;
        let teacher =
            Teacher::new(features, partitions, &settings.teacher, seed(Stage::Teacher)).expect("a teacher");
        let rows: Vec<u32> = (0..loaded.dataset.rows() as u32).collect();
        let soft = score_rows(&teacher, &loaded.dataset, &rows).expect("scores");
        let share = settings.search.held_out;
        let held_out = hold_out(&loaded.split.train, share, seed(Stage::Teacher)).expect("held-out rows");
        let held_out = held_out.taken().collect();
        let folder = PathBuf::from(folder);
        let seed = seed(Stage::Search);
        Self { schema, space, loaded, teacher, soft, held_out, settings: settings.search, seed, folder }
    }

    /// A part of the split: an epoch of `count` steps and a short validation.
    fn split(&self, count: usize) -> Split {
        let Split { train, valid } = &self.loaded.split;
        let size = count * self.settings.batch_size;
        Split { train: train[..size].to_vec().into(), valid: valid[..VALIDATION_ROWS].to_vec().into() }
    }

    fn search<'a>(&'a self, split: &'a Split) -> Search<'a> {
        let scene = Scene {
            rows: Rows::alone(&self.loaded.dataset, split),
            held_out: Some(&self.held_out),
            teacher: &self.teacher,
            soft: &self.soft,
            settings: &self.settings,
            seed: self.seed,
        };
        Search::new(&self.space, scene).expect("a search")
    }

    fn prices(&self) -> Prices<'_> {
        Prices::declared(&self.schema, &PRICES, &MeanService)
    }

    /// Writes what the steps read, takes them, and tells their losses.
    fn export(&self, count: usize) -> Value {
        let split = self.split(count);
        let mut search = self.search(&split);
        fs::create_dir_all(&self.folder).expect("a folder to export to");
        search.save(&self.folder.join("supernet.safetensors")).expect("saved weights");
        fs::write(self.folder.join("plan.json"), self.plan().to_string()).expect("a file");
        self.save("rows", self.rows(&split));
        self.save("teacher", self.teacher_tensors());
        self.save("steps", self.steps(&split, count));
        let clock = Clock::new();
        search.run(&self.prices(), &clock, &mut Keeper::none()).expect("steps");
        let Seen { loss1, loss2, .. } = clock.0.into_inner().expect("nobody panicked");
        json!({ "losses": loss1.into_iter().zip(loss2).collect::<Vec<_>>() })
    }

    fn save(&self, name: &str, tensors: HashMap<String, Tensor>) {
        let path = self.folder.join(format!("{name}.safetensors"));
        candle_core::safetensors::save(&tensors, path).expect("saved tensors");
    }

    fn plan(&self) -> Value {
        let encoded = &self.loaded.dataset.features;
        let features = self.schema.features.iter().zip(encoded).map(|(feature, encoded)| {
            assert!(!feature.must_keep && !feature.never, "the reference draws every feature");
            json!({
                "name": feature.name,
                "width": feature.width,
                "cardinality": encoded.cardinality,
                "fetch_ms": feature.fetch_ms,
                "side": if feature.kind.side() == Side::User { "user" } else { "item" },
                "source": if feature.source == Source::Matching { "matching" } else { "store" },
            })
        });
        let width = |operator: &Operator| match operator {
            Operator::Mlp(width) => *width,
            Operator::Zero => 0,
        };
        let mixops: Vec<Vec<usize>> =
            self.space.mixops.iter().map(|operators| operators.iter().map(width).collect()).collect();
        let LinearPrices { slope_ms, layer_ms, user_share, fixed_ms, .. } = PRICES;
        json!({
            "settings": serde_json::to_value(&self.settings).expect("plain settings"),
            "features": features.collect::<Vec<_>>(),
            "mixops": mixops,
            "beta_ms": self.schema.beta_ms,
            "gamma_ms": self.schema.gamma_ms,
            "prices": { "slope_ms": slope_ms, "layer_ms": layer_ms, "user_share": user_share, "fixed_ms": fixed_ms },
            "partitions": self.loaded.dataset.partition_count,
            "partition_feature": self.schema.partition_feature().expect("a partition that is a feature"),
            "shared_layers": self.teacher.params().iter().filter(|(name, _)| name.starts_with("shared.") && name.ends_with("weight")).count(),
            "train_rows": self.loaded.split.train.len(),
            "valid_rows": self.loaded.split.valid.len(),
        })
    }

    fn rows(&self, split: &Split) -> HashMap<String, Tensor> {
        let data = &self.loaded.dataset;
        assert!(data.number_slots == 0, "the reference reads ids alone");
        let ids: Vec<u32> = (0..data.rows()).flat_map(|row| data.ids.of_row(row)).collect();
        let ids = Tensor::new(ids, &Device::Cpu).and_then(|t| t.reshape((data.rows(), data.ids.slots())));
        HashMap::from([
            ("ids".to_owned(), ids.expect("one id per feature and row")),
            ("labels".to_owned(), tensor(&data.labels)),
            ("weights".to_owned(), tensor(&data.weights)),
            ("partitions".to_owned(), tensor(&data.partitions)),
            ("soft".to_owned(), tensor(&self.soft)),
            ("train".to_owned(), tensor(&self.loaded.split.train)),
            ("held_out".to_owned(), tensor(&self.held_out)),
            ("valid".to_owned(), tensor(&split.valid)),
        ])
    }

    /// The embeddings of all features one under the other, and the layers.
    fn teacher_tensors(&self) -> HashMap<String, Tensor> {
        let mut table = Vec::new();
        for input in self.teacher.bank().to_plain().expect("plain embeddings") {
            match input.embedding {
                Embedding::Table { rows } => table.extend(rows),
                _ => panic!("the reference reads one id per feature"),
            }
        }
        let layers = self.teacher.params().iter().filter(|(name, _)| !name.starts_with("embedding."));
        let mut tensors: HashMap<String, Tensor> =
            layers.map(|(name, var)| (name.to_owned(), var.as_tensor().clone())).collect();
        tensors.insert("table".to_owned(), tensor(&table));
        tensors
    }

    /// The rows of every step and the draws of its mask, as the search makes them.
    fn steps(&self, split: &Split, count: usize) -> HashMap<String, Tensor> {
        let size = self.settings.batch_size;
        let order = |rows: &[u32], purpose: &str, epoch| {
            epoch_batches(rows, size, rng::derive(self.seed, purpose), epoch).collect::<Vec<_>>()
        };
        let train: Vec<u32> = order(&split.train, "search", 1).concat();
        let judges = order(&self.held_out, "held out in the search, epoch 1", 1);
        assert!(judges[..count].iter().all(|rows| rows.len() == size), "fewer steps than held-out batches");
        let mut draws = rng::generator(self.seed, "search masks");
        let uniforms: Vec<f32> = (0..count * self.space.features.len()).map(|_| draws.random()).collect();
        let uniforms = tensor(&uniforms).reshape((count, self.space.features.len())).expect("a row per step");
        HashMap::from([
            ("train".to_owned(), tensor(&train)),
            ("judges".to_owned(), tensor(&judges[..count].concat())),
            ("uniforms".to_owned(), uniforms),
        ])
    }
}

fn tensor<T: candle_core::WithDType>(values: &[T]) -> Tensor {
    Tensor::new(values, &Device::Cpu).expect("a tensor")
}

impl Workload for SearchSteps {
    fn name(&self) -> &'static str {
        "search"
    }

    fn run(&mut self, count: usize) -> Value {
        let split = self.split(count);
        let mut search = self.search(&split);
        let clock = Clock::new();
        search.run(&self.prices(), &clock, &mut Keeper::none()).expect("steps");
        let Seen { ms, last, .. } = clock.0.into_inner().expect("nobody panicked");
        json!({ "ms": ms, "score_ms": milliseconds(last) })
    }

    fn other(&mut self, name: &str, count: usize) -> Value {
        assert_eq!(name, "export", "a search is run or exported");
        self.export(count)
    }
}

/// Times the steps of a search by what it says, and keeps its losses.
struct Clock(Mutex<Seen>);

struct Seen {
    last: Instant,
    ms: Vec<f64>,
    loss1: Vec<f64>,
    loss2: Vec<f64>,
}

impl Clock {
    fn new() -> Self {
        Self(Mutex::new(Seen { last: Instant::now(), ms: Vec::new(), loss1: Vec::new(), loss2: Vec::new() }))
    }
}

impl Progress for Clock {
    fn stage(&self, _: &str, _: u64) {
        self.0.lock().expect("one thread").last = Instant::now();
    }

    fn advance(&self, _: u64, _: &str) {
        let mut seen = self.0.lock().expect("one thread");
        let ms = milliseconds(seen.last);
        seen.ms.push(ms);
        seen.last = Instant::now();
    }

    fn say(&self, _: &str) {}

    fn record(&self, _: Pace, tag: &str, _: u64, value: f64) {
        let mut seen = self.0.lock().expect("one thread");
        match tag {
            "loss1" => seen.loss1.push(value),
            "loss2" => seen.loss2.push(value),
            _ => {}
        }
    }
}
