//! Systems that a derived network is compared with and that are not trained by candle.

pub mod trees;
