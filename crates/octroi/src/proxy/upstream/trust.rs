//! By what an `https` upstream's certificate is verified.

use crate::config::{self, UpstreamProtocol, UpstreamTrust};
use l402_tls::Trust;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// TLS towards one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Why an upstream's certificate could not be verified with what is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("cannot read certificates from {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: rustls_pki_types::pem::Error },
    #[error("{} holds no certificate authority that can be used", .0.display())]
    NoAuthorities(PathBuf),
    #[error("the system has no certificate authorities")]
    NoSystemAuthorities,
    #[error("`{0}` is not a host name or address")]
    Name(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

impl TrustError {
    /// The key of the service that is to blame.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NoAuthorities(_) | Self::NoSystemAuthorities => "upstream_ca",
            Self::Name(_) | Self::Tls(_) => "upstream",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "give a PEM file (`-----BEGIN ...`)",
            Self::NoAuthorities(_) => "give the certificate of the authority",
            Self::NoSystemAuthorities => {
                "install the package ca-certificates, or name a file with `upstream_ca`"
            }
            Self::Name(_) => "correct the host",
            Self::Tls(_) => "this build supports no usable TLS version",
        }
    }
}

impl UpstreamTls {
    pub(crate) fn new(settings: &config::Upstream) -> Result<Self, TrustError> {
        let mut config = match &settings.trust {
            UpstreamTrust::System => trusting(system_roots()?)?,
            UpstreamTrust::Authorities(path) => trusting(roots_from(path)?)?,
            // Said loudly at every start.
            UpstreamTrust::InsecureNone => Trust::anyone().map_err(TrustError::Tls)?,
        };
        config.alpn_protocols = match settings.protocol {
            Some(UpstreamProtocol::Http1) => vec![b"http/1.1".to_vec()],
            Some(UpstreamProtocol::H2) => vec![b"h2".to_vec()],
            None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let host = settings.url.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| TrustError::Name(host))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, TrustError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(TrustError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // Single certificates that cannot be read are the system's business; none at all is ours.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TrustError::NoSystemAuthorities);
    }
    Ok(roots)
}

fn roots_from(path: &Path) -> Result<RootCertStore, TrustError> {
    let unreadable = |error| TrustError::Unreadable { path: path.to_owned(), error };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.map_err(unreadable)?).map_err(TrustError::Tls)?;
    }
    if roots.is_empty() { Err(TrustError::NoAuthorities(path.to_owned())) } else { Ok(roots) }
}
