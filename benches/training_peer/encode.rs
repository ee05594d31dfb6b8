//! Reading and encoding a data set, as every run begins, and the plan from which another program can do the same.

use super::{protocol::Workload, timed};
use autofas_bench::{
    app::config::{Experiment, Stage},
    data::{
        self, Loaded,
        schema::{Encoding, Schema},
        split::SplitSettings,
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
};

pub struct EncodeSteps {
    schema: Schema,
    split: SplitSettings,
    seed: u64,
    data: PathBuf,
    /// Of the encoded data.
    size: Value,
}

impl EncodeSteps {
    /// Writes `plan.json` and the ids into `folder`.
    pub fn new(experiment: &str, data: &str, folder: &str) -> Self {
        let experiment = Experiment::load(Path::new(experiment), &[]).expect("an experiment");
        let schema = Schema::load(&experiment.schema_path()).expect("a schema");
        let settings = experiment.settings;
        let (split, seed) = (settings.split.clone(), settings.seeds.of(Stage::Split));
        let mut steps = Self { schema, split, seed, data: PathBuf::from(data), size: Value::Null };
        let folder = Path::new(folder);
        fs::create_dir_all(folder).expect("a folder for the plan");
        let loaded = steps.load();
        let rows = 0..loaded.dataset.rows();
        let ids: Vec<u8> =
            rows.flat_map(|row| loaded.dataset.ids.of_row(row)).flat_map(u32::to_le_bytes).collect();
        fs::write(folder.join("ids.bin"), ids).expect("a file of ids");
        fs::write(folder.join("plan.json"), steps.plan(folder).to_string()).expect("a plan");
        let bytes = loaded.dataset.ids.packing().stride();
        steps.size = json!({ "rows": loaded.dataset.rows(), "id_bytes_per_row": bytes });
        steps
    }

    fn load(&self) -> Loaded {
        data::load(&self.schema, &self.data, &self.split, self.seed).expect("encoded data")
    }

    fn plan(&self, folder: &Path) -> Value {
        let feature = |feature: &data::schema::Feature| {
            let mut plan = match feature.encoding {
                Encoding::Vocabulary { min_count } => {
                    json!({ "encoding": "vocabulary", "min_count": min_count })
                }
                Encoding::Buckets { buckets } => json!({ "encoding": "buckets", "buckets": buckets }),
                other => panic!("the reference does not know {other:?}"),
            };
            assert!(feature.sequence.is_none(), "the reference reads no sequences");
            plan["name"] = json!(feature.name);
            plan["column"] = json!(feature.column);
            plan
        };
        json!({
            "data": fs::canonicalize(&self.data).expect("the data"),
            "ids": fs::canonicalize(folder.join("ids.bin")).expect("the ids"),
            "columns": self.split.columns(&self.schema),
            "label": self.schema.label,
            "split": serde_json::to_value(&self.split).expect("plain settings"),
            "features": self.schema.features.iter().map(feature).collect::<Vec<_>>(),
        })
    }
}

impl Workload for EncodeSteps {
    fn name(&self) -> &'static str {
        "encode"
    }

    fn run(&mut self, count: usize) -> Value {
        timed(count, || drop(black_box(self.load())))
    }

    fn ready(&self) -> Value {
        self.size.clone()
    }
}
