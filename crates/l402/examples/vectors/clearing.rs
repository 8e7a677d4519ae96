//! Caveats: what a verified token opens.

use crate::{Verdict, error_name, preimage, token};
use l402::{
    Access, Credential, Identifier, Name, OfferScheme, RootKey, RootKeys, Satisfiers, UnknownCaveats,
    authorization_value, clear, verify,
};
use serde::Serialize;

const NOW: u64 = 1_700_000_000;

#[derive(Serialize)]
pub(crate) struct ClearingCase {
    name: &'static str,
    /// Names of all configured services; the request is for the first.
    services: Vec<&'static str>,
    /// Name and value of the first service's constraints.
    constraints: Vec<(&'static str, &'static str)>,
    /// `skip` or `refuse`.
    unknown_caveats: &'static str,
    tier: u64,
    capability: Option<&'static str>,
    now: u64,
    caveats: Vec<String>,
    #[serde(flatten)]
    verdict: Verdict<PermitParts>,
}

#[derive(Serialize)]
struct PermitParts {
    expires_at: Option<u64>,
    unknown_caveats: u32,
}

/// A seller's configuration and a request.
#[derive(Clone)]
struct Situation {
    services: Vec<&'static str>,
    constraints: Vec<(&'static str, &'static str)>,
    unknown: UnknownCaveats,
    capability: Option<&'static str>,
}

struct OneKey;

impl RootKeys for OneKey {
    fn root_key(&self, _id: &Identifier) -> Option<RootKey> {
        Some(crate::key())
    }
}

pub(crate) fn cases() -> Vec<ClearingCase> {
    let plain = Situation {
        services: vec!["weather", "weather_pro", "maps"],
        constraints: vec![],
        unknown: UnknownCaveats::Skip,
        capability: None,
    };
    let mut cases = Vec::new();
    let mut add = |situation: &Situation, table: &[(&'static str, &[&str], &str)]| {
        cases.extend(table.iter().map(|(name, caveats, expected)| case(situation, name, caveats, expected)));
    };
    add(&plain, SERVICES);
    add(&plain, EXPIRY);
    add(&plain, CONDITIONS);
    add(&Situation { unknown: UnknownCaveats::Refuse, ..plain.clone() }, UNKNOWN_REFUSED);
    add(&Situation { capability: Some("export"), ..plain.clone() }, CAPABILITIES);
    add(&Situation { constraints: vec![("region", "eu")], ..plain }, CONSTRAINTS);
    cases
}

/// Name, caveats, `ok` or the error's name.
type Table = &'static [(&'static str, &'static [&'static str], &'static str)];

const SERVICES: Table = &[
    ("the service", &["services=weather:0"], "ok"),
    ("one of two services", &["services=maps:3,weather:0"], "ok"),
    ("narrowed to the service", &["services=weather:0,maps:0", "services=weather:0"], "ok"),
    ("no caveats", &[], "WrongService"),
    ("no services", &["weather_capabilities="], "WrongService"),
    ("another service", &["services=maps:0"], "WrongService"),
    ("narrowed away", &["services=weather:0,maps:0", "services=maps:0"], "WrongService"),
    ("another tier", &["services=weather:1"], "WrongTier"),
    ("widened", &["services=weather:0", "services=weather:0,maps:0"], "Widened"),
    ("exchanged", &["services=maps:0", "services=weather:0"], "WrongService"),
    ("exchanged for another", &["services=weather:0", "services=maps:0"], "Widened"),
    ("empty", &["services="], "Undecodable"),
    ("no tier", &["services=weather"], "Undecodable"),
    ("a tier with a leading zero", &["services=weather:00"], "Undecodable"),
    ("a tier beyond u64", &["services=weather:18446744073709551616"], "Undecodable"),
    ("an empty element", &["services=weather:0,"], "Undecodable"),
    ("a space", &["services=weather:0, maps:0"], "Undecodable"),
];

const EXPIRY: Table = &[
    ("a second left", &["services=weather:0", "weather_valid_until=1700000001"], "ok"),
    ("the last second is over", &["services=weather:0", "weather_valid_until=1700000000"], "Expired"),
    (
        "shortened",
        &["services=weather:0", "weather_valid_until=1700000009", "weather_valid_until=1700000005"],
        "ok",
    ),
    (
        "prolonged",
        &["services=weather:0", "weather_valid_until=1700000005", "weather_valid_until=1700000009"],
        "Widened",
    ),
    ("the end of u64", &["services=weather:0", "weather_valid_until=18446744073709551615"], "ok"),
    ("beyond u64", &["services=weather:0", "weather_valid_until=18446744073709551616"], "Undecodable"),
    ("a sign", &["services=weather:0", "weather_valid_until=+1700000001"], "Undecodable"),
    ("a leading zero", &["services=weather:0", "weather_valid_until=01700000001"], "Undecodable"),
    ("an exponent", &["services=weather:0", "weather_valid_until=1e10"], "Undecodable"),
    ("no number", &["services=weather:0", "weather_valid_until="], "Undecodable"),
    ("a date", &["services=weather:0", "weather_valid_until=2030-01-01"], "Undecodable"),
    ("without the service's name", &["services=weather:0", "valid_until=1700000001"], "Undecodable"),
    ("by another name", &["services=weather:0", "expires=1700000001"], "Undecodable"),
    ("of another service", &["services=weather:0,maps:0", "maps_valid_until=5"], "ok"),
];

const CONDITIONS: Table = &[
    ("a foreign condition", &["services=weather:0", "max_sats=5"], "ok"),
    ("an unknown condition of ours", &["services=weather:0", "weather_max=5"], "UnknownCaveat"),
    ("an unknown condition of another service", &["services=weather:0", "maps_max=5"], "UnknownCaveat"),
    ("a condition of the longer name", &["services=weather:0", "weather_pro_max=5"], "UnknownCaveat"),
    ("no separator", &["services=weather:0", "admin"], "Undecodable"),
    ("an empty condition", &["services=weather:0", "=1"], "Undecodable"),
    ("a condition in upper case", &["services=weather:0", "Foreign=1"], "Undecodable"),
    ("an empty caveat", &["services=weather:0", ""], "Undecodable"),
];

const UNKNOWN_REFUSED: Table = &[
    ("no foreign condition", &["services=weather:0", "weather_capabilities="], "ok"),
    ("a foreign condition refused", &["services=weather:0", "max_sats=5"], "UnknownCaveat"),
];

const CAPABILITIES: Table = &[
    ("the capability", &["services=weather:0", "weather_capabilities=history,export"], "ok"),
    ("no capabilities caveat", &["services=weather:0"], "CapabilityMissing"),
    ("none", &["services=weather:0", "weather_capabilities="], "CapabilityMissing"),
    ("another", &["services=weather:0", "weather_capabilities=exports"], "CapabilityMissing"),
    ("of another service", &["services=weather:0", "maps_capabilities=export"], "CapabilityMissing"),
    (
        "narrowed to it",
        &["services=weather:0", "weather_capabilities=a,export", "weather_capabilities=export"],
        "ok",
    ),
    (
        "added to none",
        &["services=weather:0", "weather_capabilities=", "weather_capabilities=export"],
        "CapabilityMissing",
    ),
    (
        "added to it",
        &["services=weather:0", "weather_capabilities=export", "weather_capabilities=export,a"],
        "Widened",
    ),
    ("an empty element", &["services=weather:0", "weather_capabilities=export,"], "Undecodable"),
];

const CONSTRAINTS: Table = &[
    ("the value", &["services=weather:0", "weather_region=eu"], "ok"),
    ("the value twice", &["services=weather:0", "weather_region=eu", "weather_region=eu"], "ok"),
    ("another value", &["services=weather:0", "weather_region=us"], "Constraint"),
    ("absent", &["services=weather:0"], "Constraint"),
    ("exchanged", &["services=weather:0", "weather_region=eu", "weather_region=us"], "Widened"),
];

fn case(situation: &Situation, name: &'static str, caveats: &[&str], expected: &str) -> ClearingCase {
    let names: Vec<Name> =
        situation.services.iter().map(|&service| service.try_into().expect("a name")).collect();
    let service = names.first().expect("a service").clone();
    let satisfiers = Satisfiers::builder(service.clone()).namespaces(names).unknown(situation.unknown);
    let satisfiers = situation.constraints.iter().fold(satisfiers, |satisfiers, &(name, value)| {
        satisfiers.constraint(name.try_into().expect("a name"), value)
    });
    let access = Access {
        service: service.as_str(),
        tier: 0,
        capability: situation.capability,
        method: "GET",
        path: "/",
        client: None,
        now: NOW,
    };
    let line = authorization_value(OfferScheme::L402, &token(caveats), &preimage());
    let credential = Credential::read([line.as_bytes()].into_iter(), std::iter::empty());
    let credential = credential.expect("readable").expect("there");
    let verdict = clear(&verify(credential, &OneKey).expect("ours"), &satisfiers.build(), &access);
    let found = verdict.as_ref().map_or_else(error_name, |_| "ok".to_owned());
    assert_eq!(found, expected, "{name}");
    let parts = verdict.map(|permit| PermitParts {
        expires_at: permit.expires_at(),
        unknown_caveats: permit.unknown_caveats(),
    });
    ClearingCase {
        name,
        services: situation.services.clone(),
        constraints: situation.constraints.clone(),
        unknown_caveats: match situation.unknown {
            UnknownCaveats::Skip => "skip",
            UnknownCaveats::Refuse => "refuse",
        },
        tier: 0,
        capability: situation.capability,
        now: NOW,
        caveats: caveats.iter().map(ToString::to_string).collect(),
        verdict: Verdict::of(parts),
    }
}
