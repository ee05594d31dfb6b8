//! Evaluation of rows that come in pieces, and of models that give no numbers.

use crate::{engines, export_to_file, options, support};
use autofas_bench::{
    Result,
    base::names::{Embeddings, EngineName, Layout},
    export::{Form, companions::TestVectors},
    measure::{
        engine::{Engine, Inputs, Session, SessionOptions},
        evaluate::{self, Evaluator, Lists},
        lookup::Lookups,
    },
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Counts the models that an engine loads.
struct Counted<'a> {
    engine: &'a dyn Engine,
    loads: AtomicUsize,
}

impl Engine for Counted<'_> {
    fn name(&self) -> EngineName {
        self.engine.name()
    }

    fn version(&self) -> String {
        self.engine.version()
    }

    fn load(&self, model: &Path, options: &SessionOptions) -> Result<Box<dyn Session>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.engine.load(model, options)
    }
}

#[test]
fn what_a_model_looks_up_is_read_once_for_all_pieces() {
    let features = support::every_kind();
    let data = support::dataset(&features, 60, 31);
    let network = support::network(&features, &[8], 31);
    let rows: Vec<u32> = (0..60).collect();
    for engine in engines() {
        let form = Form { embeddings: Embeddings::Outside, ..support::form(&features, Layout::ItemCached) };
        let (folder, path) = export_to_file(&network, form);
        let whole =
            evaluate::evaluate(&*engine, &path, &options(None), &data, "ec", &rows, &Lists::default())
                .unwrap();
        let counted = Counted { engine: &*engine, loads: AtomicUsize::new(0) };
        let plain = options(None);
        let mut evaluator = Evaluator::new(&counted, &path, &plain, "ec").unwrap();
        evaluator.add(&data, &rows[..20]).unwrap();
        for name in ["item.onnx", "embeddings.json", "embeddings.safetensors"] {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        evaluator.add(&data, &rows[20..]).unwrap();
        let pieces = evaluator.finish(&Lists::default(), None).unwrap();
        assert_eq!(counted.loads.into_inner(), 2, "the model and that of its items");
        assert_eq!((pieces.rows, pieces.metrics), (60, whole.metrics));
    }
}

/// Gives every candidate 0.5, but for one.
struct Odd {
    candidate: usize,
    score: f32,
}

impl Engine for Odd {
    fn name(&self) -> EngineName {
        EngineName::Tract
    }

    fn version(&self) -> String {
        "0".to_owned()
    }

    fn load(&self, _: &Path, _: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(Self { ..*self }))
    }
}

impl Session for Odd {
    fn run(&mut self, inputs: &Inputs, scores: &mut Vec<f32>) -> Result<()> {
        scores.clear();
        scores.resize(inputs.candidates, 0.5);
        scores[self.candidate] = self.score;
        Ok(())
    }
}

#[test]
fn a_model_that_scores_a_row_with_no_number_is_not_evaluated() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 7);
    let (_folder, path) = export_to_file(&support::network(&features, &[8], 7), Layout::Concat);
    let rows: Vec<u32> = (0..30).collect();
    let plain = options(None);
    let add = |score, pieces: &[&[u32]]| {
        let engine = Odd { candidate: 4, score };
        let mut evaluator = Evaluator::new(&engine, &path, &plain, "ec").unwrap();
        pieces.iter().try_for_each(|rows| evaluator.add(&data, rows)).map_err(|e| e.to_string())
    };
    add(0.25, &[&rows[..10], &rows[10..]]).unwrap();
    let said = add(f32::NAN, &[&rows[..10]]).unwrap_err();
    assert!(
        said.contains("model.onnx: its score of row 5 of those evaluated is NaN; look whether"),
        "{said}"
    );
}

/// `/dev/null` is read to its end at once: what follows a device would take without end is only refused by its kind.
#[cfg(unix)]
#[test]
fn devices_beside_a_model_are_not_read() {
    let features = support::every_kind();
    let data = support::dataset(&features, 10, 5);
    let form = Form { embeddings: Embeddings::Outside, ..support::form(&features, Layout::UserOnce) };
    for name in ["embeddings.safetensors", "embeddings.json", "test_vectors.json"] {
        let (folder, path) = export_to_file(&support::network(&features, &[8], 5), form.clone());
        let file = folder.path().join(name);
        let _ = fs::remove_file(&file);
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        let (signature, _) = autofas_bench::export::read_signature(&path).unwrap();
        let engines = engines();
        let tables =
            Lookups::of(&*engines[0], &path, &signature, &options(None), &data, || Ok(vec![0])).map(|_| ());
        let said = tables.and_then(|()| TestVectors::beside(&path).map(|_| ())).unwrap_err().to_string();
        assert!(said.contains(&format!("{name}: this is no regular file")), "{said}");
    }
}
