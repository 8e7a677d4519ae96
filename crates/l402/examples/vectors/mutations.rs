//! Mutated tokens, with the verdict of the strict decoder and the chain.

use crate::{ROOT_KEY, Verdict, key, random::Random, token};
use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{Limits, MacaroonRef};
use serde::Serialize;
use std::collections::BTreeSet;

const RANDOM_MUTATIONS: usize = 400;

#[derive(Serialize)]
pub(crate) struct MutationCase {
    name: String,
    root_key: String,
    token: String,
    #[serde(flatten)]
    verdict: Verdict<&'static str>,
}

/// A chosen form: how the token differs, and the error, `None` if it verifies.
type Chosen = (&'static str, Vec<u8>, Option<&'static str>);

pub(crate) fn cases() -> Vec<MutationCase> {
    let mut seen = BTreeSet::new();
    let mut cases = Vec::new();
    for (name, bytes, expected) in chosen() {
        let case = case(name, &bytes);
        assert_eq!(case.verdict.error.as_deref(), expected, "{name}");
        seen.insert(bytes);
        cases.push(case);
    }
    let original = original();
    let mut random = Random(20);
    while cases.len() < RANDOM_MUTATIONS {
        let mut bytes = original.clone();
        for _change in 0..=random.below(2) {
            mutate(&mut random, &mut bytes);
        }
        if seen.insert(bytes.clone()) {
            cases.push(case("random", &bytes));
        }
    }
    cases
}

fn original() -> Vec<u8> {
    let caveats = ["services=weather:0", "weather_capabilities=", "weather_valid_until=1700003600"];
    token(&caveats).as_bytes().to_vec()
}

fn chosen() -> Vec<Chosen> {
    let original = original();
    let location_end = 7;
    assert_eq!(&original[..location_end], b"\x02\x01\x04lsat");
    let (head, rest) = original.split_at(location_end);
    let (body, end) = original.split_at(original.len() - 35);
    let identifier_len_at = location_end + 1;
    let long_varint =
        [&original[..identifier_len_at], &[0x42 | 0x80, 0x00], &original[identifier_len_at + 1..]].concat();
    let narrower =
        token(&["services=weather:0", "weather_capabilities=", "weather_valid_until=1700003600", "a=b"]);
    let widened = token(&["services=weather:0", "services=maps:0"]);
    let third_party = b"\x01\x04home\x02\x03cid\x04\x03vid\x00";
    vec![
        ("unchanged", original.clone(), None),
        ("attenuated", narrower.as_bytes().to_vec(), None),
        ("attenuated with what a verifier refuses later", widened.as_bytes().to_vec(), None),
        ("another location", [b"\x02\x01\x04home", rest].concat(), None),
        ("no location", [b"\x02", rest].concat(), None),
        ("a location that is not UTF-8", [b"\x02\x01\x04ls\xfft", rest].concat(), Some("LocationText")),
        ("an empty location", [b"\x02\x01\x00", rest].concat(), Some("EmptyField")),
        ("the location twice", [head, &head[1..], rest].concat(), Some("Field")),
        ("a length in two bytes where one would do", long_varint, Some("Varint")),
        ("a byte behind the token", [&original[..], b"\0"].concat(), Some("Trailing")),
        ("a newline behind the token", [&original[..], b"\n"].concat(), Some("Trailing")),
        ("the token twice", [&original[..], &original].concat(), Some("Trailing")),
        ("an empty token", vec![], Some("Truncated")),
        ("version byte alone", vec![2], Some("Truncated")),
        ("version 1 marker", [b"0", &original[1..]].concat(), Some("Version")),
        ("without the end of the caveats", [body, &end[1..]].concat(), Some("Field")),
        ("a caveat added without signing", [body, b"\x02\x03a=b\x00", end].concat(), Some("Signature")),
        ("an empty caveat added without signing", [body, b"\x02\x00\x00", end].concat(), Some("Signature")),
        ("a location on a first-party caveat", with_located_caveat(&original), Some("FirstPartyLocation")),
        ("a third-party caveat", [body, third_party, end].concat(), Some("ThirdParty")),
        ("an empty verification id", [body, b"\x02\x03a=b\x04\x00\x00", end].concat(), Some("EmptyField")),
        ("an unknown field", [head, b"\x03\x01x", rest].concat(), Some("Field")),
        ("signature of 31 bytes", [body, b"\0\x06\x1f", &end[3..34]].concat(), Some("SignatureLength")),
        ("signature of 33 bytes", [body, b"\0\x06\x21", &end[3..], b"x"].concat(), Some("SignatureLength")),
        ("33 caveats", [body, &b"\x02\x01a\x00".repeat(30), end].concat(), Some("Limit.Caveats")),
        (
            "a caveat of 513 bytes",
            [body, b"\x02\x81\x04", &[b'a'; 513], b"\0", end].concat(),
            Some("Limit.Caveat"),
        ),
        ("4097 bytes", [&original[..], &vec![0; 4097 - original.len()]].concat(), Some("Limit.Token")),
    ]
}

/// The first caveat with a location in front, which is not signed.
fn with_located_caveat(original: &[u8]) -> Vec<u8> {
    let at =
        original.windows(20).position(|window| &window[2..] == b"services=weather:0").expect("it is there");
    [&original[..at], b"\x01\x04home", &original[at..]].concat()
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
    let byte = random.byte();
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = byte,
        2 => bytes[at] = [0, 1, 2, 4, 6, 32, 127, 128][random.below(8)],
        3 => bytes.insert(at, byte),
        4 => drop(bytes.remove(at)),
        5 => bytes.swap(at, other),
        6 => bytes.truncate(at.max(1)),
        // The location is not signed: with its length kept, another one is as good.
        _ => bytes[3 + at % 4] = byte,
    }
}

fn case(name: &str, bytes: &[u8]) -> MutationCase {
    let verdict = match MacaroonRef::parse(bytes, &Limits::default()) {
        Err(error) => Verdict::of(Err(error)),
        Ok(view) => Verdict::of(view.verify(&key()).map(|()| "verifies")),
    };
    MutationCase {
        name: name.to_owned(),
        root_key: hex::encode(ROOT_KEY),
        token: STANDARD.encode(bytes),
        verdict,
    }
}
