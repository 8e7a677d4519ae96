//! HMAC-SHA256 (RFC 2104) for the one case a token has: keys of 32 bytes, messages that lie in memory as a whole.
//!
//! Built on the compression function, because the chain is nearly all that verifying costs, and an incremental
//! interface buffers what need not be buffered. A test holds it to the `hmac` crate.

use sha2::block_api::compress256;

/// FIPS 180-4, section 5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const BLOCK_LEN: usize = 64;
/// The marker byte and the length in bits that end the last block.
const ENDING_LEN: usize = 1 + 8;

type State = [u32; 8];
type Block = [u8; BLOCK_LEN];

/// The code of `message` under `key`.
pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let digest = hash(INITIAL, Some(key_block(key, 0x36)), message);
    hash(INITIAL, Some(key_block(key, 0x5c)), &digest)
}

/// A key that never changes, as the two states that hashing its padded block leaves.
pub(crate) struct FixedKey {
    inner: State,
    outer: State,
}

impl FixedKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let after = |block| {
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            state
        };
        Self { inner: after(key_block(key, 0x36)), outer: after(key_block(key, 0x5c)) }
    }

    /// The code of `message` under this key.
    pub(crate) fn hmac(&self, message: &[u8]) -> [u8; 32] {
        let digest = hash(self.inner, None, message);
        hash(self.outer, None, &digest)
    }
}

fn key_block(key: &[u8; 32], pad: u8) -> Block {
    let mut block = [pad; BLOCK_LEN];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    block
}

/// The digest of a key's block and the message behind it. The block is `first`, or has already led to `state`.
#[inline]
fn hash(mut state: State, first: Option<Block>, message: &[u8]) -> [u8; 32] {
    let bits = 8 * (BLOCK_LEN as u64 + message.len() as u64);
    let (whole, rest) = message.as_chunks::<BLOCK_LEN>();
    // Put together in place: copying what was just written in small pieces is slow.
    let mut blocks = [[0; BLOCK_LEN]; 3];
    let mut start = 1;
    if let Some(first) = first {
        if whole.is_empty() {
            // Nearly all messages are this short: one call for the key and the message.
            blocks[0] = first;
            start = 0;
        } else {
            compress256(&mut state, &[first]);
        }
    }
    if !whole.is_empty() {
        compress256(&mut state, whole);
    }
    let end = 1 + (rest.len() + ENDING_LEN).div_ceil(BLOCK_LEN);
    let ending = blocks[1..end].as_flattened_mut();
    let (text, length) = ending.split_at_mut(ending.len() - 8);
    text[..rest.len()].copy_from_slice(rest);
    text[rest.len()] = 0x80;
    length.copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &blocks[start..end]);

    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::{FixedKey, hmac};
    use ::hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    #[test]
    fn it_is_what_the_hmac_crate_computes_for_every_length() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 % 251).unwrap());
        let message: Vec<u8> = (0..700).map(|at| u8::try_from(at % 253).unwrap()).collect();
        for len in 0..=message.len() {
            let message = &message[..len];
            let mut reference = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            reference.update(message);
            let expected: [u8; 32] = reference.finalize().into_bytes().into();
            assert_eq!(hmac(&key, message), expected, "{len} bytes");
            assert_eq!(FixedKey::new(&key).hmac(message), expected, "{len} bytes, kept key");
        }
    }
}
