//! Tokens: what every macaroon library makes of the same key, identifier and caveats.

use crate::{identifier, random::Random};
use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{Macaroon, RootKey};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct MacaroonCase {
    name: String,
    /// Hexadecimal, of any length; what goes into the `macaroons-key-generator` step.
    root_key: String,
    location: String,
    identifier: String,
    caveats: Vec<String>,
    token: String,
    signature: String,
}

pub(crate) fn cases() -> Vec<MacaroonCase> {
    let standard = [
        "services=weather:0",
        "weather_capabilities=",
        "weather_region=eu",
        "weather_valid_until=1700003600",
    ];
    let id = identifier().to_bytes();
    let mut random = Random(10);
    let key: [u8; 32] = random.bytes();
    let readme = b"this is our super secret key; only we should know it";
    let mut cases = vec![
        case("libmacaroons readme", readme, "http://mybank/", b"we used our secret key", &["test = caveat"]),
        case("no caveats", &key, "lsat", &id, &[]),
        case("no location", &key, "", &id, &["services=weather:0"]),
        case("as minted", &key, "lsat", &id, &standard),
        case("the same caveat twice", &key, "lsat", &id, &["a=b", "a=b"]),
        case("text beyond ASCII", &key, "lsat", &id, &["a=\u{e9}\u{4e2d}\u{1f600}"]),
        case("a short secret", b"k", "lsat", &id, &standard),
        case("a secret of a block", &[7; 64], "lsat", &id, &standard),
    ];
    // Lengths around the steps of the varint and of the hash function's blocks.
    for len in [1, 54, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 300, 512] {
        let caveat = format!("a={}", random.text(510))[..len].to_owned();
        cases.push(case(&format!("a caveat of {len} bytes"), &random.bytes::<32>(), "lsat", &id, &[&caveat]));
        let identifier = random.text(len);
        let name = format!("an identifier of {len} bytes");
        cases.push(case(&name, &random.bytes::<32>(), "", identifier.as_bytes(), &["a=b"]));
    }
    for at in 0..20 {
        let mut identifier = id;
        identifier[2..].copy_from_slice(&random.bytes::<64>());
        let caveats: Vec<String> = (0..random.below(9))
            .map(|_| {
                let (condition, value) = (1 + random.below(20), random.below(60));
                format!("{}={}", random.text(condition), random.text(value))
            })
            .collect();
        let caveats: Vec<&str> = caveats.iter().map(String::as_str).collect();
        cases.push(case(&format!("random {at}"), &random.bytes::<32>(), "lsat", &identifier, &caveats));
    }
    cases
}

fn case(name: &str, secret: &[u8], location: &str, identifier: &[u8], caveats: &[&str]) -> MacaroonCase {
    let key = RootKey::from_secret(secret);
    let token = Macaroon::mint(&key, location, identifier, caveats).expect("within the limits");
    let step_by_step = Macaroon::mint(&key, location, identifier, [""; 0]).expect("within the limits");
    let step_by_step = caveats
        .iter()
        .fold(step_by_step, |token, caveat| token.attenuate(caveat.as_bytes()).expect("within the limits"));
    assert_eq!(token, step_by_step, "{name}");
    MacaroonCase {
        name: name.to_owned(),
        root_key: hex::encode(secret),
        location: location.to_owned(),
        identifier: hex::encode(identifier),
        caveats: caveats.iter().map(ToString::to_string).collect(),
        token: STANDARD.encode(token.as_bytes()),
        signature: hex::encode(token.view().signature()),
    }
}
