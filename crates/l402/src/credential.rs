//! Reading what a request presents.

use crate::{
    HexError, Identifier, IdentifierError, Preimage,
    encoding::{TokenTextError, decode_token},
    field::elements,
};
use l402_macaroon::{DecodeError, LimitError, Limits, Macaroon, MacaroonRef};
use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// Longest credential in bytes of header text.
const MAX_TEXT_BYTES: usize = 8 * 1024;

const PREIMAGE_DIGITS: usize = 64;

/// A token and the preimage that came with it. Proves nothing yet: that takes [`verify`](crate::verify).
#[derive(Clone, Debug)]
pub struct Credential {
    pub(crate) macaroon: Macaroon,
    pub(crate) identifier: Identifier,
    pub(crate) preimage: Preimage,
    pub(crate) scheme: Scheme,
}

/// How a credential was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `Authorization: L402 <base64>:<hex>`.
    L402,
    /// `Authorization: LSAT <base64>:<hex>`, the protocol's first name.
    Lsat,
    /// `Macaroon: <hex>` or `Grpc-Metadata-Macaroon: <hex>`, with the preimage inside as a caveat.
    MacaroonHeader,
}

/// Why a credential cannot be read. The client's fault; buying again would not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// More than 8 KiB of text.
    #[error("the credential is longer than 8 KiB")]
    TooLong,
    /// Not `<macaroon>:<preimage>` after the scheme and spaces.
    #[error("the credential is not of the form `L402 <macaroon>:<preimage>`")]
    Syntax,
    /// The token is not base64 in one alphabet, padded in full or not at all, without stray bits.
    #[error("the token is not proper base64")]
    Base64,
    /// The token in a macaroon header is not hexadecimal.
    #[error("the token is not hexadecimal")]
    Hex,
    /// The preimage is not 64 hexadecimal digits.
    #[error("the preimage is not 64 hexadecimal digits")]
    Preimage,
    /// The token does not decode, or is larger than allowed.
    #[error(transparent)]
    Token(#[from] DecodeError),
    /// The token's identifier is not one of this protocol.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// A token in a macaroon header has no `preimage` caveat.
    #[error("the token has no preimage")]
    PreimageMissing,
    /// A `preimage` caveat says another preimage than the credential or another such caveat.
    #[error("the credential names two different preimages")]
    PreimageDisagrees,
    /// The request has two different credentials; their rights are never added up.
    #[error("the request has two different credentials")]
    Several,
}

impl Credential {
    /// Finds the one credential of a request: `Ok(None)` if there is none.
    ///
    /// `authorization` are the values of all `Authorization` lines, `macaroon_headers` those of all `Macaroon` and
    /// `Grpc-Metadata-Macaroon` lines, in order. Credentials of other schemes are passed over, on lines of their own
    /// or joined by commas. The same credential may be there twice; two different ones are refused.
    ///
    /// Checked here: sizes before anything is decoded, base64 and hex in exactly one spelling, the token's form, its
    /// identifier, and that `preimage` caveats agree. Not checked here: whether the preimage belongs to the token.
    pub fn read<'h>(
        authorization: impl Iterator<Item = &'h [u8]>,
        macaroon_headers: impl Iterator<Item = &'h [u8]>,
    ) -> Result<Option<Self>, CredentialError> {
        let mut found = None;
        for element in authorization.flat_map(elements) {
            if let Some((scheme, rest)) = scheme_of(element) {
                Self::keep(&mut found, Self::from_authorization(scheme, rest)?)?;
            }
        }
        for element in macaroon_headers.flat_map(elements) {
            Self::keep(&mut found, Self::from_macaroon_header(element)?)?;
        }
        Ok(found)
    }

    /// The token, unverified.
    pub fn macaroon(&self) -> MacaroonRef<'_> {
        self.macaroon.view()
    }

    /// What the token's identifier says.
    pub fn identifier(&self) -> Identifier {
        self.identifier
    }

    /// The preimage as presented; nobody has compared it with the token yet.
    pub fn preimage(&self) -> &Preimage {
        &self.preimage
    }

    /// How the credential was presented.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `rest` is what follows the scheme word: spaces, the word perhaps once more, `<macaroon>:<preimage>`.
    fn from_authorization(scheme: Scheme, rest: &[u8]) -> Result<Self, CredentialError> {
        let text = after_spaces(rest)?;
        // A deployed client's cache repeats the scheme word.
        let text = match scheme_of(text) {
            Some((_, rest)) => after_spaces(rest)?,
            None => text,
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(CredentialError::TooLong);
        }
        let (token, preimage) = match text.split_last_chunk::<PREIMAGE_DIGITS>() {
            Some(([token @ .., b':'], digits)) => (token, digits),
            _ if text.contains(&b':') => return Err(CredentialError::Preimage),
            _ => return Err(CredentialError::Syntax),
        };
        let preimage = Preimage::from_hex(preimage).map_err(|HexError| CredentialError::Preimage)?;
        let token = decode_token(token, &Limits::default()).map_err(|error| match error {
            TokenTextError::Base64 => CredentialError::Base64,
            TokenTextError::Limit(limit) => CredentialError::Token(limit.into()),
        })?;
        Self::new(token, Some(preimage), scheme)
    }

    fn from_macaroon_header(text: &[u8]) -> Result<Self, CredentialError> {
        let limits = Limits::default();
        if text.len() / 2 > limits.token_bytes {
            return Err(CredentialError::Token(LimitError::Token.into()));
        }
        let token = hex::decode(text).map_err(|_| CredentialError::Hex)?;
        Self::new(token, None, Scheme::MacaroonHeader)
    }

    fn new(token: Vec<u8>, explicit: Option<Preimage>, scheme: Scheme) -> Result<Self, CredentialError> {
        let macaroon = Macaroon::parse(token, &Limits::default())?;
        let identifier = Identifier::parse(macaroon.view().identifier())?;
        let mut preimage = explicit;
        for caveat in macaroon.view().caveats() {
            let Some(text) = caveat.identifier.strip_prefix(b"preimage=") else { continue };
            let inside = Preimage::from_hex(text).map_err(|HexError| CredentialError::Preimage)?;
            match &preimage {
                Some(known) if bool::from(known.ct_eq(&inside)) => {}
                Some(_) => return Err(CredentialError::PreimageDisagrees),
                None => preimage = Some(inside),
            }
        }
        let preimage = preimage.ok_or(CredentialError::PreimageMissing)?;
        Ok(Self { macaroon, identifier, preimage, scheme })
    }

    /// Rights of two credentials are never added up: the second has to be the first again.
    fn keep(found: &mut Option<Self>, next: Self) -> Result<(), CredentialError> {
        let Some(earlier) = found else {
            *found = Some(next);
            return Ok(());
        };
        let is_same = earlier.macaroon == next.macaroon && bool::from(earlier.preimage.ct_eq(&next.preimage));
        if is_same { Ok(()) } else { Err(CredentialError::Several) }
    }
}

/// Whether an `Authorization` line holds an L402 credential, well-formed or not. Such a line is for the gateway; all
/// others are the application's own.
pub fn is_l402_authorization(value: &[u8]) -> bool {
    elements(value).any(|element| scheme_of(element).is_some())
}

/// The application's own part of an `Authorization` line: the line itself if nothing in it is for the gateway, and
/// otherwise its other elements, `None` if there are none.
pub fn application_authorization(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !is_l402_authorization(value) {
        return Some(Cow::Borrowed(value));
    }
    let own: Vec<&[u8]> = elements(value).filter(|element| scheme_of(element).is_none()).collect();
    if own.is_empty() { None } else { Some(Cow::Owned(own.join(&b", "[..]))) }
}

/// Our scheme word at the start of an element, and what follows it.
fn scheme_of(element: &[u8]) -> Option<(Scheme, &[u8])> {
    let (word, rest) = element.split_first_chunk::<4>()?;
    let scheme = match word.to_ascii_uppercase().as_slice() {
        b"L402" => Scheme::L402,
        b"LSAT" => Scheme::Lsat,
        _ => return None,
    };
    matches!(rest.first(), None | Some(b' ' | b'\t')).then_some((scheme, rest))
}

/// RFC 9110 allows one or more spaces between scheme and credentials, and no tab.
fn after_spaces(rest: &[u8]) -> Result<&[u8], CredentialError> {
    match rest.iter().position(|&byte| byte != b' ') {
        Some(spaces @ 1..) => Ok(&rest[spaces..]),
        _ => Err(CredentialError::Syntax),
    }
}
