//! Requests in the form of LND's REST gateway: 64-bit numbers as strings or numbers, bytes in either base64.

use super::answer::{Code, Refused};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value};
use std::time::Duration;

/// Most bytes of a request's body: many times the longest invoice.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A request's JSON object. Members that are not known here are ignored.
pub(super) struct Ask(Map<String, Value>);

impl Ask {
    /// Reads a body within its limits; an empty one is an empty object.
    pub(super) async fn read(body: Incoming) -> Result<Self, Refused> {
        let limited = Limited::new(body, BODY_BYTES_MAX);
        let collected = tokio::time::timeout(BODY_TIMEOUT, limited.collect())
            .await
            .map_err(|_| Refused::new(Code::InvalidArgument, "the body did not arrive in time"))?
            .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Refused::new(Code::ResourceExhausted, "the body is too large"),
                None => Refused::new(Code::InvalidArgument, "the body broke off"),
            })?;
        let bytes = collected.to_bytes();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refused::new(Code::InvalidArgument, "the body is no JSON object")),
            Err(error) => Err(Refused::new(Code::InvalidArgument, format!("the body is not JSON: {error}"))),
        }
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<Ask>, Refused> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Ask(members.clone()))),
            Some(_) => Err(invalid(name)),
        }
    }

    /// A string member; absent is empty.
    pub(super) fn text(&self, name: &str) -> Result<&str, Refused> {
        match self.member(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(invalid(name)),
        }
    }

    /// A boolean member; absent is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.member(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(invalid(name)),
        }
    }

    /// An `int64` member, as a number or a string; absent is `None`.
    pub(super) fn int64(&self, name: &str) -> Result<Option<i64>, Refused> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(|| invalid(name)),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| invalid(name)),
            Some(_) => Err(invalid(name)),
        }
    }

    /// An amount or count that is not negative; absent and 0 are `None`, as protobuf cannot tell them apart.
    pub(super) fn positive(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(number) = self.int64(name)? else { return Ok(None) };
        let number = u64::try_from(number).map_err(|_| invalid(name))?;
        Ok((number > 0).then_some(number))
    }

    /// 32 bytes in base64; absent and empty are `None`.
    pub(super) fn bytes32(&self, name: &str) -> Result<Option<[u8; 32]>, Refused> {
        let text = self.text(name)?;
        if text.is_empty() { Ok(None) } else { bytes32(text).map(Some).ok_or_else(|| invalid(name)) }
    }

    /// A member that is there; JSON's `null` is as good as absent.
    fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

/// 32 bytes in standard or url-safe base64, padded or not.
pub(super) fn bytes32(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?.try_into().ok()
}

/// Standard base64, as LND's answers have it.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn invalid(name: &str) -> Refused {
    Refused::new(Code::InvalidArgument, format!("invalid value for field {name}"))
}
