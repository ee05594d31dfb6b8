//! The files that a newcomer starts from.

use autofas_bench::{
    Experiment, Schema,
    data::schema::{Kind, Source},
};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn count(schema: &Schema, source: Source) -> usize {
    schema.features.iter().filter(|f| f.source == source).count()
}

#[test]
fn every_experiment_is_read_and_names_a_schema() {
    for name in ["kuairand", "movielens", "open_bandit", "planted"] {
        let experiment = Experiment::load(&fixture(&format!("{name}.toml")), &[]).unwrap();
        let schema = experiment.schema_path();
        // That of the planted log comes with its data.
        assert!(name == "planted" || Schema::load(&schema).is_ok(), "{}", schema.display());
    }
}

#[test]
fn kuairand_has_the_features_and_the_spread_of_prices_that_its_header_states() {
    let schema = Schema::load(&fixture("kuairand.schema.toml")).unwrap();
    assert_eq!(schema.features.len(), 108);
    assert_eq!((count(&schema, Source::Matching), count(&schema, Source::Store)), (33, 75));
    let prices = || schema.features.iter().map(|f| f.fetch_ms);
    let spread = prices().fold(0.0, f64::max) / prices().fold(f64::INFINITY, f64::min);
    assert!((spread - 10.0).abs() < 1e-9, "{spread}");
    for outcome in ["is_click", "long_view", "time_ms", "date"] {
        assert!(schema.features.iter().all(|f| f.column != outcome), "{outcome}");
    }
}

#[test]
fn movielens_has_features_of_every_kind() {
    let schema = Schema::load(&fixture("movielens.schema.toml")).unwrap();
    assert_eq!(schema.features.len(), 29);
    for kind in [Kind::User, Kind::Context, Kind::Item, Kind::Interactive] {
        assert!(schema.features.iter().any(|f| f.kind == kind), "{kind:?}");
    }
}
