//! Features, small spaces and values of tables for the tests of this room and of those above it.

use super::table::{Operation, RunQuantiles, TableContext, TableEntry};
use crate::{
    base::names::{EngineName, Layout, Precision, Provider},
    data::schema::{Encoding, Feature, Kind, Refresh, Schema, Source},
    space::{Operator, SearchSpace},
};

/// tract 1 with one thread on a machine `h`, user-once in fp32.
pub(crate) fn context() -> TableContext {
    TableContext {
        engine: EngineName::Tract,
        engine_version: "1".to_owned(),
        provider: Provider::Cpu,
        layout: Layout::UserOnce,
        precision: Precision::Fp32,
        threads: 1,
        host: "h".to_owned(),
    }
}

/// A value with a noise of 1 %, of the table's first origin.
pub(crate) fn entry(operation: Operation, samples: u64, mean_ms: f64) -> TableEntry {
    TableEntry { operation, samples, mean_ms, noise_pct: 1.0, quantiles: RunQuantiles::default(), origin: 0 }
}

/// An item feature of the store that costs 1 ms.
pub(crate) fn feature(name: &str, width: usize) -> Feature {
    Feature {
        name: name.into(),
        column: name.into(),
        kind: Kind::Item,
        source: Source::Store,
        fetch_group: None,
        refresh: Refresh::Daily,
        encoding: Encoding::Hash { buckets: 10 },
        sequence: None,
        width,
        fetch_ms: 1.0,
        must_keep: false,
        never: false,
    }
}

/// A schema with these features and the label `y`; no β, no γ.
pub(crate) fn schema(features: Vec<Feature>) -> Schema {
    let text = "[data]\nlabel = \"y\"\nbeta_ms = 0\ngamma_ms = 0\n[[feature]]\nname = \"x\"\nkind = \"item\"\n\
        type = \"numeric\"\nfetch_ms = 0";
    Schema { features, ..Schema::parse(text, "test.toml".as_ref()).unwrap() }
}

/// One user and one item feature of widths 8 and 24, and the given Mixops.
pub(crate) fn space(mixops: &[&[usize]]) -> SearchSpace {
    let user = Feature { kind: Kind::User, ..feature("user", 8) };
    space_of(vec![user, feature("item", 24)], mixops)
}

/// These features, and Mixops of these widths, where 0 stands for the zero operator.
pub(crate) fn space_of(features: Vec<Feature>, mixops: &[&[usize]]) -> SearchSpace {
    let operator = |&width: &usize| if width == 0 { Operator::Zero } else { Operator::Mlp(width) };
    let mixops = mixops.iter().map(|widths| widths.iter().map(operator).collect()).collect();
    SearchSpace::new(features, mixops).expect("a sound space")
}

/// Every choice of one operator per Mixop.
pub(crate) fn every_choice(space: &SearchSpace) -> Vec<Vec<Operator>> {
    space.mixops.iter().fold(vec![vec![]], |choices, operators| {
        let extend = |choice: &Vec<Operator>| {
            let choice = choice.clone();
            operators.iter().map(move |&operator| [choice.as_slice(), &[operator]].concat())
        };
        choices.iter().flat_map(extend).collect()
    })
}
