//! What one client may take: time, header bytes, connections, streams.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, eventually, get, get_once, request, soon},
    payload::Payload,
    raw::Raw,
    stage::{Stage, both, config, everything_free},
};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{Reply as Script, Upstream};

fn free(upstream: &Upstream) -> Value {
    config(json!([everything_free(&upstream.url())]))
}

async fn is_told_408(address: SocketAddr, part: &str) {
    let mut raw = Raw::sent(address, part).await;
    let head = raw.head().await.unwrap_or_else(|| panic!("no answer to {part:?}"));
    assert_eq!((head.status(), head.field("connection")), (408, Some("close")));
    assert_eq!(raw.rest().await, b"");
}

/// Also on a line that served a request before, and however steadily the bytes drip.
async fn is_told_408_while_dripping(address: SocketAddr) {
    let mut raw = Raw::sent(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.expect("an answer").0.status(), 200);
    raw.write("GET / HTTP/1.1\r\nx-drip: ").await;
    let dripping = async {
        loop {
            raw.write("x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(status) = String::from_utf8_lossy(&raw.so_far()).get(9..12) {
                return status.to_owned();
            }
        }
    };
    assert_eq!(soon(dripping).await, "408");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_408_and_the_line_is_closed() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut config = free(&upstream);
    config["timeouts"] = json!({ "header": "200ms" });
    let stage = Stage::open(&config).await;
    let address = stage.address();
    tokio::join!(
        is_told_408(address, "G"),
        is_told_408(address, "PRI * HT"),
        is_told_408(address, "\r\n"),
        is_told_408(address, "GET / HTTP/1.1\r\n"),
        is_told_408(address, "GET / HTTP/1.1\r\nhost: a\r\nx-a: "),
        is_told_408_while_dripping(address),
    );
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_idle_line_is_closed_and_a_busy_one_is_not() {
    let upstream =
        Upstream::start(Script::After(Duration::from_millis(1500), Box::new(Script::text("late"))));
    let mut config = free(&upstream);
    config["timeouts"] = json!({ "idle": "200ms", "header": "200ms" });
    let stage = Stage::open(&config).await;
    let silent = async {
        let mut raw = Raw::connect(stage.address()).await;
        assert_eq!(raw.rest().await, b"", "closed without a word: nothing was asked");
    };
    let busy = async {
        let mut raw = Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.expect("an answer").1, b"late");
        assert_eq!(raw.rest().await, b"");
    };
    let busy_h2 = async {
        let mut caller = Caller::http2(stage.address()).await;
        assert_eq!(caller.get("/").await.text(), "late");
        let Caller::Http2(sender) = caller else { unreachable!("it was made so") };
        eventually("the idle HTTP/2 connection is closed", || sender.is_closed()).await;
    };
    tokio::join!(silent, busy, busy_h2);
}

#[tokio::test]
async fn more_header_than_allowed_is_431() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut config = free(&upstream);
    config["limits"]["header"] = json!("8KiB");
    let stage = Stage::open(&config).await;
    let many = "x-a: b\r\n".repeat(200);
    let long = format!("x-long: {}\r\n", "x".repeat(8192));
    let longer = format!("x-long: {}\r\n", "x".repeat(1 << 20));
    let sum = format!("x-long: {}\r\n", "x".repeat(1000)).repeat(9);
    for lines in [&many, &long, &longer, &sum] {
        let mut raw = Raw::sent(stage.address(), format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")).await;
        let head = raw.head().await.expect("an answer");
        assert_eq!((head.status(), head.field("connection")), (431, Some("close")), "{lines:.20}");
        raw.finish_writing().await;
        raw.rest().await;
    }
    // A head without an end is not kept either.
    let mut raw =
        Raw::sent(stage.address(), format!("GET / HTTP/1.1\r\nx-long: {}", "x".repeat(1 << 20))).await;
    assert_eq!(raw.head().await.expect("an answer").status(), 431);
    let mut caller = Caller::http2(stage.address()).await;
    let value = "x".repeat(9000);
    let reply = caller.ask(request(Method::GET, "/", &[("x-long", &value)], Payload::empty())).await;
    assert_eq!(reply.status, 431);
    assert_eq!(caller.get("/").await.text(), "sunny", "the connection goes on");
    let target = format!("/{}", "a".repeat(7000));
    assert_eq!(get_once(stage.address(), &target).await.text(), "sunny");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_freed_places_are_given_again() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut config = free(&upstream);
    config["limits"]["connections"] = json!(3);
    let stage = Stage::open(&config).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut caller = Caller::http1(stage.address()).await;
        assert_eq!(caller.get("/").await.text(), "sunny");
        held.push(caller);
    }
    let mut fourth = Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(fourth.rest().await, b"");
    assert_eq!(held[0].get("/").await.text(), "sunny", "those who are in stay in");
    held.pop();
    let mut attempts = 0;
    loop {
        let mut raw =
            Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        if raw.rest().await.ends_with(b"sunny") {
            break;
        }
        attempts += 1;
        assert!(attempts < 1000, "the place is free again");
    }
}

fn hasty(upstream: &str) -> Value {
    let mut config = config(json!([everything_free(upstream)]));
    config["timeouts"] = json!({ "whole": "300ms" });
    config
}

/// An endless answer, to a client that reads it and to one that does not: both are cut off, and the upstream is let go.
#[tokio::test]
async fn an_exchange_ends_when_its_time_is_up_whoever_is_slow() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let backend = Backend::http(move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let (feed, body) = Payload::stream();
            tokio::spawn(async move {
                counted.fetch_add(1, Ordering::SeqCst);
                while feed.data(vec![0; 64 << 10]).await {}
                counted.fetch_sub(1, Ordering::SeqCst);
            });
            ok(body)
        }
    })
    .await;
    let stage = Stage::open(&hasty(&backend.url())).await;
    for mut caller in both(stage.address()).await {
        let response = caller.send(get("/")).await.expect("a head");
        let mut body = response.into_body();
        let cut = async {
            while let Some(frame) = body.frame().await {
                if frame.is_err() {
                    return true;
                }
            }
            false
        };
        assert!(soon(cut).await, "a body that is cut is seen to be cut");
    }
    for mut caller in both(stage.address()).await {
        let unread = caller.send(get("/")).await.expect("a head");
        assert_eq!(open.load(Ordering::SeqCst), 1);
        eventually("the upstream is let go", || open.load(Ordering::SeqCst) == 0).await;
        drop(unread);
    }
}

#[tokio::test]
async fn a_body_that_drips_for_ever_is_not_waited_for() {
    let backend = Backend::http(async |request: http::Request<hyper::body::Incoming>| {
        let _ = request.into_body().collect().await;
        ok("whole")
    })
    .await;
    let stage = Stage::open(&hasty(&backend.url())).await;
    for mut caller in both(stage.address()).await {
        let (feed, body) = Payload::stream();
        let dripping = tokio::spawn(async move {
            while feed.data("x").await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let response = caller.send(request(Method::POST, "/", &[], body)).await.expect("an answer");
        assert_eq!(response.status(), 504);
        drop((response, caller));
        soon(dripping).await.expect("the client is told to stop");
    }
}
