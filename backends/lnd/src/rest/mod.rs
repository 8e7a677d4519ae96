//! lnd's router over REST: a real lnd, or the loopback node's wallet door.
//!
//! Pays with `POST /v2/router/send` and asks with `GET /v2/router/track/{hash}`
//! (<https://lightning.engineering/api-docs/api/lnd/router/>). Both answer one JSON object a line. lnd's proxy gives an
//! HTTP error only where the router refused the call before its first update.

mod lines;
mod message;

use crate::payer::{Order, QUESTION_TIMEOUT, Router, Trouble};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, StatusCode, header};
use l402::PaymentHash;
use l402_lightning::{
    Network, NotSent, OpenError, PayError, PaymentState, Settings, UnknownCause, UntrustedText,
};
use l402_node_http::{Door, DoorOptions, Fault, Place};
use l402_tls::is_certificate_fault;
use lines::Lines;
use message::{Line, send_request, state};
use reqwest::RequestBuilder;

/// The header with the macaroon, in hex.
const MACAROON_HEADER: HeaderName = HeaderName::from_static("grpc-metadata-macaroon");

/// lnd's router over REST.
pub(crate) struct RestRouter {
    door: Door,
}

impl RestRouter {
    /// From the settings `address`, `certificate` and `macaroon`; without a macaroon for nodes that want none.
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let door = Door::new(DoorOptions {
            place: Place::from_setting(settings, "address")?,
            certificate: settings.file("certificate").map(Into::into),
            credential: macaroon(settings)?.map(|macaroon| (MACAROON_HEADER, macaroon)),
        })?;
        Ok(Self { door })
    }

    /// Sends a request once, over a connection of its own: one that was kept may have died unseen.
    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Lines), Fault> {
        let sent = request.header(header::CONNECTION, "close").send().await;
        let response = sent.map_err(|error| {
            if is_certificate_fault(&error) {
                Fault::Certificate
            } else if error.is_connect() {
                Fault::NotConnected
            } else {
                Fault::Cut
            }
        })?;
        Ok((response.status(), Lines::new(response)))
    }
}

impl Router for RestRouter {
    async fn send(&self, order: &Order<'_>) -> Result<PaymentState, Trouble> {
        let request = self.door.post_json("v2/router/send", &send_request(order));
        let (status, mut lines) = self.ask(request).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &first(&mut lines).await));
        }
        let hash = order.invoice.payment_hash();
        while let Some(line) = lines.next().await? {
            match Line::read(&line)? {
                Line::Update(update) => match state(&update, hash)? {
                    PaymentState::InFlight => {}
                    end => return Ok(end),
                },
                Line::Refusal(refusal) if refusal.says_already_known() => {
                    return Err(Trouble::Refused(refusal));
                }
                Line::Refusal(_) => return Err(UnknownCause::WalletFailed.into()),
            }
        }
        // The stream ended while the payment was on its way.
        Err(Fault::Cut.into())
    }

    async fn track(&self, hash: PaymentHash) -> Result<PaymentState, Trouble> {
        let path = format!("v2/router/track/{}", URL_SAFE.encode(hash.as_bytes()));
        let (status, mut lines) = self.ask(self.door.get(&path)).await?;
        let trouble = if status == StatusCode::OK {
            let line = lines.next().await?.ok_or(Fault::Cut)?;
            match Line::read(&line)? {
                Line::Update(update) => return state(&update, hash),
                Line::Refusal(refusal) => Trouble::Refused(refusal),
            }
        } else {
            refused(status, &first(&mut lines).await)
        };
        match trouble {
            Trouble::Refused(refusal) if refusal.says_not_found() => Ok(PaymentState::Unknown),
            other => Err(other),
        }
    }

    async fn network(&self) -> Result<Option<Network>, Trouble> {
        let answer = self.door.send(self.door.get("v1/getinfo"), QUESTION_TIMEOUT).await?;
        if answer.status != StatusCode::OK {
            return Err(refused(answer.status, &answer.body));
        }
        let chains = answer.fields()?.objects("chains")?;
        let chain = chains.first().ok_or(Fault::Garbled("chains"))?;
        Ok(chain.text("network")?.parse().ok())
    }
}

/// The first line of an answer that is an error; empty if there is none.
async fn first(lines: &mut Lines) -> BytesMut {
    lines.next().await.ok().flatten().unwrap_or_default()
}

/// Statuses that may come of a call that has begun, as lnd's proxy maps its codes: cancelled, and known already.
const NO_REFUSALS: [u16; 3] = [408, 409, 499];

/// What an HTTP error means: lnd's own words if it has any; else it comes from something that stands in front of lnd,
/// which did not pass the call on if it blames the call.
fn refused(status: StatusCode, line: &[u8]) -> Trouble {
    if let Ok(Line::Refusal(refusal)) = Line::read(line) {
        return Trouble::Refused(refusal);
    }
    let not_sent = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NotSent::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => NotSent::Overloaded,
        status if status.is_client_error() && !NO_REFUSALS.contains(&status.as_u16()) => {
            NotSent::Refused { message: UntrustedText::new(format!("HTTP status {}", status.as_u16())) }
        }
        _ => return Fault::Garbled("HTTP status").into(),
    };
    Trouble::Other(PayError::NotSent(not_sent))
}

/// The macaroon as the header carries it.
fn macaroon(settings: &Settings) -> Result<Option<HeaderValue>, OpenError> {
    let Some(macaroon) = settings.secret("macaroon")? else { return Ok(None) };
    let form = |_| OpenError::Form { setting: "macaroon", expected: "a macaroon, binary or in hexadecimal" };
    HeaderValue::from_str(&macaroon.to_hex()).map(Some).map_err(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_that_blames_the_call_says_that_nothing_was_paid() {
        for status in 300..600 {
            let Trouble::Other(error) = refused(StatusCode::from_u16(status).unwrap(), b"<html>") else {
                panic!("{status}")
            };
            let blames_the_call = (400..500).contains(&status) && !NO_REFUSALS.contains(&status);
            assert_eq!(error.nothing_paid(), blames_the_call, "{status}");
        }
        let denied = refused(StatusCode::UNAUTHORIZED, b"");
        assert!(matches!(denied, Trouble::Other(PayError::NotSent(NotSent::Unauthorized))));
        let words =
            refused(StatusCode::CONFLICT, br#"{"error":{"code":6,"message":"invoice is already paid"}}"#);
        assert!(matches!(words, Trouble::Refused(refusal) if refusal.says_already_known()));
    }
}
