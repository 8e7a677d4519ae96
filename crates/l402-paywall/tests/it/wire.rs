//! Refusals byte for byte (wire contract, section 1).

use crate::house::{House, NOW, get, name, request, service};
use http::{HeaderMap, Method, header};
use l402::Identifier;
use l402_lightning::Invoice;

fn weather() -> House {
    let mut weather = service("weather", "/weather/");
    weather.constraints = vec![(name("region"), "eu".into())];
    House::new(vec![weather])
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter();
    lines.map(|line| line.to_str().expect("text").to_owned()).collect()
}

#[test]
fn the_challenge_has_exactly_the_spelling_every_client_parses() {
    let house = weather();
    let answer = house.answer(&get("/weather/today"));
    let headers = answer.response.headers();
    let [lsat, l402] = &lines(headers)[..] else { panic!("{:?}", lines(headers)) };
    let (macaroon, invoice) = lsat
        .strip_prefix("LSAT macaroon=\"")
        .and_then(|rest| rest.strip_suffix('"')?.split_once("\", invoice=\""))
        .expect("the LSAT line");
    assert_eq!(
        *l402,
        format!("L402 macaroon=\"{macaroon}\", invoice=\"{invoice}\", token=\"{macaroon}\", version=\"0\"")
    );
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(macaroon.len() % 4, 0);
    let offers = l402::read_challenges(
        headers.get_all(header::WWW_AUTHENTICATE).iter().map(http::HeaderValue::as_bytes),
    );
    for offer in offers {
        let offer = offer.expect("readable");
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let identifier = Identifier::parse(offer.token.view().identifier()).expect("an identifier");
        assert_eq!(identifier.payment_hash, invoice.payment_hash());
        let caveats: Vec<String> = offer
            .token
            .view()
            .caveats()
            .map(|c| String::from_utf8_lossy(c.identifier).into_owned())
            .collect();
        let until = format!("weather_valid_until={}", NOW + 3600);
        assert_eq!(caveats, ["services=weather:0", "weather_capabilities=", "weather_region=eu", &until]);
    }
}

#[test]
fn the_header_block_stays_under_what_nginx_takes_even_with_the_largest_token() {
    let mut large = service("weather", "/");
    large.constraints = vec![(name("a"), "x".repeat(90)), (name("b"), "x".repeat(70))];
    large.cors = Some(l402_paywall::Cors::Any);
    let house = House::new(vec![large]);
    let answer = house.answer(&request(Method::GET, "/x", &[("origin", "https://app.example")]));
    let headers = answer.response.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(bytes < 4000 - 100, "{bytes}");
    assert!(lines(headers).iter().any(|line| line.starts_with("L402 ")));
}

#[test]
fn lsat_can_be_switched_off() {
    let mut modern = service("weather", "/");
    modern.legacy_lsat = false;
    let house = House::new(vec![modern]);
    let found = lines(house.answer(&get("/x")).response.headers());
    assert!(found.len() == 1 && found[0].starts_with("L402 macaroon="), "{found:?}");
}

#[test]
fn machines_get_problem_json_without_the_invoice() {
    let house = weather();
    let answer = house.answer(&get("/weather/today"));
    assert_eq!(answer.response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body: serde_json::Value = serde_json::from_slice(answer.response.body()).expect("JSON");
    assert_eq!(body["status"], 402);
    assert_eq!(body["reason"], "payment_required");
    assert_eq!((&body["price_msat"], &body["price_sats"]), (&10_000.into(), &10.into()));
    assert_eq!(body["service"], "weather");
    assert_eq!(body["expires_at"], NOW + 600);
    for member in ["title", "detail", "type"] {
        assert!(body[member].is_string(), "{member}");
    }
    for member in ["invoice", "macaroon", "token"] {
        assert!(body.get(member).is_none(), "{member}");
    }
}

#[test]
fn people_get_a_page_that_loads_and_runs_nothing() {
    let house = weather();
    let answer = house.answer(&request(Method::GET, "/weather/today", &[("accept", "text/html,*/*;q=0.8")]));
    let page = String::from_utf8(answer.response.body().to_vec()).expect("text");
    assert!(page.contains("<strong>10 sat</strong>") && page.contains("lightning:lnbcrt"), "{page}");
    for unwanted in ["<script", "<style", "src=", "http-equiv", "onload"] {
        assert!(!page.contains(unwanted), "{unwanted}");
    }
    let policy = answer.response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let plain = house.answer(&request(Method::GET, "/weather/today", &[("accept", "text/plain")]));
    assert_eq!(&plain.response.body()[..], b"payment required\n");
}

#[test]
fn head_and_options_tell_the_price_and_never_mint() {
    let house = weather();
    for method in [Method::HEAD, Method::OPTIONS] {
        let answer = house.answer(&request(method, "/weather/today", &[]));
        assert_eq!(answer.response.status(), 402);
        assert_eq!(answer.response.headers()["l402-price"], "10000");
        assert_eq!(lines(answer.response.headers()), ["L402 realm=\"weather\""]);
    }
    assert_eq!(house.node.calls().create, 0);
}

#[test]
fn grpc_gets_trailers_only_with_the_challenge_as_metadata() {
    let house = weather();
    let mut grpc = service("grpc", "/pkg.Greeter/");
    grpc.price = l402_lightning::MilliSat::from_sat(1);
    let house_grpc = House::new(vec![grpc]);
    for (content_type, answered) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
    ] {
        let head = request(Method::POST, "/pkg.Greeter/Hello", &[("content-type", content_type)]);
        let answer = house_grpc.answer(&head);
        let headers = answer.response.headers();
        assert_eq!(answer.response.status(), 200);
        assert_eq!(
            (&headers["grpc-status"], &headers["grpc-message"]),
            (&"13".parse().expect("a value"), &"payment required".parse().expect("a value"))
        );
        assert_eq!(headers[header::CONTENT_TYPE], answered);
        assert_eq!(lines(headers).len(), 2);
        assert!(answer.response.body().is_empty());
    }
    // A path that gRPC servers read in two ways is refused before anything else.
    let odd = request(Method::POST, "/weather/today/x", &[("content-type", "application/grpc")]);
    let refused = house.answer(&odd);
    assert_eq!(
        (refused.response.status().as_u16(), &refused.response.headers()["grpc-status"]),
        (200, &"3".parse().expect("a value"))
    );
    let malformed = request(
        Method::POST,
        "/pkg.Greeter/Hello",
        &[("content-type", "application/grpc"), ("authorization", "L402 x:y")],
    );
    assert_eq!(house_grpc.answer(&malformed).response.headers()["grpc-status"], "16");
}

#[test]
fn refusals_of_bad_credentials_name_the_realm_and_carry_no_invoice() {
    let house = weather();
    let answer = house.answer(&request(Method::GET, "/weather/today", &[("authorization", "L402 x:y")]));
    assert_eq!(answer.response.status(), 401);
    assert_eq!(lines(answer.response.headers()), ["L402 realm=\"weather\""]);
    assert_eq!(house.node.calls().create, 0);
}
