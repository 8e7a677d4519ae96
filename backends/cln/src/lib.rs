//! Core Lightning behind [clnrest](https://docs.corelightning.org/docs/rest), with a rune as the credential.
//!
//! A rune names what its holder may do; the least that works is
//! - for a seller: `[["method=invoice","method=listinvoices","method=waitanyinvoice","method=delinvoice",
//!   "method=getinfo"]]` (without `delinvoice` nothing is withdrawn, without `getinfo` the node's health is not known);
//! - for a buyer: `[["method=xpay","method=listpays","method=getinfo"],["method/xpay","pinvinvstring_amount<100000"]]`,
//!   where the last part is a cap on every single payment, kept by the node.
//!
//! Needs Core Lightning 25.02 or later, the first with this clnrest; payments go through `xpay`. clnrest and lightningd
//! end together, so a node whose wallet is locked is simply not there.

mod api;
mod invoicer;
mod payer;
mod refusal;

use l402_lightning::{Backend, Network, OpenError, Proof, Setting, SettingKind, Side};
use std::sync::Arc;

/// Core Lightning.
pub const BACKEND: Backend = Backend {
    name: "cln",
    about: "Core Lightning behind clnrest, with a rune.",
    settings: SETTINGS,
    invoicer: Some(|settings| Ok(Arc::new(invoicer::ClnInvoicer::open(settings)?))),
    payer: Some(payer::open),
    wallet_schemes: &["cln+https", "cln+http"],
    // The node gives a preimage out only once its invoice is paid (`listinvoices`).
    proof: Proof::Preimage,
};

const SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        kind: SettingKind::Url,
        side: Side::Both,
        absent: None,
        doc: "Where clnrest listens (`clnrest-host`, `clnrest-port`).",
        example: "https://127.0.0.1:3010",
    },
    Setting {
        name: "certificate",
        kind: SettingKind::File,
        side: Side::Both,
        absent: Some("the authorities that the system trusts"),
        doc: "The certificate that clnrest made (`clnrest-certs`), or its authority's.",
        example: "/home/cln/.lightning/bitcoin/ca.pem",
    },
    Setting {
        name: "rune",
        kind: SettingKind::Secret,
        side: Side::Both,
        absent: None,
        doc: "The rune, as `lightning-cli createrune` prints it.",
        example: "/etc/octroi/rune",
    },
];

/// A network by lightningd's name for it (`getinfo`). BOLT 11 writes both public test networks alike.
fn network(name: &str) -> Option<Network> {
    match name {
        "bitcoin" => Some(Network::Mainnet),
        "testnet" | "testnet4" => Some(Network::Testnet),
        "signet" => Some(Network::Signet),
        "regtest" => Some(Network::Regtest),
        _ => None,
    }
}

/// The network that invoices must be for, which a seller has to say.
fn required_network(network: Option<Network>) -> Result<Network, OpenError> {
    network.ok_or(OpenError::Missing("network"))
}
