//! One connection to lnd's gRPC interface, made for one call.
//!
//! A payment must know whether it was asked for at all. A connection that is made first and used once answers that: there
//! is none, or the call went out over it. A connection that is kept may have died unseen.

use crate::{
    address::Address,
    line::{NoLine, Target, connect},
};
use http::Uri;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioExecutor;
use l402_lightning::OpenError;
use l402_node_http::Fault;
use l402_tls::is_certificate_fault;
use rustls::ClientConfig;
use std::sync::Arc;
use tonic::body::Body;

/// Where lnd is, and whom to trust there.
pub(super) struct Link {
    target: Arc<Target>,
    origin: Uri,
}

impl Link {
    /// To `address`, with TLS if there are settings for it.
    pub(super) fn new(address: Address, tls: Option<ClientConfig>) -> Result<Self, OpenError> {
        let form = || OpenError::Form { setting: "address", expected: "a URL like https://host:10009" };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{}", address.authority()).parse().map_err(|_| form())?;
        Ok(Self { target: Arc::new(Target::new(address, tls).ok_or_else(form)?), origin })
    }

    /// The scheme and authority of every request.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }

    /// Makes a connection, which ends with the last use of what is given. Whatever fails here, nothing was asked.
    pub(super) async fn connect(&self) -> Result<SendRequest<Body>, Fault> {
        let line = connect(Arc::clone(&self.target)).await.map_err(|error| no_connection(&error))?;
        let handshake = Builder::new(TokioExecutor::new()).handshake(line).await;
        let (sender, connection) = handshake.map_err(|_| Fault::NotConnected)?;
        tokio::spawn(async move {
            // How it ends, the calls on it are told.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn no_connection(error: &NoLine) -> Fault {
    match error {
        NoLine::Io(error) if is_certificate_fault(error) => Fault::Certificate,
        NoLine::Io(_) | NoLine::Timeout => Fault::NotConnected,
        NoLine::NotHttp2 => Fault::Garbled("HTTP/2 (is this the port of lnd's gRPC interface?)"),
    }
}
