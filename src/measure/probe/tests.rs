use super::*;
use crate::{
    data::schema::{Encoding, Feature, Kind, Refresh, Source},
    measure::{environment::Environment, service::ServiceSample},
};
use Operator::{Mlp, Zero};

fn space(users: usize, items: usize, mixops: Vec<Vec<Operator>>) -> SearchSpace {
    let feature = |i: usize, kind| Feature {
        name: format!("{kind:?}{i}"),
        column: "c".into(),
        kind,
        source: Source::Matching,
        fetch_group: None,
        refresh: Refresh::Daily,
        encoding: Encoding::Hash { buckets: 10 },
        sequence: None,
        width: 8,
        fetch_ms: 0.1,
        must_keep: false,
        never: false,
    };
    let user = (0..users).map(|i| feature(i, Kind::User));
    let item = (0..items).map(|i| feature(i, Kind::Item));
    SearchSpace::new(user.chain(item).collect(), mixops).unwrap()
}

fn later(operations: &[Operation]) -> Vec<(usize, usize)> {
    let pair = |operation: &Operation| match *operation {
        Operation::Layer { from, to } => Some((from, to)),
        Operation::First { .. } => None,
    };
    operations.iter().filter_map(pair).collect()
}

#[test]
fn without_zero_operators_only_neighbouring_mixops_are_joined() {
    let space = space(2, 2, vec![vec![Mlp(64), Mlp(32)], vec![Mlp(16)], vec![Mlp(4)]]);
    let plan = ProbePlan::for_space(&space, 10, Layout::UserOnce, &[100]).unwrap();
    assert_eq!(later(&plan.operations), [(4, 1), (16, 4), (32, 16), (64, 16)]);
    assert_eq!(first_widths(&space), [32, 64].into());
}

#[test]
fn zero_operators_open_every_path_around_them() {
    let space = space(2, 2, vec![vec![Mlp(64), Zero], vec![Mlp(16), Zero], vec![Mlp(4), Zero]]);
    let plan = ProbePlan::for_space(&space, 10, Layout::UserOnce, &[100]).unwrap();
    assert_eq!(later(&plan.operations), [(4, 1), (16, 1), (16, 4), (64, 1), (64, 4), (64, 16)]);
    assert_eq!(first_widths(&space), [1, 4, 16, 64].into());
}

#[test]
fn the_grid_of_inputs_reaches_from_the_fewest_features_to_all() {
    let space = space(9, 20, vec![vec![Mlp(64)]]);
    let plan = ProbePlan::for_space(&space, 10, Layout::UserOnce, &[100]).unwrap();
    let first: Vec<_> = plan.operations.iter().filter(|o| matches!(o, Operation::First { .. })).collect();
    assert_eq!(first.len(), 16);
    let corner = |user, item| Operation::First { user, item, to: 64 };
    for expected in
        [corner(0, 8), corner(0, 160), corner(72, 8), corner(72, 160), corner(24, 40), corner(40, 80)]
    {
        assert!(plan.operations.contains(&expected), "{expected}");
    }
    let unused = ProbePlan::for_space(&self::space(3, 0, vec![]), 10, Layout::Concat, &[100]);
    assert!(unused.unwrap_err().to_string().contains("item feature"));
}

#[test]
fn what_lasts_is_no_input_of_a_layout_with_rows_and_the_grid_begins_at_rows_alone() {
    let mut features = space(2, 3, vec![vec![Mlp(64)]]).features;
    features[4].kind = Kind::Interactive;
    let space = SearchSpace::new(features, vec![vec![Mlp(64)]]).unwrap();
    let first = |space: SearchSpace| {
        let space = space.served_in(Layout::ItemCachedF16);
        let plan = ProbePlan::for_space(&space, 10, Layout::ItemCachedF16, &[100]).unwrap();
        let input = |operation: &Operation| match *operation {
            Operation::First { user, item, .. } => Some((user, item)),
            Operation::Layer { .. } => None,
        };
        let found: Vec<_> = plan.operations.iter().filter_map(input).collect();
        for &operation in &plan.operations {
            let tensors = plan.model(operation, Precision::Fp32).unwrap().signature.tensors;
            let rows: usize = tensors.iter().filter(|t| t.name == "item_rows").map(|t| t.columns()).sum();
            assert_eq!(rows, if matches!(operation, Operation::First { .. }) { 64 } else { 0 });
            let Operation::First { user, item, .. } = operation else { continue };
            let ids: usize = tensors.iter().filter(|t| t.name.ends_with("ids")).map(|t| t.columns()).sum();
            assert_eq!(ids * 8, user + item);
        }
        found
    };
    assert_eq!(first(space.clone()), [(0, 0), (0, 8), (8, 0), (8, 8), (16, 0), (16, 8)]);
    // Everything of the candidate lasts: rows are all that is left of it.
    let mut lasting = space;
    lasting.features.truncate(4);
    assert_eq!(first(lasting), [(0, 0), (8, 0), (16, 0)]);
}

#[test]
fn every_probe_of_a_plan_is_a_model_with_the_inputs_of_its_operation() {
    let space = space(2, 3, vec![vec![Mlp(16), Zero]]);
    for layout in [Layout::UserOnce, Layout::Concat] {
        let plan = ProbePlan::for_space(&space, 10, layout, &[100]).unwrap();
        for &operation in &plan.operations {
            let signature = plan.model(operation, Precision::Fp32).unwrap().signature;
            let columns: usize = signature.tensors.iter().map(|t| t.columns()).sum();
            match operation {
                Operation::First { user, item, .. } => {
                    assert_eq!(columns, (user + item) / 8, "{operation}")
                }
                Operation::Layer { from, .. } => assert_eq!(columns, from, "{operation}"),
            }
        }
    }
}

#[test]
fn samples_go_to_the_table_under_their_operation_and_candidate_count() {
    let space = space(0, 1, vec![vec![Mlp(16)]]);
    let plan = ProbePlan::for_space(&space, 10, Layout::UserOnce, &[100, 200]).unwrap();
    assert_eq!(plan.operations.len(), 2);
    let sample = |candidates, mean_ms| ServiceSample {
        model: String::new(),
        candidates,
        mean_ms,
        p50_ms: mean_ms,
        runs: 7,
        block_ms: vec![],
        noise_pct: 0.5,
        void: false,
    };
    let settings = ServiceSettings {
        engine: EngineName::Tract,
        options: SessionOptions::PLAIN,
        precision: Precision::Int8,
        effort: Effort::default(),
        seed: 1,
    };
    let mut result = ServiceResult {
        engine_version: "9".into(),
        environment: Environment::current().unwrap(),
        samples: vec![sample(100, 1.0), sample(100, 2.0), sample(200, 3.0), sample(200, 4.0)],
    };
    let probed = plan.probed(&plan.operations, &settings, result.clone()).unwrap();
    assert_eq!((probed.noisy(0.5), probed.noisy(0.4)), (0, 4));
    let mut table = LatencyTable::new("test");
    probed.insert_into(&mut table).unwrap();
    let bucket = table.bucket(&probed.context, 200).unwrap();
    let entry = bucket.entries.iter().find(|e| e.operation == Operation::Layer { from: 16, to: 1 }).unwrap();
    assert_eq!((entry.mean_ms, entry.samples), (4.0, 7));
    assert_eq!(table.bucket(&probed.context, 100).unwrap().entries.len(), 2);
    result.samples.pop();
    assert!(
        plan.probed(&plan.operations, &settings, result)
            .unwrap_err()
            .to_string()
            .contains("3 samples instead of 4")
    );
}

#[test]
fn probes_with_large_tables_are_measured_in_groups_and_small_ones_together() {
    let space = space(20, 80, vec![vec![Mlp(64)]]);
    let plan = |rows| ProbePlan::for_space(&space, rows, Layout::UserOnce, &[100]).unwrap();
    assert_eq!(plan(1000).groups().len(), 1);
    let large = plan(100_000);
    let groups = large.groups();
    assert!(groups.len() > 1);
    assert_eq!(groups.concat(), large.operations, "every operation once, in its order");
    for group in groups.iter().filter(|group| group.len() > 1) {
        assert!(group.iter().map(|&operation| large.model_bytes(operation)).sum::<usize>() <= GROUP_BYTES);
    }
    // 20 features of width 8 on the user's side and 80 on the item's, with tables of 100,000 rows and 64 outputs.
    let whole = Operation::First { user: 160, item: 640, to: 64 };
    assert_eq!(large.model_bytes(whole), 4 * 800 * 100_064);
}
