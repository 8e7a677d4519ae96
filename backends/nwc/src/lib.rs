//! A wallet behind [Nostr Wallet Connect](https://github.com/nostr-protocol/nips/blob/master/47.md) (NIP-47), as the
//! node that is paid and the node that pays.
//!
//! Events, keys and both encryptions are the crate `nostr`; the line to the relay is a small websocket client of our own.
//! The client crate `nwc` 0.45.2 drops every notification, hides error codes, sets no `expiration`, and brings a relay pool.
//!
//! The connection URI is the credential. Its scopes are set in the wallet; the least that works is
//! - for a seller: `get_info`, `make_invoice`, `lookup_invoice`, `list_transactions`, and the notification
//!   `payment_received`;
//! - for a buyer: `get_info`, `lookup_invoice`, `pay_invoice`, with a budget. NIP-47 knows no fee limit: the budget is the
//!   one limit that the wallet keeps.
//!
//! A relay is trusted with nothing: what it delivers counts only if the wallet signed it, encrypted it for us, and
//! answers the very request that was sent. A relay that withholds the wallet's info event can bring NIP-04 about
//! instead of NIP-44; both hide the content from it.
//!
//! This crate is an edge: events carry the time at which they are written (NIP-01), and encryption draws nonces.

mod envelope;
mod feed;
mod invoicer;
mod line;
mod payer;
mod record;
mod relay;
mod trouble;
mod uri;
mod wallet;

use l402_lightning::{Backend, Proof, Setting, SettingKind, Side};

/// A wallet behind Nostr Wallet Connect.
pub const BACKEND: Backend = Backend {
    name: "nwc",
    about: "A wallet behind Nostr Wallet Connect (NIP-47).",
    settings: SETTINGS,
    invoicer: Some(invoicer::open),
    payer: Some(payer::open),
    wallet_schemes: &["nostr+walletconnect"],
    // The wallet may be a custodian's, and other connections to it may look preimages of unpaid invoices up.
    proof: Proof::Settled,
};

const SETTINGS: &[Setting] = &[Setting {
    name: uri::SETTING,
    kind: SettingKind::Secret,
    side: Side::Both,
    absent: None,
    doc: "The connection URI that the wallet made for this use (`nostr+walletconnect://...`). The whole of it is \
          secret. Relays have to be `wss://`, or `ws://` on this machine.",
    example: "/etc/octroi/nwc-uri",
}];
