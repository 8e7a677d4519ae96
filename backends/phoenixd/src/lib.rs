//! phoenixd as the node that is paid and the node that pays, by its [HTTP API](https://phoenix.acinq.co/server/api).
//!
//! phoenixd has two passwords. A seller gives the limited one (`http-password-limited-access`), which cannot pay; one that
//! can is refused, unless the operator insists. A buyer needs the full one (`http-password`). Either of them reads the
//! preimages of unpaid invoices, so both are secrets, and a preimage alone proves no payment to whoever shares one.
//!
//! What it cannot do: parts of a satoshi when it is paid, a chosen preimage, withdrawing an invoice, a limit on a
//! payment's fee or time. Its own clock and database decide what was paid; the websocket only says when to look.

mod access;
mod api;
mod bell;
mod feed;
mod invoicer;
mod payer;
mod refusal;

use l402_lightning::{Backend, Network, Proof, Setting, SettingKind, Side};
use l402_node_http::{Fault, Fields};
use std::sync::Arc;

/// phoenixd.
pub const BACKEND: Backend = Backend {
    name: "phoenixd",
    about: "phoenixd, ACINQ's node without channels to look after.",
    settings: SETTINGS,
    invoicer: Some(|settings| Ok(Arc::new(invoicer::PhoenixdInvoicer::open(settings)?))),
    payer: Some(payer::open),
    wallet_schemes: &["phoenixd+http", "phoenixd+https"],
    // `GET /payments/incoming/{hash}` shows the preimage of an unpaid invoice to every password.
    proof: Proof::Settled,
};

const SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        kind: SettingKind::Url,
        side: Side::Both,
        absent: None,
        doc: "Where phoenixd listens (`http-bind-ip`, `http-bind-port`), or the proxy in front of it.",
        example: "http://127.0.0.1:9740",
    },
    Setting {
        name: "certificate",
        kind: SettingKind::File,
        side: Side::Both,
        absent: Some("the authorities that the system trusts"),
        doc: "The certificate of the proxy in front of phoenixd, which itself speaks plain HTTP.",
        example: "/etc/octroi/phoenixd.pem",
    },
    Setting {
        name: "password",
        kind: SettingKind::Secret,
        side: Side::Both,
        absent: None,
        doc: "From `phoenix.conf`: for a seller `http-password-limited-access`, for a buyer `http-password`.",
        example: "/etc/octroi/phoenixd-password",
    },
    Setting {
        name: "allow_full_password",
        kind: SettingKind::Flag,
        side: Side::Seller,
        absent: Some("a password that can pay is refused"),
        doc: "Sell with `http-password` all the same, which can empty the wallet.",
        example: "false",
    },
];

/// The node's network and whether it knows the chain's tip, from `getinfo`.
fn node(info: &Fields) -> Result<(Network, bool), Fault> {
    // lightning-kmp's names, in lower case. BOLT 11 writes both public test networks alike.
    let network = match info.text("chain")? {
        "mainnet" => Network::Mainnet,
        "testnet" | "testnet3" | "testnet4" => Network::Testnet,
        "signet" => Network::Signet,
        "regtest" => Network::Regtest,
        _ => return Err(Fault::Garbled("chain")),
    };
    Ok((network, info.get("blockHeight").is_some()))
}
