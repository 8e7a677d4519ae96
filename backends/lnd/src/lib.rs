//! lnd as the node that is paid and the node that pays.
//!
//! A seller speaks lnd's gRPC interface; a buyer that one or REST. The interface is lnd's own
//! (<https://lightning.engineering/api-docs/api/lnd/>), version 0.21; of its messages only the fields that matter are
//! declared here.
//!
//! Rules:
//! - The macaroon is sent to the node and shown nowhere. `invoice.macaroon` is enough to sell; least is
//!   `lncli bakemacaroon` with the URIs of `AddInvoice`, `LookupInvoice`, `SubscribeInvoices` and `CancelInvoice`.
//! - lnd's certificate is pinned: it names itself as an authority, which web PKI refuses.
//! - Every call has a deadline, every answer a largest size, and every field that is used is looked at.

mod address;
mod call;
mod channel;
mod credential;
mod fault;
mod feed;
mod invoicer;
mod line;
mod lines;
mod link;
mod messages;
mod payer;
mod rest;

use l402_lightning::{Backend, InvoicerOpening, Proof, Setting, SettingKind, Settings, Side};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// lnd.
pub const BACKEND: Backend = Backend {
    name: "lnd",
    about: "lnd over gRPC, for buyers over REST too.",
    settings: SETTINGS,
    invoicer: Some(|settings| open_invoicer(settings, Arc::new(system_clock))),
    payer: Some(payer::open),
    wallet_schemes: &["lnd", "lnd+https", "lnd+http", "lndconnect"],
    proof: Proof::Preimage,
};

/// Reads the time: unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Opens lnd as the node that is paid, with a clock of the caller's; [`BACKEND`] takes the system's. Connects to
/// nothing; the settings are those of [`BACKEND`], and the network has to be named.
///
/// The time tells an invoice that expired from one that was withdrawn, which lnd does not.
pub fn open_invoicer(settings: &Settings, clock: Clock) -> InvoicerOpening {
    invoicer::open(settings, clock)
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        kind: SettingKind::Url,
        side: Side::Both,
        absent: None,
        doc: "Where lnd's gRPC interface is (`rpclisten`), or a whole `lndconnect://` URI, which is a secret then.",
        example: "https://127.0.0.1:10009",
    },
    Setting {
        name: "certificate",
        kind: SettingKind::File,
        side: Side::Both,
        absent: Some("the system's authorities, or what the `lndconnect://` URI brings"),
        doc: "lnd's `tls.cert`, to be trusted and nothing else.",
        example: "/var/lib/lnd/tls.cert",
    },
    Setting {
        name: "macaroon",
        kind: SettingKind::Secret,
        side: Side::Both,
        absent: Some("what the `lndconnect://` URI brings"),
        doc: "The credential, binary or in hexadecimal. A seller needs no more than `invoice.macaroon`.",
        example: "/var/lib/lnd/data/chain/bitcoin/mainnet/invoice.macaroon",
    },
    Setting {
        name: "transport",
        kind: SettingKind::Text,
        side: Side::Buyer,
        absent: Some("grpc"),
        doc: "How a wallet is spoken to: `grpc` or `rest`.",
        example: "rest",
    },
    Setting {
        name: "danger_plain_http",
        kind: SettingKind::Flag,
        side: Side::Both,
        absent: Some("false"),
        doc: "Speak without TLS to another machine, which shows the macaroon to everyone on the way.",
        example: "false",
    },
];

#[expect(clippy::disallowed_methods, reason = "what is opened by its constant goes by the system's clock")]
fn system_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
