use super::{plan::GROUP_BYTES, *};
use crate::{
    data::schema::{Encoding, Feature, Kind, Sequence},
    export::signature::ElementType,
    measure::{environment::Environment, service::ServiceSample},
    price::{
        fixtures::feature,
        table::{Operation, RunQuantiles, TableEntry},
    },
    space::{
        Group, Operator, SearchSpace,
        design::{edges, edges_of},
    },
};
use Operator::{Mlp, Zero};

fn space(users: usize, items: usize, mixops: Vec<Vec<Operator>>) -> SearchSpace {
    let feature = |i: usize, kind| Feature { kind, ..feature(&format!("{kind:?}{i}"), 8) };
    let user = (0..users).map(|i| feature(i, Kind::User));
    let item = (0..items).map(|i| feature(i, Kind::Item));
    SearchSpace::new(user.chain(item).collect(), mixops).unwrap()
}

/// Ids, lists and numbers of several widths on both sides.
fn mixed() -> SearchSpace {
    let list = |name: &str, length| Feature {
        sequence: Some(Sequence { length, separator: ",".into() }),
        ..feature(name, 8)
    };
    let number = |name: &str, width| Feature { encoding: Encoding::Standardize, ..feature(name, width) };
    let user = |feature: Feature| Feature { kind: Kind::User, ..feature };
    let mut features = vec![user(number("u_x", 4)), user(list("u_list", 5))];
    features.extend((0..4).map(|i| user(feature(&format!("u{i}"), 8))));
    features.extend((0..6).map(|i| feature(&format!("i{i}"), if i < 3 { 8 } else { 16 })));
    features.extend([list("tags", 6), list("words", 6), number("x", 8), number("y", 8), number("z", 2)]);
    SearchSpace::new(features, vec![vec![Mlp(16), Mlp(8), Zero]; 2]).unwrap()
}

fn plan_of(space: &SearchSpace, rows: usize, layout: Layout, networks: Networks) -> ProbePlan {
    let rows = vec![rows; space.features.len()];
    ProbePlan::for_space(space, &rows, layout, &[100, 200], networks, 1).unwrap()
}

const NETWORKS: Networks = Networks { fitted: 6, held_out: 3 };

fn settings() -> ServiceSettings {
    ServiceSettings {
        engine: EngineName::Tract,
        options: SessionOptions::PLAIN,
        precision: Precision::Int8,
        effort: Effort::default(),
        seed: 1,
    }
}

fn grid_sets(plan: &ProbePlan, wanted: usize) -> Vec<&Vec<usize>> {
    let set = |subject| match subject {
        &Subject::Grid { ref features, to } if to == wanted => Some(features),
        _ => None,
    };
    plan.subjects.iter().filter_map(set).collect()
}

#[test]
fn every_layer_of_the_space_is_probed_alone_once() {
    let space = mixed();
    let plan = plan_of(&space, 10, Layout::UserOnce, Networks::NONE);
    let layers: Vec<_> = plan
        .subjects
        .iter()
        .filter_map(|subject| match subject {
            Subject::Layer(Operation::Layer { from, to }) => Some((Some(*from), *to)),
            _ => None,
        })
        .collect();
    let later: Vec<_> = edges(&space).into_iter().filter(|(from, _)| from.is_some()).collect();
    assert_eq!(layers, later);
    assert_eq!(plan.subjects.iter().filter(|s| **s == Subject::Layer(Operation::Call)).count(), 1);
    for (_, to) in edges(&space).into_iter().filter(|(from, _)| from.is_none()) {
        assert_eq!(grid_sets(&plan, to).len(), grid_sets(&plan, 1).len(), "{to}");
    }
    let unused = self::space(3, 0, vec![]);
    let refused = ProbePlan::for_space(&unused, &[10; 3], Layout::Concat, &[100], Networks::NONE, 1);
    assert!(refused.unwrap_err().to_string().contains("item feature"));
}

#[test]
fn the_grid_is_made_of_the_spaces_features_from_the_fewest_to_all_with_every_group_in_proportion() {
    for (layout, user_points) in [(Layout::UserOnce, 3), (Layout::Concat, 4)] {
        let space = mixed();
        let plan = plan_of(&space, 10, layout, Networks::NONE);
        let sets = grid_sets(&plan, 8);
        let widths: Vec<_> = sets.iter().map(|set| plan.input(set).widths).collect();
        let axis = |of: fn(&crate::space::InputWidths) -> f64| {
            let mut axis: Vec<_> = widths.iter().map(of).collect();
            axis.sort_by(f64::total_cmp);
            axis.dedup();
            axis
        };
        let (users, items) = (axis(|w| w.user), axis(|w| w.item));
        assert_eq!((users.len(), items.len(), sets.len()), (user_points, 4, 4 * user_points));
        let all = space.input_widths(|_| 1.0);
        assert_eq!((users[0], *users.last().unwrap()), (0.0, all.user));
        assert_eq!((items[0], *items.last().unwrap()), (2.0, all.item), "the narrowest alone, and all");
        let half = sets.iter().find(|set| plan.input(set).widths.item == items[2]).unwrap();
        let groups = |features: &[usize]| {
            let item = |i: &&usize| space.features[**i].kind == Kind::Item;
            let groups = features.iter().filter(item).map(|&i| Group::of(&space.features[i]));
            groups.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(groups(half), groups(&(0..space.features.len()).collect::<Vec<_>>()));
    }
}

#[test]
fn inputs_are_told_apart_by_groups_of_their_own_over_the_narrowest_layer() {
    let space = mixed();
    let plan = plan_of(&space, 10, Layout::UserOnce, Networks::NONE);
    let sets: Vec<_> = plan
        .subjects
        .iter()
        .filter_map(|subject| match subject {
            Subject::Input { features, to } => {
                assert_eq!(*to, 1);
                Some(plan.input(features).load.item)
            }
            _ => None,
        })
        .collect();
    let only =
        |f: fn(&crate::space::PartLoad) -> bool| sets.iter().any(|part| part.groups() == 1.0 && f(part));
    assert!(only(|part| part.ids == 3.0), "the ids of one width");
    assert!(only(|part| part.values == 2.0 * 6.0 * 8.0), "the lists");
    assert!(only(|part| part.numbers == 3.0 && part.joined == 0.0), "the numbers");
    // Equal features leave nothing to tell apart but how many there are.
    let plain = plan_of(&self::space(9, 20, vec![vec![Mlp(64)]]), 10, Layout::UserOnce, Networks::NONE);
    assert!(plain.subjects.iter().filter(|s| matches!(s, Subject::Input { .. })).count() >= 4);
}

#[test]
fn networks_hold_every_layer_twice_and_judges_are_others() {
    let space = space(9, 20, vec![vec![Mlp(64), Mlp(16), Zero]; 2]);
    let plan = plan_of(&space, 10, Layout::UserOnce, Networks { fitted: 4, held_out: 5 });
    let of = |wanted: fn(&Subject) -> Option<&crate::space::Subnet>| {
        plan.subjects.iter().filter_map(wanted).cloned().collect::<Vec<_>>()
    };
    let fitted = of(|s| if let Subject::Network(subnet) = s { Some(subnet) } else { None });
    let held_out = of(|s| if let Subject::HeldOut(subnet) = s { Some(subnet) } else { None });
    assert_eq!(held_out.len(), 5);
    assert!(held_out.iter().all(|subnet| !fitted.contains(subnet)));
    for edge in edges(&space) {
        let times = fitted.iter().filter(|s| edges_of(&s.layer_widths()).any(|held| held == edge)).count();
        assert!(times >= 2, "{edge:?}");
    }
}

#[test]
fn what_lasts_is_no_input_of_a_layout_with_rows_and_the_grid_begins_at_rows_alone() {
    let mut features = space(2, 3, vec![vec![Mlp(64)]]).features;
    features[4].kind = Kind::Interactive;
    let space = SearchSpace::new(features, vec![vec![Mlp(64)]]).unwrap();
    let grid = |space: SearchSpace| {
        let layout = Layout::ItemCachedF16;
        let plan = plan_of(&space.served_in(layout), 10, layout, NETWORKS);
        let mut found = Vec::new();
        for subject in &plan.subjects {
            let tensors = plan.model(subject, Precision::Fp32).unwrap().signature.tensors;
            let of = |name: &str| {
                tensors.iter().filter(|t| t.name.ends_with(name)).map(|t| t.columns()).sum::<usize>()
            };
            let features = match subject {
                Subject::Layer(_) => continue,
                Subject::Grid { features, .. } | Subject::Input { features, .. } => features,
                Subject::Network(subnet) | Subject::HeldOut(subnet) => &subnet.features,
            };
            assert!([1, 64].contains(&of("item_rows")), "{}", plan.name(subject));
            let widths = plan.input(features).widths;
            assert_eq!((of("ids") * 8) as f64, widths.total());
            if matches!(subject, Subject::Grid { to: 64, .. }) {
                found.push((widths.user as usize, widths.item as usize));
            }
        }
        found
    };
    assert_eq!(grid(space.clone()), [(0, 0), (0, 8), (8, 0), (8, 8), (16, 0), (16, 8)]);
    // Everything of the candidate lasts: rows are all that is left of it.
    let mut lasting = space;
    lasting.features.truncate(4);
    assert_eq!(grid(lasting), [(0, 0), (8, 0), (16, 0)]);
}

#[test]
fn every_subject_is_a_model_whose_graph_has_the_groups_that_its_input_counts() {
    let space = mixed();
    for layout in [Layout::UserOnce, Layout::Concat] {
        let plan = plan_of(&space, 10, layout, NETWORKS);
        for subject in &plan.subjects {
            let model = plan.model(subject, Precision::Fp32).unwrap();
            let features = match subject {
                Subject::Layer(_) => continue,
                Subject::Grid { features, .. } | Subject::Input { features, .. } => features,
                Subject::Network(subnet) | Subject::HeldOut(subnet) => &subnet.features,
            };
            let load = plan.input(features).load;
            let groups = match layout {
                Layout::Concat => load.whole.groups(),
                _ => load.user.groups() + load.item.groups(),
            };
            // Ids and lists are laid flat once per group, numbers take one product: the constant with the shape or the factors is
            // named where it stands and where it is used.
            let bytes = model.bytes();
            let named =
                |needle: &[u8]| bytes.windows(needle.len()).filter(|window| *window == needle).count();
            let named = named(b"/flat_shape") + named(b"numbers/blocks");
            assert_eq!(named as f64, 2.0 * groups, "{}", plan.name(subject));
            let columns: usize = model.signature.tensors.iter().map(|t| t.columns()).sum();
            let length = |&i: &usize| space.features[i].sequence.as_ref().map_or(1, |s| s.length);
            assert_eq!(columns, features.iter().map(length).sum::<usize>());
            let numbers = model.signature.tensors.iter().filter(|t| t.element == ElementType::F32);
            let numbers: usize = numbers.map(|t| t.columns()).sum();
            assert_eq!(numbers as f64, load.whole.numbers);
        }
    }
}

fn sample(candidates: usize, mean_ms: f64) -> ServiceSample {
    ServiceSample {
        model: String::new(),
        candidates,
        mean_ms,
        quantiles: RunQuantiles { p50_ms: Some(mean_ms), ..RunQuantiles::default() },
        runs: 7,
        block_ms: vec![],
        noise_pct: 0.5,
        void: false,
        cold_ms: Some(9.0),
    }
}

#[test]
fn samples_go_to_the_table_as_what_they_are_and_a_group_is_held_when_all_of_it_is_there() {
    let plan = plan_of(&mixed(), 10, Layout::UserOnce, NETWORKS);
    let mut table = LatencyTable::new("test");
    for group in plan.groups(3) {
        let samples = group.subjects.iter().map(|&at| sample(group.candidates, at as f64 + 1.0)).collect();
        let mut result = ServiceResult {
            engine_version: "9".into(),
            environment: Environment::current().unwrap(),
            samples,
        };
        let probed = plan.probed(&group, &settings(), result.clone()).unwrap();
        assert_eq!((probed.noisy(0.5), probed.noisy(0.4)), (0, group.subjects.len()));
        let context = probed.context.clone();
        assert_eq!(plan.lacking(&table, &context, &group), Some(group.clone()));
        probed.insert_into(&mut table).unwrap();
        assert_eq!(plan.lacking(&table, &context, &group), None);
        result.samples.pop();
        let short = plan.probed(&group, &settings(), result).unwrap_err().to_string();
        assert!(short.contains(&format!("{} samples instead of", group.subjects.len() - 1)), "{short}");
    }
    assert_eq!(table.buckets.len(), 2);
    for bucket in &table.buckets {
        let count = |wanted: fn(&Subject) -> bool| plan.subjects.iter().filter(|s| wanted(s)).count();
        assert_eq!(bucket.entries.len(), count(|s| matches!(s, Subject::Layer(_) | Subject::Grid { .. })));
        assert_eq!(bucket.inputs.len(), count(|s| matches!(s, Subject::Input { .. })));
        assert_eq!(bucket.grid.len(), grid_sets(&plan, 1).len());
        assert_eq!(bucket.observations.len(), count(|s| matches!(s, Subject::Network(_))));
        assert_eq!(bucket.held_out.len(), 3);
        assert!(bucket.observations.iter().all(|o| o.cold_ms == Some(9.0)), "apart from the warm times");
        let call = plan.subjects.iter().position(|s| *s == Subject::Layer(Operation::Call)).unwrap();
        let entry = TableEntry {
            operation: Operation::Call,
            samples: 7,
            mean_ms: call as f64 + 1.0,
            noise_pct: 0.5,
            quantiles: RunQuantiles { p50_ms: Some(call as f64 + 1.0), ..RunQuantiles::default() },
            origin: 0,
        };
        assert_eq!(bucket.entries[0], entry);
        assert!(bucket.inputs.iter().all(|input| input.quantiles.p50_ms == Some(input.mean_ms)));
    }
    let saved = tempfile::tempdir().unwrap();
    table.save(&saved.path().join("t.json")).unwrap();
    assert_eq!(LatencyTable::load(&saved.path().join("t.json")).unwrap(), table);
}

#[test]
fn groups_hold_everything_once_at_every_count_in_mixed_company_and_within_their_size() {
    let space = space(20, 80, vec![vec![Mlp(64), Mlp(32), Zero]; 2]);
    for rows in [1000, 100_000] {
        let plan = plan_of(&space, rows, Layout::UserOnce, NETWORKS);
        let groups = plan.groups(5);
        assert_eq!(groups, plan.groups(5));
        assert_ne!(groups, plan.groups(6), "another seed, another order");
        for &candidates in &plan.candidates {
            let here = groups.iter().filter(|group| group.candidates == candidates);
            let mut found: Vec<usize> = here.flat_map(|group| group.subjects.clone()).collect();
            found.sort_unstable();
            assert_eq!(found, (0..plan.subjects.len()).collect::<Vec<_>>());
        }
        for group in groups.iter().filter(|group| group.subjects.len() > 1) {
            let bytes: usize = group.subjects.iter().map(|&at| plan.model_bytes(&plan.subjects[at])).sum();
            assert!(bytes <= GROUP_BYTES);
        }
        let kinds = |group: &&ProbeGroup| {
            let network =
                |at: &usize| matches!(plan.subjects[*at], Subject::Network(_) | Subject::HeldOut(_));
            let networks = group.subjects.iter().filter(|at| network(at)).count();
            networks > 0 && networks < group.subjects.len()
        };
        if rows == 1000 {
            assert!(groups.iter().filter(kinds).count() * 2 > groups.len());
            assert!(groups.iter().all(|group| group.subjects.len() > 10), "no last group in little company");
        }
    }
}

#[test]
fn a_larger_group_of_larger_models_is_expected_to_take_longer() {
    let plan = plan_of(&space(20, 80, vec![vec![Mlp(1024)]]), 10, Layout::UserOnce, Networks::NONE);
    let place = |wanted: &Subject| plan.subjects.iter().position(|s| s == wanted).unwrap();
    let (call, layer) = (
        place(&Subject::Layer(Operation::Call)),
        place(&Subject::Layer(Operation::Layer { from: 1024, to: 1 })),
    );
    let all = (0..plan.subjects.len()).max_by_key(|&at| plan.model_bytes(&plan.subjects[at])).unwrap();
    let expected = |candidates, subjects: &[usize]| {
        plan.expected_s(&ProbeGroup { candidates, subjects: subjects.to_vec() }, &Effort::default())
    };
    assert!(expected(3000, &[all]) > 2.0 * expected(3000, &[call]));
    assert!(expected(30_000, &[all]) > 5.0 * expected(3000, &[all]));
    let both = expected(100, &[call]) + expected(100, &[layer]);
    assert!((expected(100, &[call, layer]) - both).abs() < 1e-12);
}

#[test]
fn what_is_gathered_from_depends_on_rows_of_tables_and_sets_of_features_and_not_on_numbers() {
    let space = mixed();
    let plan = |rows: &[usize], seed| {
        ProbePlan::for_space(&space, rows, Layout::UserOnce, &[100], NETWORKS, seed).unwrap().gathered()
    };
    let rows: Vec<usize> = vec![10; space.features.len()];
    let number = |i: usize| Group::of(&space.features[i]) == Group::Numbers;
    // Encoders give numbers no rows; whoever says 1 means the same.
    let as_encoded: Vec<usize> = (0..rows.len()).map(|i| if number(i) { 0 } else { 10 }).collect();
    assert_eq!(plan(&rows, 1), plan(&as_encoded, 1));
    let mut other = rows.clone();
    other[3] += 1;
    assert_ne!(plan(&rows, 1).features, plan(&other, 1).features);
    assert_eq!(plan(&rows, 1).grid, plan(&other, 1).grid);
    let seeds: std::collections::BTreeSet<String> = (1..6).map(|seed| plan(&rows, seed).grid).collect();
    assert!(seeds.len() > 1, "other seeds, other sets");
    let mut longer = space.clone();
    longer.features[1].sequence.as_mut().unwrap().length += 1;
    assert_ne!(features_hash(&longer, &rows), features_hash(&space, &rows));
}

#[test]
fn a_candidate_count_that_is_named_twice_is_probed_once() {
    let space = mixed();
    let rows = vec![10; space.features.len()];
    let plan = ProbePlan::for_space(&space, &rows, Layout::UserOnce, &[200, 100, 200], NETWORKS, 1).unwrap();
    assert_eq!(plan.candidates, [100, 200]);
    assert_eq!(plan.groups(1).len(), 2 * plan.groups(1).iter().filter(|g| g.candidates == 100).count());
}
