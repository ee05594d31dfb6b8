//! What the user touches: command line, experiment files, the loop, reports.

pub mod apart;
pub mod check;
pub mod cli;
pub mod compare;
pub mod config;
pub mod curves;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod importance;
pub mod iterate;
pub mod package;
pub mod page;
pub mod plan;
pub mod predict;
pub mod probe;
pub mod report;
pub mod retrain;
pub mod skew;
mod source;
pub mod teacher;
