//! What a run would train.

use super::{
    super::{
        FIRST_ROUND, Run,
        ensemble::{APART, FOLDER, own_file, soft_file},
        given::GIVEN,
        searcher::{Searched, WARM_UP, outcome_file, round_folder, subnet_file},
    },
    Rates,
};
use crate::{
    app::plan::{Draft, Seconds, Step, Unit},
    base::Result,
    space::{Operator, Subnet},
};
use std::{collections::BTreeSet, path::PathBuf};

impl Run<'_> {
    /// The teachers of one seed, and what they say of all rows.
    pub(super) fn add_teachers(&self, draft: &mut Draft, rates: &Rates) {
        let (settings, rows) = (&self.settings.teacher, self.loaded.dataset.rows());
        let (train, valid) = (self.loaded.split.train.len(), self.loaded.split.valid.len());
        let members = self.members();
        for (step, range, rows) in [
            ("train the teacher", 0..1, rates.teacher_rows),
            ("train the teachers beside it", 1..members, train),
        ] {
            if !range.is_empty() {
                draft.steps.push(
                    Step::times(step, Unit::Training, range.len())
                        .epochs(settings.train.max_epochs)
                        .rows(rows)
                        .done(self.have(range.map(|member| format!("{FOLDER}/{member}.json"))))
                        .each(Some(rates.teacher.seconds(&settings.train, rows, valid))),
                );
            }
        }
        if self.has_trees() {
            let done = self.have([format!("{FOLDER}/trees.json")]);
            draft.steps.push(Step::times("grow trees that teach", Unit::Training, 1).rows(train).done(done));
        }
        if !self.is_given() && (members > 1 || self.has_trees()) {
            let each_s = rates.teacher.scored_s;
            draft.steps.push(
                Step::times("score all rows with the first teacher", Unit::Row, rows)
                    .done(self.have([own_file(FOLDER)]) * rows)
                    .each(Some(Seconds { least_s: each_s, most_s: Some(each_s) })),
            );
        }
        let (step, file, each) = match (self.settings.teacher.onnx.is_some(), self.is_given()) {
            (true, _) => ("score all rows with the given teacher", GIVEN.to_owned(), None),
            (false, true) => return,
            (false, false) => {
                let each_s = rates.teacher.scored_s * members as f64;
                (
                    "score all rows with the teachers",
                    soft_file(FOLDER),
                    Some(Seconds { least_s: each_s, most_s: Some(each_s) }),
                )
            }
        };
        let done = self.have([file]) * rows;
        draft.steps.push(Step::times(step, Unit::Row, rows).done(done).each(each));
    }

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
        self.add_finals(draft, rates, usize::from(self.settings.derive.budget().is_some()));
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

    /// At least so many networks are cross-validated.
    pub(super) fn add_finals(&self, draft: &mut Draft, rates: &Rates, networks: usize) {
        let finals = &self.settings.finals;
        if !finals.layers && networks == 0 {
            return;
        }
        let judged = self.loaded.split.train.len().min(finals.max_rows);
        let (valid, train) = (judged / finals.folds, &self.settings.retrain.train);
        if self.teaches_apart() {
            self.add_teachers_apart(draft, rates, judged - valid, valid);
        }
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

    /// Teachers of `train` rows for each part of `valid` that networks are judged on.
    fn add_teachers_apart(&self, draft: &mut Draft, rates: &Rates, train: usize, valid: usize) {
        let (settings, folds) = (&self.settings.teacher, self.settings.finals.folds);
        let folders = std::fs::read_dir(self.journal.path(APART)).into_iter().flatten().flatten();
        let done: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
        let have = |file: String| done.iter().filter(|folder| folder.join(&file).exists()).count();
        let members = 0..settings.ensemble;
        draft.steps.push(
            Step::times(
                "train teachers without each part of the rows",
                Unit::Training,
                members.len() * folds,
            )
            .epochs(settings.train.max_epochs)
            .rows(train)
            .done(members.map(|member| have(format!("{member}.json"))).sum())
            .each(Some(rates.teacher.seconds(&settings.train, train, valid))),
        );
        if self.has_trees() {
            draft.steps.push(
                Step::times("grow trees without each part of the rows", Unit::Training, folds)
                    .rows(train)
                    .done(have("trees.json".to_owned())),
            );
        }
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

    /// Everything, on the widest layers: what a student's rate is measured with.
    pub(super) fn widest(&self) -> Subnet {
        let widest = |operators: &Vec<Operator>| {
            operators.iter().copied().max_by_key(|operator| operator.width()).unwrap_or(Operator::Zero)
        };
        Subnet {
            features: (0..self.space.features.len()).collect(),
            operators: self.space.mixops.iter().map(widest).collect(),
        }
    }
}
