use super::*;
use crate::data::schema::{Feature, Schema};
use Operator::{Mlp, Zero};
use std::path::Path;

/// So many features of `kind`, from the narrowest on.
fn features(kind: &str, widths: &[usize]) -> Vec<Feature> {
    let of = |(i, width): (usize, &usize)| {
        format!(
            "[[feature]]\nname = \"{kind}{i}\"\nkind = \"{kind}\"\ntype = \"categorical\"\nwidth = {width}\nfetch_ms = 1\n"
        )
    };
    let all: String = widths.iter().enumerate().map(of).collect();
    Schema::parse(&format!("[data]\nlabel = \"click\"\n{all}"), Path::new("s.toml")).unwrap().features
}

fn space(users: &[usize], items: &[usize], mixops: Vec<Vec<Operator>>) -> SearchSpace {
    let user = if users.is_empty() { Vec::new() } else { features("user", users) };
    SearchSpace::new([user, features("item", items)].concat(), mixops).unwrap()
}

fn rng() -> Generator {
    rng::generator(1, "test")
}

#[test]
fn random_subnets_never_share_a_shape_with_a_known_one() {
    // One user and one item feature, both always chosen, and two operators: two shapes in all.
    let space = space(&[8], &[24], vec![vec![Mlp(16), Zero]]);
    let draw = |known: &[Subnet]| random_subnets(&space, 5, known, rng());
    let both = draw(&[]);
    assert_eq!(both.len(), 2);
    assert_ne!(both[0].layer_widths(), both[1].layer_widths());
    assert_eq!(draw(&both[..1]), both[1..]);
    assert_eq!(draw(&both), []);
    assert_eq!(covering_subnets(&space, 1, 1, &both[..1], rng()), both[1..]);
}

#[test]
fn subnets_of_equal_inputs_have_one_shape_though_their_features_differ() {
    let space = space(&[], &[4; 6], vec![vec![Mlp(8)]]);
    // Four of six features have fifteen sets, and one shape.
    let found = random_subnets(&space, 12, &[], rng());
    let shapes: BTreeSet<Shape> = found.iter().map(|subnet| shape(&space, subnet)).collect();
    assert_eq!(shapes.len(), found.len());
    assert_eq!(found.len(), 3);
}

#[test]
fn every_random_subnet_reads_something_of_the_candidate() {
    let users: Vec<usize> = (2..31).collect();
    let space = space(&users, &[1], vec![vec![Mlp(8)]]);
    let found = random_subnets(&space, 20, &[], rng());
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|subnet| subnet.input_widths(&space).item == 1.0));
}

#[test]
fn without_zero_operators_only_neighbouring_mixops_are_joined() {
    let space = space(&[8], &[8], vec![vec![Mlp(64), Mlp(32)], vec![Mlp(16)], vec![Mlp(4)]]);
    let expected = [(None, 32), (None, 64), (Some(4), 1), (Some(16), 4), (Some(32), 16), (Some(64), 16)];
    assert_eq!(edges(&space), expected.into());
}

#[test]
fn zero_operators_open_every_path_around_them() {
    let space = space(&[8], &[8], vec![vec![Mlp(64), Zero], vec![Mlp(16), Zero], vec![Mlp(4), Zero]]);
    let first = [1, 4, 16, 64].map(|to| (None, to));
    let later = [(4, 1), (16, 1), (16, 4), (64, 1), (64, 4), (64, 16)].map(|(from, to)| (Some(from), to));
    assert_eq!(edges(&space), first.into_iter().chain(later).collect());
}

#[test]
fn a_design_holds_every_layer_as_often_as_asked() {
    let mixop: Vec<_> = [1024, 512, 256, 128, 64].map(Mlp).into_iter().chain([Zero]).collect();
    let space = space(&[8; 12], &[8; 30], vec![mixop; 3]);
    for times in [1, 2, 3] {
        let found = covering_subnets(&space, 24, times, &[], rng());
        for edge in edges(&space) {
            let holds = |s: &&Subnet| edges_of(&s.layer_widths()).any(|held| held == edge);
            assert!(found.iter().filter(holds).count() >= times, "{edge:?} less than {times} times");
        }
        let shapes: BTreeSet<Shape> = found.iter().map(|subnet| shape(&space, subnet)).collect();
        assert_eq!(shapes.len(), found.len());
        // 36 layers; a network holds at most four, and one without hidden layers holds one.
        assert!((24..=24 + 10 * times).contains(&found.len()), "{} for {times}", found.len());
    }
    let counts: Vec<_> =
        covering_subnets(&space, 30, 2, &[], rng()).iter().map(|s| s.features.len()).collect();
    assert!(counts.iter().min() < Some(&10) && counts.iter().max() > Some(&30), "{counts:?}");
}

#[test]
fn strata_spread_depth_width_and_features_and_leave_out_what_is_known() {
    let widths: Vec<usize> = (1..=32).collect();
    let space = space(&[], &widths, vec![vec![Mlp(512), Mlp(256), Mlp(128), Mlp(64), Zero]; 3]);
    let wide = |subnet: &Subnet| subnet.layer_widths().first() == Some(&512);
    let draw = |count, seed| stratified_subnets(&space, count, wide, rng::generator(seed, "test"));
    let found = draw(60, 1);
    assert_eq!(found.len(), 60);
    assert_eq!(found, draw(60, 1));
    assert!(!found.iter().any(wide));
    let deep = |depth: usize| found.iter().filter(|subnet| subnet.layer_widths().len() == depth).count();
    assert!((1..=8).contains(&deep(0)), "{}", deep(0));
    for depth in 1..=3 {
        assert!((12..=28).contains(&deep(depth)), "{} of depth {depth}", deep(depth));
    }
    let shapes: BTreeSet<Shape> = found.iter().map(|subnet| shape(&space, subnet)).collect();
    assert_eq!(shapes.len(), 60);
    for (few, many) in [(4, 7), (8, 15), (16, 32)] {
        let within = found.iter().filter(|subnet| (few..=many).contains(&subnet.features.len())).count();
        assert!(within >= 12, "{within} with {few} to {many} features");
    }
    for width in [64, 128, 256] {
        let holds = found.iter().filter(|subnet| subnet.layer_widths().contains(&width)).count();
        assert!(holds >= 12, "{holds} with a layer of {width}");
    }
    let narrow = self::space(&[8], &[24], vec![vec![Mlp(16)], vec![Mlp(8)]]);
    let only = stratified_subnets(&narrow, 5, |_| false, rng::generator(1, "test"));
    assert_eq!(only.iter().map(Subnet::layer_widths).collect::<Vec<_>>(), [[16, 8]]);
}

#[test]
fn features_that_must_be_kept_are_in_every_random_network_and_those_that_never_may_in_none() {
    let mut space = space(&[8; 6], &[8; 20], vec![vec![Mlp(8), Mlp(4), Zero]]);
    for i in [0, 1, 2, 3, 4] {
        space.features[i].must_keep = true;
    }
    (7..26).for_each(|i| space.features[i].never = i % 3 == 0);
    let known = |_: &Subnet| false;
    let drawn = [
        random_subnets(&space, 12, &[], rng()),
        covering_subnets(&space, 12, 1, &[], rng()),
        stratified_subnets(&space, 12, known, rng()),
    ];
    for subnet in drawn.iter().flatten() {
        assert_eq!(subnet.features[..5], [0, 1, 2, 3, 4], "kept, though four are the fewest");
        assert!(subnet.features.iter().all(|&i| !space.features[i].never), "{:?}", subnet.features);
        assert!(subnet.input_widths(&space).item > 0.0);
    }
    let most = drawn[0].iter().map(|subnet| subnet.features.len()).max().unwrap();
    assert!(most > 15 && most <= 26 - 6, "{most}");
}
