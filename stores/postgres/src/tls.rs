//! TLS to the server, over rustls. Channel binding is not offered; whom to trust is said by `sslmode` and `sslrootcert`.

use l402_tls::{Trust, TrustError};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// The name of the protocol within TLS, which servers from version 17 on insist on where any is offered.
const ALPN: &[u8] = b"postgresql";

/// Makes the TLS side of connections.
#[derive(Clone)]
pub(crate) struct Encryption(Arc<ClientConfig>);

/// One handshake to come.
pub(crate) struct Handshake {
    settings: Arc<ClientConfig>,
    name: String,
}

/// An encrypted connection.
pub(crate) struct Encrypted(client::TlsStream<Socket>);

impl Encryption {
    /// For connections that never use it.
    pub(crate) fn none() -> Result<Self, TrustError> {
        Ok(Self(Arc::new(Trust::nobody()?)))
    }

    /// Only servers with a certificate that `trust` covers.
    pub(crate) fn checked(trust: &Trust) -> Result<Self, TrustError> {
        Ok(Self::with(trust.client_config()?))
    }

    /// Whatever certificate the server shows, as `sslmode=require` and `prefer` say without a root certificate: nobody
    /// can listen, but somebody in between can pose as the server
    /// (<https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>).
    pub(crate) fn insecure_unchecked() -> Result<Self, TrustError> {
        Ok(Self::with(Trust::anyone()?))
    }

    fn with(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self(Arc::new(config))
    }
}

impl MakeTlsConnect<Socket> for Encryption {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, name: &str) -> Result<Handshake, Infallible> {
        // Also asked for where no handshake will follow, so the name is looked at later.
        Ok(Handshake { settings: Arc::clone(&self.0), name: name.to_owned() })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
            TlsConnector::from(self.settings).connect(name, socket).await.map(Encrypted)
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
