//! TLS on both sides: certificates shown and renewed, certificates verified, names that must agree.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, Reply, ask_once, get, paid, request},
    certificate::Authority,
    payload::Payload,
    stage::{Stage, config, everything, everything_free, offers, parsed, pay},
};
use http::Method;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr};
use tempfile::TempDir;
use testkit::{Reply as Script, Upstream};

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A config whose listener shows `name.pem`.
fn listening_with(name: &str, services: Value) -> Value {
    let mut config = config(services);
    config["listen"] = json!([{
        "address": "127.0.0.1:0",
        "tls": { "certificate": format!("{name}.pem"), "key": format!("{name}.key") },
    }]);
    config
}

async fn caller(authority: &Authority, address: SocketAddr, name: &str, alpn: &[&[u8]]) -> Caller {
    Caller::tls(authority.connect(address, name, alpn).await.expect("a handshake")).await
}

#[tokio::test]
async fn a_purchase_works_over_tls_with_either_protocol() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (authority, folder) = (Authority::new(), folder());
    authority.certify(&["api.example.com"]).write(folder.path(), "api");
    let stage = Stage::open_in(folder, &listening_with("api", json!([everything(&upstream.url())])), 1).await;
    for alpn in [&[H2, HTTP1][..], &[HTTP1], &[]] {
        let mut caller = caller(&authority, stage.address(), "api.example.com", alpn).await;
        assert_eq!(matches!(caller, Caller::Http2(_)), alpn.len() == 2, "HTTP/2 where it is offered");
        let refused = caller.get("/").await;
        let purse = pay(stage.gateway.wallet().expect("a wallet"), &offers(&refused.headers)[0]).await;
        assert_eq!(caller.ask(paid("/", &purse.credential())).await.text(), "sunny");
    }
    assert!(upstream.seen().iter().all(|seen| seen.headers["x-forwarded-proto"] == "https"));
    let plain = Caller::http1(stage.address()).await.send(get("/")).await;
    assert!(plain.is_err(), "plain text on a TLS port: {plain:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_a_reload_and_open_lines_stay() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (old, new, folder) = (Authority::new(), Authority::new(), folder());
    old.certify(&["api.example.com"]).write(folder.path(), "api");
    let config = listening_with("api", json!([everything_free(&upstream.url())]));
    let mut stage = Stage::open_in(folder, &config, 1).await;
    let mut before = caller(&old, stage.address(), "api.example.com", &[H2]).await;
    new.certify(&["api.example.com"]).write(stage.folder.path(), "api");
    assert!(new.connect(stage.address(), "api.example.com", &[]).await.is_err(), "not before the reload");
    stage.reload(&config);
    assert!(old.connect(stage.address(), "api.example.com", &[]).await.is_err(), "the old one is not shown");
    let mut after = caller(&new, stage.address(), "api.example.com", &[H2]).await;
    assert_eq!((before.get("/").await.text(), after.get("/").await.text()), ("sunny", "sunny"));
}

/// Two listeners, one of them with a new certificate and the other with a broken one: neither changes.
#[tokio::test]
async fn a_certificate_that_cannot_be_used_changes_nothing() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (old, new, folder) = (Authority::new(), Authority::new(), folder());
    let mut config = listening_with("one", json!([everything_free(&upstream.url())]));
    let mut second = config["listen"][0].clone();
    second["tls"] = json!({ "certificate": "two.pem", "key": "two.key" });
    config["listen"] = json!([config["listen"][0], second]);
    for name in ["one", "two"] {
        old.certify(&["api.example.com"]).write(folder.path(), name);
    }
    let mut stage = Stage::open_in(folder, &config, 1).await;
    new.certify(&["api.example.com"]).write(stage.folder.path(), "one");
    fs::write(stage.folder.path().join("two.key"), Authority::new().certify(&["x"]).key).expect("written");
    let error = stage.gateway.reload(parsed(&config, stage.folder.path())).expect_err("a key of another");
    assert!(error.to_string().contains("two.pem"), "{error}");
    for address in stage.gateway.addresses().to_vec() {
        let mut caller = caller(&old, address, "api.example.com", &[HTTP1]).await;
        assert_eq!(caller.get("/").await.text(), "sunny");
    }
}

/// One connection may serve several hosts of one service, and no other service's.
#[tokio::test]
async fn a_host_of_another_service_than_the_tls_name_is_misdirected() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (authority, folder) = (Authority::new(), folder());
    authority.certify(&["a.example", "a2.example", "b.example"]).write(folder.path(), "all");
    let service = |name: &str, hosts: Value| {
        let mut service = everything_free(&upstream.url());
        (service["name"], service["host"]) = (json!(name), hosts);
        service
    };
    let services =
        json!([service("a", json!(["a.example", "a2.example"])), service("b", json!("b.example"))]);
    let stage = Stage::open_in(folder, &listening_with("all", services), 1).await;
    for alpn in [H2, HTTP1] {
        let mut caller = caller(&authority, stage.address(), "a.example", &[alpn]).await;
        let mut ask = async |host: &str| -> Reply {
            caller.ask(request(Method::GET, "/", &[("host", host)], Payload::empty())).await
        };
        assert_eq!(ask("a.example").await.text(), "sunny");
        assert_eq!(ask("A2.example:443").await.text(), "sunny");
        let misdirected = ask("b.example").await;
        assert_eq!((misdirected.status.as_u16(), misdirected.reason().as_str()), (421, "misdirected"));
        assert_eq!(ask("c.example").await.status, 404);
        assert_eq!(ask("a.example").await.text(), "sunny");
    }
    assert_eq!(upstream.count(), 6);
}

async fn asked(service: Value, folder: TempDir) -> Reply {
    let stage = Stage::open_in(folder, &config(json!([service])), 1).await;
    ask_once(stage.address(), get("/")).await
}

#[tokio::test]
async fn an_upstream_is_believed_only_with_a_certificate_that_holds() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.certify(&["localhost"]).server(&[]);
    let backend = Backend::tls(server, async |_| ok("sunny")).await;
    let wrong_name = Backend::tls(authority.certify(&["other.example"]).server(&[]), async |_| ok("x")).await;
    let plain = Backend::http(async |_| ok("x")).await;
    let with_ca = |url: &str, ca: &str| {
        let mut service = everything_free(url);
        service["upstream_ca"] = json!(ca);
        service
    };
    let files = || {
        let folder = folder();
        fs::write(folder.path().join("own.pem"), authority.pem()).expect("written");
        fs::write(folder.path().join("other.pem"), stranger.pem()).expect("written");
        folder
    };
    for (service, status) in [
        (everything_free(&backend.https_url()), 502),
        (with_ca(&backend.https_url(), "other.pem"), 502),
        (with_ca(&wrong_name.https_url(), "own.pem"), 502),
        (with_ca(&plain.https_url(), "own.pem"), 502),
        (with_ca(&backend.https_url(), "own.pem"), 200),
    ] {
        let shown = service.to_string();
        assert_eq!(asked(service, files()).await.status, status, "{shown}");
    }
    assert_eq!((backend.requests(), wrong_name.requests(), plain.requests()), (1, 0, 0));
    let mut insecure = everything_free(&wrong_name.https_url());
    insecure["insecure_tls"] = json!(true);
    assert_eq!(asked(insecure, files()).await.text(), "x", "whoever asks for it gets it");
}

#[tokio::test]
async fn upstreams_behind_tls_are_spoken_to_as_they_choose_or_as_configured() {
    let authority = Authority::new();
    for (offered, configured, spoken) in [
        (&[H2, HTTP1][..], None, "HTTP/2.0"),
        (&[HTTP1], None, "HTTP/1.1"),
        (&[], None, "HTTP/1.1"),
        (&[H2, HTTP1], Some("http1"), "HTTP/1.1"),
        (&[H2, HTTP1], Some("h2"), "HTTP/2.0"),
    ] {
        let server = authority.certify(&["localhost"]).server(offered);
        let backend = Backend::tls(server, async |request: http::Request<hyper::body::Incoming>| {
            let host = request.headers().get("host").map(|host| host.to_str().expect("text").to_owned());
            let host = host.or_else(|| request.uri().authority().map(ToString::to_string));
            ok(format!("{:?} {}", request.version(), host.expect("a host")).as_str())
        })
        .await;
        let mut service = everything_free(&backend.https_url());
        service["upstream_ca"] = json!("own.pem");
        if let Some(protocol) = configured {
            service["upstream_protocol"] = json!(protocol);
        }
        let folder = folder();
        fs::write(folder.path().join("own.pem"), authority.pem()).expect("written");
        assert_eq!(asked(service, folder).await.text(), format!("{spoken} api.example.com"));
    }
}

/// After a reload the file of authorities is read again, although its name stays the same.
#[tokio::test]
async fn renewed_authorities_of_an_upstream_count_after_a_reload() {
    let (old, new) = (Authority::new(), Authority::new());
    let backend = Backend::tls(new.certify(&["localhost"]).server(&[]), async |_| ok("sunny")).await;
    let folder = folder();
    fs::write(folder.path().join("ca.pem"), old.pem()).expect("written");
    let mut service = everything_free(&backend.https_url());
    service["upstream_ca"] = json!("ca.pem");
    let config = config(json!([service]));
    let mut stage = Stage::open_in(folder, &config, 1).await;
    assert_eq!(ask_once(stage.address(), get("/")).await.status, 502);
    fs::write(stage.folder.path().join("ca.pem"), new.pem()).expect("written");
    stage.reload(&config);
    assert_eq!(ask_once(stage.address(), get("/")).await.text(), "sunny");
}
