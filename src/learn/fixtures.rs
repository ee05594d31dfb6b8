//! Small data sets for the tests of this room, and all that a search over one reads.

pub(super) mod planted;

use super::{
    embedding::input_features,
    price_term::Prices,
    search::{Scene, Search},
    settings::{SearchSettings, TeacherSettings},
    teacher::Teacher,
    train::{Rows, Trainable, score_rows},
};
use crate::{
    data::{
        Loaded,
        dataset::{Dataset, Slot},
        load_table,
        schema::{Feature, Schema},
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    price::{fixtures::space_of, linear::LinearPrices, target::MeanService},
    space::SearchSpace,
};

pub(super) use crate::price::fixtures::schema;

/// Two hundred rows of eight features: vocabularies, a hash, buckets, numbers with gaps and a sequence, of both sides, of
/// two widths, in mixed order.
pub(super) fn mixed() -> (Schema, Loaded) {
    let settings = SynthSettings { requests: 10, users: 8, items: 40, ..SynthSettings::default() };
    let log = synth::generate(&settings).unwrap();
    let names = [
        ("x_affinity", 4),
        ("u_taste", 4),
        ("i_tags", 3),
        ("u_activity", 6),
        ("c_trace", 6),
        ("i_quality", 4),
        ("i_style", 4),
        ("c_weather", 6),
    ];
    let feature = |(name, width): (&str, usize)| {
        let known = log.schema.features.iter().find(|f| f.name == name).unwrap();
        Feature { width, ..known.clone() }
    };
    let schema = Schema { features: names.map(feature).to_vec(), ..log.schema.clone() };
    let loaded = load_table(&schema, &log.table, &SplitSettings::Shuffle { valid_fraction: 0.3 }, 1).unwrap();
    (schema, loaded)
}

/// Every row of a data set.
pub(super) fn every_row(data: &Dataset) -> Vec<u32> {
    (0..data.rows() as u32).collect()
}

/// Values that tell every parameter from every other, in place of small or constant first ones.
pub(super) fn scramble(params: &super::params::Params) {
    for (name, var) in params.iter() {
        let draw = &mut crate::base::rng::generator(7, name);
        params.set(name, crate::base::rng::normals(var.elem_count(), 0.3, draw)).unwrap();
    }
}

/// Prices that rise with the widths.
pub(super) const LAYERS: LinearPrices =
    LinearPrices { column_ms: 0.0, slope_ms: 0.002, layer_ms: 0.05, user_share: 0.1, fixed_ms: 0.2 };

/// Everything that a search over the mixed data reads.
pub(super) struct World {
    pub(super) schema: Schema,
    pub(super) loaded: Loaded,
    pub(super) space: SearchSpace,
    pub(super) teacher: Teacher,
    pub(super) soft: Vec<f32>,
    pub(super) settings: SearchSettings,
    /// So few that they come round several times in an epoch.
    pub(super) held_out: Vec<u32>,
}

impl World {
    pub(super) fn new(settings: SearchSettings) -> Self {
        let (schema, loaded) = mixed();
        let data = &loaded.dataset;
        let every: Vec<usize> = (0..schema.features.len()).collect();
        let features = input_features(&schema.features, &every, data).unwrap();
        let layers = TeacherSettings { shared: vec![6], partition: vec![5], ..TeacherSettings::default() };
        let teacher = Teacher::new(features, data.partition_count, &layers, 1).unwrap();
        scramble(teacher.params());
        let soft = score_rows(&teacher, data, &every_row(data)).unwrap();
        let held_out = loaded.split.train[..40].to_vec();
        let space = space_of(schema.features.clone(), &[&[6, 4, 0], &[5, 0]]);
        Self { schema, loaded, space, teacher, soft, settings, held_out }
    }

    pub(super) fn scene(&self, seed: u64) -> Scene<'_> {
        Scene {
            rows: Rows::alone(&self.loaded.dataset, &self.loaded.split),
            held_out: Some(&self.held_out),
            teacher: &self.teacher,
            soft: &self.soft,
            settings: &self.settings,
            seed,
        }
    }

    pub(super) fn search(&self, seed: u64) -> Search<'_> {
        Search::new(&self.space, self.scene(seed)).unwrap()
    }

    pub(super) fn prices(&self) -> Prices<'_> {
        Prices::declared(&self.schema, &LAYERS, &MeanService)
    }
}

/// Whether the fixture really holds every kind, gaps and padding: tests on it could not fail otherwise.
#[test]
fn the_mixed_data_hold_every_kind_with_gaps_and_padding() {
    let (_, loaded) = mixed();
    let data = &loaded.dataset;
    let count = |wanted: fn(&Slot) -> bool| data.features.iter().filter(|f| wanted(&f.slot)).count();
    assert_eq!(count(|s| matches!(s, Slot::Ids { length: 1, .. })), 4);
    assert_eq!(count(|s| matches!(s, Slot::Ids { length: 2.., .. })), 1);
    assert_eq!(count(|s| matches!(s, Slot::Number { .. })), 3);
    assert!(data.numbers.iter().any(|x| x.is_nan()));
    let Slot::Ids { start, length } = data.features[2].slot else { panic!("the tags are third") };
    assert!((0..data.rows()).any(|row| data.ids.of(row, start..start + length).any(|id| id == 0)));
}
