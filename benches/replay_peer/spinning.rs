//! An engine whose runs take the time that a script says, and requests that ask nothing.

use autofas_bench::{
    base::Result,
    measure::{
        engine::{Inputs, Session},
        replay::{Workload, clock::Clock},
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// So many requests of one candidate.
pub struct Nothing(pub usize);

impl Workload for Nothing {
    fn requests(&self) -> usize {
        self.0
    }
    fn candidates(&self, _: usize) -> usize {
        1
    }
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }
    fn prepare(&self, _: usize, inputs: &mut Inputs) -> Result<()> {
        inputs.candidates = 1;
        Ok(())
    }
}

/// Spins until the clock says that `delays[n]` have passed in run n, and writes down when each run began and ended.
pub struct Scripted<C> {
    pub clock: Arc<C>,
    pub delays: Vec<Duration>,
    pub runs: Arc<Mutex<Vec<(Duration, Duration)>>>,
}

impl<C: Clock + Send + 'static> Session for Scripted<C> {
    fn run(&mut self, _: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        let begin = self.clock.now();
        let mut runs = self.runs.lock().expect("one worker");
        let until = begin + self.delays[runs.len()];
        let mut end = self.clock.now();
        while end < until {
            std::hint::spin_loop();
            end = self.clock.now();
        }
        runs.push((begin, end));
        scores.clear();
        scores.push(0.5);
        Ok(())
    }
}

/// Keeps a processor busy for that time.
pub fn spin(clock: &impl Clock, time: Duration) {
    let until = clock.now() + time;
    while clock.now() < until {
        std::hint::spin_loop();
    }
}
