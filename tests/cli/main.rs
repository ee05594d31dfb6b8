//! The program from outside: exit codes, files and output of every verb, each test in a directory of its own.

mod advice;
#[cfg(unix)]
mod compare;
mod config;
mod data;
mod deploy;
mod docs;
mod doctor;
mod dry;
mod evaluate;
mod evaluate_long;
mod examples;
#[cfg(unix)]
mod faults;
mod forms;
mod gate;
mod hostile;
mod importance;
mod lists;
mod outputs;
mod predict;
#[path = "../support/python.rs"]
mod python;
mod queue;
mod reference;
mod report;
mod retrain;
mod run;
mod search;
mod serving;
mod shell;
mod skew;
#[cfg(unix)]
mod stopping;
mod store;
mod table;
mod teacher;
mod trace;
mod usage;
mod world;
