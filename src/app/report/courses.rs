//! How something changed over the steps of a training as SVG: panels of lines below each other, named in one legend.

use super::{
    marks::{Legend, Mark, Spots},
    paper::{DrawingError, INKS, Ink, Paper, QUIET, Scale, mesh, number, one_two_five, picture},
};
use plotters::prelude::*;
use std::io;

/// Of a panel, in pixels.
const PANEL: u32 = 260;
/// Of the only panel.
const SINGLE: u32 = 380;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What is said at its end.
    pub name: String,
    /// Its place in the legend: courses of one kind have one colour.
    pub kind: String,
    /// (step, value).
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis, with values from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// Its lines.
    pub courses: Vec<Course>,
}

/// The picture. Kinds have colours in the order in which `kinds` names them; all others are drawn quietly, below the rest.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, kinds: &[String], panels: &[Panel]) -> io::Result<String> {
    let ink =
        |kind: &str| kinds.iter().position(|known| known == kind).map_or(QUIET, |at| INKS[at % INKS.len()]);
    let courses = || panels.iter().flat_map(|panel| &panel.courses);
    let mut named: Vec<&str> = kinds.iter().map(String::as_str).collect();
    for course in courses() {
        if !named.contains(&course.kind.as_str()) {
            named.push(&course.kind);
        }
    }
    let legend = Legend::of(named.iter().map(|kind| ((*kind).to_owned(), Mark::Line(ink(kind)))));
    let each = if panels.len() > 1 { PANEL } else { SINGLE };
    let end = courses().flat_map(|course| &course.points).map(|point| point.0).fold(1.0, f64::max);
    picture(title, each * panels.len() as u32 + legend.height(), |paper, spots| {
        let mut rest = paper.clone();
        for panel in panels {
            let (own, below) = rest.split_vertically(each as i32);
            draw(&own, panel, end, &ink, spots)?;
            rest = below;
        }
        legend.draw(&rest)
    })
}

fn draw(
    paper: &Paper<'_>,
    panel: &Panel,
    end: f64,
    ink: &dyn Fn(&str) -> Ink,
    spots: &mut Spots,
) -> Result<(), DrawingError> {
    let step = one_two_five(end / 6.0);
    let x = Scale {
        title: "step",
        range: (0.0, end),
        ticks: (0..).map(|i| f64::from(i) * step).take_while(|&tick| tick <= end).collect(),
        name: number,
    };
    let y = Scale { title: "", range: (0.0, 1.0), ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], name: number };
    let mut chart = mesh(paper, &panel.title, x, y)?;
    for quiet in [true, false] {
        for course in panel.courses.iter().filter(|course| (ink(&course.kind) == QUIET) == quiet) {
            let style = ink(&course.kind).0.stroke_width(if quiet { 1 } else { 2 });
            chart.draw_series(LineSeries::new(course.points.iter().copied(), style))?;
            if let Some(last) = course.points.last() {
                spots.say(
                    chart.backend_coord(last),
                    format!("{}: {:.4} at step {}", course.name, last.1, last.0),
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_course_is_a_line_and_every_kind_is_named_once() {
        let course = |name: &str, kind: &str, last| Course {
            name: name.to_owned(),
            kind: kind.to_owned(),
            points: vec![(1.0, 0.5), (20.0, last)],
        };
        let panel = Panel {
            title: "θ".to_owned(),
            courses: vec![
                course("a", "chosen", 0.9),
                course("b", "dropped", 0.2),
                course("c", "dropped", 0.1),
            ],
        };
        let picture = svg("θ over time", &["chosen".to_owned()], &[panel]).unwrap();
        let lines = |ink: Ink| {
            let colour = format!("stroke=\"#{:02X}{:02X}{:02X}\"", ink.0.0, ink.0.1, ink.0.2);
            picture.lines().filter(|line| line.starts_with("<polyline") && line.contains(&colour)).count()
        };
        // Each once, and one of its kind in the legend.
        assert_eq!((lines(INKS[0]), lines(QUIET)), (1 + 1, 2 + 1), "{picture}");
        assert!(picture.contains("<title>a: 0.9000 at step 20</title>"), "{picture}");
        assert!(svg("none", &[], &[]).unwrap().contains("</svg>"));
    }
}
