//! Predicted against measured times of networks as SVG: on logarithmic axes, and below as residuals, where a few percent can be
//! seen.

use super::{
    marks::{Legend, Mark, Spots, dot},
    paper::{DrawingError, INKS, Ink, Paper, Scale, TEXT, logarithmic, mesh, number, picture},
};
use crate::price::{agreement::Residual, check::BucketCheck};
use plotters::prelude::*;
use std::io;

/// Height of the panels, in pixels.
const TOP: u32 = 460;
const BOTTOM: u32 = 300;
/// Half widths of the bands, in percent, with the dash of their borders.
const BANDS: [(f64, (i32, i32)); 2] = [(5.0, (8, 5)), (10.0, (2, 4))];
/// The residuals' axis reaches so far at least, and at most.
const RESIDUALS_PCT: (f64, f64) = (12.0, 60.0);

/// Networks that belong together.
pub struct Group<'a> {
    /// Its name in the legend.
    pub label: String,
    /// Groups of one colour have the same.
    pub colour: usize,
    /// Groups of one mark have the same.
    pub mark: usize,
    /// Predicted and measured times.
    pub residuals: Vec<&'a Residual>,
}

impl Group<'_> {
    fn ink(&self) -> Ink {
        INKS[self.colour % INKS.len()]
    }

    /// How many networks have a place in the picture.
    pub fn drawn(&self) -> usize {
        self.places().count()
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let drawn = self.residuals.iter().filter(|r| r.measured_ms > 0.0 && r.predicted_ms > 0.0);
        drawn.map(|&residual| Place {
            measured: residual.measured_ms.log10(),
            predicted: residual.predicted_ms.log10(),
            pct: residual.residual_pct,
            residual,
        })
    }
}

/// A network on the axes: log₁₀ ms, and percent.
struct Place<'a> {
    measured: f64,
    predicted: f64,
    pct: f64,
    residual: &'a Residual,
}

impl Place<'_> {
    fn text(&self, group: &str) -> String {
        let Residual { network, predicted_ms, measured_ms, residual_pct, .. } = self.residual;
        format!(
            "{network} ({group}): {} ms predicted, {} ms measured, {residual_pct:+.1} %",
            number(*predicted_ms),
            number(*measured_ms)
        )
    }
}

/// The picture of all networks of `buckets`: colours tell engines apart, marks candidate counts.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(buckets: &[BucketCheck]) -> io::Result<String> {
    fn place<T: PartialEq>(known: &mut Vec<T>, value: T) -> usize {
        known.iter().position(|other| *other == value).unwrap_or_else(|| {
            known.push(value);
            known.len() - 1
        })
    }
    let (mut engines, mut counts) = (Vec::new(), Vec::new());
    let mut groups = Vec::new();
    for bucket in buckets {
        groups.push(Group {
            label: format!("{}, {} candidates", bucket.context.engine, bucket.candidates),
            colour: place(&mut engines, bucket.context.engine),
            mark: place(&mut counts, bucket.candidates),
            residuals: bucket.residuals.iter().collect(),
        });
    }
    of_groups(&groups)
}

/// The picture of all networks of `groups`.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn of_groups(groups: &[Group<'_>]) -> io::Result<String> {
    let named = groups.iter().filter(|group| group.drawn() > 0);
    let legend = Legend::of(named.map(|group| (group.label.clone(), Mark::Dot(group.ink(), group.mark))));
    let height = TOP + BOTTOM + legend.height();
    picture("Predicted against measured service time", height, |paper, spots| {
        let (top, rest) = paper.split_vertically(TOP as i32);
        let (bottom, below) = rest.split_vertically(BOTTOM as i32);
        draw_times(&top, groups, spots)?;
        draw_residuals(&bottom, groups, spots)?;
        legend.draw(&below)
    })
}

fn draw_times(paper: &Paper<'_>, all: &[Group<'_>], spots: &mut Spots) -> Result<(), DrawingError> {
    let places = || all.iter().flat_map(Group::places).flat_map(|place| [place.measured, place.predicted]);
    let ends = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let ends = if ends.0 <= ends.1 { ends } else { (-1.0, 0.0) };
    let (x, y) = (logarithmic("measured, ms", ends), logarithmic("predicted, ms", ends));
    let (begin, end) = x.range;
    let mut chart = mesh(paper, "Predicted against measured (dashed: 5 %, dotted: 10 %)", x, y)?;
    // From border to border, where predicted is `shift` above measured.
    let line = |shift: f64| {
        [begin.max(begin - shift), end.min(end - shift)].map(|measured| (measured, measured + shift))
    };
    chart.draw_series(LineSeries::new(line(0.0), TEXT.0.stroke_width(1)))?;
    for (pct, (length, gap)) in BANDS {
        for share in [1.0 + pct / 100.0, 1.0 - pct / 100.0] {
            chart.draw_series(DashedLineSeries::new(line(share.log10()), length, gap, TEXT.0.into()))?;
        }
    }
    for group in all {
        for place in group.places() {
            let at = (place.measured, place.predicted);
            chart.draw_series(std::iter::once(dot(at, group.ink(), group.mark)))?;
            spots.say(chart.backend_coord(&at), place.text(&group.label));
        }
    }
    Ok(())
}

fn draw_residuals(paper: &Paper<'_>, all: &[Group<'_>], spots: &mut Spots) -> Result<(), DrawingError> {
    let places = || all.iter().flat_map(Group::places);
    let ends = (
        places().map(|place| place.measured).fold(f64::INFINITY, f64::min),
        places().map(|place| place.measured).fold(f64::NEG_INFINITY, f64::max),
    );
    let x = logarithmic("measured, ms", if ends.0 <= ends.1 { ends } else { (-1.0, 0.0) });
    let (begin, end) = x.range;
    let far =
        places().map(|place| place.pct.abs() * 1.05).fold(RESIDUALS_PCT.0, f64::max).min(RESIDUALS_PCT.1);
    let step = if far > 25.0 { 10.0 } else { 5.0 };
    let steps = (far / step) as i32;
    let y = Scale {
        title: "predicted − measured, %",
        range: (-far, far),
        ticks: (-steps..=steps).map(|i| f64::from(i) * step).collect(),
        name: |pct| if pct > 0.0 { format!("+{}", number(pct)) } else { number(pct) },
    };
    let mut chart = mesh(paper, "Residuals (dashed: 5 %, dotted: 10 %)", x, y)?;
    chart.draw_series(LineSeries::new([(begin, 0.0), (end, 0.0)], TEXT.0.stroke_width(1)))?;
    for (pct, (length, gap)) in BANDS {
        for at in [pct, -pct] {
            let border = [(begin, at), (end, at)];
            chart.draw_series(DashedLineSeries::new(border, length, gap, TEXT.0.into()))?;
        }
    }
    for group in all {
        for place in group.places() {
            // What lies beyond the axis stands on its border.
            let at = (place.measured, place.pct.clamp(-far, far));
            chart.draw_series(std::iter::once(dot(at, group.ink(), group.mark)))?;
            spots.say(chart.backend_coord(&at), place.text(&group.label));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::EngineName,
        price::{
            agreement::{Agreement, Residual, Shape},
            fixtures::context,
            table::TableContext,
        },
    };

    fn bucket(engine: EngineName, candidates: usize, residuals_pct: &[f64]) -> BucketCheck {
        let residual = |(at, &residual_pct): (usize, &f64)| {
            let measured_ms = 0.2 * 3f64.powi(at as i32);
            let predicted_ms = measured_ms * (1.0 + residual_pct / 100.0);
            let network = format!("n{at}");
            Residual {
                network,
                shape: Shape::Unseen,
                predicted_ms,
                measured_ms,
                residual_pct,
                noise_pct: 1.0,
            }
        };
        let residuals: Vec<Residual> = residuals_pct.iter().enumerate().map(residual).collect();
        BucketCheck {
            context: TableContext { engine, ..context() },
            candidates,
            agreement: Agreement::of(&residuals).unwrap(),
            void: false,
            worst: residuals[0].clone(),
            residuals,
        }
    }

    #[test]
    fn every_network_is_drawn_in_both_panels_and_every_series_in_the_legend() {
        let buckets = [
            bucket(EngineName::Tract, 100, &[1.0, -4.0, 90.0]),
            bucket(EngineName::Tract, 300, &[2.0, 3.0]),
            bucket(EngineName::OnnxRuntime, 100, &[-1.0, 6.0]),
        ];
        let picture = svg(&buckets).unwrap();
        let colour = |ink: Ink| format!("fill=\"#{:02X}{:02X}{:02X}\"", ink.0.0, ink.0.1, ink.0.2);
        let drawn = |shape: &str, ink: Ink| {
            let shape = format!("<{shape} ");
            picture.lines().filter(|line| line.starts_with(&shape) && line.contains(&colour(ink))).count()
        };
        // Twice each network, once in the legend.
        assert_eq!(drawn("circle", INKS[0]), 2 * 3 + 1, "{picture}");
        assert_eq!(drawn("polygon", INKS[0]), 2 * 2 + 1);
        assert_eq!(drawn("circle", INKS[1]), 2 * 2 + 1);
        for label in ["tract, 100 candidates", "tract, 300 candidates", "onnxruntime, 100 candidates"] {
            assert!(picture.contains(label), "{label}");
        }
        // 90 % off stands on the border of the residuals' axis, which ends at 60.
        assert!(picture.contains("+60") && !picture.contains("+70"));
        let none = Group { label: "nobody".to_owned(), colour: 0, mark: 0, residuals: Vec::new() };
        assert!(!of_groups(&[none]).unwrap().contains("nobody"), "a name without a dot");
        let far = bucket(EngineName::Tract, 100, &[60.0]);
        assert!(svg(&[far]).unwrap().contains("<svg"));
        assert!(svg(&[]).unwrap().contains("<svg"));
    }
}
