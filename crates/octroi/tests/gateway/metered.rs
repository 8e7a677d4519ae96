//! Services that are sold by the unit: what is charged, what the client is told, and how an answer ends whose token is
//! spent.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, Reply, ask_once, eventually, paid, passed_until_end, request, soon},
    payload::Payload,
    raw::Raw,
    stage::{Purse, Stage, both, config, parsed},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use l402::Identifier;
use l402_paywall::ledger::{Holding, Ledger, Operation};
use octroi::{edge::unix_secs, start::open_stores_beside};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::{Reply as Script, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// `weather` by the unit: a pack of `pack` for ten sat.
pub(crate) fn by_unit(upstream: &str, pack: u64, cost: &Value) -> Value {
    json!({
        "name": "weather", "path": "/", "upstream": upstream, "price": "10 sat",
        "meter": { "unit": "unit", "pack": pack, "cost": cost },
    })
}

pub(crate) struct Shop {
    pub(crate) stage: Stage,
    config: Value,
}

impl Shop {
    pub(crate) async fn selling(service: Value) -> Self {
        Self::open(config(json!([service]))).await
    }

    pub(crate) async fn open(config: Value) -> Self {
        Self { stage: Stage::open(&config).await, config }
    }

    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        open_stores_beside(&parsed(&self.config, self.stage.folder.path())).expect("a ledger").ledger
    }

    pub(crate) async fn holding(&self, purse: &Purse) -> Holding {
        let token = Identifier::parse(purse.token.view().identifier()).expect("an identifier");
        self.ledger().holding(token.token_id).await.expect("a ledger").expect("a purchase")
    }

    /// What is left once nothing is under way any more.
    pub(crate) async fn balance(&self, purse: &Purse) -> u64 {
        for _ in 0..400 {
            let holding = self.holding(purse).await;
            if holding.open.is_empty() {
                return holding.account.balance.get();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a reservation stays open");
    }

    pub(crate) async fn get(&self, purse: &Purse) -> Reply {
        ask_once(self.stage.address(), paid("/x", &purse.credential())).await
    }
}

pub(crate) fn told(reply: &Reply) -> (Option<&str>, Option<&str>) {
    (reply.header("l402-balance"), reply.header("l402-cost"))
}

fn head_of(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[tokio::test]
async fn a_pack_is_served_to_its_last_request_and_the_client_always_knows_its_balance() {
    let upstream = Upstream::start(Script::text("sunny"));
    let shop = Shop::selling(by_unit(&upstream.url(), 3, &json!(1))).await;
    for mut caller in both(shop.stage.address()).await {
        let purse = shop.stage.buy("/x").await;
        for left in ["2", "1", "0"] {
            let served = caller.ask(paid("/x", &purse.credential())).await;
            assert_eq!((served.status.as_u16(), served.text()), (200, "sunny"));
            assert_eq!(told(&served), (Some(left), Some("1")));
        }
        let refused = caller.ask(paid("/x", &purse.credential())).await;
        assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (402, "exhausted"));
        assert_eq!((&refused.json()["balance"], &refused.json()["units"]), (&json!(0), &json!(3)));
        assert_eq!(shop.balance(&purse).await, 0);
    }
    assert_eq!(upstream.count(), 6);
    assert_eq!(upstream.seen()[0].headers["l402-balance"], "2");
}

#[tokio::test]
async fn balances_outlive_the_gateway() {
    let upstream = Upstream::start(Script::text("sunny"));
    let config = config(json!([by_unit(&upstream.url(), 3, &json!(1))]));
    let stage = Stage::open(&config).await;
    let purse = stage.buy("/x").await;
    assert_eq!(ask_once(stage.address(), paid("/x", &purse.credential())).await.status, 200);
    stage.gateway.drain().await;
    let stage = Stage::open_in(stage.folder, &config, 1).await;
    let served = ask_once(stage.address(), paid("/x", &purse.credential())).await;
    assert_eq!(told(&served), (Some("1"), Some("1")));
}

#[tokio::test]
async fn the_upstream_says_what_a_request_costs_and_what_cannot_be_read_costs_the_estimate() {
    let upstream = Upstream::start(Script::text(""));
    let shop =
        Shop::selling(by_unit(&upstream.url(), 1000, &json!({ "header": "L402-Cost", "max": 50 }))).await;
    let purse = shop.stage.buy("/x").await;
    let mut left = 1000;
    for (lines, cost) in [
        (vec![("l402-cost", "7")], 7),
        (vec![("l402-cost", "0")], 0),
        (vec![("l402-cost", "51")], 50),
        (vec![], 50),
        (vec![("l402-cost", "-1")], 50),
        (vec![("l402-cost", "1.5")], 50),
        (vec![("l402-cost", "1"), ("l402-cost", "1")], 50),
        (vec![("l402-cost", "99999999999999999999")], 50),
    ] {
        upstream.reply(Script::Fixed(StatusCode::OK, head_of(&lines), Bytes::from_static(b"x")));
        let served = shop.get(&purse).await;
        left -= cost;
        let (balance, cost) = (left.to_string(), cost.to_string());
        assert_eq!(told(&served), (Some(balance.as_str()), Some(cost.as_str())), "{lines:?}");
    }
    assert_eq!(shop.balance(&purse).await, left);
}

#[tokio::test]
async fn what_the_upstream_could_not_do_costs_nothing() {
    let upstream = Upstream::start(Script::text(""));
    let shop = Shop::selling(by_unit(&upstream.url(), 10, &json!(1))).await;
    let purse = shop.stage.buy("/x").await;
    let mut left = 10;
    for (status, costs) in [(500, 0), (503, 0), (404, 1), (429, 1), (302, 1), (304, 1)] {
        let status = StatusCode::from_u16(status).expect("a status");
        upstream.reply(Script::Fixed(status, HeaderMap::new(), Bytes::new()));
        assert_eq!(shop.get(&purse).await.status, status);
        left -= costs;
        assert_eq!(shop.balance(&purse).await, left, "{status}");
    }
    drop(upstream);
    let refused = shop.get(&purse).await;
    assert_eq!(refused.status, 502);
    assert_eq!(shop.balance(&purse).await, left);
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_reached_the_upstream() {
    let upstream = Upstream::start(Script::After(Duration::from_mins(1), Box::new(Script::text(""))));
    let shop = Shop::selling(by_unit(&upstream.url(), 10, &json!(2))).await;
    let purse = shop.stage.buy("/x").await;
    let mut caller = Caller::http1(shop.stage.address()).await;
    let asking = tokio::spawn(async move { caller.send(paid("/x", &purse.credential())).await.is_ok() });
    eventually("the request arrives", || upstream.count() == 1).await;
    asking.abort();
    let journal = || async { shop.ledger().journal(0, 10).await.expect("a ledger") };
    for attempt in 0.. {
        if let [_, (_, entry)] = &journal().await[..] {
            assert_eq!(entry.charged.get(), 2);
            break;
        }
        assert!(attempt < 1000, "the charge is in the ledger");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_number_in_the_body_is_charged_and_told_behind_it() {
    let body = Bytes::from_static(br#"{"choices":[],"usage":{"total_tokens":7}}"#);
    let upstream = Upstream::start(Script::Fixed(StatusCode::OK, HeaderMap::new(), body.clone()));
    let cost = json!({ "json": "usage.total_tokens", "max": 50 });
    let shop = Shop::selling(by_unit(&upstream.url(), 100, &cost)).await;
    let purse = shop.stage.buy("/x").await;
    let mut caller = Caller::http2(shop.stage.address()).await;
    let served = caller.ask(paid("/x", &purse.credential())).await;
    assert_eq!((&served.body, served.header("l402-balance")), (&body, Some("50")));
    let trailers = served.trailers.expect("trailers");
    assert_eq!(trailers["l402-balance"], "93");
    assert_eq!(trailers["l402-cost"], "7");
    assert_eq!(shop.get(&purse).await.body, body);
    assert_eq!(shop.balance(&purse).await, 86);
    assert_eq!(upstream.seen()[0].headers["accept-encoding"], "identity");
}

/// An upstream like a language model's: one event a word, and the usage where it is asked for.
async fn model() -> (Backend, Arc<Mutex<Vec<Value>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&asked);
    let backend = Backend::http(move |request: Request<hyper::body::Incoming>| {
        let noting = Arc::clone(&noting);
        async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let mut events = String::new();
            for word in ["it", "is", "sunny"] {
                let chunk = json!({ "choices": [{ "delta": { "content": word } }] });
                write!(events, "data: {chunk}\n\n").expect("text");
            }
            if body["stream_options"]["include_usage"] == true && body["model"] != "silent" {
                let usage = json!({ "choices": [], "usage": { "total_tokens": 40 } });
                write!(events, "data: {usage}\n\n").expect("text");
            }
            events += "data: [DONE]\n\n";
            noting.lock().expect("no panic").push(body);
            let mut response = ok(events.as_str());
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        }
    })
    .await;
    (backend, asked)
}

#[tokio::test]
async fn a_model_is_billed_by_its_usage_whatever_the_client_asks_for() {
    let (backend, asked) = model().await;
    let cost = json!({ "sse": "usage.total_tokens", "max": 100, "floor": 2 });
    let shop = Shop::selling(by_unit(&backend.url(), 1000, &cost)).await;
    let purse = shop.stage.buy("/x").await;
    let credential = purse.credential();
    let ask = |body: Value| {
        let headers = [("authorization", credential.as_str()), ("content-type", "application/json")];
        request(Method::POST, "/x", &headers, Payload::from(body.to_string().as_str()))
    };
    let mut left = 1000;
    for (body, cost) in [
        (json!({ "model": "m", "stream": true }), 40),
        (json!({ "model": "m", "stream": true, "stream_options": { "include_usage": false, "x": 1 } }), 40),
        (json!({ "model": "silent", "stream": true }), 6),
    ] {
        let served = ask_once(shop.stage.address(), ask(body)).await;
        assert_eq!(served.status, 200);
        assert!(served.text().ends_with("data: [DONE]\n\n"));
        left -= cost;
        assert_eq!(shop.balance(&purse).await, left);
    }
    let asked = asked.lock().expect("no panic");
    assert!(asked.iter().all(|body| body["stream_options"]["include_usage"] == true), "{asked:?}");
    assert_eq!(asked[1]["stream_options"]["x"], 1);
}

#[tokio::test]
async fn no_byte_passes_that_is_not_paid_for() {
    let upstream =
        Upstream::start(Script::Fixed(StatusCode::OK, HeaderMap::new(), Bytes::from(vec![b'x'; 5_000])));
    let cost = json!({ "bytes": "response", "per": "10B", "step": 40 });
    let shop = Shop::selling(by_unit(&upstream.url(), 700, &cost)).await;
    let purse = shop.stage.buy("/x").await;
    let served = shop.get(&purse).await;
    assert_eq!((served.status.as_u16(), served.body.len()), (200, 5_000));
    assert_eq!(shop.balance(&purse).await, 200);
    // The rest does not pay for another one: it breaks off, and what passed is charged.
    let mut caller = Caller::http1(shop.stage.address()).await;
    let begun = caller.send(paid("/x", &purse.credential())).await.expect("a head");
    let (passed, end) = passed_until_end(begun.into_body()).await;
    assert!(
        matches!(end, Some(Err(_))) && passed == 2_000,
        "a visible end after what was paid for: {passed}"
    );
    assert_eq!(shop.balance(&purse).await, 0);
    assert_eq!(shop.get(&purse).await.status, 402);
}

#[tokio::test]
async fn a_stream_by_the_second_ends_with_an_event_that_says_why() {
    let upstream = Upstream::start(Script::Events);
    let shop = Shop::selling(by_unit(&upstream.url(), 2, &json!({ "time": "1s", "step": 1 }))).await;
    let purse = shop.stage.buy("/x").await;
    let served = shop.get(&purse).await;
    assert_eq!(served.status, 200);
    assert!(
        served.text().contains("event: error") && served.text().contains("exhausted"),
        "{}",
        served.text()
    );
    assert_eq!(shop.balance(&purse).await, 0);
}

#[tokio::test]
async fn a_websocket_ends_with_a_close_frame() {
    let backend = Backend::raw(|mut stream, _| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut head).await.is_ok_and(|count| count > 0), "a whole head");
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switch.as_bytes()).await.expect("written");
        // Frames of ten bytes, until nobody listens.
        while stream.write_all(b"\x82\x08abcdefgh").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let cost = json!({ "bytes": "response", "step": 20 });
    let shop = Shop::selling(by_unit(&backend.url(), 100, &cost)).await;
    let purse = shop.stage.buy("/x").await;
    let mut raw = Raw::sent(
        shop.stage.address(),
        format!(
            "GET /x HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nauthorization: {}\r\n\r\n",
            purse.credential()
        ),
    )
    .await;
    assert_eq!(raw.head().await.expect("an answer").status(), 101);
    let rest = raw.rest().await;
    let close = rest.windows(4).position(|four| four[0] == 0x88 && four[2..] == [0x03, 0xf0]);
    let close = close.unwrap_or_else(|| panic!("no close frame with 1008 in {rest:?}"));
    assert!(close <= 100 && close.is_multiple_of(10), "{close} bytes passed");
    assert_eq!(shop.balance(&purse).await, 0);
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key_is_charged_once() {
    let upstream = Upstream::start(Script::Echo);
    let mut service = by_unit(&upstream.url(), 10, &json!(1));
    service["meter"]["idempotency"] = json!({ "answer": "1KiB" });
    let shop = Shop::selling(service).await;
    let purse = shop.stage.buy("/x").await;
    let credential = purse.credential();
    let ask = |key: &str, body: &str| {
        let headers = [("authorization", credential.as_str()), ("idempotency-key", key)];
        ask_once(shop.stage.address(), request(Method::POST, "/x", &headers, Payload::from(body)))
    };
    let first = ask("one", "order").await;
    let again = ask("one", "order").await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(first.header("cache-control"), Some("private"));
    for name in ["cache-control", "l402-balance", "content-type"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((upstream.count(), shop.balance(&purse).await), (1, 9));
    let other = ask("one", "another order").await;
    assert_eq!((other.status.as_u16(), other.reason().as_str()), (422, "key_reused"));
    assert_eq!(ask("two", "order").await.status, 200);
    assert_eq!((upstream.count(), shop.balance(&purse).await), (2, 8));
    let long = "x".repeat(2_000);
    assert_eq!(ask("three", &long).await.status, 200);
    assert_eq!(ask("three", &long).await.reason(), "answer_not_kept");
    assert_eq!(ask("", "order").await.reason(), "idempotency_key");
    assert_eq!((upstream.count(), shop.balance(&purse).await), (3, 7));
}

#[tokio::test]
async fn a_token_revoked_by_another_process_is_refused_within_a_second_or_so() {
    let upstream = Upstream::start(Script::text("sunny"));
    let shop = Shop::selling(by_unit(&upstream.url(), 10, &json!(1))).await;
    let purse = shop.stage.buy("/x").await;
    assert_eq!(shop.get(&purse).await.status, 200);
    let token = Identifier::parse(purse.token.view().identifier()).expect("an identifier");
    shop.ledger().apply(Operation::Revoke(token.token_id), unix_secs()).await.expect("revoked");
    for attempt in 0.. {
        let reply = shop.get(&purse).await;
        if reply.status == 402 && reply.reason() == "revoked" {
            break;
        }
        assert!(attempt < 200, "it is refused in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shop.holding(&purse).await.account.owed.get(), 9);
}

#[tokio::test]
async fn a_hundred_requests_at_once_on_ten_units_are_ten_answers() {
    let upstream = Upstream::start(Script::text("sunny"));
    let shop = Shop::selling(by_unit(&upstream.url(), 10, &json!(1))).await;
    let purse = shop.stage.buy("/x").await;
    let credential = purse.credential();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (address, credential) = (shop.stage.address(), credential.clone());
            tokio::spawn(async move { ask_once(address, paid("/x", &credential)).await.status })
        })
        .collect();
    let mut served = 0;
    for asked in asking {
        match soon(asked).await.expect("no panic").as_u16() {
            200 => served += 1,
            status => assert_eq!(status, 402),
        }
    }
    assert_eq!((served, upstream.count(), shop.balance(&purse).await), (10, 10, 0));
}
