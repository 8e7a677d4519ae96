//! Identifiers, preimages, and the derivation of root keys.

use crate::{Verdict, random::Random};
use hkdf::Hkdf;
use l402::{Identifier, IdentifierError, PaymentHash, Preimage, TokenId};
use serde::Serialize;
use sha2::Sha256;

const SALT: &str = "l402/root-key/v1";

#[derive(Serialize)]
pub(crate) struct IdentifierCase {
    name: String,
    identifier: String,
    #[serde(flatten)]
    verdict: Verdict<IdentifierParts>,
}

#[derive(Serialize)]
struct IdentifierParts {
    version: u16,
    payment_hash: String,
    token_id: String,
    epoch: String,
}

#[derive(Serialize)]
pub(crate) struct PreimageCase {
    preimage: String,
    payment_hash: String,
}

#[derive(Serialize)]
pub(crate) struct RootKeyCase {
    master: String,
    salt: &'static str,
    identifier: String,
    root_key: String,
}

pub(crate) fn identifiers() -> Vec<IdentifierCase> {
    let mut random = Random(1);
    let good = Identifier {
        payment_hash: PaymentHash::from_bytes(random.bytes()),
        token_id: TokenId::from_bytes(random.bytes()),
    };
    let good = good.to_bytes().to_vec();
    let version = |high, low| [&[high, low], &good[2..]].concat();
    let length = Some(IdentifierError::Length);
    let cases = [
        ("version 0", good.clone(), None),
        ("zeros", vec![0; 66], None),
        ("version 1", version(0, 1), Some(IdentifierError::Version(1))),
        ("version 1 in the other byte order", version(1, 0), Some(IdentifierError::Version(256))),
        ("a byte missing", good[..65].to_vec(), length),
        ("a byte too many", [&good[..], &[0]].concat(), length),
        ("without version", good[2..].to_vec(), length),
        ("empty", vec![], length),
    ];
    let case = |(name, bytes, expected): (&str, Vec<u8>, _)| {
        let parsed = Identifier::parse(&bytes);
        assert_eq!(parsed.err(), expected, "{name}");
        let parts = parsed.map(|identifier| IdentifierParts {
            version: 0,
            payment_hash: identifier.payment_hash.to_string(),
            token_id: identifier.token_id.to_string(),
            epoch: identifier.token_id.epoch().to_string(),
        });
        IdentifierCase { name: name.to_owned(), identifier: hex::encode(bytes), verdict: Verdict::of(parts) }
    };
    cases.map(case).into()
}

pub(crate) fn preimages() -> Vec<PreimageCase> {
    let mut random = Random(2);
    let chosen = [[0; 32], [0xff; 32]].into_iter().chain((0..6).map(|_| random.bytes()));
    let case = |bytes| {
        let preimage = Preimage::from_bytes(bytes);
        PreimageCase { preimage: preimage.reveal_hex(), payment_hash: preimage.payment_hash().to_string() }
    };
    chosen.map(case).collect()
}

/// HKDF-SHA256 (RFC 5869) over the master key of the identifier's epoch: the salt is fixed, the 66 bytes of the
/// identifier are the info, and one block of output is the key.
pub(crate) fn root_keys() -> Vec<RootKeyCase> {
    let mut random = Random(3);
    let case = |_| {
        let master: [u8; 32] = random.bytes();
        let identifier = Identifier {
            payment_hash: PaymentHash::from_bytes(random.bytes()),
            token_id: TokenId::from_bytes(random.bytes()),
        };
        let mut root_key = [0; 32];
        let derivation = Hkdf::<Sha256>::new(Some(SALT.as_bytes()), &master);
        derivation.expand(&identifier.to_bytes(), &mut root_key).expect("one block");
        RootKeyCase {
            master: hex::encode(master),
            salt: SALT,
            identifier: hex::encode(identifier.to_bytes()),
            root_key: hex::encode(root_key),
        }
    };
    (0..8).map(case).collect()
}
