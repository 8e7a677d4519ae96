//! A wallet's URL: its kind, its place and what else it has to be told,
//! `lnd+https://127.0.0.1:8080?macaroon=FILE&cert=FILE`.

use std::fmt;
use std::path::PathBuf;

use l402_lightning::{Backend, Network, Secret, Setting, SettingKind, SettingValue, Settings, Side};
use reqwest::Url;
use thiserror::Error;

/// Short forms of whole wallet URLs.
const ALIASES: &[(&str, &str)] = &[("loopback:", "lnd+http://127.0.0.1:8403")];

/// Short forms of parameters.
const SHORT_NAMES: &[(&str, &str)] = &[("cert", "certificate"), ("danger-plain-http", "danger_plain_http")];

/// Which wallet to open, and with what.
#[derive(Debug, Clone)]
pub struct WalletAddress {
    pub(super) backend: &'static Backend,
    pub(super) settings: Settings,
    /// `wallet-fees`: for wallets that keep no fee limit, the cap bounds the amount alone.
    pub(super) accepts_wallet_fees: bool,
    scheme: String,
    /// Host and port, or whatever else names the place without being a secret.
    place: String,
}

/// Settings that come from elsewhere than the URL: from the environment. The URL's own come first.
#[derive(Debug, Clone, Default)]
pub struct WalletCredentials {
    named: Vec<(String, Secret)>,
}

/// Why a text is no wallet URL. It may hold a secret, so it is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalletAddressError {
    /// Not `kind:` or `kind://host:port?...`.
    #[error("not a wallet URL")]
    Form,
    /// No backend pays through URLs of this kind.
    #[error("unknown wallet kind `{0}`")]
    UnknownKind(String),
    /// This kind needs `//host:port` after the `:`.
    #[error("the wallet URL names no place")]
    NoPlace,
    /// A setting after the `?` that this kind of wallet does not have.
    #[error("unknown setting `{0}` in the wallet URL")]
    Setting(String),
    /// A network that does not exist.
    #[error("unknown network in the wallet URL")]
    Network,
    /// A user name or password: credentials come from files or the environment.
    #[error("the wallet URL must not hold a password")]
    Password,
}

/// How the URLs of the wallets of these backends begin.
pub fn wallet_schemes(backends: &[&'static Backend]) -> impl Iterator<Item = String> {
    let schemes = backends.iter().filter(|backend| backend.payer.is_some());
    let schemes = schemes.flat_map(|backend| backend.wallet_schemes);
    ALIASES.iter().map(|(short, _)| (*short).to_owned()).chain(schemes.map(|scheme| format!("{scheme}:")))
}

impl WalletCredentials {
    /// Adds the value of a setting: a secret, or the path of a file.
    #[must_use]
    pub fn with(mut self, setting: impl Into<String>, value: Secret) -> Self {
        self.named.push((setting.into(), value));
        self
    }

    fn of(&self, setting: &str) -> Option<&Secret> {
        let named = |name: &str| long_name(name) == setting;
        self.named.iter().find(|(name, _)| named(name)).map(|(_, value)| value)
    }
}

fn long_name(name: &str) -> &str {
    SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| *long)
}

impl WalletAddress {
    /// Reads a wallet URL for one of `backends`.
    pub fn parse(
        text: &str,
        backends: &[&'static Backend],
        credentials: &WalletCredentials,
    ) -> Result<Self, WalletAddressError> {
        // One wallet has one name, however it is called.
        let alias = ALIASES.iter().find(|(short, _)| *short == text);
        let text = alias.map_or(text, |(_, whole)| whole);
        let (scheme, rest) = text.split_once(':').ok_or(WalletAddressError::Form)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'+';
        if scheme.is_empty() || !scheme.bytes().all(plain) {
            return Err(WalletAddressError::Form);
        }
        let payers = backends.iter().filter(|backend| backend.payer.is_some());
        let backend = payers.copied().find(|backend| backend.wallet_schemes.contains(&scheme));
        let backend = backend.ok_or_else(|| WalletAddressError::UnknownKind(scheme.to_owned()))?;
        let mut settings = Settings::new(None);
        // `lnd` is its native interface, `lnd+https` the one over plain HTTP requests.
        if scheme.contains('+') && backend.settings.iter().any(|setting| setting.name == "transport") {
            settings.set("transport", SettingValue::Text("rest".to_owned()));
        }
        let mut address = Self {
            backend,
            settings,
            accepts_wallet_fees: false,
            scheme: scheme.to_owned(),
            place: String::new(),
        };
        if backend.settings.iter().any(|setting| setting.name == "uri") {
            address.read_uri(text, rest)?;
        } else {
            address.read_url(rest)?;
        }
        for setting in address.backend.settings.iter().filter(|setting| setting.side != Side::Seller) {
            address.take(setting, credentials);
        }
        Ok(address)
    }

    /// The kind: the part before `:`.
    pub fn kind(&self) -> &str {
        &self.scheme
    }

    /// The whole text is the credential; what stands before the `?` is not.
    fn read_uri(&mut self, text: &str, rest: &str) -> Result<(), WalletAddressError> {
        let (place, query) = rest.split_once('?').ok_or(WalletAddressError::Form)?;
        place.trim_start_matches('/').clone_into(&mut self.place);
        let url = Url::parse(&format!("uri:?{query}")).map_err(|_| WalletAddressError::Form)?;
        for (name, value) in url.query_pairs() {
            match &*name {
                "network" => self.set_network(&value)?,
                "wallet-fees" => self.accepts_wallet_fees = true,
                _ => {}
            }
        }
        self.settings.set("uri", SettingValue::Secret(Secret::from_text(text)));
        Ok(())
    }

    /// A place like any URL's, and parameters that are the backend's settings.
    fn read_url(&mut self, rest: &str) -> Result<(), WalletAddressError> {
        if rest.is_empty() {
            return Err(WalletAddressError::NoPlace);
        }
        let transport = self.scheme.rsplit_once('+').map_or("https", |(_, transport)| transport);
        let mut place = Url::parse(&format!("{transport}:{rest}")).map_err(|_| WalletAddressError::Form)?;
        if !rest.starts_with("//") || !place.has_host() {
            return Err(WalletAddressError::Form);
        }
        if !place.username().is_empty() || place.password().is_some() {
            return Err(WalletAddressError::Password);
        }
        let port = place.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        self.place = format!("{}{port}", place.host_str().unwrap_or_default());
        // A connection string that brings its credentials along goes to its backend as it is.
        if self.scheme == "lndconnect" {
            let text = format!("{}:{rest}", self.scheme);
            self.settings.set("address", SettingValue::Text(text));
            return Ok(());
        }
        for (name, value) in place.query_pairs() {
            self.parameter(&name, &value)?;
        }
        place.set_query(None);
        place.set_fragment(None);
        self.settings.set("address", SettingValue::Text(place.as_str().trim_end_matches('/').to_owned()));
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: &str) -> Result<(), WalletAddressError> {
        if name == "network" {
            return self.set_network(value);
        }
        if name == "wallet-fees" {
            self.accepts_wallet_fees = true;
            return Ok(());
        }
        let name = long_name(name);
        if name == "danger_plain_http" {
            self.settings.set("danger_plain_http", SettingValue::Flag(true));
            return Ok(());
        }
        let mut known = self.backend.settings.iter();
        let is_meant = |setting: &&Setting| {
            setting.name == name && setting.side != Side::Seller && setting.kind != SettingKind::Url
        };
        let setting = known.find(is_meant).ok_or_else(|| WalletAddressError::Setting(name.to_owned()))?;
        let value = match setting.kind {
            SettingKind::File | SettingKind::Secret => SettingValue::File(PathBuf::from(value)),
            SettingKind::Url | SettingKind::Text => SettingValue::Text(value.to_owned()),
            SettingKind::Flag => SettingValue::Flag(value != "false"),
        };
        self.settings.set(setting.name, value);
        Ok(())
    }

    fn set_network(&mut self, name: &str) -> Result<(), WalletAddressError> {
        let network: Network = name.parse().map_err(|_| WalletAddressError::Network)?;
        self.settings.network = Some(network);
        Ok(())
    }

    /// Takes a setting from the credentials where the URL does not give it.
    fn take(&mut self, setting: &Setting, credentials: &WalletCredentials) {
        if self.settings.has(setting.name) {
            return;
        }
        let Some(secret) = credentials.of(setting.name) else { return };
        let value = match setting.kind {
            SettingKind::Secret => Some(SettingValue::Secret(secret.clone())),
            SettingKind::File => secret.text().map(|path| SettingValue::File(PathBuf::from(path))),
            SettingKind::Url | SettingKind::Text | SettingKind::Flag => None,
        };
        if let Some(value) = value {
            self.settings.set(setting.name, value);
        }
    }
}

/// The wallet's name: kind and place, without files, settings and secrets.
impl fmt::Display for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WalletAddress, WalletAddressError> {
        WalletAddress::parse(text, l402_backends::ALL, &WalletCredentials::default())
    }

    #[test]
    fn kind_place_and_settings_are_told_apart() {
        let address = parse("lnd+https://node.example:8080?macaroon=/m&cert=/c&network=regtest").unwrap();
        assert_eq!(address.kind(), "lnd+https");
        assert_eq!(address.settings.text("address"), Some("https://node.example:8080"));
        assert_eq!(address.settings.file("macaroon"), Some("/m".as_ref()));
        assert_eq!(address.settings.file("certificate"), Some("/c".as_ref()));
        assert_eq!(address.settings.network, Some(Network::Regtest));
        assert_eq!(address.to_string(), "lnd+https://node.example:8080");
        assert_eq!(parse("loopback:").unwrap().to_string(), "lnd+http://127.0.0.1:8403");
    }

    #[test]
    fn the_environment_fills_in_what_the_url_does_not_say() {
        let credentials = WalletCredentials::default()
            .with("macaroon", Secret::from_text("00ff"))
            .with("cert", Secret::from_text("/c"));
        let parse = |text| WalletAddress::parse(text, l402_backends::ALL, &credentials).unwrap();
        let address = parse("lnd://h:1");
        assert!(address.settings.secret("macaroon").unwrap().is_some());
        assert_eq!(address.settings.file("certificate"), Some("/c".as_ref()));
        assert_eq!(parse("lnd://h:1?macaroon=/m").settings.file("macaroon"), Some("/m".as_ref()));
        assert!(!format!("{address:?}").contains("00ff"));
    }

    #[test]
    fn a_connection_string_is_a_secret_but_for_its_place() {
        let text = "nostr+walletconnect://b889?relay=wss://relay.example&secret=71a8&network=regtest";
        let address = parse(text).unwrap();
        assert_eq!(address.to_string(), "nostr+walletconnect://b889");
        assert_eq!(address.settings.network, Some(Network::Regtest));
        assert_eq!(address.settings.secret("uri").unwrap().unwrap().text(), Some(text));
        assert!(!format!("{address:?}").contains("71a8"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(error("loopback"), WalletAddressError::Form);
        assert_eq!(error("LND://x"), WalletAddressError::Form);
        assert_eq!(error("lnd+http:"), WalletAddressError::NoPlace);
        assert_eq!(error("lnd+http:127.0.0.1"), WalletAddressError::Form);
        assert_eq!(error("lnd+http://u:p@h"), WalletAddressError::Password);
        assert_eq!(error("lnd+http://h?macaron=x"), WalletAddressError::Setting("macaron".to_owned()));
        assert_eq!(error("lnd+http://h?network=moonnet"), WalletAddressError::Network);
        assert_eq!(error("lightning://h"), WalletAddressError::UnknownKind("lightning".to_owned()));
    }
}
