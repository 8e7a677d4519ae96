//! Clients that leave in the middle of a request with an `Idempotency-Key`: the answer that they paid for is read to its
//! end and told to them when they come again.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, Reply, ask_once, get_once, request, soon},
    metered::{Shop, by_unit},
    payload::{Feed, Payload},
    stage::{Purse, Stage, config},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, mpsc, oneshot},
};

/// An upstream whose answers the test gives when it wants to.
struct Scribe {
    backend: Backend,
    asked: mpsc::UnboundedReceiver<oneshot::Sender<Payload>>,
}

impl Scribe {
    async fn start() -> Self {
        let (asking, asked) = mpsc::unbounded_channel();
        let backend = Backend::http(move |_| {
            let (answer, given) = oneshot::channel();
            asking.send(answer).expect("the test goes on");
            async move { ok(given.await.unwrap_or_else(|_| Payload::empty())) }
        })
        .await;
        Self { backend, asked }
    }

    /// The next request, which waits for its answer.
    async fn request(&mut self) -> oneshot::Sender<Payload> {
        soon(self.asked.recv()).await.expect("a request")
    }

    /// Begins to answer the next request.
    async fn begin(&mut self) -> Feed {
        let (feed, body) = Payload::stream();
        assert!(self.request().await.send(body).is_ok(), "the gateway waits");
        feed
    }
}

/// A shop whose answers of at most 1 KiB are kept.
fn keeping(upstream: &str, cost: &Value) -> Value {
    let mut service = by_unit(upstream, 10, cost);
    service["meter"]["idempotency"] = json!({ "answer": "1KiB" });
    service
}

fn order(purse: &Purse) -> Request<Payload> {
    let credential = purse.credential();
    let headers = [("authorization", credential.as_str()), ("idempotency-key", "one")];
    request(Method::POST, "/x", &headers, Payload::from("order"))
}

async fn caller(shop: &Shop, is_http2: bool) -> Caller {
    let address = shop.stage.address();
    if is_http2 { Caller::http2(address).await } else { Caller::http1(address).await }
}

/// Asks, and leaves when this first piece of the answer has come. The rest is for the test to feed.
async fn leave_after(
    piece: &'static str,
    scribe: &mut Scribe,
    shop: &Shop,
    mut caller: Caller,
    purse: &Purse,
) -> Feed {
    let feed = async {
        let feed = scribe.begin().await;
        assert!(feed.data(piece).await);
        feed
    };
    let (feed, begun) = tokio::join!(feed, first_piece(&mut caller, purse));
    assert_eq!(begun.0, piece);
    drop((begun, caller));
    nobody_is_there(&shop.stage).await;
    feed
}

/// Asks, and reads the first piece of the answer.
async fn first_piece(caller: &mut Caller, purse: &Purse) -> (Bytes, Response<Incoming>) {
    let mut response = caller.send(order(purse)).await.expect("a head");
    let frame = soon(response.body_mut().frame()).await.expect("a frame").expect("no error");
    (frame.into_data().expect("data"), response)
}

/// Waits until the gateway has noticed that nobody is connected any more.
async fn nobody_is_there(stage: &Stage) {
    for _ in 0..1_000 {
        if get_once(stage.ops(), "/metrics").await.text().contains("octroi_connections 0\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a client is still connected");
}

/// Asks again until the first request is over.
async fn again(shop: &Shop, purse: &Purse) -> Reply {
    for _ in 0..1_000 {
        let reply = ask_once(shop.stage.address(), order(purse)).await;
        if reply.status != 409 || reply.reason() != "in_flight" {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is never over");
}

async fn is_in_flight(shop: &Shop, purse: &Purse) -> bool {
    let reply = ask_once(shop.stage.address(), order(purse)).await;
    reply.status == 409 && reply.reason() == "in_flight"
}

fn assert_told_again(reply: &Reply, text: &str) {
    assert_eq!((reply.status.as_u16(), reply.text()), (200, text));
    assert_eq!(reply.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn who_leaves_before_the_answer_gets_it_later_and_pays_once() {
    for is_http2 in [false, true] {
        let mut scribe = Scribe::start().await;
        let shop = Shop::selling(keeping(&scribe.backend.url(), &json!(2))).await;
        let purse = shop.stage.buy("/x").await;
        let (mut caller, asked) = (caller(&shop, is_http2).await, order(&purse));
        let asking = tokio::spawn(async move { caller.send(asked).await.is_ok() });
        let answer = scribe.request().await;
        asking.abort();
        nobody_is_there(&shop.stage).await;
        assert!(is_in_flight(&shop, &purse).await, "it is still being served");
        assert!(answer.send(Payload::from("sunny")).is_ok());
        assert_told_again(&again(&shop, &purse).await, "sunny");
        assert_eq!((scribe.backend.requests(), shop.balance(&purse).await), (1, 8));
    }
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_the_answer_gets_it_whole_later_and_pays_once() {
    for (is_http2, cost) in
        [(false, json!(2)), (true, json!(2)), (false, json!({ "bytes": "both", "per": "6B", "step": 4 }))]
    {
        let mut scribe = Scribe::start().await;
        let shop = Shop::selling(keeping(&scribe.backend.url(), &cost)).await;
        let purse = shop.stage.buy("/x").await;
        let caller = caller(&shop, is_http2).await;
        let feed = leave_after("sun", &mut scribe, &shop, caller, &purse).await;
        assert!(is_in_flight(&shop, &purse).await, "it is still being read");
        assert!(feed.data("ny").await);
        drop(feed);
        assert_told_again(&again(&shop, &purse).await, "sunny");
        assert_eq!((scribe.backend.requests(), shop.balance(&purse).await), (1, 8), "{cost}");
        let metrics = get_once(shop.stage.ops(), "/metrics").await;
        let gone = r#"octroi_requests_total{service="weather",access="paid",code="4xx"} 1"#;
        assert!(metrics.text().lines().any(|line| line == gone), "{}", metrics.text());
    }
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_not_read_without_its_client() {
    let mut scribe = Scribe::start().await;
    let shop = Shop::selling(keeping(&scribe.backend.url(), &json!(1))).await;
    let purse = shop.stage.buy("/x").await;
    let caller = caller(&shop, false).await;
    let feed = leave_after("x", &mut scribe, &shop, caller, &purse).await;
    while feed.data(vec![b'x'; 400]).await {}
    let reply = again(&shop, &purse).await;
    assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (409, "answer_not_kept"));
    assert_eq!((scribe.backend.requests(), shop.balance(&purse).await), (1, 9));
}

#[tokio::test]
async fn an_answer_that_breaks_off_without_its_client_is_charged_as_one_that_is_cut() {
    for (word, left, repeated) in [("keep", 9, 409), ("release", 10, 200)] {
        let breaks = Arc::new(Notify::new());
        let breaking = Arc::clone(&breaks);
        let backend = Backend::raw(move |mut stream, number| {
            let breaking = Arc::clone(&breaking);
            async move {
                let mut head = [0; 4096];
                assert!(stream.read(&mut head).await.is_ok_and(|count| count > 0), "a request");
                let (length, body) = if number == 0 { (10, "half") } else { (5, "sunny") };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.expect("written");
                breaking.notified().await;
            }
        })
        .await;
        let mut service = keeping(&backend.url(), &json!(1));
        service["meter"]["on_cut"] = json!(word);
        let shop = Shop::selling(service).await;
        let purse = shop.stage.buy("/x").await;
        let mut caller = caller(&shop, false).await;
        drop((first_piece(&mut caller, &purse).await, caller));
        nobody_is_there(&shop.stage).await;
        breaks.notify_one();
        let reply = again(&shop, &purse).await;
        assert_eq!(reply.status, repeated, "{word}");
        let paid_later = u64::from(repeated == 200);
        assert_eq!(shop.balance(&purse).await, left - paid_later, "{word}");
    }
}

/// A client that buys time stops paying when it leaves: its answer is not read on at its cost.
#[tokio::test]
async fn time_is_not_bought_for_a_client_that_has_left() {
    let mut scribe = Scribe::start().await;
    let shop = Shop::selling(keeping(&scribe.backend.url(), &json!({ "time": "1h", "step": 1 }))).await;
    let purse = shop.stage.buy("/x").await;
    let caller = caller(&shop, true).await;
    let feed = leave_after("x", &mut scribe, &shop, caller, &purse).await;
    soon(feed.unread()).await;
    assert_eq!(again(&shop, &purse).await.reason(), "answer_not_kept");
    assert_eq!(shop.balance(&purse).await, 9);
}

#[tokio::test]
async fn a_gateway_that_drains_reads_such_an_answer_to_its_end() {
    let mut scribe = Scribe::start().await;
    let config = config(json!([keeping(&scribe.backend.url(), &json!(2))]));
    let shop = Shop::open(config.clone()).await;
    let purse = shop.stage.buy("/x").await;
    let (mut caller, asked) = (caller(&shop, false).await, order(&purse));
    let asking = tokio::spawn(async move { caller.send(asked).await.is_ok() });
    let answer = scribe.request().await;
    asking.abort();
    nobody_is_there(&shop.stage).await;
    let Stage { gateway, folder } = shop.stage;
    let mut draining = tokio::spawn(gateway.drain());
    let early = tokio::time::timeout(Duration::from_millis(300), &mut draining).await;
    assert!(early.is_err(), "it waits for the answer");
    assert!(answer.send(Payload::from("sunny")).is_ok());
    soon(draining).await.expect("no panic");
    let stage = Stage::open_in(folder, &config, 1).await;
    let reply = ask_once(stage.address(), order(&purse)).await;
    assert_told_again(&reply, "sunny");
    assert_eq!(scribe.backend.requests(), 1);
}
