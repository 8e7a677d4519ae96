//! Addresses, networks, URLs, origins and header names.

use crate::config::{
    problem::{Fault, UrlFault, resembling},
    section::{Form, FromScalar},
};
use http::HeaderName;
use ipnet::IpNet;
use l402_paywall::HostPattern;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// An IP address and port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Address(pub(in crate::config) SocketAddr);

impl FromScalar for Address {
    const FORM: Form = Form::Text {
        what: "an IP address and port, e.g. `127.0.0.1:8402` or `[::1]:8402`",
        pattern: r"^([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map(Self).map_err(|_| Self::malformed(text))
    }
}

/// A network whose hosts are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Network(pub(in crate::config) IpNet);

impl FromScalar for Network {
    const FORM: Form = Form::Text {
        what: "a network such as `10.0.0.0/8` or `2001:db8::/32`, or one address",
        pattern: "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address)));
        }
        let network: IpNet = text.parse().map_err(|_| Self::malformed(text))?;
        // `10.1.2.3/8` says two things; which of them was meant is not ours to guess.
        if network.trunc() != network {
            let expected = format!("the start of a network; write {} or {}", network.trunc(), network.addr());
            return Err(Fault::Malformed { text: text.to_owned(), expected });
        }
        Ok(Self(network))
    }
}

/// Where requests of a service go: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// Whether the connection is encrypted (`https`).
    pub tls: bool,
    /// DNS name or IP address in lower case; an IPv6 address in brackets.
    pub host: String,
    /// Port; 80 or 443 where the URL names none.
    pub port: u16,
}

impl UpstreamUrl {
    fn read(text: &str) -> Result<Self, UrlFault> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::NotAUrl)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlFault::Scheme),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlFault::UserInfo);
        }
        if !matches!(path, "" | "/") {
            return Err(UrlFault::Path);
        }
        let after_brackets = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[after_brackets..].rfind(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(after_brackets + colon);
                (host, Some(&port[1..]))
            }
            None => (authority, None),
        };
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or(UrlFault::Port)?
            }
            Some(_) => return Err(UrlFault::Port),
        };
        match HostPattern::parse(host) {
            Ok(HostPattern::Exact(host)) => Ok(Self { tls, host, port }),
            _ => Err(UrlFault::Host),
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl FromScalar for UpstreamUrl {
    const FORM: Form = Form::Text {
        what: "a URL of scheme, host and port, e.g. `http://127.0.0.1:9000`",
        pattern: "^[hH][tT][tT][pP][sS]?://[^/?#@ ]+/?$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::read(text).map_err(|why| Fault::Url { text: text.to_owned(), why })
    }
}

/// An origin as browsers spell it (RFC 6454 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Origin(pub(in crate::config) String);

impl FromScalar for Origin {
    const FORM: Form = Form::Text {
        what: "an origin as browsers spell it: lower case, no path, no default port, e.g. `https://app.example`",
        pattern: "^https?://[^/?#@ A-Z]+$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let url = UpstreamUrl::read(text).map_err(|_| Self::malformed(text))?;
        let scheme = if url.tls { "https" } else { "http" };
        let spelled = match (url.tls, url.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{}", url.host),
            (_, port) => format!("{scheme}://{}:{port}", url.host),
        };
        if spelled == text { Ok(Self(spelled)) } else { Err(Self::malformed(text)) }
    }
}

/// A header of a client that is removed before the upstream unless a service asks for it (wire contract, section 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct PassedHeader(pub(in crate::config) HeaderName);

/// Headers by which a client could speak as if it were a proxy, or ask for another target or method than it sent, beside
/// every `x-forwarded-...`. They never reach an upstream unless a service opts in (wire contract, section 7.3).
pub(crate) const REMOVED_HEADERS: [&str; 16] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

impl FromScalar for PassedHeader {
    const FORM: Form = Form::Text {
        what: "a header that is otherwise removed, e.g. `x-real-ip`, `forwarded` or `x-forwarded-for`",
        pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Self::malformed(text))?;
        if REMOVED_HEADERS.contains(&name.as_str()) {
            return Ok(Self(name));
        }
        match resembling(name.as_str(), REMOVED_HEADERS) {
            Some(meant) => {
                let words = REMOVED_HEADERS.to_vec();
                Err(Fault::UnknownWord { word: text.to_owned(), suggestion: Some(meant), words })
            }
            None if name.as_str().starts_with("x-forwarded-") => Ok(Self(name)),
            None => Err(Fault::PassedAnyway { name: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_scheme_host_and_port_and_nothing_else() {
        for (text, shown) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("https://API.example.com/", "https://api.example.com:443"),
            ("HTTP://[::1]", "http://[::1]:80"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(UpstreamUrl::read(text).expect(text).to_string(), shown);
        }
        for (text, why) in [
            ("127.0.0.1:9000", UrlFault::NotAUrl),
            ("", UrlFault::NotAUrl),
            ("ftp://a", UrlFault::Scheme),
            ("unix:///run/a.sock", UrlFault::Scheme),
            ("http://user:secret@a", UrlFault::UserInfo),
            ("http://a/base", UrlFault::Path),
            ("http://a?x", UrlFault::Path),
            ("http://a#x", UrlFault::Path),
            ("http://a\\b", UrlFault::Path),
            ("http://", UrlFault::Host),
            ("http://*.example.com", UrlFault::Host),
            ("http://a b", UrlFault::Host),
            ("http://a%20b", UrlFault::Host),
            ("http://::1", UrlFault::Host),
            ("http://a:", UrlFault::Port),
            ("http://a:0", UrlFault::Port),
            ("http://a:65536", UrlFault::Port),
            ("http://a:+80", UrlFault::Port),
        ] {
            assert_eq!(UpstreamUrl::read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        for text in ["https://app.example", "http://localhost:3000", "https://[::1]:8443"] {
            assert!(Origin::parse(text).is_ok(), "{text}");
        }
        for text in [
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "*",
            "null",
            "app.example",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_starts_where_it_says() {
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "0.0.0.0/0"] {
            assert!(Network::parse(text).is_ok(), "{text}");
        }
        for text in ["10.1.2.3/8", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/", ""] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_headers_that_are_otherwise_removed_can_be_passed() {
        for text in ["X-Real-IP", "forwarded", "x-forwarded-for", "x-forwarded-client-cert"] {
            assert!(PassedHeader::parse(text).is_ok(), "{text}");
        }
        assert!(matches!(PassedHeader::parse("accept"), Err(Fault::PassedAnyway { .. })));
        assert!(matches!(
            PassedHeader::parse("x-reel-ip"),
            Err(Fault::UnknownWord { suggestion: Some("x-real-ip"), .. })
        ));
        assert!(matches!(PassedHeader::parse("a b"), Err(Fault::Malformed { .. })));
    }
}
