//! The engine that computes nothing: what is measured with it is the harness.

use super::{Engine, Inputs, Session, SessionOptions};
use crate::base::{
    Error, Result,
    names::{EngineName, Provider},
};
use std::path::Path;

/// Answers at once.
pub(super) struct Null;

impl Engine for Null {
    fn name(&self) -> EngineName {
        EngineName::Null
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn load(&self, _: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        if options.provider != Provider::Cpu || options.threads != 1 {
            return Err(Error::usage(
                format!(
                    "the null engine computes nothing, neither on {} nor on {} threads",
                    options.provider, options.threads
                ),
                "leave --provider and --threads at cpu and 1 for it, or use --engine onnxruntime",
            ));
        }
        Ok(Box::new(NullSession))
    }
}

struct NullSession;

impl Session for NullSession {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        scores.clear();
        scores.resize(inputs.candidates, 0.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_or_threads_that_would_not_be_used_are_refused() {
        let plain = SessionOptions::PLAIN;
        assert!(Null.load(Path::new("any.onnx"), &plain).is_ok());
        for options in [
            SessionOptions { provider: Provider::Cuda, ..plain.clone() },
            SessionOptions { threads: 2, ..plain },
        ] {
            let refused = Null.load(Path::new("any.onnx"), &options).map(|_| ());
            assert!(matches!(refused, Err(Error::Usage { .. })));
        }
    }
}
