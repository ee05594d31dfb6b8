//! What a Parquet file says about places and sizes in it, looked through before they are read: the library takes them on trust, ends the thread at
//! a negative place, and makes room for as many values as a dictionary announces.

use parquet::{
    basic::Type,
    column::page::{Page, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
        serialized_reader::SerializedPageReader,
    },
};
use std::sync::Arc;

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

/// Fails where a dictionary announces more values than its bytes can hold; only those of columns of the schema that are `wanted`.
pub fn check_dictionaries<R: ChunkReader>(
    file: R,
    metadata: &ParquetMetaData,
    wanted: impl Fn(usize) -> bool,
) -> Result<()> {
    let (file, schema) = (Arc::new(file), metadata.file_metadata().schema_descr());
    for group in metadata.row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if wanted(schema.get_column_root_idx(leaf)) {
                check_dictionary(&file, chunk, group.num_rows() as usize)?;
            }
        }
    }
    Ok(())
}

fn check_dictionary<R: ChunkReader>(file: &Arc<R>, chunk: &ColumnChunkMetaData, rows: usize) -> Result<()> {
    let mut pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, None)?;
    if !pages.peek_next_page()?.is_some_and(|page| page.is_dict) {
        return Ok(());
    }
    let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()? else { return Ok(()) };
    // Of lengths, which text has before it, the least is 4 bytes.
    let least_bits = match chunk.column_type() {
        Type::BOOLEAN => 1,
        Type::INT64 | Type::DOUBLE => 64,
        Type::INT96 => 96,
        Type::FIXED_LEN_BYTE_ARRAY => 8,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 32,
    };
    if u64::from(num_values) * least_bits <= 8 * buf.len() as u64 {
        return Ok(());
    }
    let column = chunk.column_path().string();
    Err(ParquetError::General(format!("column `{column}` has a dictionary of fewer values than it says")))
}
