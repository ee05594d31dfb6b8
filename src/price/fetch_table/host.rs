//! Prices of fetching belong to a host, as all others.

use super::FetchTable;
use crate::base::{Error, Result, error::Place};
use std::path::Path;

impl FetchTable {
    /// Fails where the prices, which came from `file`, were measured on another host than `here`.
    pub fn check_host(&self, file: &Path, here: &str) -> Result<()> {
        if self.host == here {
            return Ok(());
        }
        let problem = format!("it was measured on host {}, and this is {here}", self.host);
        let fix = "measure it here: `autofas-bench store price`";
        Err(Error::input(file, Place::field("host"), problem, fix))
    }
}
