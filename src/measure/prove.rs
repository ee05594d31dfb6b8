//! The proof that an exported model computes what the network computes: every engine against the reference, and the
//! engines against each other, on real rows. Nothing is timed before it has passed.
//!
//! Logged rows mostly have a user each, so with the layout `user-once` they make small batches. One more request
//! joins the first row's user with many items, as serving does: as many as the target's requests have where that is known,
//! so that it runs on the very plan that an engine makes for that count.

use super::{
    assemble::{Assembler, Candidate},
    engine::{Engine, Inputs, SessionOptions, TensorData},
    evaluate::{self, BATCH},
};
use crate::{
    base::{Error, Result, names::EngineName},
    data::{
        dataset::{Dataset, Slot},
        ids::Ids,
        schema::Side,
    },
    export::{
        self,
        companions::{TestTensor, TestValues, TestVectors},
        signature::Signature,
    },
    learn::network::Network,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The largest |Δscore| between a reference and an engine that counts as equal in fp32.
pub const FP32_TOLERANCE: f64 = 1e-5;

/// One engine's distance from the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineParity {
    /// Which runtime.
    pub engine: EngineName,
    /// Its version.
    pub version: String,
    /// The largest |Δscore| over all rows and the request.
    pub max_abs_difference: f64,
}

/// What was compared, and how far apart the scores were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParityReport {
    /// Version of this format.
    pub schema_version: u32,
    /// The limit that every difference kept.
    pub tolerance: f64,
    /// Logged rows that were compared.
    pub rows: usize,
    /// Candidates of the joined request.
    pub request_candidates: usize,
    /// Each engine against the reference.
    pub engines: Vec<EngineParity>,
    /// The largest |Δscore| between any two engines.
    pub between_engines: f64,
}

impl ParityReport {
    /// Version of this format that this program writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The largest difference from the reference in any engine.
    pub fn worst(&self) -> f64 {
        self.engines.iter().fold(0.0, |worst, engine| worst.max(engine.max_abs_difference))
    }
}

/// Scores of one engine or of the reference: the logged rows, then the joined request.
struct Scored {
    name: String,
    scores: Vec<f32>,
}

/// Compares `network` with its export at `model`, on `rows` of `data`, in every engine, whose sessions are made as
/// `options` say. The joined request has as many candidates as they name, the items again from the first where they end.
///
/// The first difference beyond `tolerance`, or a score that is not a number, is an [`Error::Limit`] that names engine,
/// row and both scores.
pub fn prove(
    network: &Network,
    model: &Path,
    data: &Dataset,
    rows: &[u32],
    engines: &[&dyn Engine],
    options: &SessionOptions,
    tolerance: f64,
) -> Result<ParityReport> {
    let Some(&user_row) = rows.first() else {
        return Err(Error::usage("there are no rows to compare scores on", "choose rows of the data"));
    };
    if engines.is_empty() {
        return Err(Error::usage("no engine would prove the model", "name tract or onnxruntime"));
    }
    let candidates = options.candidates_hint.unwrap_or(rows.len().min(BATCH));
    let items: Vec<u32> = rows.iter().copied().cycle().take(candidates).collect();
    let request = joined_request(network, data, user_row, &items);
    let options = SessionOptions { candidates_hint: Some(candidates), ..options.clone() };
    let request_rows: Vec<u32> = (0..request.rows() as u32).collect();
    let mut scores = network.score(data, rows)?;
    scores.extend(network.score(&request, &request_rows)?);
    let mut scored = vec![Scored { name: "the reference".to_owned(), scores }];
    let mut report = ParityReport {
        schema_version: ParityReport::SCHEMA_VERSION,
        tolerance,
        rows: rows.len(),
        request_candidates: request.rows(),
        engines: Vec::new(),
        between_engines: 0.0,
    };
    for engine in engines {
        let scores = engine_scores(*engine, model, &options, data, rows, &request)?;
        let one = Scored { name: format!("{} {}", engine.name(), engine.version()), scores };
        for (index, other) in scored.iter().enumerate() {
            let difference = compare(&one, other, rows, tolerance)?;
            if index > 0 {
                report.between_engines = report.between_engines.max(difference);
            } else {
                report.engines.push(EngineParity {
                    engine: engine.name(),
                    version: engine.version(),
                    max_abs_difference: difference,
                });
            }
        }
        scored.push(one);
    }
    Ok(report)
}

fn engine_scores(
    engine: &dyn Engine,
    model: &Path,
    options: &SessionOptions,
    data: &Dataset,
    rows: &[u32],
    request: &Dataset,
) -> Result<Vec<f32>> {
    let (signature, _) = export::read_signature(model)?;
    let mut session = engine.load(model, options)?;
    let mut scores =
        evaluate::score_rows(session.as_mut(), &Assembler::by_row(&signature, data)?, data, rows)?;

    let mut request_scores = Vec::new();
    session.run(&request_inputs(&signature, request)?, &mut request_scores)?;
    scores.extend(request_scores);
    Ok(scores)
}

/// A request as a serving system sends it, with the reference's scores: the user of the first row with the items of all
/// `rows`. What [`export::write_package`] puts beside the model.
pub fn test_vectors(
    network: &Network,
    signature: &Signature,
    data: &Dataset,
    rows: &[u32],
) -> Result<TestVectors> {
    let Some(&user_row) = rows.first() else {
        return Err(Error::usage("there are no rows to make test vectors from", "choose rows of the data"));
    };
    let request = joined_request(network, data, user_row, rows);
    let every_row: Vec<u32> = (0..request.rows() as u32).collect();
    let inputs = request_inputs(signature, &request)?
        .tensors
        .into_iter()
        .map(|tensor| TestTensor {
            name: tensor.name,
            shape: tensor.shape,
            values: match tensor.data {
                TensorData::I64(ids) => TestValues::Ids(ids),
                TensorData::F32(numbers) => TestValues::Numbers(numbers),
            },
        })
        .collect();
    Ok(TestVectors { inputs, scores: network.score(&request, &every_row)? })
}

/// All rows of `request` as the candidates of one user.
fn request_inputs(signature: &Signature, request: &Dataset) -> Result<Inputs> {
    let assembler = Assembler::by_row(signature, request)?;
    let candidates: Vec<_> = (0..request.rows() as u32).map(Candidate::of_row).collect();
    let mut inputs = assembler.inputs();
    assembler.fill(request, 0, &candidates, &mut inputs);
    Ok(inputs)
}

/// Rows of `items` with the user side of `user_row`.
fn joined_request(network: &Network, data: &Dataset, user_row: u32, items: &[u32]) -> Dataset {
    let mut request = Dataset {
        features: data.features.clone(),
        number_slots: data.number_slots,
        labels: vec![0.0; items.len()].into(),
        ..Dataset::default()
    };
    let user_slots: Vec<_> = network
        .inputs
        .iter()
        .filter(|input| input.side == Side::User)
        .filter_map(|input| data.features.iter().find(|f| f.name == input.feature).map(|f| f.slot))
        .collect();
    let user = user_row as usize;
    let (mut all_ids, mut all_numbers) = (Vec::new(), Vec::new());
    for &item in items {
        let mut ids: Vec<u32> = data.ids.of_row(item as usize).collect();
        let mut numbers = data.numbers_of(item as usize).to_vec();
        for slot in &user_slots {
            match *slot {
                Slot::Ids { start, length } => {
                    let own = &mut ids[start..start + length];
                    own.iter_mut()
                        .zip(data.ids.of(user, start..start + length))
                        .for_each(|(to, id)| *to = id);
                }
                Slot::Number { index } => numbers[index] = data.numbers_of(user)[index],
            }
        }
        all_ids.extend(ids);
        all_numbers.extend(numbers);
    }
    request.ids = Ids::from_rows(data.ids.slots(), &all_ids);
    request.numbers = all_numbers.into();
    request
}

/// The largest difference; one beyond the tolerance is an error.
fn compare(one: &Scored, other: &Scored, rows: &[u32], tolerance: f64) -> Result<f64> {
    let limit = format!("parity of {} with {} within {tolerance:e}", one.name, other.name);
    if one.scores.len() != other.scores.len() {
        let found = format!("{} scores against {}", one.scores.len(), other.scores.len());
        return Err(Error::Limit { limit, found });
    }
    let mut largest = 0.0f64;
    for (position, (&a, &b)) in one.scores.iter().zip(&other.scores).enumerate() {
        let difference = (f64::from(a) - f64::from(b)).abs();
        if difference.is_nan() || difference > tolerance {
            let place = match rows.get(position) {
                Some(row) => format!("row {row}"),
                None => format!("candidate {} of the joined request", position - rows.len()),
            };
            return Err(Error::Limit { limit, found: format!("{place} scores {a} against {b}") });
        }
        largest = largest.max(difference);
    }
    Ok(largest)
}
