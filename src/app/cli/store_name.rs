//! The name of a store on the command line. clap shows a value that it cannot read, and the address of a server may hold a
//! password: so this says what is wrong with it and not what it is.

use crate::measure::store::StoreChoice;
use clap::{
    Arg, Command, Error,
    builder::TypedValueParser,
    error::{ErrorKind, Result},
};
use std::ffi::OsStr;

/// Reads a [`StoreChoice`].
#[derive(Debug, Clone, Copy)]
pub struct StoreName;

impl TypedValueParser for StoreName {
    type Value = StoreChoice;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<StoreChoice> {
        let parsed = match value.to_str() {
            Some(text) => text.parse().map_err(|error: crate::base::Error| error.to_string()),
            None => Err("the name is no UTF-8; give the store another one".to_owned()),
        };
        parsed.map_err(|problem| {
            let arg = arg.map_or_else(String::new, |arg| format!(" for '{arg}'"));
            Error::raw(ErrorKind::ValueValidation, format!("invalid value{arg}: {problem}\n"))
                .with_cmd(command)
        })
    }
}
