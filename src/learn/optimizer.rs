//! AdamW (Loshchilov and Hutter, 2019) in one pass over each parameter.
//!
//! candle-nn's version makes about ten temporary tensors per parameter and step; on a supernet of 13 million weights
//! that costs more than some of the matrix products. This one updates weight and both moments in place.

use super::{
    Learn,
    checkpoint::{Part, State, Values},
    settings::RateSchedule,
};
use crate::base::Result;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var, backprop::GradStore};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

/// First and second moment decay, and the term that keeps the quotient finite: the values of the Adam paper.
pub(super) const BETA1: f32 = 0.9;
pub(super) const BETA2: f32 = 0.999;
pub(super) const EPSILON: f32 = 1e-8;

/// How the parameters of one group are moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParamGroup {
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled weight decay, as a share of the step size.
    pub weight_decay: f64,
    /// What a gradient is measured by.
    pub scaling: Scaling,
    /// How the step size goes over the training.
    pub schedule: RateSchedule,
}

/// What the second moment is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// Every number by its own history, as in Adam: all move at one speed, whether their gradients are large or small.
    Each,
    /// All numbers of the tensor by their mean square: a gradient twice as large moves twice as far, so that the
    /// distance moved ranks them.
    Joint,
}

struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Both moments, where their parameter lives.
enum Kept {
    InMemory(Mutex<Moments>),
    OnDevice { first: Tensor, second: Tensor },
}

impl Kept {
    /// Moments of a parameter from their numbers.
    fn beside(var: &Var, first: Vec<f32>, second: Vec<f32>) -> Result<Self> {
        if var.device().is_cpu() {
            return Ok(Self::InMemory(Mutex::new(Moments { first, second })));
        }
        Self::on_device(var, first, second)
    }

    fn on_device(var: &Var, first: Vec<f32>, second: Vec<f32>) -> Result<Self> {
        let tensor = |values| Tensor::from_vec(values, var.shape(), var.device()).learn("create moments");
        Ok(Self::OnDevice { first: tensor(first)?, second: tensor(second)? })
    }
}

struct Entry {
    var: Var,
    group: ParamGroup,
    kept: Kept,
    steps: i32,
}

/// AdamW over groups of parameters, each moved in its own way.
#[derive(Default)]
pub struct AdamW {
    entries: Vec<Entry>,
}

impl AdamW {
    /// Adds a parameter.
    pub fn add(&mut self, var: &Var, group: ParamGroup) -> Result<()> {
        let zeros = vec![0.0; var.elem_count()];
        let kept = Kept::beside(var, zeros.clone(), zeros)?;
        self.entries.push(Entry { var: var.clone(), group, kept, steps: 0 });
        Ok(())
    }

    /// The parameters, in the order in which they were added.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.entries.iter().map(|entry| &entry.var)
    }

    /// One step for every parameter that has a gradient and does not rest, with the step sizes that the schedules give once the
    /// share `progress` of the training has passed.
    pub fn step(&mut self, gradients: &GradStore, progress: f64) -> Result<()> {
        for entry in &mut self.entries {
            let Some(gradient) = gradients.get(&entry.var) else { continue };
            if progress < entry.group.schedule.begin {
                continue;
            }
            entry.steps += 1;
            let rate = entry.group.learning_rate * entry.group.schedule.factor(progress);
            let update = Update {
                scaling: entry.group.scaling,
                step_size: (rate / (1.0 - f64::from(BETA1).powi(entry.steps))) as f32,
                correction: (1.0 / (1.0 - f64::from(BETA2).powi(entry.steps))).sqrt() as f32,
                decay: (1.0 - rate * entry.group.weight_decay) as f32,
            };
            match &mut entry.kept {
                Kept::InMemory(moments) => {
                    let gradient = gradient.contiguous().learn("read a gradient")?;
                    entry.var.inplace_op2(&gradient, &InPlace { update, moments })
                }
                Kept::OnDevice { first, second } => update.plain(&entry.var, gradient, first, second),
            }
            .learn("update parameters")?;
        }
        Ok(())
    }

    /// Moments and step counts, for a checkpoint. A parameter's name there is its place in the order of adding.
    pub fn state(&mut self) -> State<'_> {
        let steps = self.entries.iter().map(|entry| entry.steps as u32).collect();
        let mut state = vec![(STEPS.to_owned(), Values::Counts(Cow::Owned(steps)))];
        for (i, entry) in self.entries.iter_mut().enumerate() {
            let [first, second] = match &mut entry.kept {
                Kept::InMemory(moments) => {
                    let Moments { first, second } = moments.get_mut().unwrap_or_else(PoisonError::into_inner);
                    [Values::Numbers(first), Values::Numbers(second)]
                }
                Kept::OnDevice { first, second } => {
                    [first, second].map(|moment| Values::Tensor(moment.clone()))
                }
            };
            state.push((format!("{i}.first"), first));
            state.push((format!("{i}.second"), second));
        }
        state
    }

    /// Goes back to the moments and step counts of a checkpoint; the same parameters have been added.
    pub fn resume(&mut self, from: &Part) -> Result<()> {
        let steps = from.counts(STEPS, self.entries.len())?;
        for (i, (entry, steps)) in self.entries.iter_mut().zip(steps).enumerate() {
            let count = entry.var.elem_count();
            let first = from.numbers(&format!("{i}.first"), count)?;
            let second = from.numbers(&format!("{i}.second"), count)?;
            entry.kept = Kept::beside(&entry.var, first, second)?;
            entry.steps = steps as i32;
        }
        Ok(())
    }
}

/// Name of the step counts in a checkpoint.
const STEPS: &str = "steps";

struct Update {
    scaling: Scaling,
    /// η / (1 − β₁ᵗ).
    step_size: f32,
    /// 1 / √(1 − β₂ᵗ).
    correction: f32,
    /// 1 − η·decay.
    decay: f32,
}

/// The step in one pass over main memory.
struct InPlace<'a> {
    update: Update,
    moments: &'a Mutex<Moments>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (weights, gradient) else {
            candle_core::bail!("parameters are 32-bit floats")
        };
        let start = layout.start_offset();
        let gradient = &gradient[start..start + weights.len()];
        let mut moments = self.moments.lock().expect("no other step is running");
        let Moments { first, second } = &mut *moments;
        let joint = match self.update.scaling {
            Scaling::Each => None,
            Scaling::Joint => Some(gradient.iter().map(|g| g * g).sum::<f32>() / gradient.len() as f32),
        };
        // Large enough that a chunk outweighs the cost of handing it to a thread.
        const CHUNK: usize = 1 << 15;
        weights
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
            .for_each(|((w, g), (m, v))| self.update.apply(w, g, m, v, joint));
        Ok(())
    }
}

impl Update {
    /// The step in candle's own operations.
    fn plain(
        &self,
        var: &Var,
        gradient: &Tensor,
        first: &mut Tensor,
        second: &mut Tensor,
    ) -> candle_core::Result<()> {
        let [beta1, beta2] = [BETA1, BETA2].map(f64::from);
        let squared = match self.scaling {
            Scaling::Each => gradient.sqr()?,
            Scaling::Joint => gradient.sqr()?.mean_all()?.broadcast_as(gradient.shape())?,
        };
        *first = ((&*first * beta1)? + (gradient * (1.0 - beta1))?)?;
        *second = ((&*second * beta2)? + (squared * (1.0 - beta2))?)?;
        let size = ((second.sqrt()? * f64::from(self.correction))? + f64::from(EPSILON))?;
        let step = ((&*first * f64::from(self.step_size))? / size)?;
        var.set(&((var.as_tensor() * f64::from(self.decay))? - step)?)
    }

    /// `joint` is the mean square of the whole gradient, when all numbers are measured by it.
    fn apply(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        joint: Option<f32>,
    ) {
        for (((w, &g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *v = BETA2 * *v + (1.0 - BETA2) * joint.unwrap_or(g * g);
            *w = *w * self.decay - self.step_size * *m / (v.sqrt() * self.correction + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::rng, learn::values};
    use candle_core::Device;
    use candle_nn::Optimizer;

    #[test]
    fn agrees_with_candles_adamw_over_fifty_steps() {
        let start = Tensor::new(&[0.5f32, -1.0, 2.0], &Device::Cpu).unwrap();
        let (ours, theirs) =
            (Var::from_tensor(&start).unwrap(), Var::from_tensor(&start.copy().unwrap()).unwrap());
        let group = ParamGroup {
            learning_rate: 0.03,
            weight_decay: 0.1,
            scaling: Scaling::Each,
            schedule: RateSchedule::CONSTANT,
        };
        let mut optimizer = AdamW::default();
        optimizer.add(&ours, group).unwrap();
        let params = candle_nn::ParamsAdamW { lr: 0.03, weight_decay: 0.1, ..Default::default() };
        let mut reference = candle_nn::AdamW::new(vec![theirs.clone()], params).unwrap();
        let loss = |w: &Var| w.sqr().unwrap().mul(&Tensor::new(&[1f32, 30.0, 0.1], &Device::Cpu).unwrap());
        for _ in 0..50 {
            optimizer.step(&loss(&ours).unwrap().sum_all().unwrap().backward().unwrap(), 1.0).unwrap();
            reference.backward_step(&loss(&theirs).unwrap().sum_all().unwrap()).unwrap();
        }
        let (a, b) = (ours.to_vec1::<f32>().unwrap(), theirs.to_vec1::<f32>().unwrap());
        assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-5), "{a:?} {b:?}");
        assert!(a[0] < 0.4);
    }

    #[test]
    fn joint_scaling_moves_in_proportion_to_the_gradient() {
        let var =
            Var::from_tensor(&Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let mut optimizer = AdamW::default();
        optimizer
            .add(
                &var,
                ParamGroup {
                    learning_rate: 0.1,
                    weight_decay: 0.0,
                    scaling: Scaling::Joint,
                    schedule: RateSchedule::CONSTANT,
                },
            )
            .unwrap();
        let slopes = Tensor::new(&[1f32, -2.0, 4.0], &Device::Cpu).unwrap();
        for _ in 0..5 {
            let loss = var.mul(&slopes).unwrap().sum_all().unwrap();
            optimizer.step(&loss.backward().unwrap(), 1.0).unwrap();
        }
        // Root mean square of the gradient: √7.
        let want = [1f32, -2.0, 4.0].map(|g| -0.5 * g / 7f32.sqrt());
        let got = var.to_vec1::<f32>().unwrap();
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} {want:?}");
    }

    #[test]
    fn a_parameter_rests_until_its_schedule_begins_and_then_starts_afresh() {
        let group = |begin| {
            let schedule = RateSchedule { begin, ..RateSchedule::CONSTANT };
            ParamGroup { learning_rate: 0.1, weight_decay: 0.5, scaling: Scaling::Each, schedule }
        };
        let run = |begin: f64, steps: usize| {
            let var = Var::from_tensor(&Tensor::new(&[1f32, -2.0], &Device::Cpu).unwrap()).unwrap();
            let mut optimizer = AdamW::default();
            optimizer.add(&var, group(begin)).unwrap();
            for step in 0..steps {
                let loss = var.sqr().unwrap().sum_all().unwrap();
                optimizer.step(&loss.backward().unwrap(), step as f64 / 10.0).unwrap();
            }
            values(&var).unwrap()
        };
        assert_eq!(run(0.5, 5), [1.0, -2.0], "not even a decay");
        assert_eq!(run(0.5, 8), run(0.0, 3));
    }

    #[test]
    fn what_other_devices_do_in_candles_operations_is_the_same_step() {
        let draw = |name: &str| {
            let draws = rng::normals(6, 1.0, &mut rng::generator(1, name));
            Tensor::from_vec(draws, (2, 3), &Device::Cpu).unwrap()
        };
        for scaling in [Scaling::Each, Scaling::Joint] {
            let group = ParamGroup {
                learning_rate: 0.03,
                weight_decay: 0.1,
                scaling,
                schedule: RateSchedule::CONSTANT,
            };
            let run = |plain: bool| {
                let var = Var::from_tensor(&draw("start")).unwrap();
                let mut optimizer = AdamW::default();
                optimizer.add(&var, group).unwrap();
                if plain {
                    optimizer.entries[0].kept = Kept::on_device(&var, vec![0.0; 6], vec![0.0; 6]).unwrap();
                }
                for step in 0..20 {
                    let loss = var.mul(&draw(&format!("gradient {step}"))).unwrap().sum_all().unwrap();
                    optimizer.step(&loss.backward().unwrap(), 1.0).unwrap();
                }
                let [.., (_, first), (_, second)] = &optimizer.state()[..] else { panic!("two moments") };
                assert_eq!(matches!((first, second), (Values::Tensor(_), Values::Tensor(_))), plain);
                values(&var).unwrap()
            };
            for (plain, ours) in run(true).into_iter().zip(run(false)) {
                assert!((plain - ours).abs() < 1e-6, "{scaling:?}: {plain} {ours}");
            }
        }
    }
}
