mod resumed;

use super::*;
use crate::{
    base::{
        Error,
        names::{EngineName, Layout, Precision},
        progress::Silent,
    },
    measure::{
        engine::SessionOptions,
        probe::{Networks, Subject},
        service::{Effort, ServiceSample},
    },
    price::{
        LayerPrices,
        fixtures::{feature, space_of},
        path::path_ms,
        table::{Operation, RunQuantiles},
    },
    space::{InputLoad, SearchSpace},
};
use std::{cell::RefCell, path::Path};

/// Lists, numbers and ids of two widths on both sides, and layers of three widths.
fn space() -> SearchSpace {
    use crate::data::schema::{Kind, Sequence};
    let list = |name: &str| Feature {
        sequence: Some(Sequence { length: 6, separator: ",".into() }),
        ..feature(name, 8)
    };
    let number = |name: &str| Feature { encoding: Encoding::Standardize, ..feature(name, 8) };
    let mut features: Vec<Feature> =
        (0..6).map(|i| Feature { kind: Kind::User, ..feature(&format!("u{i}"), 8) }).collect();
    features.extend((0..10).map(|i| feature(&format!("i{i}"), if i % 3 == 0 { 4 } else { 8 })));
    features.extend([list("tags"), list("words"), list("cast"), number("x"), number("y"), number("z")]);
    space_of(features, &[&[64, 16, 0], &[64, 16, 0]])
}

/// Prices of an engine in closed form, at n candidates: a call, a product, every layer, and what inputs are made of.
#[derive(Clone, Copy)]
struct Closed {
    call_ms: f64,
    layer_ms: f64,
    multiply_add_ms: f64,
    id_ms: f64,
    value_ms: f64,
    number_ms: f64,
    joined_ms: f64,
    group_ms: f64,
    shifted_ms: f64,
    sliced_ms: f64,
    /// How much dearer layers between hidden ones are inside a network.
    inside: f64,
}

const CLOSED: Closed = Closed {
    call_ms: 0.02,
    layer_ms: 0.004,
    multiply_add_ms: 2e-8,
    id_ms: 3e-6,
    value_ms: 2e-6,
    number_ms: 5e-6,
    joined_ms: 4e-7,
    group_ms: 0.003,
    shifted_ms: 1e-6,
    sliced_ms: 5e-7,
    inside: 1.0,
};

impl Closed {
    fn layer(&self, from: f64, to: f64, n: f64) -> f64 {
        self.layer_ms + self.multiply_add_ms * n * from * to
    }

    fn first(&self, plan: &ProbePlan, features: &[usize], to: usize, n: f64) -> f64 {
        let input = plan.input(features);
        self.input(&input.load, n)
            + self.layer(input.widths.item, to as f64, n)
            + self.multiply_add_ms * input.widths.user * to as f64
    }

    fn input(&self, load: &InputLoad, n: f64) -> f64 {
        let part = load.item;
        n * (self.id_ms * part.ids
            + self.value_ms * part.values
            + self.number_ms * part.numbers
            + self.joined_ms * part.joined
            + self.shifted_ms * part.shifted
            + self.sliced_ms * part.sliced)
            + self.group_ms * (load.user.groups() + part.groups())
    }

    fn ms(&self, plan: &ProbePlan, subject: &Subject, candidates: usize) -> f64 {
        let n = candidates as f64;
        self.call_ms
            + match subject {
                Subject::Layer(Operation::Layer { from, to }) => self.layer(*from as f64, *to as f64, n),
                Subject::Layer(_) => 0.0,
                Subject::Grid { features, to } | Subject::Input { features, to } => {
                    self.first(plan, features, *to, n)
                }
                Subject::Network(subnet) | Subject::HeldOut(subnet) => {
                    let widths = [subnet.layer_widths(), vec![1]].concat();
                    let later = widths.windows(2).map(|pair| {
                        let factor = if pair[1] == 1 { 1.0 } else { self.inside };
                        factor * self.layer(pair[0] as f64, pair[1] as f64, n)
                    });
                    self.first(plan, &subnet.features, widths[0], n) + later.sum::<f64>()
                }
            }
    }

    fn probed(&self, plan: &ProbePlan, group: &ProbeGroup, settings: &ServiceSettings) -> Result<Probed> {
        let value = |&at: &usize| {
            let subject = &plan.subjects[at];
            let mean_ms = self.ms(plan, subject, group.candidates);
            let sample = ServiceSample {
                model: plan.name(subject),
                candidates: group.candidates,
                mean_ms,
                quantiles: RunQuantiles::default(),
                runs: 24,
                block_ms: Vec::new(),
                noise_pct: 0.5,
                void: false,
                cold_ms: None,
            };
            (group.candidates, plan.value(subject, &sample))
        };
        Ok(Probed {
            context: context_here(settings, plan.layout)?,
            values: group.subjects.iter().map(value).collect(),
        })
    }
}

fn request(out: &Path, engines: &[EngineName]) -> ProbeRequest {
    let space = space();
    let rows = vec![10; space.features.len()];
    let networks = Networks { fitted: 16, held_out: 12 };
    let candidates = [100, 300, 1000];
    let plan = ProbePlan::for_space(&space, &rows, Layout::UserOnce, &candidates, networks, 1).unwrap();
    let settings = |&engine: &EngineName| ServiceSettings {
        engine,
        options: SessionOptions::PLAIN,
        precision: Precision::Fp32,
        effort: Effort::default(),
        seed: 1,
    };
    ProbeRequest {
        plan,
        settings: engines.iter().map(settings).collect(),
        budget: Some(Duration::from_secs(600)),
        shard: None,
        out: out.to_owned(),
    }
}

/// What every group of one engine is expected to take, in their order.
fn expected_s(request: &ProbeRequest) -> Vec<f64> {
    let ProbeRequest { plan, settings, .. } = request;
    plan.groups(settings[0].seed).iter().map(|group| plan.expected_s(group, &settings[0].effort)).collect()
}

fn probed(request: &ProbeRequest, closed: Closed) -> LatencyTable {
    let measure = move |plan: &ProbePlan, group: &ProbeGroup, settings: &ServiceSettings, _: Option<f64>| {
        closed.probed(plan, group, settings)
    };
    probe_with(request, Begin::Anew, &measure, &Silent, &Stop::never()).unwrap()
}

/// The largest error, in percent, over all random networks of the plan at a candidate count.
fn worst_pct(request: &ProbeRequest, table: &LatencyTable, closed: Closed, candidates: usize) -> f64 {
    let plan = &request.plan;
    let context = context_here(&request.settings[0], plan.layout).unwrap();
    let prices = table.prices(&context, candidates).unwrap();
    let networks = plan.subjects.iter().filter_map(|subject| match subject {
        Subject::HeldOut(subnet) => Some((subject, subnet)),
        _ => None,
    });
    networks
        .map(|(subject, subnet)| {
            let predicted = path_ms(&subnet.layer_widths(), plan.input(&subnet.features), &prices).unwrap();
            100.0 * (predicted / closed.ms(plan, subject, candidates) - 1.0).abs()
        })
        .fold(0.0, f64::max)
}

#[test]
fn networks_over_any_mixture_of_inputs_are_predicted_from_probes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    // Without networks to learn from.
    request.plan.subjects.retain(|subject| !matches!(subject, Subject::Network(_)));
    let table = probed(&request, CLOSED);
    for candidates in [100, 300, 1000] {
        let worst = worst_pct(&request, &table, CLOSED, candidates);
        assert!(worst < 1.5, "{worst} % at {candidates}");
    }
    // Linear in the candidates, so exact between as at them.
    let worst = worst_pct(&request, &table, CLOSED, 640);
    assert!(worst < 1.5, "{worst} %");
}

#[test]
fn what_layers_cost_only_inside_a_network_is_learnt_from_whole_ones_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    let dear = Closed { inside: 1.6, ..CLOSED };
    let table = probed(&request, dear);
    assert!(table.buckets.iter().all(|bucket| bucket.correction.is_some()));
    let worst = worst_pct(&request, &table, dear, 1000);
    assert!(worst < 3.0, "{worst} %");
    let mut alone = table.clone();
    alone.buckets.iter_mut().for_each(|bucket| bucket.correction = None);
    assert!(worst_pct(&request, &alone, dear, 1000) > 2.0 * worst);
}

#[test]
fn no_price_is_negative_however_odd_the_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    // A call as dear as everything, inputs that cost nothing, networks cheaper than their layers.
    let odd = Closed { call_ms: 5.0, id_ms: 0.0, value_ms: 0.0, group_ms: 0.0, inside: -0.5, ..CLOSED };
    let table = probed(&request, odd);
    let context = context_here(&request.settings[0], Layout::UserOnce).unwrap();
    let prices = table.prices(&context, 300).unwrap();
    assert!(prices.fixed_ms() >= 0.0 && prices.input().array().iter().all(|price| *price >= 0.0));
    for subject in &request.plan.subjects {
        match request.plan.operation(subject) {
            Some(Operation::Layer { from, to }) => assert!(prices.layer_ms(from, to).unwrap() >= 0.0),
            Some(Operation::First { to, .. }) => {
                let Subject::Grid { features, .. } = subject else { continue };
                assert!(prices.first_ms(request.plan.input(features).widths, to).unwrap().ms >= 0.0);
            }
            _ => {}
        }
    }
}

#[test]
fn engines_take_turns_and_a_probing_that_was_stopped_measures_no_group_twice() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("t.json");
    let request = request(&out, &[EngineName::Tract, EngineName::Null]);
    let asked = RefCell::new(Vec::new());
    let turns_s: Vec<f64> = expected_s(&request).into_iter().flat_map(|s| [s, s]).collect();
    let fails_at = |stop: usize| {
        let (asked, turns_s) = (&asked, &turns_s);
        move |plan: &ProbePlan, group: &ProbeGroup, settings: &ServiceSettings, limit_s: Option<f64>| {
            let at = asked.borrow().len();
            let share = MEASURING_SHARE * share_s(600.0, turns_s[at], turns_s[at..].iter().sum());
            let limit_s = limit_s.unwrap();
            assert!(0.5 * share < limit_s && limit_s <= share, "{limit_s} s of {share} s for turn {at}");
            if asked.borrow().len() == stop {
                return Err(Error::usage("stopped", "go on"));
            }
            asked.borrow_mut().push((settings.engine, group.clone()));
            CLOSED.probed(plan, group, settings)
        }
    };
    let run = |begin, stop| probe_with(&request, begin, &fails_at(stop), &Silent, &Stop::never());
    assert!(run(Begin::Anew, 5).is_err());
    assert!(!out.exists() && out.with_extension("partial.json").exists());
    let groups = 2 * request.plan.groups(1).len();
    assert!(groups > 6);
    let resumed = run(Begin::WhereItStopped, usize::MAX).unwrap();
    {
        let asked = asked.borrow();
        assert_eq!(asked.len(), groups, "each group once");
        let engines: Vec<_> = asked.iter().map(|(engine, _)| *engine).collect();
        assert!(engines.chunks(2).all(|pair| pair == [EngineName::Tract, EngineName::Null]), "{engines:?}");
        let counts: Vec<_> = asked.iter().step_by(2).map(|(_, group)| group.candidates).collect();
        assert!(
            !counts.is_sorted() && !counts.iter().rev().is_sorted(),
            "candidate counts come mixed: {counts:?}"
        );
    }
    assert!(!out.with_extension("partial.json").exists());
    let at_once = probed(&request, CLOSED);
    assert_eq!(resumed.buckets, at_once.buckets);
    // What is finished is read, and what was measured otherwise is not gone on with.
    assert_eq!(run(Begin::WhereItStopped, 0).unwrap(), at_once);
    asked.borrow_mut().clear();
    assert!(run(Begin::Anew, 1).is_err());
    fsio::remove(&out).unwrap();
    let mut other = request.clone();
    other.plan.cardinalities[0] += 1;
    let refused = probe_with(&other, Begin::WhereItStopped, &fails_at(usize::MAX), &Silent, &Stop::never());
    assert!(refused.unwrap_err().to_string().contains("without --resume"));
}

#[test]
fn every_group_gets_its_share_of_what_is_left_of_the_budget() {
    assert_eq!(share_s(100.0, 2.0, 8.0), 25.0);
    assert_eq!(share_s(0.0, 2.0, 8.0), 0.0);
    assert_eq!(share_s(10.0, 0.0, 0.0), 10.0);
}

#[test]
fn rows_of_tables_are_the_schemas_where_it_says_them() {
    let text = r#"
        [data]
        label = "click"
        [defaults]
        item = { fetch_ms = 1 }
        [[feature]]
        name = "a"
        kind = "item"
        type = "categorical"
        [[feature]]
        name = "b"
        kind = "item"
        type = "categorical"
        encoding = "hash"
        buckets = 50
        [[feature]]
        name = "c"
        kind = "item"
        type = "numeric"
        encoding = "buckets"
        buckets = 16
        [[feature]]
        name = "d"
        kind = "item"
        type = "numeric"
        encoding = "standardize"
    "#;
    let schema = Schema::parse(text, Path::new("s.toml")).unwrap();
    assert_eq!(table_rows(&schema, None, 700).unwrap(), [700, 51, 17, 0]);
}
