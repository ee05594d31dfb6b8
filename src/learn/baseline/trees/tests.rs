use super::{IdValues, TreeSettings, teach, threshold, train, values::Values};
use crate::{
    base::rng,
    data::{
        dataset::{Dataset, EncodedFeature, Slot, Split},
        ids::Ids,
        schema::{Feature, Schema},
    },
    learn::network::{Body, Embedding, Network},
};
use rand::RngExt;

/// A bucketed item feature, an id of the user, a list of tags and a number.
fn features() -> Vec<Feature> {
    let text = r#"
        [data]
        label = "y"
        [defaults]
        user = { fetch_ms = 0.1 }
        item = { fetch_ms = 0.1 }
        [[feature]]
        column = "age"
        kind = "item"
        type = "numeric"
        buckets = 8
        [[feature]]
        column = "user"
        kind = "user"
        type = "categorical"
        [[feature]]
        column = "tags"
        kind = "item"
        type = "sequence"
        length = 3
        [[feature]]
        column = "price"
        kind = "item"
        type = "numeric"
        encoding = "standardize"
    "#;
    Schema::parse(text, "schema.toml".as_ref()).unwrap().features
}

/// One row: age, user, tags and price, and its label.
type Row = (u32, u32, [u32; 3], f32, f32);

fn data(rows: &[Row]) -> Dataset {
    let ids = |name: &str, start, length, cardinality| EncodedFeature {
        name: name.into(),
        slot: Slot::Ids { start, length },
        cardinality,
    };
    let packed: Vec<u32> =
        rows.iter().flat_map(|(age, user, tags, ..)| [*age, *user, tags[0], tags[1], tags[2]]).collect();
    Dataset {
        features: vec![
            ids("age", 0, 1, 9),
            ids("user", 1, 1, 1000),
            ids("tags", 2, 3, 7),
            EncodedFeature { name: "price".into(), slot: Slot::Number { index: 0 }, cardinality: 0 },
        ],
        ids: Ids::from_rows(5, &packed),
        number_slots: 1,
        numbers: rows.iter().map(|row| row.3).collect::<Vec<_>>().into(),
        labels: rows.iter().map(|row| row.4).collect::<Vec<_>>().into(),
        weights: vec![1.0; rows.len()].into(),
        ..Dataset::default()
    }
}

/// Rows whose label is 1 where the age is below 4 and the price is missing or at least 1, and where nothing else matters.
fn planted(rows: usize) -> Dataset {
    let draw = &mut rng::generator(5, "test/planted");
    let row = |index: usize| {
        let (age, price) = (draw.random_range(0..9), draw.random_range(-3..4i32) as f32 / 2.0);
        let price = if draw.random_range(0..4) == 0 { f32::NAN } else { price };
        let tags = [(); 3].map(|()| draw.random_range(0..7));
        let clicked = age < 4 && (price.is_nan() || price >= 1.0);
        (age, index as u32 % 50, tags, price, f32::from(clicked))
    };
    data(&(0..rows).map(row).collect::<Vec<_>>())
}

fn halves(data: &Dataset) -> Split {
    let part = |first: u32| (first..data.rows() as u32).step_by(2).collect::<Vec<_>>().into();
    Split { train: part(0), valid: part(1) }
}

fn settings() -> TreeSettings {
    TreeSettings { trees: 30, min_child_weight: 0.0, learning_rate: 0.3, patience: 30, ..Default::default() }
}

const EVERY: [usize; 4] = [0, 1, 2, 3];

#[test]
fn a_planted_rule_is_found_exactly() {
    let data = planted(2000);
    let split = halves(&data);
    let (trees, report) = train(&features(), &EVERY, &data, &split, &settings(), 1).unwrap();
    assert_eq!(report.metrics.auc, Some(1.0));
    let Body::Forest(forest) = &trees.body else { panic!("trees are grown") };
    assert!(report.kept <= report.grown && forest.roots.len() == report.kept, "{report:?}");
    forest.check(EVERY.len()).unwrap();
    let scores = trees.score(&data, &split.valid).unwrap();
    for (&row, score) in split.valid.iter().zip(scores) {
        assert_eq!(f32::from(score > 0.5), data.labels[row as usize], "row {row} scores {score}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    trees.save(&path).unwrap();
    // As text, since a missing number is equal to nothing.
    assert_eq!(format!("{:?}", Network::load(&path).unwrap()), format!("{trees:?}"));
}

#[test]
fn the_gain_is_that_of_the_features_of_the_rule() {
    let data = planted(2000);
    let gains = |chosen: &[usize]| -> Vec<f64> {
        let (_, report) = train(&features(), chosen, &data, &halves(&data), &settings(), 1).unwrap();
        report.gain.into_iter().map(|(_, gain)| gain).collect()
    };
    let all = gains(&EVERY);
    assert!(all[0].min(all[3]) > 20.0 * all[1].max(all[2]), "{all:?}");
    // In the order of the chosen, of which none is the age.
    let two = gains(&[2, 3]);
    assert!(two.len() == 2 && two[1] > two[0], "{two:?}");
}

#[test]
fn a_seed_gives_the_same_trees_on_any_number_of_threads() {
    let data = planted(1000);
    let split = halves(&data);
    let sampled = TreeSettings { subsample: 0.6, columns: 0.75, ..settings() };
    let grow = |seed, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let grown = pool.install(|| train(&features(), &EVERY, &data, &split, &sampled, seed)).unwrap();
        format!("{grown:?}")
    };
    assert_eq!(grow(1, 1), grow(1, 3));
    assert_ne!(grow(1, 1), grow(2, 1));
}

/// Ten rows, of which the first four have user 3 and the labels 1, 1, 0, 1, and the others a user each and the label 0.
fn few() -> Dataset {
    let rows = (0..10u32).map(|row| {
        let (user, label) = if row < 4 { (3, f32::from(row != 2)) } else { (10 + row, 0.0) };
        (row % 9, user, [row % 3, 0, row % 2], 0.0, label)
    });
    data(&rows.collect::<Vec<_>>())
}

#[test]
fn ids_become_smoothed_shares_of_clicks_of_the_training_rows() {
    let (data, features) = (few(), features());
    let chosen: Vec<&Feature> = features.iter().collect();
    let settings = TreeSettings { smoothing: 2.0, folds: 3, ..Default::default() };
    // The last rows do not count.
    let train: Vec<u32> = (0..8).collect();
    let values = Values::learn(&chosen, &data, &train, &settings, 1).unwrap();
    let mean = 3.0 / 8.0;
    let share =
        |clicks: f64, rows: f64| (((clicks + 2.0 * mean) / (rows + 2.0) * 4096.0).round() / 4096.0) as f32;
    let table = |input: usize| match &values.inputs[input].embedding {
        Embedding::Table { rows } | Embedding::Pooled { rows, .. } => rows.clone(),
        Embedding::Number { .. } => Vec::new(),
    };
    assert_eq!(table(0), (0..9).map(|bucket| bucket as f32).collect::<Vec<_>>());
    assert_eq!(
        (table(1)[3], table(1)[14], table(1)[18]),
        (share(3.0, 4.0), share(0.0, 1.0), share(0.0, 0.0))
    );
    // Tag 1 stands twice in rows 1 and 7, and once in rows 3, 4 and 5; rows 1 and 3 are clicks.
    assert_eq!(table(2)[1], share(3.0, 7.0));
    // Trained with: what the other folds know. A user of one row is nothing but the mean to its own row.
    let matrix = values.training_matrix(&data, &train);
    assert!(matrix[8 + 4..8 + 8].iter().all(|&x| x == f64::from(share(0.0, 0.0))), "{matrix:?}");
    let possible: Vec<f64> = (0..=3)
        .flat_map(|clicks| (0..4).map(move |rows| (clicks, rows)))
        .map(|(clicks, rows)| f64::from(share(clicks.into(), rows.into())))
        .collect();
    assert!(matrix[8..12].iter().all(|x| possible.contains(x)), "{matrix:?}");
}

#[test]
fn ids_become_ranks_by_falling_count() {
    let (data, features) = (few(), features());
    let settings = TreeSettings { ids: IdValues::Rank, ..Default::default() };
    let values = Values::learn(&[&features[1]], &data, &(0..10).collect::<Vec<_>>(), &settings, 1).unwrap();
    let Embedding::Table { rows } = &values.inputs[0].embedding else { panic!("an id has a table") };
    assert_eq!((rows[3], rows[14], rows[19], rows[0], rows[999]), (0.0, 1.0, 6.0, 7.0, 999.0));
}

#[test]
fn an_id_of_every_row_says_nothing_of_its_label() {
    let draw = &mut rng::generator(5, "test/noise");
    let rows = (0..900).map(|row| (0, row, [0; 3], 0.0, f32::from(draw.random::<bool>())));
    let data = data(&rows.collect::<Vec<_>>());
    let (_, report) = train(&features(), &[1], &data, &halves(&data), &settings(), 1).unwrap();
    assert_eq!(report.metrics.auc, Some(0.5));
}

#[test]
fn thresholds_divide_single_precision_values_as_the_grower_divided_them() {
    let x = 0.1f32;
    assert_eq!(threshold(f64::from(x)), x);
    assert_eq!(threshold(f64::from(x) + 1e-12), x.next_up());
    assert_eq!(threshold(f64::from(x) - 1e-12), x);
    assert_eq!(threshold(f64::MAX), f32::MAX);
}

#[test]
fn what_cannot_be_grown_on_is_an_error_with_its_fix() {
    let data = planted(100);
    let split = halves(&data);
    let refused = |chosen: &[usize], split: &Split, settings: &TreeSettings| {
        train(&features(), chosen, &data, split, settings, 1).unwrap_err().to_string()
    };
    assert!(refused(&[], &split, &settings()).contains("no feature is chosen"));
    let of_one = |rows: &[u32]| -> Vec<u32> {
        rows.iter().copied().filter(|&row| data.labels[row as usize] == 0.0).collect()
    };
    let one = Split { valid: of_one(&split.valid).into(), ..split.clone() };
    assert!(refused(&EVERY, &one, &settings()).contains("0 of the"));
    let none = Split { train: Vec::new().into(), ..split.clone() };
    assert!(refused(&EVERY, &none, &settings()).contains("training rows"));
    let shallow = TreeSettings { leaves: 1, ..settings() };
    assert!(refused(&EVERY, &split, &shallow).contains("`leaves`"));
}

#[test]
fn trees_that_teach_do_not_tell_a_rows_own_label() {
    // Users 1 to 40 click always or never, ten rows each; users 100 and 101 have one row each, which differ in nothing but the label.
    let known = (0..400).map(|row| (0, 1 + row % 40, [0; 3], 0.0, f32::from(row % 40 < 20)));
    let single = |user, label| (0, user, [0; 3], 0.0, label);
    let rows: Vec<Row> = known.chain([single(100, 1.0), single(101, 0.0)]).collect();
    let data = data(&rows);
    let valid: Vec<u32> = (0..400).step_by(7).collect();
    let train: Vec<u32> = (0..402).filter(|row| !valid.contains(row)).collect();
    let split = Split { train: train.into(), valid: valid.into() };
    let settings = TreeSettings { smoothing: 1.0, ..settings() };
    let (network, report, scores) = teach(&features(), &EVERY, &data, &split, &settings, 1).unwrap();
    assert_eq!(report.metrics.auc, Some(1.0));
    assert_eq!(scores.len(), 402);
    assert_eq!(scores[400], scores[401], "nothing else is known of their users");
    let told = network.score(&data, &[400, 401]).unwrap();
    assert!(told[0] > told[1] + 0.1, "{told:?}");
    for (&row, score) in split.valid.iter().zip(network.score(&data, &split.valid).unwrap()) {
        assert_eq!(scores[row as usize], score, "row {row} was not trained on");
    }
}
