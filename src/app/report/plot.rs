//! Pictures of responses as SVG: their percentiles on HdrHistogram's axis, where every nine takes as much room as the one
//! before, and percentiles over the offered rate. Percentiles that too few requests earn are not drawn.

use super::{
    COLUMNS, Curve, Distribution, RESPONSE, load_text,
    marks::{Legend, Mark, Spots},
    paper::{
        DrawingError, HEIGHT, INKS, Ink, Paper, Scale, font, logarithmic, mesh, number, one_two_five, picture,
    },
};
use plotters::prelude::*;
use std::io;

/// Length and gap of a line's strokes, in pixels.
const SOLID: (i32, i32) = (1, 0);
/// Of what may not be believed.
const DOUBTED: (i32, i32) = (7, 5);
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
    /// What is said at some of them.
    said: Vec<((f64, f64), String)>,
}

impl Line {
    fn in_legend(&self) -> Mark {
        if self.dash == DOUBTED { Mark::Dashed(self.ink) } else { Mark::Line(self.ink) }
    }
}

/// The picture of all responses among `distributions`: percentiles, and below them percentiles over the offered rate where
/// there are `curves` of several rates. Lines of what may not be believed are dashed.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(distributions: &[Distribution<'_>], curves: &[Curve<'_>]) -> io::Result<String> {
    let inks = Inks::of(distributions, curves);
    let by_percentile = percentile_lines(distributions, &inks);
    let over_rate = rate_lines(curves, &inks);
    let first = Panel::new("Response time by percentile", percentile_scale(&by_percentile), by_percentile);
    let second = (!over_rate.is_empty())
        .then(|| Panel::new("Response time over the offered rate", rate_scale(&over_rate), over_rate));
    let panels: Vec<Panel> = std::iter::once(first).chain(second).collect();
    let height = panels.iter().map(Panel::height).sum();
    picture(panels[0].title, height, |paper, spots| {
        let mut rest = paper.clone();
        for panel in panels {
            let (own, below) = rest.split_vertically(panel.height() as i32);
            panel.draw(&own, spots)?;
            rest = below;
        }
        Ok(())
    })
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
    let line = |response: &Distribution<'_>| {
        let (dash, doubt) = if response.valid { (SOLID, "") } else { (DOUBTED, ", NOT VALID") };
        let label = format!("{}, {}{doubt}", response.engine, load_text(response.offered_qps));
        let said =
            COLUMNS.iter().filter(|(quantile, _)| response.earns(*quantile)).map(|&(quantile, name)| {
                let us = response.histogram.value_at_quantile(quantile) as f64;
                let place = (-(1.0 - quantile).log10(), log_ms(us));
                (place, format!("{label}: {name} {} ms", number(us / 1e3)))
            });
        Line {
            mark: "",
            ink: inks.ink(response.engine),
            dash,
            points: percentile_points(response),
            said: said.collect(),
            label,
        }
    };
    responses.map(line).collect()
}

/// The quantile function up to the last quantile that the values earn, as (log₁₀ 1/(1 − q), log₁₀ ms).
fn percentile_points(response: &Distribution<'_>) -> Vec<(f64, f64)> {
    let earned = (0..)
        .map(|step| f64::from(step) * STEP_DECADES)
        .map(|x| (x, 1.0 - 10f64.powf(-x)))
        .take_while(|&(_, q)| response.distinct > 0 && response.earns(q));
    earned.map(|(x, q)| (x, log_ms(response.histogram.value_at_quantile(q) as f64))).collect()
}

/// The percentiles of every curve with more than one rate, as (rate, log₁₀ ms).
fn rate_lines(curves: &[Curve<'_>], inks: &Inks<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for curve in curves {
        let mut label = match (curve.doubted, curve.points.len()) {
            (0, _) => curve.engine.to_owned(),
            (doubted, rates) => format!("{}, NOT VALID at {doubted} of {rates} rates", curve.engine),
        };
        for (percentile, (mark, dash)) in MARKS.into_iter().enumerate() {
            let of = |(qps, us): &(f64, [Option<f64>; MARKS.len()])| Some((*qps, log_ms(us[percentile]?)));
            let mut points: Vec<_> = curve.points.iter().filter_map(of).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if points.len() > 1 {
                let said = points.iter().map(|&(qps, log)| {
                    let text = format!(
                        "{}, {mark} at {} requests/s: {} ms",
                        curve.engine,
                        number(qps),
                        number(10f64.powf(log))
                    );
                    ((qps, log), text)
                });
                let said = said.collect();
                // The first line of an engine stands for all of them.
                let label = std::mem::take(&mut label);
                lines.push(Line { label, mark, ink: inks.ink(curve.engine), dash, points, said });
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

/// Lines over one axis, with their legend below.
struct Panel {
    title: &'static str,
    x: Scale,
    lines: Vec<Line>,
    legend: Legend,
}

impl Panel {
    fn new(title: &'static str, x: Scale, lines: Vec<Line>) -> Self {
        let named = lines.iter().filter(|line| !line.label.is_empty());
        let legend = Legend::of(named.map(|line| (line.label.clone(), line.in_legend())));
        Self { title, x, lines, legend }
    }

    fn height(&self) -> u32 {
        HEIGHT + self.legend.height()
    }

    fn draw(self, paper: &Paper<'_>, spots: &mut Spots) -> Result<(), DrawingError> {
        let (plot, below) = paper.split_vertically(HEIGHT as i32);
        let mut chart = mesh(&plot, self.title, self.x, response_scale(&self.lines))?;
        for line in &self.lines {
            let style = ShapeStyle { color: line.ink.0.into(), filled: false, stroke_width: 2 };
            let points = || line.points.iter().copied();
            let (length, gap) = line.dash;
            match gap {
                0 => chart.draw_series(LineSeries::new(points(), style))?,
                _ => chart.draw_series(DashedLineSeries::new(points(), length, gap, style))?,
            };
            if let (Some(end), false) = (points().last(), line.mark.is_empty()) {
                let place = |at| EmptyElement::at(at) + Text::new(line.mark, (6, -8), font(16));
                chart.draw_series(std::iter::once(place(end)))?;
            }
            for (place, text) in &line.said {
                spots.say(chart.backend_coord(place), text.clone());
            }
        }
        self.legend.draw(&below)
    }
}

#[cfg(test)]
mod tests;
