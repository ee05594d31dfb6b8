//! What was predicted and what was measured in every round as SVG: discs were measured, rings predicted. Colours tell engines apart.

use super::{
    marks::{Legend, Mark, Spots, dot},
    paper::{DrawingError, HEIGHT, INKS, Ink, Paper, Scale, TEXT, logarithmic, mesh, number, picture},
};
use plotters::prelude::*;
use std::io;

/// The forms of dots.
const DISC: usize = 0;
const RING: usize = 3;
/// Engines stand beside each other within a round, this far apart.
const APART: f64 = 0.08;

/// An engine over the rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The engine.
    pub label: String,
    /// One per round.
    pub rounds: Vec<Round>,
}

/// A round's network on an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// From 1.
    pub round: usize,
    /// The network.
    pub network: String,
    /// By the table that the round paid with.
    pub predicted_ms: f64,
    /// Mean service time.
    pub measured_ms: f64,
    /// Standard error of that.
    pub noise_pct: f64,
}

impl Round {
    /// A standard error around what was measured; of one above it, a place that logarithms have.
    fn bar_ms(&self) -> [f64; 2] {
        let error = (self.noise_pct / 100.0).min(0.99);
        [1.0 - error, 1.0 + error].map(|share| share * self.measured_ms)
    }
}

/// The picture.
///
/// # Errors
/// None that is known; drawing into a text does not fail.
pub fn svg(title: &str, all: &[Series]) -> io::Result<String> {
    let engines = all.iter().enumerate().map(|(at, series)| (series.label.clone(), Mark::Line(ink(at))));
    let forms = [("measured", DISC), ("predicted", RING)];
    let legend =
        Legend::of(engines.chain(forms.map(|(name, form)| (name.to_owned(), Mark::Dot(TEXT, form)))));
    picture(title, HEIGHT + legend.height(), |paper, spots| {
        let (top, below) = paper.split_vertically(HEIGHT as i32);
        draw(&top, title, all, spots)?;
        legend.draw(&below)
    })
}

fn ink(at: usize) -> Ink {
    INKS[at % INKS.len()]
}

fn draw(paper: &Paper<'_>, title: &str, all: &[Series], spots: &mut Spots) -> Result<(), DrawingError> {
    let rounds = || all.iter().flat_map(|series| &series.rounds).filter(|r| r.measured_ms > 0.0);
    let last = rounds().map(|r| r.round).max().unwrap_or(1);
    let x = Scale {
        title: "round",
        range: (0.5, last as f64 + 0.5),
        ticks: (1..=last).map(|round| round as f64).collect(),
        name: number,
    };
    let times = || {
        let all = rounds().flat_map(|r| r.bar_ms().into_iter().chain([r.measured_ms, r.predicted_ms]));
        all.filter(|&ms| ms > 0.0).map(f64::log10)
    };
    let ends = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
    let y = logarithmic("service time, ms", if ends.0 <= ends.1 { ends } else { (-1.0, 0.0) });
    let mut chart = mesh(paper, title, x, y)?;
    for (at, series) in all.iter().enumerate() {
        let ink = ink(at);
        let shift = APART * (at as f64 - (all.len() as f64 - 1.0) / 2.0);
        let own = || series.rounds.iter().filter(|r| r.measured_ms > 0.0 && r.predicted_ms > 0.0);
        let place = |r: &Round, ms: f64| (r.round as f64 + shift, ms.max(f64::MIN_POSITIVE).log10());
        let measured = own().map(|r| place(r, r.measured_ms));
        chart.draw_series(LineSeries::new(measured, ink.0.stroke_width(1)))?;
        for round in own() {
            let bar = round.bar_ms().map(|ms| place(round, ms));
            chart.draw_series(LineSeries::new(bar, ink.0.stroke_width(2)))?;
            let ends = [(round.predicted_ms, RING, "predicted"), (round.measured_ms, DISC, "measured")];
            for (ms, form, how) in ends {
                let at = place(round, ms);
                chart.draw_series(std::iter::once(dot(at, ink, form)))?;
                let Round { network, round, .. } = round;
                let text = format!("{}, round {round}, {network}: {} ms {how}", series.label, number(ms));
                spots.say(chart.backend_coord(&at), text);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_of_every_round_are_drawn_and_said() {
        let round = |round, predicted_ms, measured_ms| Round {
            round,
            network: format!("f{round}"),
            predicted_ms,
            measured_ms,
            noise_pct: 2.0,
        };
        let series = |label: &str, rounds| Series { label: label.to_owned(), rounds };
        let all = [
            series("tract", vec![round(1, 2.0, 2.5), round(2, 2.4, 2.45)]),
            series("onnxruntime", vec![round(1, 1.0, 1.1), round(2, 1.1, 1.1)]),
        ];
        let picture = svg("Rounds", &all).unwrap();
        assert_eq!(picture.matches("<title>").count(), 8, "{picture}");
        assert!(picture.contains("<title>tract, round 2, f2: 2.45 ms measured</title>"), "{picture}");
        assert!(svg("Rounds", &[]).unwrap().contains("</svg>"));
    }

    #[test]
    fn the_axis_holds_bars_as_a_whole() {
        let noisy =
            Round { round: 1, network: "f".to_owned(), predicted_ms: 0.4, measured_ms: 0.9, noise_pct: 25.0 };
        assert_eq!(noisy.bar_ms(), [0.675, 1.125]);
        let picture = svg("Rounds", &[Series { label: "tract".to_owned(), rounds: vec![noisy] }]).unwrap();
        // 1.125 ms are above the 1 that 0.9 would end the axis with.
        assert!(picture.lines().any(|line| line.trim() == "2"), "{picture}");
    }
}
