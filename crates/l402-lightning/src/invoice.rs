//! BOLT 11 invoices, parsed and checked once where they come in.
//!
//! An [`Invoice`] that exists has a valid checksum, a signature that holds over its very text, a network, a payment
//! hash, a payment secret, and an amount (if any) that is a whole number of millisatoshis within `u64`. Whether it is
//! the invoice that somebody asked for is [`check`](crate::check)'s question.

use crate::{
    MilliSat, Network, UntrustedText,
    signature::{self, Signer},
};
use l402::PaymentHash;
use lightning_invoice::{Bolt11ParseError, Currency, RawBolt11Invoice, SignedRawBolt11Invoice, TaggedField};
use std::fmt;
use thiserror::Error;

/// Most characters in an invoice: what LND and rust-lightning accept, so that a QR code can carry it.
pub const INVOICE_CHARS_MAX: usize = lightning_invoice::MAX_LENGTH;

/// Picobitcoin in one millisatoshi.
const PICO_PER_MSAT: u128 = 10;
/// Picobitcoin in one bitcoin.
const PICO_PER_BITCOIN: u64 = 1_000_000_000_000;

/// A BOLT 11 invoice whose signature holds.
#[derive(Clone)]
pub struct Invoice {
    text: Box<str>,
    network: Network,
    amount: Option<MilliSat>,
    payment_hash: PaymentHash,
    payment_secret: [u8; 32],
    description: Description,
    signer: Signer,
    created_at: u64,
    expiry_secs: u64,
    min_final_cltv_expiry: u64,
}

/// Exactly one of BOLT 11's `d` and `h` fields.
#[derive(Clone, PartialEq, Eq)]
enum Description {
    Text(UntrustedText),
    Hash([u8; 32]),
}

impl Invoice {
    /// Parses an invoice and checks its signature: against its `n` field if it has one, as BOLT 11 demands, else for
    /// whether it leads to a key, which is then the payee's whatever it is.
    ///
    /// An invoice without an amount is parsed; whoever needs one refuses it.
    pub fn parse(text: &str) -> Result<Self, InvoiceError> {
        if text.len() > INVOICE_CHARS_MAX {
            return Err(InvoiceError::TooLong);
        }
        let signed: SignedRawBolt11Invoice =
            text.parse().map_err(|error| InvoiceError::of_parsing(&error))?;
        let raw = signed.raw_invoice();
        let fields = Fields::of(raw)?;
        let digest = signature::digest(text).ok_or(InvoiceError::Malformed)?;
        if digest != *signed.signable_hash() {
            return Err(InvoiceError::NotCanonical);
        }
        let signer = Signer::of(digest, signed.signature(), fields.payee).ok_or(InvoiceError::Signature)?;
        Ok(Self {
            text: text.into(),
            network: network(&raw.hrp.currency)?,
            amount: amount(raw)?,
            payment_hash: fields.payment_hash,
            payment_secret: fields.payment_secret,
            description: fields.description,
            signer,
            created_at: raw.data.timestamp.as_unix_timestamp(),
            expiry_secs: fields.expiry_secs,
            min_final_cltv_expiry: fields.min_final_cltv_expiry,
        })
    }

    /// The invoice as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The network it is to be paid on.
    pub fn network(&self) -> Network {
        self.network
    }

    /// What it asks for; `None` leaves the amount to the payer.
    pub fn amount(&self) -> Option<MilliSat> {
        self.amount
    }

    /// The hash that the payment's preimage will have.
    pub fn payment_hash(&self) -> PaymentHash {
        self.payment_hash
    }

    /// When it was written, in unix seconds.
    pub fn created_at(&self) -> u64 {
        self.created_at
    }

    /// Seconds it may be paid for, counted from [`created_at`](Self::created_at); 3,600 if it does not say.
    pub fn expiry_secs(&self) -> u64 {
        self.expiry_secs
    }

    /// The first unix second at which it can no longer be paid; the end of time if that is beyond `u64`.
    pub fn expires_at(&self) -> u64 {
        self.created_at.saturating_add(self.expiry_secs)
    }

    /// Whether it can no longer be paid at `now`, in unix seconds.
    pub fn is_expired(&self, now: u64) -> bool {
        now >= self.expires_at()
    }

    /// What it is for, in the payee's words; `None` if it only commits to a hash of them.
    pub fn description(&self) -> Option<&UntrustedText> {
        match &self.description {
            Description::Text(text) => Some(text),
            Description::Hash(_) => None,
        }
    }

    /// The SHA-256 of a description kept elsewhere.
    pub fn description_hash(&self) -> Option<&[u8; 32]> {
        match &self.description {
            Description::Text(_) => None,
            Description::Hash(hash) => Some(hash),
        }
    }

    /// The node that is paid. Where the invoice does not name it (`n` field), its key is recovered from the signature
    /// now, which takes as long as verifying one.
    ///
    /// [`NodeId::NOBODY`] for a signature that was made so that it leads to no node: no wallet can pay that.
    pub fn payee(&self) -> NodeId {
        self.signer.key().map_or(NodeId::NOBODY, NodeId)
    }

    /// Blocks the last hop wants until the payment times out.
    pub fn min_final_cltv_expiry(&self) -> u64 {
        self.min_final_cltv_expiry
    }

    /// The value that the payer's onion must carry to the payee (`s` field); part of the invoice's text, no secret.
    pub fn payment_secret(&self) -> &[u8; 32] {
        &self.payment_secret
    }
}

impl fmt::Debug for Invoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invoice({})", self.text)
    }
}

impl PartialEq for Invoice {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Invoice {}

impl std::str::FromStr for Invoice {
    type Err = InvoiceError;

    fn from_str(text: &str) -> Result<Self, InvoiceError> {
        Self::parse(text)
    }
}

/// A node's public key, 33 bytes; `Display` is hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId([u8; 33]);

impl NodeId {
    /// No node: 33 zeros, which is not the form of a key.
    pub const NOBODY: Self = Self([0; 33]);

    /// Wraps a compressed public key.
    #[cfg(feature = "loopback")]
    pub(crate) const fn from_bytes(bytes: [u8; 33]) -> Self {
        Self(bytes)
    }

    /// The compressed public key.
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// Why a text is not an invoice that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvoiceError {
    /// Longer than [`INVOICE_CHARS_MAX`].
    #[error("the invoice is longer than {INVOICE_CHARS_MAX} characters")]
    TooLong,
    /// Not bech32, or its checksum does not hold.
    #[error("the text is no invoice: its bech32 form or checksum is wrong")]
    Checksum,
    /// It ends too early, or a field is not what its tag says.
    #[error("the invoice is malformed")]
    Malformed,
    /// Its fields would be written differently: leading zeros, stray padding bits. BOLT 11 forbids that, and two
    /// readers could take it for two invoices.
    #[error("the invoice is not written in the one way that BOLT 11 allows")]
    NotCanonical,
    /// Not a Lightning invoice, or one for a network nobody uses.
    #[error("the invoice is for an unknown network")]
    UnknownNetwork,
    /// The amount or its multiplier cannot be read.
    #[error("the invoice's amount cannot be read")]
    Amount,
    /// The amount has a part of a millisatoshi, which no payment can carry.
    #[error("the invoice's amount is not a whole number of millisatoshis")]
    SubMilliSatoshi,
    /// The amount is beyond `u64` millisatoshis.
    #[error("the invoice's amount is too large")]
    AmountTooLarge,
    /// An amount of zero: neither a price nor the absence of one.
    #[error("the invoice's amount is zero")]
    AmountZero,
    /// A field that BOLT 11 requires is missing.
    #[error("the invoice has no {0}")]
    Missing(InvoiceField),
    /// A field that may stand once stands twice, so two readers could see two invoices.
    #[error("the invoice has more than one {0}")]
    Repeated(InvoiceField),
    /// It demands a feature that is not known here.
    #[error("the invoice demands an unknown feature")]
    Features,
    /// The signature does not hold, or was made with another key than the invoice names.
    #[error("the invoice's signature does not hold")]
    Signature,
}

impl InvoiceError {
    /// What a parse error of the library means. Exhaustive, so that a new one is looked at.
    fn of_parsing(error: &Bolt11ParseError) -> Self {
        match error {
            Bolt11ParseError::Bech32Error(_) => Self::Checksum,
            Bolt11ParseError::ParseAmountError(_) | Bolt11ParseError::UnknownSiPrefix => Self::Amount,
            Bolt11ParseError::MalformedSignature(_) => Self::Signature,
            Bolt11ParseError::BadPrefix | Bolt11ParseError::UnknownCurrency => Self::UnknownNetwork,
            Bolt11ParseError::MalformedHRP
            | Bolt11ParseError::TooShortDataPart
            | Bolt11ParseError::UnexpectedEndOfTaggedFields
            | Bolt11ParseError::DescriptionDecodeError(_)
            | Bolt11ParseError::PaddingError
            | Bolt11ParseError::IntegerOverflowError
            | Bolt11ParseError::InvalidSegWitProgramLength
            | Bolt11ParseError::InvalidPubKeyHashLength
            | Bolt11ParseError::InvalidScriptHashLength
            | Bolt11ParseError::InvalidSliceLength(..)
            | Bolt11ParseError::Skip => Self::Malformed,
        }
    }
}

/// A field of an invoice that errors speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvoiceField {
    /// `p`.
    PaymentHash,
    /// `s`.
    PaymentSecret,
    /// `d` or `h`.
    Description,
    /// `n`.
    Payee,
    /// `x`.
    Expiry,
    /// `c`.
    MinFinalCltvExpiry,
    /// `9`.
    Features,
}

impl fmt::Display for InvoiceField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PaymentHash => "payment hash",
            Self::PaymentSecret => "payment secret",
            Self::Description => "description",
            Self::Payee => "payee",
            Self::Expiry => "expiry",
            Self::MinFinalCltvExpiry => "final CLTV expiry",
            Self::Features => "feature field",
        })
    }
}

/// The tagged fields that matter here, each at most once.
struct Fields<'a> {
    payment_hash: PaymentHash,
    payment_secret: [u8; 32],
    description: Description,
    payee: Option<&'a lightning_invoice::PayeePubKey>,
    expiry_secs: u64,
    min_final_cltv_expiry: u64,
}

impl<'a> Fields<'a> {
    /// Collects the fields. BOLT 11 lets a reader skip what it does not know, never what it needs.
    fn of(raw: &'a RawBolt11Invoice) -> Result<Self, InvoiceError> {
        let (mut hash, mut secret, mut description, mut payee) = (None, None, None, None);
        let (mut expiry, mut cltv, mut features) = (None, None, None);
        for field in raw.known_tagged_fields() {
            match field {
                TaggedField::PaymentHash(value) => {
                    let value: [u8; 32] = *value.0.as_ref();
                    once(&mut hash, PaymentHash::from_bytes(value), InvoiceField::PaymentHash)?;
                }
                TaggedField::PaymentSecret(value) => once(&mut secret, value.0, InvoiceField::PaymentSecret)?,
                TaggedField::Description(value) => {
                    let text = Description::Text(UntrustedText::new(value.as_inner().0.as_str()));
                    once(&mut description, text, InvoiceField::Description)?;
                }
                TaggedField::DescriptionHash(value) => {
                    let hash = Description::Hash(*value.0.as_ref());
                    once(&mut description, hash, InvoiceField::Description)?;
                }
                TaggedField::PayeePubKey(value) => once(&mut payee, value, InvoiceField::Payee)?,
                TaggedField::ExpiryTime(value) => {
                    once(&mut expiry, value.as_seconds(), InvoiceField::Expiry)?;
                }
                TaggedField::MinFinalCltvExpiryDelta(value) => {
                    once(&mut cltv, value.0, InvoiceField::MinFinalCltvExpiry)?;
                }
                TaggedField::Features(value) => {
                    if value.requires_unknown_bits() {
                        return Err(InvoiceError::Features);
                    }
                    once(&mut features, (), InvoiceField::Features)?;
                }
                TaggedField::Fallback(_) | TaggedField::PrivateRoute(_) | TaggedField::PaymentMetadata(_) => {
                }
            }
        }
        Ok(Self {
            payment_hash: hash.ok_or(InvoiceError::Missing(InvoiceField::PaymentHash))?,
            payment_secret: secret.ok_or(InvoiceError::Missing(InvoiceField::PaymentSecret))?,
            description: description.ok_or(InvoiceError::Missing(InvoiceField::Description))?,
            payee,
            expiry_secs: expiry.unwrap_or(lightning_invoice::DEFAULT_EXPIRY_TIME),
            min_final_cltv_expiry: cltv.unwrap_or(lightning_invoice::DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA),
        })
    }
}

/// Fills an empty slot, or says that the field stands twice.
fn once<T>(slot: &mut Option<T>, value: T, field: InvoiceField) -> Result<(), InvoiceError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvoiceError::Repeated(field)),
    }
}

/// The network of a currency prefix. Simnet is nobody's money and nobody's test.
fn network(currency: &Currency) -> Result<Network, InvoiceError> {
    match currency {
        Currency::Bitcoin => Ok(Network::Mainnet),
        Currency::BitcoinTestnet => Ok(Network::Testnet),
        Currency::Signet => Ok(Network::Signet),
        Currency::Regtest => Ok(Network::Regtest),
        Currency::Simnet => Err(InvoiceError::UnknownNetwork),
    }
}

/// The amount, computed wide enough that no number of 64 bits with any multiplier can wrap.
fn amount(raw: &RawBolt11Invoice) -> Result<Option<MilliSat>, InvoiceError> {
    let Some(number) = raw.hrp.raw_amount else {
        return if raw.hrp.si_prefix.is_none() { Ok(None) } else { Err(InvoiceError::Amount) };
    };
    let multiplier =
        raw.hrp.si_prefix.as_ref().map_or(PICO_PER_BITCOIN, lightning_invoice::SiPrefix::multiplier);
    let pico = u128::from(number) * u128::from(multiplier);
    if pico == 0 {
        return Err(InvoiceError::AmountZero);
    }
    if !pico.is_multiple_of(PICO_PER_MSAT) {
        return Err(InvoiceError::SubMilliSatoshi);
    }
    let msat = u64::try_from(pico / PICO_PER_MSAT).map_err(|_| InvoiceError::AmountTooLarge)?;
    Ok(Some(MilliSat::from_msat(msat)))
}
