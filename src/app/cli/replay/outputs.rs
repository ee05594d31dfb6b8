//! What `replay` writes for other programs and for people to look at.

use crate::{
    app::report::{Curve, Distribution, page, percentiles, plot},
    base::{Error, Result, error::Place, fsio},
    measure::{campaign::Measured, latency::Latencies},
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Options of `replay` beside its result and its histograms.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Where the percentile distributions go, in HdrHistogram's columns; of a search for --slo those of the rate of its result
    #[arg(long, value_name = "R.csv")]
    csv: Option<PathBuf>,
    /// Where a picture of the response percentiles goes: .svg, or .html with a table
    #[arg(long, value_name = "R.svg")]
    plot: Option<PathBuf>,
}

/// Forms of a picture.
#[derive(Clone, Copy)]
enum Form {
    Svg,
    Html,
}

impl OutputArgs {
    /// Refuses a picture in a form that is not known, and what cannot be written, before anything is measured for it.
    pub fn check(&self) -> Result<()> {
        self.plot.as_deref().map_or(Ok(()), |path| form(path).map(drop))?;
        self.csv.iter().chain(&self.plot).try_for_each(|path| fsio::check_file(path))
    }

    /// Writes what was asked for, and tells how each of it went.
    pub fn write(&self, measured: &[Measured]) -> Vec<Result<()>> {
        let engines: Vec<String> = measured.iter().map(|m| m.measurement.setup.engine.to_string()).collect();
        let distributions: Vec<Distribution<'_>> = measured
            .iter()
            .zip(&engines)
            .flat_map(|(measured, engine)| distributions(measured, engine))
            .collect();
        let csv = self.csv.iter().map(|path| percentiles::write(path, &distributions));
        let plot = self.plot.iter().map(|path| {
            let curves: Vec<Curve<'_>> = measured
                .iter()
                .zip(&engines)
                .filter_map(|(measured, engine)| curve(measured, engine))
                .collect();
            let text = match form(path)? {
                Form::Svg => plot::svg(&distributions, &curves),
                Form::Html => page::html("Replay", &distributions, &curves),
            };
            let text = text.map_err(|e| Error::io(path, "draw", e))?;
            fsio::write(path, text.as_bytes())
        });
        csv.chain(plot).collect()
    }
}

fn form(path: &Path) -> Result<Form> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => Ok(Form::Svg),
        Some("html") => Ok(Form::Html),
        _ => Err(Error::input(
            path,
            Place::whole(),
            "the name tells no form of a picture",
            "let it end in .svg or .html",
        )),
    }
}

/// What a search for the highest rate saw; none without one.
fn curve<'a>(measured: &Measured, engine: &'a str) -> Option<Curve<'a>> {
    let curve = measured.measurement.slo.as_ref()?;
    // Of a rate that was replayed again, the last replay.
    let rates = curve.points.chunk_by(|a, b| a.offered_qps == b.offered_qps);
    let points: Vec<_> = rates.filter_map(|rate| rate.last()).collect();
    let percentiles = points.iter().map(|point| {
        let response = &point.observed.response_us;
        (point.offered_qps, [response.p50, response.p90, response.p99, response.p999])
    });
    let doubted = points.iter().filter(|point| !point.observed.valid).count();
    Some(Curve { engine, points: percentiles.collect(), doubted })
}

fn distributions<'a>(measured: &'a Measured, engine: &'a str) -> Vec<Distribution<'a>> {
    let Measured { measurement, recording, .. } = measured;
    let fetch = (recording.fetch.count() > 0).then_some(("fetch", &recording.fetch));
    let always = [
        ("response", &recording.response),
        ("queueing", &recording.queueing),
        ("service", &recording.service),
        ("lag", &recording.dispatch_lag),
        ("assembly", &recording.assembly),
    ];
    let distribution = |(kind, latencies): (&'static str, &'a Latencies)| Distribution {
        engine,
        offered_qps: measurement.load.offered_qps,
        kind,
        histogram: latencies.histogram(),
        distinct: latencies.distinct(),
        valid: measurement.valid,
    };
    always.into_iter().chain(fetch).map(distribution).collect()
}
