//! Single steps without data: matrix products, a supernet, a plain network, an embedding table.

use super::{protocol::Workload, timed};
use autofas_bench::{
    base::rng,
    data::{
        dataset::{Batch, Slot},
        schema::{Schema, Side},
        synth::{self, SynthSettings},
    },
    learn::{
        embedding::{EmbeddingBank, InputFeature},
        losses::cross_entropy,
        mlp::{Hidden, Mode},
        ops::dense::Follow,
        optimizer::{AdamW, ParamGroup, Scaling},
        params::{DenseParams, Next, Params},
        row_optimizer::RowOptimizer,
        settings::{RateSchedule, RowRule},
        supernet::Supernet,
    },
    space::{Operator, SearchSpace},
};
use candle_core::{Device, Tensor};
use gemm::Parallelism;
use serde_json::{Value, json};
use std::time::Instant;

fn normals(rows: usize, columns: usize, deviation: f32) -> Tensor {
    let values = rng::normals(rows * columns, deviation, &mut rng::generator(1, "training peer"));
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
}

/// Labels 0 and 1 by turns, and weights of 1.
fn labels(rows: usize) -> (Tensor, Tensor) {
    let labels: Vec<f32> = (0..rows).map(|row| (row % 2) as f32).collect();
    let labels = Tensor::new(labels, &Device::Cpu).expect("labels");
    let weights = labels.ones_like().expect("weights");
    (labels, weights)
}

fn adamw(params: &Params) -> AdamW {
    let mut optimizer = AdamW::default();
    for (_, var) in params.iter() {
        let group = ParamGroup {
            learning_rate: 1e-3,
            weight_decay: 0.0,
            scaling: Scaling::Each,
            schedule: RateSchedule::CONSTANT,
        };
        optimizer.add(var, group).expect("moments");
    }
    optimizer
}

/// Large square single-precision products, to know what the machine gives.
pub struct Gemm {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Gemm {
    const SIZE: usize = 3072;

    pub fn new() -> Self {
        let matrix = || rng::normals(Self::SIZE * Self::SIZE, 1.0, &mut rng::generator(1, "gemm"));
        Self { a: matrix(), b: matrix(), c: matrix() }
    }

    fn product(&mut self) {
        let (n, row) = (Self::SIZE, Self::SIZE as isize);
        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr());
        let all_threads = Parallelism::Rayon(0);
        // SAFETY: three matrices of n × n, row after row, that do not overlap.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c,
                1,
                row,
                false,
                a,
                1,
                row,
                b,
                1,
                row,
                0f32,
                1f32,
                false,
                false,
                false,
                all_threads,
            );
        }
    }
}

impl Workload for Gemm {
    fn name(&self) -> &'static str {
        "gemm"
    }

    fn run(&mut self, count: usize) -> Value {
        let rate = |_| {
            let begin = Instant::now();
            self.product();
            2.0 * (Self::SIZE as f64).powi(3) / begin.elapsed().as_secs_f64() / 1e9
        };
        json!({ "gflops": (0..count).map(rate).collect::<Vec<_>>() })
    }
}

/// 3 Mixops × widths 512, 256, 128, 64 without zero operator, input 320, 2,048 rows.
pub struct SupernetStep {
    supernet: Supernet,
    optimizer: AdamW,
    input: Tensor,
    labels: Tensor,
    weights: Tensor,
}

impl SupernetStep {
    const ROWS: usize = 2048;
    const INPUT: usize = 320;

    pub fn new() -> Self {
        let operators: Vec<_> = [512, 256, 128, 64].map(Operator::Mlp).into();
        let space = SearchSpace::new(any_schema().features, vec![operators; 3]).expect("a sound space");
        let mut params = Params::new(1);
        let supernet = Supernet::new(&space, Self::INPUT, &mut params).expect("a supernet");
        let (labels, weights) = labels(Self::ROWS);
        let input = normals(Self::ROWS, Self::INPUT, 1.0);
        Self { supernet, optimizer: adamw(&params), input, labels, weights }
    }

    fn step(&mut self) {
        let p = self.supernet.probabilities().expect("probabilities");
        let logits = self.supernet.forward(&self.input, &p).expect("a forward pass");
        let loss = cross_entropy(&logits, &self.labels, &self.weights).expect("a loss");
        self.optimizer.step(&loss.backward().expect("gradients"), 1.0).expect("a step");
        loss.to_scalar::<f32>().expect("a number");
    }
}

/// The features do not matter to a supernet without embeddings.
fn any_schema() -> Schema {
    let settings = SynthSettings { requests: 10, users: 8, items: 40, ..SynthSettings::default() };
    synth::generate(&settings).expect("a small log").schema
}

impl Workload for SupernetStep {
    fn name(&self) -> &'static str {
        "supernet"
    }

    fn run(&mut self, count: usize) -> Value {
        timed(count, || self.step())
    }
}

/// 320-512-256-128-1 on 4,096 rows.
pub struct MlpStep {
    hidden: Hidden,
    output: DenseParams,
    optimizer: AdamW,
    input: Tensor,
    labels: Tensor,
    weights: Tensor,
}

impl MlpStep {
    const ROWS: usize = 4096;
    const INPUT: usize = 320;

    pub fn new() -> Self {
        let mut params = Params::new(1);
        let hidden = Hidden::new(&mut params, "hidden", Self::INPUT, &[512, 256, 128]).expect("layers");
        let output =
            DenseParams::new(&mut params, "output", hidden.width(), 1, Next::Output).expect("an output node");
        let (labels, weights) = labels(Self::ROWS);
        let input = normals(Self::ROWS, Self::INPUT, 1.0);
        Self { hidden, output, optimizer: adamw(&params), input, labels, weights }
    }

    fn step(&mut self) {
        let x = self.hidden.forward(&self.input, &mut Mode::Evaluate).expect("a forward pass");
        let logits = self.output.forward(&x, Follow::Nothing).and_then(|y| y.squeeze(1)).expect("an output");
        let loss = cross_entropy(&logits, &self.labels, &self.weights).expect("a loss");
        self.optimizer.step(&loss.backward().expect("gradients"), 1.0).expect("a step");
        loss.to_scalar::<f32>().expect("a number");
    }
}

impl Workload for MlpStep {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn run(&mut self, count: usize) -> Value {
        timed(count, || self.step())
    }
}

/// 20 fields of 4,096 rows in one table of width 16, the gradient of the result given.
pub struct EmbeddingStep {
    bank: EmbeddingBank,
    tables: Vec<RowOptimizer>,
    batches: Vec<Batch>,
    upstream: Tensor,
    turn: usize,
}

impl EmbeddingStep {
    const ROWS: usize = 4096;
    const FIELDS: usize = 20;
    const WIDTH: usize = 16;

    pub fn new(rows_of_table: usize, ids: &str) -> Self {
        let feature = |start| InputFeature {
            name: format!("field{start}"),
            side: Side::Item,
            width: Self::WIDTH,
            slot: Slot::Ids { start, length: 1 },
            cardinality: (rows_of_table / Self::FIELDS) as u32,
        };
        let mut params = Params::new(1);
        let bank =
            EmbeddingBank::new((0..Self::FIELDS).map(feature).collect(), &mut params).expect("a table");
        let bytes = std::fs::read(ids).expect("ids that the driver drew");
        let ids: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let batch = |ids: &[u32]| Batch {
            index: (0..Self::ROWS as u32).collect(),
            ids: ids.to_vec(),
            labels: vec![0.0; Self::ROWS],
            weights: vec![1.0; Self::ROWS],
            partitions: vec![0; Self::ROWS],
            ..Batch::default()
        };
        let batches = ids.chunks_exact(Self::ROWS * Self::FIELDS).map(batch).collect();
        let upstream = normals(Self::ROWS, Self::FIELDS * Self::WIDTH, 1e-3);
        let tables = bank
            .tables()
            .into_iter()
            .map(|table| RowOptimizer::new(table, RowRule::Adam, 1e-3, 0.0).expect("moments"));
        let tables = tables.collect();
        let mut step = Self { bank, tables, batches, upstream, turn: 0 };
        // Twice through all batches, as the other side does.
        for _ in 0..2 * step.batches.len() {
            step.step();
        }
        step
    }

    fn step(&mut self) {
        let batch = &self.batches[self.turn % self.batches.len()];
        self.turn += 1;
        self.bank.lookup(batch).expect("embedded rows");
        let by_tables = self.bank.gradients(batch, &self.upstream).expect("gradients");
        for (table, gradient) in self.tables.iter_mut().zip(&by_tables) {
            table.step(gradient).expect("a step");
        }
    }
}

impl Workload for EmbeddingStep {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn run(&mut self, count: usize) -> Value {
        timed(count, || self.step())
    }
}
