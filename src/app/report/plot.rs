//! Pictures of responses as SVG: their percentiles on HdrHistogram's axis, where every nine takes as much room as the one
//! before, and percentiles over the offered rate. Percentiles that too few requests earn are not drawn.
//!
//! Colours stand in the attributes for light paper; a style sheet in the picture exchanges them where the reader prefers
//! dark. Text is left to the reader's own sans-serif: no font is needed to draw.

use super::{Curve, Distribution, RESPONSE, load_text};
use crate::measure::latency::samples_needed;
use hdrhistogram::Histogram;
use plotters::{
    chart::ChartContext,
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    element::DashedPathElement,
    prelude::*,
};
use std::{io, ops::Range};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 520;

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

/// Length and gap of a line's strokes, in pixels.
const SOLID: (i32, i32) = (1, 0);
const LEGEND_PX: i32 = 28;
/// Between points of a line of percentiles, on an axis where every nine is a decade.
const STEP_DECADES: f64 = 0.02;

/// The percentiles of a [`Curve`] and their strokes: the higher, the thinner.
const MARKS: [(&str, (i32, i32)); 4] = [("p50", SOLID), ("p90", (14, 4)), ("p99", (7, 5)), ("p99.9", (3, 4))];

/// One line of a picture.
struct Line {
    /// Its place in the legend; empty for none.
    label: String,
    /// Written where the line ends.
    mark: &'static str,
    ink: Ink,
    dash: (i32, i32),
    /// Places on both axes.
    points: Vec<(f64, f64)>,
}

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

/// The picture of all responses among `distributions`: percentiles, and below them percentiles over the offered rate where
/// there are `curves` of several rates.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(distributions: &[Distribution<'_>], curves: &[Curve<'_>]) -> io::Result<String> {
    let inks = Inks::of(distributions, curves);
    let by_percentile = percentile_lines(distributions, &inks);
    let over_rate = rate_lines(curves, &inks);
    let mut text = String::new();
    let panels = if over_rate.is_empty() { 1 } else { 2 };
    {
        let paper = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT * panels)).into_drawing_area();
        paper.fill(&PAPER.0).map_err(io::Error::other)?;
        let (top, bottom) = paper.split_vertically(HEIGHT as i32);
        let x = percentile_scale(&by_percentile);
        draw(&top, "Response time by percentile", x, &by_percentile).map_err(io::Error::other)?;
        if !over_rate.is_empty() {
            let x = rate_scale(&over_rate);
            draw(&bottom, "Response time over the offered rate", x, &over_rate).map_err(io::Error::other)?;
        }
        paper.present().map_err(io::Error::other)?;
    }
    Ok(with_dark_style(&text))
}

/// A colour for every engine, in the order in which they first appear.
struct Inks<'a>(Vec<&'a str>);

impl<'a> Inks<'a> {
    fn of(distributions: &[Distribution<'a>], curves: &[Curve<'a>]) -> Self {
        let mut engines = Vec::new();
        let all = distributions.iter().map(|d| d.engine).chain(curves.iter().map(|c| c.engine));
        all.for_each(|engine| {
            if !engines.contains(&engine) {
                engines.push(engine);
            }
        });
        Self(engines)
    }

    fn ink(&self, engine: &str) -> Ink {
        let place = self.0.iter().position(|known| *known == engine).unwrap_or(0);
        INKS[place % INKS.len()]
    }
}

fn percentile_lines(distributions: &[Distribution<'_>], inks: &Inks<'_>) -> Vec<Line> {
    let responses = distributions.iter().filter(|distribution| distribution.kind == RESPONSE);
    let line = |response: &Distribution<'_>| Line {
        label: format!("{}, {}", response.engine, load_text(response.offered_qps)),
        mark: "",
        ink: inks.ink(response.engine),
        dash: SOLID,
        points: percentile_points(response.histogram),
    };
    responses.map(line).collect()
}

/// The quantile function up to the last quantile that the values earn, as (log₁₀ 1/(1 − q), log₁₀ ms).
fn percentile_points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let earned = (0..)
        .map(|step| f64::from(step) * STEP_DECADES)
        .map(|x| (x, 1.0 - 10f64.powf(-x)))
        .take_while(|&(_, q)| histogram.len() >= samples_needed(q).max(1));
    earned.map(|(x, q)| (x, log_ms(histogram.value_at_quantile(q) as f64))).collect()
}

/// The percentiles of every curve with more than one rate, as (rate, log₁₀ ms).
fn rate_lines(curves: &[Curve<'_>], inks: &Inks<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for curve in curves {
        let mut label = curve.engine.to_owned();
        for (percentile, (mark, dash)) in MARKS.into_iter().enumerate() {
            let of = |(qps, us): &(f64, [Option<f64>; MARKS.len()])| Some((*qps, log_ms(us[percentile]?)));
            let mut points: Vec<_> = curve.points.iter().filter_map(of).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if points.len() > 1 {
                // The first line of an engine stands for all of them.
                let label = std::mem::take(&mut label);
                lines.push(Line { label, mark, ink: inks.ink(curve.engine), dash, points });
            }
        }
    }
    lines
}

/// Histograms know no part of a microsecond.
fn log_ms(us: f64) -> f64 {
    (us.max(1.0) / 1e3).log10()
}

fn percentile_scale(lines: &[Line]) -> Scale {
    let end = lines.iter().flat_map(|l| &l.points).map(|p| p.0).fold(1.0, f64::max);
    let nines = (1..=end.ceil() as i32).map(f64::from);
    Scale {
        title: "percentile",
        range: (0.0, end),
        ticks: [0.0, 2f64.log10()].into_iter().chain(nines).filter(|&x| x <= end).collect(),
        // Of 10⁻ˣ, which keeps every nine.
        name: |x| format!("{} %", number(100.0 - 100.0 * 10f64.powf(-x))),
    }
}

fn rate_scale(lines: &[Line]) -> Scale {
    let end = lines.iter().flat_map(|l| &l.points).map(|p| p.0).fold(0.0, f64::max);
    let step = one_two_five(end / 5.0);
    Scale {
        title: "offered requests per second",
        // Room for the marks at the lines' ends.
        range: (0.0, end * 1.08),
        ticks: (0..).map(|i| f64::from(i) * step).take_while(|&x| x <= end * 1.001).collect(),
        name: number,
    }
}

fn response_scale(lines: &[Line]) -> Scale {
    let values = || lines.iter().flat_map(|l| &l.points).map(|p| p.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    logarithmic("response time in ms", if low <= high { (low, high) } else { (0.0, 1.0) })
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
fn one_two_five(value: f64) -> f64 {
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
        .caption(title, font(24))
        .margin(16)
        .margin_right(32)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.0)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID.0)
        .label_style(font(16))
        .axis_desc_style(font(17))
        .x_desc(x_title)
        .y_desc(y_title)
        .draw()?;
    Ok(chart)
}

fn draw(paper: &Paper<'_>, title: &str, x: Scale, lines: &[Line]) -> Result<(), DrawingError> {
    let y = response_scale(lines);
    let mut chart = mesh(paper, title, x, y)?;
    for line in lines {
        let style = ShapeStyle { color: line.ink.0.into(), filled: false, stroke_width: 2 };
        let (length, gap) = line.dash;
        let drawn = match gap {
            0 => chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?,
            _ => chart.draw_series(DashedLineSeries::new(line.points.clone(), length, gap, style))?,
        };
        if !line.label.is_empty() {
            drawn.label(&line.label).legend(move |(x, y)| {
                DashedPathElement::new(vec![(x, y), (x + LEGEND_PX, y)], length, gap, style)
            });
        }
        if let (Some(&end), false) = (line.points.last(), line.mark.is_empty()) {
            let place = |at| EmptyElement::at(at) + Text::new(line.mark, (6, -8), font(15));
            chart.draw_series(std::iter::once(place(end)))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .legend_area_size(LEGEND_PX + 8)
        .label_font(font(16))
        .background_style(PAPER.0)
        .border_style(TRANSPARENT)
        .draw()
}

/// Exchanges every colour of the light picture where the reader prefers dark: a rule of a style sheet goes before an
/// attribute.
pub(super) fn with_dark_style(svg: &str) -> String {
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let rules: String = [PAPER, TEXT, GRID]
        .iter()
        .chain(&INKS)
        .map(|&(light, dark)| {
            let (light, dark) = (hex(light), hex(dark));
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>");
    svg.replacen('>', &format!(">\n{style}"), 1)
}

#[cfg(test)]
mod tests;
