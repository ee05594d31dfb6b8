//! Requests that a proof makes of logged rows.

use crate::{
    base::{Error, Result},
    data::{dataset::Dataset, schema::Side},
    export::{
        OnnxModel, Reference,
        companions::{FP32_TOLERANCE, TestTensor, TestValues, TestVectors},
        signature::Signature,
    },
    learn::network::{Network, NetworkInput},
    measure::{
        assemble::{Assembler, Candidate},
        engine::{Inputs, TensorData},
        lookup::Lookups,
    },
};

/// A request as a serving system sends it, with the reference's scores: the user of the first row with the items of all
/// `rows`, and the network's own item table. What [`write_package`](crate::export::write_package) puts beside `model`, an export of `network`.
pub fn test_vectors<'a>(
    reference: impl Into<Reference<'a>>,
    model: &OnnxModel<'_>,
    data: &Dataset,
    rows: &[u32],
) -> Result<TestVectors> {
    let reference = reference.into();
    let Some(&user_row) = rows.first() else {
        return Err(Error::usage("there are no rows to make test vectors from", "choose rows of the data"));
    };
    let request = joined_request(reference.network, data, user_row, rows);
    let every_row: Vec<u32> = (0..request.rows() as u32).collect();
    let lookups = Lookups::by_reference(reference.network, model, &request)?;
    let inputs = request_inputs(&model.signature, &request, request.rows(), &lookups)?
        .tensors
        .into_iter()
        .map(|tensor| TestTensor {
            name: tensor.name,
            shape: tensor.shape,
            values: match tensor.data {
                TensorData::I64(ids) => TestValues::Ids(ids),
                TensorData::F32(numbers) => TestValues::Numbers(numbers),
                TensorData::F16(values) => {
                    TestValues::Numbers(values.into_iter().map(|value| value.to_f32()).collect())
                }
                TensorData::I8(steps) => TestValues::Ids(steps.into_iter().map(i64::from).collect()),
            },
        })
        .collect();
    let cached = |input: &NetworkInput| lookups.is_cached(input);
    let row_of = |row| lookups.items().map_or_else(Vec::new, |items| items.row_of(row));
    let scores = reference.score_given(&request, &every_row, cached, row_of)?;
    Ok(TestVectors { inputs, scores, tolerance: FP32_TOLERANCE })
}

/// The first rows of `request` as the candidates of one user.
pub(super) fn request_inputs(
    signature: &Signature,
    request: &Dataset,
    count: usize,
    lookups: &Lookups,
) -> Result<Inputs> {
    let assembler = Assembler::by_row(signature, request, lookups)?;
    let candidates: Vec<_> = (0..count as u32).map(Candidate::of_row).collect();
    let mut inputs = assembler.inputs();
    assembler.fill(request, 0, &candidates, &mut inputs);
    Ok(inputs)
}

/// Rows of `items` with the user side of `user_row`.
pub(super) fn joined_request(network: &Network, data: &Dataset, user_row: u32, items: &[u32]) -> Dataset {
    let pairs: Vec<_> = items.iter().map(|&item| (user_row, item)).collect();
    data.joined(&network.features_of(Side::User), &pairs)
}
