//! Whether an upstream answers: a connection, and with `https` a verified handshake. No request is sent.

use crate::{
    config::{Upstream, UpstreamProtocol, UpstreamTrust},
    proxy::{TrustError, UpstreamTls},
};
use rustls::{ClientConnection, ProtocolVersion};
use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Why an upstream would answer nothing but 502.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamFault {
    #[error("its name cannot be looked up: {0}")]
    Lookup(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("no connection to {address}: {error}")]
    Connect { address: SocketAddr, error: io::Error },
    #[error("TLS: {0}")]
    Handshake(io::Error),
    /// `upstream_protocol: h2` with a server that does not offer it.
    #[error("it does not speak HTTP/2")]
    NoHttp2,
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl UpstreamFault {
    /// The key of the service that is to blame, if it is not the upstream itself.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::NoHttp2 => "upstream_protocol",
            Self::Trust(error) => error.key(),
            _ => "upstream",
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Lookup(_) | Self::NoAddress => "correct the host, or the name service of this machine",
            Self::Connect { .. } => "start the upstream, or correct its host and port",
            Self::Handshake(_) => {
                "name the authority of its certificate with `upstream_ca`, or correct the host"
            }
            Self::NoHttp2 => "leave the protocol out to negotiate it",
            Self::Trust(error) => error.hint(),
        }
    }
}

/// Connects, waiting at most `limit` for each address and each step.
pub(super) fn reach(upstream: &Upstream, limit: Duration) -> Result<&'static str, UpstreamFault> {
    let host = upstream.url.host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, upstream.url.port).to_socket_addrs().map_err(UpstreamFault::Lookup)?;
    let mut last = UpstreamFault::NoAddress;
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) if upstream.url.tls && upstream.trust != UpstreamTrust::InsecureNone => {
                return handshake(stream, upstream, limit);
            }
            Ok(_) => return Ok("answers"),
            Err(error) => last = UpstreamFault::Connect { address, error },
        }
    }
    Err(last)
}

fn handshake(
    mut stream: TcpStream,
    upstream: &Upstream,
    limit: Duration,
) -> Result<&'static str, UpstreamFault> {
    let UpstreamTls { config, name } = UpstreamTls::new(upstream)?;
    let failed = |error: rustls::Error| UpstreamFault::Handshake(io::Error::other(error));
    let mut connection = ClientConnection::new(config, name).map_err(failed)?;
    stream.set_read_timeout(Some(limit)).map_err(UpstreamFault::Handshake)?;
    stream.set_write_timeout(Some(limit)).map_err(UpstreamFault::Handshake)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(UpstreamFault::Handshake)?;
    }
    let http2 = connection.alpn_protocol() == Some(b"h2".as_slice());
    if upstream.protocol == Some(UpstreamProtocol::H2) && !http2 {
        return Err(UpstreamFault::NoHttp2);
    }
    Ok(match (connection.protocol_version(), http2) {
        (Some(ProtocolVersion::TLSv1_3), true) => "answers, TLS 1.3, HTTP/2",
        (Some(ProtocolVersion::TLSv1_3), false) => "answers, TLS 1.3",
        (_, true) => "answers, TLS 1.2, HTTP/2",
        (_, false) => "answers, TLS 1.2",
    })
}
