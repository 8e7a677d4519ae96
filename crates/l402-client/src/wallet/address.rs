//! A wallet's URL: its kind and its place, `lnd+https://127.0.0.1:8080?macaroon=FILE&cert=FILE`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use l402_lightning::Network;
use reqwest::Url;
use thiserror::Error;

/// Short forms of whole wallet URLs.
pub(super) const ALIASES: &[(&str, &str)] = &[("loopback:", "lnd+http://127.0.0.1:8403")];

/// Where the wallet is, what kind it is, and where its credentials lie. Holds no secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletAddress {
    kind: String,
    /// The part after the kind, as a URL: none for kinds with a fixed place.
    place: Option<Url>,
    /// A file with the credential.
    pub(crate) macaroon: Option<PathBuf>,
    /// A file with the certificate to trust.
    pub(crate) certificate: Option<PathBuf>,
    /// The network, for credentials that may not ask the node.
    pub(crate) network: Option<Network>,
    /// Plain HTTP to another machine was asked for by name.
    pub(crate) danger_plain_http: bool,
}

/// Why a text is no wallet URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalletAddressError {
    /// Not `kind:` or `kind://host:port?...`.
    #[error("not a wallet URL")]
    Form,
    /// A setting after the `?` that is not known.
    #[error("unknown setting `{0}` in the wallet URL")]
    Setting(String),
    /// A network that does not exist.
    #[error("unknown network in the wallet URL")]
    Network,
    /// A user name or password: credentials come from files or the environment.
    #[error("the wallet URL must not hold a password")]
    Password,
}

impl WalletAddress {
    /// The kind: the part before `:`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The base URL after the transport in the kind: `lnd+http://host:1` is at `http://host:1`.
    pub(crate) fn place(&self) -> Option<&Url> {
        self.place.as_ref()
    }
}

impl FromStr for WalletAddress {
    type Err = WalletAddressError;

    fn from_str(text: &str) -> Result<Self, WalletAddressError> {
        // One wallet has one name, however it is called.
        let alias = ALIASES.iter().find(|(short, _)| *short == text);
        let text = alias.map_or(text, |(_, whole)| whole);
        let (kind, rest) = text.split_once(':').ok_or(WalletAddressError::Form)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'+';
        if kind.is_empty() || !kind.bytes().all(plain) {
            return Err(WalletAddressError::Form);
        }
        let mut address = Self {
            kind: kind.to_owned(),
            place: None,
            macaroon: None,
            certificate: None,
            network: None,
            danger_plain_http: false,
        };
        if rest.is_empty() {
            return Ok(address);
        }
        let transport = kind.rsplit_once('+').map_or("https", |(_, transport)| transport);
        let mut place = Url::parse(&format!("{transport}:{rest}")).map_err(|_| WalletAddressError::Form)?;
        if !rest.starts_with("//") || !place.has_host() {
            return Err(WalletAddressError::Form);
        }
        if !place.username().is_empty() || place.password().is_some() {
            return Err(WalletAddressError::Password);
        }
        for (name, value) in place.query_pairs() {
            match &*name {
                "macaroon" => address.macaroon = Some(PathBuf::from(&*value)),
                "cert" => address.certificate = Some(PathBuf::from(&*value)),
                "network" => {
                    address.network = Some(value.parse().map_err(|_| WalletAddressError::Network)?);
                }
                "danger-plain-http" => address.danger_plain_http = true,
                other => return Err(WalletAddressError::Setting(other.to_owned())),
            }
        }
        place.set_query(None);
        place.set_fragment(None);
        address.place = Some(place);
        Ok(address)
    }
}

/// The wallet's name: kind and place, without files and settings.
impl fmt::Display for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "{}:", self.kind),
            Some(place) => {
                let host = place.host_str().unwrap_or_default();
                write!(f, "{}://{host}", self.kind)?;
                if let Some(port) = place.port_or_known_default() {
                    write!(f, ":{port}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_place_and_settings_are_told_apart() {
        let address: WalletAddress =
            "lnd+https://node.example:8080?macaroon=/m&cert=/c&network=regtest".parse().unwrap();
        assert_eq!(address.kind(), "lnd+https");
        assert_eq!(address.place().unwrap().as_str(), "https://node.example:8080/");
        assert_eq!(address.macaroon, Some(PathBuf::from("/m")));
        assert_eq!(address.certificate, Some(PathBuf::from("/c")));
        assert_eq!(address.network, Some(Network::Regtest));
        assert_eq!(address.to_string(), "lnd+https://node.example:8080");
        assert_eq!("loopback:".parse::<WalletAddress>().unwrap().to_string(), "lnd+http://127.0.0.1:8403");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error = |text: &str| text.parse::<WalletAddress>().unwrap_err();
        assert_eq!(error("loopback"), WalletAddressError::Form);
        assert_eq!(error("LND://x"), WalletAddressError::Form);
        assert_eq!(error("lnd+http:127.0.0.1"), WalletAddressError::Form);
        assert_eq!(error("lnd+http://u:p@h"), WalletAddressError::Password);
        assert_eq!(error("lnd+http://h?macaron=x"), WalletAddressError::Setting("macaron".to_owned()));
        assert_eq!(error("lnd+http://h?network=moonnet"), WalletAddressError::Network);
    }
}
