//! The running program told to reload and to stop, and what it says meanwhile.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, ask_once, eventually, get, get_once, request, soon},
    certificate::Authority,
    payload::Payload,
    process::{Program, write_config},
    stage::{config, everything, everything_free},
};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::{Reply as Script, Upstream};
use tokio::net::TcpStream;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn price(program: &Program) -> String {
    let head = request(Method::HEAD, "/", &[], Payload::empty());
    let answer = ask_once(program.address().await, head).await;
    answer.header("l402-price").expect("a price").to_owned()
}

#[tokio::test]
async fn sighup_takes_a_new_config_and_a_bad_one_changes_nothing() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut config = config(json!([everything(&upstream.url())]));
    let program = Program::start(folder(), &config, None).await;
    assert_eq!(price(&program).await, "10000");
    config["services"][0]["price"] = json!("20 sat");
    write_config(&program.folder, &config.to_string());
    program.signal("HUP");
    program.hears("configuration reloaded").await;
    assert_eq!(price(&program).await, "20000");
    config["services"][0]["price"] = json!(30);
    for bad in [config.to_string(), "services: [".to_owned(), String::new()] {
        let complaints = program.said().matches("configuration not reloaded").count();
        write_config(&program.folder, &bad);
        program.signal("HUP");
        eventually("it complains", || {
            program.said().matches("configuration not reloaded").count() == complaints + 1
        })
        .await;
        assert_eq!(price(&program).await, "20000");
    }
    let line: Value =
        serde_json::from_str(&program.hears("configuration not reloaded").await).expect("a line of JSON");
    assert_eq!(line["level"], "ERROR");
    assert!(line["hint"].as_str().is_some_and(|hint| hint.contains("SIGHUP")), "{line}");
    assert!(line["message"].as_str().is_some_and(|said| said.contains("octroi.yaml:1:")), "{line}");
}

#[tokio::test]
async fn sighup_shows_a_renewed_certificate() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (old, new, folder) = (Authority::new(), Authority::new(), folder());
    old.certify(&["api.example.com"]).write(folder.path(), "api");
    let mut config = config(json!([everything_free(&upstream.url())]));
    let tls = json!({ "certificate": "api.pem", "key": "api.key" });
    config["listen"] = json!([{ "address": "127.0.0.1:0", "tls": tls }]);
    let program = Program::start(folder, &config, None).await;
    let address = program.address().await;
    assert!(old.connect(address, "api.example.com", &[]).await.is_ok());
    new.certify(&["api.example.com"]).write(program.folder.path(), "api");
    program.signal("HUP");
    program.hears("configuration reloaded").await;
    let stream = new.connect(address, "api.example.com", &[]).await.expect("the new certificate");
    assert_eq!(Caller::tls(stream).await.get("/").await.text(), "sunny");
}

#[tokio::test]
async fn sigterm_lets_a_request_in_progress_end_and_exits_well() {
    let upstream = Upstream::start(Script::Events);
    let config = config(json!([everything_free(&upstream.url())]));
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(folder(), &config, None).await;
        let address = program.address().await;
        let mut caller = Caller::http1(address).await;
        let mut stream = caller.send(get("/")).await.expect("a head");
        eventually("the stream is open", || upstream.open_streams() == 1).await;
        program.signal(signal);
        program.hears("stopping: no new connections").await;
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        upstream.push("the last words");
        let frame = soon(stream.body_mut().frame()).await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "the last words");
        upstream.end_streams();
        soon(stream.into_body().collect()).await.expect("a good end");
        assert_eq!(program.ends().await.code(), Some(0));
        let said = program.said();
        assert!(said.contains("stopped"), "{said}");
        let served =
            said.lines().find(|line| line.contains("\"target\":\"access\"")).expect("an access line");
        assert!(served.contains("\"reason\":\"served\""), "{served}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_believed_is_said_clearly() {
    let authority = Authority::new();
    let backend = Backend::tls(authority.certify(&["localhost"]).server(&[]), async |_| ok("sunny")).await;
    let program =
        Program::start(folder(), &config(json!([everything_free(&backend.https_url())])), None).await;
    assert_eq!(get_once(program.address().await, "/").await.status, 502);
    let line = program.hears("the upstream cannot be reached").await;
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!((&line["level"], &line["upstream"]), (&json!("WARN"), &json!(backend.https_url())));
    let error = line["error"].as_str().expect("an error");
    assert!(error.contains("TLS") && error.contains("certificate"), "{error}");
    assert_eq!(backend.requests(), 0);
}

/// Large bodies both ways: what the gateway holds of them is bounded.
#[tokio::test]
async fn memory_does_not_grow_with_bodies() {
    const LARGE: u64 = 64 << 20;
    const GROWTH_MAX: u64 = 24 << 20;
    let backend = Backend::http(async |request: http::Request<hyper::body::Incoming>| {
        let _ = request.into_body().collect().await;
        ok(Payload::Zeros(LARGE))
    })
    .await;
    let program = Program::start(folder(), &config(json!([everything_free(&backend.url())])), None).await;
    let address = program.address().await;
    get_once(address, "/nothing\\here").await;
    let before = program.memory_peak();
    for mut caller in [Caller::http1(address).await, Caller::http2(address).await] {
        let sent = request(Method::POST, "/", &[], Payload::Zeros(LARGE));
        let mut body = caller.send(sent).await.expect("a head").into_body();
        let mut left = LARGE;
        while left > 0 {
            let frame = soon(body.frame()).await.expect("a frame").expect("no error");
            left -= frame.data_ref().map_or(0, bytes::Bytes::len) as u64;
        }
    }
    let grown = program.memory_peak() - before;
    assert!(grown < GROWTH_MAX, "{grown} bytes for bodies of {LARGE}");
}
