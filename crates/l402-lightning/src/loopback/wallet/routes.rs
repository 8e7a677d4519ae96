//! Which request is which.

use super::{
    super::LoopbackNode,
    answer::{Answer, Code, Refused, unary},
    ask::Ask,
    invoices::{self, msat, sat},
    payments,
};
use crate::MilliSat;
use hyper::{Method, Request, body::Incoming};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers one request.
pub(super) async fn answer(node: Arc<LoopbackNode>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let segments: Vec<String> = head.uri.path().split('/').skip(1).map(percent_decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match head.method {
        Method::GET => get(node, &segments, &Query(head.uri.query().unwrap_or_default())).await,
        Method::POST => match Ask::read(body).await {
            Ok(ask) => post(node, &segments, &ask).await,
            Err(refused) => Ok(unary(Err(refused))),
        },
        _ => Ok(unary(Err(Refused::new(Code::Unimplemented, "Method Not Allowed")))),
    }
}

async fn get(node: Arc<LoopbackNode>, segments: &[&str], query: &Query<'_>) -> Answer {
    match segments {
        ["v1", "getinfo"] => Ok(unary(Ok(info(&node)))),
        ["v1", "balance", "channels"] => Ok(unary(Ok(balance(node.balance())))),
        ["v1", "payreq", text] => Ok(unary(invoices::decode(text))),
        ["v1", "invoice", hash] => invoices::lookup(&node, hash).await,
        ["v1", "payments"] => {
            let (offset, max) = (query.number("index_offset"), query.number("max_payments"));
            Ok(unary(Ok(payments::list(&node, offset, max, query.flag("reversed")))))
        }
        ["v2", "router", "track", hash] => {
            payments::track(node, hash, query.flag("no_inflight_updates")).await
        }
        _ => Ok(unary(Err(not_found(segments)))),
    }
}

async fn post(node: Arc<LoopbackNode>, segments: &[&str], ask: &Ask) -> Answer {
    match segments {
        ["v1", "invoices"] => invoices::add(&node, ask).await,
        ["v1", "channels", "transactions"] => payments::send_sync(&node, ask).await,
        ["v2", "router", "send"] => payments::send(node, ask).await,
        _ => Ok(unary(Err(not_found(segments)))),
    }
}

/// No such path, or not with this method.
fn not_found(segments: &[&str]) -> Refused {
    match segments {
        ["v1", "getinfo" | "payments" | "invoices"]
        | ["v1", "balance", "channels"]
        | ["v1", "channels", "transactions"]
        | ["v1", "payreq" | "invoice", _]
        | ["v2", "router", "send"]
        | ["v2", "router", "track", _] => Refused::new(Code::Unimplemented, "Method Not Allowed"),
        _ => Refused::new(Code::NotFound, "Not Found"),
    }
}

/// `GET /v1/getinfo`.
fn info(node: &LoopbackNode) -> Value {
    json!({
        "version": concat!(env!("CARGO_PKG_VERSION"), " loopback"),
        "commit_hash": "",
        "identity_pubkey": node.id().to_string(),
        "alias": "loopback",
        "color": "#000000",
        "num_pending_channels": 0,
        "num_active_channels": 0,
        "num_inactive_channels": 0,
        "num_peers": 0,
        "block_height": 0,
        "block_hash": "0".repeat(64),
        "best_header_timestamp": node.now().to_string(),
        "synced_to_chain": true,
        "synced_to_graph": true,
        "testnet": false,
        "chains": [{ "chain": "bitcoin", "network": "regtest" }],
        "uris": [],
        "features": {},
        "require_htlc_interceptor": false,
        "store_final_htlc_resolutions": false,
    })
}

/// `GET /v1/balance/channels`.
fn balance(balance: MilliSat) -> Value {
    let amount = |amount: MilliSat| json!({ "sat": sat(amount), "msat": msat(amount) });
    let nothing = amount(MilliSat::ZERO);
    json!({
        "balance": sat(balance),
        "pending_open_balance": "0",
        "local_balance": amount(balance),
        "remote_balance": nothing,
        "unsettled_local_balance": nothing,
        "unsettled_remote_balance": nothing,
        "pending_open_local_balance": nothing,
        "pending_open_remote_balance": nothing,
        "custom_channel_data": "",
    })
}

/// A query string's parameters; what cannot be read is as good as absent.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> u64 {
        self.value(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }
}

/// One segment of a path with its percent-escapes decoded; escapes of anything but ASCII stay as they are and match
/// nothing.
fn percent_decoded(segment: &str) -> String {
    let mut decoded = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii) {
            decoded.push(char::from(byte));
            rest = &after[2..];
        } else {
            decoded.push('%');
            rest = after;
        }
    }
    decoded.push_str(rest);
    decoded
}
