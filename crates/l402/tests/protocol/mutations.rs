//! A valid credential, mutated a million times: whatever still passes means exactly the same.

use crate::scene::{OneKey, access, identifier, name, preimage, satisfiers, token};
use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{Credential, MacaroonRef, OfferScheme, Permit, VerifiedToken, authorization_value, clear, verify};

/// Of the header's text, and as many again of the token's bytes.
const MUTATIONS: u64 = 500_000;

/// `SplitMix64`: fast, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One to three changes: a bit, a byte, a byte more or less, a part repeated, moved or cut off.
    fn mutate(&mut self, text: &mut Vec<u8>, alphabet: &[u8]) {
        for _change in 0..=self.below(3) {
            if text.is_empty() {
                return;
            }
            let (at, other) = (self.below(text.len()), self.below(text.len()));
            let (start, end) = (at.min(other), at.max(other));
            let letter = alphabet[self.below(alphabet.len())];
            match self.below(9) {
                0 => text[at] ^= 1 << self.below(8),
                1 => text[at] = self.byte(),
                2 => text[at] = letter,
                3 => text.insert(at, letter),
                4 => drop(text.remove(at)),
                5 => text.swap(at, other),
                6 => text.extend_from_within(start..end.min(start + 40)),
                7 => text.truncate(at),
                _ => drop(text.drain(start..end.min(start + 8))),
            }
        }
    }
}

/// The whole path from header text to permit.
fn pass(line: &[u8]) -> Option<(VerifiedToken, Permit)> {
    let credential = Credential::read([line].into_iter(), std::iter::empty()).ok()??;
    let presented = credential.preimage().reveal_hex();
    let token = verify(credential, &OneKey).ok()?;
    assert_eq!(presented, preimage().reveal_hex());
    let satisfiers = satisfiers().constraint(name("region"), "eu").build();
    let permit = clear(&token, &satisfiers, &access()).ok()?;
    Some((token, permit))
}

/// Everything that is signed. The location is not: no rule looks at it.
fn meaning(token: MacaroonRef<'_>) -> (Vec<u8>, Vec<Vec<u8>>, [u8; 32]) {
    let caveats = token.caveats().map(|caveat| caveat.identifier.to_vec()).collect();
    (token.identifier().to_vec(), caveats, *token.signature())
}

fn assert_same_meaning(line: &[u8]) -> bool {
    let Some((passed, permit)) = pass(line) else { return false };
    assert_eq!(meaning(passed.macaroon()), meaning(sample().view()), "{}", line.escape_ascii());
    assert_eq!(permit.token_id(), identifier().token_id);
    true
}

fn sample() -> l402::Macaroon {
    token(&[
        "services=weather:0",
        "weather_capabilities=",
        "weather_region=eu",
        "weather_valid_until=1700003600",
    ])
}

#[test]
fn no_mutated_header_text_passes_with_another_meaning() {
    let line = authorization_value(OfferScheme::L402, &sample(), &preimage()).into_bytes();
    assert!(assert_same_meaning(&line), "the unchanged line has to pass");
    let alphabet = b"ABab09+/-_=:, \t\"\\LSAT402l";
    let (mut random, mut passed) = (Random(402), 0);
    for _mutation in 0..MUTATIONS {
        let mut mutated = line.clone();
        random.mutate(&mut mutated, alphabet);
        passed += u64::from(assert_same_meaning(&mutated));
    }
    // Case of the scheme and of hexadecimal digits, blanks, padding, and changes undone.
    assert!(passed < MUTATIONS / 10, "{passed} mutations changed nothing");
}

#[test]
fn no_mutated_token_passes_with_another_meaning() {
    let sample = sample();
    let alphabet = b"\x00\x01\x02\x04\x06\x20\x42\x80\xff,:=_0aws";
    let (mut random, mut passed) = (Random(403), 0);
    for _mutation in 0..MUTATIONS {
        let mut mutated = sample.as_bytes().to_vec();
        random.mutate(&mut mutated, alphabet);
        let line = format!("L402 {}:{}", STANDARD.encode(mutated), preimage().reveal_hex());
        passed += u64::from(assert_same_meaning(line.as_bytes()));
    }
    assert!(passed < MUTATIONS / 10, "{passed} mutations changed nothing");
}

#[test]
fn every_single_bit_counts() {
    let sample = sample();
    let location = 3..7;
    for bit in 0..sample.as_bytes().len() * 8 {
        let mut mutated = sample.as_bytes().to_vec();
        mutated[bit / 8] ^= 1 << (bit % 8);
        let line = format!("L402 {}:{}", STANDARD.encode(mutated), preimage().reveal_hex());
        let has_passed = assert_same_meaning(line.as_bytes());
        // Any text is as good a location, and with the highest bit alone it is no text.
        let is_other_location = location.contains(&(bit / 8)) && bit % 8 != 7;
        assert_eq!(has_passed, is_other_location, "bit {bit}");
    }
}
