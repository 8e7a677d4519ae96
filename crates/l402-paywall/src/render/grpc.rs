//! gRPC answers: HTTP 200, trailers-only, the challenge lines as metadata
//! ([gRPC over HTTP/2, Responses](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)).

use super::{Form, Scene};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::fmt::Write as _;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Adds status and message; a trailers-only answer carries them in its one header block.
pub(super) fn trailers_only(scene: &Scene<'_>, form: Form, headers: &mut HeaderMap) {
    let content_type = match form {
        Form::GrpcWeb => web_type(&scene.head.headers),
        _ => HeaderValue::from_static("application/grpc"),
    };
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(STATUS, HeaderValue::from(u16::from(scene.refusal.grpc_status())));
    let message = if scene.refusal.mints() {
        "payment required".to_owned()
    } else {
        percent_encoded(&scene.refusal.to_string())
    };
    headers.extend(HeaderValue::try_from(message).ok().map(|message| (MESSAGE, message)));
}

/// gRPC-Web answers in the variant it was asked in (`-text`, `+proto`).
fn web_type(request: &HeaderMap) -> HeaderValue {
    request.get(header::CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/grpc-web"))
}

/// `Status-Message` is percent-encoded outside printable ASCII.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}
