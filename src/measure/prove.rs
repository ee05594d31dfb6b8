//! The proof that an exported model computes what the network computes: every engine against the reference, and the
//! engines against each other, on real rows. Nothing is timed before it has passed.
//!
//! Logged rows mostly have a user each, so with the layout `user-once` they make small batches. Further requests
//! join the first row's user with many items, as serving does. One has as many as the target's requests where that is known,
//! so that it runs on the very plan that an engine makes for that count; where a model is to be served, one has a single
//! candidate and one ten thousand.
//!
//! Rows of an item table are proved by themselves, each value within its rounding of the reference's, and the graph that
//! reads them against a reference that reads the very same rows. Both are as strict as for any other layout, however rough the
//! rows; how far rounding moves the scores is a third thing, stated with a limit of its own, and what that does to the ranking
//! is for the gate ([`super::gate`]).

use super::{
    assemble::Assembler,
    engine::{Engine, Inputs, Session, SessionOptions},
    evaluate::{self, BATCH},
    gate::EngineScores,
    lookup::{ItemTable, Lookups},
};
use crate::{
    base::{
        Error, Result,
        names::{EngineName, Precision, RowFormat, TractPlan},
        stop::Stop,
    },
    data::dataset::Dataset,
    export::{self, Reference, quantise::Lists, signature::Signature},
    learn::network::{Body, NetworkInput, PlainOnly},
};
use request::{joined_request, request_inputs};
use std::path::Path;

mod parity;
mod request;

pub use crate::export::companions::FP32_TOLERANCE;
pub use parity::{EngineParity, ParityReport, TableParity};
pub use request::test_vectors;

/// The largest |Δscore| between a reference and an engine that counts as equal. In fp16 the reference computes with the numbers
/// that the graph holds ([`export::Format::stored`]), so that nothing but the order of sums is left, as in fp32. In int8 it
/// computes with the same integers: what is left are numbers between two bytes, which go to the one or the other. See
/// [`int8_tolerance`].
pub fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 | Precision::Fp16 => FP32_TOLERANCE,
        Precision::Int8 => 5e-3,
    }
}

/// [`tolerance`] of a network in integers whose scores are known in both formats, row by row: twice the most that the integers
/// change, since a faithful engine and the reference are each no farther than that from fp32. Not less than in fp32, and not
/// more than any network in integers may have.
pub fn int8_tolerance(fp32: &[f32], int8: &[f32]) -> f64 {
    let changes = fp32.iter().zip(int8).map(|(a, b)| f64::from((a - b).abs()));
    (2.0 * changes.fold(0.0, f64::max)).clamp(FP32_TOLERANCE, tolerance(Precision::Int8))
}

/// The largest |Δscore| that rounding the rows of an item table may cause.
pub fn rounding_tolerance(rows: RowFormat) -> f64 {
    match rows {
        RowFormat::F32 => FP32_TOLERANCE,
        RowFormat::F16 => 1e-3,
        RowFormat::I8 => 2e-2,
    }
}

/// Candidates of the requests at the edges of what is served.
const EDGES: [usize; 2] = [1, 10_000];

/// Logged rows, and candidates of joined requests, on which trees are compared in tract, at most.
const TREES_IN_TRACT: usize = 32;

/// How a model is proved.
#[derive(Debug, Clone, Copy)]
pub struct ProofTerms<'a> {
    /// The largest |Δscore| that counts as equal.
    pub tolerance: f64,
    /// Whether requests of 1 and of 10,000 candidates are compared as well.
    pub edges: bool,
    /// Lists that every engine scores besides, for the gate.
    pub lists: Option<&'a Lists<'a>>,
    /// Ends the proof between two runs of a session.
    pub stop: Option<&'a Stop>,
}

impl From<f64> for ProofTerms<'_> {
    /// That tolerance on rows and one joined request.
    fn from(tolerance: f64) -> Self {
        Self { tolerance, edges: false, lists: None, stop: None }
    }
}

impl ProofTerms<'_> {
    /// Candidates of the joined requests, ascending, where the target's have `candidates`.
    fn counts(&self, candidates: usize) -> Vec<usize> {
        let edges = if self.edges { &EDGES[..] } else { &[] };
        let mut counts = [&[candidates], edges].concat();
        counts.sort_unstable();
        counts.dedup();
        counts
    }
}

/// Scores of one engine or of the reference: the logged rows, then the joined requests.
struct Scored {
    name: String,
    scores: Vec<f32>,
    /// How many of them are of logged rows.
    rows: usize,
    /// Of the lists of the terms; the reference has none of its own.
    listed: Vec<f32>,
}

impl Scored {
    /// The scores of the first logged rows alone.
    fn of_rows(&self, rows: usize) -> Self {
        Self { name: self.name.clone(), scores: self.scores[..rows].to_vec(), rows, listed: Vec::new() }
    }
}

/// Compares a network with its export at `model`, on `rows` of `data`, in every engine, whose sessions are made as
/// `options` say. A joined request has as many candidates as they name, the items again from the first where they end; `terms`
/// may ask for more.
///
/// The first difference beyond the tolerance, or a score that is not a number, is an [`Error::Limit`] that names engine,
/// row and both scores. Beside the report go the scores of `rows`, and of lists, by every engine.
pub fn prove<'a>(
    reference: impl Into<Reference<'a>>,
    model: &Path,
    data: &Dataset,
    rows: &[u32],
    engines: &[&dyn Engine],
    options: &SessionOptions,
    terms: impl Into<ProofTerms<'a>>,
) -> Result<(ParityReport, Vec<EngineScores>)> {
    let (reference, terms) = (reference.into(), terms.into());
    let Some(&user_row) = rows.first() else {
        return Err(Error::usage("there are no rows to compare scores on", "choose rows of the data"));
    };
    if engines.is_empty() {
        return Err(Error::usage("no engine would prove the model", "name tract or onnxruntime"));
    }
    let candidates = options.candidates_hint.unwrap_or(rows.len().min(BATCH));
    let counts = terms.counts(candidates);
    let most = counts.last().copied().unwrap_or(candidates);
    let items: Vec<u32> = rows.iter().copied().cycle().take(most).collect();
    let request = joined_request(reference.network, data, user_row, &items);
    let options = SessionOptions { candidates_hint: Some(candidates), ..options.clone() };
    let (signature, _) = export::read_signature(model)?;
    let proof = Proof { reference, model, signature, options, data, rows, request: &request, counts, terms };
    let exact = proof.scores(&Lookups::default(), &Lookups::default())?;
    let mut report = ParityReport {
        schema_version: ParityReport::SCHEMA_VERSION,
        tolerance: terms.tolerance,
        rows: rows.len(),
        request_candidates: proof.counts.clone(),
        engines: Vec::new(),
        between_engines: 0.0,
        gate: None,
    };
    let mut scored: Vec<Scored> = Vec::new();
    for engine in engines {
        let (one, parity) = match proof.in_time(engine.name()) {
            None => proof.engine(*engine, &exact)?,
            Some(part) => part.engine_in_time(*engine)?,
        };
        let differences = proof.between(&one, &parity, &scored)?;
        report.between_engines = differences.into_iter().fold(report.between_engines, f64::max);
        report.engines.push(parity);
        scored.push(one);
    }
    let own = report.engines.iter().zip(scored).map(|(parity, Scored { mut scores, rows, listed, .. })| {
        scores.truncate(rows);
        EngineScores { engine: parity.engine, version: parity.version.clone(), scores, listed }
    });
    let own = own.collect();
    Ok((report, own))
}

/// A session that runs nothing more once somebody has asked to stop.
struct Stoppable<'a> {
    session: Box<dyn Session>,
    stop: Option<&'a Stop>,
}

impl Session for Stoppable<'_> {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        self.stop.map_or(Ok(()), Stop::check)?;
        self.session.run(inputs, scores)
    }
}

/// What is compared, in whatever engine.
#[derive(Clone)]
struct Proof<'a> {
    reference: Reference<'a>,
    model: &'a Path,
    signature: Signature,
    options: SessionOptions,
    data: &'a Dataset,
    rows: &'a [u32],
    /// The largest joined request; the others are its first candidates.
    request: &'a Dataset,
    /// Candidates of each, ascending.
    counts: Vec<usize>,
    terms: ProofTerms<'a>,
}

impl Proof<'_> {
    /// What of the proof is for an engine that would take hours for the whole; none where it does not.
    ///
    /// tract finds a tree's leaf by counting through the leaves of all trees before it, so that a row takes the square of their
    /// number. A plan for a count of candidates would pad each row to as many.
    fn in_time(&self, engine: EngineName) -> Option<Self> {
        let (EngineName::Tract, Body::Forest(_)) = (engine, &self.reference.network.body) else {
            return None;
        };
        let mut part = self.clone();
        part.rows = &self.rows[..self.rows.len().min(TREES_IN_TRACT)];
        part.counts.iter_mut().for_each(|count| *count = TREES_IN_TRACT.min(*count));
        part.counts.dedup();
        part.options = self.options.with_plan(TractPlan::Symbolic);
        part.terms.lists = None;
        Some(part)
    }

    /// [`Proof::engine`] for such a part.
    fn engine_in_time(&self, engine: &dyn Engine) -> Result<(Scored, EngineParity)> {
        let exact = self.scores(&Lookups::default(), &Lookups::default())?;
        let (one, parity) = self.engine(engine, &exact)?;
        Ok((one, EngineParity { rows: Some(self.rows.len()), ..parity }))
    }

    /// How far an engine is from each of the others, on what both have scored.
    fn between(&self, one: &Scored, parity: &EngineParity, others: &[Scored]) -> Result<Vec<f64>> {
        // Tables may round to different sides.
        let tolerance =
            parity.item_table.map_or(self.terms.tolerance, |table| 2.0 * table.rounding_tolerance);
        let difference = |other: &Scored| {
            if one.scores.len() == other.scores.len() {
                return self.compare(one, other, tolerance);
            }
            let rows = one.rows.min(other.rows);
            self.compare(&one.of_rows(rows), &other.of_rows(rows), tolerance)
        };
        others.iter().map(difference).collect()
    }

    fn request_rows(&self) -> Vec<u32> {
        (0..self.request.rows() as u32).collect()
    }

    /// The reference's scores of rows and request, which reads the item tables of `own` and of `requested` where they are.
    fn scores(&self, own: &Lookups, requested: &Lookups) -> Result<Scored> {
        let given = |data, rows: &[u32], lookups: &Lookups| match lookups.items() {
            None => self.reference.score(data, rows),
            Some(items) => {
                let cached = |input: &NetworkInput| lookups.is_cached(input);
                self.reference.score_given(data, rows, cached, |row| items.row_of(row))
            }
        };
        let mut scores = given(self.data, self.rows, own)?;
        let all = given(self.request, &self.request_rows(), requested)?;
        self.counts.iter().for_each(|&count| scores.extend_from_slice(&all[..count]));
        Ok(Scored { name: "the reference".to_owned(), scores, rows: self.rows.len(), listed: Vec::new() })
    }

    /// The scores of an engine, found to be the reference's; `exact` are those of the network as it is.
    fn engine(&self, engine: &dyn Engine, exact: &Scored) -> Result<(Scored, EngineParity)> {
        let Self { model, signature, options, data, rows, request, counts, terms, .. } = self;
        let lookups = |data: &Dataset, rows: &[u32]| {
            Lookups::of(engine, model, signature, options, data, || Ok(rows.to_vec()))
        };
        let (own, requested) = (lookups(data, rows)?, lookups(request, &self.request_rows())?);
        let mut session = Stoppable { session: engine.load(model, options)?, stop: terms.stop };
        let assembler = Assembler::by_row(signature, data, &own)?;
        let mut scores = evaluate::score_rows(&mut session, &assembler, data, rows)?;
        for &count in counts {
            let mut request_scores = Vec::new();
            session.run(&request_inputs(signature, request, count, &requested)?, &mut request_scores)?;
            scores.extend(request_scores);
        }
        let mut listed = Vec::new();
        if let Some(lists) = terms.lists {
            let own = lookups(lists.data(), lists.rows())?;
            let assembler = Assembler::by_row(signature, lists.data(), &own)?;
            listed = evaluate::score_rows(&mut session, &assembler, lists.data(), lists.rows())?;
        }
        let one = Scored {
            name: format!("{} {}", engine.name(), engine.version()),
            scores,
            rows: rows.len(),
            listed,
        };
        let max_abs_difference = match own.items() {
            None => self.compare(&one, exact, terms.tolerance)?,
            Some(_) => self.compare(&one, &self.scores(&own, &requested)?, terms.tolerance)?,
        };
        let table = |items: &ItemTable| self.item_table(&one, exact, &own, items);
        let item_table = own.items().map(table).transpose()?;
        let (engine, version) = (engine.name(), engine.version());
        Ok((one, EngineParity { engine, version, max_abs_difference, rows: None, item_table }))
    }

    /// Compares an engine's item table, and what it did to the scores, with the network.
    fn item_table(
        &self,
        one: &Scored,
        exact: &Scored,
        lookups: &Lookups,
        items: &ItemTable,
    ) -> Result<TableParity> {
        let format = items.format();
        let network = self.reference.network.mlp(PlainOnly::ItemTable)?;
        let parts = network.part_of(self.data, self.rows, |input| lookups.is_cached(input))?;
        let mut largest = 0.0f64;
        for (&row, part) in self.rows.iter().zip(&parts) {
            for (output, (&value, &exact)) in items.row_of(row).iter().zip(part).enumerate() {
                let beyond = f64::from((value - exact).abs() - items.half_step(row, exact));
                // Sums of many terms: as far apart as their size allows.
                if beyond.is_nan() || beyond > self.terms.tolerance * f64::from(1.0 + exact.abs()) {
                    let limit = format!("item table of {} in {format}, within its rounding", one.name);
                    let found = format!("row {}, output {}: {value} against {exact}", row + 1, output + 1);
                    return Err(Error::Limit { limit, found });
                }
                largest = largest.max(beyond);
            }
        }
        // What the rest of the graph may differ by comes to that of the rows.
        let rounding_tolerance = rounding_tolerance(format) + self.terms.tolerance;
        Ok(TableParity {
            rows: format,
            items: items.items(),
            max_abs_difference: largest,
            max_abs_rounding: self.compare(one, exact, rounding_tolerance)?,
            rounding_tolerance,
        })
    }

    /// The largest difference; one beyond the tolerance is an error.
    fn compare(&self, one: &Scored, other: &Scored, tolerance: f64) -> Result<f64> {
        let limit = format!("parity of {} with {} within {tolerance:e}", one.name, other.name);
        if one.scores.len() != other.scores.len() {
            let found = format!("{} scores against {}", one.scores.len(), other.scores.len());
            return Err(Error::Limit { limit, found });
        }
        let mut largest = 0.0f64;
        for (position, (&a, &b)) in one.scores.iter().zip(&other.scores).enumerate() {
            let difference = (f64::from(a) - f64::from(b)).abs();
            if difference.is_nan() || difference > tolerance {
                let found = format!("{} scores {a} against {b}", self.place(position));
                return Err(Error::Limit { limit, found });
            }
            largest = largest.max(difference);
        }
        Ok(largest)
    }

    /// What stands at that position of the scores, counted from 1.
    fn place(&self, position: usize) -> String {
        if let Some(row) = self.rows.get(position) {
            return format!("row {}", row + 1);
        }
        let mut candidate = position - self.rows.len();
        for &count in &self.counts {
            if candidate < count {
                return format!("candidate {} of the joined request of {count}", candidate + 1);
            }
            candidate -= count;
        }
        format!("score {}", position + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_may_differ_by_twice_what_they_change_within_the_limits_of_fp32_and_of_any_network() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-7, "{a} against {b}");
        close(int8_tolerance(&[0.5, 0.2, 0.1], &[0.5, 0.201, 0.0995]), 2e-3);
        close(int8_tolerance(&[0.5, 0.2], &[0.5, 0.2]), 1e-5);
        close(int8_tolerance(&[0.5], &[0.4]), 5e-3);
    }
}
