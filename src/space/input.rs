//! What a network's input costs beside its width: how many ids are looked up, how long lists are, how many numbers come as
//! they are, and how many pieces have to be joined.
//!
//! Two inputs of equal width need not cost the same. A list of six ids costs six look-ups and a mean and is as wide as one
//! id; a number costs a small product. What is counted follows the exported graph: within a *part* (the user's side, the
//! candidates' side, or both in one matrix where the layout is `concat`) features of one [`Group`] are embedded by the same
//! few nodes, and the groups are joined.
//!
//! Features count with their share θ_i, 1 or 0 for a choice. With p_g = 1 − Π_{i∈g}(1 − θ_i), the chance that group g is
//! there at all, and c_i, the columns of ids that feature i brings (1, or the length of its list):
//!
//! ```text
//! ids = Σθ    values = Σθ·c·width    numbers = Σθ    products = 2·Σθ·Σ(θ·width)
//! id_groups, list_groups, number_groups = Σ_g p_g over the groups of one kind
//! shifted = Σ_i θ_i·c_i·P(another of its group)        ids become rows of a table that several features share
//! sliced = Σ(θ·c)·P(at least two groups of ids)        each takes its columns out of the tensor of ids
//! joined = Σ(θ·width)·P(at least two groups)           their columns are put side by side
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
    /// Groups of single ids.
    pub id_groups: f64,
    /// Groups of lists.
    pub list_groups: f64,
    /// Groups of numbers: one or none.
    pub number_groups: f64,
    /// Columns of ids in groups of several features.
    pub shifted: f64,
    /// Columns of ids where there are several groups of them.
    pub sliced: f64,
    /// Embedded columns where there are several groups.
    pub joined: f64,
}

impl PartLoad {
    fn array(&self) -> [f64; PART] {
        let Self { ids, values, numbers, products, id_groups, list_groups, number_groups, .. } = *self;
        let Self { shifted, sliced, joined, .. } = *self;
        [ids, values, numbers, products, id_groups, list_groups, number_groups, shifted, sliced, joined]
    }

    fn from_array(values: [f64; PART]) -> Self {
        let [ids, values, numbers, products, id_groups, list_groups, number_groups, shifted, sliced, joined] =
            values;
        Self {
            ids,
            values,
            numbers,
            products,
            id_groups,
            list_groups,
            number_groups,
            shifted,
            sliced,
            joined,
        }
    }

    /// All groups.
    pub fn groups(&self) -> f64 {
        self.id_groups + self.list_groups + self.number_groups
    }

    fn groups_of(&mut self, group: Group) -> &mut f64 {
        match group {
            Group::Ids { .. } => &mut self.id_groups,
            Group::Sequences { .. } => &mut self.list_groups,
            Group::Numbers => &mut self.number_groups,
        }
    }
}

/// Quantities of a part.
const PART: usize = 10;

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
        let part = |at: usize| PartLoad::from_array(std::array::from_fn(|q| all[at * PART + q]));
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

impl Member {
    /// Columns of ids.
    fn columns(&self) -> f64 {
        match self.group {
            Group::Ids { .. } => 1.0,
            Group::Sequences { length, .. } => length as f64,
            Group::Numbers => 0.0,
        }
    }
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
        let by_width = |i| match self.side_in_request(i) {
            Some(Side::User) => by.widths.user,
            Some(Side::Item) => by.widths.item,
            None => 0.0,
        };
        let features = self.features.iter().enumerate();
        let mut gradient: Vec<f64> = features.map(|(i, f)| by_width(i) * f.width as f64).collect();
        let parts =
            [(Some(Side::User), by.load.user), (Some(Side::Item), by.load.item), (None, by.load.whole)];
        for (side, by) in parts.into_iter().filter(|(_, by)| *by != PartLoad::default()) {
            for (at, slope) in slopes(&self.members(side, &share), &by) {
                gradient[at] += slope;
            }
        }
        gradient
    }

    /// The features of one side of a request, or of both.
    fn members(&self, side: Option<Side>, share: &impl Fn(usize) -> f64) -> Vec<Member> {
        let is_here = |at| self.side_in_request(at).is_some_and(|own| side.is_none_or(|side| own == side));
        let here = self.features.iter().enumerate().filter(|&(at, _)| is_here(at));
        let member = |(at, feature): (usize, &Feature)| Member {
            group: Group::of(feature),
            width: feature.width as f64,
            share: share(at),
            at,
        };
        here.map(member).collect()
    }
}

/// Chances of independent things to be there: of none and of exactly one.
#[derive(Clone, Copy)]
struct Few {
    none: f64,
    one: f64,
}

impl Few {
    fn of(chances: impl Iterator<Item = f64>) -> Self {
        chances.fold(Self { none: 1.0, one: 0.0 }, |few, p| Self {
            none: few.none * (1.0 - p),
            one: few.one * (1.0 - p) + few.none * p,
        })
    }

    fn some(self) -> f64 {
        1.0 - self.none
    }

    /// At least two; rounding may leave −10⁻¹⁶.
    fn several(self) -> f64 {
        (1.0 - self.none - self.one).max(0.0)
    }
}

/// A group with the members of a part that it holds.
struct Held<'a> {
    group: Group,
    members: Vec<&'a Member>,
}

impl Held<'_> {
    /// Chances of its members, without the one at `left_out` of the space.
    fn few_without(&self, left_out: Option<usize>) -> Few {
        Few::of(self.members.iter().filter(|m| Some(m.at) != left_out).map(|member| member.share))
    }

    /// p_g.
    fn present(&self) -> f64 {
        self.few_without(None).some()
    }
}

fn held(members: &[Member]) -> Vec<Held<'_>> {
    let mut groups: Vec<Group> = members.iter().map(|member| member.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let of = |group| Held { group, members: members.iter().filter(|member| member.group == group).collect() };
    groups.into_iter().map(of).collect()
}

/// Chances of the groups that `counts` lets pass.
fn groups_there(held: &[(Group, f64)], counts: impl Fn(Group) -> bool) -> Few {
    Few::of(held.iter().filter(|(group, _)| counts(*group)).map(|&(_, present)| present))
}

fn of_ids(group: Group) -> bool {
    group != Group::Numbers
}

/// Σθ and Σ(θ·width) of the numbers.
fn numbers(members: &[Member]) -> (f64, f64) {
    let numbers = members.iter().filter(|member| member.group == Group::Numbers);
    numbers.fold((0.0, 0.0), |(count, width), m| (count + m.share, width + m.share * m.width))
}

/// Σ(θ·width) and Σ(θ·columns of ids).
fn sizes(members: &[Member]) -> (f64, f64) {
    let sizes = members.iter().map(|member| (member.share * member.width, member.share * member.columns()));
    sizes.fold((0.0, 0.0), |(width, columns), (w, c)| (width + w, columns + c))
}

fn load(members: &[Member]) -> PartLoad {
    let held = held(members);
    let present: Vec<(Group, f64)> = held.iter().map(|held| (held.group, held.present())).collect();
    let (count, number_width) = numbers(members);
    let (width, columns) = sizes(members);
    let mut load = PartLoad {
        numbers: count,
        products: 2.0 * count * number_width,
        sliced: columns * groups_there(&present, of_ids).several(),
        joined: width * groups_there(&present, |_| true).several(),
        ..PartLoad::default()
    };
    for (held, (group, present)) in held.iter().zip(present) {
        *load.groups_of(group) += present;
        for member in &held.members {
            load.shifted += member.share * member.columns() * held.few_without(Some(member.at)).some();
            match group {
                Group::Ids { .. } => load.ids += member.share,
                Group::Sequences { .. } => load.values += member.share * member.columns() * member.width,
                Group::Numbers => {}
            }
        }
    }
    load
}

/// ∂/∂θ of every member by its position in the space, of something with the derivatives `by` the quantities of the load.
fn slopes(members: &[Member], by: &PartLoad) -> Vec<(usize, f64)> {
    let held = held(members);
    let present: Vec<(Group, f64)> = held.iter().map(|held| (held.group, held.present())).collect();
    let (count, number_width) = numbers(members);
    let (width, columns) = sizes(members);
    let sliced = groups_there(&present, of_ids).several();
    let joined = groups_there(&present, |_| true).several();
    let mut slopes = Vec::with_capacity(members.len());
    let mut by_groups = *by;
    for group in &held {
        let by_group = *by_groups.groups_of(group.group);
        // Where exactly one of the others is there, one more group makes two.
        let second_of_ids = groups_there(&present, |other| other != group.group && of_ids(other)).one;
        let second = groups_there(&present, |other| other != group.group).one;
        for member in &group.members {
            let own = match group.group {
                Group::Ids { .. } => by.ids,
                Group::Sequences { .. } => by.values * member.columns() * member.width,
                Group::Numbers => by.numbers + by.products * 2.0 * (number_width + member.width * count),
            };
            let others = group.few_without(Some(member.at));
            // It is shifted itself where there are others, and makes a lone one be shifted; all of a group have the same columns.
            let shifted = member.columns() * (others.some() + others.one);
            // ∂p_g/∂θ: the group is there through this member alone.
            let alone = others.none;
            let of_ids = if of_ids(group.group) { second_of_ids } else { 0.0 };
            let slope = own
                + by_group * alone
                + by.shifted * shifted
                + by.sliced * (member.columns() * sliced + columns * alone * of_ids)
                + by.joined * (member.width * joined + width * alone * second);
            slopes.push((member.at, slope));
        }
    }
    slopes
}

#[cfg(test)]
mod tests;
