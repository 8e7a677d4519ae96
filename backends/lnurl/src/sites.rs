//! Where requests may go: a service's documents name URLs, and may name any.

use l402_lightning::OpenError;
use reqwest::Url;

/// The hosts that may be asked.
#[derive(Debug)]
pub(crate) struct Sites {
    /// Each with its port.
    hosts: Vec<(String, u16)>,
    plain: bool,
}

impl Sites {
    /// The host of the `document`, and those that the operator named.
    pub(crate) fn of(document: &Url, allowed: Option<&str>, plain: bool) -> Result<Self, OpenError> {
        let form = || OpenError::Form { setting: "allow_host", expected: "a host like pay.example.com" };
        let mut hosts: Vec<_> = place(document).into_iter().collect();
        for host in allowed.into_iter().flat_map(|hosts| hosts.split(',')).map(str::trim) {
            let url = Url::parse(&format!("https://{host}/")).map_err(|_| form())?;
            let host_only = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            if !host_only || !is_web(&url, false) {
                return Err(form());
            }
            hosts.extend(place(&url));
        }
        Ok(Self { hosts, plain })
    }

    /// The URL in `text`, if it may be asked.
    pub(crate) fn admit(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let known = place(&url).is_some_and(|place| self.hosts.contains(&place));
        (known && is_web(&url, self.plain)).then_some(url)
    }
}

/// Whether a URL is https to a name, or, where `plain` is wanted, http to 127.0.0.1.
pub(crate) fn is_web(url: &Url, plain: bool) -> bool {
    let by_name = url.scheme() == "https" && url.domain().is_some();
    let on_this_machine = plain && url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
    (by_name || on_this_machine) && url.username().is_empty() && url.password().is_none()
}

fn place(url: &Url) -> Option<(String, u16)> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_addresss_own_host_and_those_named_are_admitted() {
        let document = Url::parse("https://example.com/.well-known/lnurlp/shop").unwrap();
        let own = Sites::of(&document, None, false).unwrap();
        let more = Sites::of(&document, Some("pay.example.com, other.example:8443"), false).unwrap();
        for (url, by_own, by_more) in [
            ("https://example.com/callback?x=1", true, true),
            ("https://EXAMPLE.com:443/callback", true, true),
            ("https://pay.example.com/callback", false, true),
            ("https://other.example:8443/verify", false, true),
            ("https://other.example/verify", false, false),
            ("https://example.com:8443/callback", false, false),
            ("http://example.com/callback", false, false),
            ("https://user@example.com/callback", false, false),
            ("https://example.com.evil.example/", false, false),
            ("https://evil.example/?example.com", false, false),
            ("https://169.254.169.254/latest", false, false),
            ("//example.com/callback", false, false),
            ("callback", false, false),
        ] {
            assert_eq!(own.admit(url).is_some(), by_own, "{url}");
            assert_eq!(more.admit(url).is_some(), by_more, "{url}");
        }
    }

    #[test]
    fn an_allowed_host_is_a_name_and_nothing_more() {
        let document = Url::parse("https://example.com/").unwrap();
        for wrong in
            ["", "https://pay.example.com", "10.0.0.1", "a@b.example", "pay.example.com/x", "a.example,,"]
        {
            let sites = Sites::of(&document, Some(wrong), false);
            assert!(matches!(sites, Err(OpenError::Form { setting: "allow_host", .. })), "{wrong}");
        }
    }
}
