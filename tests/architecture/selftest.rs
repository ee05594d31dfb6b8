//! The guard against planted code: what it must catch, and what it must let pass.

use crate::violations;

#[track_caller]
fn caught(file: &str, source: &str, word: &str) {
    let found = violations(file, source);
    assert!(found.len() == 1 && found[0].contains(word), "{source}\ngave {found:?}, wanted one about {word}");
}

#[track_caller]
fn passes(file: &str, source: &str) {
    assert_eq!(violations(file, source), Vec::<String>::new(), "{source}");
}

#[test]
fn upward_paths_are_caught_in_every_form() {
    let file = "price/table.rs";
    caught(file, "use crate::learn::metrics::auc;", "learn::metrics::auc` points upwards");
    caught(file, "fn f() -> crate::measure::Engine { todo!() }", "upwards");
    caught(file, "use crate::{\n  base::Error,\n  app::{report as r},\n};", "table.rs:3: `app::report");
    caught(file, "use crate::{base::{self, rng}, export::signature::*};", "export::signature");
    caught(file, "use super::super::learn::metrics;", "learn::metrics` points upwards");
    caught("price/mod.rs", "use super::learn::metrics;", "upwards");
    caught("price/expected/tests.rs", "use super::super::super::learn::metrics;", "upwards");
    caught(file, "mod tests { use super::super::super::export::x; }", "export::x` points upwards");
    caught(
        file,
        "mod tests { fn f() {} }\nuse super::super::export::x;",
        "table.rs:2: `export::x` points upwards",
    );
    caught(file, "pub use ::autofas::x; type T = Vec<crate::app::X>;", "app::X");
    caught(file, "macro_rules! m { () => { $crate::app::run() } }", "app::run");
    caught(file, "#[serde(with = \"crate::export::format\")] struct S;", "export::format");
    caught("base/error.rs", "impl crate::data::schema::Schema {}", "upwards");
    caught("space/mod.rs", "use super::{price::LayerPrices, data::schema};", "price::LayerPrices");
    caught(file, "use crate::learn;", "learn` points upwards");
}

#[test]
fn the_crates_root_is_no_way_around() {
    caught("price/table.rs", "use crate::Shortcut;", "crate's root");
    caught("price/mod.rs", "use super::*;", "crate's root");
    caught("price/table.rs", "use crate::{self as root};", "crate's root");
    caught("price/table.rs", "use crate as root;", "crate's root");
    caught("price/table.rs", "use super::super as root;", "crate's root");
}

#[test]
fn a_ninth_room_is_caught() {
    caught("util/mod.rs", "", "none of the rooms");
}

#[test]
fn downward_paths_and_look_alikes_pass() {
    let file = "price/table.rs";
    passes(file, "use crate::{base::{Error, Result}, space::InputWidths};\nuse super::LayerPrices;");
    passes(file, "// use crate::app::x;\n/* crate::learn /* nested */ crate::app::x */ fn f() {}");
    passes(file, "/// See [`crate::app::iterate`].\npub(crate) fn f(a: &'static str) -> char { 'c' }");
    passes(file, "const T: &str = \"use crate::app::x\"; const R: &str = r#\"\"crate::app::x\"\"#;");
    passes(file, "fn f() { let quote = '\"'; let tick = '\\''; } // crate::app::x \"");
    passes(
        file,
        "mod tests { use super::*; use super::super::grid::Grid; mod deep { use super::super::*; } }",
    );
    passes("app/iterate.rs", "use crate::measure::engine::{tract::TractEngine, onnxruntime};");
    passes("lib.rs", "pub use app::iterate; pub use crate::learn::network::Network;");
    passes("main.rs", "fn main() { autofas_bench::app::cli::run() }");
}

#[test]
fn outside_crates_are_caught_outside_their_rooms() {
    caught("price/table.rs", "use candle_core::Tensor;", "candle_core::Tensor` belongs to learn/");
    caught("export/onnx.rs", "fn f(t: &candle_nn::Linear) {}", "belongs to learn/");
    caught("app/iterate.rs", "use {std::fs, ::candle_core as c};", "belongs to learn/");
    caught("learn/train.rs", "extern crate ort;", "belongs to measure/engine/");
    caught("measure/prove.rs", "let s = ort::Session::builder();", "belongs to measure/engine/");
    caught(
        "export/onnx.rs",
        "use tract_onnx::{pb::ModelProto, prelude::Graph};",
        "tract_onnx::prelude::Graph",
    );
    caught("export/onnx.rs", "use tract_onnx as t;", "belongs to measure/engine/");
    caught("learn/x.rs", "use tract_onnx::pb::ModelProto;", "belongs to measure/engine/");
    caught("learn/train.rs", "use forust_ml::Matrix;", "belongs to learn/baseline/trees.rs");
    caught("measure/replay/mod.rs", "fn f() -> anyhow::Result<()> { Ok(()) }", "app/cli/");
    caught("app/config.rs", "#[derive(clap::Parser)] struct S;", "app/cli/");
}

#[test]
fn outside_crates_pass_in_their_rooms() {
    passes("learn/teacher.rs", "use candle_core::{Tensor, D};\nuse candle_nn::Linear;");
    passes("learn/baseline/trees.rs", "use forust_ml::{GradientBooster, tree::Tree};");
    passes("measure/engine/tract.rs", "use tract_onnx::prelude::*;");
    passes("measure/engine/onnxruntime.rs", "use ort::{session::Session, ep};");
    passes("export/onnx.rs", "use tract_onnx::pb::{ModelProto, NodeProto};\nuse tract_onnx::pb;");
    passes("app/cli/search.rs", "#[derive(clap::Args)] struct S; fn f() -> anyhow::Result<()> { Ok(()) }");
    passes("price/table.rs", "let ort = 1; let sort = port::x(); let candle = my_candle_core::x();");
}

#[test]
fn printing_is_caught_outside_the_command_line() {
    caught("learn/train.rs", "fn f() { println!(\"x\"); }", "`println` outside app/cli/");
    caught("learn/train.rs", "fn f() { std::print!(\"x\"); }", "`print`");
    caught("measure/replay.rs", "fn f() { dbg!(1); }", "`dbg`");
    caught("base/progress.rs", "fn f() { eprintln!(\"x\"); }", "`eprintln`");
    caught("measure/replay.rs", "fn f() { writeln!(std::io::stdout(), \"x\"); }", "`stdout`");
    caught("measure/replay.rs", "use std::io::{stdout, Write};\nfn f() { stdout().flush(); }", "replay.rs:2");
    caught("app/iterate.rs", "let out = std::io::stderr;", "`stderr`");
    caught("main.rs", "fn main() { println!(\"x\"); }", "`println`");
}

#[test]
fn the_command_line_prints_the_entry_reports_failure_and_children_are_read() {
    passes("app/cli/mod.rs", "fn f() { println!(\"x\"); eprintln!(\"y\"); std::io::stdout(); }");
    passes("main.rs", "fn main() { eprintln!(\"{error:#}\"); }");
    passes(
        "measure/child.rs",
        "Command::new(x).stdout(Stdio::piped()).stderr(Stdio::piped()); child.stdout.take();",
    );
    passes("base/error.rs", "struct Child { stderr: String } fn print(x: u8) {} // println!");
}

#[test]
fn the_time_of_day_is_read_in_one_place() {
    caught(
        "measure/hlog.rs",
        "fn f() { let now = std::time::SystemTime::now(); }",
        "the time of day outside",
    );
    passes("base/calendar.rs", "fn f() { SystemTime::now(); }");
    passes(
        "measure/hlog.rs",
        "fn f(at: SystemTime) { let x = (at - SystemTime::UNIX_EPOCH, Instant::now()); }",
    );
}
