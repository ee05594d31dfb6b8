//! A network as a safetensors file: weights as tensors, names and kinds as JSON in the file's own metadata.

use super::network::{Dense, Embedding, Network, NetworkInput};
use crate::{
    base::{Error, Result, error::Place, fsio},
    data::schema::Side,
};
use candle_core::{DType, Device, Tensor, safetensors::Load};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
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

#[derive(Serialize, Deserialize)]
struct InputDescription {
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
        let mut tensors = BTreeMap::new();
        for (i, input) in self.inputs.iter().enumerate() {
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
        for (i, layer) in self.layers.iter().enumerate() {
            tensors.insert(format!("layer{i}.weight"), matrix(&layer.weight, layer.outputs)?);
            tensors.insert(format!("layer{i}.bias"), matrix(&layer.bias, layer.outputs)?);
        }
        let json = serde_json::to_string(&self.description()).expect("plain data");
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), json)]);
        let bytes = safetensors::serialize(&tensors, Some(metadata))
            .map_err(|e| Error::learn(format!("serialise {}", path.display()), e))?;
        fsio::write(path, &bytes)
    }

    /// Reads a network that [`Network::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
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

    fn description(&self) -> Description {
        let inputs = self.inputs.iter().map(|input| InputDescription {
            feature: input.feature.clone(),
            side: input.side,
            width: input.width,
            kind: match &input.embedding {
                Embedding::Table { .. } => Kind::Table,
                Embedding::Pooled { length, .. } => Kind::Pooled { length: *length },
                Embedding::Number { .. } => Kind::Number,
            },
        });
        Description { inputs: inputs.collect(), layers: self.layers.len() }
    }
}

fn matrix(values: &[f32], columns: usize) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu)
        .map_err(|e| Error::learn("write a network", e))
}

fn parse(bytes: &[u8]) -> Result<Network, String> {
    let text = |e: &dyn std::fmt::Display| format!("not a network of this program ({e})");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| text(&e))?;
    let json =
        header.metadata().as_ref().and_then(|m| m.get(DESCRIPTION)).ok_or_else(|| text(&"no description"))?;
    let description: Description = serde_json::from_str(json).map_err(|e| text(&e))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| text(&e))?;
    let values = |name: String| -> Result<(Vec<f32>, usize), String> {
        let tensor = file.tensor(&name).map(|view| view.load(&Device::Cpu)).map_err(|e| text(&e))?;
        let tensor = tensor.and_then(|t| t.to_dtype(DType::F32)).map_err(|e| text(&e))?;
        let (rows, _) = tensor.dims2().map_err(|e| text(&e))?;
        Ok((tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| text(&e))?, rows))
    };
    let mut inputs = Vec::new();
    for (i, input) in description.inputs.into_iter().enumerate() {
        let embedding = match input.kind {
            Kind::Table => Embedding::Table { rows: values(format!("input{i}.rows"))?.0 },
            Kind::Pooled { length } => {
                Embedding::Pooled { rows: values(format!("input{i}.rows"))?.0, length }
            }
            Kind::Number => Embedding::Number {
                scale: values(format!("input{i}.scale"))?.0,
                missing: values(format!("input{i}.missing"))?.0,
            },
        };
        let InputDescription { feature, side, width, .. } = input;
        inputs.push(NetworkInput { feature, side, width, embedding });
    }
    let mut layers = Vec::new();
    for i in 0..description.layers {
        let (weight, inputs) = values(format!("layer{i}.weight"))?;
        let (bias, _) = values(format!("layer{i}.bias"))?;
        layers.push(Dense { inputs, outputs: bias.len(), weight, bias });
    }
    Ok(Network { inputs, layers })
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
