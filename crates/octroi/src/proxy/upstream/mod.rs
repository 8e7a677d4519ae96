//! One upstream: how it is reached and trusted.

mod connect;
mod http2;
mod pool;
mod trust;

pub(super) use connect::ConnectError;
pub(super) use pool::{Checkout, Pool, Sender};
pub(crate) use trust::{TrustError, UpstreamTls};

use crate::config::{self, HostHeader, UpstreamProtocol};
use http::{HeaderValue, Uri, uri::Authority};
use std::sync::Arc;

/// An upstream as it is configured, with what can be prepared once.
#[derive(Debug)]
pub(super) struct Upstream {
    settings: config::Upstream,
    /// The host header it gets where the service says `host_header: upstream`.
    host: HeaderValue,
    authority: Option<Authority>,
    tls: Option<UpstreamTls>,
}

impl Upstream {
    pub(super) fn new(settings: config::Upstream) -> Result<Self, TrustError> {
        let url = &settings.url;
        let default_port = if url.tls { 443 } else { 80 };
        let host =
            if url.port == default_port { url.host.clone() } else { format!("{}:{}", url.host, url.port) };
        let tls = url.tls.then(|| UpstreamTls::new(&settings)).transpose()?;
        Ok(Self {
            // The config has checked that both are valid.
            host: HeaderValue::from_str(&host).unwrap_or(HeaderValue::from_static("localhost")),
            authority: host.parse().ok(),
            tls,
            settings,
        })
    }

    pub(super) fn settings(&self) -> &config::Upstream {
        &self.settings
    }

    /// The host header it wants instead of the client's.
    pub(super) fn own_host(&self) -> Option<&HeaderValue> {
        (self.settings.host_header == HostHeader::Upstream).then_some(&self.host)
    }

    /// Whether it is certain to speak HTTP/2; with TLS that is known only after the handshake.
    fn speaks_h2(&self) -> bool {
        self.settings.protocol == Some(UpstreamProtocol::H2)
    }

    /// HTTP/2 wants scheme and authority in the target: the host that the upstream is to see.
    pub(super) fn absolute(&self, target: &Uri, host: Option<&HeaderValue>) -> Option<Uri> {
        let seen = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = target.clone().into_parts();
        parts.scheme =
            Some(if self.tls.is_some() { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
        parts.authority = seen.or_else(|| self.authority.clone());
        Uri::from_parts(parts).ok()
    }
}

/// Upstreams are the same when the same object describes them: reloads keep the object where nothing changed.
pub(super) fn identity(upstream: &Arc<Upstream>) -> usize {
    Arc::as_ptr(upstream).addr()
}
