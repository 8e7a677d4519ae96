//! The line to lnd: TCP, and TLS that pins its certificate.

use crate::address::Address;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::{io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longest time for TCP and TLS together; less than an answer may take, so that a node which cannot be reached is told
/// from one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long sent bytes may stay unacknowledged by the other machine.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
/// How long a line may be silent before TCP asks whether the other machine is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Where a line leads.
pub(crate) struct Target {
    host: Box<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// The node at `address`, with TLS if there are settings for it; `None` if TLS can have no server of that name.
    pub(crate) fn new(address: Address, tls: Option<ClientConfig>) -> Option<Self> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(String::from(&*address.host)).ok()?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Some(Self { host: address.host, port: address.port, tls })
    }
}

/// Why there is no line.
#[derive(Debug, Error)]
pub(crate) enum NoLine {
    /// TCP or TLS failed.
    #[error("no connection")]
    Io(#[from] io::Error),
    /// Neither came about in time.
    #[error("no connection in time")]
    Timeout,
    /// The other side does not speak HTTP/2, as lnd's gRPC interface does.
    #[error("the other side does not speak HTTP/2")]
    NotHttp2,
}

/// A line, with or without TLS.
pub(crate) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Makes a line.
pub(crate) async fn connect(target: &Target) -> Result<Box<dyn Line>, NoLine> {
    timeout(CONNECT_TIMEOUT, line(target)).await.unwrap_or(Err(NoLine::Timeout))
}

async fn line(target: &Target) -> Result<Box<dyn Line>, NoLine> {
    let stream = TcpStream::connect((&*target.host, target.port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    let Some((tls, name)) = &target.tls else { return Ok(Box::new(stream)) };
    let stream = tls
        .connect(name.clone(), stream)
        .await
        .map_err(|error| if declines_http2(&error) { NoLine::NotHttp2 } else { NoLine::Io(error) })?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(NoLine::NotHttp2);
    }
    Ok(Box::new(stream))
}

/// Whether the handshake failed because the other side speaks another protocol than HTTP/2.
fn declines_http2(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)))
}
