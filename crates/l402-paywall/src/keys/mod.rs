//! Root keys: derived from the master key of an epoch and the token's own identifier, so that verification needs no
//! lookup table. One epoch is current and mints; every epoch in the ring verifies; taking one out revokes its tokens.

mod file;

pub use file::{KeyFile, KeyFileError};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use l402::{EpochId, Identifier, Preimage, RootKey, RootKeys, TokenId};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// HKDF salt of root keys ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)); a change of the derivation gets a new one.
const ROOT_KEY_SALT: &[u8] = b"l402/root-key/v1";
/// Domain of preimages derived for nodes that let the caller choose them.
const PREIMAGE_DOMAIN: &[u8] = b"l402/preimage/v1";

/// The keys a gateway verifies with, newest last; the last one also mints.
pub struct KeyRing {
    epochs: Vec<EpochKeys>,
    current: usize,
}

/// One epoch, ready for use.
struct EpochKeys {
    id: EpochId,
    root: Hkdf<Sha256>,
    preimage: PreimageKey,
}

/// Derives preimages, where the node lets the caller choose them: a retried call creates the same invoice.
#[derive(Clone)]
pub struct PreimageKey(Hmac<Sha256>);

impl KeyRing {
    /// The ring that a key file describes.
    pub fn new(file: &KeyFile) -> Self {
        let keys = |epoch: &file::Epoch| EpochKeys {
            id: epoch.id(),
            root: Hkdf::new(Some(ROOT_KEY_SALT), epoch.root_master().as_slice()),
            preimage: PreimageKey::new(epoch.preimage_master()),
        };
        Self { epochs: file.epochs().iter().map(keys).collect(), current: file.current_index() }
    }

    /// The epoch that mints.
    pub fn current(&self) -> EpochId {
        self.epochs[self.current].id
    }

    /// Every epoch whose tokens are accepted.
    pub fn epochs(&self) -> impl Iterator<Item = EpochId> {
        self.epochs.iter().map(|epoch| epoch.id)
    }

    /// The root key of a token that is being minted in the current epoch.
    pub(crate) fn mint_key(&self, id: &Identifier) -> RootKey {
        self.epochs[self.current].root_key(id)
    }

    /// Derives preimages for tokens of the current epoch.
    pub fn preimage_key(&self) -> &PreimageKey {
        &self.epochs[self.current].preimage
    }
}

impl RootKeys for KeyRing {
    fn root_key(&self, id: &Identifier) -> Option<RootKey> {
        let epoch = id.token_id.epoch();
        let keys = self.epochs.iter().find(|keys| keys.id == epoch)?;
        Some(keys.root_key(id))
    }
}

impl EpochKeys {
    #[expect(clippy::expect_used, reason = "HKDF fails only above 255 blocks; this is one")]
    fn root_key(&self, id: &Identifier) -> RootKey {
        let mut key = Zeroizing::new([0; 32]);
        self.root.expand(&id.to_bytes(), key.as_mut_slice()).expect("one block");
        RootKey::from_bytes(*key)
    }
}

impl PreimageKey {
    fn new(master: &[u8; 32]) -> Self {
        // A 32-byte key is shorter than SHA-256's block, so the array form of the constructor cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(master);
        Self(Hmac::new((&*block).into()))
    }

    /// The preimage of a token: HMAC-SHA256 over the part of its identifier that does not depend on it.
    pub fn preimage(&self, token_id: &TokenId) -> Preimage {
        let version = 0_u16.to_be_bytes();
        let mac = self
            .0
            .clone()
            .chain_update(PREIMAGE_DOMAIN)
            .chain_update(version)
            .chain_update(token_id.as_bytes());
        Preimage::from_bytes(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("current", &self.current()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PreimageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreimageKey(..)")
    }
}
