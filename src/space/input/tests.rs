use super::*;
use crate::{data::schema::Schema, space::Operator};
use proptest::prelude::*;
use std::path::Path;

fn parsed(features: &str) -> Vec<Feature> {
    let text = format!(
        "[data]\nlabel = \"click\"\n[defaults]\nuser = {{ fetch_ms = 1 }}\nitem = {{ fetch_ms = 1 }}\n{features}"
    );
    Schema::parse(&text, Path::new("s.toml")).unwrap().features
}

/// User: an id of 4 and a number of 8. Item: ids of 8 and 8, lists of 3 × 8, numbers of 8 and 2.
fn space() -> SearchSpace {
    let id = "type = \"categorical\"";
    let number = "type = \"numeric\"\nencoding = \"standardize\"";
    let list = "type = \"sequence\"\nlength = 3";
    let features: Vec<String> = [
        ("u_id", "user", 4, id),
        ("u_x", "user", 8, number),
        ("a", "item", 8, id),
        ("b", "item", 8, id),
        ("list", "item", 8, list),
        ("x", "item", 8, number),
        ("y", "item", 2, number),
    ]
    .map(|(name, kind, width, of)| {
        format!("[[feature]]\nname = \"{name}\"\nkind = \"{kind}\"\nwidth = {width}\n{of}\n")
    })
    .into();
    SearchSpace::new(parsed(&features.concat()), vec![vec![Operator::Mlp(8)]]).unwrap()
}

fn chosen(space: &SearchSpace, features: &[usize]) -> InputLoad {
    space.input(|i| f64::from(u8::from(features.contains(&i)))).load
}

/// So many ids and numbers, in so many groups of ids, lists and numbers.
fn of_each(ids: f64, numbers: f64, [id_groups, list_groups, number_groups]: [f64; 3]) -> PartLoad {
    PartLoad { ids, numbers, id_groups, list_groups, number_groups, ..PartLoad::default() }
}

#[test]
fn a_choice_is_counted_by_hand() {
    let space = space();
    let all = chosen(&space, &[0, 1, 2, 3, 4, 5, 6]);
    // Two numbers of widths 8 and 2: [x, missing] · a block matrix of 4 × 10.
    let item = PartLoad {
        ids: 2.0,
        values: 24.0,
        numbers: 2.0,
        products: 40.0,
        id_groups: 1.0,
        list_groups: 1.0,
        number_groups: 1.0,
        shifted: 2.0,
        sliced: 5.0,
        joined: 34.0,
    };
    assert_eq!(all.item, item);
    let user = PartLoad { products: 16.0, joined: 12.0, ..of_each(1.0, 1.0, [1.0, 0.0, 1.0]) };
    assert_eq!(all.user, user);
    // In one part the ids of width 4 and 8 are two groups, and all numbers are one.
    let whole = PartLoad {
        values: 24.0,
        products: 108.0,
        shifted: 2.0,
        sliced: 6.0,
        joined: 46.0,
        ..of_each(3.0, 3.0, [2.0, 1.0, 1.0])
    };
    assert_eq!(all.whole, whole);
    assert_eq!(all.whole.groups(), 4.0);
    let ids = chosen(&space, &[2, 3]);
    let item = PartLoad { shifted: 2.0, ..of_each(2.0, 0.0, [1.0, 0.0, 0.0]) };
    assert_eq!(ids.item, item, "nothing to join");
    assert_eq!(chosen(&space, &[2]).item.shifted, 0.0, "a lone feature's ids are rows already");
    assert_eq!(ids.user, PartLoad::default());
    assert_eq!(ids.whole, ids.item);
    assert_eq!(space.input(|_| 1.0).widths, space.input_widths(|_| 1.0));
}

#[test]
fn a_load_survives_its_array() {
    let load = chosen(&space(), &[0, 1, 2, 4, 6]);
    assert_eq!(InputLoad::from_array(load.array()), load);
    let mut distinct = [0.0; InputLoad::LEN];
    distinct.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64);
    assert_eq!(InputLoad::from_array(distinct).array(), distinct);
    assert_eq!(InputLoad::from_array(distinct).dot(&InputLoad::from_array([2.0; InputLoad::LEN])), 870.0);
    assert_eq!(load.plus(-1.0, &load), InputLoad::default());
}

/// One number of a load.
type Quantity = fn(InputLoad) -> f64;

/// Σ over all choices of their chance times what `of` says.
fn enumerated(space: &SearchSpace, theta: &[f64], of: impl Fn(InputLoad) -> f64) -> f64 {
    (0..1usize << theta.len())
        .map(|choice| {
            let held = |i: usize| choice >> i & 1 == 1;
            let chance: f64 =
                (0..theta.len()).map(|i| if held(i) { theta[i] } else { 1.0 - theta[i] }).product();
            chance * of(space.input(|i| f64::from(u8::from(held(i)))).load)
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn counts_and_groups_are_expectations_over_independent_features(theta in prop::collection::vec(0.0f64..1.0, 7)) {
        let space = space();
        let found = space.input(|i| theta[i]).load;
        let quantities: [(f64, Quantity); 7] = [
            (found.item.ids, |l| l.item.ids),
            (found.item.values, |l| l.item.values),
            (found.item.numbers, |l| l.item.numbers),
            (found.item.groups(), |l| l.item.groups()),
            (found.whole.groups(), |l| l.whole.groups()),
            (found.item.shifted, |l| l.item.shifted),
            (found.whole.shifted, |l| l.whole.shifted),
        ];
        for (found, of) in quantities {
            prop_assert!((found - enumerated(&space, &theta, of)).abs() < 1e-9);
        }
        let width: f64 = (2..7).map(|i| theta[i] * space.features[i].width as f64).sum();
        let several = enumerated(&space, &theta, |l| f64::from(u8::from(l.item.groups() > 1.5)));
        prop_assert!((found.item.joined - width * several).abs() < 1e-9);
    }

    #[test]
    fn the_gradient_agrees_with_central_differences(
        theta in prop::collection::vec(0.01f64..0.99, 7),
        by in prop::collection::vec(-1.0f64..1.0, InputLoad::LEN),
        widths in (-1.0f64..1.0, -1.0f64..1.0),
    ) {
        let space = space();
        let by = Input {
            widths: InputWidths { user: widths.0, item: widths.1 },
            load: InputLoad::from_array(by.try_into().unwrap()),
        };
        let value = |theta: &[f64]| {
            let input = space.input(|i| theta[i]);
            by.widths.user * input.widths.user + by.widths.item * input.widths.item + by.load.dot(&input.load)
        };
        let found = space.input_gradient(|i| theta[i], &by);
        for i in 0..theta.len() {
            let at = |step: f64| {
                let mut moved = theta.clone();
                moved[i] += step;
                value(&moved)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            prop_assert!((slope - found[i]).abs() < 1e-6 * (1.0 + slope.abs()), "{i}: {slope} {}", found[i]);
        }
    }
}

#[test]
fn the_gradient_is_finite_where_features_are_sure() {
    let space = space();
    let by = Input {
        widths: InputWidths { user: 1.0, item: 1.0 },
        load: InputLoad::from_array([1.0; InputLoad::LEN]),
    };
    for share in [0.0, 1.0] {
        assert!(space.input_gradient(|_| share, &by).iter().all(|slope| slope.is_finite()));
    }
}

#[test]
fn features_of_a_schema_fall_into_their_groups() {
    let features = parsed(
        r#"
        [[feature]]
        name = "tags"
        kind = "item"
        type = "sequence"
        length = 6
        width = 4
        [[feature]]
        name = "age"
        kind = "item"
        type = "numeric"
        encoding = "standardize"
        [[feature]]
        name = "price"
        kind = "item"
        type = "numeric"
    "#,
    );
    let groups: Vec<_> = features.iter().map(Group::of).collect();
    assert_eq!(groups, [Group::Sequences { length: 6, width: 4 }, Group::Numbers, Group::Ids { width: 8 }]);
}
