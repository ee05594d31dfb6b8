//! A search step: Loss1 moves θ, Loss2 moves α and the supernet's weights.

use super::{Reference, assert_all, assert_gradients, assert_near, assert_scalar, set_all, teacher, whole};
use crate::{
    base::Result,
    data::{
        dataset::{Dataset, Split},
        schema::{Feature, Kind, Schema, Source},
    },
    learn::{
        optimizer::Scaling,
        price_term::Prices,
        search::{Batches, Drawn, Phase, Scene, Search},
        settings::{GradientBlock, SearchSettings},
        teacher::Teacher,
        train::{Rows, Trainable},
        values,
    },
    price::{FirstLayerPrice, LayerPrices, fixtures, target::MeanService},
    space::{InputWidths, Operator, SearchSpace},
};
use candle_core::backprop::GradStore;

/// The fixture's closed-form table.
struct ReferencePrices<'a>(&'a Reference);

impl LayerPrices for ReferencePrices<'_> {
    fn first_ms(&self, input: InputWidths, to: usize) -> Result<FirstLayerPrice> {
        let part = |name: &str| self.0.number(&format!("/table/first/{to}/{name}"));
        let (d_user, d_item) = (part("user"), part("item"));
        Ok(FirstLayerPrice { ms: d_user * input.user + d_item * input.item + part("base"), d_user, d_item })
    }

    fn layer_ms(&self, from: usize, to: usize) -> Result<f64> {
        Ok(self.0.number(&format!("/table/inner/{from}/{to}")))
    }

    fn fixed_ms(&self) -> f64 {
        self.0.number("/table/fixed_ms")
    }
}

/// A parameter of [`Search`] from a group of the fixture; θ and α have places of their own before the step.
fn parameter(reference: &Reference, group: &str, ours: &str) -> Vec<f64> {
    let gates = if group == "weights" { String::new() } else { format!("/{group}") };
    if ours == "theta" {
        return reference.numbers(&format!("{gates}/free"));
    }
    let place = |prefix: &str| ours.strip_prefix(prefix).map(|i| i.parse::<usize>().unwrap() - 1);
    if let Some(mixop) = place("alpha") {
        let all = reference.numbers(&format!("{gates}/alpha"));
        return all[mixop * 3..][..3].to_vec();
    }
    let Some(mixop) = place("mixop") else { return reference.numbers(&format!("/{group}/{ours}")) };
    // Ours holds all pairs in one matrix: for every incoming key, in the order of our keys, its weights and then its biases.
    let keys: &[&str] = if mixop == 0 { &["input"] } else { &["input", "4", "6"] };
    let part = |key: &&str, part: &str| {
        beside(reference, [6, 4].map(|to| format!("/{group}/mixop.{mixop}.{key}.{to}.{part}")))
    };
    keys.iter().flat_map(|key| [part(key, "weight"), part(key, "bias")]).flatten().collect()
}

/// Matrices of equal height side by side.
fn beside(reference: &Reference, paths: [String; 2]) -> Vec<f64> {
    let parts = paths.map(|path| (reference.numbers(&path), reference.columns(&path)));
    let rows = parts[0].0.len() / parts[0].1;
    let row = |r: usize| parts.iter().flat_map(move |(all, width)| all[r * width..][..*width].to_vec());
    (0..rows).flat_map(row).collect()
}

/// Everything that a step reads.
struct Stage {
    reference: Reference,
    data: Dataset,
    split: Split,
    schema: Schema,
    space: SearchSpace,
    teacher: Teacher,
    soft: Vec<f32>,
    settings: SearchSettings,
}

impl Stage {
    fn new() -> Self {
        let reference = Reference::read(include_str!("../../../fixtures/pytorch/supernet.json"));
        let data = reference.dataset();
        let schema = schema(&reference);
        let operators = vec![Operator::Mlp(6), Operator::Mlp(4), Operator::Zero];
        let space = SearchSpace::new(schema.features.clone(), vec![operators; 2]).unwrap();
        let train = teacher::settings(&reference, "/optimizer/weights");
        let teacher = teacher::teacher(&reference, "teacher", &data, train);
        let soft = teacher.scores(&whole(&data)).unwrap();
        let settings = SearchSettings {
            learning_rate: reference.number("/optimizer/weights/learning_rate"),
            weight_decay: reference.number("/optimizer/weights/weight_decay"),
            theta_learning_rate: reference.number("/optimizer/free/learning_rate"),
            theta_scaling: Scaling::Each,
            alpha_learning_rate: reference.number("/optimizer/alpha/learning_rate"),
            lambda: reference.number("/lambdas/lambda"),
            lambda1: reference.number("/lambdas/lambda1"),
            lambda2: reference.number("/lambdas/lambda2"),
            ..SearchSettings::default()
        };
        Self { reference, data, split: Split::default(), schema, space, teacher, soft, settings }
    }

    fn search(&self) -> Search<'_> {
        let rows = Rows::alone(&self.data, &self.split);
        let (teacher, soft, settings) = (&self.teacher, &self.soft[..], &self.settings);
        let search =
            Search::new(&self.space, Scene { rows, held_out: None, teacher, soft, settings, seed: 1 })
                .unwrap();
        set_all(search.params(), |name| parameter(&self.reference, "weights", name));
        search
    }

    fn batch(&self) -> Batches {
        Batches { train: whole(&self.data), held_out: None }
    }

    /// The fixture's mask, and every operator.
    fn drawn(&self, search: &Search) -> Drawn {
        search.every_path(search.mask().straight_through(self.mask()).unwrap())
    }

    fn mask(&self) -> Vec<f32> {
        self.reference.numbers("/mask").into_iter().map(|g| g as f32).collect()
    }

    /// Gradients of Loss1 and of Loss2, apart.
    fn gradients(&self, search: &Search) -> [GradStore; 2] {
        let layers = ReferencePrices(&self.reference);
        let prices = Prices::declared(&self.schema, &layers, &MeanService);
        let phase = Phase::Search { prices: &prices, share: 1.0, progress: 0.0 };
        let terms = search.terms(&self.batch(), &self.drawn(search), &phase).unwrap();
        [terms.loss1.unwrap(), terms.loss2].map(|loss| loss.backward().unwrap())
    }
}

fn schema(reference: &Reference) -> Schema {
    let text = |path: &str| reference.at(path).as_str().unwrap();
    let feature = |i: usize| Feature {
        kind: match text(&format!("/features/side/{i}")) {
            "user" => Kind::User,
            _ => Kind::Item,
        },
        source: match text(&format!("/features/source/{i}")) {
            "matching" => Source::Matching,
            _ => Source::Store,
        },
        fetch_ms: reference.number(&format!("/features/fetch_ms/{i}")),
        ..fixtures::feature(&format!("f{i}"), reference.number("/width") as usize)
    };
    Schema {
        beta_ms: reference.number("/features/beta_ms"),
        gamma_ms: reference.number("/features/gamma_ms"),
        ..crate::learn::fixtures::schema((0..5).map(feature).collect())
    }
}

#[test]
fn a_search_step_equals_pytorchs() {
    let stage = Stage::new();
    let reference = &stage.reference;
    assert_near("r(x)", &stage.soft, &reference.numbers("/teacher_scores"));
    let layers = ReferencePrices(reference);
    let prices = Prices::declared(&stage.schema, &layers, &MeanService);
    let phase = Phase::Search { prices: &prices, share: 1.0, progress: 0.0 };
    let search = stage.search();
    let drawn = stage.drawn(&search);

    let terms = search.terms(&stage.batch(), &drawn, &phase).unwrap();
    assert_scalar("Loss1", terms.loss1.as_ref().unwrap(), reference.number("/loss1"));
    assert_scalar("Loss2", &terms.loss2, reference.number("/loss2"));
    let both = (terms.loss1.unwrap() + terms.loss2).unwrap().backward().unwrap();
    assert_gradients(search.params(), &both, |name| parameter(reference, "gradients", name));

    let (rate, decay) = (stage.settings.theta_learning_rate, stage.settings.alpha_learning_rate);
    let mut optimizer = search.optimizer(rate, decay).unwrap();
    let teacher = || -> Vec<u32> {
        let params = stage.teacher.params().iter();
        params.flat_map(|(_, var)| values(var).unwrap()).map(f32::to_bits).collect()
    };
    let before = teacher();
    search.step_with(&stage.batch(), &drawn, &phase, &mut optimizer).unwrap();
    assert_all(search.params(), |name| parameter(reference, "after_step", name));
    assert_eq!(teacher(), before, "the teacher and its embeddings rest");
}

#[test]
fn logits_of_both_networks_and_both_latencies_equal_pytorchs() {
    let stage = Stage::new();
    let reference = &stage.reference;
    let search = stage.search();
    let Drawn { gates, p, .. } = stage.drawn(&search);
    let batch = stage.batch().train;
    let input =
        crate::learn::teacher::masked(&stage.teacher, &stage.teacher.embed(&batch).unwrap(), &gates).unwrap();
    let masked = stage.teacher.frozen().forward(&input, &batch.partitions).unwrap();
    assert_near("masked teacher", &values(&masked).unwrap(), &reference.numbers("/masked_teacher_logits"));
    let logits = search.supernet().forward(&input, &p).unwrap();
    assert_near("supernet", &values(&logits).unwrap(), &reference.numbers("/logits"));
    let layers = ReferencePrices(reference);
    let theta = search.mask().theta_values().unwrap();
    let p = crate::learn::price_term::probability_values(&p).unwrap();
    let expected =
        Prices::declared(&stage.schema, &layers, &MeanService).expected(&stage.space, &theta, &p).unwrap();
    let found = [expected.feature.ms as f32, expected.network.ms as f32];
    let wanted = ["/feature_latency_ms", "/network_latency_ms"].map(|path| reference.number(path));
    assert_near("latencies", &found, &wanted);
}

#[test]
fn loss2_reaches_theta_only_without_the_gradient_block_and_the_teacher_never() {
    let mut stage = Stage::new();
    for block in [GradientBlock::On, GradientBlock::Off] {
        stage.settings.gradient_block = block;
        let search = stage.search();
        let theta = search.params().iter().find(|(name, _)| *name == "theta").unwrap().1.clone();
        let [loss1, loss2] = stage.gradients(&search);
        assert_eq!(loss2.get(&theta).is_some(), block == GradientBlock::Off);
        if let Some(gradient) = loss2.get(&theta) {
            assert!(values(gradient).unwrap().iter().all(|g| *g != 0.0));
        }
        for (name, var) in search.params().iter() {
            assert_eq!(loss1.get(var).is_some(), name == "theta", "Loss1 and {name}");
        }
        for (name, var) in stage.teacher.params().iter() {
            assert!(loss1.get(var).is_none() && loss2.get(var).is_none(), "the teacher's {name}");
        }
    }
}
