//! Where the time of networks goes as SVG: one bar per network, one piece per part.

use super::{
    marks::{Legend, Mark, Spots},
    paper::{DrawingError, GRID, INKS, Ink, Paper, QUIET, Scale, TEXT, font, number, one_two_five, picture},
};
use plotters::prelude::*;
use std::io;

const BAR: u32 = 64;
/// Axis, caption and margins, in pixels.
const AROUND: u32 = 104;

/// A network and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// In their order, with ms. Parts of the same name have the same colour in all bars.
    pub parts: Vec<(String, f64)>,
    /// A line across: what all of it was measured at, in ms.
    pub measured_ms: Option<f64>,
}

/// The picture.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, bars: &[Bar]) -> io::Result<String> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in bars.iter().flat_map(|bar| &bar.parts) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let measured = bars.iter().any(|bar| bar.measured_ms.is_some());
    let entries = names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), Mark::Area(ink(at))));
    let legend = Legend::of(entries.chain(measured.then(|| ("measured".to_owned(), Mark::Line(TEXT)))));
    let plot = AROUND + BAR * bars.len() as u32;
    picture(title, plot + legend.height(), |paper, spots| {
        let (top, below) = paper.split_vertically(plot as i32);
        draw(&top, title, bars, &names, spots)?;
        legend.draw(&below)
    })
}

/// Fetching, the layers, and what is paid once.
fn ink(at: usize) -> Ink {
    *INKS.get(at).unwrap_or(&QUIET)
}

fn draw(
    paper: &Paper<'_>,
    title: &str,
    bars: &[Bar],
    names: &[&str],
    spots: &mut Spots,
) -> Result<(), DrawingError> {
    let whole = |bar: &Bar| bar.parts.iter().map(|(_, ms)| ms).sum::<f64>();
    let end = bars.iter().flat_map(|bar| [whole(bar), bar.measured_ms.unwrap_or(0.0)]).fold(0.0, f64::max);
    let end = if end > 0.0 { end } else { 1.0 };
    let step = one_two_five(end / 6.0);
    let x = Scale {
        title: "ms",
        range: (0.0, end * 1.04),
        ticks: (0..).map(|i| f64::from(i) * step).take_while(|&tick| tick <= end * 1.04).collect(),
        name: number,
    };
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(paper)
        .caption(title, font(18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .build_cartesian_2d(x, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.0)
        .axis_style(GRID.0)
        .label_style(font(16))
        .axis_desc_style(font(16))
        .x_desc("ms")
        .draw()?;
    for (at, bar) in bars.iter().enumerate() {
        // The first bar stands on top.
        let (low, high) = (count - at as f64 - 0.92, count - at as f64 - 0.42);
        let mut begin = 0.0;
        for (name, ms) in &bar.parts {
            let place = names.iter().position(|known| known == name).unwrap_or(0);
            let corners = [(begin, low), (begin + ms, high)];
            chart.draw_series(std::iter::once(Rectangle::new(corners, ink(place).0.filled())))?;
            let middle = chart.backend_coord(&(begin + ms / 2.0, (low + high) / 2.0));
            spots.say(middle, format!("{}, {name}: {ms:.4} ms", bar.label));
            begin += ms;
        }
        if let Some(ms) = bar.measured_ms {
            let line = [(ms, low - 0.06), (ms, high + 0.06)];
            chart.draw_series(LineSeries::new(line, TEXT.0.stroke_width(3)))?;
        }
        let name = format!("{}: {} ms", bar.label, number(whole(bar)));
        let text = Text::new(name, (0.0, count - at as f64 - 0.06), font(16));
        chart.draw_series(std::iter::once(text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_end_to_end_and_say_what_they_are() {
        let bar = |label: &str, parts: &[(&str, f64)], measured_ms| Bar {
            label: label.to_owned(),
            parts: parts.iter().map(|&(name, ms)| (name.to_owned(), ms)).collect(),
            measured_ms,
        };
        let bars = [
            bar("winner", &[("fetch", 1.0), ("layer 1", 2.0)], Some(3.2)),
            bar("plain DNN", &[("fetch", 2.0), ("layer 1", 5.0), ("layer 2", 1.0)], None),
        ];
        let picture = svg("Where the time goes", &bars).unwrap();
        for said in ["winner, layer 1: 2.0000 ms", "plain DNN, layer 2: 1.0000 ms"] {
            assert!(picture.contains(&format!("<title>{said}</title>")), "{said}: {picture}");
        }
        let pieces = |ink: Ink| {
            let colour = format!("fill=\"#{:02X}{:02X}{:02X}\"", ink.0.0, ink.0.1, ink.0.2);
            picture.lines().filter(|line| line.starts_with("<rect") && line.contains(&colour)).count()
        };
        // Each once per bar and once in the legend.
        assert_eq!([0, 1, 2].map(|at| pieces(INKS[at])), [3, 3, 2], "{picture}");
        assert!(picture.contains("plain DNN: 8 ms") && picture.contains("winner: 3 ms"));
        assert!(svg("nothing", &[]).unwrap().contains("</svg>"));
    }
}
