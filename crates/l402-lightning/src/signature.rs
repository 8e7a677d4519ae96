//! The elliptic-curve part of BOLT 11: the digest that is signed, and whose signature it is.

use bitcoin::secp256k1::{All, Message, Secp256k1, XOnlyPublicKey, ecdsa::RecoverableSignature};
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

/// Who signed an invoice.
#[derive(Clone)]
pub(crate) enum Signer {
    /// The key that the invoice names; the signature verifies against it.
    Named([u8; 33]),
    /// The key that the signature leads to. Finding it takes longer than all else about an invoice, and proves nothing:
    /// whatever is signed, there is such a key.
    Recoverable { digest: [u8; 32], signature: RecoverableSignature },
}

impl Signer {
    /// Whoever signed `digest`: the named key, if the signature verifies against it, or one that can be recovered.
    /// `None` if there is no such key.
    pub(crate) fn of(
        digest: [u8; 32],
        signature: &Bolt11InvoiceSignature,
        named: Option<&PayeePubKey>,
    ) -> Option<Self> {
        let signature = signature.0;
        let Some(PayeePubKey(key)) = named else {
            return is_recoverable(&digest, &signature).then_some(Self::Recoverable { digest, signature });
        };
        let message = Message::from_digest(digest);
        curve().verify_ecdsa(&message, &signature.to_standard(), key).ok()?;
        Some(Self::Named(key.serialize()))
    }

    /// The key. `None` where the signature was made so that the recovered key is the point at infinity, which nobody can
    /// sign for.
    pub(crate) fn key(&self) -> Option<[u8; 33]> {
        match self {
            Self::Named(key) => Some(*key),
            Self::Recoverable { digest, signature } => recovered(digest, signature),
        }
    }
}

/// Whether the signature leads to a key: `s` is not zero, and there is a point with the x coordinate `r`.
fn is_recoverable(digest: &[u8; 32], signature: &RecoverableSignature) -> bool {
    let (id, bytes) = signature.serialize_compact();
    // Here `r` is the coordinate less the order of the group: one signature in 2^127, or one that was made up.
    if id.to_i32() > 1 {
        return recovered(digest, signature).is_some();
    }
    let (r, s) = bytes.split_at(32);
    s.iter().any(|byte| *byte != 0) && XOnlyPublicKey::from_slice(r).is_ok()
}

fn recovered(digest: &[u8; 32], signature: &RecoverableSignature) -> Option<[u8; 33]> {
    let key = curve().recover_ecdsa(&Message::from_digest(*digest), signature).ok()?;
    Some(key.serialize())
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

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::secp256k1::{SecretKey, ecdsa::RecoveryId};

    fn signature(id: i32, r: [u8; 32], s: [u8; 32]) -> Option<RecoverableSignature> {
        let bytes = [r, s].concat();
        RecoverableSignature::from_compact(&bytes, RecoveryId::from_i32(id).unwrap()).ok()
    }

    fn small(number: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[31] = number;
        bytes
    }

    #[test]
    fn a_signature_is_one_where_a_key_can_be_recovered() {
        let (digest, mut taken, mut refused) = ([7; 32], 0, 0);
        // Recovery looks for `r` and the order of the group together where the id is above 1, which small ones fit.
        let rs = (0..=255).flat_map(|r| [[r; 32], small(r)]);
        for (r, id) in rs.flat_map(|r| (0..4).map(move |id| (r, id))) {
            for s in [[0; 32], [1; 32]] {
                let Some(signature) = signature(id, r, s) else { continue };
                let is_taken = is_recoverable(&digest, &signature);
                assert_eq!(is_taken, recovered(&digest, &signature).is_some(), "{id} {r:x?} {s:x?}");
                *(if is_taken { &mut taken } else { &mut refused }) += 1;
            }
        }
        assert!(taken > 500 && refused > 500, "{taken} {refused}");
    }

    #[test]
    fn a_signature_may_lead_to_nobody() {
        let digest = [7; 32];
        // The secret number 1 and the key 0: the point's coordinate is the generator's, and `s` is what was signed.
        let (x, _) = SecretKey::from_slice(&small(1)).unwrap().x_only_public_key(curve());
        let signature = Bolt11InvoiceSignature(signature(0, x.serialize(), digest).unwrap());
        assert_eq!(Signer::of(digest, &signature, None).unwrap().key(), None);
    }
}
