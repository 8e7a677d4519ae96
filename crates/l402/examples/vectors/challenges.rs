//! Challenges: `WWW-Authenticate` lines, good and bad.

use crate::{Verdict, error_name, key, token};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use l402::{Challenge, Macaroon, Offer, read_challenges};
use serde::Serialize;

/// Not a real invoice: this layer only carries its text.
const INVOICE: &str = "lnbcrt100n1pexample";

#[derive(Serialize)]
pub(crate) struct ChallengeCase {
    name: &'static str,
    www_authenticate: Vec<String>,
    /// One verdict for each L402 or LSAT challenge, in order.
    challenges: Vec<Verdict<OfferParts>>,
}

#[derive(Serialize)]
struct OfferParts {
    scheme: &'static str,
    /// Base64 of the token's bytes.
    token: String,
    invoice: String,
}

/// Per challenge its scheme word, or the error's name.
type Expected<'a> = &'a [Result<&'static str, &'static str>];

pub(crate) fn cases() -> Vec<ChallengeCase> {
    let mut cases = Vec::new();
    let mut add = |name, lines: &[&str], expected: Expected<'_>| cases.push(case(name, lines, expected));
    good(&mut add);
    rows(&mut add);
    bad(&mut add);
    cases
}

fn case(name: &'static str, lines: &[&str], expected: Expected<'_>) -> ChallengeCase {
    let read = read_challenges(lines.iter().map(|line| line.as_bytes()));
    let found: Vec<Result<&str, String>> = read
        .iter()
        .map(|offer| offer.as_ref().map(|offer| offer.scheme.as_str()).map_err(error_name))
        .collect();
    let expected: Vec<Result<&str, String>> =
        expected.iter().map(|verdict| verdict.map_err(str::to_owned)).collect();
    assert_eq!(found, expected, "{name}");
    let parts = |offer: Offer| OfferParts {
        scheme: offer.scheme.as_str(),
        token: STANDARD.encode(offer.token.as_bytes()),
        invoice: offer.invoice,
    };
    ChallengeCase {
        name,
        www_authenticate: lines.iter().map(ToString::to_string).collect(),
        challenges: read.into_iter().map(|offer| Verdict::of(offer.map(parts))).collect(),
    }
}

/// A token whose base64 has characters in which the alphabets differ, and padding.
fn sample() -> Macaroon {
    token(&["services=weather:0", "note=~~~???", "x=a"])
}

fn good(add: &mut impl FnMut(&'static str, &[&str], Expected<'_>)) {
    let (t, i) = (STANDARD.encode(sample().as_bytes()), INVOICE);
    let url_safe = URL_SAFE_NO_PAD.encode(sample().as_bytes());
    let written = Challenge { token: sample(), invoice: i.to_owned() };
    let lines = [
        ("as written here", written.l402_value()),
        ("macaroon and invoice", format!(r#"L402 macaroon="{t}", invoice="{i}""#)),
        ("the protocol text", format!(r#"L402 version="0", token="{t}", invoice="{i}""#)),
        ("version before macaroon", format!(r#"L402 version="0", macaroon="{t}", invoice="{i}""#)),
        ("both names, the new one first", format!(r#"L402 token="{t}", macaroon="{t}", invoice="{i}""#)),
        ("nothing quoted", format!("L402 macaroon={t}, invoice={i}, version=0")),
        ("invoice first", format!(r#"L402 invoice="{i}", macaroon="{t}""#)),
        ("scheme in lower case", format!(r#"l402 macaroon="{t}", invoice="{i}""#)),
        ("names in upper case", format!(r#"L402 MACAROON="{t}", INVOICE="{i}""#)),
        ("comma without space", format!(r#"L402 macaroon="{t}",invoice="{i}""#)),
        ("blanks wherever they may be", format!("L402  macaroon = \"{t}\" ,\tinvoice\t=\t\"{i}\" ")),
        ("url-safe alphabet without padding", format!(r#"L402 macaroon="{url_safe}", invoice="{i}""#)),
        ("escapes in quoted strings", format!(r#"L402 macaroon="\{t}", invoice="\l\n{}""#, &i[2..])),
        ("unknown parameters", format!(r#"L402 realm="a, b", macaroon="{t}", invoice="{i}", expires=1"#)),
        ("empty list elements", format!(r#", L402 macaroon="{t}",, invoice="{i}",,"#)),
        ("behind Basic in the same line", format!(r#"Basic realm="x", L402 macaroon="{t}", invoice="{i}""#)),
        ("behind a bare scheme", format!(r#"Negotiate, L402 macaroon="{t}", invoice="{i}""#)),
        ("behind a token68", format!(r#"Negotiate YWJj==, L402 macaroon="{t}", invoice="{i}""#)),
        (
            "before another scheme",
            format!(r#"L402 macaroon="{t}", invoice="{i}", Payment id="1", token="x""#),
        ),
    ];
    for (name, line) in &lines {
        add(name, &[line], &[Ok("L402")]);
    }
}

fn rows(add: &mut impl FnMut(&'static str, &[&str], Expected<'_>)) {
    let (t, i) = (STANDARD.encode(sample().as_bytes()), INVOICE);
    let written = Challenge { token: sample(), invoice: i.to_owned() };
    let (lsat, l402) = (written.lsat_value(), written.l402_value());
    add("both lines", &[&lsat, &l402], &[Ok("LSAT"), Ok("L402")]);
    add("both in one line", &[&format!("{lsat}, {l402}")], &[Ok("LSAT"), Ok("L402")]);
    add("behind a line of another scheme", &["Basic realm=x", &l402], &[Ok("L402")]);
    add("other schemes only", &["Basic realm=x", "Bearer", ""], &[]);
    let faulty = format!(r#"L402 macaroon="x" y, L402 macaroon="{t}", invoice="{i}""#);
    add("a fault before a good one", &[&faulty], &[Err("Syntax"), Ok("L402")]);
}

fn bad(add: &mut impl FnMut(&'static str, &[&str], Expected<'_>)) {
    let (t, i) = (STANDARD.encode(sample().as_bytes()), INVOICE);
    let other = STANDARD.encode(token(&["services=maps:0"]).as_bytes());
    let short = Macaroon::mint(&key(), "", b"id", ["a=b"]).expect("small");
    let short = STANDARD.encode(short.as_bytes());
    let lines = [
        ("a realm and no offer", r#"L402 realm="weather""#.to_owned(), "NoOffer"),
        ("scheme alone", "L402".to_owned(), "NoOffer"),
        ("no invoice", format!(r#"L402 macaroon="{t}""#), "InvoiceMissing"),
        ("no token", format!(r#"L402 invoice="{i}""#), "TokenMissing"),
        ("version 1", format!(r#"L402 macaroon="{t}", invoice="{i}", version="1""#), "Version"),
        ("macaroon twice", format!(r#"L402 macaroon="{t}", macaroon="{t}", invoice="{i}""#), "Repeated"),
        (
            "two different tokens",
            format!(r#"L402 macaroon="{t}", token="{other}", invoice="{i}""#),
            "TokensDiffer",
        ),
        ("base64 with stray padding", format!(r#"L402 macaroon="{t}=", invoice="{i}""#), "Base64"),
        ("an empty invoice", format!(r#"L402 macaroon="{t}", invoice="""#), "Invoice"),
        ("an invoice with a space", format!(r#"L402 macaroon="{t}", invoice="{i} x""#), "Invoice"),
        ("an open quoted string", format!(r#"L402 macaroon="{t}", invoice="{i}"#), "Syntax"),
        ("no comma", format!(r#"L402 macaroon="{t}" invoice="{i}""#), "Syntax"),
        ("a parameter without name", format!(r#"L402 macaroon="{t}", invoice="{i}", ="x""#), "Syntax"),
        ("an empty token", format!(r#"L402 macaroon="", invoice="{i}""#), "Token.Truncated"),
        (
            "an identifier too short",
            format!(r#"L402 macaroon="{short}", invoice="{i}""#),
            "Identifier.Length",
        ),
    ];
    for (name, line, error) in &lines {
        add(name, &[line], &[Err(error)]);
    }
}
