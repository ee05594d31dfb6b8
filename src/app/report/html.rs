//! What all pages have in common: one file that loads nothing, follows the reader's choice of light or dark, fits a phone and prints.

use super::numbers::{fixed, grouped, probability, signed};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use std::fmt::Display;

const STYLE: &str = include_str!("style.css");

/// A whole page.
pub fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                // Without one, browsers ask the server for an icon.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (body)
            }
        }
    };
    page.into_string()
}

/// A picture, as it was drawn, inside of the page: on a phone it scrolls, so that its letters stay large enough to read.
pub fn drawn(svg: &str) -> Markup {
    html! { div class="picture" { (PreEscaped(svg)) } }
}

/// A table that scrolls inside of its own width. Columns whose name begins with `#` hold numbers; without
/// names there is no header.
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Markup>) -> Markup {
    table_of("wide", columns, rows)
}

/// The same, with a first column that stays where the others scroll.
pub fn pinned_table(columns: &[&str], rows: impl IntoIterator<Item = Markup>) -> Markup {
    table_of("wide pinned", columns, rows)
}

fn table_of(class: &str, columns: &[&str], rows: impl IntoIterator<Item = Markup>) -> Markup {
    html! {
        div class=(class) {
            table {
                @if !columns.is_empty() {
                    thead {
                        tr {
                            @for column in columns {
                                @match column.strip_prefix('#') {
                                    Some(name) => th class="n" { (name) },
                                    None => th { (column) },
                                }
                            }
                        }
                    }
                }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// A number as it is shown, with its whole value and, where a file has it, the file and the place in it as a JSON pointer.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    value: f64,
    text: String,
    from: Option<String>,
}

impl Figure {
    /// `value` shown with so many places.
    pub fn new(value: f64, places: usize) -> Self {
        Self { value, text: fixed(value, places), from: None }
    }

    /// A whole number, its thousands apart.
    pub fn count(value: usize) -> Self {
        Self { value: value as f64, text: grouped(value), from: None }
    }

    /// A probability, which is never shown as 0.
    pub fn probability(p: f64) -> Self {
        Self { value: p, text: probability(p), from: None }
    }

    /// `value` with its sign, shown with so many places.
    pub fn signed(value: f64, places: usize) -> Self {
        Self { text: signed(value, places), ..Self::new(value, places) }
    }

    /// Shown by another word than its number.
    pub fn shown(self, text: impl Display) -> Self {
        Self { text: text.to_string(), ..self }
    }

    /// The same number as it stands in `file` at `pointer`.
    pub fn from(self, file: &str, pointer: impl Display) -> Self {
        Self { from: Some(format!("{file}#{pointer}")), ..self }
    }
}

impl Render for Figure {
    fn render(&self) -> Markup {
        html! { data value=(self.value) data-from=[&self.from] { (self.text) } }
    }
}

/// A figure, or a dash.
pub fn or_dash(figure: Option<Figure>) -> Markup {
    html! { @match figure { Some(figure) => (figure), None => "–" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_keeps_its_whole_value_and_its_place() {
        let shown = |figure: Figure| html! { (figure) }.into_string();
        let auc = Figure::new(0.73951830325, 4).from("summary.json", "/winner/auc");
        assert_eq!(
            shown(auc),
            r#"<data value="0.73951830325" data-from="summary.json#/winner/auc">0.7395</data>"#
        );
        assert_eq!(shown(Figure::signed(-1.25, 1)), r#"<data value="-1.25">-1.2</data>"#);
        assert_eq!(shown(Figure::count(7)), r#"<data value="7">7</data>"#);
        assert_eq!(shown(Figure::count(154_071)), r#"<data value="154071">154,071</data>"#);
        assert_eq!(shown(Figure::signed(-0.00001, 4)), r#"<data value="-0.00001">0.0000</data>"#);
        assert_eq!(shown(Figure::probability(0.0002)), r#"<data value="0.0002">&lt; 0.001</data>"#);
        assert_eq!(or_dash(None).into_string(), "–");
    }

    #[test]
    fn a_page_loads_nothing_and_texts_are_escaped() {
        let page = document("a<b", &table(&["name", "#ms"], [html! { tr { td { "x&y" } } }]));
        assert!(page.contains("<title>a&lt;b</title>") && page.contains("<td>x&amp;y</td>"), "{page}");
        assert!(page.contains("<th>name</th><th class=\"n\">ms</th>"), "{page}");
        let pinned = pinned_table(&["name"], []).into_string();
        assert!(pinned.starts_with("<div class=\"wide pinned\">"), "{pinned}");
        for outside in ["http", "src=", "@import", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
