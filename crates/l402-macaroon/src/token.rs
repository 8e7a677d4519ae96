//! A token that owns its bytes: minting and attenuating.

use crate::{CaveatRef, DecodeError, LimitError, Limits, MacaroonRef, RootKey, chain, codec};
use codec::Layout;
use std::fmt;

/// A well-formed token that owns its bytes. Unless you minted it yourself it has **not been verified**.
///
/// Two tokens are equal when their bytes are; every token has exactly one spelling.
#[derive(Clone)]
pub struct Macaroon {
    bytes: Vec<u8>,
    layout: Layout,
}

impl Macaroon {
    /// Reads a version 2 token; see [`MacaroonRef::parse`].
    pub fn parse(bytes: Vec<u8>, limits: &Limits) -> Result<Self, DecodeError> {
        let layout = Layout::read(&bytes, limits)?;
        Ok(Self { bytes, layout })
    }

    /// A new token with first-party caveats, within the default [`Limits`].
    ///
    /// `location` is a hint for the holder and is not signed; empty means none.
    pub fn mint<C: AsRef<[u8]>>(
        key: &RootKey,
        location: &str,
        identifier: &[u8],
        caveats: impl IntoIterator<Item = C>,
    ) -> Result<Self, LimitError> {
        let caveats: Vec<C> = caveats.into_iter().collect();
        let caveats = || caveats.iter().map(|caveat| CaveatRef::first_party(caveat.as_ref()));
        let start = chain::start(key.chain_key(), identifier);
        let signature = caveats().fold(start, |signature, caveat| chain::extend(&signature, &caveat));
        Self::from_written(codec::write(location.as_bytes(), identifier, caveats(), &signature))
    }

    /// The same token with one more first-party caveat, within the default [`Limits`]. Needs no key: whoever holds
    /// a token can restrict it, and nobody can take a restriction away.
    pub fn attenuate(&self, caveat: &[u8]) -> Result<Self, LimitError> {
        let caveat = CaveatRef::first_party(caveat);
        let signature = chain::extend(self.view().signature(), &caveat);
        let mut bytes = Vec::with_capacity(self.bytes.len() + caveat.len() + 8);
        bytes.extend_from_slice(&self.bytes[..self.layout.caveats.end]);
        codec::put_caveat(&mut bytes, &caveat);
        codec::put_end(&mut bytes, &signature);
        Self::from_written(bytes)
    }

    /// How many bytes a token has with this location, an identifier of this length and first-party caveats of these
    /// lengths.
    pub fn encoded_len(
        location: &str,
        identifier_len: usize,
        caveat_lens: impl IntoIterator<Item = usize>,
    ) -> usize {
        codec::encoded_len(location.len(), identifier_len, caveat_lens.into_iter())
    }

    /// The token to look into.
    pub fn view(&self) -> MacaroonRef<'_> {
        MacaroonRef::from_checked(&self.bytes, self.layout)
    }

    /// The token's one spelling in version 2 binary.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn from_checked(bytes: Vec<u8>, layout: Layout) -> Self {
        Self { bytes, layout }
    }

    /// Our own writing, read back: what would exceed the limits is never handed out.
    pub(crate) fn from_written(bytes: Vec<u8>) -> Result<Self, LimitError> {
        match Layout::read(&bytes, &Limits::default()) {
            Ok(layout) => Ok(Self { bytes, layout }),
            Err(DecodeError::Limit(limit)) => Err(limit),
            Err(other) => unreachable!("a token just written does not read back: {other}"),
        }
    }
}

impl PartialEq for Macaroon {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Macaroon {}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}
