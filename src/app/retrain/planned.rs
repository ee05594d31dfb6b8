//! What `retrain` would do, without writing anything.

use super::{Old, RetrainRequest, Start};
use crate::{
    app::{
        config::Stage,
        package,
        plan::{Draft, OutState, Plan, Step, Unit, rate::FitRate},
    },
    base::{Result, progress::Progress},
    data,
    learn::{
        network::PlainOnly,
        student::{Lesson, lists_of},
        train::{Rows, Trainable},
    },
    measure::engine,
};

/// What [`retrain`](super::retrain()) would do with the same request, which is read and checked as there.
pub fn plan_retrain(request: &RetrainRequest, progress: &dyn Progress) -> Result<Plan> {
    let old = Old::load(request)?;
    let experiment = old.0.experiment_on(&request.data, &request.overrides)?;
    let settings = &experiment.settings;
    progress.stage("read and encode the new data", 0);
    let (schema, seed) = (&old.0.schema, settings.seeds.of(Stage::Split));
    let new = data::load_divided(schema, &request.data, &old.0.encoders, &settings.split, seed)?;
    let mut draft = Draft::default();
    let network = format!("network {} of {} features", old.0.id, old.0.features().len());
    draft.has_read("run", &request.run, network);
    draft.notes.extend(package::replacing(&request.out));
    let (data, split) = &new;
    let rows = format!("{} new rows to train on, {} to validate on", split.train.len(), split.valid.len());
    draft.has_read("data", &request.data, rows);
    progress.stage("compare them with the old data", 0);
    old.drift(&new)?;
    draft.has_read("old data", old.0.data_path()?, "its values can be compared with the new ones");
    for &name in &settings.target.engines {
        engine::engine(name)?;
    }
    if data.teacher_scores.is_some() {
        lists_of(&settings.retrain, data, &split.train)?;
    }
    let train = &settings.retrain.train;
    let untrained = || old.0.untrained(data, train, (Lesson::Labels, PlainOnly::Retraining), 0);
    old.check_inputs(&untrained()?.to_network()?, &request.run)?;
    if request.start == Start::Warm {
        untrained()?.start_from(&old.0.network)?;
    }
    progress.stage("time a few batches", 0);
    let boxed = || Ok(Box::new(untrained()?) as Box<dyn Trainable>);
    let rate = FitRate::of(boxed, Rows::alone(data, split), train)?;
    draft.basis.push(rate.basis("the network, by labels alone"));
    draft.steps.push(
        Step::times("train the network", Unit::Training, 1)
            .epochs(train.max_epochs)
            .rows(split.train.len())
            .each(Some(rate.seconds(train, split.train.len(), split.valid.len()))),
    );
    draft.steps.push(Step::times("export and prove", Unit::Proof, 1));
    // The package, and the weights beside it.
    let bytes = 2 * (old.0.network.parameters() * size_of::<f32>()) as u64;
    draft.writes(bytes, "the package, and the weights as a run of their own");
    Ok(draft.plan("retrain", request.out.as_path(), OutState::of(&request.out)))
}
