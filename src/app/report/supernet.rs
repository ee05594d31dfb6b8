//! A supernet as SVG: its features, every operator of every Mixop with its probability, and the path of one network in bold.

use super::paper::{DrawingError, GRID, INKS, Ink, PAPER, Paper, QUIET, WIDTH, font, picture};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::io;

/// From the top of one row to that of the next, in pixels.
const ROW: i32 = 84;
const BOX_HEIGHT: i32 = 44;
/// Between two boxes of a row, at least.
const GAP: i32 = 8;
const WIDEST_BOX: i32 = 84;
/// Left of the boxes: names of the rows.
const LEFT: i32 = 76;
const TOP: i32 = 44;

/// An operator of a Mixop.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its width, or `zero`.
    pub name: String,
    /// Softmax of α, where the search has told it.
    pub probability: Option<f64>,
    /// Whether the network has it.
    pub chosen: bool,
}

/// A supernet and one network of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Supernet {
    /// What goes in, in words.
    pub input: String,
    /// Operators of every Mixop.
    pub mixops: Vec<Vec<Choice>>,
}

/// A box of the picture: its middle, and half its width.
#[derive(Clone, Copy)]
struct Place {
    x: i32,
    y: i32,
    half: i32,
    chosen: bool,
}

/// The picture.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, supernet: &Supernet) -> io::Result<String> {
    let rows = supernet.mixops.len() as i32 + 2;
    let height = TOP + rows * ROW - (ROW - BOX_HEIGHT) + 16;
    picture(title, height as u32, |paper, spots| {
        paper.draw(&Text::new(
            title.to_owned(),
            (WIDTH as i32 / 2, 12),
            font(18).pos(Pos::new(HPos::Center, VPos::Top)),
        ))?;
        let places = places(supernet);
        // The path lies over all other edges.
        for chosen in [false, true] {
            for pair in places.windows(2) {
                edges(paper, &pair[0], &pair[1], chosen)?;
            }
        }
        draw_box(paper, places[0][0], [&supernet.input, ""])?;
        for (at, (operators, row)) in supernet.mixops.iter().zip(&places[1..]).enumerate() {
            let name = format!("Mixop {}", at + 1);
            paper.draw(&Text::new(
                name.clone(),
                (10, row[0].y),
                font(16).pos(Pos::new(HPos::Left, VPos::Center)),
            ))?;
            for (operator, &place) in operators.iter().zip(row) {
                let probability = operator.probability.map(|p| format!("{p:.2}"));
                draw_box(paper, place, [&operator.name, probability.as_deref().unwrap_or("")])?;
                spots.say((place.x, place.y), said(&name, operator));
            }
        }
        draw_box(paper, places[places.len() - 1][0], ["score", ""])
    })
}

fn said(mixop: &str, operator: &Choice) -> String {
    let probability = operator.probability.map_or(String::new(), |p| format!(", probability {p:.4}"));
    let chosen = if operator.chosen { ", chosen" } else { "" };
    format!("{mixop}: {}{probability}{chosen}", operator.name)
}

fn places(supernet: &Supernet) -> Vec<Vec<Place>> {
    let middle = (LEFT + WIDTH as i32 - GAP) / 2;
    let single =
        |row: i32, half| vec![Place { x: middle, y: TOP + row * ROW + BOX_HEIGHT / 2, half, chosen: true }];
    let mut places = vec![single(0, 150)];
    for (at, operators) in supernet.mixops.iter().enumerate() {
        let count = operators.len() as i32;
        let pitch = ((WIDTH as i32 - GAP - LEFT) / count).min(WIDEST_BOX + GAP);
        let first = middle - pitch * (count - 1) / 2;
        let place = |(i, operator): (usize, &Choice)| Place {
            x: first + i as i32 * pitch,
            y: TOP + (at as i32 + 1) * ROW + BOX_HEIGHT / 2,
            half: (pitch - GAP) / 2,
            chosen: operator.chosen,
        };
        places.push(operators.iter().enumerate().map(place).collect());
    }
    places.push(single(supernet.mixops.len() as i32 + 1, 50));
    places
}

/// The lines from one row to the next: those of the path, or all others.
fn edges(paper: &Paper<'_>, from: &[Place], to: &[Place], chosen: bool) -> Result<(), DrawingError> {
    for a in from {
        for b in to.iter().filter(|b| (a.chosen && b.chosen) == chosen) {
            let ends = vec![(a.x, a.y + BOX_HEIGHT / 2), (b.x, b.y - BOX_HEIGHT / 2)];
            let style = match chosen {
                true => INKS[0].0.stroke_width(4),
                false => GRID.0.stroke_width(1),
            };
            paper.draw(&PathElement::new(ends, style))?;
        }
    }
    Ok(())
}

fn draw_box(paper: &Paper<'_>, place: Place, lines: [&str; 2]) -> Result<(), DrawingError> {
    let Place { x, y, half, chosen } = place;
    let (ink, width): (Ink, u32) = if chosen { (INKS[0], 3) } else { (QUIET, 1) };
    let corners = [(x - half, y - BOX_HEIGHT / 2), (x + half, y + BOX_HEIGHT / 2)];
    paper.draw(&Rectangle::new(corners, PAPER.0.filled()))?;
    // A rectangle's border has one width; a line's may be bold.
    let [(left, top), (right, bottom)] = corners;
    let border = vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    paper.draw(&PathElement::new(border, ink.0.stroke_width(width)))?;
    let centred = |size| font(size).pos(Pos::new(HPos::Center, VPos::Center));
    let [above, below] = lines;
    let middle = if below.is_empty() { y } else { y - 8 };
    paper.draw(&Text::new(above.to_owned(), (x, middle), centred(16)))?;
    if !below.is_empty() {
        paper.draw(&Text::new(below.to_owned(), (x, y + 10), centred(14)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_a_box_and_the_path_is_bold() {
        let choice = |name: &str, chosen| Choice { name: name.to_owned(), probability: Some(0.25), chosen };
        let mixop = |chosen: usize| (0..3).map(|i| choice(["16", "8", "zero"][i], i == chosen)).collect();
        let supernet = Supernet { input: "9 of 30 features".to_owned(), mixops: vec![mixop(1), mixop(2)] };
        let picture = svg("Supernet", &supernet).unwrap();
        let lines =
            |width: &str| picture.lines().filter(|l| l.starts_with("<polyline") && l.contains(width)).count();
        // In, two Mixops of three, out: 3 + 9 + 3 edges, of which the path has three; eight boxes, of which the path has four.
        let widths = ["4", "3", "1"].map(|width| lines(&format!("stroke-width=\"{width}\"")));
        assert_eq!(widths, [3, 4, 12 + 4], "{picture}");
        assert_eq!(picture.matches("<title>").count(), 6);
        for said in ["Mixop 1: 8, probability 0.2500, chosen", "Mixop 2: zero, probability 0.2500, chosen"] {
            assert!(picture.contains(&format!("<title>{said}</title>")), "{said}: {picture}");
        }
        assert!(picture.contains("9 of 30 features") && picture.contains("score"));
        let direct = Supernet { input: "all".to_owned(), mixops: Vec::new() };
        assert!(svg("Supernet", &direct).unwrap().contains("</svg>"));
    }
}
