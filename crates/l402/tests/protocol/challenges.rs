//! Challenges: the one spelling that is written, and all that are read.

use crate::scene::{identifier, token};
use base64::{Engine, engine::general_purpose as b64};
use l402::{
    Challenge, ChallengeError, DecodeError, IdentifierError, LimitError, Macaroon, Offer, OfferScheme,
    read_challenges,
};
use proptest::prelude::*;

const INVOICE: &str = "lnbcrt100n1pexample";

/// A token whose base64 has both characters in which the alphabets differ, and padding.
fn sample() -> Macaroon {
    let token = token(&["services=weather:0", "note=~~~???", "x=a"]);
    let text = b64::STANDARD.encode(token.as_bytes());
    assert!(text.contains('+') && text.contains('/') && text.ends_with('='), "{text}");
    token
}

fn text() -> String {
    b64::STANDARD.encode(sample().as_bytes())
}

fn read(lines: &[&str]) -> Vec<Result<Offer, ChallengeError>> {
    read_challenges(lines.iter().map(|line| line.as_bytes()))
}

fn offer(scheme: OfferScheme) -> Offer {
    Offer { scheme, token: sample(), identifier: identifier(), invoice: INVOICE.to_owned() }
}

#[test]
fn one_spelling_is_written() {
    let (t, challenge) = (text(), Challenge { token: sample(), invoice: INVOICE.to_owned() });
    assert_eq!(
        challenge.l402_value(),
        format!(r#"L402 macaroon="{t}", invoice="{INVOICE}", token="{t}", version="0""#)
    );
    assert_eq!(challenge.lsat_value(), format!(r#"LSAT macaroon="{t}", invoice="{INVOICE}""#));
    let lines = [challenge.lsat_value(), challenge.l402_value()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(read(&lines), [Ok(offer(OfferScheme::Lsat)), Ok(offer(OfferScheme::L402))]);
}

#[test]
fn every_spelling_in_use_is_read() {
    let t = text();
    let url_safe = b64::URL_SAFE_NO_PAD.encode(sample().as_bytes());
    let i = INVOICE;
    let spellings = [
        format!(r#"L402 macaroon="{t}", invoice="{i}""#),
        format!(r#"L402 version="0", token="{t}", invoice="{i}""#),
        format!(r#"L402 version="0", macaroon="{t}", invoice="{i}""#),
        format!(r#"L402 macaroon="{t}", invoice="{i}", token="{t}", version="0""#),
        format!(r#"L402 token="{t}", macaroon="{t}", invoice="{i}", version=0"#),
        format!("L402 macaroon={t}, invoice={i}"),
        format!("L402 invoice={i},token={t}"),
        format!(r#"L402 invoice="{i}", macaroon="{t}""#),
        format!(r#"l402 MACAROON="{t}", Invoice="{i}""#),
        format!(r#"L402 macaroon="{t}",invoice="{i}""#),
        format!(r#"L402   macaroon = "{t}"  ,  invoice	=	"{i}"  "#),
        format!(r#"L402 macaroon="{url_safe}", invoice="{i}""#),
        format!(r#"L402 macaroon="{url_safe}", invoice="{i}", token="{t}""#),
        format!(r#"L402 macaroon="{}", invoice="{i}""#, t.trim_end_matches('=')),
        format!(r#"L402 macaroon="\{t}", invoice="{}\{}""#, &i[..4], &i[4..]),
        format!(r#"L402 realm="a, L402 b", macaroon="{t}", invoice="{i}", expires=later"#),
        format!(r#",L402 macaroon="{t}",, invoice="{i}",,"#),
        format!(r#"Basic realm="x", L402 macaroon="{t}", invoice="{i}""#),
        format!(r#"Negotiate, L402 macaroon="{t}", invoice="{i}""#),
        format!(r#"Negotiate YWJj==, L402 macaroon="{t}", invoice="{i}""#),
        format!(r#"L402 macaroon="{t}", invoice="{i}", Payment id="1", token="x""#),
        format!(r#"Digest qop=auth bad, L402 macaroon="{t}", invoice="{i}""#),
    ];
    for spelling in &spellings {
        assert_eq!(read(&[spelling]), [Ok(offer(OfferScheme::L402))], "{spelling}");
    }
}

#[test]
fn several_challenges_come_in_order() {
    let t = text();
    let (l402, lsat) = (Ok(offer(OfferScheme::L402)), Ok(offer(OfferScheme::Lsat)));
    let pair =
        format!(r#"LSAT macaroon="{t}", invoice="{INVOICE}", L402 macaroon="{t}", invoice="{INVOICE}""#);
    assert_eq!(read(&[&pair]), [lsat.clone(), l402.clone()]);
    let line = format!("L402 macaroon={t}, invoice={INVOICE}");
    assert_eq!(read(&["Basic realm=a", "", &line, &line]), [l402.clone(), l402.clone()]);
    assert_eq!(read(&["L402 realm=a", &line]), [Err(ChallengeError::NoOffer), l402]);
    assert_eq!(read(&["Basic realm=a", "Bearer", "", ", ,"]), []);
    assert_eq!(read(&[]), []);
}

#[test]
fn what_is_no_offer_is_refused_by_name() {
    use ChallengeError::{
        Base64, Invoice, InvoiceMissing, NoOffer, Repeated, Syntax, TokenMissing, TokensDiffer, Version,
    };
    let (t, i) = (text(), INVOICE);
    let other = b64::STANDARD.encode(token(&["services=maps:0"]).as_bytes());
    let short = Macaroon::mint(&crate::scene::key(), "", b"id", [""; 0]).unwrap();
    let short = b64::STANDARD.encode(short.as_bytes());
    let long = b64::STANDARD.encode([2; 4097]);
    let table: &[(String, ChallengeError)] = &[
        ("L402".to_owned(), NoOffer),
        (r#"L402 realm="weather""#.to_owned(), NoOffer),
        (format!("L402 {t}"), NoOffer),
        (format!(r#"L402 macaroon="{t}""#), InvoiceMissing),
        (format!(r#"L402 invoice="{i}""#), TokenMissing),
        (format!(r#"L402 macaroon="{t}", invoice="{i}", version="1""#), Version),
        (format!(r#"L402 macaroon="{t}", invoice="{i}", version=00"#), Version),
        (format!(r#"L402 macaroon="{t}", macaroon="{t}", invoice="{i}""#), Repeated),
        (format!(r#"L402 macaroon="{t}", invoice="{i}", INVOICE="{i}""#), Repeated),
        (format!(r#"L402 macaroon="{t}", token="{other}", invoice="{i}""#), TokensDiffer),
        (format!(r#"L402 macaroon="{t}", token="!", invoice="{i}""#), Base64),
        (format!(r#"L402 macaroon="{t}=", invoice="{i}""#), Base64),
        (format!(r#"L402 macaroon="{t}", invoice="""#), Invoice),
        (format!(r#"L402 macaroon="{t}", invoice="{i} x""#), Invoice),
        (format!(r#"L402 macaroon="{t}", invoice="lightning:{i}""#), Invoice),
        (format!(r#"L402 macaroon="{t}", invoice="{i}"#), Syntax),
        (format!(r#"L402 macaroon="{t}" invoice="{i}""#), Syntax),
        (format!(r#"L402 macaroon="{t}", invoice="{i}"x"#), Syntax),
        (format!(r#"L402 macaroon="{t}", invoice="{i}", ="x""#), Syntax),
        (format!(r#"L402 macaroon="{t}", invoice="{i}", realm="#), Syntax),
        (format!(r#"L402 macaroon="", invoice="{i}""#), ChallengeError::Token(DecodeError::Truncated)),
        (format!(r#"L402 token="{long}", invoice="{i}""#), ChallengeError::Token(LimitError::Token.into())),
        (
            format!(r#"L402 token="{short}", invoice="{i}""#),
            ChallengeError::Identifier(IdentifierError::Length),
        ),
    ];
    for (line, expected) in table {
        assert_eq!(read(&[line]), [Err(*expected)], "{line}");
    }
}

#[test]
fn a_fault_in_one_challenge_does_not_hide_the_next() {
    let t = text();
    let line = format!(r#"L402 macaroon="x" y, L402 macaroon="{t}", invoice="{INVOICE}""#);
    assert_eq!(read(&[&line]), [Err(ChallengeError::Syntax), Ok(offer(OfferScheme::L402))]);
}

proptest! {
    #[test]
    fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_challenges([&line[..]].into_iter());
    }

    /// Lines made of the pieces that matter.
    #[test]
    fn no_grammar_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "L402", "LSAT", "Basic", " ", "\t", ",", "=", "\"", "\\", "macaroon", "invoice", "version", "0", "AgE", "==",
    ]), 0..40)) {
        let line = pieces.concat();
        for result in read(&[&line]) {
            prop_assert!(result.is_err());
        }
    }

    #[test]
    fn parameters_are_read_in_any_order_case_and_quoting(
        order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
        upper: [bool; 4],
        quoted: [bool; 4],
        comma in prop::sample::select(vec![",", ", ", " ,", " , ,\t"]),
    ) {
        let t = text();
        let parameters = [("macaroon", t.as_str()), ("token", t.as_str()), ("invoice", INVOICE), ("version", "0")];
        let spelled: Vec<String> = order.iter().map(|&at| {
            let (name, value) = parameters[at];
            let name = if upper[at] { name.to_uppercase() } else { name.to_owned() };
            if quoted[at] { format!("{name}=\"{value}\"") } else { format!("{name}={value}") }
        }).collect();
        let line = format!("L402 {}", spelled.join(comma));
        prop_assert_eq!(read(&[&line]), [Ok(offer(OfferScheme::L402))]);
    }
}
