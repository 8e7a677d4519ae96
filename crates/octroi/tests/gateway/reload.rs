//! A new configuration under way, and the end of the gateway: what is in progress goes on.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, ask_once, eventually, get, get_once, paid, request, soon},
    payload::Payload,
    raw::Raw,
    stage::{Stage, both, config, everything, everything_free, offers, parsed},
};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{fs, time::Duration};
use testkit::{Reply as Script, Upstream};
use tokio::net::TcpStream;

/// Events for nothing at `/events`, the rest at this price.
fn priced(upstream: &str, sats: u32) -> Value {
    let mut service = everything(upstream);
    service["price"] = json!(format!("{sats} sat"));
    service["routes"] = json!([{ "path": "/events", "access": "free" }]);
    config(json!([service]))
}

#[tokio::test]
async fn reloads_cut_no_stream_fail_no_request_and_apply_at_once() {
    let upstream = Upstream::start(Script::Events);
    let mut stage = Stage::open(&priced(&upstream.url(), 10)).await;
    let credential = stage.credential("/").await;
    let [mut first, mut second] = both(stage.address()).await;
    let mut streams = Vec::new();
    for caller in [&mut first, &mut second] {
        streams.push(caller.send(get("/events")).await.expect("a head"));
    }
    eventually("both streams are open", || upstream.open_streams() == 2).await;
    let answering = Backend::http(async |_| ok("sunny")).await;
    // As fast as it goes, all the while, on a connection that stays and on ones that do not.
    let address = stage.address();
    let asking = tokio::spawn(async move {
        let mut kept = Caller::http1(address).await;
        let mut served = 0;
        loop {
            let asked = request(Method::GET, "/", &[("authorization", &credential)], Payload::empty());
            let reply = if served % 2 == 0 { kept.ask(asked).await } else { ask_once(address, asked).await };
            assert!(matches!(reply.text(), "sunny"), "{} {}", reply.status, reply.text());
            served += 1;
            if served % 8 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    for round in 1..=30_u32 {
        let mut config = priced(&answering.url(), 10 + round);
        config["services"][0]["valid_for"] = json!("2h");
        stage.reload(&config);
        let price = ask_once(address, request(Method::HEAD, "/", &[], Payload::empty())).await;
        assert_eq!(price.header("l402-price"), Some(((10 + round) * 1000).to_string().as_str()));
        let event = format!("data: {round}\n\n");
        upstream.push(&event);
        for stream in &mut streams {
            let frame = soon(stream.body_mut().frame()).await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), event);
        }
        assert!(!asking.is_finished(), "a request failed in round {round}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    asking.abort();
    upstream.end_streams();
    for stream in streams {
        soon(stream.into_body().collect()).await.expect("a good end");
    }
    assert!(answering.requests() > 30);
}

#[tokio::test]
async fn what_is_sold_changes_with_the_config_and_tokens_are_judged_by_the_new_one() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut stage = Stage::of(everything(&upstream.url())).await;
    let credential = stage.credential("/").await;
    let status = async |path: &str| {
        let reply = ask_once(stage.address(), paid(path, &credential)).await;
        (reply.status.as_u16(), if reply.status == 200 { String::new() } else { reply.reason() })
    };
    assert_eq!(status("/").await, (200, String::new()));
    let mut service = everything(&upstream.url());
    service["tier"] = json!(1);
    let tier = config(json!([service]));
    service["tier"] = json!(0);
    service["name"] = json!("renamed");
    let renamed = config(json!([service]));
    service["path"] = json!("/elsewhere/");
    let moved = config(json!([service]));
    let original = config(json!([everything(&upstream.url())]));
    for (config, expected) in [
        (tier, (402, "wrong_tier")),
        (renamed, (402, "wrong_service")),
        (moved, (404, "no_route")),
        (original, (200, "")),
    ] {
        stage.gateway.reload(parsed(&config, stage.folder.path())).expect("a reload");
        let reply = ask_once(stage.address(), paid("/", &credential)).await;
        let reason = if reply.status == 200 { String::new() } else { reply.reason() };
        assert_eq!((reply.status.as_u16(), reason.as_str()), expected);
    }
}

/// Prices and times change while the gateway runs; the token that is sold then says all that it is sold with.
#[tokio::test]
async fn tokens_carry_every_restriction_of_the_config_they_were_sold_under() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut stage = Stage::of(everything(&upstream.url())).await;
    for (price, hours, region) in [("5 sat", 1, "eu"), ("7 sat", 2, "us"), ("5 sat", 3, "eu")] {
        let mut service = everything(&upstream.url());
        service["price"] = json!(price);
        service["valid_for"] = json!(format!("{hours}h"));
        service["constraints"] = json!({ "region": region });
        stage.reload(&config(json!([service])));
        let before = octroi::edge::unix_secs();
        let offer = offers(&get_once(stage.address(), "/").await.headers).remove(0);
        let caveats = offer
            .token
            .view()
            .caveats()
            .map(|caveat| String::from_utf8_lossy(caveat.identifier).into_owned());
        let caveats: Vec<String> = caveats.collect();
        assert_eq!(caveats[..2], ["services=weather:0", "weather_capabilities="]);
        assert_eq!(caveats[2], format!("weather_region={region}"));
        let until = caveats[3].strip_prefix("weather_valid_until=").expect("an end");
        let until: u64 = until.parse().expect("a number");
        assert!((before..=octroi::edge::unix_secs()).contains(&(until - hours * 3600)), "{until}");
        assert_eq!(caveats.len(), 4);
    }
}

#[tokio::test]
async fn a_reload_is_no_way_around_the_limits() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut limited = config(json!([everything(&upstream.url())]));
    limited["limits"]["mint"] = json!({ "per_network": "1/h" });
    let mut stage = Stage::open(&limited).await;
    let mut minted = 0;
    for _ in 0..10 {
        minted += usize::from(get_once(stage.address(), "/").await.status == 402);
        stage.reload(&limited);
    }
    assert_eq!(minted, 5);
}

/// The keys of a running gateway are gone: tokens that were sold stay good, and no new keys are made in silence.
#[tokio::test]
async fn a_reload_without_the_key_file_changes_nothing() {
    let upstream = Upstream::start(Script::text("sunny"));
    let original = config(json!([everything(&upstream.url())]));
    let mut stage = Stage::open(&original).await;
    let credential = stage.credential("/").await;
    fs::remove_dir_all(stage.folder.path().join("data")).expect("removed");
    let mut dearer = original.clone();
    dearer["services"][0]["price"] = json!("99 sat");
    let error = stage.gateway.reload(parsed(&dearer, stage.folder.path())).expect_err("no keys");
    assert!(error.to_string().contains("data/keys"), "{error}");
    assert!(!stage.folder.path().join("data").exists());
    assert_eq!(ask_once(stage.address(), paid("/", &credential)).await.text(), "sunny");
    let price = ask_once(stage.address(), request(Method::HEAD, "/", &[], Payload::empty())).await;
    assert_eq!(price.header("l402-price"), Some("10000"));
}

/// Addresses stay until a restart, and so does what belongs to them.
#[tokio::test]
async fn listeners_keep_their_proxies_when_the_list_changes() {
    let upstream = Upstream::start(Script::text("sunny"));
    let mut config = config(json!([everything(&upstream.url())]));
    config["limits"]["mint"] = json!({ "per_network": "1/h" });
    let public = json!({ "address": "127.0.0.1:0" });
    let inner = json!({ "address": "127.0.0.2:0", "trusted_proxies": ["127.0.0.1"] });
    config["listen"] = json!([public, inner]);
    let mut stage = Stage::open(&config).await;
    config["listen"] = json!([inner, public]);
    stage.reload(&config);
    let mut minted = 0;
    for attempt in 0..20 {
        let forged = format!("192.0.{attempt}.1");
        let headers = [("x-forwarded-for", forged.as_str())];
        let asked = request(Method::GET, "/", &headers, Payload::empty());
        minted += usize::from(ask_once(stage.address(), asked).await.status == 402);
    }
    assert_eq!(minted, 5, "nobody is trusted on the public listener");
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_takes_no_new_ones() {
    let upstream = Upstream::start(Script::Events);
    let Stage { gateway, folder: _folder } = Stage::of(everything_free(&upstream.url())).await;
    let address = gateway.addresses()[0];
    let ([mut first, mut second], mut idle) = (both(address).await, Raw::connect(address).await);
    let mut streams = Vec::new();
    for caller in [&mut first, &mut second] {
        streams.push(caller.send(get("/")).await.expect("a head"));
    }
    eventually("both streams are open", || upstream.open_streams() == 2).await;
    let draining = tokio::spawn(gateway.drain());
    assert_eq!(idle.rest().await, b"", "who waits is sent away");
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    upstream.push("data: last\n\n");
    for stream in &mut streams {
        let frame = soon(stream.body_mut().frame()).await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "data: last\n\n");
    }
    assert!(!draining.is_finished());
    upstream.end_streams();
    for stream in streams {
        soon(stream.into_body().collect()).await.expect("a good end");
    }
    drop((first, second));
    soon(draining).await.expect("no panic");
}
