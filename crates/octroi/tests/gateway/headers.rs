//! What the upstream sees of a request: nothing hop-by-hop, nothing forged, no credential, and what the gateway says.

use crate::{
    backend::Recorder,
    caller::{Caller, ask_once, request},
    payload::Payload,
    stage::{Stage, both, config, everything, everything_free},
};
use http::{Method, Request, header};
use serde_json::{Value, json};

/// The header lines of the one request that arrived.
fn arrived(recorder: &Recorder) -> Vec<String> {
    let seen = recorder.take();
    let (head, _) = seen.split_once("\r\n\r\n").unwrap_or_else(|| panic!("one request, not {seen:?}"));
    head.lines().map(str::to_owned).collect()
}

/// Header lines of this name.
fn named<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let fields = lines.iter().filter_map(|line| line.split_once(": "));
    fields.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
}

fn asking(headers: &[(&str, &str)]) -> Request<Payload> {
    request(Method::GET, "/", headers, Payload::empty())
}

#[tokio::test]
async fn the_upstream_learns_who_paid_and_never_sees_the_credential() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything(&recorder.backend.url())).await;
    let purse = stage.buy("/").await;
    let credential = purse.credential();
    let (_, secret) = credential.split_once(' ').expect("a scheme");
    let token_id = purse.token.view().identifier()[34..].iter().map(|byte| format!("{byte:02x}"));
    let token_id: String = token_id.collect();
    let own = [("authorization", credential.as_str()), ("authorization", "Bearer application")];
    let joined = format!("{credential}, {credential}");
    let old = credential.replace("L402 ", "LSAT ");
    for mut caller in both(stage.address()).await {
        for headers in [&own[..], &own[..1], &[("authorization", &joined)], &[("authorization", &old)]] {
            assert_eq!(caller.ask(asking(headers)).await.status, 200);
            let lines = arrived(&recorder);
            assert_eq!(lines[0], "GET / HTTP/1.1");
            assert_eq!(named(&lines, "host"), ["api.example.com"]);
            assert_eq!(named(&lines, "l402-token-id"), [token_id.as_str()]);
            assert_eq!(named(&lines, "l402-service"), ["weather"]);
            assert_eq!(named(&lines, "l402-tier"), ["0"]);
            assert_eq!(named(&lines, "x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(named(&lines, "x-forwarded-proto"), ["http"]);
            let left: &[&str] = if headers.len() == 2 { &["Bearer application"] } else { &[] };
            assert_eq!(named(&lines, "authorization"), left);
            assert!(!lines.concat().contains(secret), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_macaroon_header_pays_too_and_does_not_go_on() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything(&recorder.backend.url())).await;
    let purse = stage.buy("/").await;
    let caveat = format!("preimage={}", purse.preimage.reveal_hex());
    let token = purse.token.attenuate(caveat.as_bytes()).expect("room for a caveat");
    let hex = hex::encode(token.as_bytes());
    for name in ["macaroon", "grpc-metadata-macaroon"] {
        let headers = [(name, hex.as_str()), ("authorization", "Bearer application")];
        assert_eq!(ask_once(stage.address(), asking(&headers)).await.status, 200);
        let lines = arrived(&recorder);
        assert_eq!(named(&lines, name), <[&str; 0]>::default());
        assert_eq!(named(&lines, "authorization"), ["Bearer application"]);
    }
}

#[tokio::test]
async fn a_service_may_want_the_credential_too() {
    let recorder = Recorder::start().await;
    let mut service = everything(&recorder.backend.url());
    service["forward_credential"] = json!(true);
    let stage = Stage::of(service).await;
    let credential = stage.credential("/").await;
    ask_once(stage.address(), asking(&[("authorization", &credential)])).await;
    assert_eq!(named(&arrived(&recorder), "authorization"), [credential.as_str()]);
}

/// Names that a client may not say, in every spelling.
const FORGED: [&str; 29] = [
    "l402-token-id",
    "l402_token_id",
    "l402-service",
    "l402_Service",
    "L402-Tier",
    "l402_tier",
    "l402-balance",
    "l402-anything",
    "x-forwarded-for",
    "X_Forwarded_For",
    "x-forwarded_for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x_forwarded_user",
    "forwarded",
    "x-real-ip",
    "x_real_ip",
    "x-host",
    "x-original-url",
    "x_original_url",
    "x-rewrite-url",
    "x-original-method",
    "x-http-method",
    "x-http-method-override",
    "x_http_method_override",
    "x-method-override",
    "content_length",
    "transfer_encoding",
    "proxy-authorization",
];

#[tokio::test]
async fn nothing_forged_reaches_the_upstream() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for mut caller in both(stage.address()).await {
        for name in FORGED {
            caller.ask(asking(&[(name, "forged"), (name, "twice"), ("x-own", "kept")])).await;
            let lines = arrived(&recorder);
            assert!(!lines.concat().contains("forged") && !lines.concat().contains("twice"), "{lines:?}");
            assert_eq!(named(&lines, "x-own"), ["kept"]);
            assert_eq!(named(&lines, "x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(named(&lines, "l402-service"), ["weather"]);
        }
    }
}

#[tokio::test]
async fn connection_takes_away_the_clients_own_headers_and_never_ours() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything(&recorder.backend.url())).await;
    let credential = stage.credential("/").await;
    let ours = ["L402-Token-Id", "L402-Service", "L402-Tier", "X-Forwarded-For", "X-Forwarded-Proto"];
    let all = format!("close, {}", ours.join(", "));
    for named_ones in ours.into_iter().chain([all.as_str(), "x-own, keep-alive"]) {
        let headers =
            [("connection", named_ones), ("x-own", "1"), ("keep-alive", "5"), ("authorization", &credential)];
        assert_eq!(ask_once(stage.address(), asking(&headers)).await.status, 200);
        let lines = arrived(&recorder);
        for name in ours {
            assert_eq!(named(&lines, &name.to_ascii_lowercase()).len(), 1, "{name} in {lines:?}");
        }
        assert_eq!(named(&lines, "x-own").len(), usize::from(!named_ones.contains("x-own")));
        for hop in ["connection", "keep-alive"] {
            assert_eq!(named(&lines, hop), <[&str; 0]>::default(), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_in_both_directions() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let headers = [
        ("te", "trailers, deflate"),
        ("upgrade", "h2c"),
        ("connection", "upgrade, http2-settings"),
        ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ("proxy-connection", "keep-alive"),
        ("trailer", "x-later"),
    ];
    ask_once(stage.address(), asking(&headers)).await;
    let lines = arrived(&recorder);
    for (name, _) in headers {
        assert_eq!(named(&lines, name), <[&str; 0]>::default());
    }
    let talkative = testkit::Upstream::start(testkit::Reply::Fixed(
        http::StatusCode::OK,
        [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("l402-cost", "3"),
            ("x-own", "kept"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect(),
        "ok".into(),
    ));
    let stage = Stage::of(everything_free(&talkative.url())).await;
    for mut caller in both(stage.address()).await {
        let reply = caller.get("/").await;
        for name in ["connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade", "l402-cost"] {
            assert_eq!(reply.header(name), None, "{name}");
        }
        assert_eq!((reply.header("x-own"), reply.text()), (Some("kept"), "ok"));
    }
}

fn behind_a_proxy(upstream: &str) -> Value {
    let mut config = config(json!([everything_free(upstream)]));
    config["listen"] = json!([{ "address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"] }]);
    config
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let recorder = Recorder::start().await;
    let stage = Stage::open(&behind_a_proxy(&recorder.backend.url())).await;
    let headers = [
        ("x-forwarded-for", "198.51.100.9, 192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded_for", "6.6.6.6"),
        ("l402-service", "forged"),
        ("x-original-url", "/forged"),
    ];
    ask_once(stage.address(), asking(&headers)).await;
    let lines = arrived(&recorder);
    let hops = named(&lines, "x-forwarded-for").join(", ");
    assert_eq!(hops, "198.51.100.9, 192.0.2.7, 127.0.0.1");
    assert_eq!(named(&lines, "x-forwarded-proto"), ["https"]);
    assert!(!lines.concat().contains("forged") && !lines.concat().contains("6.6.6.6"), "{lines:?}");
}

/// Two networks behind the proxy have a budget each; who invents an address gets the budget of the real one.
#[tokio::test]
async fn limits_count_for_the_address_that_the_proxy_vouches_for() {
    let recorder = Recorder::start().await;
    let mut config = behind_a_proxy(&recorder.backend.url());
    config["services"] = json!([everything(&recorder.backend.url())]);
    config["limits"]["mint"] = json!({ "per_network": "1/h" });
    let stage = Stage::open(&config).await;
    let mut caller = Caller::http1(stage.address()).await;
    let mut budget = async |headers: &[(&str, &str)]| {
        let mut minted = 0;
        while caller.ask(asking(headers)).await.status == 402 {
            minted += 1;
            assert!(minted < 10, "no limit for {headers:?}");
        }
        minted
    };
    assert_eq!(budget(&[("x-forwarded-for", "192.0.2.1")]).await, 5);
    for spoofed in ["203.0.113.1, 192.0.2.1", "203.0.113.2,192.0.2.99", "x, 192.0.2.1", "192.0.2.1:4711"] {
        assert_eq!(budget(&[("x-forwarded-for", spoofed)]).await, 0, "{spoofed}");
    }
    assert_eq!(budget(&[("x-forwarded-for", "198.51.100.1")]).await, 5);
    // A proxy that writes one of the two headers lets the client's other one through: they disagree, so neither counts.
    assert_eq!(budget(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=203.0.113.5")]).await, 5);
    assert_eq!(budget(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=203.0.113.6")]).await, 0);
    assert_eq!(budget(&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.7")]).await, 0);
    assert_eq!(budget(&[("forwarded", "for=192.0.2.1")]).await, 0);
    assert_eq!(budget(&[("x-real-ip", "203.0.113.8")]).await, 0);
    assert_eq!(recorder.backend.connections(), 0);
}

#[tokio::test]
async fn nobody_speaks_for_another_where_no_proxy_is_trusted() {
    let recorder = Recorder::start().await;
    let mut config = config(json!([everything(&recorder.backend.url())]));
    config["limits"]["mint"] = json!({ "per_network": "1/h" });
    let stage = Stage::open(&config).await;
    let mut caller = Caller::http1(stage.address()).await;
    let mut minted = 0;
    for attempt in 0..20 {
        let forged = format!("192.{attempt}.2.1");
        let node = format!("for={forged}");
        let headers =
            [("x-forwarded-for", forged.as_str()), ("forwarded", node.as_str()), ("x-real-ip", &forged)];
        minted += usize::from(caller.ask(asking(&headers)).await.status == 402);
    }
    assert_eq!(minted, 5);
}

#[tokio::test]
async fn the_host_is_kept_or_rewritten_and_prefixes_are_replaced() {
    let recorder = Recorder::start().await;
    let upstream = recorder.backend.url();
    let mut keep = everything_free(&upstream);
    keep["path"] = json!("/keep/");
    keep["rewrite"] = json!("/v2/");
    let mut own = everything_free(&upstream);
    own["name"] = json!("own");
    own["path"] = json!("/own/");
    own["host_header"] = json!("upstream");
    let stage = Stage::open(&config(json!([keep, own]))).await;
    let address = recorder.backend.address().to_string();
    for mut caller in both(stage.address()).await {
        caller.get("/keep/a/%7euser?x=%2f").await;
        let lines = arrived(&recorder);
        assert_eq!(lines[0], "GET /v2/a/~user?x=%2f HTTP/1.1");
        assert_eq!(named(&lines, "host"), ["api.example.com"]);
        caller.get("/own/a").await;
        let lines = arrived(&recorder);
        assert_eq!(
            (lines[0].as_str(), named(&lines, "host")),
            ("GET /own/a HTTP/1.1", vec![address.as_str()])
        );
    }
}

/// The prefix is matched decoded; what a client writes for it is replaced, however it is escaped.
#[tokio::test]
async fn a_prefix_is_replaced_in_every_spelling() {
    let recorder = Recorder::start().await;
    let mut service = everything_free(&recorder.backend.url());
    (service["path"], service["rewrite"]) = (json!("/caf\u{e9}/new/"), json!("/v2/"));
    let stage = Stage::of(service).await;
    for target in ["/caf%c3%a9/new/a?b=/c/", "/caf%C3%A9/new/a?b=/c/", "/%63af%c3%a9/%6eew/a?b=/c/"] {
        for mut caller in both(stage.address()).await {
            assert_eq!(caller.get(target).await.status, 200, "{target}");
            assert_eq!(arrived(&recorder)[0], "GET /v2/a?b=/c/ HTTP/1.1", "{target}");
        }
    }
}

#[tokio::test]
async fn a_target_that_its_new_prefix_makes_too_long_goes_nowhere() {
    let recorder = Recorder::start().await;
    let mut service = everything_free(&recorder.backend.url());
    (service["path"], service["rewrite"]) = (json!("/a/"), json!("/much/longer/"));
    let mut config = config(json!([service]));
    config["limits"]["header"] = json!("1MiB");
    let stage = Stage::open(&config).await;
    let target = |length: usize| format!("/a/{}", "x".repeat(length - 3));
    let mut caller = Caller::http1(stage.address()).await;
    assert_eq!(caller.get(&target(65_500)).await.status, 200);
    assert!(arrived(&recorder)[0].starts_with("GET /much/longer/xx"));
    assert_eq!(caller.get(&target(65_530)).await.status, 431);
    assert_eq!(recorder.take(), "");
}

/// RFC 9113 section 8.2.3: HTTP/2 clients may send cookies in pieces; HTTP/1.1 servers know one line.
#[tokio::test]
async fn cookies_sent_in_pieces_arrive_as_one_line() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let mut caller = Caller::http2(stage.address()).await;
    caller.ask(asking(&[("cookie", "a=1"), ("cookie", "b=2")])).await;
    assert_eq!(named(&arrived(&recorder), "cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn repeated_fields_of_the_application_arrive_as_they_were_sent() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for mut caller in both(stage.address()).await {
        let mut asked = asking(&[("accept", "text/a"), ("accept", "text/b"), ("x-high", "caf\u{e9}")]);
        asked.headers_mut().insert(header::USER_AGENT, "test/1".parse().expect("a value"));
        caller.ask(asked).await;
        let lines = arrived(&recorder);
        assert_eq!(named(&lines, "accept"), ["text/a", "text/b"]);
        assert_eq!(
            (named(&lines, "x-high"), named(&lines, "user-agent")),
            (vec!["caf\u{e9}"], vec!["test/1"])
        );
    }
}
