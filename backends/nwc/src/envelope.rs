//! Events between us and the wallet: sealed, and opened only if the wallet wrote them.

use crate::uri::WalletUri;
use nostr::{
    event::{Event, EventBuilder, EventId, FinalizeEvent as _, Kind, Tag},
    filter::Filter,
    key::{Keys, PublicKey},
    nips::{nip04, nip44, nip47::Nip47Ciphers},
    types::Timestamp,
};

/// The tag that names the encryption, of the info event and of requests.
const ENCRYPTION: &str = "encryption";

/// How contents are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// NIP-44, version 2.
    Nip44,
    /// NIP-04, for wallets that know no other.
    Nip04,
}

/// The wallet knows no encryption that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownCipher;

/// Our key, and the wallet's.
pub(crate) struct Envelope {
    keys: Keys,
    wallet: PublicKey,
}

/// An answer of the wallet.
pub(crate) struct Answer {
    /// Its text.
    pub(crate) text: String,
    /// When the wallet wrote it, in Unix seconds by its clock.
    pub(crate) written_at: u64,
}

impl Envelope {
    pub(crate) fn new(uri: &WalletUri) -> Self {
        Self { keys: Keys::new(uri.secret.clone()), wallet: uri.wallet }
    }

    /// A request to the wallet; `None` if it cannot be encrypted. After `expires_at`, in Unix seconds, the wallet and the
    /// relay ignore it (NIP-40, NIP-47).
    pub(crate) fn seal(&self, cipher: Cipher, text: &str, expires_at: Option<u64>) -> Option<Event> {
        let key = self.keys.secret_key();
        let content = match cipher {
            Cipher::Nip44 => nip44::encrypt(key, &self.wallet, text, nip44::Version::V2),
            Cipher::Nip04 => nip04::encrypt(key, &self.wallet, text),
        };
        // Wallets that know only NIP-04 know no such tag either.
        let encryption = (cipher == Cipher::Nip44).then(|| Tag::custom(ENCRYPTION, ["nip44_v2"]));
        EventBuilder::new(Kind::WalletConnectRequest, content.ok()?)
            .tag(Tag::public_key(self.wallet))
            .tag_maybe(encryption)
            .tag_maybe(expires_at.map(|secs| Tag::expiration(Timestamp::from_secs(secs))))
            .finalize(&self.keys)
            .ok()
    }

    /// What answers a request.
    pub(crate) fn answers(&self, request: EventId) -> Filter {
        Filter::new().author(self.wallet).kind(Kind::WalletConnectResponse).event(request)
    }

    /// What tells of payments. A stored one is of no use, but some relays take no limit of 0.
    pub(crate) fn news(&self) -> Filter {
        let kinds = [Kind::WalletConnectNotificationNip44V2, Kind::WalletConnectNotification];
        Filter::new().author(self.wallet).kinds(kinds).pubkey(self.keys.public_key()).limit(1)
    }

    /// What says which encryption the wallet knows.
    pub(crate) fn info(&self) -> Filter {
        Filter::new().author(self.wallet).kind(Kind::WalletConnectInfo).limit(1)
    }

    /// Opens an event that is to answer `request`; `None` if the wallet did not write it as an answer to that.
    pub(crate) fn open(&self, cipher: Cipher, event: &Event, request: EventId) -> Option<Answer> {
        let is_answer = event.kind == Kind::WalletConnectResponse
            && event.tags.event_ids().any(|id| id == request)
            && self.is_for_us(event)
            && self.is_the_wallets(event);
        if !is_answer {
            return None;
        }
        let key = self.keys.secret_key();
        let text = match cipher {
            Cipher::Nip44 => nip44::decrypt(key, &self.wallet, &event.content),
            Cipher::Nip04 => nip04::decrypt(key, &self.wallet, event.content.as_str()),
        };
        Some(Answer { text: text.ok()?, written_at: event.created_at.as_secs() })
    }

    /// Whether the wallet has something to tell. What it tells is asked for, not read from the notification.
    pub(crate) fn is_news(&self, event: &Event) -> bool {
        let is_notification =
            matches!(event.kind, Kind::WalletConnectNotificationNip44V2 | Kind::WalletConnectNotification);
        is_notification && self.is_for_us(event) && self.is_the_wallets(event)
    }

    /// The best encryption that an info event offers; `None` if the wallet did not write one.
    pub(crate) fn offered(&self, event: &Event) -> Option<Result<Cipher, UnknownCipher>> {
        if event.kind != Kind::WalletConnectInfo || !self.is_the_wallets(event) {
            return None;
        }
        let Some(tag) = event.tags.iter().find(|tag| tag.kind() == ENCRYPTION) else {
            // "Absence of this tag implies that the wallet only supports nip04."
            return Some(Ok(Cipher::Nip04));
        };
        let known = tag.content().and_then(|names| names.parse::<Nip47Ciphers>().ok());
        let best = |known: Nip47Ciphers| {
            if known.has(Nip47Ciphers::NIP44V2) { Cipher::Nip44 } else { Cipher::Nip04 }
        };
        Some(known.map(best).ok_or(UnknownCipher))
    }

    /// NIP-47 only recommends a `p` tag; where there is one, it is ours.
    fn is_for_us(&self, event: &Event) -> bool {
        event.tags.public_keys().all(|key| key == self.keys.public_key())
    }

    fn is_the_wallets(&self, event: &Event) -> bool {
        event.pubkey == self.wallet && event.verify().is_ok()
    }
}

/// The time, in Unix seconds.
pub(crate) fn now() -> u64 {
    Timestamp::now().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostr::key::SecretKey;

    fn keys(seed: u8) -> Keys {
        Keys::new(SecretKey::from_slice(&[seed; 32]).unwrap())
    }

    fn envelope(own: u8, other: u8) -> Envelope {
        Envelope { keys: keys(own), wallet: keys(other).public_key() }
    }

    fn answer(writer: u8, reader: u8, tags: Vec<Tag>) -> Event {
        let content = nip44::encrypt(
            keys(writer).secret_key(),
            &keys(reader).public_key(),
            "hello",
            nip44::Version::V2,
        );
        EventBuilder::new(Kind::WalletConnectResponse, content.unwrap())
            .tags(tags)
            .finalize(&keys(writer))
            .unwrap()
    }

    #[test]
    fn only_the_wallets_answer_to_this_request_is_opened() {
        let ours = envelope(1, 2);
        let request = ours.seal(Cipher::Nip44, "{}", Some(9)).unwrap();
        assert_eq!(request.tags.expiration(), Some(Timestamp::from_secs(9)));
        let (right, other) = (Tag::event(request.id), Tag::event(EventId::from_byte_array([7; 32])));
        let to = |seed| Tag::public_key(keys(seed).public_key());
        let open = |event: &Event| ours.open(Cipher::Nip44, event, request.id).map(|answer| answer.text);
        for tags in [vec![right.clone()], vec![right.clone(), to(1)]] {
            assert_eq!(open(&answer(2, 1, tags)), Some("hello".to_owned()));
        }
        assert_eq!(open(&answer(2, 1, vec![other])), None, "an answer to something else");
        assert_eq!(open(&answer(2, 1, vec![])), None, "an answer to nothing");
        assert_eq!(open(&answer(2, 1, vec![right.clone(), to(3)])), None, "an answer to somebody else");
        assert_eq!(open(&answer(3, 1, vec![right.clone()])), None, "somebody else's answer");
        assert_eq!(open(&answer(2, 3, vec![right.clone()])), None, "encrypted for somebody else");
        let mut forged = answer(2, 1, vec![right.clone()]);
        forged.content = answer(2, 1, vec![right.clone()]).content;
        assert_eq!(open(&forged), None, "content that was exchanged");
        let mut unsigned = answer(2, 1, vec![right.clone()]);
        unsigned.sig = answer(2, 1, vec![right]).sig;
        assert_eq!(open(&unsigned), None, "another event's signature");
    }

    #[test]
    fn the_best_encryption_that_the_wallet_offers_is_used() {
        let ours = envelope(1, 2);
        let info = |writer: u8, offered: Option<&str>| {
            EventBuilder::new(Kind::WalletConnectInfo, "pay_invoice")
                .tag_maybe(offered.map(|names| Tag::custom(ENCRYPTION, [names])))
                .finalize(&keys(writer))
                .unwrap()
        };
        for (offered, cipher) in [
            (Some("nip44_v2 nip04"), Ok(Cipher::Nip44)),
            (Some("nip04 nip44_v2"), Ok(Cipher::Nip44)),
            (Some("nip04"), Ok(Cipher::Nip04)),
            (Some("nip99 nip04"), Ok(Cipher::Nip04)),
            (Some("nip99"), Err(UnknownCipher)),
            (None, Ok(Cipher::Nip04)),
        ] {
            assert_eq!(ours.offered(&info(2, offered)), Some(cipher), "{offered:?}");
        }
        assert_eq!(ours.offered(&info(3, Some("nip04"))), None, "somebody else's info");
    }
}
