//! Writing invoices, right ones and, when a knob says so, wrong ones.

use super::{keys::NodeKeys, knobs::WrongInvoice};
use crate::{InvoiceRequest, MilliSat, Network, Unsupported};
use bitcoin::hashes::{Hash as _, sha256};
use l402::{PaymentHash, Preimage};
use lightning_invoice::{
    CreationError, Currency, InvoiceBuilder, PaymentSecret, RawBolt11Invoice, SiPrefix,
    SignedRawBolt11Invoice,
};
use std::{convert::Infallible, time::Duration};

/// Blocks until the last hop times out; LND's default for invoices.
const MIN_FINAL_CLTV_EXPIRY: u64 = 80;

/// Most bytes of a description: what fits into one BOLT 11 field.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 639;

/// An invoice to be written.
pub(super) struct Draft {
    network: Network,
    amount: AmountText,
    payment_hash: PaymentHash,
    payment_secret: [u8; 32],
    description: String,
    created_at: u64,
    expiry_secs: u64,
    /// Names this node as the payee and is signed by somebody else.
    foreign_signature: bool,
}

/// The amount in an invoice's prefix.
#[derive(Clone, Copy)]
enum AmountText {
    None,
    Exactly(MilliSat),
    /// One picobitcoin: a tenth of a millisatoshi.
    SubMilliSatoshi,
    /// More bitcoin than 64 bits count in millisatoshis.
    TooLarge,
}

impl Draft {
    /// The invoice that a request asks for.
    pub(super) fn new(keys: &NodeKeys, request: &InvoiceRequest, preimage: &Preimage, now: u64) -> Self {
        let payment_hash = preimage.payment_hash();
        Self {
            network: Network::Regtest,
            amount: AmountText::Exactly(request.amount),
            payment_hash,
            payment_secret: keys.mask(preimage, payment_hash),
            description: request.description.clone(),
            created_at: now,
            expiry_secs: u64::from(request.expiry_secs),
            foreign_signature: false,
        }
    }

    /// The hash it is bound to.
    pub(super) fn payment_hash(&self) -> PaymentHash {
        self.payment_hash
    }

    /// The first unix second at which it can no longer be paid.
    pub(super) fn expires_at(&self) -> u64 {
        self.created_at.saturating_add(self.expiry_secs)
    }

    /// The value in its `s` field.
    pub(super) fn payment_secret(&self) -> &[u8; 32] {
        &self.payment_secret
    }

    /// Makes one thing about it wrong. What it still says is signed, and can be paid where that is possible.
    pub(super) fn spoil(&mut self, wrong: WrongInvoice, keys: &NodeKeys, other: &Preimage) {
        match wrong {
            WrongInvoice::Network(network) => self.network = network,
            WrongInvoice::Amount(amount) => self.amount = AmountText::Exactly(amount),
            WrongInvoice::NoAmount => self.amount = AmountText::None,
            WrongInvoice::SubMilliSatoshi => self.amount = AmountText::SubMilliSatoshi,
            WrongInvoice::AmountTooLarge => self.amount = AmountText::TooLarge,
            WrongInvoice::PaymentHash => {
                self.payment_hash = other.payment_hash();
                self.payment_secret = keys.mask(other, self.payment_hash);
            }
            WrongInvoice::ExpirySecs(secs) => self.expiry_secs = u64::from(secs),
            WrongInvoice::Expired => {
                self.created_at = self.created_at.saturating_sub(self.expiry_secs);
            }
            WrongInvoice::CreatedAt(created_at) => self.created_at = created_at,
            WrongInvoice::Description => "something else".clone_into(&mut self.description),
            WrongInvoice::Signature => self.foreign_signature = true,
        }
    }

    /// Writes and signs it.
    pub(super) fn write(self, keys: &NodeKeys) -> Result<String, Unsupported> {
        let foreign = self.foreign_signature;
        let raw = self.into_raw(keys)?;
        let Ok(signed): Result<SignedRawBolt11Invoice, Infallible> =
            raw.sign(|digest| Ok(if foreign { keys.sign_as_another(digest) } else { keys.sign(digest) }));
        Ok(signed.to_string())
    }

    /// Its fields in BOLT 11's form.
    fn into_raw(self, keys: &NodeKeys) -> Result<RawBolt11Invoice, Unsupported> {
        let mut builder = InvoiceBuilder::new(currency(self.network))
            .description(self.description)
            .payment_hash(sha256::Hash::from_byte_array(*self.payment_hash.as_bytes()))
            .payment_secret(PaymentSecret(self.payment_secret))
            .duration_since_epoch(Duration::from_secs(self.created_at))
            .min_final_cltv_expiry_delta(MIN_FINAL_CLTV_EXPIRY)
            .expiry_time(Duration::from_secs(self.expiry_secs));
        if let AmountText::Exactly(amount) = self.amount {
            builder = builder.amount_milli_satoshis(amount.as_msat());
        }
        if self.foreign_signature {
            builder = builder.payee_pub_key(keys.public());
        }
        let mut raw = builder.build_raw().map_err(|error| match error {
            CreationError::DescriptionTooLong => Unsupported::Description,
            CreationError::TimestampOutOfBounds => Unsupported::Expiry,
            CreationError::InvalidAmount
            | CreationError::MissingRouteHints
            | CreationError::MinFinalCltvExpiryDeltaTooShort
            | CreationError::RouteTooLong => Unsupported::Amount,
        })?;
        match self.amount {
            AmountText::None | AmountText::Exactly(_) => {}
            AmountText::SubMilliSatoshi => {
                (raw.hrp.raw_amount, raw.hrp.si_prefix) = (Some(1), Some(SiPrefix::Pico));
            }
            AmountText::TooLarge => (raw.hrp.raw_amount, raw.hrp.si_prefix) = (Some(u64::MAX), None),
        }
        Ok(raw)
    }
}

/// The prefix of a network.
fn currency(network: Network) -> Currency {
    match network {
        Network::Mainnet => Currency::Bitcoin,
        Network::Testnet => Currency::BitcoinTestnet,
        Network::Signet => Currency::Signet,
        Network::Regtest => Currency::Regtest,
    }
}
