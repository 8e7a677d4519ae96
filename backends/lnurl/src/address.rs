//! Lightning Addresses and LNURLs: all of them stand for the URL of one document.

use crate::sites::is_web;
use bech32::{Bech32, primitives::decode::CheckedHrpstring};
use l402_lightning::OpenError;
use reqwest::Url;

/// The URL of the document that `address` stands for; `plain` allows http to 127.0.0.1.
pub(crate) fn document(address: &str, plain: bool) -> Result<Url, OpenError> {
    let form = || OpenError::Form {
        setting: "address",
        expected: "a Lightning Address like shop@example.com, an LNURL or an https URL",
    };
    let address = address.trim();
    let url = if has_prefix(address, "lnurl1") || has_prefix(address, "lightning:") {
        decoded(address)
    } else if let Some((name, domain)) = address.split_once('@').filter(|_| !address.contains("://")) {
        of_identifier(name, domain, plain)
    } else if let Some(place) = address.strip_prefix("lnurlp://") {
        // LUD-17: a scheme that says what the document is.
        Some(format!("https://{place}"))
    } else {
        Some(address.to_owned())
    };
    let url = url.and_then(|url| Url::parse(&url).ok()).ok_or_else(form)?;
    if is_web(&url, plain) { Ok(url) } else { Err(form()) }
}

/// LUD-16: where the document of `name@domain` is.
fn of_identifier(name: &str, domain: &str, plain: bool) -> Option<String> {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'+');
    let host_only = !domain.is_empty() && !domain.contains(['/', '?', '#', '@', '\\']);
    if name.is_empty() || !name.bytes().all(allowed) || !host_only {
        return None;
    }
    let on_this_machine = plain && domain.split(':').next() == Some("127.0.0.1");
    let scheme = if on_this_machine { "http" } else { "https" };
    Some(format!("{scheme}://{domain}/.well-known/lnurlp/{name}"))
}

/// LUD-01: bech32 with the prefix `lnurl`, perhaps behind the scheme `lightning:`.
fn decoded(text: &str) -> Option<String> {
    let text = if has_prefix(text, "lightning:") { text.get("lightning:".len()..)? } else { text };
    let lnurl = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if !lnurl.hrp().as_str().eq_ignore_ascii_case("lnurl") {
        return None;
    }
    String::from_utf8(lnurl.byte_iter().collect()).ok()
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(address: &str) -> Option<String> {
        document(address, false).ok().map(String::from)
    }

    #[test]
    fn each_form_stands_for_the_url_of_a_document() {
        for (address, expected) in [
            ("shop@example.com", "https://example.com/.well-known/lnurlp/shop"),
            (" a-z_0.9+tag@pay.example.com ", "https://pay.example.com/.well-known/lnurlp/a-z_0.9+tag"),
            ("https://example.com/pay?shop=1", "https://example.com/pay?shop=1"),
            ("lnurlp://example.com/pay/1", "https://example.com/pay/1"),
        ] {
            assert_eq!(url(address).as_deref(), Some(expected), "{address}");
        }
    }

    /// The example of LUD-01.
    #[test]
    fn an_lnurl_is_decoded() {
        let lnurl = "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3HXQU\
                     RZEPEXEJXXEPNXSCRVWFNV9NXZCN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS";
        let expected =
            "https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df";
        for lnurl in [lnurl.to_owned(), lnurl.to_lowercase(), format!("lightning:{lnurl}")] {
            assert_eq!(url(&lnurl).as_deref(), Some(expected), "{lnurl}");
        }
        let damaged = lnurl.replace("Q5FNS", "Q5FNQ");
        assert_eq!(url(&damaged), None);
    }

    #[test]
    fn what_is_no_public_https_place_is_refused() {
        for none in [
            "",
            "shop",
            "@example.com",
            "shop@",
            "Shop@example.com",
            "sh/op@example.com",
            "shop@example.com/x",
            "shop@evil.example@example.com",
            "shop@127.0.0.1",
            "shop@[::1]",
            "http://example.com/pay",
            "http://127.0.0.1/pay",
            "https://10.0.0.1/pay",
            "https://0x7f000001/pay",
            "https://user:secret@example.com/pay",
            "ftp://example.com/pay",
            "lnurl1qqqq",
            "lightning:",
        ] {
            assert_eq!(url(none), None, "{none}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_and_only_if_it_is_wanted() {
        let plain = |address| document(address, true).ok().map(String::from);
        let local = "http://127.0.0.1:8080/.well-known/lnurlp/shop";
        assert_eq!(plain("shop@127.0.0.1:8080").as_deref(), Some(local));
        assert_eq!(plain(local).as_deref(), Some(local));
        assert_eq!(plain("shop@example.com").as_deref(), Some("https://example.com/.well-known/lnurlp/shop"));
        for none in
            ["http://example.com/pay", "http://127.0.0.2/pay", "http://localhost/pay", "https://127.0.0.1/"]
        {
            assert_eq!(plain(none), None, "{none}");
        }
    }
}
