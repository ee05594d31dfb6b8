//! Just enough of Rust's lexical grammar to tell code from comments and text.

/// A word, a `::`, or a single other character, with its one-based line.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code of `source`. Comments and literals vanish, except for a string that is a path of this crate as a whole: serde
/// takes such strings for code.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(c) = rest.chars().next() {
        let (length, texts) = next(rest, c);
        found.extend(texts.into_iter().map(|text| Token { text, line }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Length in bytes of what stands at the beginning of `rest`, and the tokens it is.
fn next(rest: &str, c: char) -> (usize, Vec<String>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), vec![]);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), vec![]);
    }
    if let Some((open, close)) = string_start(rest) {
        let inside = &rest[open..];
        let length =
            if close.is_empty() { quoted(inside, '"') } else { inside.find(&close).unwrap_or(inside.len()) };
        let text = &inside[..length.min(inside.len())];
        let end = (open + length + close.len().max(1)).min(rest.len());
        return (end, path_in_string(text));
    }
    if c == '\'' {
        return (char_or_lifetime(rest), vec![]);
    }
    if let Some(name) = rest.strip_prefix("r#").filter(|name| name.starts_with(is_word_char)) {
        let length = name.find(|c| !is_word_char(c)).unwrap_or(name.len());
        return (2 + length, vec![name[..length].into()]);
    }
    if is_word_char(c) {
        let length = rest.find(|c| !is_word_char(c)).unwrap_or(rest.len());
        return (length, vec![rest[..length].into()]);
    }
    if rest.starts_with("::") {
        return (2, vec!["::".into()]);
    }
    let texts = if c.is_whitespace() { vec![] } else { vec![c.to_string()] };
    (c.len_utf8(), texts)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let tail = &rest[at..];
        if tail.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else if let Some(c) = tail.chars().next() {
            at += c.len_utf8();
        }
        if depth == 0 || at >= rest.len() {
            return at;
        }
    }
}

/// Bytes before a string's content and, for a raw string, what closes it (nothing for a common one).
fn string_start(rest: &str) -> Option<(usize, String)> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    match &rest[..prefix] {
        "" | "b" | "c" if rest[prefix..].starts_with('"') => Some((prefix + 1, String::new())),
        "r" | "br" | "cr" => {
            let hashes = rest[prefix..].chars().take_while(|&c| c == '#').count();
            let opened = rest[prefix + hashes..].starts_with('"');
            opened.then(|| (prefix + hashes + 1, format!("\"{}", "#".repeat(hashes))))
        }
        _ => None,
    }
}

/// Bytes up to an `end` that no backslash precedes.
fn quoted(inside: &str, end: char) -> usize {
    let mut escaped = false;
    let closing = inside.char_indices().find(|&(_, c)| {
        let closes = c == end && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    closing.map_or(inside.len(), |(at, _)| at)
}

fn char_or_lifetime(rest: &str) -> usize {
    let mut after = rest[1..].chars();
    match (after.next(), after.next()) {
        (Some('\\'), _) => (2 + quoted(&rest[1..], '\'')).min(rest.len()),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

fn path_in_string(text: &str) -> Vec<String> {
    let is_path = (text.starts_with("crate::") || text.starts_with("super::"))
        && text.chars().all(|c| is_word_char(c) || c == ':');
    if is_path { tokens(text).into_iter().map(|token| token.text).collect() } else { vec![] }
}
