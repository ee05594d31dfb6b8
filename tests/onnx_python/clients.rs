//! Programs that the documents show, run as they stand there: they give the scores of the package.

use crate::{
    package,
    python::{FIX, run_python},
};
use autofas_bench::{base::names::Layout, export::companions::TestVectors};
use std::{fs, path::Path};

#[path = "../../examples/client.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod client;

/// The block of that language in a package's README.
fn block(package: &Path, language: &str) -> String {
    let readme = fs::read_to_string(package.join("README.md")).unwrap();
    let begin = readme.split_once(&format!("```{language}\n")).expect("the README has a client").1;
    begin.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_clients_of_the_readme_give_the_scores_of_the_package() {
    for &layout in Layout::ALL {
        let folder = package(layout.into(), |_| ());
        let expected = TestVectors::beside(&folder.path().join("model.onnx")).unwrap().unwrap().scores;
        let near = |found: Vec<f32>| {
            found.len() == 200 && found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        let program = folder.path().join("asked.py");
        fs::write(&program, block(folder.path(), "python")).unwrap();
        let output = run_python(folder.path(), &program, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(near(serde_json::from_slice(&output.stdout).unwrap()), "{layout}");
        // The one that is compiled with these tests is the one that stands there.
        assert_eq!(block(folder.path(), "rust"), include_str!("../../examples/client.rs"));
        assert!(near(client::scores(&folder.path().join("model.onnx")).unwrap()), "{layout}");
    }
}

#[test]
fn the_guide_for_openvino_gives_the_scores_of_the_package() {
    let guide = include_str!("../../docs/serving.md").split_once("### OpenVINO\n").unwrap().1;
    let client = guide.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    for layout in [Layout::UserOnce, Layout::Concat, Layout::ItemCached] {
        let folder = package(layout.into(), |_| ());
        let expected = TestVectors::beside(&folder.path().join("model.onnx")).unwrap().unwrap().scores;
        let program = folder.path().join("asked.py");
        fs::write(&program, client).unwrap();
        let output = run_python(folder.path(), &program, &[]);
        assert!(output.status.success(), "{} ({FIX})", String::from_utf8_lossy(&output.stderr));
        let found: Vec<f32> = serde_json::from_slice(&output.stdout).unwrap();
        let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(found.len() == expected.len() && near, "{layout}");
    }
}
