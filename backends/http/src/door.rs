//! One node's API over HTTP: trust, credential, deadlines and limits are set once.

use crate::{Answer, Fault, Place};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use l402_lightning::OpenError;
use l402_tls::{Trust, TrustError, is_certificate_fault};
use reqwest::{Client, RequestBuilder, Response, redirect, retry};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes: one page of payments.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How a node is spoken to.
#[derive(Debug)]
pub struct DoorOptions {
    /// Where it is.
    pub place: Place,
    /// PEM file with the certificate to trust; `None`: the system's authorities.
    pub certificate: Option<PathBuf>,
    /// The header that carries the credential, and its value.
    pub credential: Option<(HeaderName, HeaderValue)>,
}

/// A node's API.
#[derive(Clone, Debug)]
pub struct Door {
    client: Client,
    place: Place,
}

impl Door {
    /// Prepares the way; connects to nothing.
    pub fn new(options: DoorOptions) -> Result<Self, OpenError> {
        let trust = match options.certificate {
            _ if options.place.is_plain() => Trust::nobody(),
            Some(file) => Trust::Only(file).client_config(),
            None => Trust::System.client_config(),
        };
        let mut tls = trust.map_err(trust_error)?;
        // A server that prefers HTTP/2 would choose it, and then not be understood.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut headers = HeaderMap::new();
        if let Some((name, mut value)) = options.credential {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|_| OpenError::Form {
                setting: "address",
                expected: "a URL that can be connected to",
            })?;
        Ok(Self { client, place: options.place })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Begins a request without a body.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.place.at(path))
    }

    /// Begins a request with a JSON body.
    pub fn post_json(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.place.at(path)).json(body)
    }

    /// Begins a request with a form as its body.
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut body = self.place.url().clone();
        body.set_query(None);
        body.query_pairs_mut().extend_pairs(fields);
        let form = body.query().unwrap_or_default().to_owned();
        self.client
            .post(self.place.at(path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
    }

    /// Sends a request once and reads the whole answer, within `deadline`.
    pub async fn send(&self, request: RequestBuilder, deadline: Duration) -> Result<Answer, Fault> {
        tokio::time::timeout(deadline, exchange(request)).await.unwrap_or(Err(Fault::Timeout))
    }
}

async fn exchange(request: RequestBuilder) -> Result<Answer, Fault> {
    let mut response = request.send().await.map_err(|error| fault(&error))?;
    let status = response.status();
    let date = response.headers().get(header::DATE).and_then(unix_date);
    let body = body(&mut response).await?;
    Ok(Answer { status, date, body })
}

async fn body(response: &mut Response) -> Result<Bytes, Fault> {
    let mut body = BytesMut::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}

fn fault(error: &reqwest::Error) -> Fault {
    if is_certificate_fault(error) {
        Fault::Certificate
    } else if error.is_connect() {
        Fault::NotConnected
    } else if error.is_timeout() {
        Fault::Timeout
    } else {
        Fault::Cut
    }
}

fn trust_error(error: TrustError) -> OpenError {
    match error {
        TrustError::File { path } => OpenError::Unreadable {
            setting: "certificate",
            path,
            error: std::io::Error::new(std::io::ErrorKind::InvalidData, "no certificate in PEM form"),
        },
        TrustError::NoAuthorities | TrustError::Setup(_) => OpenError::Form {
            setting: "certificate",
            expected: "a PEM file (the system trusts no authority)",
        },
    }
}

/// An HTTP date (RFC 9110 section 5.6.7) in Unix seconds.
fn unix_date(value: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
