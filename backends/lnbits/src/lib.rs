//! An LNbits wallet as the node that is paid and the node that pays, over the [REST API] of LNbits 1.x.
//!
//! Rules:
//! - A seller has the invoice key, a buyer the admin key.
//! - LNbits up to 1.5 shows the preimage of an unpaid invoice to whoever asks for it by hash. So before the first sale a
//!   seller makes an invoice for one satoshi and asks for it as a stranger; if its preimage comes back, nothing is sold.
//! - Who holds the invoice key can still read preimages of unpaid invoices. What proves a payment is that LNbits calls it
//!   settled.
//! - LNbits takes no fee limit with a payment. It has one of its own, the reserve, which it tells beforehand: a reserve
//!   above the buyer's limit is a refusal.
//! - A payment that LNbits does not end in a few seconds goes on without an answer, so it is asked for by hash.
//! - Whatever LNbits says against a payment, its records count: only if they know no payment with that hash, or a failed
//!   one, was nothing paid.
//!
//! [REST API]: https://demo.lnbits.com/docs

mod invoicer;
mod payer;
mod payment;
mod refusal;
mod secrecy;
mod service;

use l402_lightning::{Backend, Proof, Setting, SettingKind, Side};

/// An LNbits wallet.
pub const BACKEND: Backend = Backend {
    name: "lnbits",
    about: "A wallet of an LNbits server, version 1.6 or later.",
    settings: SETTINGS,
    invoicer: Some(invoicer::open),
    payer: Some(payer::open),
    wallet_schemes: &["lnbits+https", "lnbits+http"],
    proof: Proof::Settled,
};

const SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        kind: SettingKind::Url,
        side: Side::Both,
        absent: None,
        doc: "Where LNbits is.",
        example: "https://lnbits.example.com",
    },
    Setting {
        name: "key",
        kind: SettingKind::Secret,
        side: Side::Both,
        absent: None,
        doc: "The wallet's key: a seller's invoice key (it cannot pay), a buyer's admin key.",
        example: "/etc/octroi/lnbits-invoice.key",
    },
    Setting {
        name: "certificate",
        kind: SettingKind::File,
        side: Side::Both,
        absent: Some("the system's authorities are trusted"),
        doc: "PEM file with the certificate to trust, and no other.",
        example: "/etc/octroi/lnbits.pem",
    },
    Setting {
        name: "danger_plain_http",
        kind: SettingKind::Flag,
        side: Side::Both,
        absent: Some("plain HTTP to this machine only"),
        doc: "Allow plain HTTP to another machine, which shows the key to everyone on the way.",
        example: "true",
    },
];
