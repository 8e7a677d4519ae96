//! Which form an answer takes.

use http::{HeaderMap, header};

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json`, for machines.
    Problem,
    /// `text/plain`.
    Plain,
    /// A page for people.
    Html,
    /// gRPC, trailers-only.
    Grpc,
    /// gRPC-Web, trailers-only.
    GrpcWeb,
}

impl Form {
    /// gRPC by content type; else HTML or plain text only where `Accept` names it above JSON. `*/*` and no `Accept` are
    /// machines.
    pub fn of(headers: &HeaderMap) -> Self {
        let content_type =
            headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if starts_with(content_type, b"application/grpc-web") {
            return Self::GrpcWeb;
        }
        if starts_with(content_type, b"application/grpc") {
            return Self::Grpc;
        }
        let wanted = Wanted::read(headers);
        if wanted.html > wanted.machine && wanted.html >= wanted.plain {
            Self::Html
        } else if wanted.plain > wanted.machine {
            Self::Plain
        } else {
            Self::Problem
        }
    }

    /// Whether a request speaks gRPC or gRPC-Web.
    pub fn is_grpc(headers: &HeaderMap) -> bool {
        headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| starts_with(value.as_bytes(), b"application/grpc"))
    }
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Qualities in thousandths (RFC 9110 section 12.4.2), doubled so that a type named outright beats a wildcard of the
/// same quality.
#[derive(Default)]
struct Wanted {
    html: u16,
    plain: u16,
    machine: u16,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Self {
        let mut wanted = Self::default();
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in lines.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
                .map_or(1000, thousandths);
            let named = if quality == 0 { 0 } else { quality * 2 + 1 };
            let (slot, value) = match media.as_str() {
                "text/html" | "application/xhtml+xml" => (&mut wanted.html, named),
                "text/plain" => (&mut wanted.plain, named),
                "application/json" | "application/problem+json" => (&mut wanted.machine, named),
                "*/*" | "application/*" => (&mut wanted.machine, quality * 2),
                _ => continue,
            };
            *slot = (*slot).max(value);
        }
        wanted
    }
}

/// `0`, `0.5`, `1.000`: at most three digits; what cannot be read is zero.
fn thousandths(text: &str) -> u16 {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let digits_valid = digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "1" if digits.bytes().all(|b| b == b'0') => 1000,
        "0" if digits_valid => format!("{digits:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_pages_and_machines_get_json() {
        let cases = [
            (None, Form::Problem),
            (Some("*/*"), Form::Problem),
            (Some("application/json"), Form::Problem),
            (Some("application/json, text/plain, */*"), Form::Problem),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html),
            (Some("text/html"), Form::Html),
            (Some("text/html;q=0.5, application/json"), Form::Problem),
            (Some("text/html;q=0"), Form::Problem),
            (Some("text/plain"), Form::Plain),
            (Some("text/plain, */*"), Form::Plain),
            (Some("text/plain;q=0.1, */*"), Form::Problem),
            (Some("text/html;q=bad"), Form::Problem),
            (Some("TEXT/HTML"), Form::Html),
            (Some("image/png"), Form::Problem),
        ];
        for (accept, form) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().expect("a value"));
            }
            assert_eq!(Form::of(&headers), form, "{accept:?}");
        }
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (content_type, form) in [
            ("application/grpc", Form::Grpc),
            ("application/grpc+proto", Form::Grpc),
            ("application/grpc-web-text", Form::GrpcWeb),
            ("application/json", Form::Problem),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().expect("a value"));
            assert_eq!(Form::of(&headers), form, "{content_type}");
        }
    }
}
