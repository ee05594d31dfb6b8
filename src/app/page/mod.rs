//! What a run or a comparison found, as one page that loads nothing, with its pictures beside it as SVG files.
//!
//! [`write()`] looks at what stands in the folder. `run` and `comparison` say what is told of either; every figure that a JSON file of
//! the folder holds names its place there (the attribute `data-from`). Nothing is measured here, and nothing computed but what the
//! files imply: prices of features and layers, sums.

mod comparison;
mod links;
mod pictures;
mod run;

use super::{
    compare::{Comparison, render},
    iterate::Record,
    report::html::document,
};
use crate::base::{Result, fsio};
use links::Links;
use maud::Markup;
use pictures::Pictures;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of [`Written`].
const SCHEMA_VERSION: u32 = 1;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Version of this layout.
    pub schema_version: u32,
    /// The page.
    pub html: PathBuf,
    /// Its pictures, each in a file of its own.
    pub pictures: Vec<PathBuf>,
    /// What an unfinished run has not come to yet.
    pub missing: Vec<String>,
}

/// Reports on the run or the comparison in `folder`, into the page `out` or `report.html` in the folder. Pictures go into a folder
/// beside the page that is named as it is, without its ending.
///
/// # Errors
/// When there is neither, when a file there is of another version or broken, and when something cannot be written.
pub fn write(folder: &Path, out: Option<&Path>) -> Result<Written> {
    if folder.join("setup.json").exists() {
        return of_comparison(folder, &render(folder)?, out);
    }
    let record = Record::read(folder)?;
    let mut page = Page::new(folder, out);
    let body = run::body(&record, &page.links, &mut page.pictures)?;
    page.write(&format!("Run {}", name(folder)), &body, run::missing(&record))
}

/// Reports on a comparison that is known already; see [`write()`].
///
/// # Errors
/// When something cannot be written.
pub fn of_comparison(folder: &Path, comparison: &Comparison, out: Option<&Path>) -> Result<Written> {
    let mut page = Page::new(folder, out);
    let body = comparison::body(comparison, &page.links, &mut page.pictures)?;
    page.write(&format!("Comparison {}", name(folder)), &body, Vec::new())
}

/// Its last part, or what the system calls it.
fn name(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}

struct Page {
    html: PathBuf,
    links: Links,
    pictures: Pictures,
}

impl Page {
    fn new(folder: &Path, out: Option<&Path>) -> Self {
        let html = out.map_or_else(|| folder.join("report.html"), Path::to_owned);
        Self { links: Links::new(folder, &html), pictures: Pictures::beside(&html), html }
    }

    fn write(self, title: &str, body: &Markup, missing: Vec<String>) -> Result<Written> {
        let pictures = self.pictures.write()?;
        fsio::write(&self.html, document(title, body).as_bytes())?;
        Ok(Written { schema_version: SCHEMA_VERSION, html: self.html, pictures, missing })
    }
}

impl Written {
    /// For people: where the page is, and what it does not have yet.
    pub fn to_text(&self) -> String {
        let mut text = format!("report:  {}\n", self.html.display());
        if !self.missing.is_empty() {
            text += &format!("the run has not come to: {}\n", self.missing.join("; "));
        }
        text
    }
}
