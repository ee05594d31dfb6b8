//! Names beside dots, as far as there is room for them.

use std::ops::Range;

/// Height of the letters, in pixels.
pub(super) const LETTERS_PX: u32 = 14;
/// Of a letter, about: names are in the reader's own font.
const LETTER_PX: f64 = 7.6;
/// From the middle of a dot to where a name may begin, in pixels.
const APART_PX: i32 = 8;

/// Around the name of one of many, in pixels, so that it is taken for no other's.
const ALONE_PX: i32 = 6;

/// How near to other things a name may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nearness {
    /// As near as they let it: its dot can be told by its colour.
    Close,
    /// Away from all other dots.
    Apart,
}

/// What is taken already of a plot.
pub(super) struct Labels {
    room: Area,
    taken: Vec<Area>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn grown(&self, by: i32) -> Self {
        let Self { left, top, right, bottom } = *self;
        Self { left: left - by, top: top - by, right: right + by, bottom: bottom + by }
    }

    fn holds(&self, other: &Self) -> bool {
        self.left <= other.left
            && other.right <= self.right
            && self.top <= other.top
            && other.bottom <= self.bottom
    }
}

impl Labels {
    /// Nothing is taken of a plot of that size, in pixels.
    pub(super) fn within(x: Range<i32>, y: Range<i32>) -> Self {
        let [x, y] = [x, y].map(|r| (r.start.min(r.end), r.start.max(r.end)));
        Self { room: Area { left: x.0, top: y.0, right: x.1, bottom: y.1 }, taken: Vec::new() }
    }

    /// Keeps names off a dot.
    pub(super) fn keep_off_dot(&mut self, at: (i32, i32)) {
        self.taken.push(around_dot(at));
    }

    /// Keeps names off a line that goes straight down or to the right.
    pub(super) fn keep_off_line(&mut self, from: (i32, i32), to: (i32, i32)) {
        let (left, right) = (from.0.min(to.0), from.0.max(to.0));
        let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
        self.taken.push(Area { left, top, right, bottom }.grown(2));
    }

    /// Where a name of the dot at `(x, y)`, with a bar between two heights, begins, top left, which is taken from then on; none where it would lie on
    /// something.
    pub(super) fn place(
        &mut self,
        (x, y): (i32, i32),
        bar: [i32; 2],
        name: &str,
        nearness: Nearness,
    ) -> Option<(i32, i32)> {
        let around = if nearness == Nearness::Apart { ALONE_PX } else { 0 };
        let dot = around_dot((x, y));
        let width = (name.chars().count() as f64 * LETTER_PX) as i32;
        let height = LETTERS_PX as i32;
        let (left, right) = (x - APART_PX - width, x + APART_PX);
        let (above, beside, under) = (y - APART_PX - height, y - height / 2, y + APART_PX);
        let middle = x - width / 2;
        let (over_bar, under_bar) = (bar[0].min(bar[1]) - 4 - height, bar[0].max(bar[1]) + 4);
        let places = [
            (right, beside),
            (left, beside),
            (middle, above),
            (middle, under),
            (right, above),
            (left, above),
            (right, under),
            (left, under),
            (middle, over_bar),
            (middle, under_bar),
        ];
        let free = places.into_iter().find_map(|(left, top)| {
            let own = Area { left, top, right: left + width, bottom: top + height };
            let wanted = own.grown(around);
            let met = self.taken.iter().any(|taken| taken.meets(&wanted) && *taken != dot);
            (self.room.holds(&own) && !met).then_some(own)
        })?;
        self.taken.push(free);
        Some((free.left, free.top))
    }
}

fn around_dot((x, y): (i32, i32)) -> Area {
    Area { left: x, top: y, right: x, bottom: y }.grown(APART_PX - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Line = ((i32, i32), (i32, i32));

    #[test]
    fn names_lie_beside_each_other_or_are_left_out() {
        let mut labels = Labels::within(0..200, Range { start: 100, end: 0 });
        labels.keep_off_dot((50, 50));
        assert_eq!(labels.place((50, 50), [50, 50], "first", Nearness::Close), Some((58, 43)));
        // Right of the same dot there is a name already.
        assert_eq!(labels.place((50, 50), [50, 50], "two", Nearness::Close), Some((20, 43)));
        // Right of this one the plot ends.
        assert_eq!(labels.place((190, 80), [80, 80], "third", Nearness::Close), Some((144, 73)));
        let wide = "a name that is wider than the whole plot";
        assert_eq!(labels.place((100, 50), [50, 50], wide, Nearness::Close), None);
    }

    #[test]
    fn a_name_keeps_off_lines_and_where_it_is_asked_to_off_other_dots() {
        let with = |nearness, bar, lines: &[Line]| {
            let mut labels = Labels::within(0..200, 0..100);
            // The second dot begins 3 pixels behind where the name ends.
            [(50, 50), (112, 50)].iter().for_each(|&at| labels.keep_off_dot(at));
            lines.iter().for_each(|&(from, to)| labels.keep_off_line(from, to));
            labels.place((50, 50), bar, "system", nearness)
        };
        assert_eq!(with(Nearness::Close, [50, 50], &[]), Some((58, 43)));
        assert_eq!(with(Nearness::Apart, [50, 50], &[]), Some((28, 28)));
        let line = [((60, 60), (60, 40))];
        assert_eq!(with(Nearness::Close, [50, 50], &line), None);
        // Over its own bar, which ends above that line.
        assert_eq!(with(Nearness::Close, [70, 30], &line), Some((28, 12)));
    }
}
