//! Writes invoices: right ones, and others.

use bitcoin::{
    hashes::{Hash as _, sha256},
    secp256k1::{Secp256k1, SecretKey},
};
use l402::PaymentHash;
use l402_lightning::{MilliSat, Network};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use std::{convert::Infallible, time::Duration};

/// An invoice to be written.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) network: Network,
    pub(crate) amount: MilliSat,
    pub(crate) payment_hash: PaymentHash,
    pub(crate) description: Description,
    pub(crate) created_at: u64,
    pub(crate) expiry_secs: u64,
}

/// What an invoice is for.
#[derive(Clone, Debug)]
pub(crate) enum Description {
    Text(String),
    Hash([u8; 32]),
}

impl Draft {
    /// Writes and signs it.
    pub(crate) fn write(&self) -> String {
        let currency = match self.network {
            Network::Mainnet => Currency::Bitcoin,
            Network::Testnet => Currency::BitcoinTestnet,
            Network::Signet => Currency::Signet,
            Network::Regtest => Currency::Regtest,
        };
        let builder = InvoiceBuilder::new(currency);
        let builder = match &self.description {
            Description::Text(text) => builder.description(text.clone()),
            Description::Hash(hash) => builder.description_hash(sha256::Hash::from_byte_array(*hash)),
        };
        let raw = builder
            .payment_hash(sha256::Hash::from_byte_array(*self.payment_hash.as_bytes()))
            .payment_secret(PaymentSecret([0x5e; 32]))
            .duration_since_epoch(Duration::from_secs(self.created_at))
            .min_final_cltv_expiry_delta(80)
            .expiry_time(Duration::from_secs(self.expiry_secs))
            .amount_milli_satoshis(self.amount.as_msat())
            .build_raw()
            .expect("fields in their ranges");
        let key = SecretKey::from_slice(&[0x42; 32]).expect("a key");
        let signed = raw
            .sign::<_, Infallible>(|digest| Ok(Secp256k1::new().sign_ecdsa_recoverable(digest, &key)))
            .expect("signing does not fail");
        signed.to_string()
    }
}
