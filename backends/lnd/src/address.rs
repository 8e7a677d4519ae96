//! Where lnd's gRPC interface is: `https://host:port`, or an `lndconnect://` URI, which brings the credential along.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use l402_lightning::{OpenError, Secret, SettingValue, Settings};
use l402_node_http::Place;
use std::fmt;
use zeroize::Zeroizing;

/// How the URI begins that wallets take a node's address, certificate and macaroon from, often as a QR code
/// (<https://github.com/LN-Zap/lndconnect/blob/master/lnd_connect_uri.md>).
const LNDCONNECT: &str = "lndconnect://";
/// The port of lnd's gRPC interface where an `lndconnect://` URI names none.
const GRPC_PORT: u16 = 10009;
/// The URI's way of writing bytes; some tools pad it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where lnd's gRPC interface is, and what came with the address.
#[derive(Debug)]
pub(crate) struct Address {
    /// Name or IP address; an IPv6 address without brackets.
    pub(crate) host: Box<str>,
    /// TCP port.
    pub(crate) port: u16,
    /// Whether it is spoken to without TLS.
    pub(crate) is_plain: bool,
    /// What an `lndconnect://` URI brings along.
    pub(crate) enclosed: Enclosed,
}

/// What an `lndconnect://` URI brings along; nothing for other addresses.
#[derive(Default)]
pub(crate) struct Enclosed {
    /// The certificate in DER form.
    pub(crate) certificate: Option<Vec<u8>>,
    /// The macaroon in binary form.
    pub(crate) macaroon: Option<Secret>,
}

impl Address {
    /// Reads the setting `address`.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, OpenError> {
        let text = settings.required_text("address")?;
        if let Some(rest) = text.strip_prefix(LNDCONNECT) {
            return Self::from_lndconnect(rest, settings);
        }
        Self::from_place(&Place::from_setting(settings, "address")?, Enclosed::default())
    }

    /// As a URL's authority.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Reads what follows after `lndconnect://`.
    fn from_lndconnect(rest: &str, settings: &Settings) -> Result<Self, OpenError> {
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.trim_end_matches('/');
        let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let url = if has_port {
            format!("https://{authority}")
        } else {
            format!("https://{authority}:{GRPC_PORT}")
        };
        let place = Settings::new(settings.network).with("address", SettingValue::Text(url));
        let place = Place::from_setting(&place, "address").map_err(|_| form())?;
        let mut enclosed = Enclosed::default();
        for (name, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
            let bytes = || BASE64.decode(value).map(Zeroizing::new).map_err(|_| form());
            match name {
                "cert" if !value.is_empty() => enclosed.certificate = Some(bytes()?.to_vec()),
                "macaroon" if !value.is_empty() => enclosed.macaroon = Some(Secret::from_bytes(bytes()?)),
                _ => {}
            }
        }
        Self::from_place(&place, enclosed)
    }

    fn from_place(place: &Place, enclosed: Enclosed) -> Result<Self, OpenError> {
        let url = place.url();
        let (Some(host), Some(port), "/") = (url.host_str(), url.port_or_known_default(), url.path()) else {
            return Err(form());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        Ok(Self { host, port, is_plain: place.is_plain(), enclosed })
    }
}

impl fmt::Debug for Enclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enclosed(..)")
    }
}

fn form() -> OpenError {
    OpenError::Form { setting: "address", expected: "a URL like https://host:10009, or an lndconnect:// URI" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, OpenError> {
        Address::from_settings(&Settings::new(None).with("address", SettingValue::Text(text.to_owned())))
    }

    #[test]
    fn a_url_names_host_and_port_and_nothing_else() {
        let node = address("https://node.example:10009").unwrap();
        assert_eq!((&*node.host, node.port, node.is_plain), ("node.example", 10009, false));
        let local = address("http://[::1]:10009/").unwrap();
        assert_eq!((&*local.host, local.is_plain), ("::1", true));
        assert_eq!(local.authority(), "[::1]:10009");
        assert!(matches!(address("http://node.example:10009"), Err(OpenError::PlainHttp("address"))));
        for none in ["node.example:10009", "https://node.example/path", "https://u:p@h:1", "lnd://h:1", ""] {
            assert!(matches!(address(none), Err(OpenError::Form { .. })), "{none}");
        }
        assert!(matches!(Address::from_settings(&Settings::new(None)), Err(OpenError::Missing("address"))));
    }

    #[test]
    fn an_lndconnect_uri_brings_certificate_and_macaroon() {
        let node = address("lndconnect://127.0.0.1:10019?cert=MIIB_w&macaroon=AgEDbG5k_-8=").unwrap();
        assert_eq!(node.authority(), "127.0.0.1:10019");
        assert_eq!(node.enclosed.certificate.as_deref(), Some(&[0x30, 0x82, 0x01, 0xff][..]));
        let macaroon = node.enclosed.macaroon.as_ref().unwrap();
        assert_eq!(macaroon.expose(), [2, 1, 3, b'l', b'n', b'd', 0xff, 0xef]);
        let bare = address("lndconnect://node.example/?macaroon=AgED").unwrap();
        assert_eq!((bare.port, bare.enclosed.certificate), (10009, None));
        assert_eq!(address("lndconnect://[::1]?macaroon=AgED").unwrap().authority(), "[::1]:10009");
        assert_eq!(address("lndconnect://h:443").unwrap().port, 443);
    }

    #[test]
    fn an_lndconnect_uri_is_a_secret() {
        let node = address("lndconnect://h:1?cert=MIIB&macaroon=c2VzYW1l").unwrap();
        assert!(!format!("{node:?}").contains("c2VzYW1l"), "{node:?}");
        assert!(!format!("{node:?}").contains("sesame"), "{node:?}");
        for broken in ["lndconnect://h:1?macaroon=c2VzYW1l!", "lndconnect://h:x?macaroon=c2VzYW1l"] {
            let error = address(broken).unwrap_err();
            assert!(!format!("{error} {error:?} {}", error.hint()).contains("c2VzYW1l"), "{error}");
        }
    }
}
