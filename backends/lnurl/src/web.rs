//! One question over HTTP: no redirects, no proxy, public addresses only, a deadline and a limit on the answer.

use crate::public::{NotPublic, PublicResolver};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use l402_lightning::{InvoicerError, OpenError, UntrustedText};
use l402_node_http::{Answer, Fault, Fields};
use l402_tls::{Trust, is_certificate_fault};
use reqwest::{Client, Response, Url, redirect, retry};
use std::time::{Duration, UNIX_EPOCH};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one question may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes. Metadata may carry a small picture.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks services.
#[derive(Debug)]
pub(crate) struct Web(Client);

/// What a service said.
pub(crate) enum Said {
    /// The fields of its answer.
    Fields {
        /// The fields.
        fields: Fields,
        /// The service's clock, in Unix seconds.
        date: Option<u64>,
    },
    /// It refused, in LNURL's way: `{"status": "ERROR", "reason": ".."}`.
    Refused {
        /// The HTTP status was 404.
        not_found: bool,
        /// Its words.
        reason: UntrustedText,
    },
}

impl Web {
    /// Prepares the way; connects to nothing. Where the service is asked by `plain` HTTP, TLS trusts nobody.
    pub(crate) fn new(plain: bool) -> Result<Self, OpenError> {
        let unusable = || OpenError::Form {
            setting: "address",
            expected: "a place that can be connected to (is a certificate authority installed?)",
        };
        let trust = if plain { Trust::nobody() } else { Trust::System.client_config() };
        let client = Client::builder()
            .tls_backend_preconfigured(trust.map_err(|_| unusable())?)
            .dns_resolver(PublicResolver)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        Ok(Self(client.map_err(|_| unusable())?))
    }

    /// Asks once.
    pub(crate) async fn ask(&self, url: Url) -> Result<Said, InvoicerError> {
        let request = self.0.get(url).header(header::ACCEPT, "application/json").send();
        let exchange = async { answer(request.await.map_err(|error| fault(&error))?).await };
        let answer = tokio::time::timeout(QUESTION_TIMEOUT, exchange).await;
        read(&answer.unwrap_or(Err(InvoicerError::Timeout))?)
    }
}

impl Said {
    /// The fields and the service's clock; a refusal is an error.
    pub(crate) fn granted(self) -> Result<(Fields, Option<u64>), InvoicerError> {
        match self {
            Self::Fields { fields, date } => Ok((fields, date)),
            Self::Refused { reason, .. } => Err(InvoicerError::Refused { message: reason }),
        }
    }
}

/// LNURL services answer with 200 as a rule; many give a refusal the status that fits it.
fn read(answer: &Answer) -> Result<Said, InvoicerError> {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => return Err(InvoicerError::Overloaded),
        status if status.is_server_error() => return Err(InvoicerError::Unreachable),
        status if status.is_redirection() => {
            return Err(InvoicerError::Garbled { field: "a redirect, which is not followed" });
        }
        _ => {}
    }
    let not_found = answer.status == StatusCode::NOT_FOUND;
    let fields = match answer.fields() {
        Err(_) if not_found => return Err(InvoicerError::NoService { service: "such a place (404)" }),
        fields => fields?,
    };
    let refused = fields.text("status").is_ok_and(|status| status.eq_ignore_ascii_case("ERROR"));
    if refused || !answer.status.is_success() {
        let reason = fields.text("reason").unwrap_or("no reason given");
        return Ok(Said::Refused { not_found, reason: UntrustedText::new(reason) });
    }
    Ok(Said::Fields { fields, date: answer.date })
}

async fn answer(mut response: Response) -> Result<Answer, InvoicerError> {
    let status = response.status();
    let date = response.headers().get(header::DATE).and_then(unix_date);
    let body = body(&mut response).await?;
    Ok(Answer { status, date, body })
}

async fn body(response: &mut Response) -> Result<Bytes, InvoicerError> {
    let mut body = BytesMut::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(Fault::TooLarge.into());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}

fn fault(error: &reqwest::Error) -> InvoicerError {
    let mut cause = Some(error as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return InvoicerError::Unsafe { fault: "its name leads to an address that is not public" };
        }
        cause = error.source();
    }
    if is_certificate_fault(error) {
        return InvoicerError::Certificate;
    }
    if error.is_timeout() { InvoicerError::Timeout } else { InvoicerError::Unreachable }
}

/// An HTTP date (RFC 9110 section 5.6.7) in Unix seconds.
fn unix_date(value: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
