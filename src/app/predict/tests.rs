//! Sums by hand from a table of three entries.

use super::*;
use crate::{
    base::names::{Layout, Precision},
    data::schema::{Feature, Kind, Source},
    measure::{
        measurement::examples::measurement,
        replay::{
            forecast::at_rate,
            recorder::Recording,
            trace::examples::{requests, trace},
            work::{Before, WorkSample},
            work_model::WorkModel,
        },
    },
    price::{
        fetch_table::{self, Displaced, FetchBucket, FetchFit, FetchMeasuring, GroupPrice, OwnPrice},
        fixtures::{self, context, entry},
        origin::Gathered,
        table::{Operation, Value},
    },
    space::{Operator, Subnet},
};

/// One call and two layers alone, each with its call: 0.01 + 0.29 + 0.04 ms at 100 candidates, ten times that at 1,000.
fn table() -> LatencyTable {
    let mut table = LatencyTable::new("by hand");
    for (candidates, scale) in [(100, 1.0), (1000, 10.0)] {
        let first = Operation::First { user: 8, item: 24, to: 4 };
        for (operation, ms) in
            [(Operation::Call, 0.01), (first, 0.3), (Operation::Layer { from: 4, to: 1 }, 0.05)]
        {
            let value = Value::Layer(entry(operation, 10, scale * ms));
            table.insert_value(&context(), candidates, value).unwrap();
        }
    }
    table
}

/// A user's feature, 8 wide, with the request, an item's, 24 wide, from the store, and one that it does not read; one layer of 4.
fn network() -> PricedNetwork {
    let user = Feature { kind: Kind::User, source: Source::Matching, ..fixtures::feature("user", 8) };
    let features = vec![user, fixtures::feature("item", 24), fixtures::feature("other", 16)];
    let schema = fixtures::schema(features.clone());
    let space = fixtures::space_of(features, &[&[4]]);
    let subnet = Subnet { features: vec![0, 1], operators: vec![Operator::Mlp(4)] };
    PricedNetwork {
        schema,
        space,
        subnet,
        layout: Layout::UserOnce,
        precision: Precision::Fp32,
        features_hash: "tables".to_owned(),
    }
}

/// Trips of 0 and 0.1 ms, features of 0.02 and 0.05 ms at 100 candidates, twice that at 1,000; β 0.01 and γ 0.03 ms per feature.
fn fetch_table() -> FetchTable {
    let bucket = |candidates: usize, scale: f64| {
        let group = |source, trip_ms: f64, features: &[(&str, f64)]| GroupPrice {
            name: features[0].0.to_owned(),
            source,
            trip_ms: scale * trip_ms,
            features: (features.iter())
                .map(|&(feature, ms)| OwnPrice { feature: feature.to_owned(), bytes: 8, own_ms: scale * ms })
                .collect(),
        };
        let groups = vec![
            group(Source::Matching, 0.0, &[("user", 0.02)]),
            group(Source::Store, 0.1, &[("item", 0.05), ("other", 7.0)]),
        ];
        let fit = FetchFit { fitted: 1, fitted_mape_pct: 0.0, held_out: 1, held_out_mape_pct: 0.0 };
        // The same, whatever runs in between.
        let displaced = Displaced {
            groups: groups.clone(),
            fit,
            within_ms: 1.0,
            networks: Vec::new(),
            observations: Vec::new(),
        };
        FetchBucket {
            candidates,
            groups,
            displaced,
            beta_ms: 0.01,
            gamma_ms: 0.03,
            fit,
            observations: Vec::new(),
        }
    };
    FetchTable {
        schema_version: fetch_table::SCHEMA_VERSION,
        schema_hash: network().schema.hash(),
        store: "embedded".to_owned(),
        host: "h".to_owned(),
        workers: 2,
        layout: Layout::UserOnce,
        measuring: FetchMeasuring {
            store_rows_hash: String::new(),
            data_rows_hash: String::new(),
            passes: 1,
            block: 1,
            seed: 1,
            displaced_bytes: 0,
            engine: EngineName::Null,
        },
        unfinished: Vec::new(),
        buckets: vec![bucket(100, 1.0), bucket(1000, 2.0)],
    }
}

/// Every request takes `ms`.
fn constant(ms: f64) -> WorkModel {
    let sample = WorkSample { candidates: 100, before: Before::Work, work_ns: (1e6 * ms) as u64 };
    WorkModel::fit(&[sample; 200]).unwrap()
}

fn reference() -> Measurement {
    let mut result = Measurement { work: Some(constant(2.0)), ..measurement(&Recording::default(), 1, 2) };
    result.setup.engine = EngineName::Tract;
    result.provenance.model = "plain.onnx".to_owned();
    result
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "{found} for {expected}");
}

fn predicted(
    fetch: Option<&FetchTable>,
    requests: &[Requests],
    load: Option<OfferedLoad>,
) -> Result<TablePrediction> {
    predicted_by(&table(), fetch, requests, load)
}

fn predicted_by(
    table: &LatencyTable,
    fetch: Option<&FetchTable>,
    requests: &[Requests],
    load: Option<OfferedLoad>,
) -> Result<TablePrediction> {
    let (network, contexts) = (network(), [context()]);
    let request =
        PredictRequest { table, network: &network, contexts: &contexts, fetch, requests, workers: 2, load };
    predict(&request)
}

#[test]
fn fetches_are_priced_behind_the_network_itself() {
    let mut fetch = fetch_table();
    for bucket in &mut fetch.buckets {
        bucket.displaced.within_ms = 0.34;
        for group in &mut bucket.displaced.groups {
            group.trip_ms *= 3.0;
            group.features.iter_mut().for_each(|feature| feature.own_ms *= 3.0);
        }
    }
    let found = predicted(Some(&fetch), &[Requests::Each([100]), Requests::Each([1000])], None).unwrap();
    assert_eq!(found.predictions.len(), 2);
    // Networks of 0.34 and 3.4 ms; β and γ are nobody's caches.
    for (prediction, (crowd_ms, near_ms, runs)) in
        found.predictions.iter().zip([(0.04, 0.17, 1.0), (0.04, 0.34, 10.0f64)])
    {
        near(prediction.fetch_ms.unwrap(), crowd_ms + near_ms * (3.0 - 2.0 * (-runs).exp()), 1e-12);
    }
}

#[test]
fn a_prediction_is_the_sum_by_hand_of_rows_features_and_layers() {
    let fetch = fetch_table();
    let found = predicted(Some(&fetch), &[Requests::Each([100]), Requests::Each([1000])], None).unwrap();
    let sums = [(0.02 + 0.01 + 0.1 + 0.05 + 0.03, 0.34), (0.04 + 0.01 + 0.2 + 0.1 + 0.03, 3.4)];
    assert_eq!(found.predictions.len(), 2);
    for (prediction, (fetch_ms, service_ms)) in found.predictions.iter().zip(sums) {
        near(prediction.fetch_ms.unwrap(), fetch_ms, 1e-12);
        near(prediction.service_ms, service_ms, 1e-12);
        near(prediction.response_ms, fetch_ms + service_ms, 1e-12);
        assert_eq!((&prediction.context, &prediction.load), (&context(), &None));
    }
    let counts: Vec<_> = found.predictions.iter().map(|prediction| prediction.candidates).collect();
    assert_eq!(counts, [Some(100), Some(1000)]);
    assert_eq!(
        (found.layers.as_slice(), found.features.as_slice()),
        (&[4][..], &["user".to_owned(), "item".to_owned()][..])
    );
    assert_eq!((found.table, found.store.as_deref()), (table().id(), Some("embedded")));

    let alone = predicted(None, &[Requests::Each([100])], None).unwrap();
    assert_eq!((alone.store, alone.predictions[0].fetch_ms), (None, None));
    assert_eq!(alone.predictions[0].response_ms, alone.predictions[0].service_ms);
}

#[test]
fn a_shape_that_the_table_has_measured_is_marked() {
    let (mut table, network, contexts) = (table(), network(), [context()]);
    let shape = |table: &LatencyTable| {
        let requests = &[Requests::Each([100])];
        let (table, network, contexts) = (table, &network, &contexts);
        let request =
            PredictRequest { table, network, contexts, fetch: None, requests, workers: 1, load: None };
        predict(&request).unwrap().predictions[0].shape
    };
    assert_eq!(shape(&table), Shape::Unseen);
    let measured = Observation::of(&network.space, &network.subnet, 0.35, 1.0);
    table.insert_value(&context(), 1000, Value::Network(measured)).unwrap();
    assert_eq!(shape(&table), Shape::Seen);
}

#[test]
fn of_a_trace_it_is_the_mean_over_the_requests() {
    let mut asked = requests(&[0, 1000, 2000, 3000], 1000);
    asked[1..].iter_mut().for_each(|request| request.candidates.truncate(100));
    let (trace, fetch) = (trace(&asked), fetch_table());
    let found = predicted(Some(&fetch), &[Requests::Of(&trace)], None).unwrap();
    let [prediction] = found.predictions.as_slice() else { panic!("one trace: {found:?}") };
    assert_eq!(prediction.candidates, None);
    near(prediction.service_ms, 0.75 * 0.34 + 0.25 * 3.4, 1e-12);
    near(prediction.fetch_ms.unwrap(), 0.75 * 0.21 + 0.25 * 0.38, 1e-12);
}

#[test]
fn under_load_work_has_the_predicted_mean_and_waits_as_a_queue_says() {
    let (results, fetch, file) = ([reference()], fetch_table(), Path::new("r.json"));
    let at = |qps: f64| {
        let load = OfferedLoad { qps, file, results: &results };
        let found = predicted(Some(&fetch), &[Requests::Each([100])], Some(load)).unwrap();
        found.predictions[0].load.clone().unwrap()
    };
    // Two workers, each of them busy for 0.21 + 0.34 ms with a request.
    let capacity_qps = 2.0 * 1e3 / 0.55;
    let found = at(0.7 * capacity_qps);
    near(found.capacity_qps, capacity_qps, 1e-5);
    near(found.point.load_pct, 70.0, 1e-5);
    assert_eq!((found.reference.as_str(), found.arrivals.as_str()), ("plain.onnx", "Poisson"));
    assert_eq!(found.reasons, results[0].doubts());
    // The same as the queue of a network that always takes that long.
    let traffic = Traffic::Poisson { candidates: &[100] };
    let settings = ForecastSettings::of(2, SEED);
    let queue = at_rate(&constant(0.55), traffic, settings, 0.7 * capacity_qps).unwrap().response;
    let response = found.point.response_us.unwrap();
    for (found, level) in [(response.p50, 0.5), (response.p99, 0.99)] {
        near(found.unwrap() as f64, queue.quantile_us(level).unwrap() as f64, 5e-3);
    }
    assert!(response.p99 > response.p50);
    near(at(1.0).point.response_us.unwrap().mean.unwrap(), 550.0, 1e-2);
    assert!(at(1.01 * capacity_qps).point.response_us.is_none(), "that queue has no end");
}

#[test]
fn what_has_no_price_or_no_replay_names_the_command_to_run() {
    let refused = |fetch: Option<&FetchTable>, count: u32| {
        predicted(fetch, &[Requests::Each([count])], None).unwrap_err()
    };
    for (error, command) in [
        (refused(None, 2000), "table probe"),
        // Between two counts alone nobody knows how far the line is off.
        (refused(None, 500), "table probe"),
        (
            refused(
                Some(&FetchTable { buckets: fetch_table().buckets[..1].to_vec(), ..fetch_table() }),
                1000,
            ),
            "store price",
        ),
    ] {
        assert!(matches!(error, Error::MissingPrice { .. }), "{error}");
        assert!(error.to_string().contains(command) && error.to_string().contains("--candidates"), "{error}");
    }
    let results = [reference()];
    let load = OfferedLoad { qps: 1.0, file: Path::new("r.json"), results: &results };
    let error =
        load.forecast(EngineName::OnnxRuntime, 1.0, &Requests::Each([100]), 1).unwrap_err().to_string();
    assert!(error.starts_with("r.json: ") && error.contains("replay --engine onnxruntime"), "{error}");
    let idle = [Measurement { work: Some(constant(0.0)), ..reference() }];
    let load = OfferedLoad { results: &idle, ..load };
    let error = load.forecast(EngineName::Tract, 1.0, &Requests::Each([100]), 1).unwrap_err().to_string();
    assert!(error.contains("in no time"), "{error}");
}

#[test]
fn prices_of_other_embedding_tables_are_refused() {
    let with = |features: &str| {
        let mut table = table();
        table.state_origin(None, Some(Gathered { features: features.to_owned(), grid: String::new() }));
        predicted_by(&table, None, &[Requests::Each([100])], None)
    };
    assert!(with("tables").is_ok());
    let error = with("larger tables").unwrap_err().to_string();
    assert!(error.contains("embedding tables") && error.contains("table probe"), "{error}");
}
