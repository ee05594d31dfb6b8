//! The choice that an exported model stands for, as prices see it.

use crate::{
    app::probe::table_rows,
    base::{
        Error, Result,
        error::Place,
        names::{EngineName, Layout, Precision},
    },
    data::{encode::Encoders, schema::Schema},
    export::{self, Described, model, signature::Content},
    measure::{
        engine::SessionOptions,
        probe::{ServiceSettings, context_here, features_hash},
        service::Effort,
    },
    price::table::TableContext,
    space::{Operator, SearchSpace, Subnet},
};
use std::path::Path;

/// A network that has prices.
pub struct PricedNetwork {
    /// Of its features.
    pub schema: Schema,
    /// All features of the schema, and its own layers.
    pub space: SearchSpace,
    /// The network.
    pub subnet: Subnet,
    /// How its requests become inputs.
    pub layout: Layout,
    /// In which numbers it computes.
    pub precision: Precision,
    /// What its first layer may gather from, as tables state it ([`features_hash`]).
    pub features_hash: String,
}

impl PricedNetwork {
    /// Reads the metadata of a package. Its schema and encoders lie beside it, and so does the model that fills its item table, if it has one.
    ///
    /// Fails where they do not tell features and layers, and for a model that takes vectors from outside: what a table says of first
    /// layers holds the look-up.
    pub fn of_model(path: &Path) -> Result<Self> {
        let Described { signature, metadata, precision, .. } = export::describe(path)?;
        let layout = signature.layout;
        let mut tensors = signature.tensors;
        if layout.rows().is_some() {
            let (item, _) = export::read_signature(&model::beside(path, model::ITEM_MODEL))?;
            tensors.extend(item.tensors);
        }
        if tensors.iter().any(|tensor| tensor.content == Content::Embedded) {
            let problem = "the model takes embedded vectors from outside, and prices are those of models that look them up";
            let fix = "give the network as its run has it, with --run and --candidate";
            return Err(Error::input(path, Place::whole(), problem, fix));
        }
        let schema = Schema::load(&path.with_file_name("schema.json"))?;
        let values = tensors.iter().filter(|tensor| tensor.content == Content::Values);
        let names: Vec<&str> =
            values.flat_map(|tensor| &tensor.fields).map(|field| field.feature.as_str()).collect();
        let known = schema.features.iter().enumerate();
        let features =
            known.filter(|(_, feature)| names.contains(&feature.name.as_str())).map(|(at, _)| at).collect();
        let foreign = || {
            let problem = format!(
                "the metadata name the network `{}`, and that with the schema beside the model does not tell its features and layers",
                metadata.subnet
            );
            let fix = "give a model that a run or `autofas-bench export` wrote, with its companions";
            Error::input(path, Place::field("subnet"), problem, fix)
        };
        let widths = Subnet::widths_of(&metadata.subnet).ok_or_else(foreign)?;
        let operators: Vec<Operator> = widths.into_iter().map(Operator::Mlp).collect();
        let mixops = operators.iter().map(|&operator| vec![operator]).collect();
        let space = SearchSpace::new(schema.features.clone(), mixops)?.served_in(layout);
        let subnet = Subnet::new(features, operators);
        if subnet.id(&space) != metadata.subnet || schema.hash() != metadata.schema_hash {
            return Err(foreign());
        }
        let encoders = Encoders::load(&path.with_file_name("encoders.json"))?;
        let features_hash = features_hash(&space, &table_rows(&schema, Some(&encoders), 0)?);
        Ok(Self { schema, space, subnet, layout, precision, features_hash })
    }

    /// The circumstances of its prices on `engine` of this machine.
    pub fn context(&self, engine: EngineName, options: &SessionOptions) -> Result<TableContext> {
        let (options, effort) = (options.clone(), Effort::default());
        context_here(
            &ServiceSettings { engine, options, precision: self.precision, effort, seed: 0 },
            self.layout,
        )
    }
}
