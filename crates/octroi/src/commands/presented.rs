//! A token as a person hands it in: an id, a macaroon, or a whole credential, in any spelling.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use l402::{
    Credential, CredentialError, DecodeError, Identifier, IdentifierError, Limits, Macaroon, TokenId,
    is_l402_authorization,
};
use std::io::{self, Read};
use zeroize::Zeroizing;

/// More than any credential has.
const INPUT_BYTES_MAX: u64 = 16 << 10;
/// What a person pastes is read in every alphabet and padding; only a gateway has to be strict.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
pub(super) const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
pub(super) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// A token as it was handed in.
pub(super) enum Presented {
    Token(Macaroon),
    Credential(Credential),
}

/// Why a text is not a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("standard input cannot be read: {0}")]
    Input(#[from] io::Error),
    #[error("the text is neither base64 nor hex")]
    Encoding,
    #[error(transparent)]
    Macaroon(#[from] DecodeError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
}

impl TokenFault {
    /// What to do about it.
    #[expect(clippy::unused_self, reason = "one hint fits all of them")]
    pub(super) fn hint(&self) -> &'static str {
        "hand in a macaroon in base64 or hex, or a whole `L402 <macaroon>:<preimage>`"
    }
}

/// The text that was handed in; `-` stands for standard input, where other users cannot see it.
pub(super) fn read(token: &str) -> Result<Zeroizing<String>, TokenFault> {
    if token != "-" {
        return Ok(Zeroizing::new(token.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The token or credential that a text is.
pub(super) fn present(text: &str) -> Result<Presented, TokenFault> {
    let text = text.trim();
    if text.contains(':') {
        let value =
            if is_l402_authorization(text.as_bytes()) { text.to_owned() } else { format!("L402 {text}") };
        let value = Zeroizing::new(value);
        let found = Credential::read(std::iter::once(value.as_bytes()), std::iter::empty())?;
        return found.map(Presented::Credential).ok_or(TokenFault::Encoding);
    }
    let limits = Limits::default();
    // A token's first byte is 2: `02` in hex, `A` in base64. So no text is both.
    if let Some(token) = hex::decode(text).ok().and_then(|bytes| Macaroon::parse(bytes, &limits).ok()) {
        return Ok(Presented::Token(token));
    }
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| TokenFault::Encoding)?;
    Ok(Presented::Token(Macaroon::parse(bytes, &limits)?))
}

/// The id of a token that was handed in, or that is handed in itself. No macaroon is as short as an id.
pub(super) fn token_id(text: &str) -> Result<TokenId, TokenFault> {
    if let Ok(id) = text.trim().parse() {
        return Ok(id);
    }
    let presented = present(text)?;
    let token = match &presented {
        Presented::Token(token) => token.view(),
        Presented::Credential(credential) => credential.macaroon(),
    };
    Ok(Identifier::parse(token.identifier())?.token_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402::{PaymentHash, Preimage, RootKey, TokenSpec};

    #[test]
    fn a_token_is_named_by_its_id_its_bytes_or_its_credential() {
        let preimage = Preimage::from_bytes([9; 32]);
        let id = TokenId::from_bytes([5; 32]);
        let payment_hash: PaymentHash = preimage.payment_hash();
        let spec = TokenSpec {
            service: "weather".parse().expect("a name"),
            tier: 0,
            capabilities: Vec::new(),
            constraints: Vec::new(),
            units: Some(100),
            valid_until: None,
        };
        let key = RootKey::from_bytes([7; 32]);
        let token =
            l402::mint(&key, "lsat", &Identifier { payment_hash, token_id: id }, &spec).expect("minted");
        let base64 = STANDARD.encode(token.as_bytes());
        for text in [
            id.to_string(),
            id.to_string().to_uppercase(),
            format!(" {id}\n"),
            hex::encode(token.as_bytes()),
            base64.clone(),
            format!("L402 {base64}:{}", preimage.reveal_hex()),
        ] {
            assert_eq!(token_id(&text).expect("a token"), id);
        }
        for text in ["", "05", "nonsense!", &id.to_string()[1..]] {
            assert!(token_id(text).is_err(), "{text}");
        }
    }
}
