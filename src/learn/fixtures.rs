//! Small data sets for the tests of this room.

use crate::{
    data::{
        Loaded,
        dataset::{Dataset, Slot},
        load_table,
        schema::{Feature, Schema},
        split::SplitSettings,
        synth::{self, SynthSettings},
    },
    space::{Operator, SearchSpace},
};

/// A schema with these features and the label `y`; no β, no γ.
pub(super) fn schema(features: Vec<Feature>) -> Schema {
    let text = "[data]\nlabel = \"y\"\nbeta_ms = 0\ngamma_ms = 0\n[[feature]]\nname = \"x\"\nkind = \"item\"\n\
        type = \"numeric\"\nfetch_ms = 0";
    Schema { features, ..Schema::parse(text, "test.toml".as_ref()).unwrap() }
}

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

/// All features of a schema and Mixops of these widths, where 0 stands for the zero operator.
pub(super) fn space(schema: &Schema, mixops: &[&[usize]]) -> SearchSpace {
    let operator = |&width: &usize| if width == 0 { Operator::Zero } else { Operator::Mlp(width) };
    let mixops = mixops.iter().map(|widths| widths.iter().map(operator).collect()).collect();
    SearchSpace::new(schema.features.clone(), mixops).unwrap()
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
