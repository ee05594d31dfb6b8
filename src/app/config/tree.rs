//! Nested keys of a TOML document as dotted paths. A leaf is anything that is not a table: arrays are leaves too.

use toml::{Table, Value};

/// A leaf with its dotted path.
pub type Leaf = (String, Value);

/// All leaves in document order. An empty table has none.
pub fn leaves(table: &Table) -> Vec<Leaf> {
    let mut found = Vec::new();
    collect(table, "", &mut found);
    found
}

fn collect(table: &Table, prefix: &str, found: &mut Vec<Leaf>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => collect(inner, &path, found),
            leaf => found.push((path, leaf.clone())),
        }
    }
}

/// Sets a leaf, creating the tables on its way. A scalar that stands where a table is needed gives way.
pub fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = table.entry(head.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// The value at a dotted path.
pub fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((head, rest)) => get(table.get(head)?.as_table()?, rest),
    }
}

/// Leaves that two documents do not share, with the value of each: those of the first one in its order, then those that only the
/// second has.
pub fn differing(a: &Table, b: &Table) -> Vec<(String, Option<Value>, Option<Value>)> {
    let of_a = leaves(a).into_iter().map(|(path, value)| {
        let other = get(b, &path).cloned();
        (path, Some(value), other)
    });
    let of_b = leaves(b).into_iter().filter(|(path, _)| get(a, path).is_none());
    let all = of_a.chain(of_b.map(|(path, value)| (path, None, Some(value))));
    all.filter(|(_, a, b)| a != b).collect()
}

/// Whether `path` is `other` or lies inside it.
pub fn within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_set_one_by_one_rebuild_the_document() {
        let table: Table = "a = 1\n[b]\nc = [1, 2]\n[b.d]\ne = \"x\"".parse().unwrap();
        let mut rebuilt = Table::new();
        for (path, value) in leaves(&table) {
            assert_eq!(get(&table, &path), Some(&value));
            set(&mut rebuilt, &path, value);
        }
        assert_eq!(rebuilt, table);
    }

    #[test]
    fn a_path_is_not_within_one_that_only_shares_letters() {
        assert!(within("a.b", "a") && within("a", "a"));
        assert!(!within("ab", "a") && !within("a", "a.b"));
    }
}
