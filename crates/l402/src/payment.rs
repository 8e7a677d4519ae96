//! The two halves of a Lightning payment as L402 sees them.

use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The SHA-256 of a [`Preimage`]; names one invoice. Public.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentHash(pub(crate) [u8; 32]);

/// What the payer of an invoice learns: the proof of payment, and half of a credential.
///
/// Secret: `Debug` prints no byte of it, it is overwritten on drop, and it compares in constant time only.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Preimage([u8; 32]);

/// Text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 bytes in hexadecimal")]
pub struct HexError;

impl PaymentHash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PaymentHash {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentHash({self})")
    }
}

impl FromStr for PaymentHash {
    type Err = HexError;

    /// 64 hexadecimal digits in any case.
    fn from_str(text: &str) -> Result<Self, HexError> {
        fixed_hex(text.as_bytes()).map(Self)
    }
}

impl Preimage {
    /// The preimage with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits in any case.
    pub fn from_hex(text: &[u8]) -> Result<Self, HexError> {
        fixed_hex(text).map(Self)
    }

    /// The hash that an invoice commits to (BOLT 11: SHA-256 of the preimage).
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.0).into())
    }

    /// Its 32 bytes. Secret.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The preimage as 64 lower-case hexadecimal digits, for the places that have to send or store it.
    pub fn reveal_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl ConstantTimeEq for Preimage {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(..)")
    }
}

/// Reads exactly `N` bytes, in any case of digits. Takes the same steps whatever the digits are: some are secret.
pub(crate) fn fixed_hex<const N: usize>(text: &[u8]) -> Result<[u8; N], HexError> {
    let (pairs, []) = text.as_chunks::<2>() else { return Err(HexError) };
    let pairs: &[[u8; 2]; N] = pairs.try_into().map_err(|_| HexError)?;
    let mut bytes = [0; N];
    let mut faults = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        faults |= u8::from(!high.is_ascii_hexdigit()) | u8::from(!low.is_ascii_hexdigit());
        *byte = nibble(*high) << 4 | nibble(*low);
    }
    if faults == 0 { Ok(bytes) } else { Err(HexError) }
}

/// `0`-`9` are 0x30 to 0x39, `A`-`F` and `a`-`f` are 1 to 6 above 0x40 and 0x60.
fn nibble(digit: u8) -> u8 {
    (digit & 0x0f).wrapping_add(9 * (digit >> 6))
}
