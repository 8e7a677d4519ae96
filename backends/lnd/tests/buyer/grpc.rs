//! Calls and answers as gRPC puts them on HTTP/2 (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use crate::{
    desk::{Call, Item, Items, answer},
    door::{AnswerBody, Part},
    wallet::{Limits, Payment, Refused, Stage, Wallet},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402::PaymentHash;
use prost::Message;
use std::sync::Arc;
use tokio::sync::mpsc;

/// More than any message has.
const OVERSIZED: usize = 2 * 1024 * 1024;

/// `routerrpc.SendPaymentRequest`, all fields that a buyer may set.
#[derive(Message)]
struct SendPayment {
    #[prost(string, tag = "5")]
    payment_request: String,
    #[prost(int32, tag = "6")]
    timeout_seconds: i32,
    #[prost(int64, tag = "7")]
    fee_limit_sat: i64,
    #[prost(int64, tag = "13")]
    fee_limit_msat: i64,
    #[prost(bool, tag = "18")]
    no_inflight_updates: bool,
}

/// `routerrpc.TrackPaymentRequest`.
#[derive(Message)]
struct TrackPayment {
    #[prost(bytes = "vec", tag = "1")]
    payment_hash: Vec<u8>,
}

/// `lnrpc.Payment`.
#[derive(Message)]
struct Update {
    #[prost(string, tag = "1")]
    payment_hash: String,
    #[prost(string, tag = "6")]
    payment_preimage: String,
    #[prost(int64, tag = "7")]
    value_sat: i64,
    #[prost(int64, tag = "8")]
    value_msat: i64,
    #[prost(int32, tag = "10")]
    status: i32,
    #[prost(int64, tag = "12")]
    fee_msat: i64,
    #[prost(uint64, tag = "15")]
    payment_index: u64,
    #[prost(int32, tag = "16")]
    failure_reason: i32,
}

/// `lnrpc.GetInfoResponse` with its `lnrpc.Chain`.
#[derive(Message)]
struct Info {
    #[prost(string, tag = "14")]
    version: String,
    #[prost(message, repeated, tag = "16")]
    chains: Vec<Chain>,
}

#[derive(Message)]
struct Chain {
    #[prost(string, tag = "2")]
    network: String,
}

/// Answers one call.
pub(crate) async fn serve(wallet: Arc<Wallet>, request: Request<Incoming>) -> Response<AnswerBody> {
    let path = request.uri().path().to_owned();
    let macaroon = request.headers().get("macaroon").and_then(|value| value.to_str().ok().map(str::to_owned));
    let Ok(body) = request.into_body().collect().await else { return refused(&unreadable()) };
    let Some(call) = call(&path, &body.to_bytes()) else { return refused(&unreadable()) };
    let mut items = answer(&wallet, macaroon.as_deref(), call);
    match items.recv().await {
        Some(Item::Refused(refusal)) => refused(&refusal),
        first => streamed(first, items),
    }
}

fn call(path: &str, body: &[u8]) -> Option<Call> {
    // Not compressed, and of the length that it says.
    let (&[0, a, b, c, d], message) = body.split_first_chunk::<5>()? else { return None };
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return None;
    }
    match path {
        "/routerrpc.Router/SendPaymentV2" => {
            let send = SendPayment::decode(message).ok()?;
            assert!(!send.no_inflight_updates && send.fee_limit_sat == 0);
            let limits =
                Limits { timeout_secs: send.timeout_seconds.into(), fee_limit_msat: send.fee_limit_msat };
            Some(Call::Send { invoice: send.payment_request, limits })
        }
        "/routerrpc.Router/TrackPaymentV2" => {
            let track = TrackPayment::decode(message).ok()?;
            Some(Call::Track(PaymentHash::from_bytes(track.payment_hash.try_into().ok()?)))
        }
        "/lnrpc.Lightning/GetInfo" => Some(Call::Info),
        _ => None,
    }
}

fn unreadable() -> Refused {
    Refused::new(12, "unknown service, method or message")
}

/// An answer that is only a status.
fn refused(refusal: &Refused) -> Response<AnswerBody> {
    let mut response = response(AnswerBody::empty());
    response.headers_mut().extend(status(refusal.code, &refusal.message));
    response
}

fn streamed(first: Option<Item>, mut items: Items) -> Response<AnswerBody> {
    let (parts, body) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut next = first;
        while let Some(item) = next {
            let part = match item {
                Item::Update(payment) => Part::Data(framed(&update(&payment).encode_to_vec())),
                Item::Network(network) => Part::Data(framed(&info(network).encode_to_vec())),
                Item::Refused(refusal) => {
                    let _ = parts.send(Part::Trailers(status(refusal.code, &refusal.message))).await;
                    return;
                }
                Item::Garbled => Part::Data(framed(&[0xff; 40])),
                Item::Truncated => {
                    let _ = parts.send(Part::Data(Bytes::from_static(&[0, 0, 0, 0, 90, 10, 64]))).await;
                    let _ = parts.send(Part::Trailers(status(0, ""))).await;
                    return;
                }
                Item::Oversized => Part::Data(framed(&vec![0; OVERSIZED])),
                Item::Cut => Part::Cut,
            };
            if parts.send(part).await.is_err() {
                return;
            }
            next = items.recv().await;
        }
        let _ = parts.send(Part::Trailers(status(0, ""))).await;
    });
    response(AnswerBody::parts(body))
}

fn response(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn status(code: u16, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_str(message).expect("words in ASCII"));
    headers
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a small message"));
    frame.put_slice(message);
    frame.freeze()
}

fn update(payment: &Payment) -> Update {
    let (status, failure_reason) = match payment.stage {
        Stage::InFlight => (1, 0),
        Stage::Succeeded => (2, 0),
        Stage::Failed(reason) => (3, reason.into()),
    };
    let preimage = payment.preimage.as_ref().map_or([0; 32], |preimage| *preimage.as_bytes());
    let msat = |value: u64| i64::try_from(value).expect("a small amount");
    Update {
        payment_hash: hex::encode(payment.hash.as_bytes()),
        payment_preimage: hex::encode(preimage),
        value_sat: msat(payment.amount / 1000),
        value_msat: msat(payment.amount),
        status,
        fee_msat: msat(payment.fee),
        payment_index: 7,
        failure_reason,
    }
}

fn info(network: &str) -> Info {
    Info { version: "0.21.2-beta".to_owned(), chains: vec![Chain { network: network.to_owned() }] }
}
