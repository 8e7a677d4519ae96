//! Which requests reach the upstream: the status of every cause (wire contract, section 3).

use crate::house::{House, at, client, get, host, name, paid, request, route, service};
use http::Method;
use l402::{Macaroon, Preimage};
use l402_lightning::MilliSat;
use l402_paywall::{AccessMode, Client, Cors, Outcome, Refusal, RouteSpec};

fn weather() -> House {
    let mut weather = service("weather", "/weather/");
    weather.routes = vec![
        RouteSpec { access: Some(AccessMode::Free), ..route("/weather/health") },
        RouteSpec {
            price: MilliSat::from_sat(500),
            capability: Some(name("export")),
            ..route("/weather/export")
        },
        RouteSpec { skip_invoice: Some(true), ..route("/weather/machine") },
    ];
    House::new(vec![weather, service("maps", "/maps/")])
}

fn attenuated((token, preimage): &(Macaroon, Preimage), caveat: &str) -> (Macaroon, Preimage) {
    (token.attenuate(caveat.as_bytes()).expect("room"), preimage.clone())
}

#[test]
fn paying_opens_the_service_and_nothing_else() {
    let house = weather();
    let bought = house.buy("/weather/today");
    assert_eq!(house.verdict(&paid("/weather/today", &bought)), (200, "admitted"));
    assert_eq!(house.verdict(&paid("/weather/tomorrow", &bought)), (200, "admitted"));
    assert_eq!(house.verdict(&paid("/weather/export", &bought)), (402, "capability_missing"));
    assert_eq!(house.verdict(&paid("/maps/x", &bought)), (402, "wrong_service"));
    let export = house.buy("/weather/export");
    assert_eq!(house.verdict(&paid("/weather/export", &export)), (200, "admitted"));
    assert_eq!(house.verdict(&paid("/weather/today", &export)), (200, "admitted"));
}

#[test]
fn the_receipt_names_the_token_and_the_outcome() {
    let house = weather();
    let bought = house.buy("/weather/today");
    let admission = house.admit(&paid("/weather/today", &bought));
    let token_id = admission.permit().expect("a permit").token_id();
    let receipt = admission.settle(Outcome::Served { status: 200 });
    assert_eq!((receipt.service_id, receipt.access, receipt.token_id), (0, AccessMode::Paid, Some(token_id)));
    let free = house.admit(&get("/weather/health"));
    assert_eq!(free.settle(Outcome::ClientGone { status: None }).access, AccessMode::Free);
}

#[test]
fn every_cause_has_its_status() {
    let house = weather();
    let bought = house.buy("/weather/today");
    let (token, _) = &bought;
    let stranger = House::with_keys(vec![service("weather", "/weather/")], 9).buy("/weather/today");
    let wrong = (token.clone(), Preimage::from_bytes([7; 32]));
    let garbage = |value: &str| request(Method::GET, "/weather/today", &[("authorization", value)]);
    let value = l402::authorization_value(l402::OfferScheme::L402, token, &bought.1);
    let two = l402::authorization_value(l402::OfferScheme::L402, &stranger.0, &stranger.1);
    let twice = request(Method::GET, "/weather/today", &[("authorization", &value), ("authorization", &two)]);
    let cases = [
        ("none", get("/weather/today"), 402, "payment_required"),
        ("other scheme", garbage("Bearer abc"), 402, "payment_required"),
        ("another issuer", paid("/weather/today", &stranger), 402, "invalid_token"),
        ("wrong preimage", paid("/weather/today", &wrong), 401, "wrong_preimage"),
        ("not base64", garbage("L402 !!!:00"), 401, "malformed_credential"),
        ("no preimage", garbage("L402 AgEEbHNhdA"), 401, "malformed_credential"),
        ("two", twice, 401, "malformed_credential"),
        (
            "narrowed away",
            paid("/weather/today", &attenuated(&bought, "weather_valid_until=1")),
            402,
            "expired",
        ),
        (
            "widened",
            paid("/weather/today", &attenuated(&bought, "services=weather:0,maps:0")),
            401,
            "widened_caveat",
        ),
        (
            "unreadable",
            paid("/weather/today", &attenuated(&bought, "valid_until=2030-01-01")),
            401,
            "undecodable_caveat",
        ),
        (
            "unknown of ours",
            paid("/weather/today", &attenuated(&bought, "weather_colour=red")),
            402,
            "unknown_caveat",
        ),
        ("foreign", paid("/weather/today", &attenuated(&bought, "colour=red")), 200, "admitted"),
        ("free", get("/weather/health"), 200, "admitted"),
        (
            "free, with rubbish",
            request(Method::GET, "/weather/health", &[("authorization", "L402 x")]),
            200,
            "admitted",
        ),
        ("not sold here", get("/weather/machine"), 401, "credential_required"),
        ("not sold here, paid", paid("/weather/machine", &bought), 200, "admitted"),
        ("no route", get("/elsewhere"), 404, "no_route"),
        ("ambiguous path", get("/weather//today"), 400, "ambiguous_path"),
        ("dot segment", get("/weather/%2e%2e/maps/x"), 400, "ambiguous_path"),
        ("trace", request(Method::TRACE, "/weather/today", &[]), 501, "method"),
        (
            "invented",
            request(Method::from_bytes(b"BREW").expect("a method"), "/weather/today", &[]),
            501,
            "method",
        ),
    ];
    for (case, head, status, reason) in cases {
        assert_eq!(house.verdict(&head), (status, reason), "{case}");
    }
}

/// A proof is remembered; whether it allows this request is asked each time, and other headers are other proofs.
#[test]
fn a_token_seen_before_is_judged_anew_for_every_request() {
    let house = weather();
    let bought = house.buy("/weather/today");
    let later = at(crate::house::NOW + 3600);
    for _ in 0..3 {
        assert_eq!(house.status(&paid("/weather/today", &bought)), 200);
        assert_eq!(house.verdict(&paid("/maps/x", &bought)), (402, "wrong_service"));
        assert_eq!(house.verdict(&paid("/weather/export", &bought)), (402, "capability_missing"));
        let narrowed = attenuated(&bought, "weather_valid_until=1");
        assert_eq!(house.verdict(&paid("/weather/today", &narrowed)), (402, "expired"));
        let forged = (bought.0.clone(), Preimage::from_bytes([9; 32]));
        assert_eq!(house.verdict(&paid("/weather/today", &forged)), (401, "wrong_preimage"));
        let mut twice = paid("/weather/today", &bought);
        twice.headers.append("authorization", "L402 AgEE:00".parse().expect("a value"));
        assert_eq!(house.verdict(&twice), (401, "malformed_credential"));
        assert!(house.gate.admit(&paid("/weather/today", &bought), &client(), later).is_err());
    }
    // Another gate on the same thread has other keys.
    let stranger = House::with_keys(vec![service("weather", "/weather/")], 9);
    assert_eq!(stranger.verdict(&paid("/weather/today", &bought)), (402, "invalid_token"));
}

#[test]
fn tokens_expire_at_the_second_they_say() {
    let house = weather();
    let bought = house.buy("/weather/today");
    let head = paid("/weather/today", &bought);
    assert!(house.gate.admit(&head, &client(), at(crate::house::NOW + 3599)).is_ok());
    let refused = house.gate.admit(&head, &client(), at(crate::house::NOW + 3600)).expect_err("expired");
    assert_eq!(refused.refusal().reason(), "expired");
}

#[test]
fn a_token_of_a_retired_epoch_is_refused_and_one_of_a_kept_epoch_is_not() {
    use l402_lightning::Network;
    use l402_paywall::{Gate, GateParts, KeyFile, KeyRing, Mint, RouteTable, metering::Metering};
    use std::sync::Arc;
    let house = weather();
    let bought = house.buy("/weather/today");
    let mut file = KeyFile::generate(crate::house::NOW, &mut |bytes: &mut [u8]| bytes.fill(1));
    let first = file.current();
    file.rotate(crate::house::NOW, &mut |bytes: &mut [u8]| bytes.fill(2)).expect("rotated");
    let gate = |file: &KeyFile| {
        let mint =
            Mint::new(house.node.clone(), Network::Regtest, Arc::new(crate::house::Counter::default()));
        let table = RouteTable::build(vec![service("weather", "/weather/")], "lsat").expect("a table");
        let metering = Arc::new(Metering::new(None, &crate::house::Counter::default()));
        let keys = Arc::new(KeyRing::new(file));
        Gate::new(GateParts { table, keys, mint, settlement: None, metering, hold_secs: 60 })
    };
    let head = paid("/weather/today", &bought);
    assert!(gate(&file).admit(&head, &client(), at(crate::house::NOW)).is_ok());
    file.retire(first).expect("retired");
    let refused = gate(&file).admit(&head, &client(), at(crate::house::NOW)).expect_err("retired");
    assert_eq!((refused.refusal().reason(), refused.refusal().mints()), ("invalid_token", true));
}

#[test]
fn a_tls_name_of_another_service_is_misdirected() {
    let mut one = service("one", "/");
    one.hosts = vec![host("one.example"), host("uno.example")];
    let mut two = service("two", "/");
    two.hosts = vec![host("two.example")];
    let house = House::new(vec![one, two]);
    let head = |host: &str| {
        let request = http::Request::builder().uri("/x").header("host", host);
        request.body(()).expect("a request").into_parts().0
    };
    let reason = |host: &str, server_name: &str| {
        let client = Client { server_name: Some(server_name), ..client() };
        house.gate.admit(&head(host), &client, at(crate::house::NOW)).expect_err("unpaid").refusal().reason()
    };
    assert_eq!(reason("one.example", "one.example"), "payment_required");
    assert_eq!(reason("one.example", "UNO.example"), "payment_required");
    assert_eq!(reason("one.example", "two.example"), "misdirected");
    assert_eq!(reason("one.example", "nobody.example"), "misdirected");
}

#[test]
fn shadow_forwards_everything_and_says_what_it_would_have_refused() {
    let mut shadow = service("shadow", "/");
    shadow.access = AccessMode::Shadow;
    let house = House::new(vec![shadow]);
    let admission = house.admit(&get("/x"));
    let receipt = admission.settle(Outcome::Served { status: 200 });
    assert_eq!((receipt.access, receipt.unpaid), (AccessMode::Shadow, Some("payment_required")));
}

#[test]
fn preflights_are_answered_only_where_cors_is_on() {
    let mut open = service("open", "/open/");
    open.cors = Some(Cors::Origins(vec!["https://app.example".into()]));
    let house = House::new(vec![open, service("closed", "/closed/")]);
    let preflight = |path: &str, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization, x-a"),
        ];
        house.answer(&request(Method::OPTIONS, path, &headers))
    };
    let allowed = preflight("/open/x", "https://app.example");
    assert!(matches!(allowed.refusal, Refusal::Preflight));
    assert_eq!(allowed.response.status(), 204);
    assert_eq!(allowed.response.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(allowed.response.headers()["access-control-allow-headers"], "authorization, x-a");
    let foreign = preflight("/open/x", "https://evil.example");
    assert!(!foreign.response.headers().contains_key("access-control-allow-origin"));
    let closed = preflight("/closed/x", "https://app.example");
    assert_eq!(closed.response.status(), 402);
    assert_eq!(closed.response.headers()["l402-price"], "10000");
    assert_eq!(house.node.calls().create, 0);
    // The 402 itself can be read by the page.
    let refused = house.answer(&request(Method::GET, "/open/x", &[("origin", "https://app.example")]));
    assert_eq!(refused.response.headers()["access-control-allow-origin"], "https://app.example");
    assert!(
        refused.response.headers()["access-control-expose-headers"]
            .to_str()
            .expect("text")
            .contains("WWW-Authenticate")
    );
}
