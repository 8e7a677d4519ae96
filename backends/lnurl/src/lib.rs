//! A Lightning Address, or any LNURL-pay service, as the node that is paid: real money without a node.
//!
//! It obeys [LUD-01], [LUD-06], [LUD-12], [LUD-16], [LUD-17] and [LUD-21]. A service without LUD-21 (`verify`) cannot
//! say whether an invoice was paid, and nothing is sold through it.
//!
//! Rules:
//! - The service words its invoices: description and expiry are its own ([`Terms::Service`]). It vouches for them with
//!   the hash of the document at the address, and that hash is compared here with every invoice.
//! - Whoever runs the service is trusted with the money. Its documents are not trusted: `callback` and `verify` lead to
//!   the address's own host or to one that the operator named, by https, without redirects, never to an IP address and
//!   never into a private network, whatever the name resolves to.
//! - `verify` tells everybody who knows its URL the preimage of a paid invoice, and what proves a payment is that the
//!   service calls it settled.
//! - Nothing is remembered over a restart. Where `verify` URLs contain the payment hash, which two invoices show, every
//!   invoice can be asked about; else only those of this process, the newest 4,096 of them.
//!
//! [LUD-01]: https://github.com/lnurl/luds/blob/luds/01.md
//! [LUD-06]: https://github.com/lnurl/luds/blob/luds/06.md
//! [LUD-12]: https://github.com/lnurl/luds/blob/luds/12.md
//! [LUD-16]: https://github.com/lnurl/luds/blob/luds/16.md
//! [LUD-17]: https://github.com/lnurl/luds/blob/luds/17.md
//! [LUD-21]: https://github.com/lnurl/luds/blob/luds/21.md
//! [`Terms::Service`]: l402_lightning::Terms::Service

mod address;
mod invoicer;
mod offer;
mod public;
mod sites;
mod verify;
mod web;

use l402_lightning::{Backend, InvoicerOpening, OpenError, Proof, Setting, SettingKind, Settings, Side};
use std::sync::Arc;

/// A Lightning Address or LNURL-pay service with LUD-21. It can be paid, it does not pay.
pub const BACKEND: Backend = Backend {
    name: "lnurl",
    about: "A Lightning Address or LNURL-pay service with LUD-21 `verify`: real money with no node.",
    settings: SETTINGS,
    invoicer: Some(open),
    payer: None,
    wallet_schemes: &[],
    proof: Proof::Settled,
};

const SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        kind: SettingKind::Text,
        side: Side::Seller,
        absent: None,
        doc: "Who is paid: a Lightning Address, an LNURL (`lnurl1..`, `lnurlp://..`), or the https URL that it stands for.",
        example: "shop@example.com",
    },
    Setting {
        name: "allow_host",
        kind: SettingKind::Text,
        side: Side::Seller,
        absent: Some("the address's host alone"),
        doc: "Other hosts that the service may send invoices and their states from, with commas between them.",
        example: "pay.example.com",
    },
    Setting {
        name: "danger_plain_http",
        kind: SettingKind::Flag,
        side: Side::Seller,
        absent: Some("https only"),
        doc: "Allow plain HTTP to 127.0.0.1, for trying out a service on this machine.",
        example: "true",
    },
];

fn open(settings: &Settings) -> InvoicerOpening {
    let network = settings.network.ok_or(OpenError::Missing("network"))?;
    let plain = settings.flag("danger_plain_http");
    let document = address::document(settings.required_text("address")?, plain)?;
    let sites = sites::Sites::of(&document, settings.text("allow_host"), plain)?;
    let web = web::Web::new(document.scheme() == "http")?;
    Ok(Arc::new(invoicer::LnurlInvoicer::new(web, sites, document, network)))
}
