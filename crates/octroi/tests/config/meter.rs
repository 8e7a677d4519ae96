//! Metered services and their ledger, as people write them.

use crate::{HEAD, TAIL, parse, service};
use l402_paywall::{ledger::Abandoned, meter::Charging};
use octroi::config::{Config, LedgerChoice, Surroundings};
use std::path::Path;

/// The messages about a meter with these keys in place of sound ones, and about further lines of its service. The
/// service begins in line 4, the meter in line 8, each key of a meter in a line of its own, from column 7.
fn meter(keys: &str, lines: &str) -> Vec<String> {
    let sound = [("unit", "token"), ("pack", "1000"), ("cost", "1")];
    let own: Vec<&str> = keys.split(" | ").filter(|key| !key.is_empty()).collect();
    let is_own =
        |name: &str| own.iter().any(|key| key.trim_start_matches('-').starts_with(&format!("{name}:")));
    let mut meter: Vec<String> =
        own.iter().filter(|key| !key.starts_with('-')).map(|key| format!("  {key}")).collect();
    meter.extend(
        sound.iter().filter(|(name, _)| !is_own(name)).map(|(name, value)| format!("  {name}: {value}")),
    );
    service(&format!("name: a\npath: /a/\nupstream: http://a\nmeter:\n{}\n{lines}", meter.join("\n")))
}

#[test]
fn problems_of_a_meter_are_named() {
    let told = [
        "",
        "-unit:",
        "-pack:",
        "-cost:",
        "unti: token",
        "unit: tokens",
        "unit: GPU seconds",
        "unit: 5",
        "pack: 0",
        "pack: -1",
        "pack: 1.5",
        "pack: 1e3",
        "pack: many",
        "pack: \"100\"",
        "pack: 9223372036854775807",
        "pack: 9223372036854775808",
        "packs: []",
        "packs: [{ name: large, pack: 0, price: 80 sat }]",
        "packs: [{ name: large, pack: 10, price: 0 sat }]",
        "packs: [{ name: large, pack: 10, price: 80 }]",
        "packs: [{ name: Large, pack: 10 }]",
        "packs: [{ name: default, pack: 10, price: 80 sat }]",
        "packs: [{ name: l, pack: 10, price: 80 sat }, { name: l, pack: 20, price: 90 sat }]",
        "cost: 0",
        "cost: -1",
        "cost: 0.5",
        "cost: one",
        "cost: 9223372036854775808",
        "cost: 1001",
        "cost: {}",
        "cost: [1]",
        "cost: { max: 5 }",
        "cost: { header: L402-Cost }",
        "cost: { header: X-Cost, max: 5 }",
        "cost: { header: L402-Cost, max: 0 }",
        "cost: { header: L402-Cost, max: 5, floor: 1 }",
        "cost: { header: L402-Cost, json: a, max: 5 }",
        "cost: { json: usage.total_tokens }",
        "cost: { json: usage..total_tokens, max: 5 }",
        "cost: { json: a.b.c.d.e.f.g.h.i, max: 5 }",
        "cost: { json: usage.total_tokens, max: 1001 }",
        "cost: { json: usage.total_tokens, mex: 5 }",
        "cost: { sse: usage.total_tokens, max: 5, floor: 0 }",
        "cost: { sse: usage.total_tokens, max: 5, step: 1 }",
        "cost: { bytes: answer }",
        "cost: { bytes: response, max: 5 }",
        "cost: { bytes: response, per: 1024 }",
        "cost: { bytes: response, per: 0B }",
        "cost: { bytes: response, step: 1001 }",
        "cost: { bytes: response, step: 0 }",
        "cost: { time: 1 }",
        "cost: { time: 500ms }",
        "cost: { time: 1s, per: 1KiB }",
        "on_error: keeep",
        "on_crash: keep",
        "on_head: charge",
        "idempotency: true",
        "idempotency: { keep: 0s }",
        "idempotency: { answer: 2MiB }",
        "idempotency: { keeep: 1h }",
        "cost: { bytes: response }",
        "cost: { time: 20s }",
    ]
    .map(|keys| (keys, meter(keys, "price: 1 sat")));
    insta::assert_debug_snapshot!("meter", told);
}

#[test]
fn problems_of_a_metered_service_are_named() {
    let told = [
        "",
        "price: 0 sat",
        "access: free",
        "access: free\nroutes: [{ path: /a/x, access: paid }]",
        "access: free\nprice: 1 sat",
        "access: shadow",
        "price: 1 sat\nfree_requests: 2",
        "price: 1 sat\nfree_requests: 0/day",
        "price: 1 sat\nfree_requests: 2/week",
        "price: 1 sat\nroutes: [{ path: /a/x, price: 5 sat, capability: x }]",
        "price: 1 sat\nroutes: [{ path: /a/x, pack: 5 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, packs: [{ name: l, pack: 5, price: 5 sat }] }]",
        "price: 1 sat\nroutes: [{ path: /a/x, price: 5 sat, capability: x, pack: 0 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, price: 5 sat, capability: x, pack: 4, cost: 5 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, price: 5 sat, capability: x, pack: 5, packs: [{ name: l, pack: 4, price: 5 sat }], cost: 5 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, cost: 1001 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, cost: 0 }]",
        "price: 1 sat\nroutes: [{ path: /a/x, cost: { json: a } }]",
        "price: 1 sat\nroutes: [{ path: /a/x, cost: 1001, access: free }]",
    ]
    .map(|lines| (lines, meter("", lines)));
    insta::assert_debug_snapshot!("metered_service", told);
}

#[test]
fn a_route_counts_only_where_its_service_does() {
    let told = [
        "routes: [{ path: /a/x, cost: 5 }]",
        "routes: [{ path: /a/x, price: 5 sat, capability: x, pack: 5 }]",
        "meter: { unit: token }\nroutes: [{ path: /a/x, cost: 5 }]",
        "meter: 5\nroutes: [{ path: /a/x, cost: 5 }]",
    ]
    .map(|lines| (lines, service(&format!("name: a\npath: /a/\nupstream: http://a\nprice: 1 sat\n{lines}"))));
    insta::assert_debug_snapshot!("unmetered_route", told);
}

#[test]
fn what_is_not_said_about_a_meter_has_a_sensible_value() {
    let text = |cost: &str| {
        format!(
            "{HEAD}services:\n  - {{ name: a, path: /, upstream: \"http://a\", price: 1 sat, meter: {{ unit: byte, pack: 1000000, cost: {cost} }} }}\n"
        )
    };
    let spec = |cost: &str| {
        let config = parse(&text(cost)).unwrap_or_else(|messages| panic!("{messages:#?}"));
        config.routes.services()[0].spec().meter.clone().expect("a meter")
    };
    let meter = spec("1");
    assert_eq!(meter.charging, Charging::default());
    assert_eq!(meter.abandoned, Abandoned::Release);
    assert_eq!(meter.idempotency, None);
    assert_eq!(meter.packs.len(), 1);
    assert_eq!(meter.packs[0].name.as_str(), "default");
    let step = |cost: &str| spec(cost).cost.estimate().get();
    assert_eq!(step("{ bytes: response }"), 262_144);
    assert_eq!(step("{ bytes: response, per: 1KiB }"), 256);
    assert_eq!(step("{ bytes: response, per: 1MiB }"), 1);
    assert_eq!(step("{ time: 1s }"), 10);
    assert_eq!(step("{ time: 1m }"), 1);
    let small = text("{ bytes: response }").replace("pack: 1000000", "pack: 1000");
    let config = parse(&small).expect("a step is never more than a pack");
    let meter = config.routes.services()[0].spec().meter.clone().expect("a meter");
    assert_eq!(meter.cost.estimate().get(), 1000);
}

#[test]
fn all_meters_of_a_gateway_share_one_rule_for_crashes() {
    let services = |first: &str, second: &str| {
        let one = |name: &str, rule: &str| {
            format!(
                "  - {{ name: {name}, path: /{name}/, upstream: \"http://a\", price: 1 sat, meter: {{ unit: byte, pack: 9, cost: 1{rule} }} }}\n"
            )
        };
        parse(&format!("{HEAD}services:\n{}{}", one("a", first), one("b", second)))
    };
    let rule = |config: Config| config.routes.abandoned();
    assert_eq!(rule(services("", "").expect("sound")), Abandoned::Release);
    let charged = services(", on_crash: charge", ", on_crash: charge");
    assert_eq!(rule(charged.expect("sound")), Abandoned::Charge);
    let told = services(", on_crash: charge", "").err().unwrap_or_default();
    assert_eq!(
        told,
        [
            "5:70: services[1].meter.on_crash: `on_crash` has to be the same in all metered services; service `a` says otherwise"
        ]
    );
    let told = services(", on_crash: charge", ", on_crash: relaese").err().unwrap_or_default();
    assert!(matches!(told.as_slice(), [message] if message.contains("did you mean")), "{told:?}");
}

#[test]
fn the_place_of_a_database_is_a_secret() {
    let variable = |name: &str| match name {
        "URL" => Some("postgres://octroi:hunter2@db.example/octroi\n".to_owned()),
        "ODD" => Some("mysql://octroi:hunter2@db.example/octroi".to_owned()),
        _ => None,
    };
    let surroundings = Surroundings { folder: Path::new(""), variable: &variable, files: false };
    let parse = |ledger: &str| {
        Config::parse(&format!("ledger: {ledger}\nlightning: {{ backend: loopback }}\n{TAIL}"), &surroundings)
    };
    let config = parse("{ postgres: { url: \"${URL}\" } }").expect("a sound config");
    let LedgerChoice::Postgres(place) = &config.ledger else { panic!("{:?}", config.ledger) };
    assert_eq!(place.url.text(), Some("postgres://octroi:hunter2@db.example/octroi"));
    assert_eq!(place.schema, "octroi");
    assert!(!format!("{config:?}").contains("hunter2"));
    let told = [
        "postgres",
        "sqlit",
        "[]",
        "{}",
        "{ sqlite: {} }",
        "{ postgres: {} }",
        "{ postgres: { url: \"postgres://octroi:hunter2@db.example/octroi\" } }",
        "{ postgres: { url: \"${UNSET}\" } }",
        "{ postgres: { url: \"${ODD}\" } }",
        "{ postgres: { url: \"${URL}\", schema: Sales } }",
        "{ postgres: { url: \"${URL}\", schema: pg_sales } }",
    ]
    .map(|ledger| {
        let problems = parse(ledger).err().unwrap_or_default();
        let told: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", problem.at)).collect();
        assert!(told.iter().all(|message| !message.contains("hunter2")), "{told:?}");
        (ledger, told)
    });
    insta::assert_debug_snapshot!("ledger", told);
}
