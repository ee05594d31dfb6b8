//! What a network's input costs beside its width: how many ids are looked up, how long lists are, how many numbers come as
//! they are, and how many pieces have to be joined.
//!
//! Two inputs of equal width need not cost the same. A list of six ids costs six look-ups and a mean and is as wide as one
//! id; a number costs a small product. What is counted follows the exported graph: within a *part* (the user's side, the
//! candidates' side, or both in one matrix where the layout is `concat`) features of one [`Group`] are embedded by the same
//! few nodes, and the groups are joined.
//!
//! Features count with their share θ_i, 1 or 0 for a choice. With p_g = 1 − Π_{i∈g}(1 − θ_i), the chance that group g is
//! there at all:
//!
//! ```text
//! ids = Σθ    values = Σθ·length·width    numbers = Σθ    products = 2·Σθ·Σ(θ·width)
//! groups = Σ_g p_g    joined = Σ(θ·width)·P(at least two groups)
//! ```
//!
//! For a choice these are exact counts; in between they are smooth in θ, and [`SearchSpace::input_gradient`] is their
//! exact gradient.

use super::{InputWidths, SearchSpace};
use crate::data::schema::{Encoding, Feature, Side};
use serde::{Deserialize, Serialize};

/// Features that the exported graph embeds by the same nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// One id each: rows of one combined table.
    Ids {
        /// Of the embedding.
        width: usize,
    },
    /// Lists of ids: the mean of their rows.
    Sequences {
        /// Ids of a list, padding among them.
        length: usize,
        /// Of the embedding.
        width: usize,
    },
    /// Standardised numbers, of any widths.
    Numbers,
}

impl Group {
    /// The group of a feature.
    pub fn of(feature: &Feature) -> Self {
        let width = feature.width;
        match (feature.encoding, &feature.sequence) {
            (Encoding::Standardize, _) => Self::Numbers,
            (_, Some(sequence)) => Self::Sequences { length: sequence.length, width },
            (_, None) => Self::Ids { width },
        }
    }
}

/// What one part of the input is made of; also prices per unit of each, or a gradient by each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartLoad {
    /// Features that are one id.
    pub ids: f64,
    /// Embedded values that are looked up for lists: length × width.
    pub values: f64,
    /// Standardised numbers.
    pub numbers: f64,
    /// Multiply-adds per row that embed the numbers.
    pub products: f64,
    /// Groups of features.
    pub groups: f64,
    /// Columns that are copied to join groups; 0 where there is only one.
    pub joined: f64,
}

impl PartLoad {
    fn array(&self) -> [f64; PART] {
        [self.ids, self.values, self.numbers, self.products, self.groups, self.joined]
    }

    fn from_slice(values: &[f64]) -> Self {
        Self {
            ids: values[0],
            values: values[1],
            numbers: values[2],
            products: values[3],
            groups: values[4],
            joined: values[5],
        }
    }
}

/// Quantities of a part.
const PART: usize = 6;

/// What the input is made of, per part; also prices per unit (ms), or a gradient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputLoad {
    /// The user's side as a part of its own: layout `user-once`.
    pub user: PartLoad,
    /// The candidates' side as a part of its own.
    pub item: PartLoad,
    /// Both sides in one part: layout `concat`.
    pub whole: PartLoad,
}

impl InputLoad {
    /// How many quantities there are.
    pub const LEN: usize = 3 * PART;

    /// All quantities in one order: user, item, whole.
    pub fn array(&self) -> [f64; Self::LEN] {
        let mut all = [0.0; Self::LEN];
        for (into, part) in all.chunks_exact_mut(PART).zip([&self.user, &self.item, &self.whole]) {
            into.copy_from_slice(&part.array());
        }
        all
    }

    /// The inverse of [`InputLoad::array`].
    pub fn from_array(all: [f64; Self::LEN]) -> Self {
        let part = |at: usize| PartLoad::from_slice(&all[at * PART..][..PART]);
        Self { user: part(0), item: part(1), whole: part(2) }
    }

    /// Σ of the products of equal quantities: the price of a load at prices per unit.
    pub fn dot(&self, other: &Self) -> f64 {
        self.array().iter().zip(other.array()).map(|(a, b)| a * b).sum()
    }

    /// `self` + `weight`·`other`.
    pub fn plus(&self, weight: f64, other: &Self) -> Self {
        let (mut sum, other) = (self.array(), other.array());
        sum.iter_mut().zip(other).for_each(|(a, b)| *a += weight * b);
        Self::from_array(sum)
    }
}

/// A network's input as prices see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Embedded columns by side.
    pub widths: InputWidths,
    /// What they are made of.
    pub load: InputLoad,
}

impl From<InputWidths> for Input {
    /// An input that is embedded already.
    fn from(widths: InputWidths) -> Self {
        Self { widths, load: InputLoad::default() }
    }
}

/// A feature with the share that it counts with.
struct Member {
    group: Group,
    width: f64,
    share: f64,
    /// Position among the space's features.
    at: usize,
}

impl SearchSpace {
    /// The input when each feature counts with weight `share` (1 or 0 for a choice, θ for an expectation).
    pub fn input(&self, share: impl Fn(usize) -> f64) -> Input {
        let load = |side| load(&self.members(side, &share));
        Input {
            widths: self.input_widths(&share),
            load: InputLoad { user: load(Some(Side::User)), item: load(Some(Side::Item)), whole: load(None) },
        }
    }

    /// ∂/∂share of every feature, of something whose derivatives by the input's widths and load are given.
    pub fn input_gradient(&self, share: impl Fn(usize) -> f64, by: &Input) -> Vec<f64> {
        let mut gradient: Vec<f64> = self
            .features
            .iter()
            .map(|feature| {
                let by_width = match feature.kind.side() {
                    Side::User => by.widths.user,
                    Side::Item => by.widths.item,
                };
                by_width * feature.width as f64
            })
            .collect();
        let parts =
            [(Some(Side::User), by.load.user), (Some(Side::Item), by.load.item), (None, by.load.whole)];
        for (side, by) in parts.into_iter().filter(|(_, by)| *by != PartLoad::default()) {
            let members = self.members(side, &share);
            for (member, slope) in members.iter().zip(slopes(&members, &by)) {
                gradient[member.at] += slope;
            }
        }
        gradient
    }

    /// The features of one side, or of both.
    fn members(&self, side: Option<Side>, share: &impl Fn(usize) -> f64) -> Vec<Member> {
        let here = self.features.iter().enumerate().filter(|(_, f)| side.is_none_or(|s| f.kind.side() == s));
        let member = |(at, feature): (usize, &Feature)| Member {
            group: Group::of(feature),
            width: feature.width as f64,
            share: share(at),
            at,
        };
        here.map(member).collect()
    }
}

/// Chances of every group of a part.
struct Presence {
    groups: Vec<Group>,
    /// 1 − p_g.
    absent: Vec<f64>,
}

impl Presence {
    fn of(members: &[Member]) -> Self {
        let mut groups: Vec<Group> = members.iter().map(|member| member.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let absent = groups.iter().map(|&group| all_absent(members, group, None)).collect();
        Self { groups, absent }
    }

    fn expected(&self) -> f64 {
        self.absent.iter().map(|absent| 1.0 - absent).sum()
    }

    /// Chance that no group is there but those of `left_out`, which do not count.
    fn none_but(&self, left_out: &[usize]) -> f64 {
        let others = self.absent.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        others.map(|(_, absent)| absent).product()
    }

    /// Chance that exactly one group is there, where that at `left_out` does not count.
    fn exactly_one(&self, left_out: Option<usize>) -> f64 {
        let others = (0..self.groups.len()).filter(|&at| Some(at) != left_out);
        let alone = |at: usize| match left_out {
            Some(left_out) => self.none_but(&[at, left_out]),
            None => self.none_but(&[at]),
        };
        others.map(|at| (1.0 - self.absent[at]) * alone(at)).sum()
    }

    fn at_least_two(&self) -> f64 {
        // Rounding may leave a chance of −10⁻¹⁶.
        (1.0 - self.none_but(&[]) - self.exactly_one(None)).max(0.0)
    }
}

/// Π(1 − θ) over the members of `group`, without the one at `left_out`.
fn all_absent(members: &[Member], group: Group, left_out: Option<usize>) -> f64 {
    let here = members.iter().enumerate().filter(|(at, m)| m.group == group && Some(*at) != left_out);
    here.map(|(_, member)| 1.0 - member.share).product()
}

/// Σθ and Σ(θ·width) of the numbers.
fn numbers(members: &[Member]) -> (f64, f64) {
    let numbers = members.iter().filter(|member| member.group == Group::Numbers);
    numbers.fold((0.0, 0.0), |(count, width), m| (count + m.share, width + m.share * m.width))
}

fn load(members: &[Member]) -> PartLoad {
    let presence = Presence::of(members);
    let (count, number_width) = numbers(members);
    let width: f64 = members.iter().map(|member| member.share * member.width).sum();
    let mut load = PartLoad {
        numbers: count,
        products: 2.0 * count * number_width,
        groups: presence.expected(),
        joined: width * presence.at_least_two(),
        ..PartLoad::default()
    };
    for member in members {
        match member.group {
            Group::Ids { .. } => load.ids += member.share,
            Group::Sequences { length, .. } => load.values += member.share * length as f64 * member.width,
            Group::Numbers => {}
        }
    }
    load
}

/// ∂/∂θ of every member, of something with the derivatives `by` the quantities of the load.
fn slopes(members: &[Member], by: &PartLoad) -> Vec<f64> {
    let presence = Presence::of(members);
    let (count, number_width) = numbers(members);
    let width: f64 = members.iter().map(|member| member.share * member.width).sum();
    let joined = presence.at_least_two();
    let slope = |(at, member): (usize, &Member)| {
        let own = match member.group {
            Group::Ids { .. } => by.ids,
            Group::Sequences { length, .. } => by.values * length as f64 * member.width,
            Group::Numbers => by.numbers + by.products * 2.0 * (number_width + member.width * count),
        };
        // ∂p_g/∂θ: the group is there through this member alone.
        let alone = all_absent(members, member.group, Some(at));
        let group = presence.groups.partition_point(|&group| group < member.group);
        // One more group makes two where exactly one of the others is there.
        let second = alone * presence.exactly_one(Some(group));
        own + by.groups * alone + by.joined * (member.width * joined + width * second)
    };
    members.iter().enumerate().map(slope).collect()
}

#[cfg(test)]
mod tests;
