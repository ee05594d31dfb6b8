//! `table check`.

use super::{
    output::{self, Format},
    signals,
    table::{chosen_engines, engine_overrides},
};
use crate::{
    app::{
        check::{CheckRequest, TableCheck, check_table},
        config::{Experiment, Stage},
        iterate::found_networks,
        probe::{Begin, table_rows},
        report::scatter,
    },
    base::{Error, Result, error::Place, fsio, names::EngineName, progress::Progress},
    data::{encode::Encoders, schema::Schema},
    measure::{
        child::Launcher,
        probe::{ServiceSettings, measure_networks},
        service::Requests,
    },
    price::table::LatencyTable,
    space::{SearchSpace, Subnet},
};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  autofas-bench table check --table v1.json --config E.toml --plot check.svg
  autofas-bench table check --table runs/mine/tables/v3.json --config E.toml \\
      --run runs/mine --max-mape 3"
)]
pub struct CheckArgs {
    /// The table
    #[arg(long, value_name = "TABLE.json")]
    table: PathBuf,
    /// The experiment file: its space, its target, and how thoroughly it probes
    #[arg(long, value_name = "E.toml")]
    config: PathBuf,
    /// tract or onnxruntime; may be repeated [default: target.engines of the experiment]
    #[arg(long, hide_possible_values = true, value_name = "NAME")]
    engine: Vec<EngineName>,
    /// May be repeated [default: every candidate count that the table has for an engine]
    #[arg(long, value_name = "N")]
    candidates: Vec<usize>,
    /// Networks that are measured, those of --run among them
    #[arg(long, value_name = "N", default_value_t = 60)]
    networks: usize,
    /// Check the networks of this run's rounds too
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Encoders of a run or of an encoded data set: they know how many rows every embedding table has [default: those of RUN]
    #[arg(long, value_name = "encoders.json")]
    encoders: Option<PathBuf>,
    /// Rows of the embedding tables of vocabularies, where neither --encoders nor --run says
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cardinality: usize,
    /// Exit with 3 where the mean error of an engine at some candidate count is above this, or void
    #[arg(long, value_name = "PCT")]
    max_mape: Option<f64>,
    /// Where the result goes [default: TABLE.check.json]
    #[arg(long, value_name = "CHECK.json")]
    out: Option<PathBuf>,
    /// Where a picture of predicted against measured times goes
    #[arg(long, value_name = "CHECK.svg")]
    plot: Option<PathBuf>,
    /// Go on with a check that was stopped: what it has measured is not measured again
    #[arg(long)]
    resume: bool,
}

impl CheckArgs {
    pub fn run(self, format: Format, progress: &dyn Progress) -> anyhow::Result<()> {
        self.plot.as_deref().map_or(Ok(()), check_form)?;
        let out = self.out.clone().unwrap_or_else(|| self.table.with_extension("check.json"));
        self.plot.iter().chain([&out]).try_for_each(|path| fsio::check_file(path))?;
        let table = LatencyTable::load(&self.table)?;
        let experiment = Experiment::load(&self.config, &engine_overrides(&self.engine))?;
        let settings = &experiment.settings;
        let schema = Schema::load(&experiment.schema_path())?;
        let space = SearchSpace::new(schema.features.clone(), settings.space.mixops.clone())?
            .served_in(settings.target.layout);
        space.check_item_side()?;
        let (effort, seed) = (settings.probe, settings.seeds.of(Stage::Probe));
        let options = settings.target.session_options();
        let precision = settings.target.precision;
        let settings_on = |&engine: &EngineName| ServiceSettings {
            engine,
            options: options.clone(),
            precision,
            effort,
            seed,
        };
        let engines = chosen_engines(&self.engine, &settings.target.engines);
        let request = CheckRequest {
            table: &table,
            winners: self.winners(&schema, &space)?,
            cardinalities: self.cardinalities(&schema)?,
            space: &space,
            networks: self.networks,
            seed: settings.seeds.of(Stage::Rounds),
            layout: settings.target.layout,
            precision,
            settings: engines.iter().map(settings_on).collect(),
            candidates: self.candidates.clone(),
            max_mape_pct: self.max_mape,
            out,
        };
        let begin = if self.resume { Begin::WhereItStopped } else { Begin::Anew };
        let stop = signals::stop_on_signals()?;
        let launcher = Launcher::this_program(&stop)?;
        let measure = |settings: &ServiceSettings, models: &[(String, PathBuf)], candidates: usize| {
            measure_networks(&launcher, settings, models, &[candidates], Requests::Random)
        };
        let check = check_table(&request, begin, &measure, progress, &stop)?;
        if let Some(path) = &self.plot {
            let picture = scatter::svg(&check.buckets).map_err(|e| Error::io(path, "draw", e))?;
            fsio::write(path, picture.as_bytes())?;
        }
        output::print(format, &check, |check| describe(check, &request.out))?;
        Ok(check.check_limit()?)
    }

    /// The networks of the run's rounds, if a run is named.
    fn winners(&self, schema: &Schema, space: &SearchSpace) -> Result<Vec<Subnet>> {
        let Some(run) = &self.run else { return Ok(Vec::new()) };
        let file = run.join("schema.json");
        if Schema::load(&file)?.hash() != schema.hash() {
            let problem = "the run was made with another schema than the experiment's";
            let fix = "name the experiment of the run with --config, or another run";
            return Err(Error::input(file, Place::whole(), problem, fix));
        }
        found_networks(run, space)
    }

    /// Rows of every feature's embedding table: as --encoders or the run have it, else as `table probe` assumes it.
    fn cardinalities(&self, schema: &Schema) -> Result<Vec<usize>> {
        let of_run = self.run.as_ref().map(|run| run.join("encoders.json"));
        let encoders = self.encoders.clone().or(of_run).map(|path| Encoders::load(&path)).transpose()?;
        table_rows(schema, encoders.as_ref(), self.cardinality)
    }
}

/// Refuses a picture in a form that is not known, before anything is measured for it.
fn check_form(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|ending| ending == "svg") {
        return Ok(());
    }
    let problem = "the name tells no form of a picture";
    Err(Error::input(path, Place::whole(), problem, "let it end in .svg"))
}

fn describe(check: &TableCheck, out: &Path) -> String {
    let rows = check.buckets.iter().map(|bucket| {
        let found = &bucket.agreement;
        vec![
            bucket.context.engine.to_string(),
            bucket.candidates.to_string(),
            found.networks.to_string(),
            format!("{:.2}", found.mape_pct),
            format!("{:+.2}", found.bias_pct),
            format!("{:.1}", found.within_5_pct),
            format!("{:.1}", found.within_10_pct),
            found.kendall_tau.map_or("-".to_owned(), |tau| format!("{tau:.3}")),
            format!("{:.2}{}", found.noise_pct, if bucket.void { " VOID" } else { "" }),
            format!(
                "{:+.1} % ({}: {:.3} for {:.3} ms)",
                bucket.worst.residual_pct,
                bucket.worst.network,
                bucket.worst.predicted_ms,
                bucket.worst.measured_ms
            ),
        ]
    });
    let header = [
        "engine",
        "candidates",
        "networks",
        "MAPE %",
        "bias %",
        "within 5 %",
        "within 10 %",
        "Kendall τ",
        "noise %",
        "worst",
    ];
    let mut text = format!("table {} against networks that it never saw\n\n", check.table);
    text += &output::table(&header, &rows.collect::<Vec<_>>());
    text.push('\n');
    if check.buckets.iter().any(|bucket| bucket.void) {
        text += "\nVOID: two measurements of one network lie more than 3 % apart on the mean; measure again on a machine that does \
                 nothing else\n";
    }
    if !check.excluded.is_empty() {
        text += &format!("\nleft out, for the table has seen them: {}\n", check.excluded.join(", "));
    }
    text + &format!("\nresult: {}\n", out.display())
}
