//! Token files of other buyers: the layout that aperture's client library and lnget share.
//!
//! Big-endian: `u32` length, macaroon, 32-byte payment hash, 32-byte preimage (zero while unpaid), `u64` amount and
//! `u64` fee in millisatoshis, `i64` creation time in nanoseconds.

use l402::{Identifier, IdentifierError, OfferScheme, Preimage};
use l402_lightning::MilliSat;
use l402_macaroon::{DecodeError, Limits, Macaroon, V1Error};
use thiserror::Error;

use crate::origin::Origin;
use crate::scope::Scope;
use crate::vault::{PaidToken, PurchaseRecord, Stage, Standing};

/// Version 2 macaroons begin with this byte, version 1 ones with a hexadecimal digit.
const V2_MARK: u8 = 2;
const NANOS_PER_SEC: i64 = 1_000_000_000;

/// What such a file holds.
#[derive(Debug, Clone)]
pub struct ImportedToken {
    token: Macaroon,
    preimage: Preimage,
    amount: MilliSat,
    fee: MilliSat,
    created_at: u64,
}

/// Why a file is not imported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Shorter or longer than its fields.
    #[error("not a token file of aperture or lnget")]
    Form,
    /// The token does not decode.
    #[error("the token in the file cannot be read: {0}")]
    Token(#[from] DecodeError),
    /// The token, in the older format, does not decode.
    #[error("the token in the file cannot be read: {0}")]
    OldToken(#[from] V1Error),
    /// The token's identifier is not L402's.
    #[error("the token in the file is no L402 token: {0}")]
    Identifier(#[from] IdentifierError),
    /// The purchase was begun and never finished; only the wallet that began it knows more.
    #[error("the purchase in the file was never finished")]
    Pending,
    /// The preimage does not belong to the token.
    #[error("the preimage in the file does not belong to the token")]
    Preimage,
}

/// Reads a token file.
pub fn read_token_file(bytes: &[u8]) -> Result<ImportedToken, ImportError> {
    let mut fields = Fields(bytes);
    let length = u32::from_be_bytes(fields.take()?) as usize;
    let token = fields.take_slice(length)?;
    let token = if token.first() == Some(&V2_MARK) {
        Macaroon::parse(token.to_vec(), &Limits::default())?
    } else {
        Macaroon::from_v1(token, &Limits::default())?
    };
    let hash: [u8; 32] = fields.take()?;
    let preimage: [u8; 32] = fields.take()?;
    let amount = MilliSat::from_msat(u64::from_be_bytes(fields.take()?));
    let fee = MilliSat::from_msat(u64::from_be_bytes(fields.take()?));
    let created = i64::from_be_bytes(fields.take()?);
    if !fields.0.is_empty() {
        return Err(ImportError::Form);
    }
    let identifier = Identifier::parse(token.view().identifier())?;
    if preimage == [0; 32] {
        return Err(ImportError::Pending);
    }
    let preimage = Preimage::from_bytes(preimage);
    let paid = preimage.payment_hash();
    if paid != identifier.payment_hash || paid.as_bytes() != &hash {
        return Err(ImportError::Preimage);
    }
    let created_at = u64::try_from(created / NANOS_PER_SEC).unwrap_or(0);
    Ok(ImportedToken { token, preimage, amount, fee, created_at })
}

impl ImportedToken {
    /// The record to keep, for the origin it was bought from.
    pub fn into_record(self, origin: Origin) -> PurchaseRecord {
        PurchaseRecord {
            origin,
            scope: Scope::of(&self.token.view(), "/"),
            path: "/".to_owned(),
            scheme: OfferScheme::L402,
            payment_hash: self.preimage.payment_hash(),
            token: self.token,
            invoice: None,
            amount: Some(self.amount),
            cap: None,
            wallet: None,
            sends: 0,
            created_at: self.created_at,
            stage: Stage::Paid(PaidToken {
                preimage: self.preimage,
                fee: Some(self.fee),
                paid_at: self.created_at,
                standing: Standing::Untried,
            }),
        }
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take_slice(&mut self, length: usize) -> Result<&'a [u8], ImportError> {
        let (field, rest) = self.0.split_at_checked(length).ok_or(ImportError::Form)?;
        self.0 = rest;
        Ok(field)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.take_slice(N)?.try_into().map_err(|_| ImportError::Form)
    }
}

#[cfg(test)]
mod tests {
    use l402_macaroon::RootKey;

    use super::*;

    fn file(preimage: [u8; 32], committed: [u8; 32]) -> Vec<u8> {
        let hash = Preimage::from_bytes(committed).payment_hash();
        let identifier = [&[0; 2][..], hash.as_bytes(), &[9; 32]].concat();
        let token =
            Macaroon::mint(&RootKey::from_bytes([1; 32]), "lsat", &identifier, ["services=a:0"]).unwrap();
        let token = token.view().as_bytes().to_vec();
        let length = u32::try_from(token.len()).unwrap();
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(token);
        bytes.extend(hash.as_bytes());
        bytes.extend(preimage);
        bytes.extend(10_000_u64.to_be_bytes());
        bytes.extend(3_u64.to_be_bytes());
        bytes.extend(1_700_000_000_000_000_000_i64.to_be_bytes());
        bytes
    }

    #[test]
    fn a_paid_token_is_taken_over() {
        let record =
            read_token_file(&file([5; 32], [5; 32])).unwrap().into_record("https://a".parse().unwrap());
        assert_eq!(record.scope.to_string(), "a:0");
        assert_eq!(record.amount, Some(MilliSat::from_msat(10_000)));
        assert_eq!(record.created_at, 1_700_000_000);
        assert!(record.is_usable(0));
    }

    #[test]
    fn unfinished_and_mismatched_ones_are_not() {
        assert_eq!(read_token_file(&file([0; 32], [5; 32])).unwrap_err(), ImportError::Pending);
        assert_eq!(read_token_file(&file([4; 32], [5; 32])).unwrap_err(), ImportError::Preimage);
    }

    #[test]
    fn truncated_or_padded_files_are_refused() {
        let whole = file([5; 32], [5; 32]);
        for length in 0..whole.len() {
            assert!(read_token_file(&whole[..length]).is_err(), "{length}");
        }
        assert_eq!(read_token_file(&[&whole[..], b"x"].concat()).unwrap_err(), ImportError::Form);
        assert_eq!(read_token_file(&[0xff; 200]).unwrap_err(), ImportError::Form);
    }
}
