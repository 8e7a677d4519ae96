//! Challenges: limits first, one call to the node, and nothing leaves that was not asked for.

use crate::house::{House, NOW, at, client, get, now, service};
use http::header;
use l402_lightning::{
    MilliSat, Network,
    loopback::{Fault, When, WrongInvoice},
};
use l402_paywall::Client;
use std::net::{IpAddr, Ipv4Addr};

fn weather() -> House {
    House::new(vec![service("weather", "/weather/")])
}

#[test]
fn fifty_thousand_anonymous_requests_call_the_node_within_the_budget() {
    let house = weather();
    let mut refused = [0_u32; 2];
    for attempt in 0..50_000_u32 {
        // Five seconds of flood from 10,000 networks.
        let at = l402_paywall::Now { unix: NOW, monotonic_ns: 1_000_000_000 + u64::from(attempt) * 100_000 };
        let ip = IpAddr::V4(Ipv4Addr::from((10 << 24) | ((attempt % 10_000) << 8)));
        let client = Client { ip, server_name: None };
        let status = house.answer_to(&get("/weather/today"), &client, at).response.status();
        match status.as_u16() {
            402 => {}
            429 => refused[0] += 1,
            503 => refused[1] += 1,
            other => panic!("{other}"),
        }
    }
    // 200 per second for the service, plus its burst of 200.
    assert!(house.node.calls().create <= 200 * 5 + 200, "{}", house.node.calls().create);
    assert_eq!(house.node.calls().create + u64::from(refused[0] + refused[1]), 50_000);
}

#[test]
fn one_network_is_told_when_to_come_back_and_others_are_served() {
    let house = weather();
    let answers: Vec<u16> =
        (0..40).map(|_| house.answer(&get("/weather/today")).response.status().as_u16()).collect();
    assert_eq!(answers.iter().filter(|status| **status == 402).count(), 30);
    let limited = house.answer(&get("/weather/today")).response;
    assert_eq!(limited.status(), 429);
    let retry: u64 = limited.headers()[header::RETRY_AFTER].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&retry), "{retry}");
    assert!(!limited.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(house.node.calls().create, 30);
    let neighbour = Client { ip: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), server_name: None };
    assert_eq!(house.answer_to(&get("/weather/today"), &neighbour, now()).response.status(), 402);
    assert_eq!(house.answer_to(&get("/weather/today"), &client(), at(NOW + retry)).response.status(), 402);
}

#[test]
fn asking_twice_and_paying_either_challenge_opens_the_service() {
    let house = weather();
    let first = house.answer(&get("/weather/today"));
    let second = house.answer(&get("/weather/today"));
    for answer in [&first, &second] {
        let bought = house.pay(answer);
        assert_eq!(house.status(&crate::house::paid("/weather/today", &bought)), 200);
    }
}

#[test]
fn a_lying_node_never_gets_an_invoice_out_and_paid_tokens_stay_good() {
    let house = weather();
    let bought = house.buy("/weather/today");
    let lies = [
        WrongInvoice::Network(Network::Mainnet),
        WrongInvoice::Network(Network::Signet),
        WrongInvoice::Amount(MilliSat::from_msat(9_999)),
        WrongInvoice::Amount(MilliSat::from_msat(10_001)),
        WrongInvoice::NoAmount,
        WrongInvoice::SubMilliSatoshi,
        WrongInvoice::AmountTooLarge,
        WrongInvoice::PaymentHash,
        WrongInvoice::ExpirySecs(86_400),
        WrongInvoice::Expired,
        WrongInvoice::CreatedAt(NOW - 86_400),
        WrongInvoice::Description,
        WrongInvoice::Signature,
    ];
    for lie in lies {
        house.node.knobs().create().set(Fault::Wrong(lie));
        unavailable(&house, &format!("{lie:?}"));
        assert_eq!(house.status(&crate::house::paid("/weather/today", &bought)), 200, "{lie:?}");
    }
    for fault in [Fault::Fail(When::Before), Fault::Cut(When::After)] {
        house.node.knobs().create().set(fault);
        unavailable(&house, &format!("{fault:?}"));
    }
    house.node.knobs().clear();
    assert_eq!(house.answer_to(&get("/weather/today"), &other(200), now()).response.status(), 402);
}

#[test]
fn an_invoice_that_the_node_had_made_already_is_sold() {
    let house = weather();
    house.node.knobs().create().set(Fault::Duplicate);
    let answer = house.answer(&get("/weather/today"));
    assert_eq!(answer.response.status(), 402);
    let bought = house.pay(&answer);
    assert_eq!(house.status(&crate::house::paid("/weather/today", &bought)), 200);
}

fn other(last: u8) -> Client<'static> {
    Client { ip: IpAddr::V4(Ipv4Addr::new(203, 0, last, 1)), server_name: None }
}

fn unavailable(house: &House, case: &str) {
    let answer = house.answer_to(&get("/weather/today"), &other(1), now());
    assert_eq!(answer.response.status(), 503, "{case}");
    assert!(answer.response.headers().contains_key(header::RETRY_AFTER), "{case}");
    assert!(!answer.response.headers().contains_key(header::WWW_AUTHENTICATE), "{case}");
    let body = String::from_utf8(answer.response.body().to_vec()).expect("text");
    assert!(!body.contains("lnbc"), "{case}: {body}");
}
