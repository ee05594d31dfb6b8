//! Every path in a file, with groups spelled out and `crate` and `super` resolved.

use crate::tokens::{Token, tokens};

/// A path as it is written, from its first segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// `crate::` and `super::` are resolved: the segments start at the crate's root. Other paths stay as written.
    pub segments: Vec<String>,
    /// Whether the path began with `crate` or `super`.
    pub internal: bool,
    pub line: usize,
}

/// All paths of two or more segments, and shorter ones in `use` and `extern crate`.
///
/// `module` is the path of the file's module.
pub fn references(source: &str, module: &[String]) -> Vec<Reference> {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, module: module.to_vec(), inline: Vec::new(), depth: 0 };
    reader.read()
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module of the current position.
    module: Vec<String>,
    /// Brace depths at which inline modules opened.
    inline: Vec<usize>,
    depth: usize,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn read(&mut self) -> Vec<Reference> {
        let mut found = Vec::new();
        let mut import = false;
        while self.at < self.tokens.len() {
            let word = self.tokens[self.at].is_word();
            match self.text(self.at) {
                "use" | "extern" => import = true,
                ";" | "fn" => import = false,
                "mod" if self.text(self.at + 2) == "{" => {
                    self.module.push(self.text(self.at + 1).into());
                    self.inline.push(self.depth);
                    (self.at, self.depth) = (self.at + 2, self.depth + 1);
                }
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last() == Some(&self.depth) {
                        self.inline.pop();
                        self.module.pop();
                    }
                }
                "crate" if self.at > 0 && self.text(self.at - 1) == "extern" => {}
                _ if word => {
                    let mut paths = Vec::new();
                    self.path(&mut Vec::new(), &mut paths);
                    let kept = paths.into_iter().filter(|(path, _)| import || path.len() > 1);
                    found.extend(kept.map(|(path, line)| self.resolve(path, line)));
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        found
    }

    /// Reads a path or a group from the current word on, with the line of each path's end, and leaves the position
    /// behind it.
    fn path(&mut self, prefix: &mut Vec<String>, paths: &mut Vec<(Vec<String>, usize)>) {
        let length = prefix.len();
        loop {
            if self.text(self.at) == "{" {
                self.at += 1;
                while !matches!(self.text(self.at), "}" | "") {
                    match self.text(self.at) {
                        "," => self.at += 1,
                        "as" => self.at += 2,
                        _ => self.path(prefix, paths),
                    }
                }
                self.at += 1;
                break;
            }
            prefix.push(self.text(self.at).into());
            self.at += 1;
            let goes_on = self.text(self.at) == "::"
                && self
                    .tokens
                    .get(self.at + 1)
                    .is_some_and(|next| next.is_word() || "{*".contains(&next.text));
            if !goes_on {
                paths.push((prefix.clone(), self.tokens[self.at - 1].line));
                break;
            }
            self.at += 1;
        }
        prefix.truncate(length);
    }

    fn resolve(&self, path: Vec<String>, line: usize) -> Reference {
        let internal = matches!(path[0].as_str(), "crate" | "super");
        if !internal && path[0] != "self" {
            return Reference { segments: path, internal, line };
        }
        let mut segments = self.module.clone();
        for segment in path {
            match segment.as_str() {
                "crate" => segments.clear(),
                "super" => drop(segments.pop()),
                "self" => {}
                _ => segments.push(segment),
            }
        }
        Reference { segments, internal: true, line }
    }
}
