//! `table predict`.

use super::{
    forecast::NO_BOUND,
    output::{self, Format, ms},
    table::chosen_engines,
};
use crate::{
    app::{
        config::{Experiment, TargetSettings, TrafficSettings},
        predict::{
            OfferedLoad, PredictRequest, Prediction, PricedNetwork, Requests, TablePrediction, predict,
        },
        source::candidate,
    },
    base::{
        Error, Result,
        names::{EngineName, Provider},
    },
    measure::{
        measurement::Measurement,
        replay::{trace::Trace, trace_file::TraceReader},
    },
    price::{
        agreement::Shape,
        fetch_table::FetchTable,
        table::{LatencyTable, TableContext},
    },
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench table predict --table v1.json --run runs/mine \\
      --candidates 300 --candidates 1000
  autofas-bench table predict --table v1.json --model out/model.onnx \\
      --fetch-prices fetch.json --trace T.parquet
  autofas-bench table predict --table v1.json --run runs/mine \\
      --candidates 1000 --reference r.json --qps 80

Nothing is measured. With --reference the network is taken to scatter as the model of that replay does, in \
                  proportion to the predicted mean, and the queue is simulated, as `forecast` does and a search for a percentile."
)]
pub struct PredictArgs {
    /// The table
    #[arg(long, value_name = "TABLE.json")]
    table: PathBuf,
    /// A run directory: its network, served as its experiment says
    #[arg(long, value_name = "RUN", required_unless_present = "model")]
    run: Option<PathBuf>,
    /// Canonical id, a folder of RUN/networks [default: the run's winner, or its only network]
    #[arg(long, value_name = "ID", requires = "run", visible_aliases = ["subnet", "network"])]
    candidate: Option<String>,
    /// An exported model, with its companions beside it, instead of --run
    #[arg(long, value_name = "M.onnx", conflicts_with = "run")]
    model: Option<PathBuf>,
    /// tract or onnxruntime; may be repeated [default: target.engines of the run; both for a model]
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// Where it computes [default: target.provider of the run; cpu for a model]
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    provider: Option<Provider>,
    /// Threads inside one request [default: target.threads of the run; 1 for a model]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Candidates of every request; may be repeated
    #[arg(long, value_name = "N", required_unless_present = "trace", value_parser = clap::value_parser!(u32).range(1..))]
    candidates: Vec<u32>,
    /// Requests with the numbers of candidates and the arrivals of a trace: means over all of them
    #[arg(long, value_name = "T.parquet")]
    trace: Option<PathBuf>,
    /// Prices of `store price`: features are fetched as they were there [default: they come with the request, at no cost]
    #[arg(long, value_name = "F.json")]
    fetch_prices: Option<PathBuf>,
    /// Workers that serve the requests [default: traffic.workers of the run; 1 for a model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// A result of `replay --out`, of another network: what becomes of the response at --qps
    #[arg(long, value_name = "R.json", requires = "qps")]
    reference: Option<PathBuf>,
    /// Requests per second
    #[arg(long, value_name = "Q", requires = "reference")]
    qps: Option<f64>,
}

/// The files of a request, read.
struct Read {
    table: LatencyTable,
    network: PricedNetwork,
    contexts: Vec<TableContext>,
    fetch: Option<FetchTable>,
    trace: Option<Trace>,
    results: Vec<Measurement>,
    workers: usize,
}

impl PredictArgs {
    pub fn run(self, format: Format) -> anyhow::Result<()> {
        let read = self.read()?;
        let mut requests: Vec<Requests> =
            self.candidates.iter().map(|&count| Requests::Each([count])).collect();
        requests.extend(read.trace.as_ref().map(Requests::Of));
        let load = self.reference.as_deref().zip(self.qps);
        let prediction = predict(&PredictRequest {
            table: &read.table,
            network: &read.network,
            contexts: &read.contexts,
            fetch: read.fetch.as_ref(),
            requests: &requests,
            workers: read.workers,
            load: load.map(|(file, qps)| OfferedLoad { qps, file, results: &read.results }),
        })?;
        output::print(format, &prediction, describe)
    }

    fn read(&self) -> Result<Read> {
        let table = LatencyTable::load(&self.table)?;
        let (model, mut target, traffic) = self.served()?;
        let network = PricedNetwork::of_model(&model)?;
        target.provider = self.provider.unwrap_or(target.provider);
        target.threads = self.threads.unwrap_or(target.threads);
        let (engines, options) = (chosen_engines(&self.engine, &target.engines), target.session_options());
        let contexts = engines.into_iter().map(|engine| network.context(engine, &options));
        let contexts: Vec<TableContext> = contexts.collect::<Result<_>>()?;
        let of_host = |path: &Path| -> Result<FetchTable> {
            let fetch = FetchTable::load(path)?;
            contexts.iter().try_for_each(|context| fetch.check_host(path, &context.host))?;
            Ok(fetch)
        };
        let fetch = self.fetch_prices.as_deref().map(of_host).transpose()?;
        let trace = self.trace.as_deref().map(|path| TraceReader::open(path)?.trace()).transpose()?;
        let results = self.reference.as_deref().map(Measurement::load).transpose()?.unwrap_or_default();
        let workers = self.workers.map_or(traffic.workers, |workers| workers as usize);
        Ok(Read { table, network, contexts, fetch, trace, results, workers })
    }

    /// The model's file and how it is served: as the run has it, or as an experiment does that says nothing of it.
    fn served(&self) -> Result<(PathBuf, TargetSettings, TrafficSettings)> {
        match (&self.run, &self.model) {
            (Some(run), _) => {
                let id = candidate(run, self.candidate.as_ref())?;
                let settings = Experiment::load(&run.join("config.toml"), &[])?.settings;
                Ok((run.join("networks").join(id).join("model.onnx"), settings.target, settings.traffic))
            }
            (None, Some(model)) => Ok((model.clone(), TargetSettings::default(), TrafficSettings::default())),
            (None, None) => Err(Error::usage("no network is named", "give --run RUN or --model M.onnx")),
        }
    }
}

fn describe(prediction: &TablePrediction) -> String {
    let TablePrediction { table, network, features, layers, store, workers, predictions, .. } = prediction;
    let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    let fetched = match store {
        Some(store) => format!("features fetched from {store}"),
        None => "features with the request, at no cost".to_owned(),
    };
    let mut text = format!(
        "{network} by table {table}: {} features, layers {}; {fetched}\n\n",
        features.len(),
        layers.join("-")
    );
    let rows: Vec<Vec<String>> = predictions.iter().map(row).collect();
    let mut header = vec!["engine", "candidates", "fetch ms", "service ms", "response ms"];
    let loads: Vec<_> = predictions.iter().filter_map(|prediction| prediction.load.as_ref()).collect();
    if !loads.is_empty() {
        header.extend(["load %", "p50 ms", "p99 ms"]);
    }
    text += &output::table(&header, &rows);
    let mut said = Vec::new();
    for (prediction, load) in predictions.iter().zip(loads) {
        said.push(format!(
            "p50 and p99 on {} are simulated: {} per second to {workers} workers, scattered as {}",
            prediction.context.engine, load.point.offered_qps, load.reference
        ));
        said.extend(load.reasons.iter().map(|reason| format!("with care: {reason}")));
    }
    said.extend((predictions.iter().filter(|prediction| prediction.shape == Shape::Seen)).map(
        |prediction| {
            format!(
                "the table has learnt from a network of this shape on {}, so this shows a fit",
                prediction.context.engine
            )
        },
    ));
    said.dedup();
    text + "\n\n" + &said.join("\n")
}

fn row(prediction: &Prediction) -> Vec<String> {
    let Prediction { context, candidates, fetch_ms, service_ms, response_ms, load, .. } = prediction;
    let mut row = vec![
        context.engine.to_string(),
        candidates.map_or("trace".to_owned(), |count| count.to_string()),
        fetch_ms.map_or("-".to_owned(), |ms| format!("{ms:.4}")),
        format!("{service_ms:.4}"),
        format!("{response_ms:.4}"),
    ];
    if let Some(load) = load {
        row.push(format!("{:.0}", load.point.load_pct));
        row.extend(match &load.point.response_us {
            Some(response) => [response.p50, response.p99].map(|us| ms(us.map(|us| us as f64))),
            None => [NO_BOUND; 2].map(str::to_owned),
        });
    }
    row
}
