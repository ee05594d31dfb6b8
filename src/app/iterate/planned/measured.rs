//! What a run would measure.

use super::{
    super::{FIRST_ROUND, Run},
    Rates,
};
use crate::{
    app::plan::{Draft, Seconds, Step, Unit},
    base::{Result, names::EngineName},
};

impl Run<'_> {
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

    /// Networks of a round are its winner, the plain DNN and those that are drawn.
    pub(super) fn add_timing(&self, draft: &mut Draft, rates: &Rates, rounds: usize) {
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
    pub(super) fn replayed(&self, step: String, passes: [usize; 2], done: usize) -> Step {
        let traffic = &self.settings.traffic;
        let seconds = Seconds { least_s: traffic.requests as f64 / traffic.qps, most_s: None };
        let [least, most] = passes;
        let most = if done < most { 2 * most } else { done };
        Step::between(step, Unit::Replay, least, Some(most))
            .rows(traffic.requests)
            .done(done)
            .each(Some(seconds))
    }

    /// What an objective of a percentile is forecast from.
    pub(super) fn add_reference(&self, draft: &mut Draft) {
        let done = self.have(["replay/reference.json".to_owned()]);
        draft.steps.push(self.replayed("replay the plain DNN, for forecasts".to_owned(), [1, 1], done));
    }

    pub(super) fn add_replays(&self, draft: &mut Draft, rounds: usize) {
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

    /// Engines that are measured.
    pub(super) fn engines(&self) -> &[EngineName] {
        &self.settings.target.engines
    }
}
