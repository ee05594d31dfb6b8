//! A Redis server as the store, from outside: disturbed in the middle of a replay, and with a password that nobody may see.

use super::REPLAY;
use crate::world::{World, failure, json, program, replayed};
use serde_json::Value;
use server::RedisServer;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

#[path = "../../support/redis_server.rs"]
pub mod server;

/// A replay without repetitions, to be completed by rate, requests and store.
pub const ONE_PASS: [&str; 17] = [
    "replay",
    "--model",
    "model/model.onnx",
    "--data",
    "log/log.parquet",
    "--engine",
    "tract",
    "--candidates",
    "8",
    "--warmup",
    "1",
    "--repeats",
    "1",
    "--min-requests",
    "1",
    "--min-duration",
    "0",
];

pub fn load(world: &World, url: &str) {
    let files = ["--model", "model/model.onnx", "--data", "log/log.parquet", "--out", url];
    program(world.path()).args(["store", "load"]).args(files).assert().success();
}

#[test]
fn a_dry_run_of_a_load_tells_what_a_server_holds_and_refuses_what_is_somebody_elses() {
    let world = World::new();
    let server = RedisServer::start(&[]);
    let url = server.url();
    let files = ["--model", "model/model.onnx", "--data", "log/log.parquet", "--out", &url, "--dry-run"];
    let dry = [&["store", "load"][..], &files].concat();
    assert_eq!(json(world.path(), &dry)["state"], "new");
    load(&world, &url);
    assert_eq!(json(world.path(), &dry)["state"], "exists");
    told(&server, "DEL autofas:manifest");
    told(&server, "RPUSH autofas:manifest x");
    let refused = failure(world.path(), 1, &dry);
    assert!(refused.contains("autofas:manifest is somebody else's there: remove it"), "{refused}");
}

/// One line to the server; what it says.
pub fn told(server: &RedisServer, command: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", server.port())).unwrap());
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_line(&mut said).unwrap();
    if let Some(length) = said.strip_prefix('$').and_then(|length| length.trim().parse().ok()) {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        said = String::from_utf8(body).unwrap();
    }
    said
}

/// How often the server has been asked for the mark of its filling: once per request.
fn requests(server: &RedisServer) -> u64 {
    let said = told(server, "INFO commandstats");
    let calls = said.split_once("cmdstat_get:calls=").and_then(|(_, calls)| calls.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// The result of a replay of 150 requests in three seconds whose server is disturbed after a third of them.
fn disturbed(disturb: impl FnOnce(RedisServer) -> Option<RedisServer> + Send) -> Value {
    let world = World::new();
    let server = RedisServer::start(&[]);
    load(&world, &server.url());
    let store = format!("{}?timeout_ms=100", server.url());
    let how = ["--qps", "50", "--requests", "150", "--store", &store];
    let before = requests(&server);
    let (result, said) = std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| {
            while requests(&server) < before + 50 {
                std::thread::sleep(Duration::from_millis(10));
            }
            disturb(server)
        });
        let replayed = replayed(world.path(), &[&ONE_PASS[..], &how].concat());
        drop(disturbing.join().unwrap());
        replayed
    });
    assert_eq!((&result["valid"], &result["requests"]), (&false.into(), &150.into()), "{said}");
    let (failures, errors) = (&result["store"]["fetches"]["failures"], result["errors"].as_u64().unwrap());
    assert_eq!(failures.as_u64().unwrap(), errors);
    assert!(errors > 0 && errors < 150, "{errors} failed");
    assert_eq!(result["fetch_us"]["count"].as_u64().unwrap(), 150 - errors);
    let reasons = result["reasons"].to_string();
    assert!(reasons.contains(&format!("{errors} requests failed, the first with: ")), "{reasons}");
    result
}

pub fn first_error(result: &Value) -> &str {
    result["first_error"].as_str().unwrap()
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_replay_fails_the_rest_of_its_requests() {
    let result = disturbed(|server| {
        server.signal("KILL");
        Some(server)
    });
    assert!(first_error(&result).contains("redis://127.0.0.1:"), "{}", first_error(&result));
    assert!(result["errors"].as_u64().unwrap() >= 50, "{}", result["errors"]);
}

#[test]
fn a_server_that_pauses_in_the_middle_of_a_replay_fails_requests_by_their_time_out_and_serves_again() {
    let result = disturbed(|server| {
        server.signal("STOP");
        std::thread::sleep(Duration::from_millis(450));
        server.signal("CONT");
        Some(server)
    });
    assert!(first_error(&result).contains("within 100 ms"), "{}", first_error(&result));
    // What came after the pause was answered.
    assert!(result["errors"].as_u64().unwrap() < 75, "{}", result["errors"]);
}

#[test]
fn a_server_that_is_emptied_in_the_middle_of_a_replay_does_not_count_as_one_without_rows() {
    let result = disturbed(|server| {
        assert!(told(&server, "FLUSHALL").contains("OK"));
        Some(server)
    });
    assert!(first_error(&result).contains("emptied or filled again"), "{}", first_error(&result));
    assert_eq!(result["store"]["fetches"]["items"]["missing"], 0);
}

#[test]
fn a_store_that_lacks_the_traces_items_makes_the_result_invalid() {
    let world = World::new();
    // Two requests with two candidates each: most of the items that the trace asks for are in none of them.
    program(world.path())
        .args(["data", "synth", "--requests", "2", "--candidates", "2", "--out", "small"])
        .assert()
        .success();
    let files = ["--model", "model/model.onnx", "--data", "small/log.parquet", "--out", "few"];
    program(world.path()).args(["store", "load"]).args(files).assert().success();
    let (result, said) = replayed(world.path(), &[&REPLAY[..], &["--store", "few"]].concat());
    assert_eq!(result["valid"], false);
    let items = &result["store"]["fetches"]["items"];
    let (asked, missing) = (items["asked"].as_u64().unwrap(), items["missing"].as_u64().unwrap());
    assert!(2 * missing > asked, "{items}");
    assert!(
        said.contains("% of the rows of items that were asked for") && said.contains("store load"),
        "{said}"
    );
}

/// All files below a folder that hold a text; a program may be removing some of them.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map_while(|entry| Some(entry.ok()?.path())) {
        let bytes = fs::read(&entry).unwrap_or_default();
        if entry.is_dir() {
            found.extend(holding(&entry, text));
        } else if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(entry.display().to_string());
        }
    }
    found
}

#[test]
fn the_password_of_a_server_is_in_no_output_and_no_file() {
    const PASSWORD: &str = "se?cr/et#1";
    let world = World::new();
    let server = RedisServer::start(&["--requirepass", PASSWORD]);
    let place = format!(":{PASSWORD}@127.0.0.1:{}", server.port());
    let url = format!("redis://{place}?timeout_ms=2000");
    let of_model = ["--model", "model/model.onnx", "--data", "log/log.parquet"];
    let price = ["--out", "f.json", "--candidates", "8", "--passes", "1", "--block", "1", "--store"];
    let written = [
        "--requests",
        "60",
        "--repeats",
        "1",
        "--out",
        "r.json",
        "--hlog",
        "r.hlog",
        "--csv",
        "r.csv",
        "--plot",
        "r.html",
    ];
    let verbs: [(&[&str], &[&str]); 4] = [
        (&["store", "load"], &["--out"]),
        (&["store", "show"], &[]),
        (&["store", "price"], &price),
        (
            &["replay", "--engine", "tract", "--qps", "400", "--candidates", "8"],
            &[&written[..], &["--store"]].concat(),
        ),
    ];
    let temporary = world.file("tmp");
    fs::create_dir(&temporary).unwrap();
    let say = |address: &str, verb: &[&str], options: &[&str]| -> (Option<i32>, String) {
        let model = if verb[1] == "show" { &[][..] } else { &of_model };
        let mut program = program(world.path());
        program.env("TMPDIR", &temporary).args(verb).args(model).args(options).arg(address);
        let done = program.output().unwrap();
        let said = [done.stdout, done.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
        assert!(!said.contains(PASSWORD) && !said.contains("cr/et"), "{verb:?} says: {said}");
        (done.status.code(), said)
    };
    let mut jobs = 0;
    for (verb, options) in &verbs {
        let (code, said) = std::thread::scope(|scope| {
            let running = scope.spawn(|| say(&url, verb, options));
            // A measuring process gets its job in a file, which is gone when it has ended.
            while !running.is_finished() {
                assert_eq!(holding(&temporary, PASSWORD), [""; 0], "{verb:?}");
                jobs += holding(&temporary, "\"job\": \"replay\"").len();
                std::thread::sleep(Duration::from_millis(5));
            }
            running.join().unwrap()
        });
        // A replay of so few requests is no valid one.
        assert!(code == Some(0) || verb[0] == "replay" && code == Some(4), "{verb:?}: {said}");
    }
    assert!(jobs > 0, "no job was seen");
    assert_eq!(holding(world.path(), PASSWORD), [""; 0]);
    assert!(!holding(world.path(), &format!("redis://127.0.0.1:{}", server.port())).is_empty());
    let wrong = [
        (format!("rediss:/{place}"), "rediss://… for a server with TLS"),
        (format!("redis:/{place}"), "redis://[user:password@]host"),
        (format!("http://{place}"), "no kind `http` of store"),
        (format!("memroy{place}"), "did you mean `memory:`?"),
        (format!("{url}&timeout=1"), "timeout_ms"),
        (place.clone(), "memory:STORE"),
    ];
    for (address, expected) in &wrong {
        for (verb, options) in &verbs {
            let (code, said) = say(address, verb, options);
            assert!(code == Some(2) && said.contains(expected), "{verb:?}: {said}");
        }
    }
    // The server itself refuses this one.
    let (code, said) = say(&url.replace("cr/et", "cr/etc"), verbs[1].0, verbs[1].1);
    assert!(code == Some(1) && said.contains("user and password"), "{said}");
}
