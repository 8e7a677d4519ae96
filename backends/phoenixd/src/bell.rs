//! The websocket on which phoenixd tells of payments that it received.
//!
//! What comes in is only taken as a sign to look into the records: messages get lost when the line breaks, and are never
//! repeated.

use crate::api::credential;
use futures_util::StreamExt as _;
use http::{HeaderValue, header};
use l402_lightning::{OpenError, Settings};
use l402_node_http::Place;
use l402_tls::Trust;
use rustls_pki_types::ServerName;
use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

/// Longest wait for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest message that is read, in bytes: one payment with a payer's note.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What rings when a payment came in.
pub(crate) struct Bell {
    /// `ws://host:port/websocket`, or `wss`.
    address: String,
    host: String,
    port: u16,
    credential: HeaderValue,
    tls: Option<TlsConnector>,
    /// The line that nobody waits on.
    idle: Mutex<Option<Line>>,
}

/// An open line.
pub(crate) struct Line(WebSocketStream<Box<dyn Connection>>);

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What came over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// A message.
    Rang,
    /// The end of the line.
    Broken,
}

impl Bell {
    /// Prepares it; connects to nothing.
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let place = Place::from_setting(settings, "address")?;
        let url = place.at("websocket");
        let form = || OpenError::Form { setting: "address", expected: "a URL like http://host:port" };
        let plain = place.is_plain();
        let trust = match settings.file("certificate").map(Path::to_owned) {
            _ if plain => None,
            Some(file) => Some(Trust::Only(file)),
            None => Some(Trust::System),
        };
        let tls = trust.as_ref().map(connector).transpose()?;
        let (old, new) = if plain { ("http", "ws") } else { ("https", "wss") };
        Ok(Self {
            address: url.as_str().replacen(old, new, 1),
            host: url.host_str().ok_or_else(form)?.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().ok_or_else(form)?,
            credential: credential(settings)?,
            tls,
            idle: Mutex::default(),
        })
    }

    /// An open line; `None` if there is none to be had, which loses nothing but speed.
    pub(crate) async fn line(&self) -> Option<Line> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if idle.is_some() {
            return idle;
        }
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await.ok()?
    }

    /// Keeps a line for whoever comes next.
    pub(crate) fn keep(&self, line: Option<Line>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    async fn connect(&self) -> Option<Line> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.ok()?;
        let stream: Box<dyn Connection> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).ok()?;
                Box::new(tls.connect(name, stream).await.ok()?)
            }
        };
        let mut request = self.address.as_str().into_client_request().ok()?;
        request.headers_mut().insert(header::AUTHORIZATION, self.credential.clone());
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (line, _) = client_async_with_config(request, stream, Some(limits)).await.ok()?;
        Some(Line(line))
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Line {
    /// Waits for the next message. Dropped before that, it has lost none.
    pub(crate) async fn ring(&mut self) -> Ring {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(_) | Message::Binary(_))) => return Ring::Rang,
                // phoenixd pings every ten seconds; the answer goes out with the next read.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ring::Broken,
            }
        }
    }
}

/// TLS for a websocket, which begins as HTTP/1.1.
fn connector(trust: &Trust) -> Result<TlsConnector, OpenError> {
    let mut config = trust.client_config().map_err(|_| OpenError::Form {
        setting: "certificate",
        expected: "a PEM file with a certificate (or the system trusts no authority)",
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
