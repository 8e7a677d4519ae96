//! Calls and answers as lnd's REST proxy puts them on HTTP/1.1.

use crate::{
    desk::{Call, Item, Items, answer},
    door::{AnswerBody, Part},
    wallet::{Limits, Payment, Refused, Stage, Wallet},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402::PaymentHash;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// More than any line has.
const OVERSIZED: usize = 2 * 1024 * 1024;

/// The body of `POST /v2/router/send`: lnd's proxy refuses fields that it does not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendPayment {
    payment_request: String,
    timeout_seconds: i64,
    fee_limit_msat: String,
    no_inflight_updates: bool,
}

/// Answers one call.
pub(crate) async fn serve(wallet: Arc<Wallet>, request: Request<Incoming>) -> Response<AnswerBody> {
    let (parts, body) = request.into_parts();
    let macaroon = parts.headers.get("grpc-metadata-macaroon").and_then(|value| value.to_str().ok());
    let Ok(body) = body.collect().await else { return refused(&Refused::new(3, "unexpected EOF")) };
    let call = match call(&parts.method, parts.uri.path(), &body.to_bytes()) {
        Ok(call) => call,
        Err(refusal) => return refused(&refusal),
    };
    let mut items = answer(&wallet, macaroon, call);
    match items.recv().await {
        Some(Item::Refused(refusal)) => refused(&refusal),
        first => streamed(first, items),
    }
}

fn call(method: &Method, path: &str, body: &[u8]) -> Result<Call, Refused> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method.as_str(), &*segments) {
        ("POST", ["v2", "router", "send"]) => {
            let send: SendPayment =
                serde_json::from_slice(body).map_err(|error| Refused::new(3, error.to_string()))?;
            assert!(!send.no_inflight_updates);
            let limits = Limits {
                timeout_secs: send.timeout_seconds,
                fee_limit_msat: send.fee_limit_msat.parse().expect("a number"),
            };
            Ok(Call::Send { invoice: send.payment_request, limits })
        }
        ("GET", ["v2", "router", "track", hash]) => {
            let hash = URL_SAFE.decode(hash).ok().and_then(|bytes| bytes.try_into().ok());
            let hash = hash.ok_or_else(|| Refused::new(3, "type mismatch, parameter: payment_hash"))?;
            Ok(Call::Track(PaymentHash::from_bytes(hash)))
        }
        ("GET", ["v1", "getinfo"]) => Ok(Call::Info),
        _ => Err(Refused::new(5, "Not Found")),
    }
}

fn refused(refusal: &Refused) -> Response<AnswerBody> {
    let status = match refusal.code {
        3 => StatusCode::BAD_REQUEST,
        5 => StatusCode::NOT_FOUND,
        6 => StatusCode::CONFLICT,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    response(status, AnswerBody::whole(line(&error(refusal))))
}

fn error(refusal: &Refused) -> Value {
    json!({ "error": { "code": refusal.code, "message": refusal.message, "details": [] } })
}

fn streamed(first: Option<Item>, mut items: Items) -> Response<AnswerBody> {
    let (parts, body) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut next = first;
        while let Some(item) = next {
            let (part, ends) = match item {
                Item::Update(payment) => (Part::Data(line(&json!({ "result": update(&payment) }))), false),
                Item::Network(network) => (Part::Data(line(&info(network))), true),
                Item::Refused(refusal) => (Part::Data(line(&error(&refusal))), true),
                Item::Garbled => (Part::Data(Bytes::from_static(b"<html>502 Bad Gateway</html>\n")), true),
                Item::Truncated => (Part::Data(Bytes::from_static(b"{\"result\":{\"status\":\"SUC")), true),
                Item::Oversized => (Part::Data(Bytes::from(vec![b' '; OVERSIZED])), true),
                Item::Cut => (Part::Cut, true),
            };
            if parts.send(part).await.is_err() || ends {
                return;
            }
            next = items.recv().await;
        }
    });
    response(StatusCode::OK, AnswerBody::parts(body))
}

fn response(status: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn line(json: &Value) -> Bytes {
    Bytes::from(format!("{json}\n"))
}

fn update(payment: &Payment) -> Value {
    let status = match payment.stage {
        Stage::InFlight => "IN_FLIGHT",
        Stage::Succeeded => "SUCCEEDED",
        Stage::Failed(_) => "FAILED",
    };
    let reason = match payment.stage {
        Stage::Failed(2) => "FAILURE_REASON_NO_ROUTE",
        Stage::Failed(5) => "FAILURE_REASON_INSUFFICIENT_BALANCE",
        Stage::Failed(_) => "FAILURE_REASON_ERROR",
        _ => "FAILURE_REASON_NONE",
    };
    let preimage = payment.preimage.as_ref().map_or([0; 32], |preimage| *preimage.as_bytes());
    json!({
        "payment_hash": hex::encode(payment.hash.as_bytes()),
        "value_msat": payment.amount.to_string(),
        "payment_preimage": hex::encode(preimage),
        "status": status,
        "fee_msat": payment.fee.to_string(),
        "htlcs": [],
        "payment_index": "7",
        "failure_reason": reason,
    })
}

fn info(network: &str) -> Value {
    json!({ "version": "0.21.2-beta", "chains": [{ "chain": "bitcoin", "network": network }] })
}
