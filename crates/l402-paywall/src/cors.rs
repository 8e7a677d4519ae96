//! Cross-origin access from browsers ([Fetch standard, CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol)).
//!
//! A browser shows a page neither the 402 nor its challenge unless these headers allow it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Which web pages may call a service and read its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Pages of any origin. Credentials here are tokens sent by the page itself, never cookies.
    Any,
    /// Pages of these origins, as browsers spell them (`https://app.example`).
    Origins(Vec<String>),
}

/// What a page may read of an answer.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, L402-Price, L402-Balance, L402-Cost, Retry-After");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
/// Request headers allowed when the preflight names none.
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, Macaroon, Grpc-Metadata-Macaroon, X-Grpc-Web");
/// Browsers may remember a preflight for ten minutes: a changed configuration reaches them soon enough.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

impl Cors {
    /// Whether a request is a preflight, which browsers send without credentials.
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Adds what lets the page read this answer, if its origin is allowed.
    pub fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        let allowed = match self {
            Self::Any => HeaderValue::from_static("*"),
            Self::Origins(origins) => {
                answer.append(header::VARY, HeaderValue::from_static("Origin"));
                if !origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
                    return;
                }
                origin.clone()
            }
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    /// Adds the answer to a preflight, if its origin is allowed.
    pub fn allow_preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        self.allow(request.get(header::ORIGIN), answer);
        if !answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let asked: Option<&HeaderValue> = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let headers = asked.filter(|value| names_headers(value)).cloned().unwrap_or(HEADERS);
        let fields: [(HeaderName, HeaderValue); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        answer.extend(fields);
    }
}

/// Only a list of header names is echoed.
fn names_headers(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' '))
}
