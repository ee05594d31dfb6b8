//! A Redis server that speaks TLS.

use super::redis::{ONE_PASS, server::RedisServer};
use crate::world::{World, program};
use serde_json::Value;
use std::{path::Path, process::Command};

const PASSWORD: &str = "secret";

/// `NAME.pem` and `NAME.key`: a certificate for 127.0.0.1 alone, signed by itself.
fn certify(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(folder)
        .output()
        .expect("openssl: run scripts/setup-redis");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn started(folder: &Path) -> RedisServer {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("own.pem"), file("own.key"));
    RedisServer::with_tls(&[
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        PASSWORD,
    ])
}

#[test]
fn a_store_is_filled_and_fetched_from_over_tls_by_a_server_that_is_who_it_says() {
    let world = World::new();
    certify(world.path(), "own");
    certify(world.path(), "other");
    let server = started(world.path());
    let place = format!("127.0.0.1:{}", server.port());
    let url = format!("rediss://:{PASSWORD}@{place}?timeout_ms=20000");
    let command = |trusted: &str, args: &[&str]| {
        let mut program = program(world.path());
        program.env("SSL_CERT_FILE", world.file(trusted)).env_remove("SSL_CERT_DIR").args(args);
        program
    };
    let files = ["store", "load", "--model", "model/model.onnx", "--data", "log/log.parquet", "--out", &url];
    command("own.pem", &files).assert().success();
    let replay = [&ONE_PASS[..], &["--qps", "200", "--requests", "100", "--json", "--store", &url]].concat();
    let done = command("own.pem", &replay).output().unwrap();
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&result["errors"], &result["fetch_us"]["count"]), (&0.into(), &100.into()));
    assert_eq!(result["store"]["place"], format!("rediss://{place}"));
    assert_eq!(result["store"]["fetches"]["items"]["missing"], 0);

    let refused = |trusted: &str, url: &str, expected: &[&str]| {
        let said = command(trusted, &["store", "show", url]).assert().code(1).get_output().stderr.clone();
        let said = String::from_utf8(said).unwrap();
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    };
    refused("other.pem", &url, &["certificate", "SSL_CERT_FILE"]);
    // The certificate is for the number.
    refused(
        "own.pem",
        &url.replace("127.0.0.1", "localhost"),
        &["localhost", "certificate not valid for name"],
    );
    // Of one that says nothing encrypted, the server knows nothing.
    refused("own.pem", &url.replace("rediss", "redis"), &["see whether the server runs"]);

    let nobody = command("gone.pem", &["store", "show", &url]).assert().code(2).get_output().stderr.clone();
    let nobody = String::from_utf8(nobody).unwrap();
    assert!(nobody.contains("no certificate to trust") && nobody.contains("gone.pem"), "{nobody}");
}
