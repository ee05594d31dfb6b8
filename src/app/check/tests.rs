//! Scripted measurements.
