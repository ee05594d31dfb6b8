//! Networks beside the search's, made in a run.

use crate::{experiment, scripted::ScriptedMeter};
use autofas_bench::{
    app::iterate::{Existing, RunRequest, System, SystemSummary, system},
    base::names::EngineName,
    data::{
        self,
        encode::Encoders,
        schema::Schema,
        synth::{self, SynthSettings},
    },
    learn::{
        baseline::trees::TreeSettings,
        network::{Body, Network},
        settings::{TrainSettings, TwoTowerSettings},
        train::metrics_of,
    },
    measure::{
        engine::{self, SessionOptions},
        evaluate::{self, Lists},
    },
};
use std::path::Path;

/// What the run in `folder` makes of a system.
fn made(folder: &Path, wanted: &System, existing: Existing) -> SystemSummary {
    let (meter, run) = (ScriptedMeter { at: &|_| {} }, folder.join("run"));
    let experiment = experiment(folder, "3600.0");
    system(RunRequest { existing, ..RunRequest::new(&experiment, &run, &meter) }, wanted).unwrap()
}

#[test]
fn towers_trees_and_the_teacher_leave_a_run_proved_and_evaluate_as_they_score() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = SynthSettings { requests: 120, candidates: 10, users: 60, items: 80, ..Default::default() };
    synth::write(&log, &folder.join("log")).unwrap();
    let train = TrainSettings { batch_size: 64, max_epochs: 2, ..TrainSettings::default() };
    let of = |distillation| {
        let train = train.clone();
        System::TwoTower(TwoTowerSettings { user: vec![8], item: vec![8], vector: 4, distillation, train })
    };
    let mut existing = Existing::Refuse;
    let mut names = Vec::new();
    for (wanted, form) in [
        (of(0.0), "a two-tower network"),
        (of(0.3), "a two-tower network"),
        (System::Trees(TreeSettings { trees: 10, ..TreeSettings::default() }), "gradient boosted trees"),
        (System::Teacher, "a network with a head per partition"),
    ] {
        let summary = made(folder, &wanted, existing);
        existing = Existing::Resume;
        assert_eq!(made(folder, &wanted, existing), summary, "what was made is read again");
        let kept = summary.onnx.parent().unwrap();
        assert!(kept.ends_with(format!("networks/{}", wanted.name())) && kept.join("parity.json").exists());
        let network = Network::load(&kept.join("network.safetensors")).unwrap();
        assert_eq!(network.body.name(), form);
        assert_eq!(
            (network.parameters(), network.multiply_adds()),
            (summary.parameters, summary.multiply_adds)
        );
        assert_eq!(matches!(network.body, Body::Partitioned(_)), wanted == System::Teacher);

        let schema = Schema::load(&kept.join("schema.json")).unwrap();
        let encoders = Encoders::load(&kept.join("encoders.json")).unwrap();
        let data = data::load_with(&schema, &folder.join("log/log.parquet"), &encoders).unwrap();
        let rows: Vec<u32> = (0..data.rows() as u32).collect();
        let tract = engine::engine(EngineName::Tract).unwrap();
        let (options, lists) = (SessionOptions::PLAIN, Lists::default());
        let found =
            evaluate::evaluate(&*tract, &summary.onnx, &options, &data, &encoders.hash(), &rows, &lists)
                .unwrap();
        let scored = metrics_of(&network.score(&data, &rows).unwrap(), &data, &rows);
        assert!((found.metrics.auc.unwrap() - scored.auc.unwrap()).abs() < 1e-4);
        names.push(summary.name);
    }
    names.dedup();
    assert_eq!(names.len(), 4, "other settings are another network: {names:?}");
}
