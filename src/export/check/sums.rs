//! What the parts of a model ask for together: each may keep its limit, and all of them be absurd.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    path::PathBuf,
};

/// Sums over a whole model, its branches included.
#[derive(Debug, Default)]
pub(super) struct Sums {
    elements: Cell<f64>,
    external_bytes: Cell<u64>,
    taken: RefCell<HashMap<PathBuf, u64>>,
}

impl Sums {
    /// Adds elements that a graph makes by itself; the sum so far.
    pub(super) fn add_elements(&self, elements: f64) -> f64 {
        self.elements.set(self.elements.get() + elements);
        self.elements.get()
    }

    /// Adds a constant whose bytes are in `file`; the sum so far of that file, and of all files.
    pub(super) fn add_external(&self, file: PathBuf, bytes: u64) -> (u64, u64) {
        self.external_bytes.set(self.external_bytes.get().saturating_add(bytes));
        let mut taken = self.taken.borrow_mut();
        let of_file = taken.entry(file).or_default();
        *of_file = of_file.saturating_add(bytes);
        (*of_file, self.external_bytes.get())
    }
}
