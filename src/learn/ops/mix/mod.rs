//! A Mixop as one operation.
//!
//! Entries X_j of masses π_j come in; for every MLP operator k that is alive
//!
//! ```text
//! O_k = a_k · Σ_j π_j · relu(X_j·W_jk + b_jk)  +  c_k · X_{j(k)}
//! ```
//!
//! where the last term is there only when the zero operator passes on an entry j(k) of the same key: a and c are then the
//! shares of the two in their joint mass, else a = 1.
//!
//! Going back, only one bit per unit is needed of the forward pass: whether the ReLU was open. With
//! D_jk = a_k·∂L/∂O_k where it was, else 0, and G_j = X_jᵀ·D_j,
//!
//! ```text
//! ∂L/∂W_jk = π_j·G_jk      ∂L/∂X_j = Σ_k π_j·D_jk·W_jkᵀ + c_k·∂L/∂O_k  (the latter where j = j(k))
//! ∂L/∂π_j  = Σ_k s_jk      ∂L/∂a_k = Σ_j π_j·s_jk / a_k                ∂L/∂c_k = ⟨∂L/∂O_k, X_{j(k)}⟩
//! ```
//!
//! where s_jk = ⟨G_jk, W_jk⟩ + ⟨Σ_rows D_jk, b_jk⟩: a ReLU is linear where it is open, so the inner product of its output
//! with a gradient is that of the weights with theirs, and no activation has to be kept or computed again.

mod backward;
mod forward;
mod open;
mod plain;

use super::{matrix, matrix::*, vector, with_contiguous_rows, with_storage};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use plain::plain;
use std::sync::OnceLock;

/// The entries and operators that take part, and where their numbers stand.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What comes in.
    pub incoming: Vec<Incoming>,
    /// What goes out, one after the other.
    pub outgoing: Vec<Outgoing>,
}

/// An entry that comes in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    /// Which tensor it is part of.
    pub source: Source,
    /// Its first column there.
    pub column: usize,
    /// Its width.
    pub width: usize,
    /// Its first row in the weights; its biases stand in the row after its last.
    pub weight_row: usize,
}

/// The tensor that holds an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The one that gradients flow into.
    Moving,
    /// The one that stays as it is: the network's input behind the gradient block.
    Fixed,
}

/// An operator's output.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    /// Its first column in the weights.
    pub weight_column: usize,
    /// Its width.
    pub width: usize,
    /// The incoming entry that is passed on under the same key.
    pub passed: Option<usize>,
}

/// O `[rows, Σ outgoing widths]`.
///
/// `moving` and `fixed` `[rows, ·]` hold the entries, `weights` `[Σ (incoming width + 1), ·]` all W_jk with their biases, and
/// `coefficients` the π of every incoming entry, then the a and then the c of every outgoing one.
pub fn mix(
    plan: Plan,
    moving: &Tensor,
    fixed: Option<&Tensor>,
    weights: &Tensor,
    coefficients: &Tensor,
) -> Result<Tensor> {
    if !moving.device().is_cpu() {
        return plain(&plan, moving, fixed, weights, coefficients);
    }
    let fixed = fixed.map(with_contiguous_rows).transpose()?;
    let mix = Mix { plan, fixed, open: OnceLock::new() };
    with_contiguous_rows(moving)?.apply_op3(weights, coefficients, mix)
}

struct Mix {
    plan: Plan,
    fixed: Option<Tensor>,
    /// Whether each ReLU was open: of the ⌈entries / 8⌉ bytes of a row and column, bit j % 8 of byte j / 8 is entry j's.
    open: OnceLock<Vec<u8>>,
}

/// Columns of the weights that are neighbours of each other in the output as well: one product serves them all.
#[derive(Debug, Clone, Copy)]
struct Run {
    weight_column: usize,
    column: usize,
    width: usize,
}

/// The coefficients by their names in the module's formulas.
struct Coefficients<'a> {
    mass: &'a [f32],
    mixed: &'a [f32],
    passed: &'a [f32],
}

/// Everything that both passes read.
struct Scene<'a> {
    plan: &'a Plan,
    moving: Matrix<'a>,
    fixed: Option<Matrix<'a>>,
    weights: Matrix<'a>,
    coefficients: Coefficients<'a>,
    runs: Vec<Run>,
    /// Of the output.
    width: usize,
}

impl<'a> Scene<'a> {
    fn new(
        plan: &'a Plan,
        moving: Matrix<'a>,
        fixed: Option<Matrix<'a>>,
        weights: Matrix<'a>,
        coefficients: &'a [f32],
    ) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut column = 0;
        for out in &plan.outgoing {
            match runs.last_mut() {
                Some(run) if run.weight_column + run.width == out.weight_column => run.width += out.width,
                _ => runs.push(Run { weight_column: out.weight_column, column, width: out.width }),
            }
            column += out.width;
        }
        let (mass, shares) = coefficients.split_at(plan.incoming.len());
        let (mixed, passed) = shares.split_at(plan.outgoing.len());
        let coefficients = Coefficients { mass, mixed, passed };
        Self { plan, moving, fixed, weights, coefficients, runs, width: column }
    }

    fn rows(&self) -> usize {
        self.moving.rows()
    }

    fn bytes(&self) -> usize {
        self.plan.incoming.len().div_ceil(8)
    }

    /// X_j.
    fn entry(&self, j: usize) -> Matrix<'a> {
        let Incoming { source, column, width, .. } = self.plan.incoming[j];
        let tensor = match source {
            Source::Moving => self.moving,
            Source::Fixed => self.fixed.expect("a plan with a fixed entry"),
        };
        tensor.columns_from(column, width)
    }

    /// W_j of a run's columns.
    fn weight(&self, j: usize, run: Run) -> Matrix<'a> {
        let Incoming { weight_row, width, .. } = self.plan.incoming[j];
        self.weights.rows_from(weight_row, width).columns_from(run.weight_column, run.width)
    }

    /// b_j of all outgoing columns.
    fn bias(&self, j: usize) -> Vec<f32> {
        let Incoming { weight_row, width, .. } = self.plan.incoming[j];
        let row = self.weights.row(weight_row + width);
        self.runs.iter().flat_map(|run| &row[run.weight_column..][..run.width]).copied().collect()
    }

    /// Every outgoing entry with its place and its columns in the output.
    fn outgoing(&self) -> impl Iterator<Item = (usize, &Outgoing, std::ops::Range<usize>)> {
        let mut end = 0;
        self.plan.outgoing.iter().enumerate().map(move |(k, out)| {
            end += out.width;
            (k, out, end - out.width..end)
        })
    }

    /// The columns of the output that entry j is passed on into.
    fn passes(&self, j: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        self.outgoing().filter(move |(_, out, _)| out.passed == Some(j)).map(|(k, _, columns)| (k, columns))
    }
}

impl CustomOp3 for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn cpu_fwd(
        &self,
        moving: &CpuStorage,
        moving_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        coefficients: &CpuStorage,
        coefficients_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let moving = matrix(moving, moving_layout)?;
        let weights = matrix(weights, weights_layout)?;
        let coefficients = vector(coefficients, coefficients_layout)?;
        let (output, open, width) = self.with_fixed(|fixed| {
            let scene = Scene::new(&self.plan, moving, fixed, weights, coefficients);
            let (output, open) = scene.forward();
            Ok((output, open, scene.width))
        })?;
        // An operation runs forward once.
        let _ = self.open.set(open);
        Ok((CpuStorage::F32(output), (moving.rows(), width).into()))
    }

    fn bwd(
        &self,
        moving: &Tensor,
        weights: &Tensor,
        coefficients: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let open = self.open.get().expect("the forward pass has run");
        let found = with_storage(moving, |x, x_layout| {
            with_storage(weights, |w, w_layout| {
                with_storage(coefficients, |c, c_layout| {
                    with_storage(&gradient, |g, g_layout| {
                        let (x, w, g) = (matrix(x, x_layout)?, matrix(w, w_layout)?, vector(g, g_layout)?);
                        let c = vector(c, c_layout)?;
                        self.with_fixed(|fixed| {
                            Ok(Scene::new(&self.plan, x, fixed, w, c).backward(g, open, moving.track_op()))
                        })
                    })
                })
            })
        })?;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            found.moving.map(|values| tensor(values, moving)).transpose()?,
            Some(tensor(found.weights, weights)?),
            Some(tensor(found.coefficients, coefficients)?),
        ))
    }
}

impl Mix {
    fn with_fixed<T>(&self, compute: impl FnOnce(Option<Matrix>) -> Result<T>) -> Result<T> {
        match &self.fixed {
            None => compute(None),
            Some(fixed) => with_storage(fixed, |storage, layout| compute(Some(matrix(storage, layout)?))),
        }
    }
}

#[cfg(test)]
mod tests;
