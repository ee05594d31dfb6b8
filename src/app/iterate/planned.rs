//! What a run would do, without doing it: every step with how often it comes, counted as the step itself counts, and what an earlier
//! start has left of it. How long the steps take is measured on a few batches and models ([`rates`]).

mod rates;

use super::{
    Existing, FIRST_ROUND, Meter, Run,
    given::GIVEN,
    guide::SOFT,
    pareto,
    searcher::{Searched, WARM_UP, outcome_file, round_folder, subnet_file},
    summary,
};
use crate::{
    app::{
        config::Experiment,
        plan::{Draft, OutState, Plan, Seconds, Step, Unit},
    },
    base::{Result, names::EngineName, progress::Progress, stop::Stop},
    learn::exchange::Exchange,
    space::{Operator, Subnet},
};
pub(in crate::app) use rates::Rates;
use std::{collections::BTreeSet, path::Path};

/// Bytes of a trained number, and of a row's r(x).
const BYTES: u64 = 4;

/// What [`iterate`](super::iterate()) would do with the same arguments; it reads and checks what that does before it trains anything.
pub fn plan_iterate(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    meter: &dyn Meter,
    ranks: &dyn Exchange,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Plan> {
    let run = Run::look(experiment, out, existing, meter, ranks, progress, stop)?;
    let Some((mut draft, state)) = run.draft(summary::FILE)? else { return Ok(finished("iterate", out)) };
    let rates = run.rates(&mut draft, stop)?;
    let rounds = experiment.settings.rounds.count;
    run.add_beginning(&mut draft, &rates)?;
    run.add_baseline(&mut draft, &rates);
    run.add_searches(&mut draft, &rates, rounds)?;
    run.add_found(&mut draft, &rates, rounds)?;
    run.add_timing(&mut draft, &rates, rounds);
    run.add_replays(&mut draft, rounds);
    Ok(draft.plan("iterate", out, state))
}

/// The same of [`search`](super::search()), or of [`pareto`](super::pareto()) where several budgets are asked for.
pub fn plan_search(
    experiment: &Experiment,
    out: &Path,
    existing: Existing,
    meter: &dyn Meter,
    ranks: &dyn Exchange,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Plan> {
    let run = Run::look(experiment, out, existing, meter, ranks, progress, stop)?;
    let several = experiment.settings.pareto.asked();
    if several {
        run.check_budgets_of_the_mean()?;
    }
    let result = if several { pareto::FILE.to_owned() } else { subnet_file(&round_folder(FIRST_ROUND)) };
    let Some((mut draft, state)) = run.draft(&result)? else { return Ok(finished("search", out)) };
    let rates = run.rates(&mut draft, stop)?;
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
    Ok(draft.plan("search", out, state))
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
        self.add_teachers(draft, rates);
        self.add_probes(draft, rates)
    }

    /// The table, where none is given.
    pub(in crate::app) fn add_probes(&self, draft: &mut Draft, rates: &Rates) -> Result<()> {
        if self.experiment.table_path().is_some() {
            return Ok(());
        }
        let (models, target) = (self.probe_plan()?.subjects.len(), &self.settings.target);
        for &engine in &target.engines {
            let done = self.have([format!("tables/probed/{engine}.json")]) * models;
            let step =
                Step::times(format!("measure every layer on {engine}"), Unit::Model, models).done(done);
            draft.steps.push(step.each(rates.layer(engine)));
        }
        Ok(())
    }

    /// The teachers of one seed, and what they say of all rows.
    fn add_teachers(&self, draft: &mut Draft, rates: &Rates) {
        let (settings, rows) = (&self.settings.teacher, self.loaded.dataset.rows());
        let members = if self.is_given() { 1 } else { settings.ensemble };
        let trained = Step::times("train the teacher", Unit::Training, members)
            .epochs(settings.train.max_epochs)
            .rows(rates.teacher_rows)
            .done(self.have((0..members).map(|member| format!("teacher/{member}.json"))))
            .each(Some(rates.teacher.seconds(
                &settings.train,
                rates.teacher_rows,
                self.loaded.split.valid.len(),
            )));
        draft.steps.push(trained);
        if self.has_trees() {
            let done = self.have(["teacher/trees.bin".to_owned()]);
            draft.steps.push(
                Step::times("grow trees that teach", Unit::Training, 1).rows(rates.teacher_rows).done(done),
            );
        }
        let (step, file, each) = match (self.settings.teacher.onnx.is_some(), self.is_given()) {
            (true, _) => ("score all rows with the given teacher", GIVEN, None),
            (false, true) => return,
            (false, false) => {
                let each_s = rates.teacher.scored_s * members as f64;
                (
                    "score all rows with the teachers",
                    SOFT,
                    Some(Seconds { least_s: each_s, most_s: Some(each_s) }),
                )
            }
        };
        let done = self.have([file.to_owned()]) * rows;
        draft.steps.push(Step::times(step, Unit::Row, rows).done(done).each(each));
    }

    /// The plain DNN.
    fn add_baseline(&self, draft: &mut Draft, rates: &Rates) {
        let (split, train) = (&self.loaded.split, &self.settings.baseline.train);
        let (name, _) = self.baseline_subnet();
        draft.steps.push(
            Step::times("train the plain DNN", Unit::Training, 1)
                .epochs(train.max_epochs)
                .rows(split.train.len())
                .done(self.have([format!("networks/{name}/fit.json")]))
                .each(Some(rates.plain.seconds(train, split.train.len(), split.valid.len()))),
        );
    }

    /// Rounds that there are at least: a run ends early only where two found the same.
    fn fewest(rounds: usize) -> usize {
        rounds.min(2)
    }

    /// The warm-up, the searches, and what training says of the layers.
    fn add_searches(&self, draft: &mut Draft, rates: &Rates, rounds: usize) -> Result<()> {
        let settings = &self.settings.search;
        self.add_warm_up(draft, rates);
        let all = FIRST_ROUND..=rounds;
        draft.steps.push(
            Step::between("search", Unit::Training, Self::fewest(rounds), Some(rounds))
                .epochs(settings.epochs)
                .rows(rates.supernet_rows)
                .done(self.have(all.map(|round| outcome_file(&round_folder(round)))))
                .each(Some(rates.search(settings.epochs))),
        );
        self.add_finals(draft, rates, usize::from(self.settings.derive.budget().is_some()));
        Ok(())
    }

    fn add_warm_up(&self, draft: &mut Draft, rates: &Rates) {
        let epochs = self.settings.search.warmup_epochs;
        draft.steps.push(
            Step::times("warm up the supernet", Unit::Training, 1)
                .epochs(epochs)
                .rows(rates.supernet_rows)
                .done(self.have([WARM_UP.to_owned()]))
                .each(Some(rates.warm_up(epochs))),
        );
    }

    /// At least so many networks are cross-validated.
    fn add_finals(&self, draft: &mut Draft, rates: &Rates, networks: usize) {
        let finals = &self.settings.finals;
        if !finals.layers && networks == 0 {
            return;
        }
        let judged = self.loaded.split.train.len().min(finals.max_rows);
        let (valid, train) = (judged / finals.folds, &self.settings.retrain.train);
        let folds = std::fs::read_dir(self.journal.path("judged")).into_iter().flatten().flatten();
        let done = folds.map(|network| {
            (1..=finals.folds).filter(|fold| network.path().join(format!("{fold}.json")).exists()).count()
        });
        draft.steps.push(
            Step::between(
                "judge networks by training, on each part of the rows",
                Unit::Training,
                networks * finals.folds,
                None,
            )
            .epochs(train.max_epochs)
            .rows(judged - valid)
            .done(done.sum())
            .each(Some(rates.student.seconds(train, judged - valid, valid))),
        );
    }

    /// The networks that rounds found so far, by their names.
    fn found(&self, rounds: usize) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for round in FIRST_ROUND..=rounds {
            let searched: Option<Searched> = self.journal.recall(&subnet_file(&round_folder(round)))?;
            found.extend(searched.map(|searched| searched.subnet.id(&self.space)));
        }
        Ok(found)
    }

    /// Training of what the rounds find, and the packages.
    fn add_found(&self, draft: &mut Draft, rates: &Rates, rounds: usize) -> Result<()> {
        let found = self.found(rounds)?;
        self.add_students(
            draft,
            rates,
            rounds,
            self.have(found.iter().map(|id| format!("networks/{id}/fit.json"))),
        );
        let names = found.into_iter().chain([self.baseline_subnet().0]);
        let done = self.have(names.map(|name| format!("networks/{name}/parity.json")));
        draft.steps.push(Step::between("export and prove", Unit::Proof, 2, Some(1 + rounds)).done(done));
        let shapes = |rounds: usize| -> BTreeSet<String> {
            (FIRST_ROUND..=rounds)
                .flat_map(|round| self.drawn_subnets(round).concat())
                .map(|subnet| subnet.id(&self.space))
                .collect()
        };
        let (fewest, all) = (shapes(Self::fewest(rounds)), shapes(rounds));
        let done = self.have(all.iter().map(|id| format!("shapes/{id}.json")));
        let step = "export and prove networks that are only timed";
        draft.steps.push(Step::between(step, Unit::Proof, fewest.len(), Some(all.len())).done(done));
        Ok(())
    }

    /// Networks that are trained from scratch: one at least, since rounds that find the same share it.
    fn add_students(&self, draft: &mut Draft, rates: &Rates, most: usize, done: usize) {
        let (split, train) = (&self.loaded.split, &self.settings.retrain.train);
        draft.steps.push(
            Step::between("train what was found", Unit::Training, 1, Some(most))
                .epochs(train.max_epochs)
                .rows(split.train.len())
                .done(done)
                .each(Some(rates.student.seconds(train, split.train.len(), split.valid.len()))),
        );
    }

    /// Networks of a round are its winner, the plain DNN and those that are drawn.
    fn add_timing(&self, draft: &mut Draft, rates: &Rates, rounds: usize) {
        let drawn = |round: usize| 2 + self.drawn_subnets(round).iter().map(Vec::len).sum::<usize>();
        let sum = |rounds: usize| (FIRST_ROUND..=rounds).map(drawn).sum();
        for &engine in &self.settings.target.engines {
            let of_round =
                |round: usize| self.have([format!("rounds/{round}/measured/{engine}.json")]) * drawn(round);
            let done = (FIRST_ROUND..=rounds).map(of_round).sum();
            let step = Step::between(
                format!("time networks on {engine}"),
                Unit::Model,
                sum(Self::fewest(rounds)),
                Some(sum(rounds)),
            );
            draft.steps.push(step.done(done).each(rates.network(engine)));
        }
    }

    /// A pass over the run's requests lasts as long as their schedule; one that is not valid is repeated once.
    fn replayed(&self, step: String, passes: [usize; 2], done: usize) -> Step {
        let traffic = &self.settings.traffic;
        let seconds = Seconds { least_s: traffic.requests as f64 / traffic.qps, most_s: None };
        let [least, most] = passes;
        Step::between(step, Unit::Replay, least, Some(2 * most))
            .rows(traffic.requests)
            .done(done)
            .each(Some(seconds))
    }

    /// What an objective of a percentile is forecast from.
    fn add_reference(&self, draft: &mut Draft) {
        let done = self.have(["replay/reference.json".to_owned()]);
        draft.steps.push(self.replayed("replay the plain DNN, for forecasts".to_owned(), [1, 1], done));
    }

    fn add_replays(&self, draft: &mut Draft, rounds: usize) {
        if !self.has_keys() {
            draft.notes.push("no replay: the schema names no user_key and item_key".to_owned());
            return;
        }
        if self.objective().is_some() {
            self.add_reference(draft);
            let done = self.have((FIRST_ROUND..=rounds).map(|round| format!("rounds/{round}/replay.json")));
            draft.steps.push(self.replayed(
                "replay the network of each round".to_owned(),
                [Self::fewest(rounds), rounds],
                done,
            ));
        }
        for engine in &self.settings.target.engines {
            let done = 2 * self.have([format!("replay/{engine}.json")]);
            draft.steps.push(self.replayed(
                format!("replay the winner and the plain DNN on {engine}"),
                [2, 2],
                done,
            ));
        }
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
        self.add_finals(draft, rates, 1);
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

    /// Everything, on the widest layers: what a student's rate is measured with.
    fn widest(&self) -> Subnet {
        let widest = |operators: &Vec<Operator>| {
            operators.iter().copied().max_by_key(|operator| operator.width()).unwrap_or(Operator::Zero)
        };
        Subnet {
            features: (0..self.space.features.len()).collect(),
            operators: self.space.mixops.iter().map(widest).collect(),
        }
    }

    /// Bytes that weights and packages take at least, and what that counts.
    fn room(&self, teacher_numbers: usize) -> Result<(u64, String)> {
        let parameters = self.parameters()?;
        let of = |subnet: &Subnet| parameters.of(&self.space, subnet) as u64 * BYTES;
        let members = if self.is_given() { 1 } else { self.settings.teacher.ensemble as u64 };
        let (_, baseline) = self.baseline_subnet();
        let shapes: u64 = self.drawn_subnets(FIRST_ROUND).concat().iter().map(of).sum();
        let bytes = members * teacher_numbers as u64 * BYTES
            // Its weights, and the package.
            + 2 * of(&baseline)
            + shapes
            + self.loaded.dataset.rows() as u64 * BYTES;
        let basis = "weights of the teachers, the plain DNN with its package, packages that are only timed in a round, and r(x) of all rows; \
                     the supernet, checkpoints and what is found come on top";
        Ok((bytes, basis.to_owned()))
    }

    /// Engines that are measured.
    fn engines(&self) -> &[EngineName] {
        &self.settings.target.engines
    }
}
