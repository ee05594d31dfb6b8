//! Systems that a derived network is compared with.

pub mod trees;
pub mod two_tower;
