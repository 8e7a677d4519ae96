//! How connections begin, and those that never do.

use crate::stage::{Stage, config, soon};
use serde_json::json;
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, time::Duration};
use tempfile::TempDir;
use testkit::{Reply, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn connected(address: SocketAddr, first: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.write_all(first.as_bytes()).await.expect("written");
    stream
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.expect("text until the line ends");
    text
}

/// Files of a certificate that nobody needs to trust: the handshake is never finished.
fn certificate(folder: &TempDir) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = folder.path().join("key.pem");
    fs::write(folder.path().join("tls.pem"), made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its own file");
}

#[tokio::test]
async fn a_request_is_read_whole_however_its_first_bytes_come() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let stage = Stage::open(&config(&upstream.url()), |_| {}).await;
    let posted = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab";
    for request in [REQUEST, posted] {
        for at in 1..20 {
            let (start, end) = request.split_at(at);
            let mut stream = connected(stage.address(), start).await;
            tokio::task::yield_now().await;
            stream.write_all(end.as_bytes()).await.expect("written");
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("sunny"), "{at}: {answer}");
        }
    }
    assert_eq!(upstream.count(), 38);
}

/// Patience with a head and patience with a client that asks for nothing are longer than the test.
#[tokio::test]
async fn a_drain_waits_for_nobody_who_has_not_asked() {
    let upstream = Upstream::start(Reply::text("sunny"));
    for tls in [false, true] {
        let mut config = config(&upstream.url());
        config["timeouts"] = json!({ "header": "1h", "idle": "1h" });
        if tls {
            let files = json!({ "certificate": "tls.pem", "key": "key.pem" });
            config["listen"] = json!([{ "address": "127.0.0.1:0", "tls": files }]);
        }
        let stage = Stage::open(&config, certificate).await;
        let mut waiting = Vec::new();
        // What begins a TLS handshake begins no request, and the other way round.
        for first in if tls { ["", "\u{16}", "\u{16}\u{3}\u{1}"] } else { ["", "P", "PRI * HT"] } {
            waiting.push(connected(stage.address(), first).await);
        }
        if !tls {
            let mut served = connected(stage.address(), REQUEST).await;
            assert!(rest(&mut served).await.ends_with("sunny"), "by now those before it are known");
        }
        soon(stage.gateway.drain()).await;
        for stream in &mut waiting {
            let ended = soon(stream.read(&mut [0; 1])).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "closed without a word");
        }
    }
}

/// Before the first byte a connection is idle; from it on, the head is due.
#[tokio::test]
async fn a_client_that_stops_in_its_first_line_is_told_so_and_a_silent_one_is_let_go() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let mut hasty = config(&upstream.url());
    hasty["timeouts"] = json!({ "header": "50ms", "idle": "1h" });
    let stage = Stage::open(&hasty, |_| {}).await;
    let mut silent = connected(stage.address(), "").await;
    for first in ["P", "PR", "PRI * HTTP/2.0\r", "PO", "G"] {
        let answer = rest(&mut connected(stage.address(), first).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{first:?}: {answer}");
    }
    silent.write_all(REQUEST.as_bytes()).await.expect("written");
    assert!(rest(&mut silent).await.ends_with("sunny"), "it was in no hurry");

    let mut impatient = config(&upstream.url());
    impatient["timeouts"] = json!({ "header": "1h", "idle": "50ms" });
    let stage = Stage::open(&impatient, |_| {}).await;
    assert_eq!(rest(&mut connected(stage.address(), "").await).await, "");
}

/// Whoever stops in the middle of what looks like HTTP/2 costs nothing while it is waited for, and nothing once it left.
#[tokio::test]
async fn a_client_that_leaves_in_its_first_line_is_forgotten_at_once() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let mut config = config(&upstream.url());
    config["timeouts"] = json!({ "header": "1h", "idle": "1h" });
    config["limits"] = json!({ "connections": 2 });
    let stage = Stage::open(&config, |_| {}).await;
    for _ in 0..8 {
        for _ in 0..2 {
            drop(connected(stage.address(), "PRI").await);
        }
        // Its place is free as soon as the gateway has read the end.
        let served = async {
            loop {
                let mut stream = connected(stage.address(), REQUEST).await;
                let mut answer = String::new();
                if stream.read_to_string(&mut answer).await.is_ok() && answer.ends_with("sunny") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(served).await;
    }
}
