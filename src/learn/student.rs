//! A derived network trained from scratch, with or without a teacher; also the hand-made plain DNN it is compared with.

use super::{
    Learn,
    embedding::{EmbeddingBank, InputFeature, plain_layers},
    importance::{Attributable, Routing},
    losses::{self, lists::ListLoss},
    mlp::{Hidden, Mode, dropout},
    network::{Body, Network, PlainOnly},
    ops::dense::Follow,
    params::{DenseParams, Next, Params},
    settings::{RetrainSettings, TrainSettings},
    train::Trainable,
};
use crate::{
    base::{
        Error, Result,
        rng::{self, Generator},
    },
    data::{
        dataset::{Batch, Dataset},
        lists::Lists,
    },
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use std::sync::Arc;

/// What a student learns beside the labels.
#[derive(Debug, Clone, Copy)]
pub enum Lesson<'a> {
    /// Nothing.
    Labels,
    /// Equation (7) without latency: (1 − λ1)·cross entropy + λ1·mean (r − p)².
    Distilled {
        /// r(x) for every row of the data set.
        teacher: &'a [f32],
        /// λ1.
        lambda1: f64,
    },
    /// The same with the order within lists in place of the squares.
    Ordered {
        /// r(x) for every row of the data set.
        teacher: &'a [f32],
        /// λ1.
        lambda1: f64,
        /// What is compared.
        loss: ListLoss,
        /// Of the training rows; batches hold whole ones.
        lists: &'a Arc<Lists>,
    },
}

impl<'a> Lesson<'a> {
    /// What `settings` say, with r(x) of every row of the data set and the lists that [`lists_of`] found.
    pub fn of(settings: &RetrainSettings, teacher: &'a [f32], lists: Option<&'a Arc<Lists>>) -> Self {
        let lambda1 = settings.distillation;
        match (lambda1, settings.distillation_loss.of_lists().zip(lists)) {
            (0.0, _) => Self::Labels,
            (_, Some((loss, lists))) => Self::Ordered { teacher, lambda1, loss, lists },
            (_, None) => Self::Distilled { teacher, lambda1 },
        }
    }
}

/// The lists of the training rows, where `settings` compare anything within lists.
pub fn lists_of(settings: &RetrainSettings, data: &Dataset, train: &[u32]) -> Result<Option<Arc<Lists>>> {
    if settings.distillation == 0.0 || settings.distillation_loss.of_lists().is_none() {
        return Ok(None);
    }
    let lists = Lists::of(data, train, settings.longest_list, settings.train.batch_size)?;
    Ok(Some(Arc::new(lists)))
}

impl Lesson<'_> {
    /// The loss of the logits `[rows]` of a batch; of a shard, what its rows add to that of the whole batch.
    pub(super) fn loss(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor> {
        match *self {
            Lesson::Labels => losses::ranking(logits, batch),
            Lesson::Distilled { teacher, lambda1 } => losses::taught(logits, batch, teacher, lambda1),
            Lesson::Ordered { teacher, lambda1, loss, .. } => {
                losses::taught_in_lists(logits, batch, teacher, lambda1, loss)
            }
        }
    }

    /// The lists that batches must hold whole, where anything is compared within them.
    pub(super) fn lists(&self) -> Option<Arc<Lists>> {
        match self {
            Lesson::Ordered { lists, .. } => Some(Arc::clone(lists)),
            Lesson::Labels | Lesson::Distilled { .. } => None,
        }
    }
}

/// Embeddings of the chosen features, hidden layers, one output node.
#[derive(Debug)]
pub struct Student<'a> {
    params: Params,
    bank: EmbeddingBank,
    hidden: Hidden,
    output: DenseParams,
    settings: TrainSettings,
    lesson: Lesson<'a>,
    dropout_rng: Generator,
}

impl<'a> Student<'a> {
    /// An untrained network over `features` with hidden layers of `widths`.
    pub fn new(
        features: Vec<InputFeature>,
        widths: &[usize],
        settings: &TrainSettings,
        lesson: Lesson<'a>,
        seed: u64,
    ) -> Result<Self> {
        let mut params = Params::new(seed);
        let bank = EmbeddingBank::new(features, &mut params)?;
        let hidden = Hidden::new(&mut params, "hidden", bank.width(), widths)?;
        let output = DenseParams::new(&mut params, "output", hidden.width(), 1, Next::Output)?;
        let dropout_rng = rng::generator(seed, "dropout");
        Ok(Self { params, bank, hidden, output, settings: settings.clone(), lesson, dropout_rng })
    }

    /// The present weights as plain data.
    pub fn to_network(&self) -> Result<Network> {
        let layers = plain_layers(&self.bank, self.hidden.layers().iter().chain([&self.output]))?;
        Ok(Network { inputs: self.bank.to_plain()?, body: Body::Mlp(layers) })
    }

    /// Begins with the weights of a plain network of the same features and widths.
    ///
    /// Fails where it has another shape.
    pub fn start_from(&self, network: &Network) -> Result<()> {
        let network = network.mlp(PlainOnly::Retraining)?;
        self.bank.set_plain(network.inputs, &self.params)?;
        let hidden = self.hidden.layers().len();
        if network.layers.len() != hidden + 1 {
            return Err(Error::usage(
                format!("the network has {} layers, not {}", network.layers.len(), hidden + 1),
                "begin with the weights of the same subnet",
            ));
        }
        for (depth, layer) in network.layers.iter().enumerate() {
            let name = if depth < hidden { format!("hidden.{depth}") } else { "output".to_owned() };
            let mut weight = layer.weight.clone();
            if depth == 0 {
                // The bank has its columns group by group, the plain network in schema order.
                let places = (0..self.bank.features().len()).flat_map(|feature| self.bank.columns(feature));
                for (plain, place) in layer.weight.chunks_exact(layer.outputs).zip(places) {
                    weight[place * layer.outputs..][..layer.outputs].copy_from_slice(plain);
                }
            }
            self.params.set(&format!("{name}.weight"), weight)?;
            self.params.set(&format!("{name}.bias"), layer.bias.clone())?;
        }
        Ok(())
    }

    /// Click probabilities of embeddings `[rows, width]`, without dropout.
    pub(super) fn scores_of(&self, embedded: &Tensor) -> Result<Vec<f32>> {
        // Partitions have no layers of their own.
        let logits = self.logits(embedded, &[], &Routing::Own)?;
        super::values(&sigmoid(&logits).learn("score a batch")?)
    }

    /// Where a network around this one puts what else it trains.
    pub(super) fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }
}

/// Logits `[rows]`.
fn run(hidden: &Hidden, output: &DenseParams, embedded: &Tensor, mode: &mut Mode) -> Result<Tensor> {
    let x = hidden.forward(embedded, mode)?;
    output.forward(&x, Follow::Nothing).and_then(|y| y.squeeze(1)).learn("run the output node")
}

impl Trainable for Student<'_> {
    fn params(&self) -> &Params {
        &self.params
    }

    fn bank(&self) -> &EmbeddingBank {
        &self.bank
    }

    fn generator(&mut self) -> &mut Generator {
        &mut self.dropout_rng
    }

    fn loss(&mut self, embedded: &Tensor, batch: &Batch) -> Result<Tensor> {
        let mut rng = self.dropout_rng.clone();
        let first_row = batch.part.as_ref().map_or(0, |part| part.first_row);
        let mut mode = Mode::Train { dropout: self.settings.embedding_dropout, rng: &mut rng, first_row };
        let embedded = dropout(embedded.clone(), &mut mode)?;
        let mut mode = Mode::Train { dropout: self.settings.dropout, rng: &mut rng, first_row };
        let logits = run(&self.hidden, &self.output, &embedded, &mut mode)?;
        self.dropout_rng = rng;
        self.lesson.loss(&logits, batch)
    }

    fn lists(&self) -> Option<Arc<Lists>> {
        self.lesson.lists()
    }

    fn scores(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.scores_of(&self.bank.lookup(batch)?)
    }
}

impl Attributable for Student<'_> {
    /// Partitions have no layers of their own.
    fn logits(&self, embedded: &Tensor, _: &[u32], _: &Routing) -> Result<Tensor> {
        run(&self.hidden.detached(), &self.output.detached(), embedded, &mut Mode::Evaluate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{
        embedding::input_features,
        fixtures::{every_row, mixed, scramble},
    };

    #[test]
    fn the_plain_network_scores_as_the_student_does() {
        let (schema, loaded) = mixed();
        let data = &loaded.dataset;
        let rows = every_row(data);
        for (chosen, widths) in [(vec![0, 1, 2, 3, 4, 5, 6, 7], vec![6, 5]), (vec![1, 2, 5, 7], vec![])] {
            let features = input_features(&schema.features, &chosen, data).unwrap();
            let settings = TrainSettings::default();
            let student = Student::new(features, &widths, &settings, Lesson::Labels, 1).unwrap();
            scramble(student.params());
            let network = student.to_network().unwrap();
            let names: Vec<&str> = network.inputs.iter().map(|input| input.feature.as_str()).collect();
            let wanted: Vec<&str> = chosen.iter().map(|&i| schema.features[i].name.as_str()).collect();
            assert_eq!(names, wanted);
            let scores = student.scores(&Batch::of(data, &rows)).unwrap();
            // Its weights are where another one begins, from other first values.
            let features = input_features(&schema.features, &chosen, data).unwrap();
            let other = Student::new(features, &widths, &settings, Lesson::Labels, 2).unwrap();
            assert_ne!(other.to_network().unwrap(), network);
            other.start_from(&network).unwrap();
            assert_eq!(other.to_network().unwrap(), network);
            let mut deeper = network.clone();
            let Body::Mlp(layers) = &mut deeper.body else { panic!("a student is plain") };
            layers.push(layers[0].clone());
            assert!(other.start_from(&deeper).unwrap_err().to_string().contains("layers"));
            let mut torn = network.clone();
            torn.inputs.swap(0, 1);
            assert!(other.start_from(&torn).unwrap_err().to_string().contains("other features"));
            let plain = network.score(data, &rows).unwrap();
            assert!(scores.iter().any(|s| (s - scores[0]).abs() > 0.1), "scores that are all alike");
            for (a, b) in scores.iter().zip(plain) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
