//! Credentials: header lines, good and bad.

use crate::{Verdict, error_name, identifier, preimage, token};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use l402::{Credential, Macaroon, Preimage, RootKey, Scheme, metadata_value};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct CredentialCase {
    name: &'static str,
    /// Values of all `Authorization` lines.
    authorization: Vec<String>,
    /// Values of all `Macaroon` and `Grpc-Metadata-Macaroon` lines.
    macaroon: Vec<String>,
    #[serde(flatten)]
    verdict: Verdict<Option<Presented>>,
}

#[derive(Serialize)]
struct Presented {
    scheme: &'static str,
    /// Base64 of the token's bytes.
    token: String,
    preimage: String,
}

/// `Ok(true)`: a credential; `Ok(false)`: none; otherwise the error's name.
type Expected = Result<bool, &'static str>;

pub(crate) fn cases() -> Vec<CredentialCase> {
    let mut cases = Vec::new();
    let mut add = |name, authorization: &[&str], macaroon: &[&str], expected| {
        cases.push(case(name, authorization, macaroon, expected));
    };
    accepted(&mut add);
    passed_over(&mut add);
    malformed(&mut add);
    undecodable(&mut add);
    several(&mut add);
    in_macaroon_headers(&mut add);
    cases
}

fn case(name: &'static str, authorization: &[&str], macaroon: &[&str], expected: Expected) -> CredentialCase {
    fn bytes<'a>(lines: &'a [&str]) -> impl Iterator<Item = &'a [u8]> {
        lines.iter().map(|line| line.as_bytes())
    }
    let owned = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    let read = Credential::read(bytes(authorization), bytes(macaroon));
    let found = read.as_ref().map(Option::is_some).map_err(error_name);
    assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|name| *name), "{name}");
    let presented = |credential: Credential| Presented {
        scheme: match credential.scheme() {
            Scheme::L402 => "L402",
            Scheme::Lsat => "LSAT",
            Scheme::MacaroonHeader => "macaroon header",
        },
        token: STANDARD.encode(credential.macaroon().as_bytes()),
        preimage: credential.preimage().reveal_hex(),
    };
    CredentialCase {
        name,
        authorization: owned(authorization),
        macaroon: owned(macaroon),
        verdict: Verdict::of(read.map(|credential| credential.map(presented))),
    }
}

/// A token whose base64 has characters in which the alphabets differ, and one character of padding.
fn sample() -> Macaroon {
    token(&["services=weather:0", "note=~~~???", "x=a"])
}

fn parts() -> (String, String) {
    (STANDARD.encode(sample().as_bytes()), preimage().reveal_hex())
}

fn accepted(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let (t, p) = parts();
    let bytes = sample();
    let bytes = bytes.as_bytes();
    let lines = [
        ("L402", format!("L402 {t}:{p}")),
        ("LSAT", format!("LSAT {t}:{p}")),
        ("scheme in lower case", format!("l402 {t}:{p}")),
        ("scheme in mixed case", format!("LsAt {t}:{p}")),
        ("preimage in upper case", format!("L402 {t}:{}", p.to_uppercase())),
        ("several spaces after the scheme", format!("L402   {t}:{p}")),
        ("blanks around the value", format!(" \tL402 {t}:{p}\t ")),
        ("scheme repeated by another name", format!("L402 LSAT {t}:{p}")),
        ("scheme repeated", format!("LSAT lsat {t}:{p}")),
        ("without padding", format!("L402 {}:{p}", STANDARD_NO_PAD.encode(bytes))),
        ("url-safe alphabet", format!("L402 {}:{p}", URL_SAFE.encode(bytes))),
        ("url-safe alphabet without padding", format!("L402 {}:{p}", URL_SAFE_NO_PAD.encode(bytes))),
        ("joined behind another scheme", format!("Bearer abc, L402 {t}:{p}")),
        ("joined before another scheme", format!("L402 {t}:{p},Basic YTpi")),
        ("empty list elements", format!(",, ,L402 {t}:{p}, ,")),
        ("the same twice in a line", format!("LSAT {t}:{p}, L402 {t}:{p}")),
        ("behind a quoted comma", format!(r#"Digest a="x, y", b=c, L402 {t}:{p}"#)),
        ("behind an escaped quote", format!(r#"Digest a="x\", y", L402 {t}:{p}"#)),
    ];
    for (name, line) in &lines {
        add(name, &[line], &[], Ok(true));
    }
    let line = format!("L402 {t}:{p}");
    add("the same on two lines", &[&format!("LSAT {t}:{p}"), &line], &[], Ok(true));
    add("behind a line of another scheme", &["Bearer abc", &line], &[], Ok(true));
    add("before a line of another scheme", &[&line, "Bearer abc"], &[], Ok(true));
    for (name, text) in
        [("a preimage caveat that agrees", p.clone()), ("its digits in upper case", p.to_uppercase())]
    {
        let token = sample().attenuate(format!("preimage={text}").as_bytes()).expect("small");
        add(name, &[&format!("L402 {}:{p}", STANDARD.encode(token.as_bytes()))], &[], Ok(true));
    }
}

fn passed_over(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let (t, p) = parts();
    add("no lines", &[], &[], Ok(false));
    add("empty lines", &["", " "], &["", ","], Ok(false));
    add("other schemes", &["Bearer abc", "Basic YTpi"], &[], Ok(false));
    add("a longer scheme", &[&format!("L4020 {t}:{p}")], &[], Ok(false));
    add("inside another scheme", &[&format!("Bearer L402 {t}:{p}")], &[], Ok(false));
    add("inside a quoted string", &[&format!(r#"Digest a="x, L402 {t}:{p}""#)], &[], Ok(false));
    add("scheme without a space", &[&format!("L402:{t}:{p}")], &[], Ok(false));
}

fn malformed(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let (t, p) = parts();
    let unpadded = t.trim_end_matches('=');
    let two_pads = STANDARD.encode(token(&["services=weather:0", "x=ab"]).as_bytes());
    assert!(two_pads.ends_with("=="));
    let last = t.as_bytes()[t.len() - 2];
    let stray = format!("{}{}=", &t[..t.len() - 2], char::from(last + 1));
    let lines = [
        ("scheme alone", "L402".to_owned(), "Syntax"),
        ("a tab after the scheme", format!("L402\t{t}:{p}"), "Syntax"),
        ("no preimage", format!("L402 {t}"), "Syntax"),
        ("two tokens", format!("L402 {t},{t}:{p}"), "Syntax"),
        ("scheme three times", format!("L402 L402 L402 {t}:{p}"), "Base64"),
        ("an empty preimage", format!("L402 {t}:"), "Preimage"),
        ("a preimage too short", format!("L402 {t}:{}", &p[2..]), "Preimage"),
        ("a preimage too long", format!("L402 {t}:{p}00"), "Preimage"),
        ("a preimage that is not hexadecimal", format!("L402 {t}:{}", p.replace('2', "g")), "Preimage"),
        ("a space before the preimage", format!("L402 {t}: {p}"), "Preimage"),
        ("a space behind the token", format!("L402 {t} :{p}"), "Base64"),
        ("two colons", format!("L402 {t}::{p}"), "Base64"),
        ("mixed alphabets", format!("L402 {}:{p}", t.replacen('+', "-", 1)), "Base64"),
        ("stray bits", format!("L402 {stray}:{p}"), "Base64"),
        ("needless padding", format!("L402 {unpadded}==:{p}"), "Base64"),
        ("partial padding", format!("L402 {}:{p}", &two_pads[..two_pads.len() - 1]), "Base64"),
        ("padding inside", format!("L402 {t}{t}:{p}"), "Base64"),
        ("white space inside", format!("L402 {} {}:{p}", &t[..8], &t[8..]), "Base64"),
        ("more than 8 KiB", format!("L402 {}:{p}", "A".repeat(8 * 1024)), "TooLong"),
    ];
    for (name, line, error) in &lines {
        add(name, &[line], &[], Err(error));
    }
}

fn undecodable(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let p = preimage().reveal_hex();
    let line = |bytes: &[u8]| format!("L402 {}:{p}", STANDARD.encode(bytes));
    let sample = sample();
    let bytes = sample.as_bytes();
    let with_identifier = |identifier: &[u8]| {
        let key = RootKey::from_bytes([1; 32]);
        line(Macaroon::mint(&key, "", identifier, ["a=b"]).expect("small").as_bytes())
    };
    let id = identifier().to_bytes();
    let version_1 = [&[0, 1], &id[2..]].concat();
    let lines = [
        ("an empty token", line(b""), "Token.Truncated"),
        ("a token cut off", line(&bytes[..bytes.len() - 1]), "Token.Truncated"),
        ("a byte behind the token", line(&[bytes, b"\0"].concat()), "Token.Trailing"),
        ("a version 1 token", line(b"0013location lsat\n"), "Token.Version"),
        ("a token of more than 4096 bytes", line(&[2; 4097]), "Token.Limit.Token"),
        ("an identifier too short", with_identifier(&id[1..]), "Identifier.Length"),
        ("an identifier too long", with_identifier(&[&id[..], b"x"].concat()), "Identifier.Length"),
        ("an identifier of version 1", with_identifier(&version_1), "Identifier.Version"),
    ];
    for (name, line, error) in &lines {
        add(name, &[line], &[], Err(error));
    }
    let wrong = Preimage::from_bytes([9; 32]).reveal_hex();
    for (name, text, error) in [
        ("a preimage caveat that disagrees", wrong.as_str(), "PreimageDisagrees"),
        ("a preimage caveat that cannot be read", "zz", "Preimage"),
    ] {
        let token = sample.attenuate(format!("preimage={text}").as_bytes()).expect("small");
        add(name, &[&line(token.as_bytes())], &[], Err(error));
    }
}

fn several(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let (t, p) = parts();
    let ours = format!("L402 {t}:{p}");
    let other_token = format!("L402 {}:{p}", STANDARD.encode(token(&["services=maps:0"]).as_bytes()));
    let other_preimage = format!("L402 {t}:{}", "09".repeat(32));
    add("two tokens on two lines", &[&ours, &other_token], &[], Err("Several"));
    add("two tokens in a line", &[&format!("{ours}, {other_token}")], &[], Err("Several"));
    add("two preimages", &[&ours, &other_preimage], &[], Err("Several"));
    add("one good and one malformed", &[&ours, "L402 x"], &[], Err("Syntax"));
}

fn in_macaroon_headers(add: &mut impl FnMut(&'static str, &[&str], &[&str], Expected)) {
    let (t, p) = parts();
    let value = metadata_value(&sample(), &preimage()).expect("small");
    let without = hex::encode(sample().as_bytes());
    add("a macaroon header", &[], &[&value], Ok(true));
    add("a macaroon header in upper case", &[], &[&value.to_uppercase()], Ok(true));
    add("a macaroon header beside another scheme", &["Bearer abc"], &[&value], Ok(true));
    add("both macaroon headers", &[], &[&value, &value], Ok(true));
    add("a macaroon header without preimage", &[], &[&without], Err("PreimageMissing"));
    add("a macaroon header that is not hexadecimal", &[], &["xyz"], Err("Hex"));
    add("a macaroon header with an odd digit", &[], &[&value[1..]], Err("Hex"));
    add("a macaroon header of more than 4096 bytes", &[], &[&"02".repeat(4097)], Err("Token.Limit.Token"));
    add(
        "a macaroon header beside another credential",
        &[&format!("L402 {t}:{p}")],
        &[&value],
        Err("Several"),
    );
}
