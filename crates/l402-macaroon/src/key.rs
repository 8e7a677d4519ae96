//! The secret that a token is minted and verified with.

use crate::chain;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The key of a token's HMAC chain. Whoever holds it can mint tokens.
///
/// Every macaroon library passes the secret through `HMAC-SHA256("macaroons-key-generator", secret)` before the
/// chain starts, a step that descriptions of the format tend to leave out. This type holds the result, so the step
/// can be neither forgotten nor taken twice.
///
/// `Debug` prints no byte of it, it is overwritten on drop, and it cannot be compared.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// The key made from a secret of 32 random (or derived) bytes, the usual size.
    pub fn from_bytes(mut secret: [u8; 32]) -> Self {
        let key = Self(chain::generate_key(&secret));
        secret.zeroize();
        key
    }

    /// The key made from a secret of any length, as other issuers may have used. A short secret can be guessed.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self(chain::generate_key(secret))
    }

    pub(crate) fn chain_key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
