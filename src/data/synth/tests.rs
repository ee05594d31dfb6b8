use super::*;
use crate::data::{
    dataset::Split,
    encode::roles,
    inspect::FeatureCodes,
    schema::{Kind, Source},
    split::SplitSettings,
};
use std::collections::{HashMap, HashSet};

fn log() -> SynthLog {
    generate(&SynthSettings::default()).unwrap()
}

/// Names of the features of highest AUC alone, as many as are useful.
fn best_alone(log: &SynthLog, fit: &[u32], judge: &[u32]) -> HashSet<String> {
    let labels = roles::labels(&log.table, "click").unwrap();
    let mut scored: Vec<(f64, &str)> = log
        .schema
        .features
        .iter()
        .map(|f| {
            (FeatureCodes::of(f, &log.table).unwrap().auc(&labels, fit, judge).unwrap(), f.name.as_str())
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored[..log.truth.useful.len()].iter().map(|(_, name)| (*name).to_owned()).collect()
}

#[test]
fn choosing_by_the_auc_of_single_features_fails() {
    let log = log();
    let Split { train, valid } =
        SplitSettings::Shuffle { valid_fraction: 0.2 }.split(&log.schema, &log.table, 1).unwrap();
    let useful: HashSet<String> = log.truth.useful.iter().cloned().collect();
    let paired: HashSet<String> = log.truth.interactions.concat().into_iter().collect();
    // On the training rows the ids win; on held-out rows the noisy copies do. The pairs lose both ways.
    for (judge, winner) in [(&train, "x_token"), (&valid, "x_affinity_noisy")] {
        let chosen = best_alone(&log, &train, judge);
        assert!(chosen.contains(winner) && !useful.contains(winner));
        assert!(paired.difference(&chosen).count() >= 4, "{chosen:?}");
    }
}

#[test]
fn members_of_a_pair_say_nothing_alone_and_much_together() {
    let log = log();
    let labels = roles::labels(&log.table, "click").unwrap();
    let codes = |name: &str| -> Vec<i64> {
        let RawColumn::Ints(values) = log.table.column(name).unwrap() else {
            panic!("{name} holds integers")
        };
        values.values().to_vec()
    };
    for [a, b] in &log.truth.interactions {
        let (a, b) = (codes(a), codes(b));
        let score = |f: &dyn Fn(usize) -> i64| {
            auc(&(0..labels.len()).map(|row| f(row) as f32).collect::<Vec<_>>(), &labels).unwrap()
        };
        assert!((score(&|row| a[row]) - 0.5).abs() < 0.02);
        assert!((score(&|row| b[row]) - 0.5).abs() < 0.02);
        assert!(score(&|row| a[row] ^ b[row]) > 0.6);
    }
}

#[test]
fn every_role_comes_in_every_kind_and_source_and_prices_span_ten_times() {
    let SynthLog { schema, truth, .. } = log();
    let feature = |name: &str| schema.features.iter().find(|f| f.name == name).unwrap();
    let redundant: Vec<String> = truth.redundant.iter().map(|r| r.feature.clone()).collect();
    for names in [&truth.useful, &redundant, &truth.useless] {
        let kinds: HashSet<Kind> = names.iter().map(|n| feature(n).kind).collect();
        let sources: HashSet<Source> = names.iter().map(|n| feature(n).source).collect();
        assert_eq!((kinds.len(), sources.len()), (4, 2), "{names:?}");
    }
    for names in [&truth.useful, &redundant] {
        let both: HashSet<(Kind, Source)> =
            names.iter().map(|n| (feature(n).kind, feature(n).source)).collect();
        assert_eq!(both.len(), 8, "{names:?}");
    }
    assert_eq!(truth.useful.len() + redundant.len() + truth.useless.len(), schema.features.len());
    for Redundant { feature: dear, of } in &truth.redundant {
        let (dear, cheap) = (feature(dear), feature(of));
        assert_eq!((dear.kind, dear.source), (cheap.kind, cheap.source));
        assert!(dear.fetch_ms >= 2.0 * cheap.fetch_ms && truth.useful.contains(of));
    }
    let prices = || schema.features.iter().map(|f| f.fetch_ms);
    assert!((prices().fold(0.0, f64::max) / prices().fold(f64::MAX, f64::min) - 10.0).abs() < 1e-9);
    let groups: HashSet<&str> = schema.features.iter().filter_map(|f| f.fetch_group.as_deref()).collect();
    assert_eq!(groups, HashSet::from(["user_row", "item_row", "pair_row"]));
}

#[test]
fn a_feature_has_one_value_for_all_that_its_kind_describes() {
    let world = World::draw(&SynthSettings::default());
    for feature in FEATURES {
        let owner = |row: &Impression| match feature.kind {
            Kind::User => Some(row.user.id),
            Kind::Item => Some(row.item.id),
            Kind::Context => Some(row.request.id),
            Kind::Interactive => None,
        };
        let mut known = HashMap::new();
        let mut changes = false;
        for row in world.impressions() {
            let value = format!("{:?}", (feature.value)(&row));
            if let Some(owner) = owner(&row) {
                let first = known.entry(owner).or_insert_with(|| value.clone());
                assert_eq!(*first, value, "{} of {owner}", feature.name);
            } else {
                let first = known.entry(row.item.id).or_insert_with(|| value.clone());
                changes |= *first != value;
            }
        }
        assert!(changes || feature.kind != Kind::Interactive, "{} is one of the item", feature.name);
    }
}

#[test]
fn dropping_a_useful_feature_costs_auc_that_nothing_else_gives_back() {
    let log = log();
    let labels = roles::labels(&log.table, "click").unwrap();
    let world = World::draw(&SynthSettings::default());
    let impressions: Vec<Impression> = world.impressions().collect();
    let effects: Vec<_> = impressions.iter().map(label::effects).collect();
    let auc_without = |left_out: Option<usize>| {
        let logit = |effects: &[f64; label::EFFECTS]| {
            effects
                .iter()
                .enumerate()
                .filter(|(term, _)| Some(*term) != left_out)
                .map(|(_, e)| e)
                .sum::<f64>() as f32
        };
        auc(&effects.iter().map(logit).collect::<Vec<_>>(), &labels).unwrap()
    };
    let all = auc_without(None);
    assert!((all - log.truth.best_auc).abs() < 1e-6);
    assert!(all > 0.85, "{all}");
    for term in 0..label::EFFECTS {
        let without = auc_without(Some(term));
        assert!(all - without > 0.01, "term {term}: {all} {without}");
    }
}

#[test]
fn the_written_log_reads_back_as_the_one_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SynthSettings { requests: 30, ..SynthSettings::default() };
    let log = write(&settings, folder.path()).unwrap();
    let schema = Schema::load(&folder.path().join("schema.toml")).unwrap();
    assert_eq!(schema, log.schema);
    assert_eq!(fsio::read_json::<Truth>(&folder.path().join("truth.json")).unwrap(), log.truth);
    let split = SplitSettings::Shuffle { valid_fraction: 0.5 };
    let read = crate::data::load(&schema, &folder.path().join("log.parquet"), &split, 1).unwrap();
    let made = crate::data::load_table(&log.schema, &log.table, &split, 1).unwrap();
    assert_eq!(read.encoders, made.encoders);
    assert_eq!(read.dataset.ids, made.dataset.ids);
    assert_eq!(read.dataset.labels, made.dataset.labels);
    assert_eq!(read.dataset.partition_count, 3);
    let requests = read.dataset.requests.unwrap();
    assert_eq!(requests[..21], [[0; 20].as_slice(), &[1]].concat());
}

#[test]
fn the_seed_decides_the_log() {
    let of = |seed| {
        let settings = SynthSettings { requests: 20, seed, ..SynthSettings::default() };
        format!("{:?}", generate(&settings).unwrap().table.columns())
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    let sizes = SynthSettings { items: 5, ..SynthSettings::default() };
    assert!(generate(&sizes).unwrap_err().to_string().contains("at least as many items"));
}

#[test]
fn a_log_that_no_memory_holds_is_refused_before_anything_is_drawn() {
    let usual = SynthSettings::default();
    for settings in [
        SynthSettings { requests: 99_999_999_999, ..usual },
        SynthSettings { requests: usize::MAX, ..usual },
        SynthSettings { users: 1_000_000_000, ..usual },
        SynthSettings { items: 1_000_000_000, ..usual },
    ] {
        let said = super::check(&settings).unwrap_err().to_string();
        assert!(said.contains("draw at most 100000000 rows of at most 10000000 users"), "{said}");
    }
    super::check(&usual).unwrap();
}
