//! Every token has one spelling, and nothing else is read.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use l402_macaroon::{CaveatRef, DecodeError, LimitError, Limits, Macaroon, MacaroonRef, RootKey};
use proptest::prelude::*;

/// `02, identifier "id", EOS, EOS, signature`: the smallest token, in pieces that a test can exchange.
fn token(pieces: &[&[u8]]) -> Vec<u8> {
    [&[2][..], &pieces.concat(), &SIGNATURE].concat()
}

const ID: &[u8] = b"\x02\x02id";
const EOS: &[u8] = b"\x00";
const SIGNATURE: [u8; 34] = {
    let mut field = [9; 34];
    field[0] = 6;
    field[1] = 32;
    field
};

fn fault(bytes: &[u8]) -> DecodeError {
    MacaroonRef::parse(bytes, &Limits::default()).unwrap_err()
}

#[test]
fn the_smallest_token_is_read() {
    let bytes = token(&[ID, EOS, EOS]);
    let view = MacaroonRef::parse(&bytes, &Limits::default()).unwrap();
    assert_eq!((view.location(), view.identifier()), (&b""[..], &b"id"[..]));
    assert_eq!((view.caveat_count(), view.signature()), (0, &[9; 32]));
}

#[test]
fn each_departure_from_the_format_is_refused_by_name() {
    let cases: &[(&str, &[&[u8]], DecodeError)] = &[
        ("no identifier", &[EOS, EOS], DecodeError::Field(0)),
        ("empty location", &[b"\x01\x00", ID, EOS, EOS], DecodeError::EmptyField(1)),
        ("location not UTF-8", &[b"\x01\x02a\xff", ID, EOS, EOS], DecodeError::LocationText),
        ("location twice", &[b"\x01\x01a\x01\x01b", ID, EOS, EOS], DecodeError::Field(1)),
        ("location after identifier", &[ID, b"\x01\x01a", EOS, EOS], DecodeError::Field(1)),
        ("identifier twice", &[ID, ID, EOS, EOS], DecodeError::Field(2)),
        ("vid in the header", &[ID, b"\x04\x01v", EOS, EOS], DecodeError::Field(4)),
        ("header without end", &[ID], DecodeError::Field(6)),
        ("caveats without end", &[ID, EOS, b"\x02\x01c", EOS], DecodeError::Field(6)),
        ("unknown field", &[ID, b"\x03\x01x", EOS, EOS], DecodeError::Field(3)),
        ("unknown field in a caveat", &[ID, EOS, b"\x02\x01c\x05\x01x", EOS, EOS], DecodeError::Field(5)),
        ("tag of two bytes", &[b"\x82\x00\x02id", EOS, EOS], DecodeError::Field(0x82)),
        ("empty vid", &[ID, EOS, b"\x02\x01c\x04\x00", EOS, EOS], DecodeError::EmptyField(4)),
        (
            "location in a first-party caveat",
            &[ID, EOS, b"\x01\x01l\x02\x01c", EOS, EOS],
            DecodeError::FirstPartyLocation,
        ),
        ("length in two bytes where one would do", &[b"\x02\x82\x00id", EOS, EOS], DecodeError::Varint),
        (
            "length beyond any",
            &[b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", EOS, EOS],
            DecodeError::Varint,
        ),
        (
            "length without end",
            &[b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", EOS],
            DecodeError::Varint,
        ),
        ("length beyond the token", &[b"\x02\x7fid", EOS, EOS], DecodeError::Truncated),
        ("version 1", &[], DecodeError::Field(6)),
    ];
    for (name, pieces, expected) in cases {
        assert_eq!(fault(&token(pieces)), *expected, "{name}");
    }
    assert_eq!(fault(b""), DecodeError::Truncated);
    assert_eq!(fault(b"0019location "), DecodeError::Version(b'0'));
    assert_eq!(fault(b"{\"v\":2}"), DecodeError::Version(b'{'));
    assert_eq!(fault(&[&token(&[ID, EOS, EOS])[..], b"\n"].concat()), DecodeError::Trailing);
    let short_signature = [b"\x02", ID, EOS, EOS, b"\x06\x1f", &[9; 31]].concat();
    assert_eq!(fault(&short_signature), DecodeError::SignatureLength);
}

#[test]
fn a_token_cut_anywhere_is_refused() {
    let bytes = token(&[b"\x01\x01l", ID, EOS, b"\x02\x03a=b", EOS, EOS]);
    for end in 0..bytes.len() {
        assert_eq!(fault(&bytes[..end]), DecodeError::Truncated, "cut at {end}");
    }
}

#[test]
fn limits_come_before_the_rest_and_include_their_value() {
    let limits = Limits { token_bytes: 60, caveats: 2, caveat_bytes: 3 };
    let read = |bytes: &[u8]| MacaroonRef::parse(bytes, &limits).map(|token| token.caveat_count());
    let caveat: &[u8] = b"\x02\x03a=b\x00";
    assert_eq!(read(&token(&[ID, EOS, caveat, caveat, EOS])), Ok(2));
    assert_eq!(
        read(&token(&[ID, EOS, caveat, caveat, b"\x02\x00\x00", EOS])),
        Err(LimitError::Caveats.into())
    );
    assert_eq!(read(&token(&[ID, EOS, b"\x02\x04a=bc", EOS, EOS])), Err(LimitError::Caveat.into()));
    let third_party: &[u8] = b"\x01\x01l\x02\x02cc\x04\x01v\x00";
    assert_eq!(read(&token(&[ID, EOS, third_party, EOS])), Err(LimitError::Caveat.into()));
    assert_eq!(read(&[0; 61]), Err(LimitError::Token.into()));
}

/// Tokens of every form the format has, put together by hand.
fn any_token() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |len: std::ops::Range<usize>| prop::collection::vec(any::<u8>(), len);
    let third_party = prop::option::of((bytes(1..150), prop::option::of("\\PC{1,40}")));
    let caveats = prop::collection::vec((bytes(0..200), third_party), 0..4);
    ("\\PC{0,40}", bytes(0..300), caveats, any::<[u8; 32]>()).prop_map(
        |(location, id, caveats, signature)| {
            let optional = |tag, bytes: &[u8]| if bytes.is_empty() { vec![] } else { field(tag, bytes) };
            let mut token = [vec![2], optional(1, location.as_bytes()), field(2, &id), vec![0]].concat();
            for (id, third_party) in caveats {
                let (vid, location) = third_party.unwrap_or_default();
                token.extend(
                    [optional(1, location.unwrap_or_default().as_bytes()), field(2, &id), optional(4, &vid)]
                        .concat(),
                );
                token.push(0);
            }
            token.push(0);
            [token, field(6, &signature)].concat()
        },
    )
}

/// A token written anew from what a view says about it.
fn rewritten(view: &MacaroonRef<'_>) -> Vec<u8> {
    let optional = |tag, bytes: Option<&[u8]>| bytes.map_or(vec![], |bytes| field(tag, bytes));
    let location = Some(view.location()).filter(|location| !location.is_empty());
    let mut out = [vec![2], optional(1, location), field(2, view.identifier()), vec![0]].concat();
    for CaveatRef { identifier, verification_id, location } in view.caveats() {
        out.extend(
            [optional(1, location), field(2, identifier), optional(4, verification_id), vec![0]].concat(),
        );
    }
    [out, vec![0], field(6, view.signature())].concat()
}

/// A field of less than 2^14 bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(bytes.len() << 1).unwrap().to_be_bytes();
    let len = if high == 0 { vec![low >> 1] } else { vec![low >> 1 | 0x80, high] };
    [&[tag][..], &len, bytes].concat()
}

proptest! {
    #[test]
    fn what_is_read_is_what_would_be_written(bytes in any_token()) {
        let view = MacaroonRef::parse(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(rewritten(&view), bytes);
    }

    #[test]
    fn a_mutated_token_is_refused_or_written_as_it_came(
        bytes in any_token(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(view) = MacaroonRef::parse(&bytes, &Limits::default()) {
            prop_assert_eq!(rewritten(&view), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut marked = bytes;
        marked.insert(0, 2);
        let _ = MacaroonRef::parse(&marked, &Limits::default());
    }

    #[test]
    fn one_flipped_bit_never_verifies(flip: prop::sample::Index) {
        let key = RootKey::from_bytes([1; 32]);
        let token = Macaroon::mint(&key, "", b"identifier", ["services=a:0", "a_valid_until=1"]).unwrap();
        let mut bytes = token.as_bytes().to_vec();
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verifies = MacaroonRef::parse(&bytes, &Limits::default()).is_ok_and(|view| view.verify(&key).is_ok());
        prop_assert!(!verifies);
    }
}
