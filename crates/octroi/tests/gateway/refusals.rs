//! Every cause of a refusal with its answer, over both protocols; the upstream never hears of any of them.

use crate::{
    caller::{Caller, Reply, ask_once, get_once, paid, request},
    payload::Payload,
    stage::{Purse, Stage, both, config, everything, offers},
};
use http::Method;
use l402::{Macaroon, Name, OfferScheme, Preimage, RootKey, TokenId, TokenSpec, authorization_value};
use serde_json::{Value, json};
use testkit::{Reply as Script, Upstream};

fn shop(upstream: &str) -> Value {
    config(json!([
        {
            "name": "weather", "path": "/weather/", "upstream": upstream, "price": "10 sat", "valid_for": "1h",
            "constraints": { "region": "eu" },
            "routes": [
                { "path": "/weather/health", "access": "free" },
                { "path": "/weather/export", "methods": ["POST"], "price": "500 sat", "capability": "export" },
                { "path": "/weather/quiet", "skip_invoice": true },
            ],
        },
        { "name": "maps", "path": "/maps/", "upstream": upstream, "price": "1 sat" },
    ]))
}

/// What a refusal is made of, beside its status.
#[derive(Debug, PartialEq)]
enum Offered {
    /// A challenge that can be paid.
    Invoice,
    /// Only whom to pay.
    Realm,
    Nothing,
}

fn offered(reply: &Reply) -> Offered {
    let lines: Vec<&str> =
        reply.headers.get_all("www-authenticate").iter().flat_map(|l| l.to_str()).collect();
    match lines.as_slice() {
        [] => Offered::Nothing,
        [realm] if *realm == "L402 realm=\"weather\"" => Offered::Realm,
        [lsat, l402] if lsat.starts_with("LSAT macaroon=\"") && l402.starts_with("L402 macaroon=\"") => {
            assert_eq!(offers(&reply.headers).len(), 2);
            Offered::Invoice
        }
        _ => panic!("{lines:?}"),
    }
}

fn narrowed(purse: &Purse, caveat: &str) -> String {
    let token = purse.token.attenuate(caveat.as_bytes()).expect("room for a caveat");
    authorization_value(OfferScheme::L402, &token, &purse.preimage)
}

/// A token with a preimage of one's own choice, as good as one can make it without the gateway's keys.
fn self_made() -> String {
    let preimage = Preimage::from_bytes([7; 32]);
    let identifier =
        l402::Identifier { payment_hash: preimage.payment_hash(), token_id: TokenId::from_bytes([9; 32]) };
    let service: Name = "weather".parse().expect("a name");
    let spec = TokenSpec {
        service,
        tier: 0,
        capabilities: Vec::new(),
        constraints: Vec::new(),
        units: None,
        valid_until: None,
    };
    let token = l402::mint(&RootKey::from_bytes([1; 32]), "lsat", &identifier, &spec).expect("a token");
    authorization_value(OfferScheme::L402, &token, &preimage)
}

fn tampered(token: &Macaroon, preimage: &Preimage) -> String {
    let mut bytes = token.as_bytes().to_vec();
    *bytes.last_mut().expect("a signature") ^= 1;
    let token = Macaroon::parse(bytes, &l402::Limits::default()).expect("it still parses");
    authorization_value(OfferScheme::L402, &token, preimage)
}

#[tokio::test]
async fn every_bad_credential_gets_its_answer_and_the_upstream_sees_nothing() {
    use Offered::{Invoice, Realm};
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::open(&shop(&upstream.url())).await;
    let other = Stage::open(&shop(&upstream.url())).await;
    let purse = stage.buy("/weather/today").await;
    let good = purse.credential();
    let (scheme, rest) = good.split_once(' ').expect("a scheme");
    let stranger = authorization_value(OfferScheme::L402, &purse.token, &Preimage::from_bytes([0; 32]));
    let cases = [
        ("nothing", String::new(), 402, "payment_required", Invoice),
        ("another scheme", "Bearer x".into(), 402, "payment_required", Invoice),
        ("another gateway's", other.credential("/weather/today").await, 402, "invalid_token", Invoice),
        ("self-made", self_made(), 402, "invalid_token", Invoice),
        ("tampered", tampered(&purse.token, &purse.preimage), 402, "invalid_token", Invoice),
        ("another service's", stage.credential("/maps/x").await, 402, "wrong_service", Invoice),
        ("expired", narrowed(&purse, "weather_valid_until=1"), 402, "expired", Invoice),
        ("unknown in our namespace", narrowed(&purse, "weather_color=red"), 402, "unknown_caveat", Invoice),
        ("a capability added", narrowed(&purse, "weather_capabilities=read"), 401, "widened_caveat", Realm),
        ("widened", narrowed(&purse, "weather_valid_until=99999999999"), 401, "widened_caveat", Realm),
        ("undecodable", narrowed(&purse, "weather_valid_until=+5"), 401, "undecodable_caveat", Realm),
        ("ignored by mistake", narrowed(&purse, "valid_until=1"), 401, "undecodable_caveat", Realm),
        ("wrong preimage", stranger, 401, "wrong_preimage", Realm),
        ("no preimage", format!("{scheme} {}", &rest[..rest.len() - 65]), 401, "malformed_credential", Realm),
        ("cut off", good[..good.len() - 1].into(), 401, "malformed_credential", Realm),
        ("not base64", format!("L402 !!!!:{}", "0".repeat(64)), 401, "malformed_credential", Realm),
        ("empty", "L402 ".into(), 401, "malformed_credential", Realm),
        ("too large", format!("L402 {}:00", "A".repeat(8000)), 401, "malformed_credential", Realm),
        ("two different", format!("{good}, {}", self_made()), 401, "malformed_credential", Realm),
    ];
    for mut caller in both(stage.address()).await {
        for (name, credential, status, reason, offer) in &cases {
            let headers: &[_] =
                if credential.is_empty() { &[] } else { &[("authorization", credential.as_str())] };
            let reply = caller.ask(request(Method::GET, "/weather/today", headers, Payload::empty())).await;
            let found = (reply.status.as_u16(), reply.reason());
            assert_eq!(found, (*status, (*reason).to_owned()), "{name}: {}", reply.text());
            assert_eq!(offered(&reply), *offer, "{name}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{name}");
        }
        assert_eq!(caller.ask(paid("/weather/today", &good)).await.text(), "sunny");
    }
    assert_eq!(upstream.count(), 2, "one for each protocol's proof that the credential was good");
}

#[tokio::test]
async fn every_other_cause_has_its_status_and_the_upstream_sees_nothing() {
    use Offered::{Invoice, Nothing, Realm};
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::open(&shop(&upstream.url())).await;
    let plain = stage.credential("/weather/today").await;
    let cases = [
        (Method::POST, "/weather/export", 402, "capability_missing", Invoice),
        (Method::GET, "/weather/quiet", 401, "credential_required", Realm),
        (Method::GET, "/nothing/here", 404, "no_route", Nothing),
        (Method::GET, "/weather/%2e%2e/maps/x", 400, "ambiguous_path", Nothing),
        (Method::GET, "/weather//today", 400, "ambiguous_path", Nothing),
        (Method::TRACE, "/weather/today", 501, "method", Nothing),
        (Method::from_bytes(b"BREW").expect("a method"), "/weather/today", 501, "method", Nothing),
    ];
    for mut caller in both(stage.address()).await {
        for (method, path, status, reason, offer) in &cases {
            let bought = if *reason == "capability_missing" { plain.as_str() } else { "Bearer x" };
            let headers = [("authorization", bought)];
            let reply = caller.ask(request(method.clone(), path, &headers, Payload::empty())).await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason().as_str()),
                (*status, *reason),
                "{method} {path}"
            );
            assert_eq!(offered(&reply), *offer, "{method} {path}");
        }
        assert_eq!(upstream.count(), 0);
    }
    let export = request(Method::POST, "/weather/export", &[], Payload::empty());
    let export = stage.pay(&ask_once(stage.address(), export).await).await.credential();
    let headers = [("authorization", export.as_str())];
    let reply =
        ask_once(stage.address(), request(Method::POST, "/weather/export", &headers, Payload::empty())).await;
    assert_eq!(reply.text(), "sunny");
    assert_eq!(get_once(stage.address(), "/weather/health").await.text(), "sunny");
    assert_eq!(upstream.count(), 2);
}

/// The caveats of the token in a 402, without the one that tells the time.
fn caveats(reply: &Reply) -> Vec<String> {
    let offer = offers(&reply.headers).remove(0);
    let caveats =
        offer.token.view().caveats().map(|caveat| String::from_utf8_lossy(caveat.identifier).into_owned());
    caveats.filter(|caveat| !caveat.starts_with("weather_valid_until=")).collect()
}

#[tokio::test]
async fn what_a_client_writes_never_enters_a_caveat() {
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::open(&shop(&upstream.url())).await;
    let own = ["services=weather:0", "weather_capabilities=", "weather_region=eu"];
    for mut caller in both(stage.address()).await {
        for text in ["a:0,b", "weather:0,maps:0", "x=y", "services=maps:9", "weather_region=us"] {
            let target = format!("/weather/{text}?service={text}&weather_capabilities=export");
            let headers = [("x-service", text), ("user-agent", text), ("services", text), ("l402-tier", "9")];
            let reply = caller.ask(request(Method::GET, &target, &headers, Payload::empty())).await;
            assert_eq!((reply.status.as_u16(), caveats(&reply)), (402, own.map(str::to_owned).to_vec()));
        }
    }
}

#[tokio::test]
async fn head_and_options_tell_the_price_and_mint_nothing() {
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::open(&shop(&upstream.url())).await;
    for mut caller in both(stage.address()).await {
        for method in [Method::HEAD, Method::OPTIONS] {
            let reply = caller.ask(request(method, "/weather/today", &[], Payload::empty())).await;
            assert_eq!((reply.status.as_u16(), offered(&reply)), (402, Offered::Realm));
            assert_eq!(reply.header("l402-price"), Some("10000"));
        }
    }
    let metrics = get_once(stage.ops(), "/metrics").await;
    assert!(!metrics.text().contains("octroi_challenges_total{"), "{}", metrics.text());
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_page_may_ask_what_it_may_do_and_read_the_answer_where_cors_is_on() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut service = everything(&upstream.url());
    service["cors"] = json!(true);
    let stage = Stage::of(service).await;
    let page = ("origin", "https://app.example");
    let asks = [page, ("access-control-request-method", "GET")];
    let answer = ask_once(stage.address(), request(Method::OPTIONS, "/", &asks, Payload::empty())).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (204, Some("*")));
    let refused = ask_once(stage.address(), request(Method::GET, "/", &[page], Payload::empty())).await;
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert!(refused.header("access-control-expose-headers").is_some_and(|h| h.contains("WWW-Authenticate")));
    assert_eq!(upstream.count(), 0);
    let credential = stage.pay(&refused).await.credential();
    let headers = [page, ("authorization", credential.as_str())];
    let served = ask_once(stage.address(), request(Method::GET, "/", &headers, Payload::empty())).await;
    assert_eq!((served.text(), served.header("access-control-allow-origin")), ("sunny", Some("*")));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let upstream = Upstream::start(Script::text("sunny"));
    let limited = |limits: Value| {
        let mut config = config(json!([everything(&upstream.url())]));
        config["limits"]["mint"] = limits;
        config
    };
    for (limits, status, reason) in [
        (json!({ "per_network": "1/h" }), 429, "rate_limited"),
        (json!({ "per_network": "1000/s", "per_service": "1/h" }), 503, "mint_budget"),
        (json!({ "per_network": "1000/s", "total": "1/h" }), 503, "mint_budget"),
    ] {
        let stage = Stage::open(&limited(limits)).await;
        let mut caller = Caller::http1(stage.address()).await;
        let first = caller.get("/").await;
        let credential = stage.pay(&first).await.credential();
        for _ in 1..5 {
            assert_eq!(caller.get("/").await.status, 402, "a burst of five is always allowed");
        }
        let refused = caller.get("/").await;
        assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (status, reason));
        let wait: u32 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=3600).contains(&wait));
        assert_eq!(offered(&refused), Offered::Nothing);
        assert_eq!(caller.ask(paid("/", &credential)).await.text(), "sunny", "who paid is not held up");
    }
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn a_refused_body_is_not_waited_for() {
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::of(everything(&upstream.url())).await;
    for mut caller in both(stage.address()).await {
        let (feed, body) = Payload::stream();
        assert!(feed.data("the first piece of many").await);
        let refused = caller.send(request(Method::POST, "/", &[], body)).await.expect("an answer");
        assert_eq!(refused.status(), 402);
    }
    assert_eq!(upstream.count(), 0);
}
