//! Expected latency of the network over independently drawn operators: equation (6), with its exact gradient.
//!
//! After Mixop i the network's state is a set of entries, each with a key and a mass π. The key is a width, or `Input`
//! for the network's own input, which never merges with an entry of equal width and keeps first-layer prices at any
//! depth. MLP operator k sets up the entry w_k with mass p_k; the zero operator passes every entry on with mass
//! p_zero·π; entries of equal width merge; entries of zero mass are dropped.
//!
//! ```text
//! E_i = E_{i−1} + Σ_w π_{i−1}(w) · Σ_{k≠zero} p_k · T(w→w_k),    E = fixed + E_L + Σ_w π_L(w) · T(w→1)
//! ```
//!
//! The output node is priced as a last Mixop with the single operator 1. Going back, with λ_i(w) = ∂E/∂π_i(w):
//!
//! ```text
//! λ_{i−1}(w) = Σ_{k≠zero} p_k·T(w→w_k) + p_zero·λ_i(w)
//! ∂E/∂p_k    = Σ_w π_{i−1}(w)·T(w→w_k) + λ_i(w_k)
//! ∂E/∂p_zero = Σ_w π_{i−1}(w)·λ_i(w)
//! ```

use super::{FirstLayerPrice, LayerPrices};
use crate::{
    base::{Error, Result},
    space::{Input, InputLoad, InputWidths, Key, Operator, SearchSpace},
};

/// Value and gradient of equation (6).
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedLatency {
    /// Milliseconds, the fixed part included.
    pub ms: f64,
    /// ∂ms/∂p per Mixop and operator, in the order of the search space.
    pub d_probability: Vec<Vec<f64>>,
    /// ∂ms/∂user width of the input.
    pub d_user: f64,
    /// ∂ms/∂item width of the input.
    pub d_item: f64,
    /// ∂ms/∂ what the input is made of.
    pub d_load: InputLoad,
}

impl ExpectedLatency {
    /// ∂ms/∂input: what [`SearchSpace::input_gradient`] goes on with.
    pub fn d_input(&self) -> Input {
        Input { widths: InputWidths { user: self.d_user, item: self.d_item }, load: self.d_load }
    }
}

/// Equation (6) at `probabilities` (the softmax of α per Mixop, in the order of the operators) and an input.
///
/// The probabilities count as independent variables: the caller goes on through the softmax. An operator of
/// probability 0 is dropped: its price is not asked for and its derivative is 0 (the softmax multiplies it by 0
/// anyhow), so that one network needs only the prices on its path.
///
/// Fails when the probabilities do not fit the space or are negative or not finite, or when a price is missing.
pub fn expected_network_ms(
    space: &SearchSpace,
    probabilities: &[Vec<f64>],
    input: impl Into<Input>,
    prices: &dyn LayerPrices,
) -> Result<ExpectedLatency> {
    check(space, probabilities)?;
    let Input { widths: input, load } = input.into();
    // Every path meets the input exactly once.
    let per_unit = prices.input();
    let mixops = space.mixops.iter().zip(probabilities).map(|(ops, p)| (ops.as_slice(), p.as_slice()));
    let output_node: (&[Operator], &[f64]) = (&[Operator::Mlp(1)], &[1.0]);
    let mut total = ExpectedLatency {
        ms: prices.fixed_ms() + per_unit.dot(&load),
        d_probability: Vec::with_capacity(probabilities.len()),
        d_user: 0.0,
        d_item: 0.0,
        d_load: per_unit,
    };

    let mut stages = Vec::with_capacity(space.mixops.len() + 1);
    let mut entries = vec![Entry { key: Key::Input, mass: 1.0 }];
    for (operators, probability) in mixops.chain(std::iter::once(output_node)) {
        let stage = Stage::price(operators, probability, entries, input, prices)?;
        stage.add_to(&mut total);
        entries = stage.outgoing();
        stages.push(stage);
    }

    // Nothing follows the output node, so the sweep back starts with λ = 0 there.
    let mut after: Vec<(Key, f64)> = Vec::new();
    for stage in stages.iter().rev() {
        total.d_probability.push(stage.d_probability(&after));
        after = stage.d_mass(&after);
    }
    total.d_probability.reverse();
    total.d_probability.pop();
    Ok(total)
}

fn check(space: &SearchSpace, probabilities: &[Vec<f64>]) -> Result<()> {
    let shape: Vec<usize> = space.mixops.iter().map(Vec::len).collect();
    let given: Vec<usize> = probabilities.iter().map(Vec::len).collect();
    if shape != given {
        return Err(Error::usage(
            format!("the Mixops have {shape:?} operators, but {given:?} probabilities were given"),
            "give one probability per operator, in the order of the search space",
        ));
    }
    if let Some(bad) = probabilities.iter().flatten().find(|p| !p.is_finite() || **p < 0.0) {
        return Err(Error::usage(
            format!("{bad} is no probability of an operator"),
            "lower the learning rate of α if it has diverged",
        ));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    mass: f64,
}

/// One Mixop with the entries that come into it and the prices from each of them to each operator.
struct Stage<'a> {
    operators: &'a [Operator],
    probability: &'a [f64],
    incoming: Vec<Entry>,
    /// `incoming × operators`; zero for the zero operator and for dropped ones.
    prices: Vec<FirstLayerPrice>,
}

impl<'a> Stage<'a> {
    fn price(
        operators: &'a [Operator],
        probability: &'a [f64],
        incoming: Vec<Entry>,
        input: InputWidths,
        prices: &dyn LayerPrices,
    ) -> Result<Self> {
        let free = FirstLayerPrice { ms: 0.0, d_user: 0.0, d_item: 0.0 };
        let mut table = Vec::with_capacity(incoming.len() * operators.len());
        for entry in &incoming {
            for (operator, &p) in operators.iter().zip(probability) {
                table.push(match (operator, entry.key) {
                    (Operator::Mlp(to), Key::Input) if p > 0.0 => prices.first_ms(input, *to)?,
                    (Operator::Mlp(to), Key::Width(from)) if p > 0.0 => {
                        FirstLayerPrice { ms: prices.layer_ms(from, *to)?, ..free }
                    }
                    _ => free,
                });
            }
        }
        Ok(Self { operators, probability, incoming, prices: table })
    }

    /// Entries with the row of their prices to every operator.
    fn rows(&self) -> impl Iterator<Item = (Entry, &[FirstLayerPrice])> {
        self.incoming.iter().copied().zip(self.prices.chunks_exact(self.operators.len()))
    }

    /// Σ_w π(w) · Σ_k p_k · T(w→w_k), and the same of T's derivatives.
    fn add_to(&self, total: &mut ExpectedLatency) {
        for (entry, row) in self.rows() {
            for (price, &p) in row.iter().zip(self.probability) {
                total.ms += entry.mass * p * price.ms;
                total.d_user += entry.mass * p * price.d_user;
                total.d_item += entry.mass * p * price.d_item;
            }
        }
    }

    fn outgoing(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(self.incoming.len() + self.operators.len());
        let mut add = |key, mass| {
            if mass > 0.0 {
                match entries.iter_mut().find(|entry| entry.key == key) {
                    Some(entry) => entry.mass += mass,
                    None => entries.push(Entry { key, mass }),
                }
            }
        };
        for (operator, &p) in self.operators.iter().zip(self.probability) {
            match operator {
                Operator::Mlp(to) => add(Key::Width(*to), p),
                Operator::Zero => self.incoming.iter().for_each(|entry| add(entry.key, p * entry.mass)),
            }
        }
        entries
    }

    /// ∂E/∂p of every operator, from λ of the entries that leave this Mixop.
    fn d_probability(&self, after: &[(Key, f64)]) -> Vec<f64> {
        self.operators
            .iter()
            .zip(self.probability)
            .enumerate()
            .map(|(k, (operator, &p))| match operator {
                _ if p == 0.0 => 0.0,
                Operator::Mlp(to) => {
                    let layer: f64 = self.rows().map(|(entry, row)| entry.mass * row[k].ms).sum();
                    layer + lambda(after, Key::Width(*to))
                }
                Operator::Zero => {
                    self.incoming.iter().map(|entry| entry.mass * lambda(after, entry.key)).sum()
                }
            })
            .collect()
    }

    /// λ of the entries that come in, from λ of those that leave.
    fn d_mass(&self, after: &[(Key, f64)]) -> Vec<(Key, f64)> {
        let zero = self.operators.iter().position(|operator| *operator == Operator::Zero);
        let passed_on = zero.map_or(0.0, |k| self.probability[k]);
        self.rows()
            .map(|(entry, row)| {
                let layer: f64 = row.iter().zip(self.probability).map(|(price, p)| p * price.ms).sum();
                (entry.key, layer + passed_on * lambda(after, entry.key))
            })
            .collect()
    }
}

fn lambda(after: &[(Key, f64)], key: Key) -> f64 {
    after.iter().find(|(k, _)| *k == key).map_or(0.0, |(_, value)| *value)
}

#[cfg(test)]
mod tests;
