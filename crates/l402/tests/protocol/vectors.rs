//! The committed vectors (`vectors/` at the top of the repository), read as another implementation would read them.

use crate::scene::{OneKey, preimage};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use l402::{
    Access, Credential, Identifier, Limits, Macaroon, MacaroonRef, Name, OfferScheme, Preimage, RootKey,
    Satisfiers, Scheme, UnknownCaveats, authorization_value, clear, read_challenges, verify,
};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{fmt::Debug, fs, path::Path};

/// Runs `check` on every case of a file.
fn each(file: &str, check: impl Fn(&Value)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(file);
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    cases.iter().for_each(check);
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap()
}

fn bytes(case: &Value, member: &str) -> Vec<u8> {
    hex::decode(text(case, member)).unwrap()
}

fn texts<'a>(case: &'a Value, member: &str) -> Vec<&'a str> {
    case[member].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn secret(case: &Value, member: &str) -> [u8; 32] {
    bytes(case, member).try_into().unwrap()
}

/// `ok` and `error` as the generator writes them.
fn verdict<E: Debug>(result: Result<Value, E>) -> Value {
    result.map_or_else(|error| json!({ "error": error_name(&error) }), |ok| json!({ "ok": ok }))
}

fn error_name(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let names = text.split(['(', ')']).filter(|part| part.starts_with(char::is_alphabetic));
    names.collect::<Vec<_>>().join(".")
}

/// The members of a case that say what has to come out.
fn expected(case: &Value) -> Value {
    case.get("error").map_or_else(|| json!({ "ok": case["ok"] }), |error| json!({ "error": error }))
}

#[test]
fn identifiers() {
    each("identifiers.json", |case| {
        let parsed = Identifier::parse(&bytes(case, "identifier")).map(|identifier| {
            assert_eq!(hex::encode(identifier.to_bytes()), text(case, "identifier"));
            json!({
                "version": 0,
                "payment_hash": identifier.payment_hash.to_string(),
                "token_id": identifier.token_id.to_string(),
                "epoch": identifier.token_id.epoch().to_string(),
            })
        });
        assert_eq!(verdict(parsed), expected(case), "{case}");
    });
}

#[test]
fn preimages() {
    each("preimages.json", |case| {
        let preimage = Preimage::from_hex(text(case, "preimage").as_bytes()).unwrap();
        assert_eq!(preimage.payment_hash().to_string(), text(case, "payment_hash"));
    });
}

#[test]
fn root_keys() {
    each("root-keys.json", |case| {
        let derivation = Hkdf::<Sha256>::new(Some(text(case, "salt").as_bytes()), &bytes(case, "master"));
        let mut root_key = [0; 32];
        derivation.expand(&bytes(case, "identifier"), &mut root_key).unwrap();
        assert_eq!(hex::encode(root_key), text(case, "root_key"));
    });
}

#[test]
fn macaroons() {
    each("macaroons.json", |case| {
        let key = RootKey::from_secret(&bytes(case, "root_key"));
        let identifier = bytes(case, "identifier");
        let token =
            Macaroon::mint(&key, text(case, "location"), &identifier, texts(case, "caveats")).unwrap();
        assert_eq!(STANDARD.encode(token.as_bytes()), text(case, "token"), "{case}");
        assert_eq!(hex::encode(token.view().signature()), text(case, "signature"));

        let given = STANDARD.decode(text(case, "token")).unwrap();
        let given = MacaroonRef::parse(&given, &Limits::default()).unwrap();
        assert_eq!(given.verify(&key), Ok(()));
        assert_eq!(
            (given.identifier(), given.location()),
            (&identifier[..], text(case, "location").as_bytes())
        );
    });
}

#[test]
fn mutations() {
    each("mutations.json", |case| {
        let token = STANDARD.decode(text(case, "token")).unwrap();
        let key = RootKey::from_bytes(secret(case, "root_key"));
        let found = match MacaroonRef::parse(&token, &Limits::default()) {
            Ok(view) => verdict(view.verify(&key).map(|()| json!("verifies"))),
            Err(error) => verdict(Err(error)),
        };
        assert_eq!(found, expected(case), "{case}");
    });
}

#[test]
fn credentials() {
    each("credentials.json", |case| {
        let authorization = texts(case, "authorization");
        let macaroon = texts(case, "macaroon");
        let read = Credential::read(
            authorization.iter().map(|line| line.as_bytes()),
            macaroon.iter().map(|line| line.as_bytes()),
        );
        let parts = |credential: Credential| {
            let scheme = match credential.scheme() {
                Scheme::L402 => "L402",
                Scheme::Lsat => "LSAT",
                Scheme::MacaroonHeader => "macaroon header",
            };
            let token = STANDARD.encode(credential.macaroon().as_bytes());
            json!({ "scheme": scheme, "token": token, "preimage": credential.preimage().reveal_hex() })
        };
        let found = verdict(read.map(|credential| credential.map_or(Value::Null, parts)));
        assert_eq!(found, expected(case), "{case}");
    });
}

#[test]
fn challenges() {
    each("challenges.json", |case| {
        let lines = texts(case, "www_authenticate");
        let offers = read_challenges(lines.iter().map(|line| line.as_bytes())).into_iter().map(|offer| {
            verdict(offer.map(|offer| {
                let token = STANDARD.encode(offer.token.as_bytes());
                json!({ "scheme": offer.scheme.as_str(), "token": token, "invoice": offer.invoice })
            }))
        });
        assert_eq!(offers.collect::<Value>(), case["challenges"], "{case}");
    });
}

#[test]
fn clearing() {
    each("clearing.json", |case| {
        let names: Vec<Name> =
            texts(case, "services").into_iter().map(|name| name.try_into().unwrap()).collect();
        let service = names[0].clone();
        let unknown = match text(case, "unknown_caveats") {
            "refuse" => UnknownCaveats::Refuse,
            _ => UnknownCaveats::Skip,
        };
        let builder = Satisfiers::builder(service.clone()).namespaces(names).unknown(unknown);
        let satisfiers =
            case["constraints"].as_array().unwrap().iter().fold(builder, |builder, constraint| {
                let part = |at: usize| constraint[at].as_str().unwrap();
                builder.constraint(part(0).try_into().unwrap(), part(1))
            });
        let access = Access {
            service: service.as_str(),
            tier: case["tier"].as_u64().unwrap(),
            capability: case["capability"].as_str(),
            method: "GET",
            path: "/",
            client: None,
            now: case["now"].as_u64().unwrap(),
        };
        let token = crate::scene::token(&texts(case, "caveats"));
        let line = authorization_value(OfferScheme::L402, &token, &preimage());
        let credential =
            Credential::read([line.as_bytes()].into_iter(), std::iter::empty()).unwrap().unwrap();
        let token = verify(credential, &OneKey).unwrap();
        let permit = clear(&token, &satisfiers.build(), &access).map(
            |permit| json!({ "expires_at": permit.expires_at(), "unknown_caveats": permit.unknown_caveats() }),
        );
        assert_eq!(verdict(permit), expected(case), "{case}");
    });
}
