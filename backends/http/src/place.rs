//! Where a node's API is.

use l402_lightning::{OpenError, Settings};
use reqwest::Url;
use std::net::IpAddr;

/// The base URL of a node's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Url);

impl Place {
    /// Reads the setting `name`: `https://host:port`, with a path where a proxy in front wants one. Plain HTTP is for
    /// this machine only, unless the flag `danger_plain_http` is set.
    pub fn from_setting(settings: &Settings, name: &'static str) -> Result<Self, OpenError> {
        let form = || OpenError::Form { setting: name, expected: "a URL like https://host:port" };
        let url = Url::parse(settings.required_text(name)?).map_err(|_| form())?;
        let plain_parts = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain_parts || !url.has_host() {
            return Err(form());
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) || settings.flag("danger_plain_http") => {}
            "http" => return Err(OpenError::PlainHttp(name)),
            _ => return Err(form()),
        }
        Ok(Self(url))
    }

    /// Whether it is reached without TLS.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The base URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The URL of a path below it; `path` has no leading slash and may have a query.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{base}/{path}"));
        url.set_query(query);
        url
    }
}

/// Whether the URL names this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::SettingValue;

    fn place(text: &str) -> Result<Place, OpenError> {
        let settings = Settings::new(None).with("address", SettingValue::Text(text.to_owned()));
        Place::from_setting(&settings, "address")
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for local in
            ["http://127.0.0.1:3010", "http://localhost:1", "http://[::1]:2", "https://node.example:3010"]
        {
            assert!(place(local).is_ok(), "{local}");
        }
        assert!(matches!(place("http://node.example"), Err(OpenError::PlainHttp("address"))));
        for none in ["node.example:3010", "ftp://x", "https://u:p@h", "https://h?x=1", ""] {
            assert!(matches!(place(none), Err(OpenError::Form { .. })), "{none}");
        }
    }

    #[test]
    fn paths_go_below_the_base() {
        let place = place("https://h:1/node/").unwrap();
        assert_eq!(place.at("v1/x?a=b").as_str(), "https://h:1/node/v1/x?a=b");
    }
}
