//! Reading a token where it lies, without copying.

use crate::{LimitError, Limits, Macaroon, RootKey, chain, codec};
use codec::{Layout, Reader, SIGNATURE_LEN};
use std::fmt;
use subtle::ConstantTimeEq;

/// A well-formed token that has **not been verified**: anybody can make one that says anything.
///
/// A view over the bytes it was parsed from; making one allocates nothing.
#[derive(Clone, Copy)]
pub struct MacaroonRef<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// One restriction of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaveatRef<'a> {
    /// What must hold. For a first-party caveat this is the text of the restriction.
    pub identifier: &'a [u8],
    /// The encrypted key of a third-party caveat; `None` for a first-party one.
    pub verification_id: Option<&'a [u8]>,
    /// Where to obtain the discharge of a third-party caveat; not signed.
    pub location: Option<&'a [u8]>,
}

/// Why bytes are not a token. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first byte is not the version 2 marker.
    #[error("the token is not a version 2 macaroon (it starts with byte {0})")]
    Version(u8),
    /// The token ends in the middle of a field.
    #[error("the token is cut off")]
    Truncated,
    /// A length is not a minimal varint, or larger than any token.
    #[error("a length in the token is not written in its shortest form")]
    Varint,
    /// A field of this tag is unknown, repeated, or not where it belongs.
    #[error("the token has an unexpected field (tag {0})")]
    Field(u8),
    /// A field of this tag is present although it is empty; it would not be written back.
    #[error("the token has an empty field (tag {0})")]
    EmptyField(u8),
    /// A location is not UTF-8. The other fields may hold any bytes.
    #[error("a location is not UTF-8")]
    LocationText,
    /// A caveat without verification id has a location, which only third-party caveats have.
    #[error("a first-party caveat has a location")]
    FirstPartyLocation,
    /// The signature is not 32 bytes long.
    #[error("the token's signature is not 32 bytes long")]
    SignatureLength,
    /// Something follows the signature.
    #[error("bytes follow the token")]
    Trailing,
    /// The token is larger than allowed.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Why a well-formed token is refused by [`MacaroonRef::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature does not belong to this key and these bytes. Another issuer, a retired key and a forgery
    /// look the same.
    #[error("the token's signature does not hold")]
    Signature,
    /// The token has a third-party caveat. Discharges are not supported, so it can never be met.
    #[error("the token has a third-party caveat, which is not supported")]
    ThirdParty,
}

impl<'a> MacaroonRef<'a> {
    /// Reads a version 2 token. Limits come before all other work, nothing is allocated, and every byte has to be
    /// as [`Macaroon`] would write it: minimal varints, fields in order, none empty that could be absent, no byte
    /// left over.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self { bytes, layout: Layout::read(bytes, limits)? })
    }

    /// The issuer's hint at where the token belongs. It is not signed, so nothing may depend on it.
    pub fn location(&self) -> &'a [u8] {
        self.layout.location.of(self.bytes)
    }

    /// The public name that the issuer finds the root key by.
    pub fn identifier(&self) -> &'a [u8] {
        self.layout.identifier.of(self.bytes)
    }

    /// The restrictions, in the order they were added.
    pub fn caveats(&self) -> Caveats<'a> {
        Caveats { reader: Reader { rest: self.layout.caveats.of(self.bytes) } }
    }

    /// How many caveats there are.
    pub fn caveat_count(&self) -> usize {
        self.layout.caveat_count
    }

    /// The end of the HMAC chain. With it a holder can add caveats, so it is as secret as the token.
    pub fn signature(&self) -> &'a [u8; SIGNATURE_LEN] {
        last_signature(self.bytes)
    }

    /// The token as it was read, which is also how it would be written.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A copy that owns its bytes.
    pub fn to_owned(&self) -> Macaroon {
        Macaroon::from_checked(self.bytes.to_vec(), self.layout)
    }

    /// Checks that whoever made the token held `key`, and that no caveat was removed or altered since.
    ///
    /// Says nothing about whether the caveats hold: that is for the caller to check, all of them. Takes the same
    /// time wherever the signature differs, and allocates nothing.
    pub fn verify(&self, key: &RootKey) -> Result<(), VerifyError> {
        if self.layout.has_third_party {
            return Err(VerifyError::ThirdParty);
        }
        let start = chain::start(key.chain_key(), self.identifier());
        let end = self.caveats().fold(start, |signature, caveat| chain::extend(&signature, &caveat));
        if bool::from(end.ct_eq(self.signature())) { Ok(()) } else { Err(VerifyError::Signature) }
    }

    /// The signature that the token had after each of its caveats was added: the last one is its own. Each is as secret as
    /// a token, and means nothing unless [`verify`](Self::verify) says so for this key.
    pub fn running_signatures(&self, key: &RootKey) -> impl Iterator<Item = [u8; SIGNATURE_LEN]> + use<'a> {
        let start = chain::start(key.chain_key(), self.identifier());
        self.caveats().scan(start, |signature, caveat| {
            *signature = chain::extend(signature, &caveat);
            Some(*signature)
        })
    }

    pub(crate) fn from_checked(bytes: &'a [u8], layout: Layout) -> Self {
        Self { bytes, layout }
    }
}

impl fmt::Debug for MacaroonRef<'_> {
    /// Neither the signature nor the caveats, which may hold a secret too: a log line must not be a usable token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacaroonRef")
            .field("location", &format_args!("{}", self.location().escape_ascii()))
            .field("identifier", &format_args!("{}", self.identifier().escape_ascii()))
            .field("caveats", &self.caveat_count())
            .finish_non_exhaustive()
    }
}

impl<'a> CaveatRef<'a> {
    pub(crate) fn first_party(identifier: &'a [u8]) -> Self {
        Self { identifier, verification_id: None, location: None }
    }

    /// Bytes of all its fields together.
    pub(crate) fn len(&self) -> usize {
        let optional = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        self.identifier.len() + optional(self.verification_id) + optional(self.location)
    }
}

/// The caveats of a token; see [`MacaroonRef::caveats`].
#[derive(Clone, Debug)]
pub struct Caveats<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Caveats<'a> {
    type Item = CaveatRef<'a>;

    fn next(&mut self) -> Option<CaveatRef<'a>> {
        // The sections were checked when the token was read; only their end gives an error here.
        self.reader.caveat().ok()
    }
}

/// The last 32 bytes of a token that has been read.
fn last_signature(token: &[u8]) -> &[u8; SIGNATURE_LEN] {
    #[expect(clippy::expect_used, reason = "`Layout::read` found a signature of this length at the end")]
    token.last_chunk().expect("a checked token ends in its signature")
}
