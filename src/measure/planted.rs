//! Time that is added to every run of a session on purpose: to see what a replay and its regression gate make of a delay
//! that is known. What was planted stands in the result.

use super::engine::{Inputs, Parts, Session};
use crate::base::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Planted {
    /// Spun through after every run of the engine.
    pub busy_us: f64,
    /// Then both together are made longer by this share, spinning as well.
    pub slowdown_pct: f64,
}

impl Planted {
    /// The session with what is planted in it.
    pub fn into(self, session: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(Slowed { session, planted: self })
    }

    /// How long a run takes that took `own` by itself.
    fn total(self, own: Duration) -> Duration {
        let busy = Duration::from_secs_f64(self.busy_us.max(0.0) / 1e6);
        (own + busy).mul_f64(1.0 + self.slowdown_pct.max(0.0) / 100.0)
    }
}

struct Slowed {
    session: Box<dyn Session>,
    planted: Planted,
}

impl Session for Slowed {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let begun = Instant::now();
        self.session.run(inputs, scores)?;
        let total = self.planted.total(begun.elapsed());
        while begun.elapsed() < total {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Of the session in it: what is planted is in none of them.
    fn parts(&self) -> Option<Parts> {
        self.session.parts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_its_own_time_and_the_busy_one_and_a_share_of_both() {
        let planted = Planted { busy_us: 500.0, slowdown_pct: 10.0 };
        assert_eq!(planted.total(Duration::from_micros(1500)), Duration::from_micros(2200));
        let nothing = Planted { busy_us: 0.0, slowdown_pct: 0.0 };
        assert_eq!(nothing.total(Duration::from_micros(7)), Duration::from_micros(7));
    }

    #[test]
    fn a_planted_session_answers_as_the_one_in_it_and_never_earlier() {
        struct Seven;
        impl Session for Seven {
            fn run(&mut self, _: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
                *scores = vec![7.0];
                Ok(())
            }
            fn parts(&self) -> Option<Parts> {
                Some(Parts { run: Duration::from_micros(7), ..Parts::default() })
            }
        }
        let mut session = Planted { busy_us: 300.0, slowdown_pct: 0.0 }.into(Box::new(Seven));
        let (begun, mut scores) = (Instant::now(), Vec::new());
        session.run(&Inputs::default(), &mut scores).unwrap();
        assert_eq!(session.parts().unwrap().run, Duration::from_micros(7));
        assert!(scores == [7.0] && begun.elapsed() >= Duration::from_micros(300));
    }
}
