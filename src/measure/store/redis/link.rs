//! A connection to a Redis server on which every request has a moment by which its whole answer has to be there.
//!
//! A time-out of the socket bounds one wait for bytes, so a server that lets them trickle would keep a request for ever: what is
//! left until the moment is set before each of them, below the encryption where there is one.

use super::{address::Address, tls::Tls};
use redis::{ConnectionLike, Parser, RedisResult, Value};
use rustls::ClientConnection;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A connection, as the user of an address and to its database.
pub struct Link {
    stream: TcpStream,
    /// The encryption of what goes through the stream; none of a plain one.
    tls: Option<Box<ClientConnection>>,
    parser: Parser,
    database: u32,
    /// How long a request takes at most that says nothing else.
    timeout: Duration,
}

impl Link {
    /// Connects to one of `sockets`, which are those of the address, and has it done by `until`, the handshake of `tls` included. Requests
    /// through [`ConnectionLike`] take `timeout` each, at most.
    pub fn connect(
        address: &Address,
        sockets: &[SocketAddr],
        tls: Option<&Tls>,
        timeout: Duration,
        until: Instant,
    ) -> RedisResult<Self> {
        let stream = reach(sockets, until)?;
        stream.set_nodelay(true)?;
        let mut tls = tls.map(Tls::client).transpose()?.map(Box::new);
        if let Some(tls) = &mut tls {
            tls.complete_io(&mut Timed { stream: &stream, until })?;
        }
        let mut link = Self { stream, tls, parser: Parser::new(), database: address.database(), timeout };
        let identity = address.identity();
        if !identity.is_empty() {
            link.order(redis::cmd("AUTH").arg(identity), until)?;
        }
        if address.database() > 0 {
            link.order(redis::cmd("SELECT").arg(address.database()), until)?;
        }
        Ok(link)
    }

    fn order(&mut self, command: &redis::Cmd, until: Instant) -> RedisResult<()> {
        let mut answers = self.ask(&command.get_packed_command(), 1, until)?;
        answers.swap_remove(0).extract_error().map(drop)
    }

    /// What the server answers to so many packed commands, all of it by `until`. After a failure the connection is of no use: what
    /// comes late would be taken for the answer to something else.
    pub fn ask(&mut self, packed: &[u8], commands: usize, until: Instant) -> RedisResult<Vec<Value>> {
        let mut timed = Timed { stream: &self.stream, until };
        match &mut self.tls {
            None => ask(&mut timed, &mut self.parser, packed, commands),
            Some(tls) => {
                ask(&mut rustls::Stream::new(&mut **tls, &mut timed), &mut self.parser, packed, commands)
            }
        }
    }
}

fn ask(
    wire: &mut (impl Read + Write),
    parser: &mut Parser,
    packed: &[u8],
    commands: usize,
) -> RedisResult<Vec<Value>> {
    wire.write_all(packed)?;
    wire.flush()?;
    let mut answers = Vec::with_capacity(commands);
    while answers.len() < commands {
        match parser.parse_value(&mut *wire)? {
            // Nobody has asked for it.
            Value::Push { .. } => {}
            answer => answers.push(answer),
        }
    }
    Ok(answers)
}

/// The first of a host's addresses that answers.
fn reach(sockets: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for socket in sockets {
        match TcpStream::connect_timeout(socket, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A stream until a moment.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    /// Tries again after a signal, which ends a wait that has a time-out.
    fn retried(
        &self,
        mut wait: impl FnMut(&mut &TcpStream, Duration) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match wait(&mut &*self.stream, left(self.until)?) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retried(|stream, left| {
            stream.set_read_timeout(Some(left))?;
            stream.read(buffer)
        })
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retried(|stream, left| {
            stream.set_write_timeout(Some(left))?;
            stream.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For single commands, each with the link's own time-out.
impl ConnectionLike for Link {
    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        let until = Instant::now() + self.timeout;
        Ok(self.ask(packed, 1, until)?.swap_remove(0))
    }

    fn req_packed_commands(&mut self, packed: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let until = Instant::now() + self.timeout;
        Ok(self.ask(packed, offset + count, until)?.split_off(offset))
    }

    fn get_db(&self) -> i64 {
        i64::from(self.database)
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        true
    }
}
