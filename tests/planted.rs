//! The search on the planted log, where the right choice is known: see `autofas_bench::data::synth`.

use autofas_bench::{
    app::config::{Experiment, Settings},
    base::{Result, memory, progress::Silent},
    data::{
        dataset::{Dataset, Split},
        load_table,
        schema::Schema,
        split::hold_out,
        synth::{self, SynthLog, SynthSettings},
    },
    learn::{
        checkpoint::Keeper,
        derive::{Judge, Limits, Price, Repair, derive, repair},
        embedding::input_features,
        metrics::Gain,
        price_term::Prices,
        search::{Scene, Search, SearchOutcome},
        settings::{Budget, DeriveSettings, SearchSettings},
        teacher::Teacher,
        train::{Rows, fit, score_rows},
    },
    price::{
        FirstLayerPrice, LayerPrices,
        linear::LinearPrices,
        memory::Parameters,
        path::{Step, steps},
        target::MeanService,
    },
    space::{InputWidths, Operator, SearchSpace, Subnet},
};
use std::{path::Path, sync::LazyLock};

/// Training allocates large tensors at every step; the system's allocator returns and asks for their pages each time.
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::ALLOCATOR;

/// So much per gathered column, per multiply-add and per layer; a column of the user counts half.
const LINEAR: LinearPrices =
    LinearPrices { column_ms: 0.02, slope_ms: 0.0001, layer_ms: 0.02, user_share: 0.5, fixed_ms: 0.0 };

/// [`LINEAR`], but for a layer that costs fifty times as much.
struct Dear(Step);

impl LayerPrices for Dear {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let FirstLayerPrice { ms, d_user, d_item } = LINEAR.first_ms(input, to)?;
        let factor = if self.0 == (Step::First { to }) { 50.0 } else { 1.0 };
        Ok(FirstLayerPrice { ms: factor * ms, d_user: factor * d_user, d_item: factor * d_item })
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        let factor = if self.0 == (Step::Layer { from, to }) { 50.0 } else { 1.0 };
        Ok(factor * LINEAR.layer_ms(from, to)?)
    }

    fn fixed_ms(&self) -> f64 {
        LINEAR.fixed_ms()
    }
}

/// A log, and a teacher that was trained on it.
struct Planted {
    log: SynthLog,
    schema: Schema,
    space: SearchSpace,
    data: Dataset,
    split: Split,
    held_out: Vec<u32>,
    teacher: Teacher,
    soft: Vec<f32>,
    settings: SearchSettings,
    seed: u64,
}

/// The settings that `iterate` runs with on this log.
static EXPERIMENT: LazyLock<Settings> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/planted.toml");
    Experiment::load(&path, &[]).unwrap().settings
});

impl Planted {
    /// `change` may edit the schema before anything reads it.
    fn new(seed: u64, change: impl FnOnce(&mut Schema, &SynthLog)) -> Self {
        let log = synth::generate(&SynthSettings { seed, ..SynthSettings::default() }).unwrap();
        let mut schema = log.schema.clone();
        change(&mut schema, &log);
        let Settings { split: by_time, space, teacher: teacher_settings, search: settings, .. } =
            EXPERIMENT.clone();
        let loaded = load_table(&schema, &log.table, &by_time, seed).unwrap();
        let (data, split) = (loaded.dataset, loaded.split);
        let space = SearchSpace::new(schema.features.clone(), space.mixops).unwrap();
        let every: Vec<usize> = (0..space.features.len()).collect();
        let features = input_features(&space.features, &every, &data).unwrap();
        let mut teacher = Teacher::new(features, data.partition_count, &teacher_settings, seed).unwrap();
        let parts = hold_out(&split.train, settings.held_out, seed).unwrap();
        let seen = Split { train: parts.rest().collect(), valid: split.valid.clone() };
        let held_out = parts.taken().collect();
        let rows = Rows::alone(&data, &seen);
        fit(&mut teacher, rows, &teacher_settings.train, seed, &Silent, &mut Keeper::none()).unwrap();
        let soft = score_rows(&teacher, &data, &(0..data.rows() as u32).collect::<Vec<_>>()).unwrap();
        Self { log, schema, space, data, split, held_out, teacher, soft, settings, seed }
    }

    /// A search whose weights are warmed up.
    fn warm_search(&self) -> Search<'_> {
        let scene = Scene {
            rows: Rows::alone(&self.data, &self.split),
            held_out: Some(&self.held_out),
            teacher: &self.teacher,
            soft: &self.soft,
            settings: &self.settings,
            seed: self.seed,
        };
        let mut search = Search::new(&self.space, scene).unwrap();
        search.warm_up(&Silent, &mut Keeper::none()).unwrap();
        search
    }

    fn run(&self, search: &mut Search, layers: &dyn LayerPrices) -> SearchOutcome {
        search
            .run(&Prices::declared(&self.schema, layers, &MeanService), &Silent, &mut Keeper::none())
            .unwrap()
    }

    fn derive(&self, outcome: &SearchOutcome, settings: &DeriveSettings) -> Subnet {
        let prices = Prices::declared(&self.schema, &LINEAR, &MeanService);
        derive(&self.space, outcome, settings, &prices).unwrap()
    }
}

const ABOVE_HALF: DeriveSettings = DeriveSettings::Threshold { theta: 0.5 };

/// Names with their θ, for messages.
fn strengths(planted: &Planted, outcome: &SearchOutcome) -> Vec<String> {
    let named = planted.space.features.iter().zip(&outcome.theta);
    named.map(|(feature, theta)| format!("{} {theta:.2}", feature.name)).collect()
}

/// The log of seed 1 and what its search finds: two tests start from it.
static FIRST: LazyLock<(Planted, SearchOutcome)> = LazyLock::new(|| {
    let planted = Planted::new(1, |_, _| ());
    let outcome = planted.run(&mut planted.warm_search(), &LINEAR);
    (planted, outcome)
});

/// Useful features stay, though many of them say nothing alone; useless ones go, among them ids of high cardinality; and of
/// all twins the dear one goes.
fn assert_exactly_the_useful(planted: &Planted, outcome: &SearchOutcome) {
    for rule in [ABOVE_HALF, EXPERIMENT.derive] {
        let subnet = planted.derive(outcome, &rule);
        let names = subnet.feature_names(&planted.space);
        assert_eq!(names, planted.log.truth.useful, "{rule:?} {:?}", strengths(planted, outcome));
    }
    let auc = outcome.epochs.last().unwrap().metrics.auc.unwrap();
    assert!(auc > 0.85, "the supernet reaches {auc}, {} is possible", planted.log.truth.best_auc);
}

#[test]
fn the_search_keeps_the_useful_features_and_no_other_with_seed_1() {
    assert_exactly_the_useful(&FIRST.0, &FIRST.1);
}

#[test]
fn the_search_keeps_the_useful_features_and_no_other_with_seed_2() {
    let planted = Planted::new(2, |_, _| ());
    let outcome = planted.run(&mut planted.warm_search(), &LINEAR);
    assert_exactly_the_useful(&planted, &outcome);
}

#[test]
fn the_search_keeps_the_useful_features_and_no_other_with_seed_3() {
    let planted = Planted::new(3, |_, _| ());
    let outcome = planted.run(&mut planted.warm_search(), &LINEAR);
    assert_exactly_the_useful(&planted, &outcome);
}

#[test]
fn a_layer_that_becomes_fifty_times_dearer_is_avoided_by_the_next_search() {
    let (planted, outcome) = &*FIRST;
    let before = planted.derive(outcome, &ABOVE_HALF).layer_widths();
    let &[from, to] = before.as_slice() else { panic!("two layers were expected, not {before:?}") };
    let step = Step::Layer { from, to };
    let outcome = planted.run(&mut planted.warm_search(), &Dear(step));
    let after = planted.derive(&outcome, &ABOVE_HALF).layer_widths();
    assert!(steps(&after).all(|other| other != step), "{before:?}, then {after:?}");
}

#[test]
fn doubling_the_price_of_a_chosen_feature_changes_the_choice_to_its_twin() {
    let chosen = |style_ms: f64| {
        let planted = Planted::new(1, |schema, log| {
            let copies = &log.truth.redundant;
            schema
                .features
                .retain(|f| f.name == "i_style_copy" || copies.iter().all(|r| r.feature != f.name));
            for (name, ms) in [("i_style", style_ms), ("i_style_copy", 0.8)] {
                schema.features.iter_mut().find(|f| f.name == name).unwrap().fetch_ms = ms;
            }
        });
        let outcome = planted.run(&mut planted.warm_search(), &LINEAR);
        let k = planted.log.truth.useful.len();
        let subnet = planted.derive(&outcome, &DeriveSettings::TopK { k });
        let names = subnet.feature_names(&planted.space);
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        (owned, planted)
    };
    let (before, planted) = chosen(0.5);
    assert_eq!(before, planted.log.truth.useful);
    let (after, _) = chosen(1.0);
    let swapped = |name: &String| if name == "i_style" { "i_style_copy".to_owned() } else { name.clone() };
    let mut wanted: Vec<String> = before.iter().map(swapped).collect();
    let mut found = after;
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

/// What a search under a budget derives and how far the repair came, judged on rows that the supernet never saw; and what that judge
/// says of the single changes that the budget still pays for.
fn within_budget(planted: &mut Planted, budget_ms: f64) -> (SearchOutcome, Subnet, Repair, Vec<Room>) {
    let parts = hold_out(&planted.held_out, 0.5, planted.seed).unwrap();
    let (judging, masks): (Vec<u32>, Vec<u32>) = (parts.taken().collect(), parts.rest().collect());
    let seen: Vec<u32> =
        planted.split.train.iter().copied().filter(|row| judging.binary_search(row).is_err()).collect();
    planted.split.train = seen.into();
    planted.held_out = masks;
    let mut search = planted.warm_search();
    let declared = Prices::declared(&planted.schema, &LINEAR, &MeanService);
    let prices = Prices { budget_ms: Some(budget_ms), ..declared };
    let outcome = search.run(&prices, &Silent, &mut Keeper::none()).unwrap();
    let budget = Budget::of_mean(budget_ms);
    let derived = derive(&planted.space, &outcome, &DeriveSettings::Budget(budget), &prices).unwrap();
    let every: Vec<usize> = (0..planted.space.features.len()).collect();
    let features = input_features(&planted.space.features, &every, &planted.data).unwrap();
    let parameters = Parameters::new(features.iter().map(|feature| feature.parameters()).collect());
    let limits = Limits { space: &planted.space, prices: &prices, budget, parameters: &parameters };
    let judge = search.judge(&judging).unwrap();
    let (subnet, repair) = repair(&limits, &judge, &outcome.theta, derived, &Silent).unwrap();
    let room = room(planted, &subnet, budget_ms, &judge);
    (outcome, subnet, repair, room)
}

/// A change that a budget still pays for.
struct Room {
    what: String,
    gain: Gain,
}

/// One feature more or another operator, where the network then still costs no more than the budget, with what that adds to the AUC.
fn room(planted: &Planted, subnet: &Subnet, budget_ms: f64, judge: &dyn Judge) -> Vec<Room> {
    let space = &planted.space;
    let prices = Prices::declared(&planted.schema, &LINEAR, &MeanService);
    let features = (0..space.features.len()).filter(|i| !subnet.features.contains(i)).map(|feature| {
        let mut more = subnet.clone();
        more.features.push(feature);
        more.features.sort_unstable();
        (space.features[feature].name.clone(), more)
    });
    let operators = space.mixops.iter().enumerate().flat_map(|(at, offered)| {
        offered.iter().filter(move |&&other| other != subnet.operators[at]).map(move |&other| {
            let mut changed = subnet.clone();
            changed.operators[at] = other;
            (format!("{other} in Mixop {}", at + 1), changed)
        })
    });
    let now = judge.placements(subnet).unwrap();
    let fitting = features
        .chain(operators)
        .filter(|(_, changed)| Price::of(space, changed, &prices).unwrap().total_ms() <= budget_ms);
    fitting
        .map(|(what, changed)| Room { what, gain: judge.placements(&changed).unwrap().gain_over(&now) })
        .collect()
}

/// Budgets as shares of what the useful features on one planted layer cost.
#[test]
fn budgets_are_met_by_the_expectation_and_by_the_derived_network() {
    let full = {
        let planted = &FIRST.0;
        let useful = |i: &usize| planted.log.truth.useful.contains(&planted.space.features[*i].name);
        let features = (0..planted.space.features.len()).filter(useful).collect();
        let operators = vec![Operator::Mlp(planted.log.truth.layer_width), Operator::Zero];
        let prices = Prices::declared(&planted.schema, &LINEAR, &MeanService);
        Price::of(&planted.space, &Subnet { features, operators }, &prices).unwrap().total_ms()
    };
    for share in [0.4, 0.7, 1.0] {
        let budget_ms = share * full;
        let mut planted = Planted::new(1, |_, _| ());
        let (outcome, subnet, repair, room) = within_budget(&mut planted, budget_ms);
        let spending = repair.spending.unwrap();
        let last = outcome.epochs.last().unwrap();
        let off = last.expected_ms / budget_ms - 1.0;
        assert!(off.abs() < 0.1, "{share}: expected {off} off, λ {}", last.lambda);
        assert!(spending.price_ms <= budget_ms, "{share}: {repair}");
        let names = subnet.feature_names(&planted.space);
        let useful = names.iter().filter(|name| planted.log.truth.useful.iter().any(|u| u == *name)).count();
        println!("{share}: off {off:.3} λ {:.3} {repair} {names:?} {:?}", last.lambda, subnet.operators);
        assert!(spending.price_ms >= 0.9 * budget_ms, "{share}: {repair}");
        assert!(useful * 10 >= names.len() * 9, "{share}: {names:?}");
        // What is left of the budget buys nothing that is more than chance to the rows that judge.
        for Room { what, gain } in &room {
            println!("{share}: room for {what}: {:+.4} ± {:.4}", gain.auc, gain.error);
            assert!(
                !gain.is_above(2.0),
                "{share}: room for {what}, which adds {:.4} ± {:.4}",
                gain.auc,
                gain.error
            );
        }
    }
}
