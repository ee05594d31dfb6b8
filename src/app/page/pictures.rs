//! Pictures of a page: inside of it, and as files beside it.

use super::links::percent_encoded;
use crate::{
    app::report::html::drawn,
    base::{Error, Result, fsio},
};
use maud::{Markup, html};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Pictures by the names of their files.
pub(super) struct Pictures {
    folder: PathBuf,
    all: Vec<(String, String)>,
}

impl Pictures {
    /// Files go into the folder beside `page` that is named as it is.
    pub(super) fn beside(page: &Path) -> Self {
        Self { folder: page.with_extension(""), all: Vec::new() }
    }

    /// The picture with what is said of it, and a link to its file `name.svg`.
    pub(super) fn figure(&mut self, name: &str, svg: io::Result<String>, said: &str) -> Result<Markup> {
        let file = format!("{name}.svg");
        let svg = svg.map_err(|e| Error::io(self.folder.join(&file), "draw", e))?;
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let link = percent_encoded(&format!("{folder}/{file}"));
        let figure = html! {
            figure {
                (drawn(&svg))
                figcaption { (said) " " a href=(link) { (file) } }
            }
        };
        self.all.push((file, svg));
        Ok(figure)
    }

    /// Writes all files.
    pub(super) fn write(self) -> Result<Vec<PathBuf>> {
        let written = self.all.into_iter().map(|(file, svg)| {
            let path = self.folder.join(file);
            fsio::write(&path, svg.as_bytes())?;
            Ok(path)
        });
        written.collect()
    }
}
