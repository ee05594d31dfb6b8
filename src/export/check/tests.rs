use super::*;
use crate::{base::names::Precision, export::probe};

fn refused(path: &Path, limits: Limits) -> String {
    read(path, &limits).unwrap_err().to_string()
}

#[test]
fn a_file_keeps_every_limit_up_to_its_last_byte_record_and_element() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let model = probe::layer(8, 4, Precision::Fp32).unwrap();
    model.write(&path).unwrap();
    let whole = Limits { file_bytes: model.bytes().len() as u64, ..Limits::STANDARD };
    read(&path, &whole).unwrap();
    let text = refused(&path, Limits { file_bytes: whole.file_bytes - 1, ..whole });
    assert!(text.contains("m.onnx: the file is larger than the"), "{text}");
    let records = (1..10_000).find(|&records| read(&path, &Limits { records, ..whole }).is_ok()).unwrap();
    let text = refused(&path, Limits { records: records - 1, ..whole });
    assert!(text.contains(&format!("more than {} messages and texts", records - 1)), "{text}");
    // The input has 8 columns, and named dimensions count 1.
    read(&path, &Limits { elements: 8, ..whole }).unwrap();
    let text = refused(&path, Limits { elements: 7, ..whole });
    assert!(text.contains("a tensor of the dimensions [1, 8] is declared"), "{text}");
}

#[test]
fn the_records_of_a_message_are_its_fields_of_a_length_and_theirs() {
    let records = |bytes: &[u8]| {
        let limits = |records| Limits { records, ..Limits::STANDARD };
        let fits = |&records: &usize| {
            let found = Found { path: "m".as_ref(), limits: &limits(records), sums: &Sums::default() };
            wire::check(bytes, found).is_ok()
        };
        (0..100).find(fits).unwrap()
    };
    // ir_version 8, producer_name "ab": one text.
    assert_eq!(records(&[0x08, 8, 0x12, 2, b'a', b'b']), 1);
    // A graph (field 7) of two nodes (field 1), the second with the input "x" (field 1).
    assert_eq!(records(&[0x3a, 7, 0x0a, 0, 0x0a, 3, 0x0a, 1, b'x']), 4);
    // The bytes of a constant (graph 7, initializer 5, raw_data 9) are not looked into.
    assert_eq!(records(&[0x3a, 6, 0x2a, 4, 0x4a, 2, 0x0a, 0]), 3);
}
