//! The chain of HMAC-SHA256 computations that a token's signature is the end of.
//!
//! `key = HMAC("macaroons-key-generator", secret)`, then `signature = HMAC(key, identifier)`, then for every
//! caveat `signature = HMAC(signature, caveat)`. A third-party caveat (one with a verification id) enters as
//! `HMAC(signature, HMAC(signature, vid) || HMAC(signature, caveat))`.
//! Source: the format file of libmacaroons, which all other libraries follow.

use crate::{
    CaveatRef,
    hmac::{FixedKey, hmac},
};
use std::sync::LazyLock;

/// The constant is the key and the secret is the message.
static KEY_GENERATOR: LazyLock<FixedKey> = LazyLock::new(|| {
    let mut key = [0; 32];
    let constant = b"macaroons-key-generator";
    key[..constant.len()].copy_from_slice(constant);
    FixedKey::new(&key)
});

pub(crate) fn generate_key(secret: &[u8]) -> [u8; 32] {
    KEY_GENERATOR.hmac(secret)
}

/// The signature of a token without caveats.
pub(crate) fn start(key: &[u8; 32], identifier: &[u8]) -> [u8; 32] {
    hmac(key, identifier)
}

/// The signature after one more caveat.
pub(crate) fn extend(signature: &[u8; 32], caveat: &CaveatRef<'_>) -> [u8; 32] {
    let Some(verification_id) = caveat.verification_id else {
        return hmac(signature, caveat.identifier);
    };
    let mut both = [0_u8; 64];
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(&hmac(signature, verification_id));
    second.copy_from_slice(&hmac(signature, caveat.identifier));
    hmac(signature, &both)
}
