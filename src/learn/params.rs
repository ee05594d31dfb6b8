//! Named trainable tensors with seeded initial values.
//!
//! candle's CPU generator cannot be seeded, so each tensor draws from this crate's own generator under its name: the
//! same seed and name give the same values, whatever else the model holds.

use super::{
    Learn,
    checkpoint::{Part, State, Values},
    device::device,
    dimensions,
    embedding::EMBEDDING,
    ops::dense::{Follow, dense},
};
use crate::base::{Error, Result, rng};
use candle_core::{Device, Shape, Tensor, Var};
use std::{collections::BTreeMap, path::Path};

/// The trainable tensors of one model, by name.
#[derive(Debug, Clone)]
pub struct Params {
    seed: u64,
    tensors: BTreeMap<String, Var>,
}

/// A copy of all values, to go back to.
#[derive(Debug, Clone)]
pub struct Snapshot(BTreeMap<String, Tensor>);

impl Snapshot {
    /// All values, for a checkpoint.
    pub fn state(&self) -> State<'static> {
        self.0.iter().map(|(name, tensor)| (name.clone(), Values::Tensor(tensor.clone()))).collect()
    }
}

impl Params {
    /// No tensors yet; initial values will come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, tensors: BTreeMap::new() }
    }

    /// A tensor of normal draws with deviation `std`.
    pub fn normal(&mut self, name: &str, shape: impl Into<Shape>, std: f32) -> Result<Tensor> {
        let shape = shape.into();
        let values = rng::normals(shape.elem_count(), std, &mut rng::generator(self.seed, name));
        self.insert(name, values, shape)
    }

    /// A tensor of uniform draws from [-bound, bound).
    pub fn uniform(&mut self, name: &str, shape: impl Into<Shape>, bound: f32) -> Result<Tensor> {
        let shape = shape.into();
        let values = rng::uniforms(shape.elem_count(), bound, &mut rng::generator(self.seed, name));
        self.insert(name, values, shape)
    }

    /// A tensor with one value everywhere.
    pub fn constant(&mut self, name: &str, shape: impl Into<Shape>, value: f32) -> Result<Tensor> {
        let shape = shape.into();
        let values = vec![value; shape.elem_count()];
        self.insert(name, values, shape)
    }

    /// Dense layers of several inputs (name and width each) into the same outputs, one under the other, each followed by
    /// a row of biases: `[Σ (width + 1), outputs]`. First values are those of [`DenseParams::new`].
    pub fn stacked(
        &mut self,
        name: &str,
        inputs: &[(String, usize)],
        outputs: usize,
        next: Next,
    ) -> Result<Tensor> {
        let rows: usize = inputs.iter().map(|(_, width)| width + 1).sum();
        let mut values = Vec::with_capacity(rows * outputs);
        for (input, width) in inputs {
            let mut rng = rng::generator(self.seed, &format!("{name}.{input}.weight"));
            values.extend(rng::uniforms(width * outputs, next.bound(*width), &mut rng));
            values.resize(values.len() + outputs, 0.0);
        }
        self.insert(name, values, (rows, outputs).into())
    }

    fn insert(&mut self, name: &str, values: Vec<f32>, shape: Shape) -> Result<Tensor> {
        let place = if name.starts_with(EMBEDDING) { &Device::Cpu } else { device() };
        let tensor = Tensor::from_vec(values, shape, place).learn("create parameters")?;
        let var = Var::from_tensor(&tensor).learn("create parameters")?;
        let handle = var.as_tensor().clone();
        let former = self.tensors.insert(name.to_owned(), var);
        assert!(former.is_none(), "two parameters are called {name}");
        Ok(handle)
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.tensors.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Copies all values.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let copies = self.iter().map(|(name, var)| Ok((name.to_owned(), var.copy()?)));
        copies.collect::<candle_core::Result<_>>().map(Snapshot).learn("copy parameters")
    }

    /// Goes back to copied values.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        for (name, var) in self.iter() {
            var.set(&snapshot.0[name]).learn("restore parameters")?;
        }
        Ok(())
    }

    /// All values, for a checkpoint.
    pub fn state(&self) -> State<'static> {
        self.iter().map(|(name, var)| (name.to_owned(), Values::Tensor(var.as_tensor().clone()))).collect()
    }

    /// Goes back to the values of a checkpoint.
    pub fn resume(&self, from: &Part) -> Result<()> {
        self.restore(&self.snapshot_of(from)?)
    }

    /// The values of a checkpoint as a copy to go back to.
    pub fn snapshot_of(&self, from: &Part) -> Result<Snapshot> {
        let tensors = self.iter().map(|(name, var)| {
            let tensor = from.tensor(name, var.dims())?;
            Ok((name.to_owned(), tensor.to_device(var.device()).learn("read parameters")?))
        });
        tensors.collect::<Result<_>>().map(Snapshot)
    }

    /// Names and shapes: what tells one model from another.
    pub fn shapes(&self) -> Vec<(&str, &[usize])> {
        self.iter().map(|(name, var)| (name, var.dims())).collect()
    }

    /// Replaces one tensor's values: how fixtures and derived weights come in.
    pub fn set(&self, name: &str, values: Vec<f32>) -> Result<()> {
        let var = self.tensors.get(name).ok_or_else(|| {
            Error::usage(format!("no parameter is called `{name}`"), "give a name that the model has")
        })?;
        let tensor = Tensor::from_vec(values, var.shape(), var.device()).learn("set parameters")?;
        var.set(&tensor).learn("set parameters")
    }

    /// Writes all values as safetensors.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.iter().map(|(name, var)| (name, var.as_tensor()));
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|e| Error::learn(format!("serialise {}", path.display()), e))?;
        crate::base::fsio::write(path, &bytes)
    }

    /// Reads values that [`Params::save`] wrote; every tensor must be there with its shape.
    pub fn load(&self, path: &Path) -> Result<()> {
        let wrong = |problem: String| {
            Error::input(path, Default::default(), problem, "remove the file; it will be computed again")
        };
        let bytes = crate::base::fsio::read(path)?;
        let stored = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|e| wrong(format!("not readable as safetensors ({e})")))?;
        for (name, var) in self.iter() {
            let tensor = stored.get(name).ok_or_else(|| wrong(format!("tensor `{name}` is missing")))?;
            if tensor.shape() != var.shape() {
                return Err(wrong(format!(
                    "tensor `{name}` has shape {:?}, not {:?}",
                    tensor.shape(),
                    var.shape()
                )));
            }
            tensor.to_device(var.device()).and_then(|tensor| var.set(&tensor)).learn("load parameters")?;
        }
        Ok(())
    }
}

/// Weight and bias of one dense layer: y = x·W + b.
#[derive(Debug, Clone)]
pub struct DenseParams {
    /// `[inputs, outputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl DenseParams {
    /// Weights uniform in ±[`Next::bound`]; biases 0.
    pub fn new(params: &mut Params, name: &str, inputs: usize, outputs: usize, next: Next) -> Result<Self> {
        Ok(Self {
            weight: params.uniform(&format!("{name}.weight"), (inputs, outputs), next.bound(inputs))?,
            bias: params.constant(&format!("{name}.bias"), outputs, 0.0)?,
        })
    }

    /// f(x·W + b).
    pub fn forward(&self, x: &Tensor, follow: Follow) -> candle_core::Result<Tensor> {
        dense(x, &self.weight, &self.bias, follow)
    }

    /// The same values without gradient.
    pub fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.detach() }
    }

    /// The values as plain data.
    pub fn to_plain(&self) -> Result<super::network::Dense> {
        let (inputs, outputs) = dimensions(&self.weight)?;
        Ok(super::network::Dense {
            inputs,
            outputs,
            weight: super::values(&self.weight)?,
            bias: super::values(&self.bias)?,
        })
    }
}

/// What follows a dense layer, which decides the size of its first weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A ReLU.
    Relu,
    /// Nothing: the output node.
    Output,
}

impl Next {
    /// Bound of the first weights: √(6/inputs) before a ReLU (He et al. 2015), √(1/inputs) at the output.
    pub fn bound(self, inputs: usize) -> f32 {
        let gain = match self {
            Next::Relu => 6.0,
            Next::Output => 1.0,
        };
        (gain / inputs.max(1) as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_values_depend_on_seed_and_name_but_not_on_order() {
        let mut one = Params::new(3);
        one.normal("a", 4, 1.0).unwrap();
        let b_after_a = one.normal("b", 4, 1.0).unwrap().to_vec1::<f32>().unwrap();
        let mut other = Params::new(3);
        let b_alone = other.normal("b", 4, 1.0).unwrap().to_vec1::<f32>().unwrap();
        let reseeded = Params::new(4).normal("b", 4, 1.0).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(b_after_a, b_alone);
        assert_ne!(b_alone, reseeded);
    }

    #[test]
    fn saved_values_come_back_and_a_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let mut params = Params::new(1);
        let tensor = params.normal("w", (2, 3), 1.0).unwrap();
        let before = tensor.to_vec2::<f32>().unwrap();
        params.save(&path).unwrap();
        params.set("w", vec![0.0; 6]).unwrap();
        params.load(&path).unwrap();
        assert_eq!(tensor.to_vec2::<f32>().unwrap(), before);
        let mut larger = Params::new(1);
        larger.constant("w", (3, 3), 0.0).unwrap();
        let text = larger.load(&path).unwrap_err().to_string();
        assert!(text.contains("w.safetensors") && text.contains("shape"), "{text}");
    }

    #[test]
    fn a_snapshot_is_a_copy() {
        let mut params = Params::new(1);
        let tensor = params.constant("w", 2, 1.0).unwrap();
        let snapshot = params.snapshot().unwrap();
        params.set("w", vec![5.0, 5.0]).unwrap();
        params.restore(&snapshot).unwrap();
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [1.0, 1.0]);
    }
}
