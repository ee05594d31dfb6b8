//! A graph as the content of an ONNX file, written piece by piece.
//!
//! Protobuf's fields may stand in any order, so the constants follow the nodes: what is small is encoded as messages, and
//! around each constant's numbers stand just the tag and the length that a message would have written. Where the file would
//! be too large for protobuf's readers, the numbers of its constants go into a second file beside it, each at a
//! multiple of [`ALIGNMENT`], so that a runtime can map them.

use super::graph::{Constant, Graph, ML_DOMAIN};
use crate::base::hash::hex;
use prost::{
    Message,
    encoding::{encode_varint, encoded_len_varint},
};
use sha1::{Digest, Sha1};
use std::io::{self, Write};
use tract_onnx::pb::{ModelProto, OperatorSetIdProto, StringStringEntryProto, tensor_proto::DataLocation};

/// Operator set that ONNX Runtime, tract, OpenVINO and TensorRT all read.
const OPSET: i64 = 17;
/// Set of the operators for other models than networks, for graphs that have one: the last in which TreeEnsembleClassifier stands
/// without a successor.
const ML_OPSET: i64 = 3;
/// File format version that goes with it.
const IR_VERSION: i64 = 8;

/// The fields whose content is written piece by piece: number and wire type of a model's graph, a graph's constants and
/// a constant's numbers. Each is a single byte.
const GRAPH: u8 = 7 << 3 | 2;
const INITIALIZER: u8 = 5 << 3 | 2;
const RAW_DATA: u8 = 9 << 3 | 2;

/// The largest message that protobuf's readers accept.
pub(super) const LARGEST_BYTES: u64 = i32::MAX as u64;
/// Where constants begin in a file of their own: a page, as ONNX advises.
const ALIGNMENT: u64 = 4096;
/// Constants smaller than this stay in the model whatever its size: they are part of its structure.
const SMALL_BYTES: u64 = 1024;

/// The second file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External {
    /// Its name; it lies in the model's folder.
    location: String,
    /// SHA-1 of its content, which ONNX asks for.
    sha1: String,
}

/// Writes what constants move out of the model into `out`, and says what the model has to know of it.
pub(super) fn write_external(
    graph: &Graph<'_>,
    location: String,
    out: &mut (dyn Write + Send),
) -> io::Result<External> {
    let mut out = Hashing { out, hash: Sha1::new() };
    let mut end = 0u64;
    for constant in graph.constants.iter().filter(|constant| moves(constant)) {
        let begin = end.next_multiple_of(ALIGNMENT);
        io::copy(&mut io::Read::take(io::repeat(0), begin - end), &mut out)?;
        constant.write(&mut out)?;
        end = begin + constant.bytes();
    }
    Ok(External { location, sha1: hex(&out.hash.finalize()) })
}

fn moves(constant: &Constant<'_>) -> bool {
    constant.bytes() >= SMALL_BYTES
}

/// Passes on and hashes.
struct Hashing<'w> {
    out: &'w mut (dyn Write + Send),
    hash: Sha1,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A model on its way into a file.
pub(super) struct Encoder<'g> {
    /// The model without its graph, and the graph without its constants.
    model: Vec<u8>,
    shell: Vec<u8>,
    /// Every constant's message without its numbers, and whether they stand in the second file.
    constants: Vec<(Vec<u8>, bool, &'g Constant<'g>)>,
}

impl<'g> Encoder<'g> {
    /// `external` is what [`write_external`] gave, where the numbers stand in a second file.
    pub(super) fn new(
        graph: &'g Graph<'g>,
        properties: &[(String, String)],
        external: Option<&External>,
    ) -> Self {
        let entry = |(key, value): &(String, String)| StringStringEntryProto {
            key: key.clone(),
            value: value.clone(),
        };
        let set = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
        let ml = graph.uses_ml().then(|| set(ML_DOMAIN, ML_OPSET));
        let model = ModelProto {
            ir_version: IR_VERSION,
            opset_import: [set("", OPSET)].into_iter().chain(ml).collect(),
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            metadata_props: properties.iter().map(entry).collect(),
            ..ModelProto::default()
        };
        let mut end = 0u64;
        let constants = graph.constants.iter().map(|constant| {
            let mut header = constant.header.clone();
            let outside = external.filter(|_| moves(constant));
            if let Some(external) = outside {
                let begin = end.next_multiple_of(ALIGNMENT);
                end = begin + constant.bytes();
                header.data_location = Some(DataLocation::External as i32);
                let values = [
                    ("location", external.location.clone()),
                    ("offset", begin.to_string()),
                    ("length", constant.bytes().to_string()),
                    ("checksum", external.sha1.clone()),
                ];
                header.external_data =
                    values.map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).into();
            }
            (header.encode_to_vec(), outside.is_some(), constant)
        });
        Self {
            model: model.encode_to_vec(),
            shell: graph.shell.encode_to_vec(),
            constants: constants.collect(),
        }
    }

    /// Size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.model.len() as u64 + field_len(self.graph_len())
    }

    fn graph_len(&self) -> u64 {
        let constants = self.constants.iter().map(|constant| field_len(message_len(constant)));
        self.shell.len() as u64 + constants.sum::<u64>()
    }

    /// Writes the file's content.
    pub(super) fn write(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        out.write_all(&self.model)?;
        begin_field(out, GRAPH, self.graph_len())?;
        out.write_all(&self.shell)?;
        for constant in &self.constants {
            begin_field(out, INITIALIZER, message_len(constant))?;
            let (header, outside, constant) = constant;
            out.write_all(header)?;
            if !outside {
                begin_field(out, RAW_DATA, constant.bytes())?;
                constant.write(out)?;
            }
        }
        Ok(())
    }
}

fn message_len((header, outside, constant): &(Vec<u8>, bool, &Constant<'_>)) -> u64 {
    header.len() as u64 + if *outside { 0 } else { field_len(constant.bytes()) }
}

/// A field of that many bytes with its tag and its length.
fn field_len(bytes: u64) -> u64 {
    1 + encoded_len_varint(bytes) as u64 + bytes
}

fn begin_field(out: &mut (impl Write + ?Sized), tag: u8, bytes: u64) -> io::Result<()> {
    let mut start = vec![tag];
    encode_varint(bytes, &mut start);
    out.write_all(&start)
}
