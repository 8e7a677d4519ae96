//! What a connection to lnd needs besides its address: the macaroon as it is sent, and whom to trust.

use crate::address::{Address, Enclosed};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use l402_lightning::{OpenError, Secret, Settings};
use l402_tls::{Trust, TrustError};
use rustls::ClientConfig;
use std::io::{self, Write as _};

/// The macaroon, in hex, as gRPC metadata: from the setting `macaroon` or the `lndconnect://` URI.
pub(crate) fn macaroon(settings: &Settings, enclosed: &Enclosed) -> Result<HeaderValue, OpenError> {
    let secret: Secret = match &enclosed.macaroon {
        Some(macaroon) => macaroon.clone(),
        None => settings.required_secret("macaroon")?,
    };
    let mut value = HeaderValue::try_from(secret.to_hex().as_str()).map_err(|_| OpenError::Form {
        setting: "macaroon",
        expected: "a macaroon, binary or in hexadecimal",
    })?;
    // Keeps it out of `Debug` and out of HPACK's tables.
    value.set_sensitive(true);
    Ok(value)
}

/// TLS that trusts the named certificate, or else the system's authorities; `None` where TLS is not spoken.
pub(crate) fn tls(settings: &Settings, address: &Address) -> Result<Option<ClientConfig>, OpenError> {
    if address.is_plain {
        return Ok(None);
    }
    let mut config = match (&address.enclosed.certificate, settings.file("certificate")) {
        (Some(der), _) => enclosed_trust(der)?,
        (None, Some(file)) => Trust::Only(file.to_owned()).client_config().map_err(trust_error)?,
        (None, None) => Trust::System.client_config().map_err(trust_error)?,
    };
    // gRPC is HTTP/2. A server that does not agree to it is not lnd's gRPC interface.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(config))
}

/// Trust in a certificate that came as bytes; what pins certificates reads them from a file.
fn enclosed_trust(der: &[u8]) -> Result<ClientConfig, OpenError> {
    let no_file = |error| OpenError::Unreadable { setting: "address", path: std::env::temp_dir(), error };
    let mut file = tempfile::NamedTempFile::new().map_err(no_file)?;
    let base64 = STANDARD.encode(der);
    write!(file, "-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").map_err(no_file)?;
    file.flush().map_err(no_file)?;
    Trust::Only(file.path().to_owned()).client_config().map_err(|_| OpenError::Form {
        setting: "address",
        expected: "an lndconnect:// URI with a certificate",
    })
}

fn trust_error(error: TrustError) -> OpenError {
    match error {
        TrustError::File { path } => OpenError::Unreadable {
            setting: "certificate",
            path,
            error: io::Error::new(io::ErrorKind::InvalidData, "no certificate in PEM form"),
        },
        TrustError::NoAuthorities | TrustError::Setup(_) => OpenError::Form {
            setting: "certificate",
            expected: "a PEM file (the system trusts no authority)",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::SettingValue;

    #[test]
    fn a_macaroon_is_sent_in_hex_and_not_printed() {
        let settings = Settings::new(None)
            .with("macaroon", SettingValue::Secret(Secret::from_bytes(vec![0x02, 0x01, 0xab])));
        let value = macaroon(&settings, &Enclosed::default()).unwrap();
        assert_eq!(value.to_str().unwrap(), "0201ab");
        assert!(!format!("{value:?}").contains("0201ab"));
        let enclosed = Enclosed { macaroon: Some(Secret::from_bytes(vec![0xcd])), certificate: None };
        assert_eq!(macaroon(&settings, &enclosed).unwrap().to_str().unwrap(), "cd");
        let missing = macaroon(&Settings::new(None), &Enclosed::default());
        assert!(matches!(missing, Err(OpenError::Missing("macaroon"))));
    }
}
