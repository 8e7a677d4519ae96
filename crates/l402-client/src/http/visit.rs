//! Where a request goes, redirect by redirect. No I/O: it is told what a server answered and says what follows.
//!
//! Within the origin the person named, redirects are followed. Another origin is visited only where that was asked
//! for, and from then on, even back home, no credential is shown and nothing is paid: the way was chosen by somebody
//! else. `https` is never left for `http`.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use thiserror::Error;

use super::payload::Payload;
use crate::origin::{Origin, OriginError, Scheme};

/// Most redirects for one request.
pub const HOPS_MAX: usize = 10;

/// What to do with a redirect to another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossOrigin {
    /// Stop.
    Refuse,
    /// Go there, with neither credential nor payment.
    Follow,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// To another origin, and nobody asked to go there.
    #[error("the server redirects to another origin, {to}")]
    CrossOrigin {
        /// Where to.
        to: Origin,
    },
    /// From `https` to `http`.
    #[error("the server redirects from https to http, {to}")]
    Downgrade {
        /// Where to.
        to: Origin,
    },
    /// More than [`HOPS_MAX`].
    #[error("more than {HOPS_MAX} redirects")]
    TooMany,
    /// The `Location` is no URL, or none to go to.
    #[error("the server redirects to something that is no web address")]
    Target,
}

/// One request on its way.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    named: Origin,
    url: Url,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
    payload: Payload,
    hops: usize,
    strayed: bool,
}

/// A URL as the person typed it, ready to be visited: an origin, no fragment.
fn clean_target(url: &Url) -> Result<(Url, Origin), OriginError> {
    let origin = Origin::of(url)?;
    let mut url = url.clone();
    url.set_fragment(None);
    Ok((url, origin))
}

impl Visit {
    pub(crate) fn new(
        url: &Url,
        method: Method,
        headers: HeaderMap,
        payload: Payload,
    ) -> Result<Self, OriginError> {
        let (url, origin) = clean_target(url)?;
        Ok(Self { named: origin.clone(), url, origin, method, headers, payload, hops: 0, strayed: false })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn path(&self) -> &str {
        self.url.path()
    }

    /// The origin the person named.
    pub(crate) fn named(&self) -> &Origin {
        &self.named
    }

    /// The origin it is at now.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Whether another origin had a say in where this is now.
    pub(crate) fn has_strayed(&self) -> bool {
        self.strayed
    }

    /// Moves on if the answer is a redirect (RFC 9110, section 15.4); `false` if it is the answer itself.
    pub(crate) fn follow(
        &mut self,
        status: StatusCode,
        answer: &HeaderMap,
        elsewhere: CrossOrigin,
    ) -> Result<bool, RedirectError> {
        let Some(location) = answer.get(LOCATION).filter(|_| redirects(status)) else { return Ok(false) };
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| RedirectError::Target)?;
        let target = self.url.join(location).map_err(|_| RedirectError::Target)?;
        let (target, origin) = clean_target(&target).map_err(|_| RedirectError::Target)?;
        if origin != self.origin {
            if self.origin.scheme() == Scheme::Https && origin.scheme() == Scheme::Http {
                return Err(RedirectError::Downgrade { to: origin });
            }
            if elsewhere == CrossOrigin::Refuse {
                return Err(RedirectError::CrossOrigin { to: origin });
            }
            self.strayed = true;
            for private in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                self.headers.remove(private);
            }
        }
        self.hops += 1;
        if self.hops > HOPS_MAX {
            return Err(RedirectError::TooMany);
        }
        if becomes_get(status, &self.method) {
            self.method = Method::GET;
            self.payload = Payload::Empty;
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
        self.url = target;
        self.origin = origin;
        Ok(true)
    }
}

fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn visit(url: &str, method: Method) -> Visit {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let url = url.parse().unwrap();
        Visit::new(&url, method, headers, Payload::Bytes("x".into())).unwrap()
    }

    fn go(visit: &mut Visit, status: u16, to: &str, elsewhere: CrossOrigin) -> Result<bool, RedirectError> {
        let mut answer = HeaderMap::new();
        answer.insert(LOCATION, to.parse().unwrap());
        visit.follow(StatusCode::from_u16(status).unwrap(), &answer, elsewhere)
    }

    #[test]
    fn within_the_origin_redirects_are_followed() {
        let mut there = visit("http://a/x?q", Method::GET);
        assert_eq!(go(&mut there, 302, "/y?z#f", CrossOrigin::Refuse), Ok(true));
        assert_eq!(there.url().as_str(), "http://a/y?z");
        assert!(!there.has_strayed());
        assert_eq!(go(&mut there, 200, "/z", CrossOrigin::Refuse), Ok(false));
        assert!(there.headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn another_origin_is_visited_on_request_only_and_never_with_credentials() {
        for other in ["http://b/", "http://a:81/", "//b/", "https://a/"] {
            let mut there = visit("http://a/x", Method::GET);
            assert!(matches!(
                go(&mut there, 302, other, CrossOrigin::Refuse),
                Err(RedirectError::CrossOrigin { .. })
            ));
            assert_eq!(go(&mut there, 302, other, CrossOrigin::Follow), Ok(true), "{other}");
            assert!(there.has_strayed());
            assert!(!there.headers().contains_key(AUTHORIZATION));
            assert_eq!(go(&mut there, 302, "http://a/y", CrossOrigin::Follow).is_ok(), other != "https://a/");
            assert!(there.has_strayed(), "coming back does not make it trustworthy");
        }
    }

    #[test]
    fn https_is_never_left_for_http() {
        let mut there = visit("https://a/x", Method::GET);
        for elsewhere in [CrossOrigin::Refuse, CrossOrigin::Follow] {
            let outcome = go(&mut there, 301, "http://a/x", elsewhere);
            assert!(matches!(outcome, Err(RedirectError::Downgrade { .. })));
        }
    }

    #[test]
    fn methods_and_bodies_change_as_the_standard_says() {
        for (status, before, after, kept) in [
            (301, Method::POST, Method::GET, false),
            (302, Method::POST, Method::GET, false),
            (303, Method::PUT, Method::GET, false),
            (303, Method::HEAD, Method::HEAD, true),
            (301, Method::PUT, Method::PUT, true),
            (307, Method::POST, Method::POST, true),
            (308, Method::POST, Method::POST, true),
        ] {
            let mut there = visit("http://a/x", before);
            assert_eq!(go(&mut there, status, "/y", CrossOrigin::Refuse), Ok(true));
            assert_eq!(*there.method(), after);
            assert_eq!(!there.payload().is_empty(), kept);
            assert_eq!(there.headers().contains_key(CONTENT_TYPE), kept);
        }
    }

    #[test]
    fn loops_and_nonsense_end() {
        let mut there = visit("http://a/0", Method::GET);
        for _ in 0..HOPS_MAX {
            assert_eq!(go(&mut there, 302, "/1", CrossOrigin::Refuse), Ok(true));
        }
        assert_eq!(go(&mut there, 302, "/1", CrossOrigin::Refuse), Err(RedirectError::TooMany));
        for nonsense in ["ftp://a/", "http://u:p@a/", "http://", "mailto:x"] {
            let mut there = visit("http://a/", Method::GET);
            assert_eq!(go(&mut there, 302, nonsense, CrossOrigin::Follow), Err(RedirectError::Target));
        }
    }
}
