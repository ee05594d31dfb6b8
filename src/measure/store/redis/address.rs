//! The address of a Redis server. A password is in no message about it, whatever is wrong with it.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an address is written.
pub const FORM: &str = "write redis://[user:password@]host[:port][/database][?timeout_ms=100], or rediss://… for a server with TLS";
const PORT: u16 = 6379;

/// What goes over the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Everything as it is.
    #[default]
    Plain,
    /// Everything encrypted, to a server with a certificate.
    Tls,
}

impl Transport {
    /// All there are.
    const ALL: [Self; 2] = [Self::Plain, Self::Tls];

    /// How an address begins.
    fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "redis://",
            Self::Tls => "rediss://",
        }
    }
}

/// Where a server is, and as whom it is asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// In no file, and so is the password.
    #[serde(skip)]
    user: Option<String>,
    #[serde(skip)]
    password: Option<String>,
    #[serde(default)]
    transport: Transport,
    host: String,
    port: u16,
    database: u32,
}

impl Address {
    /// Reads `redis://[user:password@]host[:port][/database]`, or the same with `rediss` for TLS, and what stands behind a `?` after the host, which is the caller's.
    /// User and password end at the last `@`; in them, a `%` with two hexadecimal digits stands for a byte.
    pub fn parse(text: &str) -> Result<(Self, &str)> {
        let wrong = |problem: &str| Error::usage(problem, FORM);
        let begins = |transport: Transport| Some((transport, text.strip_prefix(transport.scheme())?));
        let (transport, after) = Transport::ALL
            .into_iter()
            .find_map(begins)
            .ok_or_else(|| wrong("the address of a Redis server begins otherwise"))?;
        let (identity, place) = match after.rsplit_once('@') {
            Some((identity, place)) => (Some(identity), place),
            None => (None, after),
        };
        let (place, option) = place.split_once('?').unwrap_or((place, ""));
        let (place, database) = place.split_once('/').unwrap_or((place, ""));
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| wrong("the database of the Redis server is no number"))?,
        };
        // The colons of an IPv6 address are no port's.
        let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = match port.map(str::parse) {
            None => PORT,
            Some(Ok(port @ 1..)) => port,
            Some(_) => return Err(wrong("the port of the Redis server is no number from 1 to 65535")),
        };
        if host.is_empty() {
            return Err(wrong("the address of the Redis server names no host"));
        }
        let (user, password) = match identity
            .map(|identity| identity.split_once(':').unwrap_or((identity, "")))
        {
            None => (None, None),
            Some(both) => <[_; 2]>::from(both).map(|text| (!text.is_empty()).then(|| decoded(text))).into(),
        };
        Ok((Self { user, password, transport, host: host.to_owned(), port, database }, option))
    }

    /// User and password, for [`Address::tell`]; None where nobody is named.
    pub(in crate::measure::store) fn secret(&self) -> Option<String> {
        let named = self.user.is_some() || self.password.is_some();
        // As JSON it has no zero byte, which a variable of the environment cannot hold.
        named.then(|| serde_json::json!([self.user, self.password]).to_string())
    }

    /// Takes user and password as [`Address::secret`] gave them.
    pub(in crate::measure::store) fn tell(&mut self, secret: &str) -> Result<()> {
        let told = serde_json::from_str(secret);
        // What it could not read may be a part of a password.
        (self.user, self.password) = told.map_err(|_| {
            Error::usage(
                "the user and password of the Redis server cannot be read",
                "start it as the program itself does",
            )
        })?;
        Ok(())
    }

    /// Host and port, to connect to.
    pub(super) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether what is said to the server is encrypted.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Number of the database.
    pub(super) fn database(&self) -> u32 {
        self.database
    }

    /// What `AUTH` takes; nothing where nobody is named.
    pub(super) fn identity(&self) -> Vec<&str> {
        match (&self.user, &self.password) {
            (None, None) => Vec::new(),
            (None, Some(password)) => vec![password],
            (Some(user), password) => vec![user, password.as_deref().unwrap_or_default()],
        }
    }
}

/// Bytes for `%41` and its like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port, database, .. } = self;
        let scheme = transport.scheme();
        match host.contains(':') {
            true => write!(f, "{scheme}[{host}]:{port}")?,
            false => write!(f, "{scheme}{host}:{port}")?,
        }
        if *database > 0 { write!(f, "/{database}") } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_whatever_the_password_holds() {
        for (text, shown, identity) in [
            ("redis://host", "redis://host:6379", &[][..]),
            ("redis://host:7/2", "redis://host:7/2", &[]),
            ("redis://[::1]:7", "redis://[::1]:7", &[]),
            ("redis://:pw@host", "redis://host:6379", &["pw"]),
            ("rediss://:pw@host/1", "rediss://host:6379/1", &["pw"]),
            ("redis://me:p%3Aw@host/1", "redis://host:6379/1", &["me", "p:w"]),
            ("redis://me@host", "redis://host:6379", &["me", ""]),
            ("redis://:a?b/c#d@e%4@host:1", "redis://host:1", &["a?b/c#d@e%4"]),
        ] {
            let (address, option) = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), option), (shown, ""));
            assert_eq!(address.identity(), identity, "{text}");
            assert!(!format!("{address:?}").contains("pw"), "{address:?}");
        }
        let (_, option) = Address::parse("redis://:a?b@host/3?timeout_ms=5").unwrap();
        assert_eq!(option, "timeout_ms=5");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_text() {
        for wrong in [
            "redis:/:secret@h",
            "rediss:/:secret@h",
            "redisss://:secret@h",
            "redis://:secret@",
            "redis://:secret@h:0",
            "redis://:secret@h:x",
            "redis://:secret@h/x",
        ] {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("redis://[user:password@]host") && !error.contains("secret"), "{error}");
        }
    }
}
