//! What all pictures are drawn on: one size of paper that a phone can show, inks for light and dark, scales, and spots that say more
//! where the pointer rests on them.
//!
//! Colours stand in the attributes for light paper; a style sheet in the picture exchanges them where the reader prefers
//! dark, and not where the picture is printed. Text is left to the reader's own sans-serif: no font is needed to draw.

use super::marks::Spots;
use plotters::{
    chart::ChartContext,
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    prelude::*,
};
use std::{io, ops::Range};

/// Width of every picture, in pixels: two stand side by side on a screen, and on a phone letters stay large enough to read.
pub(super) const WIDTH: u32 = 560;
/// Height of a picture with one panel.
pub(super) const HEIGHT: u32 = 400;

/// A colour on light and on dark paper, told apart by people who see fewer colours too.
pub(super) type Ink = (RGBColor, RGBColor);

pub(super) const PAPER: Ink = (RGBColor(252, 252, 251), RGBColor(26, 26, 25));
pub(super) const TEXT: Ink = (RGBColor(42, 42, 40), RGBColor(222, 221, 214));
pub(super) const GRID: Ink = (RGBColor(225, 224, 217), RGBColor(56, 56, 53));
pub(super) const INKS: [Ink; 6] = [
    (RGBColor(42, 120, 214), RGBColor(57, 135, 229)),
    (RGBColor(235, 104, 52), RGBColor(217, 89, 38)),
    (RGBColor(27, 175, 122), RGBColor(25, 158, 112)),
    (RGBColor(237, 161, 0), RGBColor(201, 133, 0)),
    (RGBColor(232, 123, 164), RGBColor(213, 81, 129)),
    (RGBColor(0, 131, 0), RGBColor(0, 150, 10)),
];
/// Of what was not chosen.
pub(super) const QUIET: Ink = (RGBColor(152, 151, 144), RGBColor(122, 121, 115));

/// An axis: what it shows, where it begins and ends, where it is labelled, and what such a place is called.
pub(super) struct Scale {
    pub(super) title: &'static str,
    pub(super) range: (f64, f64),
    pub(super) ticks: Vec<f64>,
    pub(super) name: fn(f64) -> String,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (begin, end): (i32, i32)) -> i32 {
        let share = (value - self.range.0) / (self.range.1 - self.range.0);
        begin + (f64::from(end - begin) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        (self.name)(*place)
    }
}

/// An axis of logarithms to base 10, from the nearest of …, 1, 2, 5, 10, … around `low` and `high`.
pub(super) fn logarithmic(title: &'static str, (low, high): (f64, f64)) -> Scale {
    let marks = (low.floor() as i32 - 1..=high.ceil() as i32)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(decade)));
    let marks: Vec<f64> = marks.collect();
    // The nearest marks around the values.
    let first = marks.iter().rposition(|&m| m < low).unwrap_or(0);
    let last = marks.iter().position(|&m| m > high).unwrap_or(marks.len() - 1);
    Scale {
        title,
        range: (marks[first], marks[last]),
        ticks: marks[first..=last].to_vec(),
        name: |y| number(10f64.powf(y)),
    }
}

/// The least of …, 1, 2, 5, 10, … that is not below `value`, which is above 0.
pub(super) fn one_two_five(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].map(|m| m * decade).into_iter().find(|&step| step >= value).unwrap_or(10.0 * decade)
}

/// At most three digits behind the leading one, no zeros at the end; every nine of a percentage.
pub(super) fn number(value: f64) -> String {
    let rest = 100.0 - value;
    let places = match value {
        v if v > 99.0 && rest > 0.0 && rest < 1.0 => (-rest.log10()).ceil() as usize,
        0.0 => 0,
        v => (2 - v.abs().log10().floor() as i32).max(0) as usize,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

pub(super) type Paper<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(super) type Chart<'a, 'p> = ChartContext<'a, SVGBackend<'p>, Cartesian2d<Scale, Scale>>;
pub(super) type DrawingError = DrawingAreaErrorKind<io::Error>;

/// Text of so many pixels.
pub(super) fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT.0)
}

/// An empty chart: title, axes and grid.
pub(super) fn mesh<'a, 'p>(
    paper: &'a Paper<'p>,
    title: &str,
    x: Scale,
    y: Scale,
) -> Result<Chart<'a, 'p>, DrawingError> {
    let (x_title, y_title) = (x.title, y.title);
    let mut chart = ChartBuilder::on(paper)
        .caption(title, font(18))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.0)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID.0)
        .label_style(font(16))
        .axis_desc_style(font(16))
        .x_desc(x_title)
        .y_desc(y_title)
        .draw()?;
    Ok(chart)
}

/// A picture of that height, which `draw` fills; `title` is its text for those who do not see it.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub(super) fn picture(
    title: &str,
    height: u32,
    draw: impl FnOnce(&Paper<'_>, &mut Spots) -> Result<(), DrawingError>,
) -> io::Result<String> {
    let (mut text, mut spots) = (String::new(), Spots::default());
    {
        let paper = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        paper.fill(&PAPER.0).map_err(io::Error::other)?;
        draw(&paper, &mut spots).map_err(io::Error::other)?;
        paper.present().map_err(io::Error::other)?;
    }
    let text = text.replacen("</svg>", &format!("{}</svg>", spots.svg()), 1);
    Ok(with_dark_style(&named(&text, title)))
}

fn named(svg: &str, title: &str) -> String {
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(title)), 1)
}

/// Text inside of elements and of attributes in quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Exchanges every colour of the light picture where the reader prefers dark: a rule of a style sheet goes before an
/// attribute.
pub(super) fn with_dark_style(svg: &str) -> String {
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let rules: String = [PAPER, TEXT, GRID, QUIET]
        .iter()
        .chain(&INKS)
        .map(|&(light, dark)| {
            let (light, dark) = (hex(light), hex(dark));
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    let style = format!("<style>@media screen and (prefers-color-scheme:dark){{{rules}}}</style>");
    svg.replacen('>', &format!(">\n{style}"), 1)
}
