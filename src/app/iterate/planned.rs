//! What a run would do, without doing it: every step with how often it comes, counted as the step itself counts, and what an earlier
//! start has left of it. How long the steps take is measured on a few batches and models ([`rates`]).

mod guides;
mod measured;
mod rates;
mod trained;

use super::{
    FIRST_ROUND, Run, RunRequest, pareto,
    searcher::{outcome_file, round_folder, subnet_file},
    summary,
};
use crate::{
    app::plan::{Draft, OutState, Plan, Step, Unit},
    base::Result,
    space::Subnet,
};
pub(in crate::app) use guides::Guides;
pub(in crate::app) use rates::Rates;
use std::{collections::BTreeSet, path::Path};

/// Bytes of a trained number, and of a row's r(x).
const BYTES: u64 = 4;

/// What [`iterate`](super::iterate()) would do with the same request; it reads and checks what that does before it trains anything.
pub fn plan_iterate(request: RunRequest) -> Result<Plan> {
    let run = Run::look(request)?;
    let Some((mut draft, state)) = run.draft(summary::FILE)? else {
        return Ok(finished("iterate", request.out));
    };
    let rates = run.rates(&mut draft)?;
    let rounds = run.settings.rounds.count;
    run.add_beginning(&mut draft, &rates)?;
    run.add_baseline(&mut draft, &rates);
    run.add_searches(&mut draft, &rates, rounds)?;
    run.add_found(&mut draft, &rates, rounds)?;
    run.add_timing(&mut draft, &rates, rounds);
    run.add_replays(&mut draft, rounds);
    run.add_rounds_room(&mut draft)?;
    Ok(draft.plan("iterate", request.out, state))
}

/// The same of [`search`](super::search()), or of [`pareto`](super::pareto()) where several budgets are asked for.
pub fn plan_search(request: RunRequest) -> Result<Plan> {
    let run = Run::look(request)?;
    let several = run.settings.pareto.asked();
    if several {
        run.check_budgets_of_the_mean()?;
    }
    let result = if several { pareto::FILE.to_owned() } else { subnet_file(&round_folder(FIRST_ROUND)) };
    let Some((mut draft, state)) = run.draft(&result)? else { return Ok(finished("search", request.out)) };
    let rates = run.rates(&mut draft)?;
    run.add_beginning(&mut draft, &rates)?;
    if several {
        run.add_budgets(&mut draft, &rates)?;
    } else {
        if run.objective().is_some() {
            run.add_baseline(&mut draft, &rates);
            run.add_reference(&mut draft);
        }
        run.add_searches(&mut draft, &rates, FIRST_ROUND)?;
    }
    Ok(draft.plan("search", request.out, state))
}

fn finished(verb: &str, out: &Path) -> Plan {
    Draft::default().plan(verb, out, OutState::Finished)
}

impl Run<'_> {
    /// Everything read and checked; none where the file `result` is there, with which the verb ends.
    fn draft(&self, result: &str) -> Result<Option<(Draft, OutState)>> {
        if self.journal.has(result) {
            return Ok(None);
        }
        self.inputs().map(Some)
    }

    /// Everything read and checked, and whether an earlier start began.
    pub(in crate::app) fn inputs(&self) -> Result<(Draft, OutState)> {
        self.check()?;
        self.check_given_teacher()?;
        let (mut draft, split) = (Draft::default(), &self.loaded.split);
        draft.has_read(
            "schema",
            self.experiment.schema_path(),
            format!("{} features", self.schema.features.len()),
        );
        let rows = format!(
            "{} rows, {} to train on and {} to validate on",
            self.loaded.dataset.rows(),
            split.train.len(),
            split.valid.len()
        );
        draft.has_read("data", self.experiment.named_data()?, rows);
        if let Some(path) = self.experiment.table_path() {
            draft.has_read("table", path, "has a price for every layer of the space");
        }
        if let Some(path) = self.experiment.fetch_prices_path() {
            draft.has_read("prices of fetching", path, "serve the schema and this machine");
        }
        if let Some(path) = self.experiment.teacher_path() {
            draft.has_read("teacher", path, "scores rows of the data");
        }
        let begun = self.journal.has("data.json");
        Ok((draft, if begun { OutState::Resumed } else { OutState::New }))
    }

    /// Of some files of the run, how many are there.
    pub(in crate::app) fn have(&self, files: impl IntoIterator<Item = String>) -> usize {
        files.into_iter().filter(|file| self.journal.has(file)).count()
    }

    /// The teachers and the table.
    fn add_beginning(&self, draft: &mut Draft, rates: &Rates) -> Result<()> {
        let guides = Guides::of(self);
        guides.add_teachers(draft, rates)?;
        guides.add_room(draft, rates)?;
        self.add_probes(draft, rates)
    }

    /// Rounds that there are at least: a run ends early only where two found the same.
    pub(super) fn fewest(rounds: usize) -> usize {
        rounds.min(2)
    }

    /// Several budgets: each searched in two ways, the better network trained and measured.
    fn add_budgets(&self, draft: &mut Draft, rates: &Rates) -> Result<()> {
        let (settings, evolution) = (&self.settings, &self.settings.evolution);
        // Equal ones are searched once.
        let stated =
            || settings.pareto.budgets_ms.iter().map(|ms| ms.to_bits()).collect::<BTreeSet<_>>().len();
        let budgets = if settings.pareto.points > 0 { settings.pareto.points } else { stated() };
        let folder = |at: usize| format!("budgets/{at}");
        self.add_warm_up(draft, rates);
        let networks = budgets
            * (evolution.population + evolution.generations * (evolution.population - evolution.parents));
        let bred = self.have((1..=budgets).map(|at| format!("budgets/evolved/{at}.json")));
        draft.steps.push(
            Step::between("breed networks with the weights of the supernet", Unit::Model, 0, Some(networks))
                .done(bred * networks / budgets),
        );
        draft.steps.push(
            Step::times("search", Unit::Training, budgets)
                .epochs(settings.search.epochs)
                .rows(rates.supernet_rows)
                .done(self.have((1..=budgets).map(|at| outcome_file(&folder(at)))))
                .each(Some(rates.search(settings.search.epochs))),
        );
        self.add_finals(draft, rates, 1)?;
        self.add_students(draft, rates, budgets, 0);
        draft.steps.push(Step::between("export and prove", Unit::Proof, 1, Some(budgets)));
        let engine = settings.target.engine;
        let timed = Step::between(format!("time networks on {engine}"), Unit::Model, 1, Some(budgets));
        draft
            .steps
            .push(timed.done(self.have(["budgets/service.json".to_owned()])).each(rates.network(engine)));
        if self.has_keys() {
            let done = self.have(["budgets/replay.json".to_owned()]);
            draft.steps.push(self.replayed(format!("replay networks on {engine}"), [1, budgets], done));
        }
        Ok(())
    }

    /// What the plain DNN and the networks that are only timed leave on the disk.
    fn add_rounds_room(&self, draft: &mut Draft) -> Result<()> {
        let parameters = self.parameters()?;
        let of = |subnet: &Subnet| parameters.of(&self.space, subnet) as u64 * BYTES;
        draft.writes(2 * of(&self.baseline_subnet().1), "weights and package of the plain DNN");
        let shapes = self.drawn_subnets(FIRST_ROUND).concat();
        draft.writes(shapes.iter().map(of).sum(), "packages that are only timed in the first round");
        Ok(())
    }
}
