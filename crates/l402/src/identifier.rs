//! The public name of a token: 66 bytes that commit it to one invoice.

use crate::{HexError, PaymentHash, payment::fixed_hex};
use std::{fmt, str::FromStr};

/// What a token's identifier says. Version 0: two bytes of version (big-endian), the payment hash, the token id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// The invoice whose payment makes the token good.
    pub payment_hash: PaymentHash,
    /// Which token this is.
    pub token_id: TokenId,
}

/// Names one token for limits, ledgers and revocation. Public: the first four bytes name the epoch of the key it was
/// minted with, the others are random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 32]);

/// Names a master key: all tokens minted with it carry these four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochId(pub [u8; 4]);

/// Why bytes are not an identifier that this version understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Not [`Identifier::LEN`] bytes.
    #[error("the identifier is not 66 bytes long")]
    Length,
    /// The first two bytes are not zero.
    #[error("the identifier has version {0}, not 0")]
    Version(u16),
}

impl Identifier {
    /// Length of a version 0 identifier in bytes.
    pub const LEN: usize = 66;

    /// Reads a version 0 identifier. Its length is exact: bytes that nobody reads could be varied freely.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentifierError> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().map_err(|_| IdentifierError::Length)?;
        let (version, rest) = bytes.split_first_chunk::<2>().ok_or(IdentifierError::Length)?;
        match u16::from_be_bytes(*version) {
            0 => {}
            other => return Err(IdentifierError::Version(other)),
        }
        let (payment_hash, token_id) = rest.split_first_chunk::<32>().ok_or(IdentifierError::Length)?;
        let token_id = token_id.try_into().map_err(|_| IdentifierError::Length)?;
        Ok(Self { payment_hash: PaymentHash(*payment_hash), token_id: TokenId(token_id) })
    }

    /// The bytes that go into the token.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[2..34].copy_from_slice(&self.payment_hash.0);
        bytes[34..].copy_from_slice(&self.token_id.0);
        bytes
    }
}

impl TokenId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The epoch of the key that the token was minted with, if this gateway minted it.
    pub const fn epoch(&self) -> EpochId {
        let [a, b, c, d, ..] = self.0;
        EpochId([a, b, c, d])
    }
}

impl fmt::Display for TokenId {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl FromStr for TokenId {
    type Err = HexError;

    /// 64 hexadecimal digits in any case.
    fn from_str(text: &str) -> Result<Self, HexError> {
        fixed_hex(text.as_bytes()).map(Self)
    }
}

impl fmt::Display for EpochId {
    /// 8 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochId({self})")
    }
}

impl FromStr for EpochId {
    type Err = HexError;

    /// 8 hexadecimal digits in any case.
    fn from_str(text: &str) -> Result<Self, HexError> {
        fixed_hex(text.as_bytes()).map(Self)
    }
}
