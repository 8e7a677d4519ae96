//! The certificates that a connection to an upstream is verified by.

use crate::config::{UpstreamProtocol, UpstreamTrust};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, pem, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("{}: {error}", path.display())]
    Pem { path: PathBuf, error: pem::Error },
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("the system has no certificate authorities")]
    NoAuthorities,
    #[error("{0}")]
    Protocol(rustls::Error),
}

impl TlsFault {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Pem { .. } => "give a PEM file (`-----BEGIN ...`)",
            Self::NoCertificate(_) => "give the certificate of the authority",
            Self::NoAuthorities => "install the package ca-certificates, or name a file with `upstream_ca`",
            Self::Protocol(_) => "this build supports no usable TLS version",
        }
    }
}

/// How a connection to an upstream is verified.
pub(super) fn client(
    trust: &UpstreamTrust,
    protocol: Option<UpstreamProtocol>,
) -> Result<ClientConfig, TlsFault> {
    let mut roots = RootCertStore::empty();
    match trust {
        UpstreamTrust::Authorities(path) => {
            let (added, _) = roots.add_parsable_certificates(certificates(path)?);
            if added == 0 {
                return Err(TlsFault::NoCertificate(path.clone()));
            }
        }
        UpstreamTrust::System | UpstreamTrust::InsecureNone => {
            let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                return Err(TlsFault::NoAuthorities);
            }
        }
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = config.map_err(TlsFault::Protocol)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = match protocol {
        Some(UpstreamProtocol::H2) => vec![b"h2".to_vec()],
        Some(UpstreamProtocol::Http1) => vec![b"http/1.1".to_vec()],
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = |error| TlsFault::Pem { path: path.to_owned(), error };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)?;
    if chain.is_empty() { Err(TlsFault::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
