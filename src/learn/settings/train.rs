//! Networks that are fitted to labels: the teacher, networks of the space, the plain DNN.

use crate::{
    base::check::{self, Checked},
    learn::losses::lists::ListLoss,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How rows of embedding tables move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowRule {
    /// By the gradient over the root of the sum of all its squares (Duchi et al., 2011): the more a row has been seen, the shorter
    /// its steps. An id of many rows is known after its first ones and rests, and one of few moves on.
    Adagrad,
    /// Adam of the rows that a batch touches: steps of one length for rare and frequent ids.
    Adam,
}

/// How a plain network is fitted: Adam with decoupled weight decay for dense layers, early stopping on the validation AUC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Share of a hidden layer's outputs that a training step drops.
    pub dropout: f32,
    /// Share of the concatenated embeddings that a training step drops.
    pub embedding_dropout: f32,
    /// Step size of Adam for dense layers.
    pub learning_rate: f64,
    /// What moves rows of embeddings.
    pub embedding_optimizer: RowRule,
    /// Its step size. Under Adam a row moves only when a batch touches it, where a dense Adam goes on for 1/(1 − β₁) = 10 steps: at ten
    /// times the step size of dense layers (0.01) a rare id moves as far as there.
    pub embedding_learning_rate: f64,
    /// Decoupled weight decay of dense layers.
    pub weight_decay: f64,
    /// Decoupled weight decay of embeddings.
    pub embedding_weight_decay: f64,
    /// Rows per step.
    pub batch_size: usize,
    /// Passes over the training rows, at most.
    pub max_epochs: usize,
    /// Epochs without a better validation AUC before training stops.
    pub patience: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            dropout: 0.2,
            embedding_dropout: 0.0,
            learning_rate: 1e-3,
            embedding_optimizer: RowRule::Adagrad,
            embedding_learning_rate: 5e-2,
            weight_decay: 0.0,
            embedding_weight_decay: 0.0,
            batch_size: 2048,
            max_epochs: 6,
            patience: 1,
        }
    }
}

impl TrainSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::share_below_one("dropout", f64::from(self.dropout))?;
        check::share_below_one("embedding_dropout", f64::from(self.embedding_dropout))?;
        check::positive("learning_rate", self.learning_rate)?;
        check::positive("embedding_learning_rate", self.embedding_learning_rate)?;
        check::not_negative("weight_decay", self.weight_decay)?;
        check::not_negative("embedding_weight_decay", self.embedding_weight_decay)?;
        check::at_least("batch_size", self.batch_size, 1)?;
        check::at_least("max_epochs", self.max_epochs, 1)?;
        check::at_least("patience", self.patience, 1)
    }
}

/// The teacher (ranking network): shared MLP, one MLP per partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeacherSettings {
    /// Widths of the layers that all partitions share.
    pub shared: Vec<usize>,
    /// Widths of the layers that each partition has for itself, before its output node.
    pub partition: Vec<usize>,
    /// Share of whole features that each row of a training step misses. A teacher that never misses one spreads what
    /// twins say over both, so that its frozen layers cannot do without either.
    pub feature_dropout: f32,
    /// Teachers with different seeds whose mean score is r(x).
    pub ensemble: usize,
    /// Whether the trees of `[gbdt]` are one more of those whose mean score is r(x). Not asked, as the ensemble, where r(x) is given.
    pub trees: bool,
    /// A ranking model that was made elsewhere, as ONNX: its scores are r(x). So are those of the schema's `teacher_score`
    /// column.
    pub onnx: Option<PathBuf>,
    /// Which columns of the data feed its inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputColumns>,
    /// Its output; it may be left out where there is one.
    pub output: Option<String>,
    /// What that output is.
    pub score: ScoreForm,
    /// λ1 of (7) for the ranking network of this program where r(x) is given: the network of Loss1 learns from it beside the
    /// labels, so that the masks are judged by one that ranks as the given teacher does.
    pub distillation: f64,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for TeacherSettings {
    fn default() -> Self {
        Self {
            shared: vec![256, 128],
            partition: vec![64],
            feature_dropout: 0.0,
            ensemble: 1,
            trees: false,
            onnx: None,
            inputs: Vec::new(),
            output: None,
            score: ScoreForm::Probability,
            distillation: 0.5,
            train: TrainSettings::default(),
        }
    }
}

/// The columns of the data that make up an input of a model: `[rows]` of one, `[rows, columns]` of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputColumns {
    /// Name of the input in the graph.
    pub name: String,
    /// Columns as they are called in the data, which need not be features of the schema.
    pub columns: Vec<String>,
}

/// What a ranking model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreForm {
    /// The probability of a click.
    Probability,
    /// The number whose sigmoid that is.
    Logit,
}

impl TeacherSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("shared", &self.shared)?;
        check::widths("partition", &self.partition)?;
        check::share_below_one("feature_dropout", f64::from(self.feature_dropout))?;
        check::at_least("ensemble", self.ensemble, 1)?;
        check::share("distillation", self.distillation)?;
        let fed = self.onnx.is_some() || (self.inputs.is_empty() && self.output.is_none());
        let problem = "inputs and output are named without a model";
        check::ensure(fed, "inputs", problem, "name the model as `onnx`, or remove them")?;
        self.train.check()
    }
}

/// What the distillation term of (7) compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistillationLoss {
    /// Scores, row by row: mean (r − p)², as in the paper.
    #[default]
    Pointwise,
    /// The order of every two rows of a list that the teacher tells apart.
    Pairwise,
    /// How the scores of a list share their sum.
    Listwise,
}

impl DistillationLoss {
    /// Rows of a list at most, where nothing else is said.
    pub const LONGEST_LIST: usize = 128;

    /// What is compared within lists, if anything.
    pub fn of_lists(self) -> Option<ListLoss> {
        match self {
            Self::Pointwise => None,
            Self::Pairwise => Some(ListLoss::Pairwise),
            Self::Listwise => Some(ListLoss::Listwise),
        }
    }
}

/// Training the network that was found from scratch, with the teacher's scores as soft targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetrainSettings {
    /// λ1 of (7): weight of the distillation term, the ranking term has 1 − λ1.
    pub distillation: f64,
    /// What that term compares: scores row by row, or their order within the lists of requests, or of groups where the schema names no
    /// request.
    pub distillation_loss: DistillationLoss,
    /// Rows of a list at most, where it compares within lists; longer ones are cut.
    pub longest_list: usize,
    /// Candidates beside those of every list that were not shown to it: items of other lists, which the teacher alone scores. They
    /// count in the distillation term and not in the ranking term.
    pub unseen: usize,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for RetrainSettings {
    fn default() -> Self {
        Self {
            distillation: 0.3,
            distillation_loss: DistillationLoss::Pointwise,
            longest_list: DistillationLoss::LONGEST_LIST,
            unseen: 0,
            train: TrainSettings::default(),
        }
    }
}

impl RetrainSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::share("distillation", self.distillation)?;
        check::at_least("longest_list", self.longest_list, 2)?;
        let taught = self.distillation > 0.0 || self.unseen == 0;
        let problem = "candidates without a label teach nothing without distillation";
        check::ensure(taught, "unseen", problem, "give `distillation` above 0, or 0 here")?;
        self.train.check()
    }
}

/// A two-tower network: [`TwoTower`](crate::learn::network::TwoTower) over all features, a tower per side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TwoTowerSettings {
    /// Widths of the hidden layers over the features of user and context.
    pub user: Vec<usize>,
    /// Widths of the hidden layers over the features of item and pair.
    pub item: Vec<usize>,
    /// Width of the vectors whose product is the score: 32 to 128 in most systems.
    pub vector: usize,
    /// λ1 of (7) where it learns from the teacher beside the labels; 0 for labels alone.
    pub distillation: f64,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for TwoTowerSettings {
    fn default() -> Self {
        Self {
            user: vec![256, 128],
            item: vec![256, 128],
            vector: 64,
            distillation: 0.0,
            train: TrainSettings::default(),
        }
    }
}

impl TwoTowerSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("user", &self.user)?;
        check::widths("item", &self.item)?;
        check::width("vector", self.vector)?;
        check::share("distillation", self.distillation)?;
        self.train.check()
    }
}

/// The plain DNN on all features that the winner is set beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BaselineSettings {
    /// Widths of its hidden layers.
    pub widths: Vec<usize>,
    /// How it is fitted.
    #[serde(flatten)]
    pub train: TrainSettings,
}

impl Default for BaselineSettings {
    fn default() -> Self {
        Self { widths: vec![1024, 512, 256], train: TrainSettings::default() }
    }
}

impl BaselineSettings {
    /// The first setting outside its range.
    pub fn check(&self) -> Checked {
        check::widths("widths", &self.widths)?;
        self.train.check()
    }
}
