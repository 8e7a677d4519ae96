//! Where a token belongs: scheme, host and port, exactly as the person named them.
//!
//! A token bought over `https` never goes out over `http`, and two ports are two sellers. The text used as a
//! folder name is collision-free: different origins never share a folder.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest encoded host that is used as it is in a folder name; longer ones are named by their digest, so that
/// the whole name stays under the 255 bytes that file systems allow.
const PLAIN_HOST_BYTES_MAX: usize = 200;

/// Scheme, host and port of a URL (RFC 6454), canonical: lower-case, ASCII host, explicit port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// The two schemes this client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over verified TLS.
    Https,
}

/// Why a URL names no origin this client will talk to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginError {
    /// Not a URL (WHATWG URL).
    #[error("not a URL")]
    NotAUrl,
    /// Neither `http` nor `https`.
    #[error("only http and https URLs can be fetched")]
    Scheme,
    /// No host, or no port and no default for it.
    #[error("the URL names no host")]
    Host,
    /// `user:password@`: it would be sent as a second credential, and shows in process lists.
    #[error("a user name or password inside the URL is not accepted")]
    UserInfo,
}

impl Origin {
    /// The origin of `url`.
    pub fn of(url: &Url) -> Result<Self, OriginError> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(OriginError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::UserInfo);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(OriginError::Host)?;
        let port = url.port_or_known_default().ok_or(OriginError::Host)?;
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as a URL spells it: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the host is this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The folder name for this origin: `https_example.com_443`. One name for one origin, always.
    pub fn folder(&self) -> String {
        let scheme = self.scheme.as_str();
        let host = encode(&self.host);
        // `~` is never in an encoded host, so a digest cannot be mistaken for one.
        let host = if host.len() <= PLAIN_HOST_BYTES_MAX {
            host
        } else {
            format!("~{}", hex::encode(Sha256::digest(&self.host)))
        };
        format!("{scheme}_{host}_{}", self.port)
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::of(&Url::parse(text).map_err(|_| OriginError::NotAUrl)?)
    }
}

/// Letters, digits, `.` and `-` as they are; every other byte as `%XX`. Injective, and never a `_`, `/` or `~`.
fn encode(host: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(host.len());
    for byte in host.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        let names = [
            "https://a",
            "http://a",
            "https://a:8080",
            "http://a:443",
            "http://a_8080",
            "http://a:8080",
            "http://a.",
            "http://[::1]",
            "http://127.0.0.1",
        ];
        for (i, a) in names.iter().enumerate() {
            for b in &names[i + 1..] {
                assert_ne!(origin(a).folder(), origin(b).folder(), "{a} {b}");
            }
        }
    }

    #[test]
    fn spellings_of_one_origin_are_one() {
        assert_eq!(origin("HTTPS://Example.COM"), origin("https://example.com:443/x?y#z"));
        assert_eq!(origin("http://127.1"), origin("http://127.0.0.1:80"));
    }

    #[test]
    fn what_is_no_web_origin_is_refused() {
        assert_eq!("ftp://a".parse::<Origin>(), Err(OriginError::Scheme));
        assert_eq!("http://u:p@a".parse::<Origin>(), Err(OriginError::UserInfo));
        assert_eq!("a/b".parse::<Origin>(), Err(OriginError::NotAUrl));
    }

    #[test]
    fn loopback_is_known_by_address_and_name() {
        assert!(origin("http://[::1]:1").is_loopback());
        assert!(origin("http://127.8.8.8").is_loopback());
        assert!(origin("http://localhost").is_loopback());
        assert!(!origin("http://localhost.example").is_loopback());
    }

    fn any_origin() -> impl Strategy<Value = Origin> {
        (any::<bool>(), "[a-z0-9._~%\\[\\]:-]{1,240}", any::<u16>()).prop_map(|(tls, host, port)| Origin {
            scheme: if tls { Scheme::Https } else { Scheme::Http },
            host,
            port,
        })
    }

    proptest! {
        #[test]
        fn folders_are_injective_and_safe(a in any_origin(), b in any_origin()) {
            prop_assert_eq!(a == b, a.folder() == b.folder());
            prop_assert!(a.folder().len() <= 255);
            prop_assert!(!a.folder().contains('/') && !a.folder().starts_with('.'));
        }

        #[test]
        fn text_form_reads_back(host in "[a-z][a-z0-9-]{0,20}(\\.[a-z]{2,5})?", port in 1_u16..) {
            let origin = Origin { scheme: Scheme::Https, host, port };
            prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
        }
    }
}
