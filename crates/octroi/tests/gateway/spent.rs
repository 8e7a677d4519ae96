//! Answers whose token is spent in the middle, in the protocols that end a stream in a way of their own; and what stands in
//! the ledger after the gateway was killed in the middle of one.

use crate::{
    backend::Backend,
    caller::{Caller, Reply, ask_once, eventually, get, paid, passed_until_end, request},
    metered::{Shop, by_unit},
    payload::Payload,
    process::Program,
    stage::{config, offers, parsed, pay},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use l402::Identifier;
use l402_paywall::ledger::{Abandoned, Effect, Operation};
use octroi::{edge::unix_secs, start::open_stores_beside};
use serde_json::json;
use std::time::Duration;
use testkit::{Reply as Script, Upstream};

/// A call whose messages never end: two a second.
async fn watch(_: http::Request<hyper::body::Incoming>) -> Response<Payload> {
    let (feed, body) = Payload::stream();
    tokio::spawn(async move {
        while feed.data(&b"\0\0\0\0\x03new"[..]).await {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

#[tokio::test]
async fn a_grpc_stream_by_the_second_ends_with_resource_exhausted_in_its_trailers() {
    let backend = Backend::http(watch).await;
    let mut service = by_unit(&backend.url(), 2, &json!({ "time": "1s", "step": 1 }));
    service["upstream_protocol"] = json!("h2");
    let shop = Shop::selling(service).await;
    let purse = shop.stage.buy("/x").await;
    let credential = purse.credential();
    let headers =
        [("authorization", credential.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let call = || request(Method::POST, "/prices.Service/Watch", &headers, Payload::empty());
    let mut caller = Caller::http2(shop.stage.address()).await;
    let answer = caller.ask(call()).await;
    assert_eq!(answer.status, 200);
    assert!(
        !answer.body.is_empty() && answer.body.len().is_multiple_of(8),
        "whole messages: {:?}",
        answer.body
    );
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "8");
    assert_eq!(trailers["grpc-message"], "the token's units ran out");
    assert_eq!(
        (&trailers["l402-balance"], &trailers["l402-cost"]),
        (&"0".parse().expect("text"), &"2".parse().expect("text"))
    );
    assert_eq!(shop.balance(&purse).await, 0);
    let refused = caller.ask(call()).await;
    assert_eq!(
        (refused.header("grpc-status"), backend.requests()),
        (Some("13"), 1),
        "the next one is to be paid for"
    );
}

#[tokio::test]
async fn a_spent_token_resets_its_http2_stream_and_no_other() {
    let body = Bytes::from(vec![b'x'; 5_000]);
    let upstream = Upstream::start(Script::Fixed(StatusCode::OK, HeaderMap::new(), body));
    let cost = json!({ "bytes": "response", "per": "10B", "step": 40 });
    let shop = Shop::selling(by_unit(&upstream.url(), 200, &cost)).await;
    let (purse, other) = (shop.stage.buy("/x").await, shop.stage.buy("/x").await);
    let mut caller = Caller::http2(shop.stage.address()).await;
    for (purse, is_first) in [(&purse, true), (&other, false)] {
        let begun = caller.send(paid("/x", &purse.credential())).await.expect("a head");
        let (passed, end) = passed_until_end(begun.into_body()).await;
        assert!(matches!(end, Some(Err(_))), "not a proper end");
        assert_eq!(passed, 2_000, "what is paid for, on one connection; the first: {is_first}");
        assert_eq!(shop.balance(purse).await, 0);
    }
}

/// The charge is not taken because the reservation has ended before, as by its deadline: then nobody gets the rest.
#[tokio::test]
async fn an_answer_whose_reservation_is_gone_is_cut_off() {
    for (is_http2, rule, left) in [(false, Abandoned::Release, 10), (true, Abandoned::Charge, 3)] {
        let upstream = Upstream::start(Script::Events);
        let shop = Shop::selling(by_unit(&upstream.url(), 10, &json!({ "json": "usage", "max": 7 }))).await;
        let purse = shop.stage.buy("/x").await;
        let address = shop.stage.address();
        let mut caller = if is_http2 { Caller::http2(address).await } else { Caller::http1(address).await };
        let begun = caller.send(paid("/x", &purse.credential())).await.expect("a head");
        let open = shop.holding(&purse).await.open;
        let expiry = Operation::Expire { handle: open[0].handle.clone(), rule };
        let effect = shop.ledger().apply(expiry, unix_secs()).await.expect("a ledger");
        assert!(matches!(effect, Effect::Ended { is_new: true, .. }), "{effect:?}");
        upstream.push("{\"usage\":5}");
        upstream.end_streams();
        assert!(Reply::read(begun).await.is_err(), "no proper end");
        assert_eq!(shop.balance(&purse).await, left);
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_charges_what_was_set_aside_where_the_seller_says_so() {
    for (rule, debited) in [("charge", 7), ("release", 0)] {
        let upstream = Upstream::start(Script::Events);
        let mut service = by_unit(&upstream.url(), 10, &json!({ "header": "L402-Cost", "max": 7 }));
        service["meter"]["on_crash"] = json!(rule);
        service["meter"]["on_abort"] = json!("release"); // so that the charge waits for the end
        let config = config(json!([service]));
        let mut program = Program::start(tempfile::tempdir().expect("a folder"), &config, None).await;
        let refused = ask_once(program.address().await, get("/x")).await;
        let purse = pay(program.wallet().await, &offers(&refused.headers)[0]).await;
        let mut caller = Caller::http1(program.address().await).await;
        let _begun = caller.send(paid("/x", &purse.credential())).await.expect("a head");
        eventually("the request is under way", || upstream.open_streams() == 1).await;
        program.signal("KILL");
        assert!(!program.ends().await.success());

        let token = Identifier::parse(purse.token.view().identifier()).expect("an identifier").token_id;
        let folder = std::mem::replace(&mut program.folder, tempfile::tempdir().expect("a folder"));
        let program = Program::start(folder, &config, None).await;
        let ledger = open_stores_beside(&parsed(&config, program.folder.path())).expect("a ledger").ledger;
        let holding = ledger.holding(token).await.expect("a ledger").expect("a purchase");
        assert_eq!((holding.open.len(), holding.account.debited.get()), (0, debited), "{rule}");
        assert_eq!(holding.account.balance.get(), 10 - debited, "{rule}");
        program.hears("were dealt with by the rule").await;
        let fixed =
            HeaderMap::from_iter([("l402-cost".parse().expect("a name"), "1".parse().expect("a value"))]);
        upstream.reply(Script::Fixed(StatusCode::OK, fixed, Bytes::from_static(b"x")));
        let served = ask_once(program.address().await, paid("/x", &purse.credential())).await;
        let is_covered = 10 - debited >= 7;
        assert_eq!(served.status, if is_covered { 200 } else { 402 }, "{rule}");
        let audit = ledger.check_invariants().await.expect("a ledger");
        assert_eq!(audit.breaches, []);
    }
}
