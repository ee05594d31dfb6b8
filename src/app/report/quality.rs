//! AUC of systems against their latency as SVG: one curve per system, its budgets in order of latency, with the deviation over
//! seeds as a bar.

use super::{
    marks::{Legend, Mark, Spots, dot},
    paper::{DrawingError, INKS, Ink, Paper, Scale, logarithmic, mesh, picture},
};
use plotters::prelude::*;
use std::io;

/// Of the plot, in pixels.
const PLOT: u32 = 440;
/// Steps of the AUC's axis, at least.
const STEPS: f64 = 6.0;

/// A system.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name.
    pub label: String,
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

/// The picture.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, curves: &[Curve]) -> io::Result<String> {
    let entry = |(at, curve): (usize, &Curve)| {
        let (ink, mark) = look(at);
        (curve.label.clone(), Mark::Dot(ink, mark))
    };
    let legend = Legend::of(curves.iter().enumerate().map(entry));
    picture(title, PLOT + legend.height(), |paper, spots| {
        let (plot, below) = paper.split_vertically(PLOT as i32);
        draw(&plot, title, curves, spots)?;
        legend.draw(&below)
    })
}

fn draw(paper: &Paper<'_>, title: &str, curves: &[Curve], spots: &mut Spots) -> Result<(), DrawingError> {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|point| point.latency_ms > 0.0);
    let ends = ends(points().map(|point| point.latency_ms.log10()), (-1.0, 1.0));
    let x = logarithmic("mean latency of a request, ms", ends);
    let aucs = points().flat_map(|p| [p.auc - p.deviation, p.auc + p.deviation]);
    let y = auc_scale(ends_of_auc(aucs));
    let mut chart = mesh(paper, title, x, y)?;
    for (at, curve) in curves.iter().enumerate() {
        let (ink, mark) = look(at);
        let mut own: Vec<&Point> = curve.points.iter().filter(|point| point.latency_ms > 0.0).collect();
        own.sort_by(|a, b| a.latency_ms.total_cmp(&b.latency_ms));
        let place = |point: &Point| (point.latency_ms.log10(), point.auc);
        chart.draw_series(LineSeries::new(own.iter().map(|p| place(p)), ink.0.stroke_width(1)))?;
        for point in own.iter().filter(|point| point.deviation > 0.0) {
            let (x, auc) = place(point);
            let bar = [(x, auc - point.deviation), (x, auc + point.deviation)];
            chart.draw_series(LineSeries::new(bar, ink.0.stroke_width(1)))?;
        }
        for point in own {
            chart.draw_series(std::iter::once(dot(place(point), ink, mark)))?;
            let text = format!("{}: AUC {:.4}, {:.3} ms", point.name, point.auc, point.latency_ms);
            spots.say(chart.backend_coord(&place(point)), text);
        }
    }
    Ok(())
}

/// Six inks and four marks tell twenty-four systems apart.
fn look(at: usize) -> (Ink, usize) {
    (INKS[at % INKS.len()], at / INKS.len())
}

fn ends(values: impl Iterator<Item = f64>, without: (f64, f64)) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low <= high { (low, high) } else { without }
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
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_and_every_system_named() {
        let point = |latency_ms, auc| Point { name: "n".to_owned(), latency_ms, auc, deviation: 0.001 };
        let curve = |label: &str, points| Curve { label: label.to_owned(), points };
        let curves = [
            curve("autofas", vec![point(4.0, 0.74), point(1.0, 0.73)]),
            curve("plain-dnn", vec![point(20.0, 0.735)]),
        ];
        let picture = svg("AUC", &curves).unwrap();
        // Each once, with a spot that says what it is, and once in the legend.
        assert_eq!(picture.matches("<circle").count(), 2 * (2 + 1) + 2, "{picture}");
        assert_eq!(picture.matches("<title>n: AUC 0.7400, 4.000 ms</title>").count(), 1);
        assert!(picture.contains("autofas") && picture.contains("plain-dnn"), "{picture}");
        // From 0.729 to 0.741 there is a line every 0.002.
        for tick in ["0.73", "0.732", "0.738", "0.74"] {
            assert!(picture.lines().any(|line| line.trim() == tick), "{tick}: {picture}");
        }
        assert!(svg("AUC", &[]).unwrap().contains("<svg"));
    }

    #[test]
    fn steps_of_the_axis_have_names_of_their_own() {
        for (low, high) in [(0.73, 0.7305), (0.73, 0.735), (0.6, 0.75), (0.5, 1.0)] {
            let Scale { ticks, name, .. } = auc_scale(ends_of_auc([low, high].into_iter()));
            let names: Vec<String> = ticks.iter().map(|&tick| name(tick)).collect();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
            let read = |name: &String| name.parse::<f64>().unwrap();
            assert!(
                names.iter().map(read).zip(&ticks).all(|(read, tick)| (read - tick).abs() < 1e-9),
                "{names:?}"
            );
        }
    }
}
