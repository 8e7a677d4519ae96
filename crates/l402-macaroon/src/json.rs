//! The JSON form of version 2 that libmacaroons defines: one-letter members, and beside each of those that can hold
//! bytes one with `64` after its name, for base64url without padding.

use crate::{CaveatRef, DecodeError, LimitError, Limits, Macaroon, codec};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use codec::{Layout, SIGNATURE_LEN};
use serde::{Deserialize, Serialize};

/// JSON text per byte of token, at most: every byte written as `\u0000`.
const MAX_TEXT_PER_BYTE: usize = 6;

/// Why text is not a token in JSON. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not an object with the members of a token.
    #[error("not a macaroon in JSON")]
    Json,
    /// The version is not 2.
    #[error("the token has version {0}, not 2")]
    Version(u32),
    /// A part is missing, or is there both as text and as base64.
    #[error("a part of the token is missing, or there twice")]
    Part,
    /// A part is not base64url without padding.
    #[error("a part of the token is not base64url without padding")]
    Base64,
    /// The token's form is wrong.
    #[error(transparent)]
    Token(#[from] DecodeError),
}

impl Macaroon {
    /// Reads the JSON form.
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self, JsonError> {
        if text.len() > limits.token_bytes.saturating_mul(MAX_TEXT_PER_BYTE) {
            return Err(JsonError::Token(LimitError::Token.into()));
        }
        let token: JsonToken = serde_json::from_str(text).map_err(|_| JsonError::Json)?;
        if token.v != 2 {
            return Err(JsonError::Version(token.v));
        }
        let location = part(token.l, token.l64)?.unwrap_or_default();
        let identifier = part(token.i, token.i64)?.ok_or(JsonError::Part)?;
        let signature = part(token.s, token.s64)?.ok_or(JsonError::Part)?;
        let signature: [u8; SIGNATURE_LEN] =
            signature.try_into().map_err(|_| DecodeError::SignatureLength)?;
        let caveats = token.c.into_iter().map(JsonCaveat::into_parts).collect::<Result<Vec<_>, _>>()?;
        if caveats.iter().any(|caveat| caveat.location.is_some() && caveat.verification_id.is_none()) {
            return Err(DecodeError::FirstPartyLocation.into());
        }
        let caveats = caveats.iter().map(CaveatParts::as_ref);
        let bytes = codec::write(&location, &identifier, caveats, &signature);
        let layout = Layout::read(&bytes, limits)?;
        Ok(Self::from_checked(bytes, layout))
    }

    /// Writes the JSON form: parts as text where they are UTF-8, except for signatures and verification ids.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "strings and a number always serialise"
    )]
    pub fn to_json(&self) -> String {
        let view = self.view();
        let (l, l64) = text_or_base64(Some(view.location()).filter(|location| !location.is_empty()));
        let (i, i64) = text_or_base64(Some(view.identifier()));
        let c = view.caveats().map(JsonCaveat::new).collect();
        let s64 = Some(URL_SAFE_NO_PAD.encode(view.signature()));
        let token = JsonToken { v: 2, l, l64, i, i64, c, s: None, s64 };
        serde_json::to_string(&token).expect("plain values serialise")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonToken {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i64: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    c: Vec<JsonCaveat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCaveat {
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    i64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l64: Option<String>,
}

impl JsonCaveat {
    fn new(caveat: CaveatRef<'_>) -> Self {
        let (i, i64) = text_or_base64(Some(caveat.identifier));
        let (l, l64) = text_or_base64(caveat.location);
        let v64 = caveat.verification_id.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Self { i, i64, v: None, v64, l, l64 }
    }

    fn into_parts(self) -> Result<CaveatParts, JsonError> {
        let non_empty = |part: Option<Vec<u8>>| part.filter(|bytes| !bytes.is_empty());
        Ok(CaveatParts {
            identifier: part(self.i, self.i64)?.ok_or(JsonError::Part)?,
            verification_id: non_empty(part(self.v, self.v64)?),
            location: non_empty(part(self.l, self.l64)?),
        })
    }
}

struct CaveatParts {
    identifier: Vec<u8>,
    verification_id: Option<Vec<u8>>,
    location: Option<Vec<u8>>,
}

impl CaveatParts {
    fn as_ref(&self) -> CaveatRef<'_> {
        CaveatRef {
            identifier: &self.identifier,
            verification_id: self.verification_id.as_deref(),
            location: self.location.as_deref(),
        }
    }
}

fn part(text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>, JsonError> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(JsonError::Part),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => URL_SAFE_NO_PAD.decode(base64).map(Some).map_err(|_| JsonError::Base64),
        (None, None) => Ok(None),
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (str::from_utf8(bytes), bytes)) {
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(URL_SAFE_NO_PAD.encode(bytes))),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    fn token() -> Macaroon {
        let caveats: [&[u8]; 2] = [b"account = 3735928559", b"\xff\x00"];
        Macaroon::mint(&RootKey::from_secret(b"this is the key"), "http://example.org/", b"keyid", caveats)
            .unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let json = token().to_json();
        let caveats = r#"[{"i":"account = 3735928559"},{"i64":"_wA"}]"#;
        let unsigned = format!(r#"{{"v":2,"l":"http://example.org/","i":"keyid","c":{caveats},"s64":""#);
        assert!(json.starts_with(&unsigned), "{json}");
        assert_eq!(Macaroon::from_json(&json, &Limits::default()), Ok(token()));
    }

    #[test]
    fn faults_are_named() {
        let read = |text: &str| Macaroon::from_json(text, &Limits::default()).unwrap_err();
        assert_eq!(read("[]"), JsonError::Json);
        assert_eq!(read(r#"{"v":2,"i":"a","x":1}"#), JsonError::Json);
        assert_eq!(read(r#"{"v":1,"i":"a","s64":""}"#), JsonError::Version(1));
        assert_eq!(read(r#"{"v":2,"s64":""}"#), JsonError::Part);
        assert_eq!(read(r#"{"v":2,"i":"a","i64":"YQ","s64":""}"#), JsonError::Part);
        assert_eq!(read(r#"{"v":2,"i64":"YQ==","s64":""}"#), JsonError::Base64);
        assert_eq!(read(r#"{"v":2,"i":"a","s64":""}"#), JsonError::Token(DecodeError::SignatureLength));
        let located = token().to_json().replace(r#"{"i64":"_wA"}"#, r#"{"i":"a","l":"b"}"#);
        assert_eq!(read(&located), JsonError::Token(DecodeError::FirstPartyLocation));
        assert_eq!(read(&" ".repeat(30_000)), JsonError::Token(LimitError::Token.into()));
    }
}
