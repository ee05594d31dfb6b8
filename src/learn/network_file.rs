//! A network as a safetensors file: weights as tensors, names and kinds as JSON in the file's own metadata.

use super::network::{Dense, Embedding, Network, NetworkInput};
use crate::{
    base::{Error, Result, error::Place, fsio},
    data::schema::Side,
};
use candle_core::{Device, Tensor, WithDType, safetensors::Load};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Key of the JSON inside the file's metadata.
const DESCRIPTION: &str = "autofas.network";

/// What the tensors mean.
#[derive(Serialize, Deserialize)]
struct Description {
    inputs: Vec<InputDescription>,
    layers: usize,
}

/// An input without its numbers.
#[derive(Serialize, Deserialize)]
pub(super) struct InputDescription {
    feature: String,
    side: Side,
    width: usize,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Table,
    Pooled { length: usize },
    Number,
}

impl Network {
    /// Writes the network atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = input_tensors(&self.inputs)?;
        for (i, layer) in self.layers.iter().enumerate() {
            tensors.insert(format!("layer{i}.weight"), matrix(&layer.weight, layer.outputs)?);
            tensors.insert(format!("layer{i}.bias"), matrix(&layer.bias, layer.outputs)?);
        }
        let description = Description { inputs: describe(&self.inputs), layers: self.layers.len() };
        write(path, DESCRIPTION, &description, tensors)
    }

    /// Reads a network that [`Network::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        read(path, |bytes| {
            let (description, tensors) = open::<Description>(bytes, DESCRIPTION)?;
            let inputs = tensors.inputs(description.inputs)?;
            let mut layers = Vec::new();
            for i in 0..description.layers {
                let (weight, inputs) = tensors.rows(&format!("layer{i}.weight"))?;
                let (bias, _) = tensors.rows(&format!("layer{i}.bias"))?;
                layers.push(Dense { inputs, outputs: bias.len(), weight, bias });
            }
            Ok(Self { inputs, layers })
        })
    }
}

/// What the file says of the inputs beside their numbers.
pub(super) fn describe(inputs: &[NetworkInput]) -> Vec<InputDescription> {
    let one = |input: &NetworkInput| InputDescription {
        feature: input.feature.clone(),
        side: input.side,
        width: input.width,
        kind: match &input.embedding {
            Embedding::Table { .. } => Kind::Table,
            Embedding::Pooled { length, .. } => Kind::Pooled { length: *length },
            Embedding::Number { .. } => Kind::Number,
        },
    };
    inputs.iter().map(one).collect()
}

/// The numbers of the inputs.
pub(super) fn input_tensors(inputs: &[NetworkInput]) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (i, input) in inputs.iter().enumerate() {
        match &input.embedding {
            Embedding::Table { rows } | Embedding::Pooled { rows, .. } => {
                tensors.insert(format!("input{i}.rows"), matrix(rows, input.width)?);
            }
            Embedding::Number { scale, missing } => {
                tensors.insert(format!("input{i}.scale"), matrix(scale, input.width)?);
                tensors.insert(format!("input{i}.missing"), matrix(missing, input.width)?);
            }
        }
    }
    Ok(tensors)
}

/// Values row after row.
pub(super) fn matrix<T: WithDType>(values: &[T], columns: usize) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu)
        .map_err(|e| Error::learn("write a network", e))
}

/// Writes tensors with their description under `key`, atomically.
pub(super) fn write(
    path: &Path,
    key: &str,
    description: &impl Serialize,
    tensors: BTreeMap<String, Tensor>,
) -> Result<()> {
    let json = serde_json::to_string(description).expect("plain data");
    let metadata = HashMap::from([(key.to_owned(), json)]);
    let bytes = safetensors::serialize(&tensors, Some(metadata))
        .map_err(|e| Error::learn(format!("serialise {}", path.display()), e))?;
    fsio::write(path, &bytes)
}

/// What `parse` makes of a file; its problem becomes an error that names the file.
pub(super) fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T> {
    let bytes = fsio::read(path)?;
    parse(&bytes).map_err(|problem| {
        Error::input(
            path,
            Place::whole(),
            problem,
            "restore the file, or remove it and run again with --resume",
        )
    })
}

/// The description under `key` of a file that [`write`] wrote, and its tensors.
pub(super) fn open<'f, D: DeserializeOwned>(bytes: &'f [u8], key: &str) -> Result<(D, Tensors<'f>), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| foreign(&e))?;
    let json =
        header.metadata().as_ref().and_then(|m| m.get(key)).ok_or_else(|| foreign(&"no description"))?;
    let description = serde_json::from_str(json).map_err(|e| foreign(&e))?;
    Ok((description, Tensors(SafeTensors::deserialize(bytes).map_err(|e| foreign(&e))?)))
}

fn foreign(why: &dyn std::fmt::Display) -> String {
    format!("not a network of this program ({why})")
}

/// The tensors of a file.
pub(super) struct Tensors<'f>(SafeTensors<'f>);

impl Tensors<'_> {
    /// The values of a matrix, row after row, and its number of rows.
    pub(super) fn rows<T: WithDType>(&self, name: &str) -> Result<(Vec<T>, usize), String> {
        let tensor = self.0.tensor(name).map(|view| view.load(&Device::Cpu)).map_err(|e| foreign(&e))?;
        let tensor = tensor.and_then(|t| t.to_dtype(T::DTYPE)).map_err(|e| foreign(&e))?;
        let (rows, _) = tensor.dims2().map_err(|e| foreign(&e))?;
        Ok((tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| foreign(&e))?, rows))
    }

    /// The inputs with their numbers.
    pub(super) fn inputs(&self, described: Vec<InputDescription>) -> Result<Vec<NetworkInput>, String> {
        let one = |(i, input): (usize, InputDescription)| {
            let values = |what: &str| self.rows(&format!("input{i}.{what}")).map(|(values, _)| values);
            let embedding = match input.kind {
                Kind::Table => Embedding::Table { rows: values("rows")? },
                Kind::Pooled { length } => Embedding::Pooled { rows: values("rows")?, length },
                Kind::Number => Embedding::Number { scale: values("scale")?, missing: values("missing")? },
            };
            let InputDescription { feature, side, width, .. } = input;
            Ok(NetworkInput { feature, side, width, embedding })
        };
        described.into_iter().enumerate().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let input = |feature: &str, side, embedding| NetworkInput {
            feature: feature.into(),
            side,
            width: 2,
            embedding,
        };
        Network {
            inputs: vec![
                input("a", Side::User, Embedding::Table { rows: vec![0.0, 1.0, 2.0, 3.0] }),
                input("b", Side::Item, Embedding::Pooled { rows: vec![4.0, 5.0], length: 3 }),
                input("c", Side::Item, Embedding::Number { scale: vec![6.0, 7.0], missing: vec![8.0, 9.0] }),
            ],
            layers: vec![Dense { inputs: 6, outputs: 1, weight: vec![0.5; 6], bias: vec![-1.0] }],
        }
    }

    #[test]
    fn a_saved_network_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        network().save(&path).unwrap();
        assert_eq!(Network::load(&path).unwrap(), network());
    }

    #[test]
    fn a_truncated_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        network().save(&path).unwrap();
        let bytes = fsio::read(&path).unwrap();
        fsio::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(Network::load(&path).unwrap_err().to_string().contains("n.safetensors"));
    }
}
