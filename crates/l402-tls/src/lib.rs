//! Whom a TLS connection trusts: the system's authorities, or exactly the certificates a person named.
//!
//! A named certificate is trusted as an authority and, byte for byte, as the server's own. The second is for Lightning
//! nodes: lnd's self-signed certificate says `CA:TRUE`, which web PKI refuses at the end of a chain. A pinned
//! certificate needs no matching name; the handshake's signature is checked in every case.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;

/// Whom to trust.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The authorities that the system trusts.
    System,
    /// The certificates in a PEM file, and nobody else.
    Only(PathBuf),
}

/// Why no TLS settings could be made.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of certificates cannot be read, or holds none.
    #[error("{path} holds no certificate that can be read")]
    File {
        /// The file.
        path: PathBuf,
    },
    /// The system has no usable authorities.
    #[error("the system trusts no certificate authority")]
    NoAuthorities,
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Trust {
    /// TLS settings for a client that speaks HTTP/2 or HTTP/1.1.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = match self {
            Self::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
            Self::Only(path) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier::of_named(path, &provider)?))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Settings that complete the handshake with whoever answers: nobody can listen, but somebody in between can pose as
    /// the server. For those who ask for that in so many words.
    pub fn anyone() -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let verifier = Arc::new(Verifier { whom: Whom::Anyone, algorithms });
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    /// Settings for connections that never use TLS; they trust nobody.
    pub fn nobody() -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // Single unreadable certificates are common in system stores and no reason to stop.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TrustError::NoAuthorities) } else { Ok(roots) }
}

/// Checks the handshake's signature, and the certificate as far as that is asked for.
#[derive(Debug)]
struct Verifier {
    whom: Whom,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Which certificates are good.
#[derive(Debug)]
enum Whom {
    Anyone,
    /// These, as authorities and as themselves.
    Named {
        certificates: Vec<CertificateDer<'static>>,
        /// `None` where none of them can be an authority.
        chains: Option<Arc<WebPkiServerVerifier>>,
    },
}

impl Verifier {
    fn of_named(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let unreadable = || TrustError::File { path: path.to_owned() };
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|_| unreadable())?;
        if certificates.is_empty() {
            return Err(unreadable());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let chains =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        let whom = Whom::Named { certificates, chains };
        Ok(Self { whom, algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.whom {
            Whom::Anyone => Ok(ServerCertVerified::assertion()),
            Whom::Named { certificates, .. } if certificates.iter().any(|named| named == end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            Whom::Named { chains: Some(chains), .. } => {
                chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Whom::Named { chains: None, .. } => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a failed connection failed because the other side's certificate is not trusted.
pub fn is_certificate_fault(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error hides the one that it wraps from `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let named = |error: &(dyn std::error::Error + 'static)| {
            matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
        };
        if named(error) || inner.is_some_and(|inner| is_certificate_fault(inner)) {
            return true;
        }
        cause = error.source();
    }
    false
}
