//! The host of a request in the form that services are matched with.

use crate::refusal::Refusal;
use http::{header, request::Parts};
use std::borrow::Cow;

/// Lower case, without port and trailing dot. HTTP/1 has it in `Host`, HTTP/2 in `:authority`; where a request has both,
/// they must agree ([RFC 9112 section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)).
pub(crate) fn host_of(head: &Parts) -> Result<Cow<'_, str>, Refusal> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Refusal::Framing("more than one Host"));
    }
    let line = line.map(|value| value.to_str().map_err(|_| Refusal::Framing("Host is not a host name")));
    match (head.uri.authority(), line.transpose()?) {
        (None, None) => Err(Refusal::Framing("no Host")),
        (None, Some(host)) => normalized(host),
        (Some(authority), None) => normalized(authority.as_str()),
        (Some(authority), Some(host)) if authority.as_str().eq_ignore_ascii_case(host) => normalized(host),
        (Some(_), Some(_)) => Err(Refusal::Framing("Host and the request target disagree")),
    }
}

fn normalized(authority: &str) -> Result<Cow<'_, str>, Refusal> {
    let host = without_port(authority).ok_or(Refusal::Framing("Host is not a host name"))?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    if host.is_empty() || host.ends_with('.') || !host.bytes().all(plain) {
        return Err(Refusal::Framing("Host is not a host name"));
    }
    Ok(if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the port is digits or nothing.
fn without_port(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => {
            let end = inner.find(']')? + 2;
            inner[..end - 2].parse::<std::net::Ipv6Addr>().ok()?;
            authority.split_at(end)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
    (port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(target: &str, lines: &[&str]) -> Result<String, Refusal> {
        let mut request = http::Request::builder().uri(target);
        for line in lines {
            request = request.header(header::HOST, *line);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        host_of(&head).map(Cow::into_owned)
    }

    #[test]
    fn port_case_and_trailing_dot_do_not_matter() {
        for line in [
            "api.example.com",
            "API.Example.com",
            "api.example.com:8402",
            "api.example.com.",
            "api.example.com.:80",
            "api.example.com:",
        ] {
            assert_eq!(host("/", &[line]).as_deref(), Ok("api.example.com"), "{line}");
        }
        assert_eq!(host("/", &["[2001:DB8::1]:80"]).as_deref(), Ok("[2001:db8::1]"));
        assert_eq!(host("http://api.example.com/x", &[]).as_deref(), Ok("api.example.com"));
        assert_eq!(host("http://api.example.com/x", &["API.example.com"]).as_deref(), Ok("api.example.com"));
    }

    #[test]
    fn ambiguous_hosts_are_refused() {
        let cases: [(&str, &[&str]); 9] = [
            ("/", &[]),
            ("/", &["a.example", "b.example"]),
            ("http://a.example/", &["b.example"]),
            ("/", &[""]),
            ("/", &["a.example/x"]),
            ("/", &["user@a.example"]),
            ("/", &["a.example:80x"]),
            ("/", &["[::1"]),
            ("/", &["a.example.."]),
        ];
        for (target, lines) in cases {
            assert!(matches!(host(target, lines), Err(Refusal::Framing(_))), "{target} {lines:?}");
        }
    }
}
