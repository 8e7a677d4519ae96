//! Telling what a text is.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use l402::{
    ChallengeError, Credential, CredentialError, DecodeError, Limits, Macaroon, Offer, read_challenges,
};
use l402_lightning::{Invoice, InvoiceError};
use thiserror::Error;

/// What a text is.
#[derive(Debug)]
pub(super) enum Reading {
    Invoice(Box<Invoice>),
    Token(Box<Macaroon>),
    Challenge(Box<Offer>),
    Credential(Box<Credential>),
}

/// Why a text is nothing that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Unreadable {
    #[error("this looks like an invoice, but {0}")]
    Invoice(#[from] InvoiceError),
    #[error("this looks like a challenge, but {0}")]
    Challenge(#[from] ChallengeError),
    #[error("this looks like a credential, but {0}")]
    Credential(#[from] CredentialError),
    #[error("this looks like a token, but {0}")]
    Token(#[from] DecodeError),
    #[error("this is neither challenge, credential, token nor invoice")]
    Unknown,
}

/// Header names that people copy along with the value.
const HEADER_NAMES: [&str; 2] = ["www-authenticate:", "authorization:"];

impl Reading {
    /// What `text` is, by its own looks.
    pub(super) fn of(text: &str) -> Result<Self, Unreadable> {
        let text = without_header_name(text);
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("l402 ") || lower.starts_with("lsat ") {
            return Self::of_header_value(text);
        }
        let invoice = lower.strip_prefix("lightning:").unwrap_or(&lower);
        if invoice.starts_with("ln") && invoice.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self::Invoice(Box::new(Invoice::parse(invoice)?)));
        }
        // A credential without its scheme word, as people copy it.
        if text.contains(':') && !text.contains(' ') {
            return Self::of_header_value(&format!("L402 {text}"));
        }
        let bytes = token_bytes(text).ok_or(Unreadable::Unknown)?;
        Ok(Self::Token(Box::new(Macaroon::parse(bytes, &Limits::default())?)))
    }

    fn of_header_value(text: &str) -> Result<Self, Unreadable> {
        let lower = text.to_ascii_lowercase();
        let has_parameters = ["macaroon", "token", "invoice"]
            .iter()
            .any(|name| lower.split(name).skip(1).any(|rest| rest.trim_start().starts_with('=')));
        if !has_parameters {
            let lines = std::iter::once(text.as_bytes());
            let credential = Credential::read(lines, std::iter::empty())?.ok_or(Unreadable::Unknown)?;
            return Ok(Self::Credential(Box::new(credential)));
        }
        let mut offers = read_challenges(std::iter::once(text.as_bytes()));
        let readable = offers.iter().position(Result::is_ok).unwrap_or(0);
        if offers.is_empty() {
            return Err(Unreadable::Unknown);
        }
        Ok(Self::Challenge(Box::new(offers.swap_remove(readable)?)))
    }
}

fn without_header_name(text: &str) -> &str {
    let named = HEADER_NAMES
        .iter()
        .find(|name| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    named.map_or(text, |name| text[name.len()..].trim_start())
}

/// Hex, or base64 of either alphabet, padded or not: this is for looking, not for letting in.
fn token_bytes(text: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = hex::decode(text) {
        return Some(bytes);
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
        .filter(|bytes| !bytes.is_empty())
}
