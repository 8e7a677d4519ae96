//! Connections to upstreams, and upstreams that are down, slow, cut off or not HTTP.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, ask_once, eventually, get, get_once, request, soon},
    payload::Payload,
    raw::Raw,
    stage::{Stage, both, config, everything, everything_free},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{Reply as Script, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Reads one request with a small body or none; false at the end of the line.
async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if !stream.read_buf(&mut head).await.is_ok_and(|count| count > 0) {
            return false;
        }
    }
    true
}

/// A gateway in front of `upstream` that is in a hurry.
fn hurried(upstream: &str) -> Value {
    let mut config = config(json!([everything_free(upstream)]));
    config["timeouts"] = json!({ "connect": "300ms", "response": "300ms" });
    config
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let backend = Backend::http(async |_| ok("ok")).await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for _ in 0..5 {
        for mut caller in both(stage.address()).await {
            assert_eq!(caller.get("/").await.text(), "ok");
        }
    }
    assert_eq!((backend.requests(), backend.connections()), (10, 1));
}

#[tokio::test]
async fn requests_at_once_get_connections_of_their_own_or_share_one_of_http2() {
    for (protocol, most) in [("http1", 8), ("h2", 1)] {
        let (entered, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let backend = Backend::http(move |request| {
            let (entered, all) = (Arc::clone(&entered), Arc::clone(&all));
            async move {
                if request.uri().path() == "/first" {
                    return ok("ok");
                }
                let waiting = all.notified();
                if entered.fetch_add(1, Ordering::SeqCst) == 7 {
                    all.notify_waiters();
                } else {
                    waiting.await;
                }
                ok("ok")
            }
        })
        .await;
        let mut service = everything_free(&backend.url());
        service["upstream_protocol"] = json!(protocol);
        let stage = Stage::of(service).await;
        get_once(stage.address(), "/first").await;
        let asked: Vec<_> = (0..8).map(|_| tokio::spawn(ask_once(stage.address(), get("/")))).collect();
        for reply in asked {
            assert_eq!(soon(reply).await.expect("no panic").text(), "ok");
        }
        assert!(backend.connections() <= most, "{protocol}: {}", backend.connections());
    }
}

/// The upstream hangs up after each answer; once the gateway has noticed, no request meets the dead connection.
#[tokio::test]
async fn a_connection_that_was_closed_is_not_used_again() {
    let noticed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&noticed);
    let backend = Backend::raw(move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            read_head(&mut stream).await;
            stream.write_all(OK).await.expect("written");
            stream.shutdown().await.expect("closed");
            while stream.read(&mut [0]).await.is_ok_and(|count| count > 0) {}
            counted.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for (number, method) in [Method::GET, Method::POST, Method::DELETE].into_iter().enumerate() {
        let reply = ask_once(stage.address(), request(method, "/", &[], Payload::empty())).await;
        assert_eq!(reply.text(), "ok");
        eventually("the gateway hangs up too", || noticed.load(Ordering::SeqCst) > number).await;
    }
    assert_eq!(backend.connections(), 3);
}

/// On its first connection the upstream takes a second request and hangs up, as servers do whose patience with an idle
/// connection ends just then. Nobody knows whether it acted on it.
async fn forgetful() -> (Backend, Arc<AtomicUsize>) {
    let heads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heads);
    let backend = Backend::raw(move |mut stream, number| {
        let counted = Arc::clone(&counted);
        async move {
            let mut answers = 0;
            while read_head(&mut stream).await {
                counted.fetch_add(1, Ordering::SeqCst);
                if number == 0 && answers == 1 {
                    return;
                }
                answers += 1;
                if stream.write_all(OK).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, heads)
}

async fn asked_on_a_stale_connection(method: Method, body: &'static str) -> (u16, usize) {
    let (backend, heads) = forgetful().await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    assert_eq!(get_once(stage.address(), "/").await.status, 200);
    tokio::time::sleep(Duration::from_millis(600)).await; // this long unused, a connection counts as stale
    let reply = ask_once(stage.address(), request(method, "/", &[], Payload::from(body))).await;
    (reply.status.as_u16(), heads.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_request_is_repeated_only_where_that_cannot_do_harm() {
    let (get, head, post, delete, put) = tokio::join!(
        asked_on_a_stale_connection(Method::GET, ""),
        asked_on_a_stale_connection(Method::HEAD, ""),
        asked_on_a_stale_connection(Method::POST, ""),
        asked_on_a_stale_connection(Method::DELETE, ""),
        asked_on_a_stale_connection(Method::PUT, "x"),
    );
    assert_eq!([get, head], [(200, 3); 2], "asked twice");
    assert_eq!([post, delete, put], [(502, 2); 3], "asked once, whatever became of it");
}

/// The upstream answers before it has read the body, and the client goes on sending: that connection is not free yet, and
/// nobody else may have to wait for it.
#[tokio::test]
async fn an_early_answer_does_not_block_the_next_client() {
    let backend = Backend::raw(async |mut stream, number| {
        let mut some = [0; 64];
        let _ = stream.read(&mut some).await;
        stream.write_all(OK).await.expect("written");
        while number == 0 && stream.read(&mut some).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    let mut slow = Caller::http1(stage.address()).await;
    let (feed, body) = Payload::stream();
    assert!(feed.data("the first piece").await);
    let early = slow.send(request(Method::POST, "/", &[], body)).await.expect("an answer");
    assert_eq!(early.into_body().collect().await.expect("a body").to_bytes(), "ok");
    assert_eq!(get_once(stage.address(), "/").await.text(), "ok");
    drop(feed);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502_and_is_asked_again_next_time() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound")
    };
    let stage = Stage::of(everything(&format!("http://{port}"))).await;
    let credential = stage.credential("/").await;
    let paid = || request(Method::GET, "/", &[("authorization", credential.as_str())], Payload::empty());
    for mut caller in both(stage.address()).await {
        let reply = caller.ask(paid()).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (502, "upstream_unreachable"));
        assert_eq!(reply.header("www-authenticate"), None);
    }
    let listener = tokio::net::TcpListener::bind(port).await.expect("the same port");
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_head(&mut stream).await;
        stream.write_all(OK).await.expect("written");
    };
    let (reply, ()) = tokio::join!(ask_once(stage.address(), paid()), serving);
    assert_eq!(reply.text(), "ok");
}

#[tokio::test]
async fn an_upstream_that_hangs_is_504() {
    let silent = Backend::raw(async |mut stream, _| while read_head(&mut stream).await {}).await;
    let stage = Stage::open(&hurried(&silent.url())).await;
    for mut caller in both(stage.address()).await {
        let reply = caller.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (504, "upstream_timeout"));
    }
    assert_eq!(silent.connections(), 2, "a connection that owes an answer is not used again");
    // It accepts and never shakes hands: connecting takes too long.
    let stage = Stage::open(&hurried(&silent.https_url())).await;
    let reply = get_once(stage.address(), "/").await;
    assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (504, "upstream_timeout"));
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_not_the_upstreams_fault() {
    let backend = Backend::http(async |request: http::Request<hyper::body::Incoming>| {
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        ok(std::str::from_utf8(&body).expect("text"))
    })
    .await;
    let stage = Stage::open(&hurried(&backend.url())).await;
    let (feed, body) = Payload::stream();
    let sending = async {
        for piece in ["a", "b", "c", "d", "e"] {
            assert!(feed.data(piece).await);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        drop(feed);
    };
    let (reply, ()) = tokio::join!(ask_once(stage.address(), request(Method::POST, "/", &[], body)), sending);
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "abcde"));
}

#[tokio::test]
async fn what_is_not_http_is_502() {
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x-a: b\r\n".repeat(1000));
    for rubbish in [
        "",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nx a: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: b\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        &long,
        &many,
    ] {
        let upstream = Upstream::start(Script::Raw(Bytes::copy_from_slice(rubbish.as_bytes())));
        let stage = Stage::of(everything_free(&upstream.url())).await;
        for mut caller in both(stage.address()).await {
            let reply = caller.get("/").await;
            assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{rubbish:.60}");
        }
    }
}

/// A body that ends early must look like one: no last chunk, fewer bytes than announced, or a reset stream.
#[tokio::test]
async fn a_cut_answer_stays_visibly_cut() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let upstream = Upstream::start(Script::Raw(Bytes::copy_from_slice(answer.as_bytes())));
        let stage = Stage::of(everything_free(&upstream.url())).await;
        let mut raw = Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(raw.head().await.expect("an answer").status(), 200);
        let rest = String::from_utf8(raw.rest().await).expect("text");
        assert!(rest.contains("half") && !rest.contains("0\r\n\r\n"), "{rest:?}");
        let mut caller = Caller::http2(stage.address()).await;
        let response = caller.send(get("/")).await.expect("a head");
        let error = soon(response.into_body().collect()).await.expect_err("a cut body");
        assert!(!error.is_incomplete_message(), "a stream error, not a lost connection: {error:?}");
        // The connection itself is fine.
        assert_eq!(caller.get("//").await.status, 400);
    }
}

/// RFC 9112 section 6.3: with both, the chunks count, and a proxy takes the length away.
#[tokio::test]
async fn an_answer_with_both_framings_is_framed_anew() {
    let both_framings =
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n";
    let upstream = Upstream::start(Script::Raw(Bytes::from(both_framings)));
    let stage = Stage::of(everything_free(&upstream.url())).await;
    let mut raw = Raw::sent(stage.address(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let head = raw.head().await.expect("an answer");
    let rest = String::from_utf8(raw.rest().await).expect("text");
    assert_eq!((head.status(), head.field("content-length")), (200, None), "{head:?}");
    assert_eq!(rest, "6\r\nabcdef\r\n0\r\n\r\n");
    let reply = Caller::http2(stage.address()).await.get("/").await;
    assert_eq!((reply.text(), reply.header("content-length")), ("abcdef", None));
}

#[tokio::test]
async fn a_length_said_twice_is_said_once() {
    for length in ["4\r\ncontent-length: 4", "4, 4", "04"] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nbody");
        let upstream = Upstream::start(Script::Raw(Bytes::from(answer)));
        let stage = Stage::of(everything_free(&upstream.url())).await;
        for mut caller in both(stage.address()).await {
            let reply = caller.get("/").await;
            assert_eq!(reply.headers.get_all("content-length").iter().count(), 1, "{length}");
            assert_eq!((reply.header("content-length"), reply.text()), (Some("4"), "body"), "{length}");
        }
    }
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = Upstream::start(Script::Raw(Bytes::from(answer)));
    let stage = Stage::of(everything_free(&upstream.url())).await;
    for mut caller in both(stage.address()).await {
        assert_eq!(caller.get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn redirects_and_errors_of_the_upstream_are_the_clients_to_read() {
    let location = [("location".parse().expect("a name"), "http://127.0.0.1:1/".parse().expect("a value"))];
    for status in [301, 302, 307, 401, 402, 404, 500, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let reply = Script::Fixed(status, location.clone().into_iter().collect(), Bytes::from("as it is"));
        let upstream = Upstream::start(reply);
        let stage = Stage::of(everything_free(&upstream.url())).await;
        for mut caller in both(stage.address()).await {
            let reply = caller.get("/").await;
            assert_eq!((reply.status, reply.text()), (status, "as it is"));
            assert_eq!(reply.header("location"), Some("http://127.0.0.1:1/"));
        }
        assert_eq!(upstream.count(), 2);
    }
}

#[tokio::test]
async fn an_h2_upstream_that_says_goodbye_is_connected_to_again() {
    let backend = Backend::raw(async |stream, _| {
        let service = hyper::service::service_fn(|_| async { Ok::<_, Infallible>(ok("ok")) });
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let connection = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let polled = tokio::time::timeout(Duration::from_millis(150), connection.as_mut()).await;
        if polled.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    })
    .await;
    let mut service = everything_free(&backend.url());
    service["upstream_protocol"] = json!("h2");
    let stage = Stage::of(service).await;
    let mut caller = Caller::http1(stage.address()).await;
    for _ in 0..40 {
        let posted = request(Method::POST, "/", &[], Payload::from("x"));
        assert_eq!(caller.ask(posted).await.text(), "ok");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(backend.connections() > 1);
}

#[tokio::test]
async fn the_upstream_hears_when_its_client_leaves() {
    let left = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&left);
    let backend = Backend::http(move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let (feed, body) = Payload::stream();
            tokio::spawn(async move {
                assert!(feed.data("first").await);
                feed.unread().await;
                counted.fetch_add(1, Ordering::SeqCst);
            });
            ok(body)
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    for caller in both(stage.address()).await {
        let mut caller = caller;
        let mut response = caller.send(get("/")).await.expect("a head");
        assert!(response.body_mut().frame().await.is_some());
    }
    eventually("both streams are let go", || left.load(Ordering::SeqCst) == 2).await;
}
