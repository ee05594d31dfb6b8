//! What a run would train.

use super::{
    super::{
        FIRST_ROUND, Run,
        searcher::{Searched, WARM_UP, outcome_file, round_folder, subnet_file},
    },
    Guides, Rates,
};
use crate::{
    app::plan::{Draft, Step, Unit},
    base::{Result, fsio},
};
use std::collections::BTreeSet;

impl Run<'_> {
    /// The plain DNN.
    pub(super) fn add_baseline(&self, draft: &mut Draft, rates: &Rates) {
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

    /// The warm-up, the searches, and what training says of the layers.
    pub(super) fn add_searches(&self, draft: &mut Draft, rates: &Rates, rounds: usize) -> Result<()> {
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
        if self.settings.finals.layers {
            // Without a budget there may be nothing to choose from.
            self.add_finals(draft, rates, usize::from(self.settings.derive.budget().is_some()))?;
        }
        Ok(())
    }

    pub(super) fn add_warm_up(&self, draft: &mut Draft, rates: &Rates) {
        let epochs = self.settings.search.warmup_epochs;
        draft.steps.push(
            Step::times("warm up the supernet", Unit::Training, 1)
                .epochs(epochs)
                .rows(rates.supernet_rows)
                .done(self.have([WARM_UP.to_owned()]))
                .each(Some(rates.warm_up(epochs))),
        );
    }

    /// The teachers of folds, and trainings of `networks` on them at least.
    pub(super) fn add_finals(&self, draft: &mut Draft, rates: &Rates, networks: usize) -> Result<()> {
        let (folds, train) = (self.settings.finals.folds, &self.settings.retrain.train);
        let [others, fold] = self.fold_rows();
        if self.teaches_apart() {
            let guides = Guides::of(self);
            guides.add_teachers_of_folds(draft, rates, None)?;
            guides.add_room_of_folds(draft, rates);
        }
        self.add_room_of_rows_of_folds(draft, 1);
        let judged = fsio::list(&self.journal.path("judged"))?;
        let done = judged
            .iter()
            .map(|network| (1..=folds).filter(|fold| network.join(format!("{fold}.json")).exists()).count());
        draft.steps.push(
            Step::between(
                "judge networks by training, on each part of the rows",
                Unit::Training,
                networks * folds,
                None,
            )
            .epochs(train.max_epochs)
            .rows(others)
            .done(done.sum())
            .each(Some(rates.student.seconds(train, others, fold))),
        );
        Ok(())
    }

    /// The networks that rounds found so far, by their names.
    pub(super) fn found(&self, rounds: usize) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for round in FIRST_ROUND..=rounds {
            let searched: Option<Searched> = self.journal.recall(&subnet_file(&round_folder(round)))?;
            found.extend(searched.map(|searched| searched.subnet.id(&self.space)));
        }
        Ok(found)
    }

    /// Training of what the rounds find, and the packages.
    pub(super) fn add_found(&self, draft: &mut Draft, rates: &Rates, rounds: usize) -> Result<()> {
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
    pub(super) fn add_students(&self, draft: &mut Draft, rates: &Rates, most: usize, done: usize) {
        let (split, train) = (&self.loaded.split, &self.settings.retrain.train);
        draft.steps.push(
            Step::between("train what was found", Unit::Training, 1, Some(most))
                .epochs(train.max_epochs)
                .rows(split.train.len())
                .done(done)
                .each(Some(rates.student.seconds(train, split.train.len(), split.valid.len()))),
        );
    }
}
