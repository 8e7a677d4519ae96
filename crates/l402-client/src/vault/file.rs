//! The file form of a purchase: JSON, version 1. Read strictly, as it decides whether money is spent again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l402::{Limits, Macaroon, OfferScheme, Preimage};
use l402_lightning::MilliSat;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

use super::record::{PaidToken, PurchaseRecord, Stage, Standing};

/// The version this client writes; a file of another version is left alone.
const VERSION: u32 = 1;

/// What is wrong in a purchase file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Not the JSON this client writes.
    #[error("not a purchase file")]
    Form,
    /// Written by another version of this client.
    #[error("written by another version of this client")]
    Version,
    /// A field holds something else than its name says.
    #[error("the field `{0}` cannot be read")]
    Field(&'static str),
    /// The preimage does not have the payment hash.
    #[error("the preimage does not belong to the payment hash")]
    Preimage,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFile {
    version: u32,
    origin: String,
    scope: String,
    path: String,
    scheme: SchemeWord,
    token: SecretText,
    payment_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount_msat: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap_msat: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wallet: Option<String>,
    sends: u32,
    created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid: Option<PaidFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaidFile {
    preimage: SecretText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fee_msat: Option<u64>,
    paid_at: u64,
    #[serde(default)]
    accepted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum SchemeWord {
    #[serde(rename = "L402")]
    L402,
    #[serde(rename = "LSAT")]
    Lsat,
}

/// Text that is wiped when dropped.
struct SecretText(Zeroizing<String>);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The bytes of a record's file.
pub(super) fn write(record: &PurchaseRecord) -> Zeroizing<Vec<u8>> {
    let file = RecordFile {
        version: VERSION,
        origin: record.origin.to_string(),
        scope: record.scope.to_string(),
        path: record.path.clone(),
        scheme: match record.scheme {
            OfferScheme::L402 => SchemeWord::L402,
            OfferScheme::Lsat => SchemeWord::Lsat,
        },
        token: SecretText(Zeroizing::new(STANDARD.encode(record.token.view().as_bytes()))),
        payment_hash: record.payment_hash.to_string(),
        invoice: record.invoice.clone(),
        amount_msat: record.amount.map(MilliSat::as_msat),
        cap_msat: record.cap.map(MilliSat::as_msat),
        wallet: record.wallet.clone(),
        sends: record.sends,
        created_at: record.created_at,
        paid: record.paid().map(|paid| PaidFile {
            preimage: SecretText(Zeroizing::new(paid.preimage.reveal_hex())),
            fee_msat: paid.fee.map(MilliSat::as_msat),
            paid_at: paid.paid_at,
            accepted: paid.standing == Standing::Accepted,
            refused_at: match paid.standing {
                Standing::Refused { at } => Some(at),
                Standing::Untried | Standing::Accepted | Standing::Spent { .. } => None,
            },
            spent_at: match paid.standing {
                Standing::Spent { at } => Some(at),
                Standing::Untried | Standing::Accepted | Standing::Refused { .. } => None,
            },
        }),
    };
    #[expect(clippy::expect_used, reason = "plain fields with string keys always have a JSON form")]
    let bytes = serde_json::to_vec_pretty(&file).expect("a purchase file has a JSON form");
    Zeroizing::new(bytes)
}

/// The record in a file's bytes.
pub(super) fn read(bytes: &[u8]) -> Result<PurchaseRecord, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(|_| RecordError::Form)?;
    if versioned.version != VERSION {
        return Err(RecordError::Version);
    }
    let file: RecordFile = serde_json::from_slice(bytes).map_err(|_| RecordError::Form)?;
    let token = STANDARD.decode(file.token.0.as_bytes()).map_err(|_| RecordError::Field("token"))?;
    let token = Macaroon::parse(token, &Limits::default()).map_err(|_| RecordError::Field("token"))?;
    let mut record = PurchaseRecord {
        origin: file.origin.parse().map_err(|_| RecordError::Field("origin"))?,
        scope: file.scope.parse().map_err(|_| RecordError::Field("scope"))?,
        path: file.path,
        scheme: match file.scheme {
            SchemeWord::L402 => OfferScheme::L402,
            SchemeWord::Lsat => OfferScheme::Lsat,
        },
        token,
        payment_hash: file.payment_hash.parse().map_err(|_| RecordError::Field("payment_hash"))?,
        invoice: file.invoice,
        amount: file.amount_msat.map(MilliSat::from_msat),
        cap: file.cap_msat.map(MilliSat::from_msat),
        wallet: file.wallet,
        sends: file.sends,
        created_at: file.created_at,
        stage: Stage::Intended,
    };
    if let Some(paid) = file.paid {
        let preimage =
            Preimage::from_hex(paid.preimage.0.as_bytes()).map_err(|_| RecordError::Field("preimage"))?;
        if preimage.payment_hash() != record.payment_hash {
            return Err(RecordError::Preimage);
        }
        let standing = match (paid.refused_at, paid.spent_at) {
            (Some(at), _) => Standing::Refused { at },
            (None, Some(at)) => Standing::Spent { at },
            (None, None) if paid.accepted => Standing::Accepted,
            (None, None) => Standing::Untried,
        };
        let fee = paid.fee_msat.map(MilliSat::from_msat);
        record.stage = Stage::Paid(PaidToken { preimage, fee, paid_at: paid.paid_at, standing });
    }
    Ok(record)
}
