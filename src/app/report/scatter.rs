//! Predicted against measured times of networks as SVG: on logarithmic axes, and below as residuals, where a few percent can be
//! seen. Colours tell engines apart, marks candidate counts.

use super::plot::{
    DrawingError, INKS, Ink, PAPER, Paper, Scale, TEXT, font, logarithmic, mesh, number, with_dark_style,
};
use crate::price::check::BucketCheck;
use plotters::{
    element::{Drawable, PointCollection},
    prelude::*,
};

use plotters_backend::{BackendCoord, DrawingErrorKind};
use std::{
    io,
    iter::{Once, once},
};

const WIDTH: u32 = 960;
const TOP: u32 = 640;
const BOTTOM: u32 = 400;
const MARK_PX: i32 = 4;
/// Half widths of the bands, in percent, with the dash of their borders.
const BANDS: [(f64, (i32, i32)); 2] = [(5.0, (8, 5)), (10.0, (2, 4))];
/// The residuals' axis reaches so far at least, and at most.
const RESIDUALS_PCT: (f64, f64) = (12.0, 60.0);

/// Networks of one engine at one candidate count.
struct Series {
    label: String,
    ink: Ink,
    mark: usize,
    /// (log₁₀ measured ms, log₁₀ predicted ms, residual in percent).
    points: Vec<(f64, f64, f64)>,
}

/// The picture of all networks of `buckets`.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(buckets: &[BucketCheck]) -> io::Result<String> {
    let all = series(buckets);
    let mut text = String::new();
    {
        let paper = SVGBackend::with_string(&mut text, (WIDTH, TOP + BOTTOM)).into_drawing_area();
        paper.fill(&PAPER.0).map_err(io::Error::other)?;
        let (top, bottom) = paper.split_vertically(TOP as i32);
        draw_times(&top, &all).map_err(io::Error::other)?;
        draw_residuals(&bottom, &all).map_err(io::Error::other)?;
        paper.present().map_err(io::Error::other)?;
    }
    Ok(with_dark_style(&text))
}

fn series(buckets: &[BucketCheck]) -> Vec<Series> {
    let place = |of: &dyn Fn(&BucketCheck) -> String, bucket: &BucketCheck| {
        let mut known: Vec<String> = Vec::new();
        buckets.iter().map(of).for_each(|name| {
            if !known.contains(&name) {
                known.push(name)
            }
        });
        known.iter().position(|name| *name == of(bucket)).unwrap_or(0)
    };
    let engine = |bucket: &BucketCheck| bucket.context.engine.to_string();
    let count = |bucket: &BucketCheck| bucket.candidates.to_string();
    let of = |bucket: &BucketCheck| Series {
        label: format!("{}, {} candidates", bucket.context.engine, bucket.candidates),
        ink: INKS[place(&engine, bucket) % INKS.len()],
        mark: place(&count, bucket),
        points: (bucket.residuals.iter())
            .filter(|r| r.measured_ms > 0.0 && r.predicted_ms > 0.0)
            .map(|r| (r.measured_ms.log10(), r.predicted_ms.log10(), r.residual_pct))
            .collect(),
    };
    buckets.iter().map(of).collect()
}

fn draw_times(paper: &Paper<'_>, all: &[Series]) -> Result<(), DrawingError> {
    let places = || all.iter().flat_map(|series| &series.points).flat_map(|point| [point.0, point.1]);
    let ends = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let ends = if ends.0 <= ends.1 { ends } else { (-1.0, 0.0) };
    let (x, y) = (logarithmic("measured, ms", ends), logarithmic("predicted, ms", ends));
    let (begin, end) = x.range;
    let mut chart = mesh(paper, "Predicted against measured service time (dashed: 5 %, dotted: 10 %)", x, y)?;
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
    for series in all {
        let (ink, mark) = (series.ink, series.mark);
        let dots =
            series.points.iter().map(|&(measured, predicted, _)| dot((measured, predicted), ink, mark));
        chart.draw_series(dots)?.label(&series.label).legend(move |(x, y)| dot((x + 8, y), ink, mark));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .legend_area_size(16)
        .label_font(font(16))
        .background_style(PAPER.0)
        .border_style(TRANSPARENT)
        .draw()
}

fn draw_residuals(paper: &Paper<'_>, all: &[Series]) -> Result<(), DrawingError> {
    let points = || all.iter().flat_map(|series| &series.points);
    let ends = (
        points().map(|p| p.0).fold(f64::INFINITY, f64::min),
        points().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max),
    );
    let x = logarithmic("measured, ms", if ends.0 <= ends.1 { ends } else { (-1.0, 0.0) });
    let (begin, end) = x.range;
    let far = points().map(|p| p.2.abs() * 1.05).fold(RESIDUALS_PCT.0, f64::max).min(RESIDUALS_PCT.1);
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
    for series in all {
        let (ink, mark) = (series.ink, series.mark);
        // What lies beyond the axis stands on its border.
        let inside = |&(measured, _, pct): &(f64, f64, f64)| dot((measured, pct.clamp(-far, far)), ink, mark);
        chart.draw_series(series.points.iter().map(inside))?;
    }
    Ok(())
}

/// A network's place, with the colour and the form of its series.
pub(super) struct Dot<C> {
    at: C,
    ink: Ink,
    mark: usize,
}

pub(super) fn dot<C>(at: C, ink: Ink, mark: usize) -> Dot<C> {
    Dot { at, ink, mark }
}

impl<'a, C: 'a> PointCollection<'a, C> for &'a Dot<C> {
    type Point = &'a C;
    type IntoIter = Once<&'a C>;

    fn point_iter(self) -> Self::IntoIter {
        once(&self.at)
    }
}

impl<C, DB: DrawingBackend> Drawable<DB> for Dot<C> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut places: I,
        backend: &mut DB,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<DB::ErrorType>> {
        let Some((x, y)) = places.next() else { return Ok(()) };
        let r = MARK_PX;
        match self.mark % 4 {
            0 => backend.draw_circle((x, y), r as u32, &self.ink.0, true),
            1 => backend.fill_polygon([(x, y - r - 1), (x - r - 1, y + r), (x + r + 1, y + r)], &self.ink.0),
            2 => backend.draw_rect((x - r, y - r), (x + r, y + r), &self.ink.0, true),
            _ => backend.draw_circle((x, y), r as u32, &self.ink.0.stroke_width(2), false),
        }
    }
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
        let far = bucket(EngineName::Tract, 100, &[60.0]);
        assert!(svg(&[far]).unwrap().contains("<svg"));
        assert!(svg(&[]).unwrap().contains("<svg"));
    }
}
