//! Writing and reading the `WWW-Authenticate` lines of a 402, and writing what answers them.

use crate::{
    Identifier, IdentifierError, Preimage,
    encoding::{TokenTextError, decode_token, encode_token},
    field::Scanner,
};
use l402_macaroon::{DecodeError, LimitError, Limits, Macaroon};
use std::borrow::Cow;

/// What a 402 offers: a token that is good once the invoice is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The token.
    pub token: Macaroon,
    /// The BOLT 11 invoice.
    pub invoice: String,
}

/// An offer as a buyer reads it. The token is the server's word for it: a buyer can compare
/// [`Identifier::payment_hash`] with the invoice, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The scheme word of the challenge, to be used in the answer.
    pub scheme: OfferScheme,
    /// The token that the payment makes good.
    pub token: Macaroon,
    /// What the token's identifier says.
    pub identifier: Identifier,
    /// The invoice's text: letters and digits, otherwise unchecked.
    pub invoice: String,
}

/// The scheme word of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfferScheme {
    /// `L402`.
    L402,
    /// `LSAT`, the protocol's first name.
    Lsat,
}

/// Why an L402 challenge is no offer. The server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The parameters do not follow the grammar of RFC 9110.
    #[error("the challenge's parameters cannot be read")]
    Syntax,
    /// A parameter comes twice.
    #[error("a parameter of the challenge comes twice")]
    Repeated,
    /// The challenge has neither token nor invoice: nothing is offered, as in the answer to `HEAD`.
    #[error("the challenge offers nothing to pay")]
    NoOffer,
    /// The version is not 0.
    #[error("the challenge has a version that is not 0")]
    Version,
    /// There is an invoice but no token.
    #[error("the challenge has no token")]
    TokenMissing,
    /// There is a token but no invoice.
    #[error("the challenge has no invoice")]
    InvoiceMissing,
    /// The invoice has other characters than letters and digits.
    #[error("the challenge's invoice is not an invoice")]
    Invoice,
    /// The token is not base64 in one alphabet, padded in full or not at all, without stray bits.
    #[error("the challenge's token is not proper base64")]
    Base64,
    /// `macaroon` and `token` are both there and differ.
    #[error("the challenge has two different tokens")]
    TokensDiffer,
    /// The token does not decode, or is larger than allowed.
    #[error(transparent)]
    Token(#[from] DecodeError),
    /// The token's identifier is not one of this protocol.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
}

impl Challenge {
    /// The `L402` line's value, in the one spelling that every known client reads: `macaroon`, `invoice`, `token`,
    /// `version`, all quoted, one comma and one space, padded standard base64.
    pub fn l402_value(&self) -> String {
        let (token, invoice) = (encode_token(self.token.as_bytes()), &self.invoice);
        format!(r#"L402 macaroon="{token}", invoice="{invoice}", token="{token}", version="0""#)
    }

    /// The `LSAT` line's value, for clients that know the protocol by its first name.
    pub fn lsat_value(&self) -> String {
        let (token, invoice) = (encode_token(self.token.as_bytes()), &self.invoice);
        format!(r#"LSAT macaroon="{token}", invoice="{invoice}""#)
    }
}

/// Reads every L402 and LSAT challenge from all `WWW-Authenticate` lines, in order; other schemes are passed over.
///
/// Accepted: several challenges in one line, parameters in any order and case, quoted or not, `token` and `macaroon`
/// as synonyms, both base64 alphabets with or without padding. Unknown parameters are ignored.
pub fn read_challenges<'h>(
    www_authenticate: impl Iterator<Item = &'h [u8]>,
) -> Vec<Result<Offer, ChallengeError>> {
    www_authenticate.flat_map(challenges_of_line).collect()
}

/// The value of the `Authorization` line that answers an offer: `<scheme> <base64>:<hex>`. Secret.
pub fn authorization_value(scheme: OfferScheme, token: &Macaroon, preimage: &Preimage) -> String {
    let scheme = scheme.as_str();
    format!("{scheme} {}:{}", encode_token(token.as_bytes()), preimage.reveal_hex())
}

/// The value of the gRPC metadata entry `macaroon` that answers an offer: the token with the preimage added as a
/// caveat, in hexadecimal. Secret.
pub fn metadata_value(token: &Macaroon, preimage: &Preimage) -> Result<String, LimitError> {
    let token = token.attenuate(format!("preimage={}", preimage.reveal_hex()).as_bytes())?;
    Ok(hex::encode(token.as_bytes()))
}

impl OfferScheme {
    /// The scheme word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L402 => "L402",
            Self::Lsat => "LSAT",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        [Self::L402, Self::Lsat]
            .into_iter()
            .find(|scheme| word.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    }
}

/// RFC 9110, section 11.6.1: challenges and their parameters are separated by the same comma, so an element is a
/// parameter if a `=` follows its first word, and otherwise starts the next challenge.
fn challenges_of_line(line: &[u8]) -> Vec<Result<Offer, ChallengeError>> {
    let mut offers = Vec::new();
    let mut current: Option<Parameters<'_>> = None;
    let mut scanner = Scanner::new(line);
    loop {
        scanner.take_separators();
        if scanner.is_at_end() {
            offers.extend(current.map(Parameters::into_offer));
            return offers;
        }
        if let Some(word) = scheme_word(&mut scanner) {
            let next = OfferScheme::of(word).map(Parameters::new);
            offers.extend(std::mem::replace(&mut current, next).map(Parameters::into_offer));
            if scanner.peek().is_none_or(|byte| byte == b',') || scanner.take_token68().is_some() {
                continue;
            }
        }
        let parameter = parameter(&mut scanner);
        if parameter.is_none() {
            scanner.skip_element();
        }
        if let Some(current) = &mut current {
            current.add(parameter);
        }
    }
}

/// A word that starts a challenge, with the blanks after it.
fn scheme_word<'a>(scanner: &mut Scanner<'a>) -> Option<&'a [u8]> {
    let mut ahead = *scanner;
    let word = ahead.take_token()?;
    let is_separated = ahead.take_blanks();
    let is_alone = ahead.peek().is_none_or(|byte| byte == b',');
    if ahead.peek() == Some(b'=') || !(is_separated || is_alone) {
        return None;
    }
    *scanner = ahead;
    Some(word)
}

/// `name = value`, blanks around the `=` allowed, up to the comma or the end.
fn parameter<'a>(scanner: &mut Scanner<'a>) -> Option<(&'a [u8], Cow<'a, [u8]>)> {
    let name = scanner.take_token()?;
    scanner.take_blanks();
    if !scanner.take(b'=') {
        return None;
    }
    scanner.take_blanks();
    let value = scanner.take_value()?;
    scanner.take_blanks();
    scanner.peek().is_none_or(|byte| byte == b',').then_some((name, value))
}

/// The parameters of one L402 challenge that mean something to us.
struct Parameters<'a> {
    scheme: OfferScheme,
    macaroon: Option<Cow<'a, [u8]>>,
    token: Option<Cow<'a, [u8]>>,
    invoice: Option<Cow<'a, [u8]>>,
    version: Option<Cow<'a, [u8]>>,
    fault: Option<ChallengeError>,
}

impl<'a> Parameters<'a> {
    fn new(scheme: OfferScheme) -> Self {
        Self { scheme, macaroon: None, token: None, invoice: None, version: None, fault: None }
    }

    /// `None` is a parameter that could not be read. The first fault counts.
    fn add(&mut self, parameter: Option<(&'a [u8], Cow<'a, [u8]>)>) {
        let Some((name, value)) = parameter else {
            self.fault.get_or_insert(ChallengeError::Syntax);
            return;
        };
        let place = match name.to_ascii_lowercase().as_slice() {
            b"macaroon" => &mut self.macaroon,
            b"token" => &mut self.token,
            b"invoice" => &mut self.invoice,
            b"version" => &mut self.version,
            _ => return,
        };
        if place.replace(value).is_some() {
            self.fault.get_or_insert(ChallengeError::Repeated);
        }
    }

    fn into_offer(self) -> Result<Offer, ChallengeError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.version.is_some_and(|version| *version != *b"0") {
            return Err(ChallengeError::Version);
        }
        let (token, invoice) = match (self.macaroon.as_ref().or(self.token.as_ref()), self.invoice) {
            (Some(token), Some(invoice)) => (decode(token)?, invoice),
            (None, Some(_)) => return Err(ChallengeError::TokenMissing),
            (Some(_), None) => return Err(ChallengeError::InvoiceMissing),
            (None, None) => return Err(ChallengeError::NoOffer),
        };
        if self.macaroon.is_some()
            && let Some(synonym) = &self.token
            && decode(synonym)? != token
        {
            return Err(ChallengeError::TokensDiffer);
        }
        let invoice = String::from_utf8(invoice.into_owned()).map_err(|_| ChallengeError::Invoice)?;
        if invoice.is_empty() || !invoice.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ChallengeError::Invoice);
        }
        let token = Macaroon::parse(token, &Limits::default())?;
        let identifier = Identifier::parse(token.view().identifier())?;
        Ok(Offer { scheme: self.scheme, token, identifier, invoice })
    }
}

fn decode(token: &[u8]) -> Result<Vec<u8>, ChallengeError> {
    decode_token(token, &Limits::default()).map_err(|error| match error {
        TokenTextError::Base64 => ChallengeError::Base64,
        TokenTextError::Limit(limit) => ChallengeError::Token(limit.into()),
    })
}
