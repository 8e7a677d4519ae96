//! One websocket to one relay (NIP-01): dialling, and messages of bounded size.

use futures_util::{SinkExt as _, StreamExt as _};
use l402_lightning::OpenError;
use l402_node_http::Fault;
use l402_tls::{Trust, TrustError, is_certificate_fault};
use nostr::{
    message::{ClientMessage, RelayMessage},
    types::url::{Host, RelayUrl, RelayUrlScheme, Url},
};
use rustls_pki_types::ServerName;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest that a message may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to speak TLS to these relays: trusting the system's authorities, or nobody where no relay needs it.
pub(crate) fn tls(relays: &[RelayUrl]) -> Result<TlsConnector, OpenError> {
    let needed = relays.iter().any(|relay| relay.scheme() == RelayUrlScheme::Wss);
    let config = if needed { Trust::System.client_config() } else { Trust::nobody() };
    let mut config = config.map_err(|error| match error {
        TrustError::File { .. } | TrustError::NoAuthorities | TrustError::Setup(_) => OpenError::Form {
            setting: crate::uri::SETTING,
            expected: "a URI whose relay can be trusted (the system trusts no authority)",
        },
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A websocket to a relay.
pub(crate) struct Relay(WebSocketStream<Box<dyn Wire>>);

/// Bytes to and fro, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Relay {
    /// Connects. Until this has succeeded nothing was asked.
    pub(crate) async fn dial(url: &RelayUrl, tls: &TlsConnector) -> Result<Self, Fault> {
        let place: &Url = url.into();
        let (host, port) = (place.host_str(), place.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else { return Err(Fault::NotConnected) };
        let tcp = TcpStream::connect((host.trim_start_matches('[').trim_end_matches(']'), port));
        let tcp = tcp.await.map_err(|_| Fault::NotConnected)?;
        tcp.set_nodelay(true).map_err(|_| Fault::NotConnected)?;
        let wire: Box<dyn Wire> = match url.scheme() {
            RelayUrlScheme::Ws => Box::new(tcp),
            RelayUrlScheme::Wss => {
                let name = server_name(place).ok_or(Fault::NotConnected)?;
                let refused = |error: std::io::Error| {
                    if is_certificate_fault(&error) { Fault::Certificate } else { Fault::NotConnected }
                };
                Box::new(tls.connect(name, tcp).await.map_err(refused)?)
            }
        };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let shaken = client_async_with_config(place.as_str(), wire, Some(limits)).await;
        let (socket, _) = shaken.map_err(|_| Fault::NotConnected)?;
        Ok(Self(socket))
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &ClientMessage<'_>) -> Result<(), Fault> {
        let text = message.try_as_json().map_err(|_| Fault::Cut)?;
        self.write(Message::text(text)).await
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Fault> {
        self.write(Message::Ping(Vec::new().into())).await
    }

    /// The next message; `None` where it is one that means nothing here. May be dropped at any point.
    pub(crate) async fn next(&mut self) -> Result<Option<RelayMessage<'static>>, Fault> {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(RelayMessage::from_json(text.as_bytes()).ok()),
            Some(Ok(Message::Close(_))) | None => Err(Fault::Cut),
            Some(Ok(_)) => Ok(None),
            Some(Err(Error::Capacity(_))) => Err(Fault::TooLarge),
            Some(Err(_)) => Err(Fault::Cut),
        }
    }

    /// Says goodbye, if the relay still listens.
    pub(crate) async fn close(mut self) {
        // Whoever closes needs no answer, and is not held up by a relay that takes none.
        let _ = timeout(WRITE_TIMEOUT, self.0.close(None)).await;
    }

    async fn write(&mut self, message: Message) -> Result<(), Fault> {
        let written = timeout(WRITE_TIMEOUT, self.0.send(message)).await;
        written.map_err(|_| Fault::Cut)?.map_err(|_| Fault::Cut)
    }
}

fn server_name(place: &Url) -> Option<ServerName<'static>> {
    match place.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(std::net::IpAddr::V4(address))),
        Host::Ipv6(address) => Some(ServerName::from(std::net::IpAddr::V6(address))),
    }
}
