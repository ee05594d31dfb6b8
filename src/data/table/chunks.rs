//! What the footer of a Parquet file says about places in it, looked through before they are read: the library takes them on trust, and ends
//! the thread at a negative one.

use parquet::{
    errors::{ParquetError, Result},
    file::metadata::ParquetMetaData,
};

/// Fails unless every column chunk lies within the file's `bytes`.
pub fn check(metadata: &ParquetMetaData, bytes: u64) -> Result<()> {
    for group in metadata.row_groups() {
        for chunk in group.columns() {
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let end = start.checked_add(chunk.compressed_size());
            let within = start >= 0 && end.is_some_and(|end| end >= start && end as u64 <= bytes);
            if !within || chunk.num_values() < 0 || group.num_rows() < 0 {
                let column = chunk.column_path().string();
                return Err(ParquetError::General(format!("column `{column}` lies outside the file")));
            }
        }
    }
    Ok(())
}
