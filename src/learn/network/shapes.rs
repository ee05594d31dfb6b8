//! Shapes that scoring and the graph builders rely on.

use super::{Body, Dense, Embedding, Forest, Network, NetworkInput, Partitioned, TwoTower};
use crate::data::schema::Side;
use std::collections::BTreeSet;

/// What keeps a network's numbers from fitting its own shapes.
pub(super) fn check(network: &Network) -> Result<(), String> {
    let empty = match &network.body {
        Body::Mlp(layers) => layers.is_empty(),
        Body::TwoTower(towers) => towers.user.is_empty() || towers.item.is_empty(),
        Body::Partitioned(parts) => parts.shared.is_empty() || parts.heads.iter().any(Vec::is_empty),
        Body::Forest(_) => false,
    };
    if network.inputs.is_empty() || empty {
        return Err("the network has no features or no layers".to_owned());
    }
    network.inputs.iter().try_for_each(embedding)?;
    let mut names = BTreeSet::new();
    if let Some(input) = network.inputs.iter().find(|input| !names.insert(&input.feature)) {
        return Err(format!("the network reads `{}` twice", input.feature));
    }
    let width = network.input_width();
    match &network.body {
        Body::Mlp(layers) => chain("", layers, width, 1),
        Body::TwoTower(towers) => two(&network.inputs, towers),
        Body::Partitioned(parts) => partitioned(&network.inputs, parts, width),
        Body::Forest(trees) => forest(&network.inputs, trees),
    }
}

fn embedding(input: &NetworkInput) -> Result<(), String> {
    let fits = input.width > 0
        && match &input.embedding {
            Embedding::Table { rows } => !rows.is_empty() && rows.len() % input.width == 0,
            Embedding::Pooled { rows, length } => {
                *length > 0 && !rows.is_empty() && rows.len() % input.width == 0
            }
            Embedding::Number { scale, missing } => {
                scale.len() == input.width && missing.len() == input.width
            }
        };
    match fits {
        true => Ok(()),
        false => Err(format!("the embedding of `{}` does not have width {}", input.feature, input.width)),
    }
}

/// Layers one behind the other that take `from` values and give `to`; `of` begins their names.
fn chain(of: &str, layers: &[Dense], from: usize, to: usize) -> Result<(), String> {
    let mut width = from;
    for (index, layer) in layers.iter().enumerate() {
        let fits = layer.inputs == width
            && layer.outputs > 0
            && layer.weight.len() == layer.inputs * layer.outputs
            && layer.bias.len() == layer.outputs;
        if !fits {
            return Err(format!("{of}layer {} does not take {width} values", index + 1));
        }
        width = layer.outputs;
    }
    match width == to {
        true => Ok(()),
        false => Err(format!("{of}the last layer has {width} outputs instead of {to}")),
    }
}

fn two(inputs: &[NetworkInput], towers: &TwoTower) -> Result<(), String> {
    let width = |side| inputs.iter().filter(|input| input.side == side).map(|input| input.width).sum();
    let sides = [(Side::User, "user tower: "), (Side::Item, "item tower: ")];
    if let Some((_, name)) = sides.iter().find(|(side, _)| width(*side) == 0) {
        return Err(format!("{name}there is no feature of that side"));
    }
    sides.iter().try_for_each(|&(side, name)| chain(name, towers.tower(side), width(side), towers.vector()))
}

fn partitioned(inputs: &[NetworkInput], parts: &Partitioned, width: usize) -> Result<(), String> {
    let known = match inputs.get(parts.input).map(|input| (&input.embedding, input.width)) {
        Some((Embedding::Table { rows }, width)) => rows.len() / width,
        _ => return Err("no feature with a table tells the partition".to_owned()),
    };
    let heads = parts.heads.len();
    if parts.partition_of.len() != known || parts.partition_of.iter().any(|&own| own as usize >= heads) {
        let told = &inputs[parts.input].feature;
        return Err(format!("the {heads} partitions are not those of the ids of `{told}`"));
    }
    let shared = parts.shared.last().map_or(0, |layer| layer.outputs);
    chain("shared ", &parts.shared, width, shared)?;
    let shape = |head: &[Dense]| head.iter().map(|layer| layer.outputs).collect::<Vec<_>>();
    for (index, head) in parts.heads.iter().enumerate() {
        chain(&format!("partition {index}: "), head, shared, 1)?;
        if shape(head) != shape(&parts.heads[0]) {
            return Err(format!("partition {index} has other widths than partition 0"));
        }
    }
    Ok(())
}

fn forest(inputs: &[NetworkInput], forest: &Forest) -> Result<(), String> {
    if let Some(input) = inputs.iter().find(|input| input.width != 1) {
        return Err(format!(
            "trees compare one number of `{}`, which is {} wide",
            input.feature, input.width
        ));
    }
    forest.check(inputs.len())
}
