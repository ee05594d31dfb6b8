//! A Redis server of a test's own.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// On a free loopback port, without persistence; gone with this value.
pub struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// Starts one with more arguments of `redis-server`, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        // Between choosing a port and listening on it, another program may take it.
        (0..5)
            .find_map(|_| Self::on(free_port(), arguments))
            .expect("a Redis server: run scripts/setup-redis")
    }

    /// Starts one that speaks nothing but TLS.
    #[allow(dead_code, reason = "not every test that shares this file has certificates")]
    pub fn with_tls(arguments: &[&str]) -> Self {
        let start = |_| {
            let port = free_port();
            let tls = port.to_string();
            Self::on(port, &[&["--port", "0", "--tls-port", &tls], arguments].concat())
        };
        (0..5).find_map(start).expect("a Redis server with TLS: run scripts/setup-redis")
    }

    /// A server on this very port; None when it ends at once.
    pub fn on(port: u16, arguments: &[&str]) -> Option<Self> {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server: run scripts/setup-redis");
        let mut server = Self { process, port };
        while server.process.try_wait().expect("a child").is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            sleep(Duration::from_millis(10));
        }
        None
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops answering, as a machine that swaps does, or goes on.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("an address").port()
}
