//! Links from the page to the files of a run, as they lie to each other.

use crate::base::shell;
use maud::{Markup, html};
use std::path::{Component, Path, PathBuf};

/// Where files are.
pub(super) struct Links {
    folder: PathBuf,
    /// From the page's folder to that of the run, with `/` at its end; empty where they are the same.
    way: String,
}

impl Links {
    pub(super) fn new(folder: &Path, page: &Path) -> Self {
        let beside = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
        let from = settled(beside.parent().unwrap_or(Path::new("/")));
        Self { folder: folder.to_owned(), way: way(&from, &settled(folder)) }
    }

    /// The run's folder as it was named.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What writes the page again.
    pub(super) fn report_command(&self) -> String {
        shell::command(["autofas-bench", "report", "--run", &self.folder.to_string_lossy()])
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    /// A link to a file of the run; its mere name where it is not there.
    pub(super) fn to(&self, file: &str) -> Markup {
        self.named(file, file)
    }

    /// The same under another name.
    pub(super) fn named(&self, file: &str, name: &str) -> Markup {
        html! {
            @if self.has(file) {
                a href=(percent_encoded(&format!("{}{file}", self.way))) { (name) }
            } @else {
                (name)
            }
        }
    }
}

/// Where a folder is, without the `..` and links of how it was named.
fn settled(folder: &Path) -> PathBuf {
    folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
}

fn way(from: &Path, to: &Path) -> String {
    let parts = |path: &Path| -> Vec<String> {
        let normal = path.components().filter(|part| !matches!(part, Component::CurDir));
        normal.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (from, to) = (parts(from), parts(to));
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - same);
    up.chain(to[same..].iter().cloned()).map(|part| part + "/").collect()
}

/// A relative link: whatever is no plain character of a path is written as its bytes.
pub(super) fn percent_encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut link, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                link.push(byte as char)
            }
            _ => link += &format!("%{byte:02X}"),
        }
        link
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_goes_up_to_what_both_have_and_down_from_there() {
        for (from, to, expected) in [
            ("/a/run", "/a/run", ""),
            ("/a/run/pages", "/a/run", "../"),
            ("/b/c", "/a/run", "../../a/run/"),
            ("/", "/a", "a/"),
        ] {
            assert_eq!(way(Path::new(from), Path::new(to)), expected, "{from} {to}");
        }
        assert_eq!(percent_encoded("my run/a#1.json"), "my%20run/a%231.json");
    }

    #[test]
    fn a_folder_named_by_a_detour_is_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (run, pages) = (dir.path().join("run"), dir.path().join("pages"));
        [&run, &pages].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        let detour = pages.join("..").join("run");
        assert_eq!(Links::new(&detour, &pages.join("page.html")).way, "../run/");
        assert_eq!(Links::new(&run, &detour.join("report.html")).way, "");
    }
}
