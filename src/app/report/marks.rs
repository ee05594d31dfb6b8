//! What stands on a picture beside lines: dots of several forms, legends, and spots that say more where the pointer rests on them.

use super::paper::{DrawingError, Ink, Paper, WIDTH, escaped, font};
use plotters::{
    element::{Drawable, PointCollection},
    prelude::*,
};
use plotters_backend::{BackendCoord, DrawingErrorKind};
use std::{
    fmt::Write,
    iter::{Once, once},
};

/// Half the height of a dot, in pixels.
const DOT_PX: i32 = 4;
/// The form of a dot that stands for one below the axis.
pub(super) const BELOW: usize = usize::MAX;
/// Left of a legend.
const LEFT_PX: i32 = 28;
/// From the left of a mark to its name.
const NAME_PX: i32 = 24;
/// Of a letter, about: names are in the reader's own font.
const LETTER_PX: f64 = 8.3;
/// From one line of a legend to the next, in pixels.
pub(super) const LINE: i32 = 22;
/// Of a spot, in pixels: larger than the mark that it lies on.
const SPOT_PX: u32 = 9;

/// Places of a picture with what is said where the pointer rests on them.
#[derive(Default)]
pub(super) struct Spots(Vec<((i32, i32), String)>);

impl Spots {
    /// Says `text` at a place of the whole picture, in pixels.
    pub(super) fn say(&mut self, place: (i32, i32), text: String) {
        self.0.push((place, text));
    }

    /// Elements that are not seen.
    pub(super) fn svg(&self) -> String {
        self.0.iter().fold(String::new(), |mut all, ((x, y), text)| {
            let text = escaped(text);
            // Writing into a text does not fail.
            let _ = writeln!(
                all,
                r#"<circle cx="{x}" cy="{y}" r="{SPOT_PX}" fill="transparent"><title>{text}</title></circle>"#
            );
            all
        })
    }
}

/// A place with a colour and a form.
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
        let r = DOT_PX;
        match self.mark % 4 {
            _ if self.mark == BELOW => {
                backend.fill_polygon([(x, y + r + 1), (x - r - 1, y - r), (x + r + 1, y - r)], &self.ink.0)
            }
            0 => backend.draw_circle((x, y), r as u32, &self.ink.0, true),
            1 => backend.fill_polygon([(x, y - r - 1), (x - r - 1, y + r), (x + r + 1, y + r)], &self.ink.0),
            2 => backend.draw_rect((x - r, y - r), (x + r, y + r), &self.ink.0, true),
            _ => backend.draw_circle((x, y), r as u32, &self.ink.0.stroke_width(2), false),
        }
    }
}

/// Names with a line or a mark, under a plot: in as many columns as the longest name leaves room for.
pub(super) struct Legend(Vec<(String, Mark)>);

impl Legend {
    pub(super) fn of(entries: impl IntoIterator<Item = (String, Mark)>) -> Self {
        Self(entries.into_iter().collect())
    }

    fn columns(&self) -> usize {
        let longest = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) as f64;
        let each = f64::from(NAME_PX) + longest * LETTER_PX;
        ((f64::from(WIDTH as i32 - 2 * LEFT_PX) / each) as usize).clamp(1, self.0.len().max(1))
    }

    /// In pixels.
    pub(super) fn height(&self) -> u32 {
        (self.0.len().div_ceil(self.columns()) as i32 * LINE + LINE / 2) as u32
    }

    pub(super) fn draw(&self, paper: &Paper<'_>) -> Result<(), DrawingError> {
        let columns = self.columns();
        let width = (WIDTH as i32 - 2 * LEFT_PX) / columns as i32;
        for (at, (name, mark)) in self.0.iter().enumerate() {
            let x = LEFT_PX + (at % columns) as i32 * width;
            let y = LINE / 2 + (at / columns) as i32 * LINE;
            match *mark {
                Mark::Dot(ink, form) => paper.draw(&dot((x + 8, y), ink, form))?,
                Mark::Line(ink) => {
                    paper.draw(&PathElement::new(vec![(x, y), (x + 16, y)], ink.0.stroke_width(3)))?;
                }
                Mark::Dashed(ink) => {
                    for begin in [x, x + 10] {
                        paper.draw(&PathElement::new(
                            vec![(begin, y), (begin + 6, y)],
                            ink.0.stroke_width(3),
                        ))?;
                    }
                }
                Mark::Area(ink) => {
                    paper.draw(&Rectangle::new([(x + 2, y - 6), (x + 14, y + 6)], ink.0.filled()))?;
                }
            }
            paper.draw(&Text::new(name.clone(), (x + NAME_PX, y - 8), font(16)))?;
        }
        Ok(())
    }
}

/// What stands before a name of a legend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// A dot in one of its forms.
    Dot(Ink, usize),
    /// A piece of a line.
    Line(Ink),
    /// A piece of a dashed line.
    Dashed(Ink),
    /// A piece of an area.
    Area(Ink),
}
