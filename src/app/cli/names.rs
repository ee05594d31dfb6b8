//! Names of engines, providers, layouts and so on as values of options: clap completes them, and knows the nearest one.

use crate::base::names::{
    Embeddings, EngineName, Layout, PackageForm, Precision, Provider, RangeMethod, RowFormat,
};
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser, ValueParserFactory};

macro_rules! completed {
    ($($name:ident),+ $(,)?) => {
        $(impl ValueParserFactory for $name {
            type Parser = ValueParser;

            fn value_parser() -> ValueParser {
                let names = PossibleValuesParser::new(Self::ALL.iter().map(|value| value.name()));
                names.try_map(|name| name.parse::<Self>()).into()
            }
        })+
    };
}

completed!(Embeddings, EngineName, Layout, PackageForm, Precision, Provider, RangeMethod, RowFormat);
