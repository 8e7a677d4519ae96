//! Opening a connection to an upstream.

use super::{Upstream, http2::Http2};
use crate::proxy::{LocalExec, body::RequestBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Bytes of a response head: more than any server sends, less than a burden.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields of a response.
const HEAD_FIELDS_MAX: usize = 128;
/// A dead HTTP/2 peer is noticed after interval + timeout.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Windows large enough for a fast local network; one stream cannot take all of the connection's.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum ConnectError {
    #[error("connecting took too long")]
    Timeout,
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("the HTTP/2 handshake failed: {0}")]
    Http(hyper::Error),
}

/// A fresh connection, in the protocol that both sides speak.
pub(super) enum Connected {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Rc<Http2>),
}

/// Connects within `limit`, handshakes included.
pub(super) async fn connect(upstream: &Arc<Upstream>, limit: Duration) -> Result<Connected, ConnectError> {
    tokio::time::timeout(limit, open(upstream)).await.unwrap_or(Err(ConnectError::Timeout))
}

async fn open(upstream: &Arc<Upstream>) -> Result<Connected, ConnectError> {
    let url = &upstream.settings().url;
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, url.port)).await.map_err(ConnectError::Tcp)?;
    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let Some(tls) = &upstream.tls else {
        return speak(stream, upstream.speaks_h2()).await;
    };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(tls.name.clone(), stream).await.map_err(ConnectError::Tls)?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    speak(stream, is_h2).await
}

async fn speak<S>(stream: S, is_h2: bool) -> Result<Connected, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    if is_h2 {
        let (sender, connection) = http2::Builder::new(LocalExec)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(64 * 1024)
            .handshake::<_, RequestBody>(stream)
            .await
            .map_err(ConnectError::Http)?;
        return Ok(Connected::Http2(Http2::start(sender, connection)));
    }
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .handshake::<_, RequestBody>(stream)
        .await
        .map_err(ConnectError::Http)?;
    tokio::task::spawn_local(async {
        let _ = connection.with_upgrades().await; // its request learns of the error
    });
    Ok(Connected::Http1(sender))
}
