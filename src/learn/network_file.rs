//! A network as a safetensors file: weights as tensors, names and kinds as JSON in the file's own metadata.
//!
//! The dense layers are numbered through, whatever body they belong to; the JSON says how many each of its parts has. Version 1
//! knew plain networks only, and is read as it was.

mod forest;

use super::network::{Body, Dense, Embedding, Network, NetworkInput, Partitioned, TwoTower};
use crate::{
    base::{Error, Result, error::Place, fsio},
    data::schema::Side,
};
use candle_core::{Device, Tensor, WithDType, safetensors::Load};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Key of the JSON inside the file's metadata.
const DESCRIPTION: &str = "autofas.network";

/// Version of the JSON.
const VERSION: u32 = 2;

/// What the tensors mean.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(default = "first_version")]
    schema_version: u32,
    inputs: Vec<InputDescription>,
    #[serde(flatten)]
    body: BodyDescription,
}

/// Of files that do not say it.
fn first_version() -> u32 {
    1
}

/// How many layers each part of a body has, and what else is no tensor.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyDescription {
    /// Of a plain network.
    Layers(usize),
    TwoTower {
        user: usize,
        item: usize,
    },
    Partitioned {
        input: usize,
        partition_of: Vec<u32>,
        shared: usize,
        heads: Vec<usize>,
    },
    Forest {
        base_score: f32,
    },
}

impl BodyDescription {
    fn of(body: &Body) -> Self {
        match body {
            Body::Mlp(layers) => Self::Layers(layers.len()),
            Body::TwoTower(towers) => Self::TwoTower { user: towers.user.len(), item: towers.item.len() },
            Body::Partitioned(parts) => Self::Partitioned {
                input: parts.input,
                partition_of: parts.partition_of.clone(),
                shared: parts.shared.len(),
                heads: parts.heads.iter().map(Vec::len).collect(),
            },
            Body::Forest(forest) => Self::Forest { base_score: forest.base_score },
        }
    }
}

/// The tensor of a two-tower network's bias.
const BIAS: &str = "bias";

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
        if let Body::TwoTower(towers) = &self.body {
            tensors.insert(BIAS.to_owned(), matrix(&[towers.bias], 1)?);
        }
        if let Body::Forest(forest) = &self.body {
            forest::insert(&mut tensors, forest)?;
        }
        for (i, layer) in self.body.layers().into_iter().enumerate() {
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
        let body = BodyDescription::of(&self.body);
        Description { schema_version: VERSION, inputs: inputs.collect(), body }
    }
}

fn matrix<T: WithDType>(values: &[T], columns: usize) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu)
        .map_err(|e| Error::learn("write a network", e))
}

fn text(e: &dyn std::fmt::Display) -> String {
    format!("not a network of this program ({e})")
}

/// The values of a matrix, row after row, and its number of rows.
fn rows<T: WithDType>(file: &SafeTensors, name: &str) -> Result<(Vec<T>, usize), String> {
    let tensor = file.tensor(name).map(|view| view.load(&Device::Cpu)).map_err(|e| text(&e))?;
    let tensor = tensor.and_then(|t| t.to_dtype(T::DTYPE)).map_err(|e| text(&e))?;
    let (rows, _) = tensor.dims2().map_err(|e| text(&e))?;
    Ok((tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| text(&e))?, rows))
}

fn parse(bytes: &[u8]) -> Result<Network, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| text(&e))?;
    let json =
        header.metadata().as_ref().and_then(|m| m.get(DESCRIPTION)).ok_or_else(|| text(&"no description"))?;
    let description: Description = serde_json::from_str(json).map_err(|e| text(&e))?;
    if description.schema_version > VERSION {
        let found = description.schema_version;
        return Err(format!("its version is {found}, and this program reads up to {VERSION}"));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| text(&e))?;
    let values = |name: String| rows::<f32>(&file, &name);
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
    let mut next = 0usize;
    let mut layers = |count: usize| -> Result<Vec<Dense>, String> {
        let own = next..next.saturating_add(count);
        next = own.end;
        own.map(|i| {
            let (weight, inputs) = values(format!("layer{i}.weight"))?;
            let (bias, _) = values(format!("layer{i}.bias"))?;
            Ok(Dense { inputs, outputs: bias.len(), weight, bias })
        })
        .collect()
    };
    let body = match description.body {
        BodyDescription::Layers(count) => Body::Mlp(layers(count)?),
        BodyDescription::TwoTower { user, item } => {
            let (user, item) = (layers(user)?, layers(item)?);
            let (bias, _) = values(BIAS.to_owned())?;
            Body::TwoTower(TwoTower { user, item, bias: *bias.first().ok_or_else(|| text(&"no bias"))? })
        }
        BodyDescription::Partitioned { input, partition_of, shared, heads } => {
            let shared = layers(shared)?;
            let heads = heads.into_iter().map(layers).collect::<Result<_, _>>()?;
            Body::Partitioned(Partitioned { input, partition_of, shared, heads })
        }
        BodyDescription::Forest { base_score } => {
            Body::Forest(forest::read(&file, base_score, inputs.len())?)
        }
    };
    let network = Network { inputs, body };
    network.check()?;
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::network::{Branch, Forest, Node};

    fn dense(inputs: usize, outputs: usize, value: f32) -> Dense {
        let numbers = |count: usize| (0..count).map(|i| value + i as f32).collect();
        Dense { inputs, outputs, weight: numbers(inputs * outputs), bias: numbers(outputs) }
    }

    /// A network of every form.
    fn networks() -> Vec<Network> {
        let towers = TwoTower {
            user: vec![dense(2, 3, 0.1), dense(3, 4, 0.2)],
            item: vec![dense(4, 4, 0.3)],
            bias: -0.1,
        };
        let parts = Partitioned {
            input: 0,
            partition_of: vec![1, 0],
            shared: vec![dense(6, 5, 0.4), dense(5, 3, 0.5)],
            heads: vec![vec![dense(3, 2, 0.6), dense(2, 1, 0.7)], vec![dense(3, 2, 0.8), dense(2, 1, 0.9)]],
        };
        let forest = Forest {
            base_score: 0.1,
            roots: vec![0, 3],
            nodes: vec![
                Node::Split { input: 2, threshold: 0.3, missing: Branch::Below, other: 2 },
                Node::Leaf { value: -0.7 },
                Node::Leaf { value: 0.9 },
                Node::Leaf { value: 0.2 },
            ],
            gains: vec![0.0, 0.0, 1e9 / 3.0],
        };
        let plain = network();
        let with = |body| Network { body, ..plain.clone() };
        let mut trees = with(Body::Forest(forest));
        for input in &mut trees.inputs {
            input.width = 1;
            if let Embedding::Number { scale, missing } = &mut input.embedding {
                (*scale, *missing) = (vec![1.0], vec![f32::MIN]);
            }
        }
        vec![with(Body::TwoTower(towers)), with(Body::Partitioned(parts)), trees, plain]
    }

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
            body: Body::Mlp(vec![dense(6, 1, 0.5)]),
        }
    }

    #[test]
    fn a_saved_network_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        for network in networks() {
            network.save(&path).unwrap();
            assert_eq!(Network::load(&path).unwrap(), network);
        }
    }

    fn partitions(network: &mut Network) -> &mut Partitioned {
        match &mut network.body {
            Body::Partitioned(parts) => parts,
            other => panic!("{}", other.name()),
        }
    }

    /// The bytes of a file with another description.
    fn described(network: &Network, json: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        network.save(&path).unwrap();
        let bytes = fsio::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), json.to_owned())]);
        safetensors::serialize(file.tensors(), Some(metadata)).unwrap()
    }

    #[test]
    fn a_file_of_the_first_version_reads_as_a_plain_network() {
        let json = r#"{"inputs": [{"feature": "a", "side": "user", "width": 2, "kind": "table"},
            {"feature": "b", "side": "item", "width": 2, "kind": {"pooled": {"length": 3}}},
            {"feature": "c", "side": "item", "width": 2, "kind": "number"}], "layers": 1}"#;
        assert_eq!(parse(&described(&network(), json)).unwrap(), network());
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_with_both_versions() {
        let json = r#"{"schema_version": 3, "inputs": [], "layers": 0}"#;
        let problem = parse(&described(&network(), json)).unwrap_err();
        assert!(problem.contains("version is 3") && problem.contains("up to 2"), "{problem}");
    }

    #[test]
    fn trees_that_are_not_whole_are_refused() {
        let mut network = networks().swap_remove(2);
        let Body::Forest(forest) = &mut network.body else { panic!("the third has trees") };
        forest.nodes.pop();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        network.save(&path).unwrap();
        let refused = Network::load(&path).unwrap_err().to_string();
        assert!(refused.contains("t.safetensors") && refused.contains("begin at nodes"), "{refused}");
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        // A head, a layer and an input that are not there; a bias for other weights; a feature twice.
        type Case = (usize, fn(&mut Network), &'static str);
        let broken: [Case; 5] = [
            (1, |network| partitions(network).partition_of[0] = 2, "the 2 partitions"),
            (1, |network| partitions(network).heads[1].truncate(1), "partition 1"),
            (1, |network| partitions(network).input = 3, "no feature with a table"),
            (0, |network| network.body.layers_mut()[0].bias.extend([0.0; 3]), "user tower: layer 1"),
            (3, |network| network.inputs[2].feature = "a".into(), "`a` twice"),
        ];
        for (place, break_it, said) in broken {
            let mut network = networks().swap_remove(place);
            break_it(&mut network);
            network.save(&path).unwrap();
            let refused = Network::load(&path).unwrap_err().to_string();
            assert!(refused.contains("n.safetensors") && refused.contains(said), "{refused}");
        }
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
