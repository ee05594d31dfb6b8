//! What is exported, through Python's own tools: ONNX's checker and its runner of backend tests, onnxruntime and OpenVINO (by
//! `scripts/check_onnx.py`), a Triton repository, the clients of the documents, and the encoder for programs in Python.

mod clients;
mod encoding;
mod forms;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/mod.rs"]
mod support;
mod triton;

use autofas_bench::{
    base::names::Precision,
    export::{
        self, Form, Format, Metadata, Reference,
        companions::TestVectors,
        quantise::{QuantiseSettings, every_layer},
    },
    learn::network::Network,
    measure::prove,
};

/// Writes the package of a network with every kind of feature; `change` may falsify its test vectors.
pub fn package(form: Form, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    package_in(Precision::Fp32, form, change)
}

pub fn package_in(precision: Precision, form: Form, change: fn(&mut TestVectors)) -> tempfile::TempDir {
    package_of(&support::network(&support::every_kind(), &[64, 32], 3), precision, form, change)
}

pub fn package_of(
    network: &Network,
    precision: Precision,
    form: Form,
    change: fn(&mut TestVectors),
) -> tempfile::TempDir {
    let data = support::dataset(&support::every_kind(), 200, 3);
    let rows: Vec<u32> = (0..200).collect();
    let format = match precision {
        Precision::Fp32 => Format::Fp32,
        Precision::Fp16 => Format::Fp16,
        Precision::Int8 => {
            Format::Int8(every_layer(network, &form, &data, &rows, &QuantiseSettings::default()).unwrap())
        }
    };
    let embeddings = form.embeddings;
    let model = export::onnx_in(&format, network, form, &Metadata::default()).unwrap();
    let stored = format.stored(network, embeddings);
    let mut vectors = prove::test_vectors(Reference::of(&stored, &format), &model, &data, &rows).unwrap();
    vectors.tolerance = prove::tolerance(precision);
    change(&mut vectors);
    let folder = tempfile::tempdir().unwrap();
    let (schema, encoders) = support::no_companions();
    export::write_package(folder.path(), &model, &schema, &encoders, &vectors).unwrap();
    folder
}
