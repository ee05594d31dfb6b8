//! Systems that a derived network is compared with.

pub mod two_tower;
