//! One configuration, ready to serve: immutable, replaced as a whole by a reload. A request keeps the one it began
//! with, so an open stream is never cut by a reload and never holds one up.

use super::upstream::{TrustError, Upstream};
use crate::config::{Config, Timeouts, UpstreamTrust};
use http::HeaderValue;
use ipnet::IpNet;
use l402_paywall::Gate;
use std::sync::Arc;

/// The configuration that requests are served with.
#[derive(Debug)]
pub struct Snapshot {
    /// Decides about requests.
    pub gate: Gate,
    /// How long things may last.
    pub timeouts: Timeouts,
    /// Bytes of a request's header fields.
    pub(super) header_bytes: usize,
    /// Where each service's requests go, by service id.
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// What upstreams are told about each service, by service id.
    pub(super) labels: Vec<Labels>,
    /// Networks of trusted proxies, by listener.
    pub(super) trusted_proxies: Vec<Vec<IpNet>>,
}

/// Header values that are the same for all requests of a service.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) service: HeaderValue,
    pub(super) tier: HeaderValue,
}

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("upstream of service `{service}`: {error}")]
pub struct SnapshotError {
    service: String,
    error: TrustError,
}

impl Snapshot {
    /// Puts a gate and a config together. Upstreams that did not change keep their connections from `previous`.
    pub fn new(gate: Gate, config: &Config, previous: Option<&Self>) -> Result<Self, SnapshotError> {
        let mut upstreams = Vec::with_capacity(config.upstreams.len());
        let mut labels = Vec::with_capacity(config.upstreams.len());
        for (service, settings) in gate.table().services().iter().zip(&config.upstreams) {
            let kept = previous.and_then(|previous| previous.reusable(settings));
            let upstream = match kept {
                Some(upstream) => upstream,
                None => Arc::new(
                    Upstream::new(settings.clone())
                        .map_err(|error| SnapshotError { service: service.name().to_string(), error })?,
                ),
            };
            if settings.trust == UpstreamTrust::InsecureNone {
                tracing::warn!(
                    service = %service.name(),
                    upstream = %settings.url,
                    "insecure_tls is set: the upstream's certificate is NOT verified, anybody in between can read and change everything"
                );
            }
            upstreams.push(upstream);
            labels.push(Labels {
                // Names and numbers are valid header values.
                service: HeaderValue::from_str(service.name().as_str())
                    .unwrap_or(HeaderValue::from_static("")),
                tier: HeaderValue::from(service.spec().tier),
            });
        }
        let trusted_proxies =
            config.listeners.iter().map(|listener| listener.trusted_proxies.clone()).collect();
        Ok(Self {
            gate,
            timeouts: config.timeouts.clone(),
            header_bytes: config.limits.header_bytes,
            upstreams,
            labels,
            trusted_proxies,
        })
    }

    /// A file of authorities may have changed under the same name, so it is read again.
    fn reusable(&self, settings: &crate::config::Upstream) -> Option<Arc<Upstream>> {
        let from_file = matches!(settings.trust, UpstreamTrust::Authorities(_));
        self.upstreams.iter().find(|upstream| !from_file && upstream.settings() == settings).cloned()
    }
}
