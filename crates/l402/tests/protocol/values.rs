//! The small types: names, hashes, identifiers, caveats.

use l402::{Caveat, CaveatError, EpochId, Identifier, IdentifierError, Name, PaymentHash, Preimage, TokenId};
use proptest::prelude::*;

#[test]
fn a_name_is_what_its_grammar_says() {
    let longest = "a".repeat(64);
    for good in ["a", "0", "weather", "a-b_c", "9_", longest.as_str()] {
        assert_eq!(good.parse::<Name>().map(|name| name.to_string()).as_deref(), Ok(good));
    }
    let too_long = "a".repeat(65);
    for bad in ["", "-a", "_a", "A", "a.b", "a b", "a:0", "a,b", "a=b", "é", "a\n", "a\0", too_long.as_str()]
    {
        assert!(bad.parse::<Name>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_preimage_hashes_to_its_payment_hash() {
    // SHA-256 of 32 zero bytes.
    let hash = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(Preimage::from_bytes([0; 32]).payment_hash().to_string(), hash);
    assert_eq!(hash.to_uppercase().parse::<PaymentHash>().unwrap().to_string(), hash);
}

#[test]
fn secrets_print_as_dots() {
    let preimage = Preimage::from_bytes([0xab; 32]);
    assert_eq!(format!("{preimage:?}"), "Preimage(..)");
    assert_eq!(preimage.reveal_hex(), "ab".repeat(32));
}

#[test]
fn hex_of_another_length_or_alphabet_is_refused() {
    let digits = "ab".repeat(32);
    assert!(Preimage::from_hex(digits.as_bytes()).is_ok());
    assert!(Preimage::from_hex(digits.to_uppercase().as_bytes()).is_ok());
    for bad in [&digits[1..], &digits[2..], "", &format!("{digits}ab"), &digits.replace('b', "g")] {
        assert!(Preimage::from_hex(bad.as_bytes()).is_err(), "{bad}");
    }
    for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_hexdigit()) {
        for at in [0, 1] {
            let mut text = digits.clone().into_bytes();
            text[at] = byte;
            assert!(Preimage::from_hex(&text).is_err(), "{byte:#x}");
        }
    }
}

#[test]
fn an_identifier_of_another_length_or_version_is_refused() {
    let bytes = [0; 66];
    assert!(Identifier::parse(&bytes).is_ok());
    assert_eq!(Identifier::parse(&bytes[1..]), Err(IdentifierError::Length));
    assert_eq!(Identifier::parse(&[0; 67]), Err(IdentifierError::Length));
    assert_eq!(Identifier::parse(b""), Err(IdentifierError::Length));
    for (at, version) in [(0, 256), (1, 1)] {
        let mut other = bytes;
        other[at] = 1;
        assert_eq!(Identifier::parse(&other), Err(IdentifierError::Version(version)));
    }
}

#[test]
fn the_epoch_is_the_first_four_bytes_of_the_token_id() {
    let id: TokenId = format!("0a0b0c0d{}", "ff".repeat(28)).parse().unwrap();
    assert_eq!(id.epoch(), EpochId([10, 11, 12, 13]));
    assert_eq!(id.epoch().to_string(), "0a0b0c0d");
    assert_eq!("0A0B0C0D".parse(), Ok(id.epoch()));
}

#[test]
fn a_caveat_splits_at_its_first_equals_sign() {
    let read =
        |text: &'static str| Caveat::parse(text.as_bytes()).map(|caveat| (caveat.condition, caveat.value));
    assert_eq!(read("a=b"), Ok(("a", "b")));
    assert_eq!(read("a=b=c"), Ok(("a", "b=c")));
    assert_eq!(read("a="), Ok(("a", "")));
    assert_eq!(read("a"), Err(CaveatError::NoSeparator));
    assert_eq!(read(""), Err(CaveatError::NoSeparator));
    assert_eq!(read("A b"), Err(CaveatError::NoSeparator));
    for bad in ["=b", "A=b", "a b=c", " a=b", "a =b", "_a=b", "a.b=c", "ä=b"] {
        assert_eq!(read(bad), Err(CaveatError::Condition), "{bad}");
    }
    assert_eq!(Caveat::parse(b"a=\xff"), Err(CaveatError::NotUtf8));
    let condition = "a".repeat(129);
    assert!(Caveat::parse(format!("{condition}=").as_bytes()).is_ok());
    assert_eq!(Caveat::parse(format!("{condition}a=").as_bytes()), Err(CaveatError::Condition));
}

proptest! {
    #[test]
    fn an_identifier_survives_its_bytes(payment_hash: [u8; 32], token_id: [u8; 32]) {
        let identifier = Identifier {
            payment_hash: PaymentHash::from_bytes(payment_hash),
            token_id: TokenId::from_bytes(token_id),
        };
        prop_assert_eq!(Identifier::parse(&identifier.to_bytes()), Ok(identifier));
        prop_assert_eq!(identifier.token_id.to_string().parse(), Ok(identifier.token_id));
        prop_assert_eq!(identifier.payment_hash.to_string().parse(), Ok(identifier.payment_hash));
    }
}
