//! What `export` would do, without writing anything.

use super::ExportRequest;
use crate::{
    app::{
        package::PARITY_ROWS,
        plan::{Draft, OutState, Plan, Seconds, Step, Unit, span},
        source::Source,
    },
    base::{Result, names::Precision},
    export::{self, Form},
    measure::{
        engine,
        traced::{DataFiles, TracedData},
    },
};
use std::time::Instant;

/// Rows that the reference is timed on.
const TIMED_ROWS: usize = 500;

/// What [`export_from_run`](super::export_from_run) would do with the same request, which is read and checked as there.
pub fn plan_export(request: &ExportRequest) -> Result<Plan> {
    request.check()?;
    let source = Source::load(&request.run, request.candidate.as_ref())?;
    let path = request.data.clone().map_or_else(|| source.data_path(), Ok)?;
    let settings = source.experiment_on(&path, &[&request.overrides[..], &request.limits].concat())?.settings;
    let (data, split) = request.rows(&source, &path, &settings)?;
    let mut draft = Draft::default();
    draft.has_read(
        "run",
        &request.run,
        format!("network {} of {} features", source.id, source.features().len()),
    );
    draft.notes.extend(request.replacing());
    draft.has_read("data", &path, format!("{} rows", data.rows()));
    if let Some(trace) = &request.trace {
        let [schema, encoders] = source.files();
        TracedData::load(trace, &DataFiles { rows: path, schema, encoders })?;
        draft.has_read("trace", trace, "its candidates have rows");
    }
    for &name in &settings.target.engines {
        engine::engine(name)?;
    }
    let form = Form { embeddings: request.embeddings, ..Form::of(request.layout, &source.schema) };
    export::onnx(&source.network, form, &source.metadata)?;
    let timed = &split.valid[..TIMED_ROWS.min(split.valid.len())];
    let begun = Instant::now();
    source.network.score(&data, timed)?;
    let scored_s = begun.elapsed().as_secs_f64();
    let rows = PARITY_ROWS.min(split.valid.len());
    let least_s = scored_s * rows as f64 / timed.len().max(1) as f64;
    draft.basis.push(format!(
        "the reference scored {} rows in {}; the engines come on top",
        timed.len(),
        span(scored_s)
    ));
    let engines =
        settings.target.engines.iter().map(|engine| engine.name()).collect::<Vec<_>>().join(" and ");
    draft.steps.push(
        Step::times(format!("export and prove on {engines}"), Unit::Proof, 1)
            .rows(rows)
            .each(Some(Seconds { least_s, most_s: None })),
    );
    let number_bytes = match request.precision {
        Precision::Fp16 => 2,
        // Only dense layers become bytes, and tables are most of a network.
        Precision::Fp32 | Precision::Int8 => 4,
    };
    draft.writes((source.network.parameters() * number_bytes) as u64, "the numbers of the network");
    Ok(draft.plan("export", request.out.as_path(), OutState::of(&request.out)))
}
