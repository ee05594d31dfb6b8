//! Pictures of responses as SVG: their percentiles on HdrHistogram's axis, where every nine takes as much room as the one
//! before, and percentiles over the offered rate. Percentiles that too few requests earn are not drawn.
//!
//! Colours stand in the attributes for light paper; a style sheet in the picture exchanges them where the reader prefers
//! dark. Text is left to the reader's own sans-serif: no font is needed to draw.

use super::{Distribution, RESPONSE, load_text};
use crate::measure::latency::samples_needed;
use hdrhistogram::Histogram;
use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    element::DashedPathElement,
    prelude::*,
};
use std::{io, ops::Range};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 520;

/// A colour on light and on dark paper, told apart by people who see fewer colours too.
type Ink = (RGBColor, RGBColor);

const PAPER: Ink = (RGBColor(252, 252, 251), RGBColor(26, 26, 25));
const TEXT: Ink = (RGBColor(42, 42, 40), RGBColor(222, 221, 214));
const GRID: Ink = (RGBColor(225, 224, 217), RGBColor(56, 56, 53));
const INKS: [Ink; 6] = [
    (RGBColor(42, 120, 214), RGBColor(57, 135, 229)),
    (RGBColor(235, 104, 52), RGBColor(217, 89, 38)),
    (RGBColor(27, 175, 122), RGBColor(25, 158, 112)),
    (RGBColor(237, 161, 0), RGBColor(201, 133, 0)),
    (RGBColor(232, 123, 164), RGBColor(213, 81, 129)),
    (RGBColor(0, 131, 0), RGBColor(0, 150, 10)),
];

/// Length and gap of the strokes of an engine's first, second and third load, in pixels.
const DASHES: [(i32, i32); 3] = [(1, 0), (9, 5), (3, 4)];
/// Of the percentiles over the rate: the higher, the thinner.
const RATE_DASHES: [(i32, i32); PERCENTILES.len()] = [(1, 0), (14, 4), (7, 5), (3, 4)];
const LEGEND_PX: i32 = 28;
/// Between points of a line of percentiles, on an axis where every nine is a decade.
const STEP_DECADES: f64 = 0.02;

/// Percentiles that a picture over the rate shows.
const PERCENTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

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
struct Scale {
    title: &'static str,
    range: (f64, f64),
    ticks: Vec<f64>,
    name: fn(f64) -> String,
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

/// The picture of all responses among `distributions`: percentiles, and below them percentiles over the offered rate
/// when an engine has more than one.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(distributions: &[Distribution<'_>]) -> io::Result<String> {
    let engines = Engine::of(distributions);
    let by_percentile = percentile_lines(&engines);
    let over_rate = rate_lines(&engines);
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

/// The responses of one engine.
struct Engine<'a> {
    ink: Ink,
    responses: Vec<Distribution<'a>>,
}

impl<'a> Engine<'a> {
    /// Engines in the order in which they first appear, the responses of each by ascending rate.
    fn of(distributions: &[Distribution<'a>]) -> Vec<Self> {
        let mut engines: Vec<Self> = Vec::new();
        for &response in distributions.iter().filter(|d| d.kind == RESPONSE) {
            match engines.iter_mut().find(|e| e.responses[0].engine == response.engine) {
                Some(engine) => engine.responses.push(response),
                None => {
                    engines.push(Self { ink: INKS[engines.len() % INKS.len()], responses: vec![response] })
                }
            }
        }
        let rate = |response: &Distribution<'_>| response.offered_qps.unwrap_or(f64::INFINITY);
        engines.iter_mut().for_each(|e| e.responses.sort_by(|a, b| rate(a).total_cmp(&rate(b))));
        engines
    }

    /// Lowest, middle and highest load.
    fn shown(&self) -> Vec<&Distribution<'a>> {
        let last = self.responses.len() - 1;
        let mut shown = vec![0, last / 2, last];
        shown.dedup();
        shown.into_iter().map(|i| &self.responses[i]).collect()
    }
}

fn percentile_lines(engines: &[Engine<'_>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for engine in engines {
        for (response, dash) in engine.shown().into_iter().zip(DASHES) {
            lines.push(Line {
                label: format!("{}, {}", response.engine, load_text(response.offered_qps)),
                mark: "",
                ink: engine.ink,
                dash,
                points: percentile_points(response.histogram),
            });
        }
    }
    lines
}

/// The quantile function up to the last quantile that the values earn, as (log₁₀ 1/(1 − q), log₁₀ ms).
fn percentile_points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let earned = (0..)
        .map(|step| f64::from(step) * STEP_DECADES)
        .map(|x| (x, 1.0 - 10f64.powf(-x)))
        .take_while(|&(_, q)| histogram.len() >= samples_needed(q).max(1));
    earned.map(|(x, q)| (x, log_ms(histogram.value_at_quantile(q)))).collect()
}

fn rate_lines(engines: &[Engine<'_>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for engine in engines {
        for ((quantile, mark), dash) in PERCENTILES.into_iter().zip(RATE_DASHES) {
            let earned = engine.responses.iter().filter(|r| r.histogram.len() >= samples_needed(quantile));
            let point = |r: &Distribution<'_>| {
                Some((r.offered_qps?, log_ms(r.histogram.value_at_quantile(quantile))))
            };
            let points: Vec<_> = earned.filter_map(point).collect();
            if points.len() > 1 {
                // The first line of an engine stands for all of them.
                let label = if mark == PERCENTILES[0].1 { engine.responses[0].engine } else { "" };
                lines.push(Line { label: label.to_owned(), mark, ink: engine.ink, dash, points });
            }
        }
    }
    lines
}

/// Histograms know no part of a microsecond.
fn log_ms(us: u64) -> f64 {
    (us.max(1) as f64 / 1e3).log10()
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
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let marks = (low.floor() as i32 - 1..=high.ceil() as i32)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(decade)));
    let marks: Vec<f64> = marks.collect();
    // The nearest marks around the values.
    let first = marks.iter().rposition(|&m| m < low).unwrap_or(0);
    let last = marks.iter().position(|&m| m > high).unwrap_or(marks.len() - 1);
    Scale {
        title: "response time in ms",
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

type Paper<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawingError = DrawingAreaErrorKind<io::Error>;

fn draw(paper: &Paper<'_>, title: &str, x: Scale, lines: &[Line]) -> Result<(), DrawingError> {
    let y = response_scale(lines);
    let (x_title, y_title) = (x.title, y.title);
    let text = |size: u32| ("sans-serif", size).into_font().color(&TEXT.0);
    let mut chart = ChartBuilder::on(paper)
        .caption(title, text(24))
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
        .label_style(text(16))
        .axis_desc_style(text(17))
        .x_desc(x_title)
        .y_desc(y_title)
        .draw()?;
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
            let place = |at| EmptyElement::at(at) + Text::new(line.mark, (6, -8), text(15));
            chart.draw_series(std::iter::once(place(end)))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .legend_area_size(LEGEND_PX + 8)
        .label_font(text(16))
        .background_style(PAPER.0)
        .border_style(TRANSPARENT)
        .draw()
}

/// Exchanges every colour of the light picture where the reader prefers dark: a rule of a style sheet goes before an
/// attribute.
fn with_dark_style(svg: &str) -> String {
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
