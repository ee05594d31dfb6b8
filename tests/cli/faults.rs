//! What surrounds a program goes wrong: it is asked to stop twice, its measuring process is killed or gets no memory, another process
//! works in its folder.

use crate::{
    stopping::{self, ITERATE, Running, To},
    world::{World, failure, json, program},
};
use autofas_bench::{
    base::{
        Error, fsio,
        names::{EngineName, Precision},
        stop::Stop,
    },
    measure::{
        child::{GRACE, Launcher},
        engine::SessionOptions,
        probe::{ServiceSettings, measure_networks},
        service::{Effort, Requests},
    },
};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

#[test]
fn a_second_request_to_stop_ends_the_program_at_once() {
    let world = World::new();
    let mut running = Running::start(world.path(), &stopping::replay("20", "4000", "1"));
    running.wait_for("pass 1 of 1");
    let measuring = running.measuring();
    // It would be waited for: a replay ends with what it has.
    stopping::signal("STOP", measuring);
    running.signal("INT", To::Parent);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.ended(), "the first one waits for what is under way");
    running.signal("INT", To::Parent);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    stopping::signal("CONT", measuring);
    stopping::gone(measuring);
    assert!(!world.file("r.json").exists());
}

#[test]
fn a_measuring_process_that_crashes_is_started_once_more_and_one_that_is_killed_is_not() {
    let folder = stopping::world();
    let here = folder.path();
    let mut running = Running::start(here, &stopping::probe(&[]));
    running.wait_for("group 2 of ");
    stopping::signal("ABRT", running.measuring());
    running.wait_for("warning: the measurement is started once more: the measuring process for tract ended");
    stopping::signal("KILL", running.measuring());
    let (code, said) = running.end();
    assert_eq!(code, Some(1), "{said}");
    let error = said.split_once("error: ").expect("an error").1;
    assert!(
        error.starts_with("the measuring process for tract ended with signal: 9 (SIGKILL), as one before it"),
        "{said}"
    );
    assert!(error.contains("ran out of memory") && error.contains("--resume"), "{said}");
    // The first group was finished, and is not measured again.
    let resumed = program(here).args(stopping::probe(&["--resume"])).assert().success();
    let resumed = String::from_utf8(resumed.get_output().stderr.clone()).unwrap();
    assert!(
        resumed.contains("groups have been probed before") && !resumed.contains("group 1 of "),
        "{resumed}"
    );
}

#[test]
fn a_measuring_process_that_crashes_once_costs_a_probing_nothing() {
    let folder = stopping::world();
    let mut running = Running::start(folder.path(), &stopping::probe(&[]));
    running.wait_for("group 2 of ");
    stopping::signal("ABRT", running.measuring());
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("is started once more").count(), 1, "{said}");
    let table = json(folder.path(), &["table", "show", "t.json"]);
    assert_eq!(table["buckets"].as_array().unwrap().len(), 2);
}

#[test]
fn a_replay_whose_process_crashes_repeats_the_pass_and_is_not_believed() {
    let world = World::new();
    let mut running = Running::start(world.path(), &stopping::replay("200", "300", "3"));
    running.wait_for("pass 2 of 3");
    stopping::signal("ABRT", running.measuring());
    let (code, said) = running.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("warning: pass 2 on null is started once more"), "{said}");
    let result = world.read_json("r.json");
    assert_eq!((result["passes"].as_array().unwrap().len(), &result["valid"]), (3, &false.into()));
    let reasons = result["reasons"].to_string();
    assert!(reasons.contains("the engine failed in pass 2") && reasons.contains("SIGABRT"), "{reasons}");
}

#[test]
fn a_measuring_process_without_memory_is_an_error_with_its_last_words() {
    let world = World::new();
    let limited = world.file("limited");
    let program = program(world.path()).get_program().to_owned();
    // Enough to start, and not for the candidates below.
    let script = format!("#!/bin/sh\nulimit -v 400000\nexec '{}' \"$@\"\n", program.to_str().unwrap());
    fsio::write(&limited, script.as_bytes()).unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755)).unwrap();
    let launcher =
        Launcher { program: limited, timeout: Duration::from_secs(60), stop: Stop::never(), grace: GRACE };
    let settings = ServiceSettings {
        engine: EngineName::Tract,
        options: SessionOptions::PLAIN,
        precision: Precision::Fp32,
        effort: Effort {
            passes: 2,
            block_ms: 0.0,
            min_runs: 1,
            max_runs: 1,
            repeats: 0,
            ..Effort::default()
        },
        seed: 1,
    };
    let networks = [("by-hand".to_owned(), world.file("model/model.onnx"))];
    let measured =
        |candidates| measure_networks(&launcher, &settings, &networks, &[candidates], Requests::Random);
    assert_eq!(measured(10).unwrap().samples.len(), 1);
    let error = measured(20_000_000).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Child { .. }) && text.contains("for tract ended with signal: 6"),
        "{text}"
    );
    assert!(text.contains("memory allocation of") && text.contains("ran out of memory"), "{text}");
}

#[test]
fn one_process_works_in_a_run_and_others_are_told() {
    let folder = stopping::world();
    let here = folder.path();
    let mut running = Running::start(here, &ITERATE);
    running.wait_for("train …");
    let resumed = failure(here, 2, &[&ITERATE[..], &["--resume"]].concat());
    assert!(resumed.contains("another process is working on the run of a run"), "{resumed}");
    assert!(resumed.contains("wait for it to end, or name another folder with --out"), "{resumed}");
    let anew = failure(here, 2, &ITERATE);
    assert!(anew.contains("a run already holds a run") && anew.contains("--resume"), "{anew}");
    running.signal("TERM", To::Parent);
    let (code, said) = running.end();
    assert_eq!(code, Some(143), "neither has disturbed it: {said}");
}
