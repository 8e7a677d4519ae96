//! The loopback node through its wallet door, as a client with an LND wallet sees it.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod door;
mod faults;
mod pay;
mod sell;

use door::{Door, NOW, PATIENCE, base64_of, three};
use hyper::StatusCode;
use l402_lightning::{
    MilliSat,
    loopback::{Fault, LoopbackNode, WalletDoorError, When, serve_wallet},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn the_door_opens_on_loopback_addresses_only() {
    let node = Arc::new(LoopbackNode::new([7; 32], Arc::new(|| NOW)));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = serve_wallet(listener, node, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, WalletDoorError::NotLoopback(_)), "{error}");
    assert!(error.to_string().contains("127.0.0.1:8403"), "{error}");
}

#[tokio::test]
async fn what_the_door_does_not_know_is_refused_without_harm() {
    let door = Door::open().await;
    for (method, path, body, status) in [
        ("GET", "/", "", 404),
        ("GET", "/v1/channels", "", 404),
        ("GET", "/v1/getinfo/", "", 404),
        ("GET", "/v1/%67etinfo", "", 200),
        ("GET", "/v1/%zz%e4%", "", 404),
        ("POST", "/v1/getinfo", "", 501),
        ("GET", "/v2/router/send", "", 501),
        ("DELETE", "/v1/payments", "", 501),
        ("POST", "/v1/invoices", "{", 400),
        ("POST", "/v2/router/send", "\u{0}", 400),
        ("POST", "/v2/router/send", "   ", 500),
    ] {
        let (found, answer) = door.send(method, path, body).await.unwrap();
        assert_eq!(found.as_u16(), status, "{method} {path} {body:?} {answer}");
    }
    let (status, _) = door.send("POST", "/v1/invoices", &" ".repeat(64 * 1024 + 1)).await.unwrap();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn rubbish_on_the_line_ends_that_line_only() {
    let door = Door::open().await;
    for rubbish in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", &b"a".repeat(100_000)]
    {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        let _ = stream.write_all(rubbish).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    assert_eq!(door.get("/v1/getinfo").await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_preimage_of_an_unpaid_invoice_ever_leaves() {
    let door = Door::open().await;
    let invoice = door.invoice(3).await;
    let (preimage, hash) = three();
    let mut seen = String::new();
    for path in [
        "/v1/getinfo".to_owned(),
        "/v1/payments?include_incomplete=true".to_owned(),
        "/v1/balance/channels".to_owned(),
        format!("/v1/payreq/{}", invoice.text()),
        format!("/v1/invoice/{hash}"),
        format!("/v2/router/track/{}", base64_of(&hash)),
    ] {
        seen += &door.send("GET", &path, "").await.unwrap().1;
    }
    door.node.knobs().set_fee(MilliSat::from_msat(1));
    let ask = json!({ "payment_request": invoice.text() }).to_string();
    seen += &door.send("POST", "/v2/router/send", &ask).await.unwrap().1;
    seen += &door
        .send(
            "POST",
            "/v1/channels/transactions",
            &json!({ "payment_request": invoice.text(), "fee_limit": {} }).to_string(),
        )
        .await
        .unwrap()
        .1;
    let printed = format!("{:?} {invoice:?}", door.node);
    seen += &printed;
    assert!(seen.contains(&hash));
    for secret in
        [preimage.clone(), base64_of(&preimage), base64_of(&preimage).replace('-', "+").replace('_', "/")]
    {
        assert!(!seen.contains(secret.trim_end_matches('=')), "{seen}");
    }
    assert_eq!(door.node.payments().len(), 0);
}

#[tokio::test]
async fn closing_the_door_ends_open_requests() {
    let door = Door::open().await;
    door.node.knobs().pay().set(Fault::Hang(When::Before));
    let invoice = door.invoice(3).await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    let body = json!({ "payment_request": invoice.text() }).to_string();
    let head = format!(
        "POST /v2/router/send HTTP/1.1\r\nhost: wallet\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    while door.node.calls().pay == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let address = door.address;
    tokio::time::timeout(Duration::from_secs(10), door.close()).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}
