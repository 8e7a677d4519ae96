//! Base64 and numbers, each value in exactly one spelling per alphabet.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use l402_macaroon::{LimitError, Limits};

/// Padding is checked here, stray bits are refused by the engines.
const UNPADDED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
static STANDARD_UNPADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, UNPADDED);
static URL_SAFE_UNPADDED: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, UNPADDED);

/// Why a token's text is not base64 of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenTextError {
    Base64,
    Limit(LimitError),
}

/// Decodes the text of a token: standard or url-safe alphabet, not mixed; padded in full or not at all; no stray
/// bits. Text that is too long for a token is not decoded.
pub(crate) fn decode_token(text: &[u8], limits: &Limits) -> Result<Vec<u8>, TokenTextError> {
    let digits = without_padding(text).ok_or(TokenTextError::Base64)?;
    let decoded_len = digits.len() / 4 * 3 + (digits.len() % 4).saturating_sub(1);
    if decoded_len > limits.token_bytes {
        return Err(TokenTextError::Limit(LimitError::Token));
    }
    let mut bytes = vec![0; decoded_len];
    let len = STANDARD_UNPADDED
        .decode_slice(digits, &mut bytes)
        .or_else(|_| URL_SAFE_UNPADDED.decode_slice(digits, &mut bytes))
        .map_err(|_| TokenTextError::Base64)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// The one form in which tokens are written: standard alphabet, padded. Every known client reads it.
pub(crate) fn encode_token(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// Strips the padding; `None` unless it fills up the last group or is absent.
fn without_padding(text: &[u8]) -> Option<&[u8]> {
    let ([digits @ .., b'=', b'='] | [digits @ .., b'=']) = text else { return Some(text) };
    let is_whole = text.len().is_multiple_of(4) && !digits.ends_with(b"=");
    is_whole.then_some(digits)
}

/// A decimal number within `u64` as `Display` writes it: no sign, no leading zero, no space.
pub(crate) fn canonical_u64(text: &[u8]) -> Option<u64> {
    if matches!(text, [] | [b'0', _, ..]) {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
