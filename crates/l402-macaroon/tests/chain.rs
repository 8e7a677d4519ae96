//! The chain against values that other libraries publish, and against its definition.

use hmac::{Hmac, KeyInit, Mac};
use l402_macaroon::{LimitError, Limits, Macaroon, MacaroonRef, RootKey, VerifyError};
use proptest::prelude::*;
use sha2::Sha256;

fn signature(token: &Macaroon) -> String {
    hex::encode(token.view().signature())
}

/// Source: the README of libmacaroons.
#[test]
fn the_signatures_of_the_libmacaroons_readme_come_out() {
    let key = RootKey::from_secret(b"this is our super secret key; only we should know it");
    let token = Macaroon::mint(&key, "http://mybank/", b"we used our secret key", [""; 0]).unwrap();
    assert_eq!(signature(&token), "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f");

    let token = token.attenuate(b"test = caveat").unwrap();
    assert_eq!(signature(&token), "197bac7a044af33332865b9266e26d493bdd668a660e44d88ce1a998c23dbd67");
    assert_eq!(token.view().verify(&key), Ok(()));
}

/// Source: the version 2 test of pymacaroons (serialised with key `this is the key`).
#[test]
fn the_version_2_bytes_of_pymacaroons_come_out() {
    let key = RootKey::from_secret(b"this is the key");
    let caveats = ["account = 3735928559", "user = alice"];
    let token = Macaroon::mint(&key, "http://example.org/", b"keyid", caveats).unwrap();
    let expected = concat!(
        "020113687474703a2f2f6578616d706c652e6f72672f02056b657969640002146163636f756e74203d20333733353932",
        "3835353900020c75736572203d20616c696365000006204be967cd1ea0c6b26baf6a4a94ee9b05b15886da0ba85e8c42",
        "a93c8d0e125efc",
    );
    assert_eq!(hex::encode(token.as_bytes()), expected);
    assert_eq!(token.view().verify(&key), Ok(()));
}

#[test]
fn another_key_or_a_missing_caveat_breaks_the_signature() {
    let (key, other) = (RootKey::from_bytes([1; 32]), RootKey::from_bytes([2; 32]));
    let plain = Macaroon::mint(&key, "", b"id", [""; 0]).unwrap();
    let restricted = plain.attenuate(b"a=b").unwrap();
    assert_eq!(restricted.view().verify(&other), Err(VerifyError::Signature));

    let signature_at = plain.as_bytes().len() - 32;
    let mut stripped = plain.as_bytes().to_vec();
    stripped[signature_at..].copy_from_slice(restricted.view().signature());
    let stripped = Macaroon::parse(stripped, &Limits::default()).unwrap();
    assert_eq!(stripped.view().verify(&key), Err(VerifyError::Signature));
}

#[test]
fn the_location_is_not_signed() {
    let key = RootKey::from_bytes([1; 32]);
    let here = Macaroon::mint(&key, "here", b"id", ["a=b"]).unwrap();
    let there = Macaroon::mint(&key, "there", b"id", ["a=b"]).unwrap();
    assert_eq!(here.view().signature(), there.view().signature());
    assert_ne!(here, there);
}

#[test]
fn a_third_party_caveat_is_refused_by_name_even_with_the_right_signature() {
    let secret = [5; 32];
    let mac = |key: &[u8], message: &[u8]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().into()
    };
    let start = mac(&mac(b"macaroons-key-generator", &secret), b"id");
    let both = [mac(&start, b"vid"), mac(&start, b"cid")].concat();
    let end = mac(&start, &both);
    let bytes = [&b"\x02\x02\x02id\x00\x01\x04home\x02\x03cid\x04\x03vid\x00\x00\x06\x20"[..], &end].concat();

    let token = Macaroon::parse(bytes, &Limits::default()).unwrap();
    let caveat = token.view().caveats().next().unwrap();
    assert_eq!((caveat.verification_id, caveat.location), (Some(&b"vid"[..]), Some(&b"home"[..])));
    assert_eq!(token.view().verify(&RootKey::from_bytes(secret)), Err(VerifyError::ThirdParty));

    // Attenuating it goes on from its signature and keeps the caveat as it was.
    let narrower = token.attenuate(b"x=y").unwrap();
    assert_eq!(narrower.view().signature(), &mac(&end, b"x=y"));
    assert_eq!(narrower.view().caveats().next(), Some(caveat));
}

#[test]
fn nothing_is_minted_or_attenuated_beyond_the_limits() {
    let key = RootKey::from_bytes([1; 32]);
    let mint = |identifier: usize, caveats: Vec<String>| {
        Macaroon::mint(&key, "", &vec![0; identifier], caveats).map(|token| token.as_bytes().len())
    };
    assert_eq!(mint(4056, vec![]), Ok(4096));
    assert_eq!(mint(4057, vec![]), Err(LimitError::Token));
    assert_eq!(mint(1, vec!["a".repeat(513)]), Err(LimitError::Caveat));
    assert_eq!(mint(1, vec!["a".to_owned(); 33]), Err(LimitError::Caveats));

    let full = Macaroon::mint(&key, "", b"i", vec!["a"; 32]).unwrap();
    assert_eq!(full.attenuate(b"b").unwrap_err(), LimitError::Caveats);
    let long = Macaroon::mint(&key, "", b"i", vec!["a".repeat(512)]).unwrap();
    assert_eq!(long.attenuate(&[b'b'; 513]).unwrap_err(), LimitError::Caveat);
}

#[test]
fn no_secret_is_in_debug_output() {
    let key = RootKey::from_bytes([0xab; 32]);
    let token = Macaroon::mint(&key, "home", b"id", ["preimage=c0ffee"]).unwrap();
    let text = format!("{key:?} {token:?} {:?}", token.view());
    assert!(text.contains("RootKey(..)") && text.contains("home"), "{text}");
    assert!(!text.contains("c0ffee") && !text.contains("171"), "{text}");
}

proptest! {
    #[test]
    fn minting_attenuating_and_reading_agree(
        secret: [u8; 32],
        location in "[ -~]{0,40}",
        identifier in prop::collection::vec(any::<u8>(), 0..200),
        minted in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
        added in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
    ) {
        let key = RootKey::from_bytes(secret);
        let all: Vec<_> = minted.iter().chain(&added).cloned().collect();
        let whole = Macaroon::mint(&key, &location, &identifier, &all).unwrap();
        let mut token = Macaroon::mint(&key, &location, &identifier, &minted).unwrap();
        for caveat in &added {
            token = token.attenuate(caveat).unwrap();
        }
        prop_assert_eq!(&token, &whole);

        let lens = all.iter().map(Vec::len);
        prop_assert_eq!(token.as_bytes().len(), Macaroon::encoded_len(&location, identifier.len(), lens));
        let view = MacaroonRef::parse(token.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(view.verify(&key), Ok(()));
        prop_assert_eq!(view.location(), location.as_bytes());
        prop_assert_eq!(view.identifier(), &identifier[..]);
        prop_assert_eq!(view.caveat_count(), all.len());
        let read: Vec<Vec<u8>> = view.caveats().map(|caveat| caveat.identifier.to_vec()).collect();
        prop_assert_eq!(read, all);
        prop_assert_eq!(view.to_owned(), token);
    }
}
