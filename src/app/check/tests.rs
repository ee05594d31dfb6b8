//! Scripted measurements of a table whose truth is known.

use super::*;
use crate::{
    base::{
        names::{EngineName, Precision},
        progress::Silent,
    },
    data::schema::{Feature, Kind},
    measure::{
        engine::SessionOptions,
        job::ServiceResult,
        probe::{Networks, ProbePlan},
        service::{Effort, ServiceSample},
    },
    price::{
        fixtures::{self, entry},
        table::{Operation, RunQuantiles, TableEntry, Value},
    },
    space::design::random_subnets,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const COUNTS: [usize; 2] = [50, 100];

fn space() -> SearchSpace {
    let feature = |i: usize| {
        let kind = if i.is_multiple_of(2) { Kind::User } else { Kind::Item };
        Feature { kind, ..fixtures::feature(&format!("f{i}"), 4 + i) }
    };
    fixtures::space_of((0..12).map(feature).collect(), &[&[64, 32, 16, 0], &[64, 32, 16, 0]])
}

fn settings() -> ServiceSettings {
    let (options, effort) = (SessionOptions::PLAIN, Effort::default());
    ServiceSettings { engine: EngineName::Tract, options, precision: Precision::Fp32, effort, seed: 1 }
}

/// Every layer at prices that follow the work.
fn table(space: &SearchSpace) -> LatencyTable {
    let context = context_here(&settings(), Layout::UserOnce).unwrap();
    let rows = vec![10; space.features.len()];
    let plan = ProbePlan::for_space(space, &rows, Layout::UserOnce, &COUNTS, Networks::NONE, 1).unwrap();
    let mut table = LatencyTable::new("test");
    for candidates in COUNTS {
        for operation in plan.subjects.iter().filter_map(|subject| plan.operation(subject)) {
            let work = match operation {
                Operation::Call => 0.0,
                Operation::First { user, item, to } => ((user + 4 * item) * to) as f64,
                Operation::Layer { from, to } => (from * to) as f64,
            };
            let mean_ms = 0.02 + 1e-6 * candidates as f64 * work;
            table.insert_value(&context, candidates, Value::Layer(entry(operation, 10, mean_ms))).unwrap();
        }
    }
    table
}

fn request<'a>(table: &'a LatencyTable, space: &'a SearchSpace, out: &Path) -> CheckRequest<'a> {
    CheckRequest {
        table,
        space,
        winners: Vec::new(),
        networks: 20,
        seed: 3,
        cardinalities: vec![10; space.features.len()],
        layout: Layout::UserOnce,
        precision: Precision::Fp32,
        settings: vec![settings()],
        candidates: Vec::new(),
        max_mape_pct: Some(5.0),
        out: out.to_owned(),
    }
}

/// Measures every network as `factor` times what the table says; the factor is given how often there was a measurement before.
struct Script<'a> {
    request: &'a CheckRequest<'a>,
    factor: &'a dyn Fn(usize) -> f64,
    calls: RefCell<Vec<usize>>,
}

impl Script<'_> {
    fn measure(&self, models: &[(String, PathBuf)], candidates: usize) -> Result<ServiceResult> {
        let buckets = self.request.buckets()?;
        let known: BTreeMap<String, Observation> = (networks::choose(self.request, &buckets)?.observations)
            .into_iter()
            .map(|observation| (observation.network.clone(), observation))
            .collect();
        let prices = self.request.table.prices(&buckets[0].context, candidates)?;
        let factor = (self.factor)(self.calls.borrow().len());
        self.calls.borrow_mut().push(candidates);
        let sample = |(name, path): &(String, PathBuf)| {
            assert!(path.exists(), "{}", path.display());
            let mean_ms = factor * known[name].predicted_ms(&prices)?;
            Ok(ServiceSample {
                model: name.clone(),
                candidates,
                mean_ms,
                quantiles: RunQuantiles::default(),
                runs: 9,
                block_ms: vec![],
                noise_pct: 0.5,
                void: false,
                cold_ms: None,
            })
        };
        Ok(ServiceResult {
            engine_version: "1".to_owned(),
            environment: Environment::default(),
            samples: models.iter().map(sample).collect::<Result<_>>()?,
        })
    }

    fn check(&self, begin: Begin, stop: &Stop) -> Result<TableCheck> {
        let measure = |_: &ServiceSettings, models: &[(String, PathBuf)], candidates: usize| {
            self.measure(models, candidates)
        };
        check_table(self.request, begin, &measure, &Silent, stop)
    }
}

fn checked(request: &CheckRequest, factor: &dyn Fn(usize) -> f64) -> TableCheck {
    let script = Script { request, factor, calls: RefCell::default() };
    script.check(Begin::Anew, &Stop::never()).unwrap()
}

#[test]
fn a_table_that_is_right_is_found_right_in_every_bucket() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    let out = folder.path().join("c.json");
    let check = checked(&request(&table, &space, &out), &|_| 1.0);
    let counts: Vec<usize> = check.buckets.iter().map(|bucket| bucket.candidates).collect();
    assert_eq!((counts.as_slice(), check.networks.len()), (&COUNTS[..], 20));
    for bucket in &check.buckets {
        let found = &bucket.agreement;
        assert!(found.mape_pct < 1e-9 && found.noise_pct < 1e-9 && !bucket.void, "{found:?}");
        assert_eq!((found.networks, found.within_5_pct, found.kendall_tau), (20, 100.0, Some(1.0)));
        let names: Vec<_> = bucket.residuals.iter().map(|r| &r.network).collect();
        assert_eq!(names, check.networks.iter().map(|n| &n.network).collect::<Vec<_>>());
    }
    check.check_limit().unwrap();
    assert_eq!(fsio::read_json::<TableCheck>(&out).unwrap(), check);
    assert!(!measuring::kept_beside(&out).exists());
}

#[test]
fn a_table_that_is_a_fifth_too_cheap_misses_its_limit() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    let check = checked(&request(&table, &space, &folder.path().join("c.json")), &|_| 1.25);
    for bucket in &check.buckets {
        let found = &bucket.agreement;
        assert!((found.bias_pct + 20.0).abs() < 1e-9 && (found.mape_pct - 20.0).abs() < 1e-9, "{found:?}");
        assert_eq!((found.within_10_pct, bucket.void), (0.0, false));
    }
    let error = check.check_limit().unwrap_err();
    assert!(matches!(error, Error::Limit { .. }));
    assert!(error.to_string().contains("tract at 50 candidates is 20.0 % off, tract at 100"), "{error}");
}

#[test]
fn two_halves_that_lie_apart_make_a_bucket_void_whatever_its_error() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    // Both buckets once, then both once more; the second bucket's repeat is 8 % slower.
    let check = checked(&request(&table, &space, &folder.path().join("c.json")), &|call| match call {
        3 => 1.08,
        _ => 1.0,
    });
    assert_eq!(check.buckets.iter().map(|bucket| bucket.void).collect::<Vec<_>>(), [false, true]);
    assert!(check.buckets[1].agreement.mape_pct < 5.0);
    let error = check.check_limit().unwrap_err().to_string();
    assert!(error.contains("tract at 100 candidates is void") && !error.contains("at 50"), "{error}");
}

#[test]
fn networks_whose_shape_the_table_has_seen_judge_nothing() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let mut known = table(&space);
    let context = known.buckets[0].context.clone();
    let subnets = random_subnets(&space, 6, &[], crate::base::rng::generator(9, "test"));
    let (seen, new) = subnets.split_at(3);
    for subnet in seen {
        let network = Value::Network(Observation::of(&space, subnet, 1.0, 1.0));
        // In one of both buckets only.
        known.insert_value(&context, COUNTS[1], network).unwrap();
    }
    let mut request = request(&known, &space, &folder.path().join("c.json"));
    request.winners = subnets.clone();
    request.networks = 40;
    let check = checked(&request, &|_| 1.0);
    let ids = |subnets: &[Subnet]| subnets.iter().map(|subnet| subnet.id(&space)).collect::<Vec<_>>();
    assert_eq!(check.excluded, ids(seen));
    let of = |choice| {
        let networks = check.networks.iter().filter(|network| network.choice == choice);
        networks.map(|network| network.network.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(Choice::Winner), ids(new));
    let bucket = known.bucket(&context, COUNTS[1]).unwrap();
    let chosen = networks::choose(&request, &request.buckets().unwrap()).unwrap();
    let unseen = |o: &Observation| bucket.shape_of(o) == crate::price::agreement::Shape::Unseen;
    assert!(chosen.observations.iter().all(unseen));
    assert_eq!(of(Choice::Random).len(), 37);
}

#[test]
fn a_check_that_was_stopped_measures_nothing_twice() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    let out = folder.path().join("c.json");
    let request = request(&table, &space, &out);
    let stop = Stop::new("go on");
    let stop_in_third = |call: usize| {
        if call == 2 {
            stop.request(2);
        }
        1.0
    };
    let script = Script { request: &request, factor: &stop_in_third, calls: RefCell::default() };
    assert!(matches!(script.check(Begin::Anew, &stop), Err(Error::Interrupted { .. })));
    assert_eq!(*script.calls.borrow(), [50, 100, 50]);
    assert!(!out.exists());

    let script = Script { request: &request, factor: &|_| 1.0, calls: RefCell::default() };
    let resumed = script.check(Begin::WhereItStopped, &Stop::never()).unwrap();
    assert_eq!(*script.calls.borrow(), [100]);
    assert!(resumed.buckets.iter().all(|bucket| bucket.agreement.mape_pct < 1e-9));

    // What was measured of other networks is not mixed in.
    let script = Script { request: &request, factor: &stop_in_third, calls: RefCell::default() };
    let stop_again = script.check(Begin::Anew, &stop);
    assert!(stop_again.is_err());
    std::fs::write(measuring::kept_beside(&out), "{}").unwrap();
    assert!(script.check(Begin::WhereItStopped, &Stop::never()).is_err());
}

#[test]
fn a_candidate_count_without_prices_is_refused_before_anything_is_measured() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    let mut request = request(&table, &space, &folder.path().join("c.json"));
    request.candidates = vec![999];
    let script = Script { request: &request, factor: &|_| 1.0, calls: RefCell::default() };
    let error = script.check(Begin::Anew, &Stop::never()).unwrap_err();
    assert!(matches!(error, Error::MissingPrice { .. }), "{error}");
    assert!(error.to_string().contains("--candidates 999"), "{error}");
    let empty = LatencyTable::new("empty");
    let request = self::request(&empty, &space, &folder.path().join("c.json"));
    assert!(request.buckets().unwrap_err().to_string().contains("table probe"));
}

#[test]
fn between_two_counts_what_either_neighbour_has_seen_judges_nothing() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let mut known = table(&space);
    let context = known.buckets[0].context.clone();
    // A third count, so that the error between them is known.
    let bucket = known.bucket(&context, COUNTS[1]).unwrap().clone();
    for entry in bucket.entries {
        let at_half = known.bucket(&context, COUNTS[0]).unwrap().entries.iter();
        let half = at_half.clone().find(|e| e.operation == entry.operation).unwrap().mean_ms;
        let twice = TableEntry { mean_ms: 3.0 * entry.mean_ms - 2.0 * half, ..entry };
        known.insert_value(&context, 200, Value::Layer(twice)).unwrap();
    }
    let subnets = random_subnets(&space, 4, &[], crate::base::rng::generator(9, "test"));
    let observed = |at: usize| Observation::of(&space, &subnets[at], 1.0, 1.0);
    known.insert_value(&context, COUNTS[0], Value::Network(observed(0))).unwrap();
    known.insert_value(&context, COUNTS[1], Value::Network(observed(1))).unwrap();
    // Judges of a correction have had their say.
    known.insert_value(&context, COUNTS[1], Value::HeldOut(observed(2))).unwrap();
    let mut request = request(&known, &space, &folder.path().join("c.json"));
    request.winners = subnets.clone();
    request.candidates = vec![75, 75];
    let buckets = request.buckets().unwrap();
    assert_eq!(buckets.len(), 1, "named twice, checked once");
    let chosen = networks::choose(&request, &buckets).unwrap();
    let ids: Vec<String> = subnets[..3].iter().map(|subnet| subnet.id(&space)).collect();
    assert_eq!(chosen.excluded, ids);
}

#[test]
fn a_table_over_other_embedding_tables_is_refused_before_anything_is_measured() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let mut table = table(&space);
    let rows = vec![11; space.features.len()];
    let plan = ProbePlan::for_space(&space, &rows, Layout::UserOnce, &COUNTS, Networks::NONE, 1).unwrap();
    table.state_origin(None, Some(plan.gathered()));
    let mut request = request(&table, &space, &folder.path().join("c.json"));
    let script = Script { request: &request, factor: &|_| 1.0, calls: RefCell::default() };
    let error = script.check(Begin::Anew, &Stop::never()).unwrap_err().to_string();
    assert!(error.contains("other features or embedding tables"), "{error}");
    assert!(error.contains("name the --encoders") && error.contains("table probe"), "{error}");
    assert!(script.calls.borrow().is_empty());
    request.cardinalities = rows;
    checked(&request, &|_| 1.0);
}

#[test]
fn what_is_given_up_by_beginning_anew_is_not_gone_on_with_and_another_version_is_told() {
    let (folder, space) = (tempfile::tempdir().unwrap(), space());
    let table = table(&space);
    let request = request(&table, &space, &folder.path().join("c.json"));
    let stop = Stop::default();
    // Stops in its measurement of this number.
    let stopped_in = |at: usize| {
        stop.request(0);
        let factor = |calls: usize| {
            stop.request(if calls == at { 2 } else { 0 });
            1.0
        };
        let script = Script { request: &request, factor: &factor, calls: RefCell::default() };
        script.check(Begin::Anew, &stop).unwrap_err();
        script.calls.borrow().len()
    };
    assert_eq!(stopped_in(1), 2);
    let kept = folder.path().join("c.partial.json");
    assert!(kept.exists());
    stop.request(2);
    let script = Script { request: &request, factor: &|_| 1.0, calls: RefCell::default() };
    script.check(Begin::Anew, &stop).unwrap_err();
    assert!(!kept.exists() && script.calls.borrow().is_empty());

    fsio::write(&kept, br#"{"schema_version": 1, "what": "ever"}"#).unwrap();
    let refused = script.check(Begin::WhereItStopped, &Stop::never()).unwrap_err().to_string();
    assert!(refused.contains("is 1, this program reads 2"), "{refused}");
    assert!(refused.contains("c.partial.json") && refused.contains("without --resume"), "{refused}");
}
