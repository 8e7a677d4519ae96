//! Sending one request and receiving one answer.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, Method, StatusCode, Version};
use reqwest::{Client, Url};
use thiserror::Error;
use tokio::time::Instant;

use super::payload::{Payload, PayloadError};
use l402_tls::{Trust, TrustError};

/// Limits on waiting. There is none on the whole exchange: a long download is no fault.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of the answer, counted from the last byte sent.
    pub head: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), head: Duration::from_mins(2), idle: Duration::from_mins(1) }
    }
}

/// What sends requests.
#[derive(Debug)]
pub struct Transport {
    timeouts: Timeouts,
    trust: Trust,
    /// For `http:` URLs; never does TLS and so needs no authorities.
    plain: OnceLock<Client>,
    /// For `https:` URLs.
    tls: OnceLock<Client>,
}

/// Why there is no answer, or not a whole one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server's name is unknown, or nobody listens there.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// The server.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The server's certificate is not trusted, or TLS failed.
    #[error("TLS with {host} failed: {reason}")]
    Tls {
        /// The server.
        host: String,
        /// What the TLS library said.
        reason: String,
    },
    /// TLS could not be set up on this side.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No answer within the time limit.
    #[error("{host} did not answer within {seconds} s")]
    Timeout {
        /// The server.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("the exchange with {host} failed: {reason}")]
    Exchange {
        /// The server.
        host: String,
        /// What the HTTP library said.
        reason: String,
    },
    /// The answer's body ended before its announced end, or stalled.
    #[error("the body was cut off after {received} bytes: {reason}")]
    Cut {
        /// What had arrived.
        received: u64,
        /// What the HTTP library said.
        reason: String,
    },
    /// What was to be sent cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// When the last byte of a request went out.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Instant>);

/// An answer whose body has not been read yet. Dropping it closes the connection instead of reading on.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    host: String,
    idle: Duration,
    received: u64,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    /// A transport that trusts `trust`.
    pub fn new(trust: Trust, timeouts: Timeouts) -> Self {
        Self { timeouts, trust, plain: OnceLock::new(), tls: OnceLock::new() }
    }

    pub(crate) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        payload: &Payload,
    ) -> Result<Answer, TransportError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let activity = Activity::new();
        let mut request = self.client(url)?.request(method.clone(), url.clone()).headers(headers);
        if let Some(upload) = payload.upload(&activity).await? {
            if upload.is_announced() {
                request = request.header(EXPECT, "100-continue");
            }
            request = request.body(reqwest::Body::wrap(upload));
        }
        let sent = request.send();
        tokio::pin!(sent);
        loop {
            let limit = activity.last() + self.timeouts.head;
            match tokio::time::timeout_at(limit, &mut sent).await {
                Ok(Ok(response)) => {
                    return Ok(Answer { response, host, idle: self.timeouts.idle, received: 0 });
                }
                Ok(Err(error)) => return Err(failure(host, error, self.timeouts.connect)),
                Err(_) if activity.last() + self.timeouts.head > Instant::now() => {}
                Err(_) => {
                    return Err(TransportError::Timeout { host, seconds: self.timeouts.head.as_secs() });
                }
            }
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, TransportError> {
        let https = url.scheme() == "https";
        let cell = if https { &self.tls } else { &self.plain };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let config = if https { self.trust.client_config()? } else { Trust::nobody()? };
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.timeouts.connect)
            .build()
            .map_err(|error| TransportError::Exchange { host: String::new(), reason: innermost(&error) })?;
        Ok(cell.get_or_init(|| client))
    }
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The HTTP version.
    pub fn version(&self) -> Version {
        self.response.version()
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body, or `None` at its proper end. An early end is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        let cut = |received, reason| TransportError::Cut { received, reason };
        match tokio::time::timeout(self.idle, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.received += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(cut(self.received, innermost(&error))),
            Err(_) => {
                let reason = format!("{} sent nothing for {} s", self.host, self.idle.as_secs());
                Err(cut(self.received, reason))
            }
        }
    }
}

fn failure(host: String, error: reqwest::Error, connect: Duration) -> TransportError {
    let error = error.without_url();
    if error.is_connect() && error.is_timeout() {
        return TransportError::Timeout { host, seconds: connect.as_secs() };
    }
    let reason = innermost(&error);
    if is_tls(&error) {
        TransportError::Tls { host, reason }
    } else if error.is_connect() {
        TransportError::Connect { host, reason }
    } else {
        TransportError::Exchange { host, reason }
    }
}

fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // An io::Error hides the error it wraps from its own `source`.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source())
    })
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<rustls::Error>)
}

/// What went wrong in the end: the outer layers only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
