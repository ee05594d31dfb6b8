use super::*;
use crate::{
    base::{names::Layout, rng},
    data::{
        dataset::{EncodedFeature, Slot},
        schema::Side,
    },
    export::{
        Format,
        format::{Affine, FirstPart},
    },
    learn::network::{Body, Dense, Embedding, NetworkInput},
};

/// Rows of these numbers, one feature per column, with a label each.
fn data(rows: &[Vec<f32>], labels: Vec<f32>) -> Dataset {
    let features = (0..rows[0].len()).map(|index| EncodedFeature {
        name: format!("x{index}"),
        slot: Slot::Number { index },
        cardinality: 0,
    });
    Dataset {
        features: features.collect(),
        number_slots: rows[0].len(),
        numbers: rows.concat().into(),
        labels: labels.into(),
        ..Dataset::default()
    }
}

/// A network whose embedded input is its numbers themselves.
fn network(inputs: usize, layers: Vec<Dense>) -> Network {
    let input = |index: usize| NetworkInput {
        feature: format!("x{index}"),
        side: Side::Item,
        width: 1,
        embedding: Embedding::Number { scale: vec![1.0], missing: vec![0.0] },
    };
    Network { inputs: (0..inputs).map(input).collect(), body: Body::Mlp(layers) }
}

fn dense(inputs: usize, outputs: usize, weight: Vec<f32>) -> Dense {
    Dense { inputs, outputs, weight, bias: vec![0.0; outputs] }
}

fn every_row(data: &Dataset) -> Vec<u32> {
    (0..data.rows() as u32).collect()
}

fn form() -> Form {
    Layout::UserOnce.into()
}

/// The limits that nothing breaks.
fn any_loss() -> QuantiseSettings {
    let limits = GateLimits { max_auc_change: 2.0, min_overlap: 0.0, top_k: 1_000_000 };
    QuantiseSettings { limits, rows: usize::MAX, ..QuantiseSettings::default() }
}

#[test]
fn the_error_of_one_layer_is_that_of_a_uniform_number_in_steps() {
    // 0 to 25.5 in 255 steps of 0.1, a weight that bytes hold exactly: the error is uniform over a step, so its root mean square
    // is 0.1/√12, and that of the number itself 25.5/√12 around its mean.
    let rows: Vec<_> = (0..=20_000).map(|i| vec![25.5 * i as f32 / 20_000.0]).collect();
    let data = data(&rows, vec![0.0; rows.len()]);
    let network = network(1, vec![dense(1, 1, vec![1.0])]);
    let settings = QuantiseSettings { methods: vec![RangeMethod::MinMax], ..any_loss() };
    let Quantised { integers, report, .. } =
        quantise(&network, &form(), &data, &every_row(&data), None, &settings).unwrap();
    let layer = integers.layers[0].as_ref().unwrap();
    assert_eq!(layer.input, Affine::of_range(0.0, 25.5));
    assert_eq!(layer.weight, [127]);
    let expected = 100.0 / 255.0;
    let found = report.layers[0].logit_error_pct[&RangeMethod::MinMax];
    assert!((found / expected - 1.0).abs() < 0.01, "{found} against {expected}");
    assert!((report.logit_error_pct / expected - 1.0).abs() < 0.01);
    assert!(layer.bias[0].abs() < 1e-3, "halves go to both sides");
}

#[test]
fn a_mean_error_of_the_weights_goes_into_the_bias() {
    // The second weight is less than a step or two of the column, and x1 is always 1: what its rounding misses is missing everywhere.
    let rows: Vec<_> = (0..=255).map(|i| vec![i as f32 / 51.0, 1.0]).collect();
    let data = data(&rows, vec![0.0; rows.len()]);
    let network = network(2, vec![dense(2, 1, vec![1.0, 0.4 / 127.0])]);
    let Quantised { network: served, integers, .. } =
        quantise(&network, &form(), &data, &every_row(&data), None, &any_loss()).unwrap();
    let layer = integers.layers[0].as_ref().unwrap();
    assert!(layer.bias[0].abs() > 1e-3, "{:?}", layer.bias);
    let missing = |format: Format| {
        let scores = Reference::of(&served, &format).score(&data, &every_row(&data)).unwrap();
        let exact = network.score(&data, &every_row(&data)).unwrap();
        let logit = |p: &f32| f64::from(p / (1.0 - p)).ln();
        exact.iter().zip(&scores).map(|(a, b)| logit(a) - logit(b)).sum::<f64>() / exact.len() as f64
    };
    let mut unmoved = integers.clone();
    unmoved.layers[0].as_mut().unwrap().bias = vec![0.0];
    let [moved, unmoved] = [integers, unmoved].map(|integers| missing(Format::Int8(integers)));
    assert!(moved.abs() < 0.1 * unmoved.abs(), "{moved} with, {unmoved} without");
}

#[test]
fn sums_of_integers_are_those_worked_out_by_hand() {
    // x = 1.3 is round(2.6) = 3 steps of 0.5; 3·7 + round(0.12 / 0.05) = 23 steps of 0.05.
    let data = data(&[vec![1.3]], vec![0.0]);
    let network = network(1, vec![dense(1, 1, vec![0.7])]);
    let layer = IntegerLayer {
        input: Affine { scale: 0.5, zero_point: 10 },
        weight: vec![7],
        weight_scales: vec![0.1],
        bias: vec![0.12],
    };
    let format = Format::Int8(Integers { layers: vec![Some(layer)], features: vec![FirstPart::Bytes] });
    let found = Reference::of(&network, &format).score(&data, &[0]).unwrap();
    assert!((found[0] - 1.0 / (1.0 + (-1.15f32).exp())).abs() < 1e-6, "{found:?}");
}

#[test]
fn a_users_part_on_one_row_stays_float_and_is_rounded_to_the_steps_of_the_sums() {
    let data = data(&[vec![0.333, 1.0]], vec![0.0]);
    let mut network = network(2, vec![dense(2, 1, vec![1.0, 1.0])]);
    network.inputs[0].side = Side::User;
    let Quantised { integers, .. } = quantise(&network, &form(), &data, &[0], None, &any_loss()).unwrap();
    assert_eq!(integers.features, [FirstPart::Addend, FirstPart::Bytes]);
    let step = integers.layers[0].as_ref().unwrap().sum_scales()[0];
    let format = Format::Int8(integers);
    let found = Reference::of(&network, &format).score(&data, &[0]).unwrap()[0];
    let logit = (found / (1.0 - found)).ln();
    // The item's number and weight are exact ends of their ranges.
    assert!((logit - 1.333).abs() <= step, "{logit} with steps of {step}");
    let concat = quantise(&network, &Layout::Concat.into(), &data, &[0], None, &any_loss()).unwrap().integers;
    assert_eq!(concat.features, [FirstPart::Bytes; 2]);
}

/// x0 decides; the one unit between the layers is a hundred larger where x1 is 1, so that its bytes hold next to nothing of x0.
fn planted() -> (Network, Dataset) {
    let rows: Vec<_> = (0..4000).map(|i| vec![(i % 41) as f32 / 40.0, f32::from(i % 97 == 0)]).collect();
    let labels = rows.iter().map(|row| f32::from(row[0] > 0.5)).collect();
    let network = network(2, vec![dense(2, 1, vec![1.0, 100.0]), dense(1, 1, vec![1.0])]);
    let data = data(&rows, labels);
    (network, data)
}

#[test]
fn a_layer_that_loses_too_much_stays_float_and_is_named() {
    let (network, data) = planted();
    let settings = QuantiseSettings::default();
    let Quantised { integers, report, .. } =
        quantise(&network, &form(), &data, &every_row(&data), None, &settings).unwrap();
    let formats: Vec<_> = report.layers.iter().map(|layer| layer.format).collect();
    assert_eq!(formats, [LayerFormat::Int8, LayerFormat::Fp32]);
    assert!(integers.layers[0].is_some() && integers.layers[1].is_none());
    let text = report.table();
    let line = text.lines().find(|line| line.starts_with("layer2 fp32")).unwrap();
    assert!(line.contains("too much was lost: ΔAUC -0."), "{text}");
    assert!(report.loss.within(&settings.limits), "{text}");
    let every = every_layer(&network, &form(), &data, &every_row(&data), &settings).unwrap();
    assert!(every.layers.iter().all(Option::is_some));
}

#[test]
fn channels_of_different_size_keep_what_counts_when_they_are_equalised() {
    // What the first layer makes of x1 is a thousand times larger and counts for nothing. Steps of 1000/255 hold nothing of x0.
    let rows: Vec<_> = (0..4000).map(|i| vec![(i % 89) as f32 / 88.0, (i % 97) as f32 / 96.0]).collect();
    let data = data(&rows, rows.iter().map(|row| f32::from(row[0] > 0.5)).collect());
    let first = dense(2, 2, vec![1.0, 0.0, 0.0, 1000.0]);
    let network = network(2, vec![first, dense(2, 1, vec![1.0, 0.0])]);
    let settings = QuantiseSettings::default();
    let found = quantise(&network, &form(), &data, &every_row(&data), None, &settings).unwrap();
    assert!(found.integers.layers.iter().all(Option::is_some), "{}", found.report.table());
    assert!(found.report.layers[1].equalised && found.report.table().contains("channels equalised"));
    let format = Format::Int8(found.integers);
    let (exact, scores) = (
        network.score(&data, &every_row(&data)).unwrap(),
        Reference::of(&found.network, &format).score(&data, &every_row(&data)).unwrap(),
    );
    exact.iter().zip(&scores).for_each(|(a, b)| assert!((a - b).abs() < 0.01, "{a} and {b}"));
}

#[test]
fn the_layer_that_loses_most_for_what_it_saves_goes_back_first() {
    // Four equal units, passed on and averaged. Steps of 0.3 before 16 products cause 9/13 of the squared error, those of 0.2 before
    // 4 products the rest: 9/16 against 4/4 for each product.
    let rows: Vec<_> = (0..=4000).map(|i| vec![i as f32 / 400.0]).collect();
    let data = data(&rows, vec![0.0; rows.len()]);
    let one = |at: usize| f32::from(at.is_multiple_of(5));
    let layers =
        vec![dense(1, 4, vec![1.0; 4]), dense(4, 4, (0..16).map(one).collect()), dense(4, 1, vec![0.25; 4])];
    let integers = |index: usize, step: f32| {
        let input = Affine { scale: step, zero_point: 0 };
        Some(weights::quantise(&layers[index], input, &[true; 4], 10.0, 8))
    };
    let integers =
        Integers { layers: vec![None, integers(1, 0.3), integers(2, 0.2)], features: vec![FirstPart::Bytes] };
    let network = network(1, layers.clone());
    let (form, settings, all) = (form(), any_loss(), every_row(&data));
    let calibration = Calibration::new(&network, &form, (&data, &all), &settings).unwrap();
    let (dearest, remains) = calibration.dearest(&integers, None).unwrap();
    assert_eq!(dearest, 2);
    let mut other = integers.clone();
    other.layers[1] = None;
    let other = calibration.error_of(&other, None);
    assert!((remains / other - 1.5).abs() < 0.05, "{remains} of steps of 0.3, {other} of 0.2");
}

#[test]
fn of_the_methods_the_one_that_moves_the_logits_least_is_taken() {
    // One value in 4,000 is 1,000 times the others; the percentile leaves it out, min-max spends its steps on it.
    let rows: Vec<_> =
        (0..4000).map(|i| vec![if i == 7 { 50.0 } else { (i % 101) as f32 / 100.0 }]).collect();
    let data = data(&rows, vec![0.0; rows.len()]);
    // The second layer cuts at 1, so that what is beyond counts for nothing.
    let cut = Dense { bias: vec![1.0], ..dense(1, 1, vec![-1.0]) };
    let network = network(1, vec![cut, dense(1, 1, vec![1.0])]);
    let settings = QuantiseSettings { percentile: 0.999, ..any_loss() };
    let Quantised { report, .. } =
        quantise(&network, &form(), &data, &every_row(&data), None, &settings).unwrap();
    let first = &report.layers[0];
    assert_ne!(first.method, Some(RangeMethod::MinMax), "{first:?}");
    let error = |method| first.logit_error_pct[&method];
    assert!(error(RangeMethod::Percentile) < 0.1 * error(RangeMethod::MinMax), "{first:?}");
}

#[test]
fn seven_bits_keep_two_products_within_sixteen() {
    let (network, data) = planted();
    let settings = QuantiseSettings { weight_bits: 7, ..any_loss() };
    let Quantised { integers, .. } =
        quantise(&network, &form(), &data, &every_row(&data), None, &settings).unwrap();
    let largest = integers.layers.iter().flatten().flat_map(|layer| &layer.weight).map(|w| w.unsigned_abs());
    assert_eq!(largest.max(), Some(63));
    assert!(2 * 255 * 63 <= i16::MAX.into());
}

#[test]
fn a_column_of_zeros_still_holds_its_bias() {
    let dense = Dense { bias: vec![3.0, 5.0], ..dense(1, 2, vec![1.0, 0.0]) };
    let layer = plain_layer(&dense, Affine::of_range(0.0, 1.0));
    for (bias, scale) in layer.bias.iter().zip(layer.sum_scales()) {
        let steps = bias / scale;
        assert!(steps.abs() <= 2f32.powi(28) * 1.01 && scale / bias < 1e-2, "{steps} steps of {scale}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let key = |settings: QuantiseSettings| settings.check().unwrap_err().key;
    let default = QuantiseSettings::default;
    assert_eq!(key(QuantiseSettings { weight_bits: 9, ..default() }), "weight_bits");
    assert_eq!(key(QuantiseSettings { methods: vec![], ..default() }), "methods");
    assert_eq!(key(QuantiseSettings { percentile: 1.0, ..default() }), "percentile");
    assert_eq!(key(QuantiseSettings { rows: 0, ..default() }), "rows");
    let limits = GateLimits { min_overlap: 1.5, ..GateLimits::default() };
    assert_eq!(key(QuantiseSettings { limits, ..default() }), "min_overlap");
}

/// A network of one user's and one item's number, and rows of them: `requests` lists of `length` candidates, where the numbers of
/// user and item are that of the request and that of the candidate.
fn requests(requests: usize, length: usize) -> (Network, Dataset) {
    let rows: Vec<_> =
        (0..requests * length).map(|row| vec![(row / length) as f32, (row % length) as f32]).collect();
    let labels = (0..rows.len()).map(|row| (row % 2) as f32).collect();
    let mut data = data(&rows, labels);
    data.requests = Some((0..rows.len()).map(|row| (row / length) as u64).collect::<Vec<_>>().into());
    let mut network = network(2, vec![dense(2, 1, vec![0.01, -0.001])]);
    network.inputs[0].side = Side::User;
    (network, data)
}

fn numbers_of(lists: &Lists<'_>, index: usize) -> Vec<f32> {
    lists.rows().iter().map(|&row| lists.data().numbers_of(row as usize)[index]).collect()
}

#[test]
fn lists_are_whole_requests_of_the_data_where_they_are_long_enough() {
    let (network, data) = requests(40, 10);
    let mut rows = every_row(&data);
    // Whatever order rows are in, a request is taken whole.
    rng::shuffle(&mut rows, &mut rng::generator(1, "rows"));
    let lists = Lists::new(&network, &data, &rows, 5);
    assert_eq!((lists.kind(), lists.count(), lists.rows().len()), (ListKind::Requests, 40, 400));
    for list in lists.rows().chunks(10) {
        let mut own: Vec<u32> = list.iter().map(|row| row % 10).collect();
        own.sort_unstable();
        assert_eq!(own, (0..10).collect::<Vec<_>>());
        assert!(list.iter().all(|row| row / 10 == list[0] / 10));
    }
    // Six of ten are no choice of the best.
    assert_eq!(Lists::new(&network, &data, &rows, 6).kind(), ListKind::Joined);
    // Seven requests are too few, and so are those of less than half of the rows.
    assert_eq!(Lists::new(&network, &data, &every_row(&data)[..70], 5).kind(), ListKind::Joined);
    let few: Vec<u32> = (0..400).filter(|row| row / 10 < 8 || row % 10 < 9).collect();
    assert_eq!(Lists::new(&network, &data, &few, 5).kind(), ListKind::Joined);
}

#[test]
fn where_requests_are_too_short_each_list_joins_one_user_with_the_items_of_many_rows() {
    let (network, data) = requests(400, 10);
    let lists = Lists::new(&network, &data, &every_row(&data), 100);
    assert_eq!((lists.kind(), lists.count(), lists.rows().len()), (ListKind::Joined, 64, 64_000));
    let (users, items) = (numbers_of(&lists, 0), numbers_of(&lists, 1));
    for (users, items) in users.chunks(1000).zip(items.chunks(1000)) {
        assert!(users.iter().all(|user| *user == users[0]), "one user");
        assert!((0..10).all(|item| items.contains(&(item as f32))), "items of all kinds");
    }
    assert!(users.chunks(1000).any(|list| list[0] != users[0]), "not the same in every list");
    let longer = Lists::new(&network, &data, &every_row(&data), 900);
    assert_eq!(longer.rows().len() / longer.count(), 1800, "twice what is compared");
    let none = Lists::new(&network, &data, &every_row(&data)[..199], 100);
    assert_eq!((none.count(), none.rows().len()), (0, 0));
}

#[test]
fn the_overlap_is_that_of_each_users_own_candidates() {
    // The item's part is so small beside the user's that rounding to steps of 0.05 makes all candidates of a user alike, while
    // users stay apart: lists that mixed users would hardly see it.
    let (network, data) = requests(40, 200);
    let rows = every_row(&data);
    let judge = Judge::new(&network, &data, &rows, &rows, 10).unwrap();
    assert_eq!(judge.lists().kind(), ListKind::Requests);
    let exact = network.score(&data, &rows).unwrap();
    let listed = network.score(judge.lists().data(), judge.lists().rows()).unwrap();
    assert_eq!(judge.loss(&exact, &listed), ScoreLoss { auc_change: Some(0.0), overlap: Some(1.0) });
    // The best of every request change places with the worst.
    let turned = listed.chunks(200).flat_map(|list| list.iter().rev().copied()).collect::<Vec<_>>();
    assert_eq!(judge.loss(&exact, &turned).overlap, Some(0.0));
}

#[test]
fn what_layers_lose_shows_on_labelled_rows_and_ranges_come_from_the_traffic() {
    let (network, data) = planted();
    let mut rows = every_row(&data);
    rng::shuffle(&mut rows, &mut rng::generator(2, "rows"));
    // Candidates of requests: twice as large, without labels.
    let twice = |row| data.numbers_of(row).iter().map(|x| x * 2.0).collect();
    let twice: Vec<Vec<f32>> = (0..4000).map(twice).collect();
    let traffic = self::data(&twice, vec![0.0; twice.len()]);
    let settings = QuantiseSettings::default();
    let Quantised { integers, report, .. } =
        quantise(&network, &form(), &data, &rows, Some(&traffic), &settings).unwrap();
    assert!(report.loss.auc_change.is_some() && report.loss.within(&settings.limits), "{report:?}");
    assert!(integers.layers[1].is_none(), "the loss was seen, and the layer that causes it went back");
    assert_eq!((report.rows, report.judged_rows), (4000, 4000));
    let first = integers.layers[0].as_ref().expect("an integer layer");
    // An equalised input twice as large has a range 2^0.2 times as wide: the rest went into the weights.
    let own = quantise(&network, &form(), &data, &rows, None, &settings).unwrap().integers;
    let ratio = first.input.scale / own.layers[0].as_ref().unwrap().input.scale;
    assert!((ratio - 2f32.powf(0.2)).abs() < 0.01, "{ratio}");
}
