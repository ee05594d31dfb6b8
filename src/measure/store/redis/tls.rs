//! What an encrypted connection stands on: the certificates that are trusted, and the name that the server's has to be for.

use super::address::Address;
use crate::base::{Error, Result};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::ring::default_provider, pki_types::ServerName,
};
use std::{io, sync::Arc};

/// How a server is recognised.
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates that this machine trusts; the variable `SSL_CERT_FILE`, or `SSL_CERT_DIR`, of the environment names others
    /// instead. The server shows one of the host's name.
    ///
    /// Fails when there is none to trust, or the host has a name that no certificate can be for.
    pub fn of(address: &Address) -> Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            let read = found.errors.iter().map(|error| format!(" ({error})")).collect::<String>();
            return Err(Error::usage(
                format!("there is no certificate to trust {address} by{read}"),
                "install those of your system (the package ca-certificates), or name a PEM file in SSL_CERT_FILE",
            ));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (host, _) = address.socket();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::usage(
                format!("no certificate can be for the host of {address}"),
                "name the host, or its number, as its certificate does",
            )
        })?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The client's end of a new connection, which has not said anything yet.
    pub fn client(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)
    }
}
