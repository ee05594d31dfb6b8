//! An engine whose delay is known: it sleeps, as the sleeping system under test of LoadGen does, by the same system call.

use autofas_bench::{
    base::Result,
    measure::engine::{Inputs, Session},
};
use std::{thread, time::Duration};

pub struct Sleeper {
    delay: Duration,
}

impl Sleeper {
    pub fn new(delay_us: u64) -> Self {
        Self { delay: Duration::from_micros(delay_us) }
    }
}

impl Session for Sleeper {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        scores.clear();
        scores.resize(inputs.candidates, 0.0);
        Ok(())
    }
}
