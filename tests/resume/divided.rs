//! A search, and an `iterate` that goes on from it.

use crate::{EXPERIMENT, experiment, files, scripted::ScriptedMeter};
use autofas_bench::{
    app::{
        config::Experiment,
        iterate::{Existing, RunRequest, SearchSummary, Summary, iterate, search},
    },
    base::Result,
    data::synth::{self, SynthSettings},
};
use std::{fs, path::Path};

const METER: ScriptedMeter<'static> = ScriptedMeter { at: &|_| {} };

fn searched(experiment: &Experiment, run: &Path, existing: Existing) -> Result<SearchSummary> {
    search(RunRequest { existing, ..RunRequest::new(experiment, run, &METER) })
}

fn iterated(experiment: &Experiment, run: &Path, existing: Existing) -> Summary {
    iterate(RunRequest { existing, ..RunRequest::new(experiment, run, &METER) }).unwrap()
}

#[test]
fn an_iterate_that_goes_on_from_a_search_ends_with_the_bytes_of_one_that_did_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = SynthSettings { requests: 120, candidates: 10, users: 60, items: 80, ..Default::default() };
    synth::write(&log, &folder.join("log")).unwrap();
    let experiment = experiment(folder, "3600.0");
    let (whole, divided) = (folder.join("whole"), folder.join("divided"));
    let summary = iterated(&experiment, &whole, Existing::Refuse);

    let found = searched(&experiment, &divided, Existing::Refuse).unwrap();
    for later in
        ["networks", "shapes", "replay/tract.json", "rounds/1/measured", "summary.json", "checkpoints"]
    {
        assert!(!divided.join(later).exists(), "{later}");
    }
    let first = &summary.rounds[0];
    assert_eq!((found.table_version, &found.subnet), (first.table_version, &first.network.subnet));
    assert_eq!((&found.features, &found.layers), (&first.network.features, &first.network.layers));
    assert_eq!((&found.teacher, &found.probes), (&summary.teacher, &summary.probes));
    assert_eq!(found.feature_ms, first.feature_ms);
    let predicted = first.engines.iter().map(|(&engine, part)| (engine, part.predicted_ms));
    assert_eq!(found.predicted_ms, predicted.collect());
    assert_eq!(found.operators.len(), 2);
    assert!(found.expected.features > 0.0 && found.expected.network_ms > 0.0, "{:?}", found.expected);
    for file in [&found.files.teacher, &found.files.table, &found.files.search, &found.files.subnet] {
        assert!(divided.join(file).exists(), "{file}");
    }
    let refused = searched(&experiment, &divided, Existing::Refuse).unwrap_err().to_string();
    assert!(refused.contains("--resume"), "{refused}");

    assert_eq!(iterated(&experiment, &divided, Existing::Resume), summary);
    let (wanted, left) = (files(&whole), files(&divided));
    assert!(left.keys().eq(wanted.keys()), "{:?} {:?}", left.keys(), wanted.keys());
    for (name, bytes) in &wanted {
        assert!(left[name] == *bytes, "{} differs", name.display());
    }
    let config = |run: &Path| fs::read(run.join("config.toml")).unwrap();
    assert!(config(&whole) == config(&divided));

    // A run that went on still tells what its first search found, and loses nothing by it.
    assert_eq!(searched(&experiment, &divided, Existing::Resume).unwrap(), found);
    assert!(files(&divided) == wanted);
}

#[test]
fn a_search_that_follows_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = SynthSettings { requests: 120, candidates: 10, users: 60, items: 80, ..Default::default() };
    synth::write(&log, &folder.path().join("log")).unwrap();
    let run = folder.path().join("run");
    searched(&experiment(folder.path(), "3600.0"), &run, Existing::Refuse).unwrap();
    let text = EXPERIMENT.replace("k = 9", "k = 8");
    let other = Experiment::parse(&folder.path().join("e.toml"), &text, &[]).unwrap();
    let refused = searched(&other, &run, Existing::Resume).unwrap_err().to_string();
    assert!(refused.contains("started with other settings"), "{refused}");
}
