//! AUC of systems against their latency as SVG: one curve per system, its budgets in order of latency, with the deviation over
//! seeds as a bar. Where there are many systems, all but a few are grey, and names stand beside their dots.

mod labels;

use super::{
    marks::{BELOW, Legend, Mark, Spots, dot},
    paper::{Chart, DrawingError, INKS, Ink, Paper, QUIET, Scale, font, logarithmic, mesh, picture},
};
use labels::{Labels, Nearness};
use plotters::prelude::*;
use std::{io, iter::once};

/// Of the plot, in pixels.
const PLOT: u32 = 440;
/// Steps of the AUC's axis, at least.
const STEPS: f64 = 6.0;
/// With fewer points, none is taken for an outlier.
const FEW: usize = 8;
/// Between quartiles, at least: AUCs that all are the same make no outliers of their noise.
const LEAST_DISTANCE: f64 = 0.0005;
/// Of what no other point beats.
const BEST: Ink = INKS[1];

/// How a system stands in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// In a colour of its own, with a line through its points and a place in the legend.
    Own,
    /// One of many: grey, but for points that no other point of the picture beats.
    Field,
}

/// A system.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name.
    pub label: String,
    /// How it is drawn.
    pub role: Role,
    /// One or more.
    pub points: Vec<Point>,
}

/// A system at one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What it is, where the pointer rests on it.
    pub name: String,
    /// Mean, above 0.
    pub latency_ms: f64,
    /// Mean over seeds.
    pub auc: f64,
    /// Standard deviation over seeds.
    pub deviation: f64,
}

impl Point {
    /// At least as fast and as good, and better in one of both.
    fn beats(&self, other: &Self) -> bool {
        let (own, others) = ((self.latency_ms, self.auc), (other.latency_ms, other.auc));
        own.0 <= others.0 && own.1 >= others.1 && own != others
    }
}

/// Points so far below the others that they stand on the lower border of the picture.
pub fn below(curves: &[Curve]) -> Vec<&Point> {
    let (low, _) = range_of_auc(curves);
    drawn(curves).filter(|point| point.auc < low).collect()
}

/// The picture.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, curves: &[Curve]) -> io::Result<String> {
    let legend = legend(curves);
    picture(title, PLOT + legend.height(), |paper, spots| {
        let (plot, rest) = paper.split_vertically(PLOT as i32);
        draw(&plot, title, curves, spots)?;
        legend.draw(&rest)
    })
}

fn legend(curves: &[Curve]) -> Legend {
    let own = curves.iter().enumerate().filter(|(_, curve)| curve.role == Role::Own);
    let own = own.map(|(at, curve)| {
        let (ink, form) = own_look(at);
        (curve.label.clone(), Mark::Dot(ink, form))
    });
    let of_field =
        [("beaten by none", BEST, 0), ("beaten", QUIET, 0)].into_iter().filter(|_| has_field(curves));
    let lower = once(("below the axis", QUIET, BELOW)).filter(|_| !below(curves).is_empty());
    let others = of_field.chain(lower).map(|(name, ink, form)| (name.to_owned(), Mark::Dot(ink, form)));
    Legend::of(own.chain(others))
}

/// Those that have a place on an axis of logarithms.
fn drawn(curves: &[Curve]) -> impl Iterator<Item = &Point> {
    curves.iter().flat_map(|curve| &curve.points).filter(|point| point.latency_ms > 0.0)
}

fn has_field(curves: &[Curve]) -> bool {
    curves.iter().any(|curve| curve.role == Role::Field)
}

/// Six inks and four marks tell twenty-four systems apart.
fn own_look(at: usize) -> (Ink, usize) {
    (INKS[at % INKS.len()], at / INKS.len())
}

/// What becomes of a point; the later, the higher it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Beaten,
    Best,
    Own,
}

/// A point with its look.
struct Shown<'a> {
    rank: Rank,
    point: &'a Point,
    /// The system.
    label: &'a str,
    ink: Ink,
    form: usize,
    /// On the axes; what lies below them stands on the border.
    at: (f64, f64),
}

/// All points, by rank.
fn shown(curves: &[Curve], low: f64) -> Vec<Shown<'_>> {
    let mut all = Vec::new();
    for (at, curve) in curves.iter().enumerate() {
        for point in curve.points.iter().filter(|point| point.latency_ms > 0.0) {
            let (rank, (ink, form)) = match curve.role {
                Role::Own => (Rank::Own, own_look(at)),
                Role::Field if is_best(point, curves) => (Rank::Best, (BEST, 0)),
                Role::Field => (Rank::Beaten, (QUIET, 0)),
            };
            let form = if point.auc < low { BELOW } else { form };
            let at = (point.latency_ms.log10(), point.auc.max(low));
            all.push(Shown { rank, point, label: &curve.label, ink, form, at });
        }
    }
    all.sort_by(|a, b| a.rank.cmp(&b.rank).then(a.at.0.total_cmp(&b.at.0)));
    all
}

fn is_best(point: &Point, curves: &[Curve]) -> bool {
    !drawn(curves).any(|other| other.beats(point))
}

fn draw(paper: &Paper<'_>, title: &str, curves: &[Curve], spots: &mut Spots) -> Result<(), DrawingError> {
    let ends = ends(drawn(curves).map(|point| point.latency_ms.log10()), (-1.0, 1.0));
    let x = logarithmic("mean latency of a request, ms", ends);
    let y = auc_scale(range_of_auc(curves));
    let low = y.range.0;
    let steps = front(curves, x.range.1);
    let mut chart = mesh(paper, title, x, y)?;
    if has_field(curves) {
        chart.draw_series(DashedLineSeries::new(steps.iter().copied(), 3, 4, QUIET.0.into()))?;
    }
    let all = shown(curves, low);
    for (at, curve) in curves.iter().enumerate().filter(|(_, curve)| curve.role == Role::Own) {
        let own = all.iter().filter(|shown| shown.label == curve.label).map(|shown| shown.at);
        chart.draw_series(LineSeries::new(own, own_look(at).0.0.stroke_width(1)))?;
    }
    for Shown { rank, point, ink, form, at, .. } in &all {
        if let Some(bar) = shown_bar(*rank, point, low) {
            chart.draw_series(LineSeries::new(bar, ink.0.stroke_width(1)))?;
        }
        chart.draw_series(once(dot(*at, *ink, *form)))?;
        let text = format!("{}: AUC {:.4}, {:.3} ms", point.name, point.auc, point.latency_ms);
        spots.say(chart.backend_coord(at), text);
    }
    if has_field(curves) { name(paper, &chart, &all, &steps, low) } else { Ok(()) }
}

/// A deviation to both sides; not of what is one of many.
fn shown_bar(rank: Rank, point: &Point, low: f64) -> Option<[(f64, f64); 2]> {
    let bar = [point.auc - point.deviation, point.auc + point.deviation];
    let bar = bar.map(|auc| (point.latency_ms.log10(), auc.max(low)));
    (point.deviation > 0.0 && rank > Rank::Beaten).then_some(bar)
}

/// The best AUC up to every latency, as steps that end at `right`.
fn front(curves: &[Curve], right: f64) -> Vec<(f64, f64)> {
    let mut best: Vec<(f64, f64)> = drawn(curves)
        .filter(|point| is_best(point, curves))
        .map(|point| (point.latency_ms.log10(), point.auc))
        .collect();
    best.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends = best.iter().skip(1).map(|next| next.0).chain(once(right));
    best.iter().zip(ends).flat_map(|(&(from, auc), to)| [(from, auc), (to, auc)]).collect()
}

/// Names every system beside one of its dots, where there is room: those that lie on top first.
fn name(
    paper: &Paper<'_>,
    chart: &Chart<'_, '_>,
    all: &[Shown<'_>],
    steps: &[(f64, f64)],
    low: f64,
) -> Result<(), DrawingError> {
    let (x, y) = chart.plotting_area().get_pixel_range();
    let mut labels = Labels::within(x, y);
    let bars = all.iter().filter_map(|shown| shown_bar(shown.rank, shown.point, low));
    for [from, to] in bars.chain(steps.windows(2).map(|pair| [pair[0], pair[1]])) {
        labels.keep_off_line(chart.backend_coord(&from), chart.backend_coord(&to));
    }
    all.iter().for_each(|shown| labels.keep_off_dot(chart.backend_coord(&shown.at)));
    let mut named: Vec<&str> = Vec::new();
    for rank in [Rank::Own, Rank::Best, Rank::Beaten] {
        for shown in all.iter().filter(|shown| shown.rank == rank) {
            // What is beaten by none has its name at every budget.
            if named.contains(&shown.label) && rank != Rank::Best {
                continue;
            }
            let at = chart.backend_coord(&shown.at);
            let bar = shown_bar(rank, shown.point, low)
                .map_or([at.1; 2], |bar| bar.map(|end| chart.backend_coord(&end).1));
            let nearness = if rank == Rank::Beaten { Nearness::Apart } else { Nearness::Close };
            if let Some(place) = labels.place(at, bar, shown.label, nearness) {
                paper.draw(&Text::new(shown.label.to_owned(), place, font(labels::LETTERS_PX)))?;
                named.push(shown.label);
            }
        }
    }
    Ok(())
}

fn ends(values: impl Iterator<Item = f64>, without: (f64, f64)) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low <= high { (low, high) } else { without }
}

/// What the axis shows: all points and the bars of those that have one, but neither a point nor a bar that would leave the rest
/// no room.
fn range_of_auc(curves: &[Curve]) -> (f64, f64) {
    let mut aucs: Vec<f64> = drawn(curves).map(|point| point.auc).collect();
    aucs.sort_by(f64::total_cmp);
    let least = least_shown(&aucs);
    let mut shown = Vec::new();
    for curve in curves {
        for point in curve.points.iter().filter(|point| point.latency_ms > 0.0 && point.auc >= least) {
            let bar = curve.role == Role::Own || is_best(point, curves);
            let deviation = if bar { point.deviation } else { 0.0 };
            shown.extend([(point.auc - deviation).max(least), point.auc + deviation]);
        }
    }
    ends_of_auc(shown.into_iter())
}

/// Three distances between the quartiles below the lower one; of few points, the least of them.
fn least_shown(sorted: &[f64]) -> f64 {
    if sorted.len() < FEW {
        return f64::NEG_INFINITY;
    }
    let [lower, upper] = [1, 3].map(|quarter| sorted[quarter * (sorted.len() - 1) / 4]);
    lower - 3.0 * (upper - lower).max(LEAST_DISTANCE)
}

/// With some room, also where all are the same.
fn ends_of_auc(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = ends(values, (0.5, 1.0));
    let room = ((high - low) * 0.05).max(0.0005);
    (low - room, high + room)
}

fn auc_scale((low, high): (f64, f64)) -> Scale {
    let step =
        [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05].into_iter().find(|s| (high - low) / s <= 2.0 * STEPS);
    let step = step.unwrap_or(0.1);
    let first = (low / step).ceil() as i64;
    let ticks = (first..).map(|i| i as f64 * step).take_while(|&tick| tick <= high).collect();
    // Four digits tell the narrowest steps apart.
    let name = |auc: f64| format!("{auc:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
    Scale { title: "AUC", range: (low, high), ticks, name }
}

#[cfg(test)]
mod tests;
