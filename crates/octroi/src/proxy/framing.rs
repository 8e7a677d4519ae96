//! Requests whose framing two servers could read differently are refused before anything else is decided (wire
//! contract, sections 6 and 7.5 to 7.7). This is what can be decided above the HTTP library; what it hides from us is
//! listed in `docs/traps.md`.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, request::Parts, uri::Scheme};
use l402_paywall::Refusal;

/// No body has more bytes.
const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// Checks the head of a request; its fields may have `bytes_max` bytes in all. The HTTP library's own limit is the size of
/// a buffer that grows in steps.
pub(super) fn check(head: &Parts, bytes_max: usize) -> Result<(), Refusal> {
    let field_bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if head.headers.iter().map(field_bytes).sum::<usize>() > bytes_max {
        return Err(Refusal::HeaderTooLarge);
    }
    if head.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Refusal::Framing("the target is of a scheme other than http and https"));
    }
    if head.version > Version::HTTP_11 {
        return check_te(&head.headers);
    }
    let headers = &head.headers;
    // Also beside a target that names one: whoever forwards the request would have to make it up (RFC 9112 section 3.2).
    if !headers.contains_key(header::HOST) {
        return Err(Refusal::Framing("no Host"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::Framing("Transfer-Encoding is anything but one `chunked`"));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Refusal::Framing("both Content-Length and Transfer-Encoding"));
        }
        if head.version < Version::HTTP_11 {
            return Err(Refusal::Framing("Transfer-Encoding in HTTP/1.0"));
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || !is_canonical_length(length.as_bytes()))
    {
        return Err(Refusal::Framing("Content-Length is repeated or not a plain number"));
    }
    check_connection(headers)
}

/// Whether an upstream's answer is framed as we asked for it: the only coding we understand is `chunked`.
pub(super) fn is_plain_answer(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// Decimal, without sign, leading zeros or a list.
fn is_canonical_length(text: &[u8]) -> bool {
    let digits = text.iter().all(u8::is_ascii_digit);
    let leading_zero = text.len() > 1 && text.first() == Some(&b'0');
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    digits && !leading_zero && number.is_some_and(|number| number <= CONTENT_LENGTH_MAX)
}

/// `Connection` may not take away what the message's meaning rests on
/// ([RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    const NEVER: [&str; 4] = ["host", "content-length", "transfer-encoding", "authorization"];
    for line in headers.get_all(header::CONNECTION) {
        let line = line.to_str().map_err(|_| Refusal::Framing("Connection is not a list of names"))?;
        let mut names = line.split(',').map(str::trim);
        if names.any(|name| NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))) {
            return Err(Refusal::Framing("Connection names a header that is not hop-by-hop"));
        }
    }
    Ok(())
}

/// HTTP/2 knows no hop-by-hop headers but `te: trailers`
/// ([RFC 9113 section 8.2.2](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2)).
fn check_te(headers: &HeaderMap) -> Result<(), Refusal> {
    let trailers =
        headers.get_all(header::TE).iter().all(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if trailers { Ok(()) } else { Err(Refusal::Framing("TE is anything but `trailers` in HTTP/2")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version);
        if version < Version::HTTP_2 {
            request = request.header("host", "a");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let cases: [&[(&str, &str)]; 14] = [
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", ",chunked")],
            &[("transfer-encoding", "identity")],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "3, 3")],
            &[("content-length", "03")],
            &[("content-length", "+3")],
            &[("content-length", "9223372036854775808")],
            &[("content-length", "")],
            &[("connection", "close, Host")],
            &[("connection", "authorization")],
            &[("connection", "Transfer-Encoding")],
        ];
        for headers in cases {
            assert!(
                matches!(check(&head(Version::HTTP_11, headers), 1024), Err(Refusal::Framing(_))),
                "{headers:?}"
            );
        }
        assert!(check(&head(Version::HTTP_10, &[("transfer-encoding", "chunked")]), 1024).is_err());
        assert!(check(&head(Version::HTTP_2, &[("te", "gzip")]), 1024).is_err());
        for target in ["http://a/", "ftp://a/"] {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.uri = target.parse().expect("a target");
            assert!(check(&head, 1024).is_err(), "{target}: no Host, or a scheme that is not ours");
        }
    }

    #[test]
    fn plain_framing_passes() {
        let cases: [&[(&str, &str)]; 5] = [
            &[],
            &[("transfer-encoding", "Chunked")],
            &[("content-length", "0")],
            &[("content-length", "9223372036854775807")],
            &[("connection", "keep-alive, x-a")],
        ];
        for headers in cases {
            assert_eq!(check(&head(Version::HTTP_11, headers), 1024), Ok(()), "{headers:?}");
        }
        assert_eq!(check(&head(Version::HTTP_2, &[("te", "trailers")]), 1024), Ok(()));
    }

    #[test]
    fn more_header_bytes_than_allowed_are_refused() {
        let head = head(Version::HTTP_11, &[("x-long", &"x".repeat(100)), ("x-short", "y")]);
        assert_eq!(check(&head, 131), Ok(()));
        assert_eq!(check(&head, 130), Err(Refusal::HeaderTooLarge));
    }
}
