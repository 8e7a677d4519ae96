//! The elliptic-curve part of BOLT 11: the digest that is signed, and whose signature it is.

use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, ecdsa::RecoverableSignature};
use lightning_invoice::{Bolt11InvoiceSignature, PayeePubKey};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// The one context of the process: making one costs as much as a signature, and it is read-only afterwards.
static CURVE: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Characters of the bech32 checksum.
const CHECKSUM_CHARS: usize = 6;
/// Characters of the signature: 65 bytes.
const SIGNATURE_CHARS: usize = 104;

/// The bech32 alphabet (BIP 173).
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// The value of each character in [`ALPHABET`]; 255 elsewhere.
const VALUES: [u8; 128] = values();

/// The process's curve context.
pub(crate) fn curve() -> &'static Secp256k1<All> {
    &CURVE
}

/// The digest that an invoice's signature is made over: the SHA-256 of the prefix's text and the data without the
/// signature, padded with zero bits to whole bytes.
///
/// It is taken from the text as it was received. The parser takes its own from the fields, written again; where the two
/// differ (an integer with leading zeros is enough), readers disagree about the payee.
///
/// `None` if the text has no such parts.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    let (prefix, data) = text.rsplit_once('1')?;
    let signed = data.as_bytes().get(..data.len().checked_sub(CHECKSUM_CHARS + SIGNATURE_CHARS)?)?;
    let mut bytes = Vec::with_capacity(prefix.len() + signed.len() * 5 / 8 + 1);
    bytes.extend(prefix.bytes().map(|byte| byte.to_ascii_lowercase()));
    let (mut pending, mut pending_bits) = (0_u16, 0_u32);
    for char in signed {
        let value = *VALUES.get(usize::from(char.to_ascii_lowercase()))?;
        if value > 31 {
            return None;
        }
        pending = pending << 5 | u16::from(value);
        pending_bits += 5;
        if pending_bits >= 8 {
            pending_bits -= 8;
            bytes.push(low_byte(pending >> pending_bits));
        }
    }
    if pending_bits > 0 {
        bytes.push(low_byte(pending << (8 - pending_bits)));
    }
    Some(Sha256::digest(&bytes).into())
}

/// The key that made the signature: the named one if the signature verifies against it, else the recovered one.
/// `None` if there is no such key.
pub(crate) fn payee(
    digest: &[u8; 32],
    signature: &Bolt11InvoiceSignature,
    named: Option<&PayeePubKey>,
) -> Option<[u8; 33]> {
    let message = Message::from_digest(*digest);
    let signature: &RecoverableSignature = &signature.0;
    match named {
        Some(key) => {
            let key: &PublicKey = &key.0;
            curve().verify_ecdsa(&message, &signature.to_standard(), key).ok()?;
            Some(key.serialize())
        }
        None => Some(curve().recover_ecdsa(&message, signature).ok()?.serialize()),
    }
}

/// The low eight bits.
const fn low_byte(bits: u16) -> u8 {
    bits.to_be_bytes()[1]
}

/// The inverse of [`ALPHABET`].
const fn values() -> [u8; 128] {
    let mut values = [255; 128];
    let mut value = 0;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
}
