//! What a metered request costs when it does not go well, and who is served without paying.

use crate::{
    backend::{Backend, ok},
    caller::{Caller, Reply, ask_once, get, paid, request},
    metered::{Shop, by_unit, told},
    payload::Payload,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Reply as Script, Upstream};

/// The opposite of each default.
fn opposite(service: &mut Value) {
    for (key, word) in [
        ("on_error", "keep"),
        ("on_client_error", "release"),
        ("on_cut", "release"),
        ("on_not_modified", "release"),
        ("on_head", "release"),
    ] {
        service["meter"][key] = json!(word);
    }
}

fn fixed(status: u16) -> Script {
    let body = Bytes::from_static(if status == 304 { b"" } else { b"x" });
    Script::Fixed(StatusCode::from_u16(status).expect("a status"), HeaderMap::new(), body)
}

#[tokio::test]
async fn each_line_of_the_table_is_charged_by_its_key() {
    let upstream = Upstream::start(fixed(200));
    let mut changed = by_unit(&upstream.url(), 100, &json!(1));
    opposite(&mut changed);
    // Method, answer, units by default, units by the opposite of each default.
    let cases = [
        (Method::GET, fixed(200), 1, 1),
        (Method::HEAD, fixed(200), 1, 0),
        (Method::GET, fixed(304), 1, 0),
        (Method::GET, fixed(404), 1, 0),
        (Method::GET, fixed(503), 0, 1),
        (Method::GET, Script::CutBody(Bytes::from_static(b"half")), 1, 0),
    ];
    for (service, is_usual) in [(by_unit(&upstream.url(), 100, &json!(1)), true), (changed, false)] {
        let shop = Shop::selling(service).await;
        let purse = shop.stage.buy("/x").await;
        let credential = purse.credential();
        let mut left = 100;
        for (method, script, usual, other) in cases.clone() {
            upstream.reply(script.clone());
            let mut caller = Caller::http1(shop.stage.address()).await;
            let ask = request(method.clone(), "/x", &[("authorization", &credential)], Payload::from(""));
            let answered = caller.send(ask).await.expect("a head");
            let _ = Reply::read(answered).await; // one of them is cut off
            left -= if is_usual { usual } else { other };
            assert_eq!(shop.balance(&purse).await, left, "{method} {script:?} {is_usual}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_late_costs_nothing_unless_the_seller_says_so() {
    let late = Script::After(Duration::from_mins(1), Box::new(fixed(200)));
    let upstream = Upstream::start(late);
    for (word, left) in [("release", 10), ("keep", 9)] {
        let mut service = by_unit(&upstream.url(), 10, &json!(1));
        service["meter"]["on_error"] = json!(word);
        let mut config = crate::stage::config(json!([service]));
        config["timeouts"] = json!({ "response": "200ms" });
        let shop = Shop::open(config).await;
        let purse = shop.stage.buy("/x").await;
        assert_eq!(shop.get(&purse).await.status, 504);
        assert_eq!(shop.balance(&purse).await, left, "{word}");
    }
}

/// An upstream may say in HTTP/2 by a frame of its own that its answer is over. A client of HTTP/1.1 has the whole answer
/// before, by its length, and is charged before.
#[tokio::test]
async fn an_answer_that_is_whole_by_its_length_is_charged_before_its_upstream_ends_it() {
    let backend = Backend::http(async |_| {
        let (feed, body) = Payload::stream();
        tokio::spawn(async move {
            assert!(feed.data(r#"{"usage":7}"#).await);
            feed.unread().await;
        });
        let mut response = ok(body);
        response.headers_mut().insert("content-length", "11".parse().expect("a value"));
        response
    })
    .await;
    let mut service = by_unit(&backend.url(), 100, &json!({ "json": "usage", "max": 50 }));
    service["upstream_protocol"] = json!("h2");
    service["meter"]["on_abort"] = json!("release");
    let shop = Shop::selling(service).await;
    let purse = shop.stage.buy("/x").await;
    assert_eq!(shop.get(&purse).await.text(), r#"{"usage":7}"#);
    assert_eq!(shop.balance(&purse).await, 93);
}

#[tokio::test]
async fn packs_are_chosen_by_name_and_copies_stay_within_their_budget() {
    let upstream = Upstream::start(fixed(200));
    let mut service = by_unit(&upstream.url(), 2, &json!(1));
    service["meter"]["packs"] = json!([{ "name": "large", "pack": 50, "price": "80 sat" }]);
    let shop = Shop::selling(service).await;
    let ask = request(Method::GET, "/x", &[("l402-pack", "large")], Payload::from(""));
    let refused = ask_once(shop.stage.address(), ask).await;
    assert_eq!((&refused.json()["units"], &refused.json()["price_sats"]), (&json!(50), &json!(80)));
    let mut purse = shop.stage.pay(&refused).await;
    assert_eq!(told(&shop.get(&purse).await), (Some("49"), Some("1")));
    purse.token = purse.token.attenuate(b"weather_units=1").expect("short");
    assert_eq!(told(&shop.get(&purse).await), (Some("0"), Some("1")));
    assert_eq!(shop.get(&purse).await.reason(), "exhausted");
    assert_eq!(shop.balance(&purse).await, 48);
    let ask = request(Method::GET, "/x", &[("l402-pack", "huge")], Payload::from(""));
    assert_eq!(ask_once(shop.stage.address(), ask).await.reason(), "unknown_pack");
}

#[tokio::test]
async fn some_are_served_for_nothing_where_the_seller_says_so() {
    let upstream = Upstream::start(fixed(200));
    let mut generous = by_unit(&upstream.url(), 2, &json!(1));
    generous["free_requests"] = json!("2/day");
    let shop = Shop::selling(generous).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask_once(shop.stage.address(), get("/x")).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 402]);
    let mut shadow = by_unit(&upstream.url(), 2, &json!(7));
    shadow["meter"]["pack"] = json!(7);
    shadow["access"] = json!("shadow");
    let shop = Shop::selling(shadow).await;
    assert_eq!(ask_once(shop.stage.address(), get("/x")).await.status, 200);
    let metrics = ask_once(shop.stage.ops(), get("/metrics")).await;
    let line = r#"octroi_units_total{service="weather",fate="shadow"} 7"#;
    assert!(metrics.text().lines().any(|found| found == line), "{}", metrics.text());
}

#[tokio::test]
async fn a_token_of_the_other_kind_opens_nothing_after_a_reload() {
    let upstream = Upstream::start(fixed(200));
    let metered = crate::stage::config(json!([by_unit(&upstream.url(), 5, &json!(1))]));
    let flat = crate::stage::config(json!([crate::stage::everything(&upstream.url())]));
    let mut shop = Shop::open(metered.clone()).await;
    let by_unit = shop.stage.buy("/x").await;
    assert_eq!(shop.get(&by_unit).await.status, 200);
    shop.stage.reload(&flat);
    assert_eq!(shop.get(&by_unit).await.reason(), "metered");
    let flat_rate = shop.stage.buy("/x").await;
    assert_eq!(shop.get(&flat_rate).await.status, 200);
    shop.stage.reload(&metered);
    assert_eq!(shop.get(&flat_rate).await.reason(), "not_metered");
    assert_eq!(told(&shop.get(&by_unit).await), (Some("3"), Some("1")));
}

#[tokio::test]
async fn clients_of_http1_are_told_behind_the_body_if_they_take_trailers() {
    let body = Bytes::from_static(br#"{"usage":{"total_tokens":7}}"#);
    let upstream = Upstream::start(Script::Fixed(StatusCode::OK, HeaderMap::new(), body.clone()));
    let cost = json!({ "json": "usage.total_tokens", "max": 50 });
    let shop = Shop::selling(by_unit(&upstream.url(), 100, &cost)).await;
    let purse = shop.stage.buy("/x").await;
    let credential = purse.credential();
    let headers = [("authorization", credential.as_str()), ("te", "trailers")];
    let served =
        ask_once(shop.stage.address(), request(Method::GET, "/x", &headers, Payload::from(""))).await;
    assert_eq!(served.body, body);
    let trailers = served.trailers.expect("trailers");
    assert_eq!(trailers["l402-balance"], "93");
    let plain = ask_once(shop.stage.address(), paid("/x", &credential)).await;
    assert!(plain.trailers.is_none() && plain.body == body);
    assert_eq!(shop.balance(&purse).await, 86);
}
