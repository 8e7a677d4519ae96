//! Bodies on their way: as they come, however large, with their trailers, and not before they are wanted.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, ask_once, get, request, soon},
    payload::Payload,
    raw::Raw,
    stage::{Stage, both, everything, everything_free},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use testkit::{Reply as Script, Upstream};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

/// More than all buffers on the way together can hold.
const LARGE: u64 = 64 << 20;
/// What those buffers may hold: sockets, HTTP/2 windows, the pieces in between.
const UNDERWAY_MAX: u64 = 24 << 20;

/// The body is over, and over well.
async fn ends(response: Response<Incoming>) {
    let left = soon(response.into_body().collect()).await.expect("a good end");
    assert_eq!(left.to_bytes(), "");
}

#[tokio::test]
async fn events_arrive_before_the_stream_ends() {
    let upstream = Upstream::start(Script::Events);
    let stage = Stage::of(everything(&upstream.url())).await;
    let credential = stage.credential("/").await;
    for mut caller in both(stage.address()).await {
        let headers = [("authorization", credential.as_str()), ("accept", "text/event-stream")];
        let asked = request(Method::GET, "/", &headers, Payload::empty());
        let mut response = caller.send(asked).await.expect("a head");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            upstream.push(event);
            let frame = soon(response.body_mut().frame()).await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), event);
        }
        upstream.end_streams();
        ends(response).await;
    }
}

#[tokio::test]
async fn both_sides_may_talk_at_the_same_time() {
    let backend = Backend::http(async |request: Request<Incoming>| {
        let (feed, body) = Payload::stream();
        tokio::spawn(async move {
            let mut asked = request.into_body();
            while let Some(Ok(frame)) = asked.frame().await {
                let heard = frame.into_data().expect("data");
                assert!(heard.is_empty() || feed.data([b"heard ", &heard[..]].concat()).await);
            }
        });
        ok(body)
    })
    .await;
    for protocol in ["http1", "h2"] {
        let mut service = everything_free(&backend.url());
        service["upstream_protocol"] = json!(protocol);
        let stage = Stage::of(service).await;
        for mut caller in both(stage.address()).await {
            let (feed, body) = Payload::stream();
            let mut response = caller.send(request(Method::POST, "/", &[], body)).await.expect("a head");
            for word in ["one", "two", "three"] {
                assert!(feed.data(word).await);
                let frame = soon(response.body_mut().frame()).await.expect("a frame").expect("no error");
                assert_eq!(frame.into_data().expect("data"), format!("heard {word}"));
            }
            drop(feed);
            ends(response).await;
        }
    }
}

/// Sends back how many bytes came, after reading them all.
async fn count_bytes(request: Request<Incoming>) -> Response<Payload> {
    let mut body = request.into_body();
    let mut count = 0;
    while let Some(Ok(frame)) = body.frame().await {
        count += frame.data_ref().map_or(0, Bytes::len);
    }
    ok(count.to_string().as_str())
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let backend = Backend::http(async |request: Request<Incoming>| {
        if request.method() == Method::POST { count_bytes(request).await } else { ok(Payload::Zeros(LARGE)) }
    })
    .await;
    for protocol in ["http1", "h2"] {
        let mut service = everything_free(&backend.url());
        service["upstream_protocol"] = json!(protocol);
        let stage = Stage::of(service).await;
        for mut caller in both(stage.address()).await {
            let sent = caller.ask(request(Method::POST, "/", &[], Payload::Zeros(LARGE))).await;
            assert_eq!(sent.text(), LARGE.to_string());
            let mut body = caller.send(get("/")).await.expect("a head").into_body();
            let mut count = 0;
            while let Some(frame) = soon(body.frame()).await {
                count += frame.expect("no error").data_ref().map_or(0, Bytes::len) as u64;
            }
            assert_eq!(count, LARGE);
        }
    }
}

/// Waits until a counter stands still, and returns it.
async fn at_rest(counter: &AtomicU64) -> u64 {
    let mut last = counter.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let now = counter.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

/// A feeder that writes as fast as it is let, and counts.
async fn pour(feed: crate::payload::Feed, poured: Arc<AtomicU64>) {
    const PIECE: &[u8] = &[0; 64 << 10];
    while poured.load(Ordering::SeqCst) < LARGE && feed.data(Bytes::from_static(PIECE)).await {
        poured.fetch_add(PIECE.len() as u64, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back() {
    let poured = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&poured);
    let backend = Backend::http(move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let (feed, body) = Payload::stream();
            tokio::spawn(pour(feed, counted));
            ok(body)
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for mut caller in both(stage.address()).await {
        poured.store(0, Ordering::SeqCst);
        let response = caller.send(get("/")).await.expect("a head");
        let underway = soon(at_rest(&poured)).await;
        assert!(underway < UNDERWAY_MAX, "{underway} bytes for a client that reads nothing");
        drop(response);
    }
}

#[tokio::test]
async fn a_slow_upstream_holds_the_client_back() {
    let backend = Backend::raw(async |stream, _| {
        std::future::pending::<()>().await; // never reads
        drop(stream);
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for mut caller in both(stage.address()).await {
        let (feed, body) = Payload::stream();
        let poured = Arc::new(AtomicU64::new(0));
        tokio::spawn(pour(feed, Arc::clone(&poured)));
        let sending = caller.send(request(Method::POST, "/", &[], body));
        let underway = tokio::select! {
            answer = sending => panic!("{answer:?}"),
            underway = soon(at_rest(&poured)) => underway,
        };
        assert!(underway < UNDERWAY_MAX, "{underway} bytes for an upstream that reads nothing");
    }
}

fn trailers(fields: &[(&str, &str)]) -> HeaderMap {
    fields.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
}

fn h2(upstream: &Upstream) -> serde_json::Value {
    let mut service = everything_free(&upstream.url());
    service["upstream_protocol"] = json!("h2");
    service
}

#[tokio::test]
async fn trailers_pass_by_a_short_list_and_those_of_grpc_nearly_all() {
    let all = [
        ("grpc-status", "0"),
        ("x-own", "1"),
        ("server-timing", "db;dur=3"),
        ("content-length", "9"),
        ("set-cookie", "a=b"),
        ("l402-cost", "3"),
        ("www-authenticate", "L402 realm=\"forged\""),
    ];
    let upstream = Upstream::start(Script::Trailers(Bytes::from_static(b"body"), trailers(&all)));
    let stage = Stage::of(h2(&upstream)).await;
    let mut caller = Caller::http2(stage.address()).await;
    let plain = caller.get("/").await;
    assert_eq!((plain.text(), &plain.trailers), ("body", &Some(trailers(&[("server-timing", "db;dur=3")]))));
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let grpc = caller.ask(request(Method::POST, "/a.B/C", &headers, Payload::empty())).await;
    assert_eq!(grpc.trailers, Some(trailers(&all[..3])));
}

#[tokio::test]
async fn a_body_whose_trailers_are_all_dropped_still_ends_well() {
    let upstream =
        Upstream::start(Script::Trailers(Bytes::from_static(b"body"), trailers(&[("x-own", "1")])));
    for service in [h2(&upstream), everything_free(&upstream.url())] {
        let stage = Stage::of(service).await;
        for mut caller in both(stage.address()).await {
            for _ in 0..2 {
                let reply = caller.get("/").await;
                assert_eq!((reply.text(), &reply.trailers), ("body", &None));
            }
        }
    }
}

/// HTTP/1.1 sends trailers only to who asked for them, and only those it announced.
#[tokio::test]
async fn http1_passes_the_listed_trailers_to_who_asks_for_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: Server-Timing, X-Own\r\n\r\n\
                  4\r\nbody\r\n0\r\nserver-timing: db;dur=3\r\nx-own: 1\r\n\r\n";
    let upstream = Upstream::start(Script::Raw(Bytes::from(answer)));
    let stage = Stage::of(everything_free(&upstream.url())).await;
    for (te, end) in [("te: trailers\r\n", "0\r\nserver-timing: db;dur=3\r\n\r\n"), ("", "0\r\n\r\n")] {
        let asked = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{te}\r\n");
        let mut raw = Raw::sent(stage.address(), asked).await;
        let head = raw.head().await.expect("an answer");
        assert_eq!(head.field("trailer"), Some("server-timing"));
        assert_eq!(String::from_utf8(raw.rest().await).expect("text"), format!("4\r\nbody\r\n{end}"));
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_send_is_told_only_when_it_may() {
    let backend = Backend::http(count_bytes).await;
    let stage = Stage::of(everything(&backend.url())).await;
    let credential = stage.credential("/").await;
    let head = |authorization: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n{authorization}\r\n"
        )
    };
    let mut refused = Raw::sent(stage.address(), head("")).await;
    assert_eq!(refused.answer().await.expect("an answer").0.status(), 402);
    let mut accepted = Raw::sent(stage.address(), head(&format!("authorization: {credential}\r\n"))).await;
    assert_eq!(accepted.head().await.expect("an interim answer").status(), 100);
    accepted.write("abc").await;
    let (head, body) = accepted.answer().await.expect("an answer");
    assert_eq!((head.status(), body.as_slice()), (200, &b"3"[..]));
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn head_gets_the_head_and_the_line_stays_in_step() {
    let backend = Backend::http(async |_| ok("twelve bytes")).await;
    let stage = Stage::of(everything(&backend.url())).await;
    let credential = stage.credential("/").await;
    let mut raw = Raw::sent(stage.address(), "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.head().await.expect("an answer").status(), 402);
    let head = format!("/ HTTP/1.1\r\nhost: a\r\nauthorization: {credential}\r\n\r\n");
    raw.write(format!("HEAD {head}")).await;
    let answer = raw.head().await.expect("an answer");
    assert_eq!((answer.status(), answer.field("content-length")), (200, Some("12")));
    raw.write(format!("GET {head}")).await;
    assert_eq!(raw.answer().await.expect("an answer").1, b"twelve bytes");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let statuses = AtomicUsize::new(0);
    let backend = Backend::http(move |_| {
        let status = [204, 304][statuses.fetch_add(1, Ordering::SeqCst) % 2];
        async move { Response::builder().status(status).body(Payload::empty()).expect("a response") }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for mut caller in both(stage.address()).await {
        for status in [204, 304] {
            let reply = caller.get("/").await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (status, 0));
        }
    }
    assert_eq!(backend.connections(), 1);
}

/// HTTP/1.0 has no chunks: the body ends with the line.
#[tokio::test]
async fn http10_clients_get_a_body_that_ends_with_the_line() {
    let (say, mut said) = mpsc::channel::<()>(1);
    let backend = Backend::raw(move |mut stream, _| {
        let say = say.clone();
        async move {
            let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
            stream.write_all(answer.as_bytes()).await.expect("written");
            say.send(()).await.expect("a listener");
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    let mut raw = Raw::sent(stage.address(), "GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    soon(said.recv()).await.expect("the upstream was asked");
    let head = raw.head().await.expect("an answer");
    assert_eq!((head.status(), head.field("transfer-encoding")), (200, None));
    assert_eq!(raw.rest().await, b"body");
}

/// The credential may be checked while the client still sends; the answer comes whatever it does.
#[tokio::test]
async fn a_client_may_stop_sending_and_still_read() {
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::of(everything_free(&upstream.url())).await;
    let mut raw = Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    raw.head().await.expect("an answer");
    assert_eq!(raw.rest().await, b"sunny");
    assert_eq!(ask_once(stage.address(), get("/")).await.text(), "sunny");
}
