//! The connection URI: who the wallet is, where it listens, and the key that stands for us.

use l402_lightning::{OpenError, Settings};
use nostr::{
    key::{PublicKey, SecretKey},
    nips::nip47::NostrWalletConnectUri,
    types::url::{RelayUrl, RelayUrlScheme},
};

/// The setting that holds it.
pub(crate) const SETTING: &str = "uri";

/// Most relays that are tried, in the order of the URI.
const RELAYS_MAX: usize = 4;

/// A connection URI, taken apart. It has no `Debug`, so that it cannot be printed.
pub(crate) struct WalletUri {
    pub(crate) wallet: PublicKey,
    pub(crate) secret: SecretKey,
    pub(crate) relays: Vec<RelayUrl>,
}

impl WalletUri {
    /// Reads the setting. Every relay has to be one that the key may be shown to: `wss`, or on this machine.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, OpenError> {
        let form = || OpenError::Form { setting: SETTING, expected: "a nostr+walletconnect:// URI" };
        let text = settings.required_secret(SETTING)?;
        let uri = NostrWalletConnectUri::parse(text.text().ok_or_else(form)?).map_err(|_| form())?;
        if uri.public_key.xonly().is_err() {
            return Err(form());
        }
        if uri.relays.iter().any(|relay| relay.scheme() == RelayUrlScheme::Ws && !relay.is_localhost()) {
            return Err(OpenError::PlainHttp(SETTING));
        }
        let relays = uri.relays.into_iter().take(RELAYS_MAX).collect();
        Ok(Self { wallet: uri.public_key, secret: uri.secret, relays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::{Secret, SettingValue};

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    fn read(uri: &str) -> Result<WalletUri, OpenError> {
        let secret = SettingValue::Secret(Secret::from_text(uri));
        WalletUri::from_settings(&Settings::new(None).with(SETTING, secret))
    }

    fn with_relay(relay: &str) -> Result<WalletUri, OpenError> {
        read(&format!("nostr+walletconnect://{WALLET}?relay={relay}&secret={SECRET}"))
    }

    #[test]
    fn the_example_of_the_nip_is_read() {
        let uri = with_relay("wss%3A%2F%2Frelay.damus.io").unwrap();
        assert_eq!(uri.wallet.to_hex(), WALLET);
        assert_eq!(uri.secret.to_secret_hex(), SECRET);
        assert_eq!(uri.relays, [RelayUrl::parse("wss://relay.damus.io").unwrap()]);
    }

    #[test]
    fn a_relay_without_tls_is_on_this_machine() {
        for local in ["ws://127.0.0.1:7000", "ws://localhost:7000", "ws://[::1]:7000"] {
            assert!(with_relay(local).is_ok(), "{local}");
        }
        for remote in
            ["ws://relay.example", "ws://10.0.0.1:7000", "wss://relay.example&relay=ws://relay.example"]
        {
            assert!(matches!(with_relay(remote), Err(OpenError::PlainHttp("uri"))), "{remote}");
        }
    }

    #[test]
    fn what_is_no_uri_is_refused_without_showing_it() {
        let broken = [
            format!("nostr+walletconnect://{WALLET}?secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?relay=wss://relay.example"),
            format!("nostr+walletconnect://{}?relay=wss://relay.example&secret={SECRET}", "0".repeat(64)),
            format!("https://{WALLET}?relay=wss://relay.example&secret={SECRET}"),
            format!("nostr+walletconnect://wallet?relay=wss://relay.example&secret={SECRET}"),
            SECRET.to_owned(),
        ];
        for uri in broken {
            let Err(error) = read(&uri) else { panic!("{uri} has to be refused") };
            assert!(matches!(error, OpenError::Form { setting: "uri", .. }), "{error}");
            assert!(!format!("{error:?} {error}").contains(SECRET));
        }
    }
}
