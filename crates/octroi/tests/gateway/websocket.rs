//! WebSocket: a tunnel only after the upstream's 101, and only for `websocket`.

use crate::{
    backend::{Backend, Recorder},
    caller::{eventually, get_once, soon},
    raw::Raw,
    stage::{Stage, config, everything, everything_free},
};
use serde_json::json;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn handshake(more: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{more}\r\n"
    )
}

/// What has arrived up to the end of the head.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.is_ok_and(|count| count > 0), "a whole head");
    }
    String::from_utf8(head).expect("text")
}

/// Switches, then sends everything back in capitals, and ends when its client does.
async fn echo(mut stream: TcpStream) {
    read_head(&mut stream).await;
    stream.write_all(SWITCH.as_bytes()).await.expect("written");
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        piece[..count].make_ascii_uppercase();
        if stream.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_once_it_is_paid_and_granted() {
    let backend = Backend::raw(|stream, _| echo(stream)).await;
    let stage = Stage::of(everything(&backend.url())).await;
    let mut refused = Raw::sent(stage.address(), handshake("")).await;
    assert_eq!(refused.head().await.expect("an answer").status(), 402);
    assert_eq!(backend.connections(), 0);
    let credential = stage.credential("/chat").await;
    let mut raw = Raw::sent(stage.address(), handshake(&format!("authorization: {credential}\r\n"))).await;
    let head = raw.head().await.expect("an answer");
    assert_eq!((head.status(), head.field("upgrade")), (101, Some("websocket")));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    for word in ["hello", "again"] {
        raw.write(word).await;
        assert_eq!(raw.bytes(5).await, word.to_ascii_uppercase().as_bytes());
    }
    raw.finish_writing().await;
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test]
async fn the_upstream_gets_a_proper_handshake() {
    let heard = Arc::new(Mutex::new(String::new()));
    let hearing = Arc::clone(&heard);
    let backend = Backend::raw(move |mut stream, _| {
        let hearing = Arc::clone(&hearing);
        async move {
            let head = read_head(&mut stream).await;
            *hearing.lock().expect("no panic") = head;
            stream.write_all(SWITCH.as_bytes()).await.expect("written");
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    let mut raw = Raw::sent(stage.address(), handshake("")).await;
    assert_eq!(raw.head().await.expect("an answer").status(), 101);
    let head = heard.lock().expect("no panic").clone();
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "l402-service: weather\r\n",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{line} in {head}");
    }
}

/// Bytes that a client sends before it has its 101 reach the upstream after the upstream has said 101, and never where it
/// said something else: there they would be read as a request.
#[tokio::test]
async fn early_bytes_wait_for_the_upstreams_101() {
    let (go, heard) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (going, hearing) = (Arc::clone(&go), Arc::clone(&heard));
    let backend = Backend::raw(move |mut stream, _| {
        let (going, hearing) = (Arc::clone(&going), Arc::clone(&hearing));
        async move {
            read_head(&mut stream).await;
            hearing.store(1, Ordering::SeqCst);
            let mut early = [0; 5];
            tokio::select! {
                _ = stream.read_exact(&mut early) => hearing.store(2, Ordering::SeqCst),
                () = going.notified() => {
                    stream.write_all(SWITCH.as_bytes()).await.expect("written");
                    stream.read_exact(&mut early).await.expect("the early bytes, now");
                    stream.write_all(&early).await.expect("written");
                }
            }
        }
    })
    .await;
    let stage = Stage::of(everything_free(&backend.url())).await;
    let mut raw = Raw::sent(stage.address(), format!("{}early", handshake(""))).await;
    eventually("the handshake arrives", || heard.load(Ordering::SeqCst) == 1).await;
    raw.write("more").await;
    assert_eq!(heard.load(Ordering::SeqCst), 1, "no byte of the tunnel came before the 101");
    go.notify_one();
    assert_eq!(soon(raw.head()).await.expect("an answer").status(), 101);
    assert_eq!(raw.bytes(5).await, b"early");
}

#[tokio::test]
async fn early_bytes_are_never_a_request_to_an_upstream_that_refuses() {
    let recorder = Recorder::start().await; // answers 200 to everything
    let mut service = everything(&recorder.backend.url());
    service["routes"] = json!([{ "path": "/chat", "access": "free" }]);
    let stage = Stage::of(service).await;
    let smuggled = "GET /priced HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut raw = Raw::sent(stage.address(), format!("{}{smuggled}", handshake(""))).await;
    assert_eq!(raw.answer().await.expect("an answer").0.status(), 200);
    assert_eq!(raw.answer().await.expect("an answer of the gateway's own").0.status(), 402);
    let seen = recorder.take();
    assert!(!seen.contains("priced"), "{seen}");
}

#[tokio::test]
async fn a_switch_to_anything_else_is_no_tunnel() {
    for switch in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
    ] {
        let backend = Backend::raw(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(switch.as_bytes()).await.expect("written");
        })
        .await;
        let stage = Stage::of(everything_free(&backend.url())).await;
        let mut raw = Raw::sent(stage.address(), handshake("")).await;
        assert_eq!(raw.head().await.expect("an answer").status(), 502, "{switch}");
    }
}

/// h2c and other protocols are not offered to the upstream; the request itself is as good as any.
#[tokio::test]
async fn other_upgrades_are_taken_off_the_request() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for upgrade in ["h2c", "TLS/1.0", "websocket, h2c", "websocket/13", "h2c\r\nupgrade: websocket"] {
        let head = handshake("").replace("WebSocket", upgrade);
        let mut raw = Raw::sent(stage.address(), head).await;
        assert_eq!(raw.answer().await.expect("an answer").0.status(), 200, "{upgrade}");
        let seen = recorder.take();
        assert!(!seen.contains("upgrade") && !seen.contains("connection:"), "{seen}");
    }
}

/// A tunnel is a connection like any other: it counts until it ends.
#[tokio::test]
async fn open_tunnels_count_as_connections() {
    let backend = Backend::raw(|stream, _| echo(stream)).await;
    let mut config = config(json!([everything_free(&backend.url())]));
    config["limits"]["connections"] = json!(2);
    let stage = Stage::open(&config).await;
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::sent(stage.address(), handshake("")).await;
        assert_eq!(raw.head().await.expect("an answer").status(), 101);
        tunnels.push(raw);
    }
    let mut third = Raw::sent(stage.address(), handshake("")).await;
    assert!(third.head().await.is_none(), "hung up on");
    assert!(get_once(stage.ops(), "/metrics").await.text().contains("octroi_connections 2\n"));
    tunnels.clear();
    for attempt in 0.. {
        let mut raw = Raw::sent(stage.address(), handshake("")).await;
        if raw.head().await.is_some_and(|head| head.status() == 101) {
            break;
        }
        assert!(attempt < 1000, "the places are free again");
    }
}
