//! Who the client is: the peer, unless the peer is a trusted proxy. Then the nearest address in its list that is not
//! one of the trusted proxies, read from the right: everything left of it the client could have written itself.

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const FORWARDED: &str = "forwarded";
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Longer chains of proxies do not exist; a longer list is an attempt to make us work.
const HOPS_MAX: usize = 16;

/// The client's address as far as trusted proxies vouch for it, by `Forwarded` (RFC 7239) or `X-Forwarded-For`.
///
/// A proxy writes one of the two and passes the client's other one through. Where both are there and disagree, nobody
/// can tell which is the proxy's, so neither counts.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let forwarded = || nearest(peer, hops(headers, FORWARDED, forwarded_for), trusted);
    let forwarded_for = || nearest(peer, hops(headers, FORWARDED_FOR, |hop| address(hop.trim())), trusted);
    match (headers.contains_key(FORWARDED), headers.contains_key(FORWARDED_FOR)) {
        (true, true) => Some(forwarded()).filter(|address| *address == forwarded_for()).unwrap_or(peer),
        (true, false) => forwarded(),
        (false, _) => forwarded_for(),
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The first hop, from the right, that is not one of the trusted proxies.
fn nearest(peer: IpAddr, hops: Vec<Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    for hop in hops {
        // A hop that cannot be read hides whoever is left of it.
        let Some(hop) = hop else { return nearest };
        nearest = hop;
        if !is_trusted(nearest, trusted) {
            break;
        }
    }
    nearest
}

/// List elements from the right, over all lines of a header.
fn hops(headers: &HeaderMap, name: &str, read: impl Fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    let elements = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    elements.take(HOPS_MAX).map(read).collect()
}

/// `for=192.0.2.1;proto=https`, `For="[2001:db8::1]:4711"` ([RFC 7239 section 4](https://www.rfc-editor.org/rfc/rfc7239#section-4)).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

/// An address with or without port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")];
        client_address(peer.parse().expect("an address"), &map, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        for headers in [
            [("x-forwarded-for", "192.0.2.1")],
            [("forwarded", "for=192.0.2.1")],
            [("x-real-ip", "192.0.2.1")],
        ] {
            assert_eq!(client("203.0.113.9", &headers), "203.0.113.9", "{headers:?}");
        }
    }

    #[test]
    fn lists_are_read_from_the_right_up_to_the_first_stranger() {
        let cases: [(&[(&str, &str)], &str); 10] = [
            (&[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&[("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.2")], "192.0.2.1"),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1, 10.3.0.2")], "192.0.2.1"),
            (&[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2"),
            (&[("x-forwarded-for", "garbage")], "10.0.0.1"),
            (&[("x-forwarded-for", "192.0.2.1:4711")], "192.0.2.1"),
            (&[("forwarded", "for=1.1.1.1, For=\"[2001:db8::7]:80\";proto=https, for=10.0.0.3")], "1.1.1.1"),
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "1.1.1.1")], "10.0.0.1"),
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "1.1.1.1, 192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "for=_hidden")], "10.0.0.1"),
        ];
        for (headers, expected) in cases {
            assert_eq!(client("10.0.0.1", headers), expected, "{headers:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]), "192.0.2.1");
    }
}
