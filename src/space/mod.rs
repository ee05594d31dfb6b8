//! What can be chosen: operators, the search space, and one choice from it (a [`Subnet`]) with its canonical id.

use crate::{
    base::{Error, Result, check::WIDEST_LAYER, error::Place, names::Layout},
    data::schema::{Feature, Side},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

pub mod design;
mod input;
mod subnet;

pub use input::{Group, Input, InputLoad, PartLoad};
pub use subnet::Subnet;

/// An operator of a Mixop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// One dense layer with this many outputs and a ReLU.
    Mlp(usize),
    /// Output = input: picking it removes the layer.
    Zero,
}

impl Operator {
    /// Outputs of its layer; None for the zero operator, which has as many as inputs.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Mlp(width) => Some(width),
            Self::Zero => None,
        }
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operator::Mlp(width) => write!(f, "{width}"),
            Operator::Zero => f.write_str("zero"),
        }
    }
}

/// Width of the network's input, by side. Real-valued, because the search prices expected widths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputWidths {
    /// Columns that come once per request.
    pub user: f64,
    /// Columns that come once per candidate.
    pub item: f64,
}

impl InputWidths {
    /// Both sides together.
    pub fn total(&self) -> f64 {
        self.user + self.item
    }
}

/// All features of a schema and all operators of every Mixop.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    /// Features in schema order, those that are marked `never` among them: they keep their index and are not chosen.
    pub features: Vec<Feature>,
    /// Operators of each Mixop; widths within one are distinct.
    pub mixops: Vec<Vec<Operator>>,
    layout: Layout,
}

impl SearchSpace {
    /// Checks that every Mixop has operators, with distinct widths that a layer can have and at most one zero operator.
    pub fn new(features: Vec<Feature>, mixops: Vec<Vec<Operator>>) -> Result<Self> {
        let fix = format!(
            "list distinct widths from 1 to {WIDEST_LAYER}, with at most one \"zero\", in [space] of the experiment"
        );
        if features.is_empty() {
            return Err(Error::usage(
                "the search space has no features",
                "declare at least one in the schema",
            ));
        }
        for (i, operators) in mixops.iter().enumerate() {
            let mut seen = std::collections::BTreeSet::new();
            let can_be_built =
                |operator: Operator| operator.width().is_none_or(|width| (1..=WIDEST_LAYER).contains(&width));
            let sound = operators.iter().all(|&operator| can_be_built(operator) && seen.insert(operator));
            if operators.is_empty() || !sound {
                return Err(Error::usage(
                    format!("Mixop {} has no or repeated operators, or widths that no layer has", i + 1),
                    fix,
                ));
            }
        }
        Ok(Self { features, mixops, layout: Layout::UserOnce })
    }

    /// The same space, priced as it is served in that layout: where the layout has rows for items, features that last are
    /// neither fetched nor multiplied in a request.
    pub fn served_in(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// On which side of a request's input a feature is; on none where a row of the item table holds what it adds.
    pub fn side_in_request(&self, feature: usize) -> Option<Side> {
        let feature = &self.features[feature];
        (self.layout.rows().is_none() || !feature.lasts()).then(|| feature.kind.side())
    }

    /// Checks a choice that was read from `file`: everything behind it takes its features for ascending and known.
    pub fn verify(&self, subnet: &Subnet, file: &Path) -> Result<()> {
        let Subnet { features, operators } = subnet;
        let ascending = features.windows(2).all(|pair| pair[0] < pair[1]);
        let known = features.last().is_some_and(|&last| last < self.features.len());
        let offered = operators.len() == self.mixops.len()
            && operators.iter().zip(&self.mixops).all(|(operator, mixop)| mixop.contains(operator));
        let (key, problem) = if !ascending || !known {
            let problem = format!("not ascending indices of the schema's {} features", self.features.len());
            ("features", problem)
        } else if !offered {
            ("operators", format!("not one operator of each of the {} Mixops", self.mixops.len()))
        } else {
            return Ok(());
        };
        let fix = "restore the file, or remove it to derive the network again";
        Err(Error::input(file, Place::field(key), problem, fix))
    }

    /// Whether a feature is of the item's side: it tells the candidates of a request apart.
    pub fn of_item(&self, feature: usize) -> bool {
        self.features[feature].kind.side() == Side::Item
    }

    /// Features that may be chosen: all that are not marked `never`.
    pub fn selectable(&self) -> Vec<usize> {
        (0..self.features.len()).filter(|&i| !self.features[i].never).collect()
    }

    /// The dearest choice: all features that may be chosen, on the widest layers.
    pub fn widest(&self) -> Subnet {
        let widest = |operators: &Vec<Operator>| {
            operators.iter().copied().max_by_key(|operator| operator.width()).unwrap_or(Operator::Zero)
        };
        Subnet { features: self.selectable(), operators: self.mixops.iter().map(widest).collect() }
    }

    /// Hidden layers of these widths, which need not be in the space, on all features that may be chosen.
    pub fn plain(&self, widths: &[usize]) -> Subnet {
        let operators = widths.iter().map(|&width| Operator::Mlp(width)).collect();
        Subnet { features: self.selectable(), operators }
    }

    /// Fails when no feature of the item's side may be selected: all candidates of a request would score alike.
    pub fn check_item_side(&self) -> Result<()> {
        if (0..self.features.len()).any(|i| self.of_item(i) && !self.features[i].never) {
            return Ok(());
        }
        Err(Error::usage(
            "no feature of the candidates may be selected, so all candidates of a request would score alike",
            "declare at least one feature of kind item or interactive in the schema, without `never`",
        ))
    }

    /// Input widths when each feature counts with weight `share` (1 or 0 for a choice, θ for an expectation). A feature whose
    /// part comes as a row does not count.
    pub fn input_widths(&self, share: impl Fn(usize) -> f64) -> InputWidths {
        let mut widths = InputWidths { user: 0.0, item: 0.0 };
        for (i, feature) in self.features.iter().enumerate() {
            let part = share(i) * feature.width as f64;
            match self.side_in_request(i) {
                Some(Side::User) => widths.user += part,
                Some(Side::Item) => widths.item += part,
                None => {}
            }
        }
        widths
    }
}

/// What stands between two Mixops: whose output an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The network's own input, never merged with an entry of equal width.
    Input,
    /// The output of MLP operators of this width.
    Width(usize),
}

impl Key {
    /// The width behind the key.
    pub fn width(self, input_width: usize) -> usize {
        match self {
            Key::Input => input_width,
            Key::Width(width) => width,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Input => f.write_str("input"),
            Key::Width(width) => write!(f, "{width}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::Schema;
    use Operator::{Mlp, Zero};

    /// `hour` of the context, 4 wide, and `price` and `brand` of the item, 8 wide.
    fn features() -> Vec<Feature> {
        let text = r#"
            [data]
            label = "click"
            [[feature]]
            name = "hour"
            kind = "context"
            type = "categorical"
            width = 4
            fetch_ms = 1
            [[feature]]
            columns = ["price", "brand"]
            kind = "item"
            type = "categorical"
            fetch_ms = 1
        "#;
        Schema::parse(text, Path::new("s.toml")).unwrap().features
    }

    fn space() -> SearchSpace {
        SearchSpace::new(features(), vec![vec![Mlp(16), Mlp(8), Zero]; 3]).unwrap()
    }

    fn subnet(features: &[usize], operators: &[Operator]) -> Subnet {
        Subnet { features: features.to_vec(), operators: operators.to_vec() }
    }

    #[test]
    fn an_id_counts_the_features_lists_the_layers_and_ends_with_a_hash_of_the_names() {
        // `printf 'hour\nprice' | sha256sum` begins with these digits.
        let id = subnet(&[0, 1], &[Mlp(16), Zero, Mlp(8)]).id(&space());
        assert_eq!(id, "f2-16-8-baa7641c");
    }

    #[test]
    fn zero_operators_at_other_places_leave_the_id_and_another_order_of_layers_changes_it() {
        let space = space();
        let id = |operators: [Operator; 3]| subnet(&[0, 1], &operators).id(&space);
        assert_eq!(id([Zero, Mlp(16), Mlp(8)]), id([Mlp(16), Mlp(8), Zero]));
        assert_ne!(id([Mlp(8), Mlp(16), Zero]), id([Mlp(16), Mlp(8), Zero]));
        assert_ne!(id([Mlp(16), Zero, Zero]), id([Mlp(16), Mlp(16), Zero]));
        let with = |features: &[usize]| subnet(features, &[Zero; 3]).id(&space);
        assert_ne!(with(&[0, 1]), with(&[0, 2]));
    }

    #[test]
    fn the_widths_in_an_id_are_those_of_the_layers() {
        for operators in [[Mlp(16), Zero, Mlp(8)], [Zero; 3]] {
            let subnet = subnet(&[0, 1], &operators);
            assert_eq!(Subnet::widths_of(&subnet.id(&space())), Some(subnet.layer_widths()));
        }
        for id in ["by-hand", "f2", "f2-wide-baa7641c", ""] {
            assert_eq!(Subnet::widths_of(id), None, "{id}");
        }
    }

    #[test]
    fn layers_are_what_zero_operators_leave_in_order() {
        assert_eq!(subnet(&[0], &[Mlp(8), Zero, Mlp(16)]).layer_widths(), [8, 16]);
        assert!(subnet(&[0], &[Zero; 3]).layer_widths().is_empty());
    }

    #[test]
    fn input_widths_add_the_chosen_features_by_side() {
        let space = space();
        let of = |features: &[usize]| subnet(features, &[]).input_widths(&space);
        assert_eq!(of(&[0, 2]), InputWidths { user: 4.0, item: 8.0 });
        assert_eq!(of(&[1, 2]), InputWidths { user: 0.0, item: 16.0 });
        let expected = space.input_widths(|i| [0.5, 0.25, 1.0][i]);
        assert_eq!((expected.user, expected.item, expected.total()), (2.0, 10.0, 12.0));
    }

    #[test]
    fn a_choice_has_its_features_ascending_with_one_more_and_with_one_less() {
        let chosen = Subnet::new(vec![2, 0], vec![Mlp(8)]);
        assert_eq!(chosen, subnet(&[0, 2], &[Mlp(8)]));
        assert_eq!(chosen.with(1), subnet(&[0, 1, 2], &[Mlp(8)]));
        assert_eq!(chosen.without(0), subnet(&[2], &[Mlp(8)]));
    }

    #[test]
    fn the_widest_choice_has_every_feature_that_may_be_chosen() {
        let mut space = SearchSpace::new(features(), vec![vec![Mlp(8), Mlp(16), Zero], vec![Zero]]).unwrap();
        assert_eq!(space.widest(), subnet(&[0, 1, 2], &[Mlp(16), Zero]));
        space.features[1].never = true;
        assert_eq!(space.widest().features, [0, 2]);
        assert_eq!(space.plain(&[32, 4]), subnet(&[0, 2], &[Mlp(32), Mlp(4)]));
    }

    #[test]
    fn features_that_last_are_no_input_where_items_have_rows() {
        let mut features = features();
        features[2].refresh = crate::data::schema::Refresh::Request;
        let space = SearchSpace::new(features, vec![vec![Mlp(8)]]).unwrap();
        let widths = |layout| {
            let space = space.clone().served_in(layout);
            let widths = space.input_widths(|_| 1.0);
            (widths.user, widths.item)
        };
        assert_eq!(widths(Layout::UserOnce), (4.0, 16.0));
        for layout in [Layout::ItemCached, Layout::ItemCachedF16, Layout::ItemCachedI8] {
            assert_eq!(widths(layout), (4.0, 8.0), "`price` has a row, `brand` is read anew");
        }
    }

    #[test]
    fn a_space_without_features_or_with_unsound_operators_is_refused() {
        for mixop in [
            vec![],
            vec![Mlp(0)],
            vec![Mlp(1_000_000_000), Zero],
            vec![Mlp(8), Mlp(8)],
            vec![Zero, Mlp(8), Zero],
        ] {
            let refused = SearchSpace::new(features(), vec![vec![Mlp(8)], mixop.clone()]);
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("Mixop 2") && text.contains("[space]"), "{mixop:?}: {text}");
        }
        let text = SearchSpace::new(vec![], vec![vec![Mlp(8)]]).unwrap_err().to_string();
        assert!(text.contains("no features"), "{text}");
    }

    #[test]
    fn a_choice_from_a_file_that_the_space_does_not_offer_is_named_with_file_and_key() {
        let space = space();
        let all = [Mlp(16), Zero, Mlp(8)];
        let problem = |features: &[usize], operators: &[Operator]| {
            space.verify(&subnet(features, operators), Path::new("subnet.json")).map_err(|e| e.to_string())
        };
        assert_eq!(problem(&[0, 2], &all), Ok(()));
        for features in [&[2, 0][..], &[1, 1], &[0, 3], &[]] {
            let text = problem(features, &all).unwrap_err();
            assert!(text.starts_with("subnet.json, `features`: "), "{features:?}: {text}");
        }
        for operators in [&all[..2], &[Mlp(16), Mlp(4), Zero]] {
            let text = problem(&[0], operators).unwrap_err();
            assert!(text.starts_with("subnet.json, `operators`: "), "{operators:?}: {text}");
        }
    }
}
