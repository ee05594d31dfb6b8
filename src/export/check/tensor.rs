//! Constants of a graph: their data are there, and as many as the dimensions ask for.

use super::{Found, IN_ONE_PIECE, OWN_DATA};
use crate::base::{Error, Result};
use std::path::{Component, Path};
use tract_onnx::pb::{
    SparseTensorProto, TensorProto,
    tensor_proto::{DataLocation, DataType},
};

/// Elements of a constant whose numbers [`numbers`] gives: enough for any shape.
pub(super) const FEW: usize = 64;

/// Fails unless the data of `tensor` are as long as its dimensions and type ask for.
pub(super) fn check(tensor: &TensorProto, found: Found) -> Result<()> {
    let wrong = |problem: String| found.at(&tensor.name, problem);
    let elements = elements(&tensor.dims)
        .ok_or_else(|| wrong(format!("a tensor of the dimensions {:?} cannot be", tensor.dims)))?;
    let data_type = DataType::try_from(tensor.data_type)
        .map_err(|_| wrong(format!("a tensor of the unknown type {}", tensor.data_type)))?;
    if tensor.segment.is_some() {
        let problem = "a tensor in segments, which no engine reads";
        return Err(found.at_with(&tensor.name, problem, IN_ONE_PIECE));
    }
    if data_type == DataType::String {
        let found = tensor.string_data.len() as u64;
        return if found == elements { Ok(()) } else { Err(wrong(unequal(found, elements, "texts"))) };
    }
    let bits = bits(data_type).ok_or_else(|| wrong("a tensor without a type".to_owned()))?;
    let bytes = (elements.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    let bytes =
        bytes.ok_or_else(|| wrong(format!("a tensor of the dimensions {:?} cannot be", tensor.dims)))?;
    if tensor.data_location == Some(DataLocation::External as i32) {
        return external(tensor, bytes, found);
    }
    if !tensor.raw_data.is_empty() {
        let found = tensor.raw_data.len() as u64;
        return if found == bytes { Ok(()) } else { Err(wrong(unequal(found, bytes, "bytes"))) };
    }
    // Complex numbers are two each; types of less than 32 bits have an integer each, those of 4 bits one for two.
    let (given, wanted) = match data_type {
        DataType::Float => (tensor.float_data.len(), elements),
        DataType::Complex64 => (tensor.float_data.len(), 2 * elements),
        DataType::Double => (tensor.double_data.len(), elements),
        DataType::Complex128 => (tensor.double_data.len(), 2 * elements),
        DataType::Int64 => (tensor.int64_data.len(), elements),
        DataType::Uint32 | DataType::Uint64 => (tensor.uint64_data.len(), elements),
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => {
            (tensor.int32_data.len(), elements.div_ceil(2))
        }
        _ => (tensor.int32_data.len(), elements),
    };
    if given as u64 == wanted { Ok(()) } else { Err(wrong(unequal(given as u64, wanted, "numbers"))) }
}

/// The same of a tensor most of whose elements are 0. Engines fill it up: what it then takes counts as made by the graph.
pub(super) fn check_sparse(sparse: &SparseTensorProto, found: Found) -> Result<()> {
    let parts = sparse.values.iter().chain(&sparse.indices);
    parts.clone().try_for_each(|part| check(part, found))?;
    let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
    match elements(&sparse.dims) {
        Some(elements) if elements <= found.limits.elements && parts.count() == 2 => {
            found.count(name, elements as f64)
        }
        _ => Err(found.at(name, format!("a sparse tensor of the dimensions {:?}", sparse.dims))),
    }
}

fn unequal(found: u64, wanted: u64, what: &str) -> String {
    format!("the tensor has {found} {what}, and its dimensions ask for {wanted}")
}

/// The product; none for a negative dimension or more than 64 bits hold.
pub(super) fn elements(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(u64::try_from(dim).ok()?))
}

fn bits(data_type: DataType) -> Option<u64> {
    Some(match data_type {
        DataType::Undefined | DataType::String => return None,
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => 4,
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 8,
        DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz => 8,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Int64 | DataType::Uint64 | DataType::Double | DataType::Complex64 => 64,
        DataType::Complex128 => 128,
    })
}

/// Data in another file: one of the model's own folder that has them.
fn external(tensor: &TensorProto, bytes: u64, found: Found) -> Result<()> {
    let wrong = |problem: String| found.at(&tensor.name, problem);
    let value = |key: &str| {
        let entry = tensor.external_data.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(wrong(format!("the {key} of its data is `{text}`"))),
        },
    };
    let location =
        value("location").ok_or_else(|| wrong("its data are in a file without a name".to_owned()))?;
    let outside = || wrong(format!("its data are in `{location}`, outside the folder of the model"));
    let parts = || Path::new(location).components();
    if location.contains('\\')
        || parts().count() == 0
        || !parts().all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(outside());
    }
    let folder = match found.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Links are followed first: what they lead to has to lie in the folder.
    let real = |path: &Path| path.canonicalize().map_err(|e| Error::io(path, "read", e));
    let file = real(&folder.join(location))?;
    if !file.starts_with(real(folder)?) {
        return Err(outside());
    }
    let about = std::fs::metadata(&file).map_err(|e| Error::io(&file, "read", e))?;
    if !about.is_file() {
        return Err(wrong(format!("its data are in `{location}`, which is no regular file")));
    }
    let offset = number("offset")?.unwrap_or(0);
    let there = about.len().checked_sub(offset);
    let stated = number("length")?.or(there);
    if !matches!((there, stated), (Some(there), Some(stated)) if stated == bytes && stated <= there) {
        return Err(wrong(format!(
            "its {bytes} bytes are not where it says, in the {} of `{location}` from {offset} on",
            about.len()
        )));
    }
    let (of_file, of_all) = found.sums.add_external(file, bytes);
    let limit = found.limits.external_bytes;
    let problem = if of_file > about.len() {
        format!("with it, constants read {of_file} bytes of the {} of `{location}`", about.len())
    } else if of_all > limit {
        format!(
            "with it, the data of constants in other files come to {of_all} bytes, and {limit} are accepted"
        )
    } else {
        return Ok(());
    };
    Err(found.at_with(&tensor.name, problem, OWN_DATA))
}

/// The numbers of a small constant; none of a large one, of another type, or of one in another file.
pub(super) fn numbers(tensor: &TensorProto) -> Option<Vec<f64>> {
    fn raw<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
    }
    if elements(&tensor.dims)? > FEW as u64 || tensor.data_location == Some(DataLocation::External as i32) {
        return None;
    }
    let bytes = &tensor.raw_data;
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if bytes.is_empty() => tensor.int64_data.iter().map(|&n| n as f64).collect(),
        DataType::Int32 if bytes.is_empty() => tensor.int32_data.iter().map(|&n| n.into()).collect(),
        DataType::Float if bytes.is_empty() => tensor.float_data.iter().map(|&n| n.into()).collect(),
        DataType::Int64 => raw(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        DataType::Int32 => raw(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        DataType::Float => raw(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        _ => return None,
    })
}
