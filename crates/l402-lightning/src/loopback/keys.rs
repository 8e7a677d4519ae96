//! The node's keys, all derived from one secret, and the masking of preimages.

use crate::{NodeId, signature};
use bitcoin::secp256k1::{Message, PublicKey, SecretKey, ecdsa::RecoverableSignature};
use hmac::{Hmac, KeyInit as _, Mac as _};
use l402::{PaymentHash, Preimage};
use sha2::Sha256;
use std::fmt;

type HmacSha256 = Hmac<Sha256>;

/// Everything the node keeps secret.
pub(super) struct NodeKeys {
    signing: SecretKey,
    id: NodeId,
    /// Keyed and not yet fed: masks preimages inside invoices.
    mask: HmacSha256,
    /// Keyed and not yet fed: preimages that the node chooses itself.
    preimages: HmacSha256,
}

impl NodeKeys {
    /// Derives every key from the secret, each under its own label.
    pub(super) fn derive(secret: &[u8; 32]) -> Self {
        let root = keyed(secret);
        let signing = signing_key(&root);
        Self {
            signing,
            id: NodeId::from_bytes(signing.public_key(signature::curve()).serialize()),
            mask: keyed(&prf(&root, &[b"l402/loopback/mask"])),
            preimages: keyed(&prf(&root, &[b"l402/loopback/preimage"])),
        }
    }

    /// The public key of the signing key.
    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// Signs an invoice's digest.
    pub(super) fn sign(&self, digest: &Message) -> RecoverableSignature {
        signature::curve().sign_ecdsa_recoverable(digest, &self.signing)
    }

    /// Signs with a key that is not the node's.
    pub(super) fn sign_as_another(&self, digest: &Message) -> RecoverableSignature {
        signature::curve().sign_ecdsa_recoverable(digest, &self.signing.negate())
    }

    /// The public key, as the curve library has it.
    pub(super) fn public(&self) -> PublicKey {
        self.signing.public_key(signature::curve())
    }

    /// The preimage of the invoice with this number and time, for a caller that chose none.
    pub(super) fn preimage(&self, number: u64, now: u64) -> Preimage {
        Preimage::from_bytes(prf(&self.preimages, &[&number.to_be_bytes(), &now.to_be_bytes()]))
    }

    /// The payment secret that carries a preimage to whoever settles the invoice, readable by this node only.
    pub(super) fn mask(&self, preimage: &Preimage, payment_hash: PaymentHash) -> [u8; 32] {
        self.masked(preimage.as_bytes(), payment_hash)
    }

    /// The preimage in an invoice's payment secret; `None` if it is not the hash's, so not from here.
    pub(super) fn unmask(&self, payment_secret: &[u8; 32], payment_hash: PaymentHash) -> Option<Preimage> {
        let preimage = Preimage::from_bytes(self.masked(payment_secret, payment_hash));
        (preimage.payment_hash() == payment_hash).then_some(preimage)
    }

    /// Exclusive or with a pad that is different for each payment hash. Its own inverse.
    fn masked(&self, bytes: &[u8; 32], payment_hash: PaymentHash) -> [u8; 32] {
        let mut masked = prf(&self.mask, &[payment_hash.as_bytes()]);
        masked.iter_mut().zip(bytes).for_each(|(pad, byte)| *pad ^= byte);
        masked
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKeys(..)")
    }
}

/// A signing key out of the root. A derived value is outside the curve's order once in 2^128; then the next counts.
fn signing_key(root: &HmacSha256) -> SecretKey {
    let mut number = 0_u64;
    loop {
        let bytes = prf(root, &[b"l402/loopback/node", &number.to_be_bytes()]);
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return key;
        }
        number = number.wrapping_add(1);
    }
}

/// HMAC-SHA256 with a 32-byte key, which RFC 2104 pads with zeros to the block size.
fn keyed(key: &[u8; 32]) -> HmacSha256 {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    HmacSha256::new(&block.into())
}

/// One output of a keyed HMAC.
fn prf(keyed: &HmacSha256, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_preimage_is_read_back_by_the_same_node_only() {
        let (node, other) = (NodeKeys::derive(&[1; 32]), NodeKeys::derive(&[2; 32]));
        let preimage = Preimage::from_bytes([7; 32]);
        let hash = preimage.payment_hash();
        let masked = node.mask(&preimage, hash);
        assert_ne!(&masked, preimage.as_bytes());
        assert_eq!(node.unmask(&masked, hash).map(|found| *found.as_bytes()), Some([7; 32]));
        assert!(other.unmask(&masked, hash).is_none());
        assert!(node.unmask(&masked, PaymentHash::from_bytes([0; 32])).is_none());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", NodeKeys::derive(&[1; 32])), "NodeKeys(..)");
    }
}
