//! What comes in: the schema, reading CSV and Parquet, encoders, encoded data sets, splits, batches, and a synthetic
//! log with planted truth. No tensors.

pub mod dataset;
pub mod schema;
