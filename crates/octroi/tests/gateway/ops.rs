//! The operator's listener: health, readiness and counters, and that the public one knows nothing of them.

use crate::{
    caller::{Caller, ask_once, get, get_once, paid, request},
    payload::Payload,
    raw::Raw,
    stage::{Stage, both, config, everything},
};
use http::Method;
use serde_json::json;
use testkit::{Reply as Script, Upstream};

#[tokio::test]
async fn health_and_readiness_are_answered() {
    let stage = Stage::of(everything("http://127.0.0.1:1")).await;
    let health = get_once(stage.ops(), "/healthz").await;
    assert_eq!((health.status.as_u16(), health.text()), (200, "ok\n"));
    let ready = get_once(stage.ops(), "/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.header("content-type")), (200, Some("application/json")));
    let parts = ready.json();
    assert_eq!((&parts["ready"], &parts["parts"]["node"]["backend"]), (&json!(true), &json!("loopback")));
    assert_eq!(get_once(stage.ops(), "/").await.status, 404);
    assert_eq!(get_once(stage.ops(), "/weather").await.status, 404);
    let posted = ask_once(stage.ops(), request(Method::POST, "/metrics", &[], Payload::empty())).await;
    assert_eq!(posted.status, 405);
}

/// One counter of the metrics text.
fn counter(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn counters_tell_what_happened() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut service = everything(&upstream.url());
    service["routes"] = json!([{ "path": "/health", "access": "free" }]);
    let mut shadow = everything(&upstream.url());
    shadow["name"] = json!("shadow");
    shadow["path"] = json!("/shadow/");
    shadow["access"] = json!("shadow");
    let stage = Stage::open(&config(json!([service, shadow]))).await;
    let credential = stage.credential("/today").await;
    for mut caller in both(stage.address()).await {
        for _ in 0..3 {
            caller.ask(paid("/today", &credential)).await;
        }
        caller.get("/health").await;
        caller.get("/today").await;
        caller.get("/shadow/x").await;
        caller.ask(paid("/today", "L402 bad")).await;
        caller.get("/a//b").await;
    }
    let metrics = get_once(stage.ops(), "/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    for (name, count) in [
        (r#"octroi_requests_total{service="weather",access="paid",code="2xx"}"#, 6),
        (r#"octroi_requests_total{service="weather",access="free",code="2xx"}"#, 2),
        (r#"octroi_requests_total{service="shadow",access="shadow",code="2xx"}"#, 2),
        (r#"octroi_shadowed_total{service="shadow"}"#, 2),
        (r#"octroi_refusals_total{service="weather",reason="payment_required"}"#, 3),
        (r#"octroi_refusals_total{service="weather",reason="malformed_credential"}"#, 2),
        (r#"octroi_refusals_total{service="none",reason="ambiguous_path"}"#, 2),
        (r#"octroi_challenges_total{service="weather"}"#, 3),
        (r#"octroi_challenges_msat_total{service="weather"}"#, 30_000),
        (r#"octroi_request_seconds_count{service="weather"}"#, 8),
    ] {
        assert_eq!(counter(metrics.text(), name), count, "{name} in\n{}", metrics.text());
    }
    upstream.reply(Script::Fixed(http::StatusCode::NOT_FOUND, http::HeaderMap::new(), "no".into()));
    ask_once(stage.address(), paid("/today", &credential)).await;
    let metrics = get_once(stage.ops(), "/metrics").await;
    let failed = r#"octroi_requests_total{service="weather",access="paid",code="4xx"}"#;
    assert_eq!(counter(metrics.text(), failed), 1);
}

/// A service by the unit, whose upstream says what a request costs.
fn by_unit(name: &str, path: &str, upstream: &str) -> serde_json::Value {
    json!({
        "name": name, "path": path, "upstream": upstream, "price": "10 sat",
        "meter": { "unit": "unit", "pack": 1000, "cost": { "header": "L402-Cost", "max": 50 } },
    })
}

#[tokio::test]
async fn units_are_counted_by_what_became_of_them() {
    let upstream = Upstream::start(Script::text(""));
    let mut stage = Stage::open(&config(json!([by_unit("weather", "/", &upstream.url())]))).await;
    let credential = stage.credential("/today").await;
    // Served for 7, for more than the most, for nobody knows how much, and failed.
    for (status, cost) in [(200, Some("7")), (200, Some("60")), (200, None), (500, Some("9"))] {
        let fields =
            cost.map(|cost| (http::HeaderName::from_static("l402-cost"), cost.parse().expect("a value")));
        let status = http::StatusCode::from_u16(status).expect("a status");
        upstream.reply(Script::Fixed(status, fields.into_iter().collect(), "x".into()));
        assert_eq!(ask_once(stage.address(), paid("/today", &credential)).await.status, status);
    }
    assert_units(&stage, "weather", [1_000, 200, 107, 93, 10]).await;
    let metrics = get_once(stage.ops(), "/metrics").await;
    let estimated = r#"octroi_estimated_requests_total{service="weather"}"#;
    assert_eq!(counter(metrics.text(), estimated), 1);

    // A service that a reload brings is counted as well.
    let both = json!([by_unit("weather", "/", &upstream.url()), by_unit("maps", "/maps/", &upstream.url())]);
    stage.reload(&config(both));
    let credential = stage.credential("/maps/x").await;
    let cost = (http::HeaderName::from_static("l402-cost"), "3".parse().expect("a value"));
    upstream.reply(Script::Fixed(http::StatusCode::OK, [cost].into_iter().collect(), "x".into()));
    ask_once(stage.address(), paid("/maps/x", &credential)).await;
    assert_units(&stage, "maps", [1_000, 50, 3, 47, 0]).await;
    assert_units(&stage, "weather", [1_000, 200, 107, 93, 10]).await;
}

/// Units sold, reserved, charged, released and overrun, once all are counted.
async fn assert_units(stage: &Stage, service: &str, expected: [u64; 5]) {
    let mut found = [0; 5];
    for _ in 0..400 {
        let metrics = get_once(stage.ops(), "/metrics").await;
        found = ["sold", "reserved", "charged", "released", "overrun"].map(|fate| {
            let name = format!(r#"octroi_units_total{{service="{service}",fate="{fate}"}}"#);
            counter(metrics.text(), &name)
        });
        if found == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(found, expected, "{service}");
}

#[tokio::test]
async fn nothing_of_it_is_on_the_public_listener() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut service = everything(&upstream.url());
    service["path"] = json!("/weather/");
    let stage = Stage::of(service).await;
    let ops = stage.ops().to_string();
    for path in
        ["/healthz", "/readyz", "/metrics", "/metrics/", "/", "/admin", "/v1/getinfo", "/debug/pprof/"]
    {
        for mut caller in both(stage.address()).await {
            assert_eq!(caller.get(path).await.status, 404, "{path}");
            let as_ops = request(Method::GET, path, &[("host", &ops)], Payload::empty());
            assert_eq!(caller.ask(as_ops).await.status, 404, "{path}");
        }
        let full = format!("GET http://{ops}{path} HTTP/1.1\r\nhost: {ops}\r\n\r\n");
        let mut raw = Raw::sent(stage.address(), full).await;
        assert_eq!(raw.head().await.expect("an answer").status(), 404, "{path}");
    }
    assert_eq!(upstream.count(), 0);
}

/// A prober that opens connections and says nothing keeps no other out.
#[tokio::test]
async fn silent_connections_do_not_hold_the_listener() {
    let stage = Stage::of(everything("http://127.0.0.1:1")).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Raw::connect(stage.ops()).await);
    }
    let mut caller = Caller::http1(stage.ops()).await;
    assert_eq!(caller.ask(get("/healthz")).await.text(), "ok\n");
}
