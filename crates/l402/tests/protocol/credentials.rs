//! Header quirks: every form of a credential that deployed clients send, and what is refused by which name.

use crate::scene::{OneKey, identifier, preimage, read, token};
use base64::{Engine, engine::general_purpose as b64};
use l402::{
    Credential, CredentialError, DecodeError, IdentifierError, LimitError, Macaroon, OfferScheme, Preimage,
    RootKey, Scheme, VerifyError, application_authorization, authorization_value, is_l402_authorization,
    metadata_value, verify,
};

/// A token whose base64 has both characters in which the alphabets differ, and one digit of padding.
fn sample() -> Macaroon {
    let token = token(&["services=weather:0", "note=~~~???", "x=a"]);
    let text = b64::STANDARD.encode(token.as_bytes());
    assert!(text.contains('+') && text.contains('/') && text.ends_with('='), "{text}");
    token
}

fn parts() -> (String, String) {
    (b64::STANDARD.encode(sample().as_bytes()), preimage().reveal_hex())
}

/// What was found: the scheme, if it is the sample.
fn found(authorization: &[&str], macaroon: &[&str]) -> Result<Option<Scheme>, CredentialError> {
    let credential = read(authorization, macaroon)?;
    Ok(credential.map(|credential| {
        assert!(bool::from(subtle::ConstantTimeEq::ct_eq(credential.preimage(), &preimage())));
        assert_eq!(credential.identifier(), identifier());
        assert!(credential.macaroon().as_bytes().starts_with(&sample().as_bytes()[..80]));
        credential.scheme()
    }))
}

#[test]
fn every_form_in_use_is_read() {
    let (token, preimage) = parts();
    let upper = preimage.to_uppercase();
    let url_safe = b64::URL_SAFE.encode(sample().as_bytes());
    let (l402, lsat) = (Scheme::L402, Scheme::Lsat);
    let table: &[(&str, String, Scheme)] = &[
        ("as the protocol says", format!("L402 {token}:{preimage}"), l402),
        ("the first name", format!("LSAT {token}:{preimage}"), lsat),
        ("lower case", format!("l402 {token}:{preimage}"), l402),
        ("mixed case", format!("lSaT {token}:{preimage}"), lsat),
        ("upper-case hex", format!("L402 {token}:{upper}"), l402),
        ("several spaces", format!("L402    {token}:{preimage}"), l402),
        ("blanks around the value", format!(" \tL402 {token}:{preimage} \t"), l402),
        ("scheme repeated", format!("L402 LSAT {token}:{preimage}"), l402),
        ("scheme repeated, same word", format!("LSAT  lsat  {token}:{preimage}"), lsat),
        ("unpadded", format!("L402 {}:{preimage}", token.trim_end_matches('=')), l402),
        ("url-safe", format!("L402 {url_safe}:{preimage}"), l402),
        ("url-safe, unpadded", format!("L402 {}:{preimage}", url_safe.trim_end_matches('=')), l402),
        ("joined after another scheme", format!("Bearer abc, L402 {token}:{preimage}"), l402),
        ("joined before another scheme", format!("L402 {token}:{preimage},Basic YTpi"), l402),
        ("empty elements", format!(",, ,L402 {token}:{preimage}, ,"), l402),
        ("twice the same", format!("L402 {token}:{preimage}, L402 {token}:{preimage}"), l402),
        ("both names for the same", format!("LSAT {token}:{preimage}, L402 {token}:{preimage}"), lsat),
        ("both alphabets for the same", format!("L402 {token}:{preimage}, L402 {url_safe}:{upper}"), l402),
        ("after a comma in quotes", format!(r#"Digest a="x, y", b=c, L402 {token}:{preimage}"#), l402),
        ("after an escaped quote", format!(r#"Digest a="x\", y", L402 {token}:{preimage}"#), l402),
    ];
    for (name, line, expected) in table {
        assert_eq!(found(&[line], &[]), Ok(Some(*expected)), "{name}");
    }
}

#[test]
fn what_is_for_somebody_else_is_no_credential() {
    let (token, preimage) = parts();
    let lines = [
        String::new(),
        " ".to_owned(),
        "Bearer abc".to_owned(),
        "Basic YTpi".to_owned(),
        format!("L4020 {token}:{preimage}"),
        format!("L402={token}:{preimage}"),
        format!("L402:{token}:{preimage}"),
        format!("XL402 {token}:{preimage}"),
        format!("Bearer L402 {token}:{preimage}"),
        format!("foo L402 {token}:{preimage}"),
        format!(r#"Digest a="x, L402 {token}:{preimage}""#),
        "L40".to_owned(),
    ];
    for line in &lines {
        assert_eq!(found(&[line], &[]), Ok(None), "{line}");
        assert!(!is_l402_authorization(line.as_bytes()), "{line}");
    }
    assert_eq!(found(&[], &[]), Ok(None));
    assert_eq!(found(&[], &["", " "]), Ok(None));
}

#[test]
fn what_is_nearly_a_credential_is_refused_by_name() {
    use CredentialError::{Base64, Preimage, Syntax};
    let (token, preimage) = parts();
    let unpadded = token.trim_end_matches('=');
    let mixed = token.replacen('+', "-", 1);
    let stray = |last: char| format!("{}{last}=", &token[..token.len() - 2]);
    let digit = token.as_bytes()[token.len() - 2] as char;
    // The last digit before one `=` carries two bits that nobody reads.
    let next = char::from_u32(digit as u32 + 1).unwrap();
    let table: &[(&str, String, CredentialError)] = &[
        ("scheme alone", "L402".to_owned(), Syntax),
        ("scheme and spaces", "L402   ".to_owned(), Syntax),
        ("a tab after the scheme", format!("L402\t{token}:{preimage}"), Syntax),
        ("a tab after a space", format!("L402 \t{token}:{preimage}"), Base64),
        ("scheme three times", format!("L402 L402 L402 {token}:{preimage}"), Base64),
        ("no preimage", format!("L402 {token}"), Syntax),
        ("empty preimage", format!("L402 {token}:"), Preimage),
        ("short preimage", format!("L402 {token}:{}", &preimage[1..]), Preimage),
        ("long preimage", format!("L402 {token}:{preimage}00"), Preimage),
        ("preimage not hexadecimal", format!("L402 {token}:{}g", &preimage[1..]), Preimage),
        ("a space before the preimage", format!("L402 {token}: {preimage}"), Preimage),
        ("a space before the colon", format!("L402 {token} :{preimage}"), Base64),
        ("quoted", format!("L402 \"{token}:{preimage}\""), Preimage),
        ("two colons", format!("L402 {token}::{preimage}"), Base64),
        ("two tokens for one preimage", format!("L402 {token},{token}:{preimage}"), Syntax),
        ("empty token", format!("L402 :{preimage}"), CredentialError::Token(DecodeError::Truncated)),
        ("mixed alphabets", format!("L402 {mixed}:{preimage}"), Base64),
        ("stray bits", format!("L402 {}:{preimage}", stray(next)), Base64),
        ("needless padding", format!("L402 {unpadded}==:{preimage}"), Base64),
        ("padding alone", format!("L402 ====:{preimage}"), Base64),
        ("padding inside", format!("L402 {token}{token}:{preimage}"), Base64),
        ("white space inside", format!("L402 {} {}:{preimage}", &token[..40], &token[40..]), Base64),
        ("one digit too many", format!("L402 {unpadded}AA:{preimage}"), Base64),
        ("token in hexadecimal", format!("L402 {}:{preimage}", hex(&sample())), wrong_version()),
    ];
    for (name, line, expected) in table {
        assert_eq!(found(&[line], &[]), Err(*expected), "{name}");
        assert!(is_l402_authorization(line.as_bytes()), "{name}");
    }
}

/// Hexadecimal is base64 too, of something else.
fn wrong_version() -> CredentialError {
    let bytes = b64::STANDARD_NO_PAD.decode(&hex(&sample())[..8]).unwrap();
    CredentialError::Token(DecodeError::Version(bytes[0]))
}

fn hex(token: &Macaroon) -> String {
    ::hex::encode(token.as_bytes())
}

#[test]
fn partial_padding_is_refused() {
    // A token whose base64 ends in two `=`.
    let token = token(&["services=weather:0", "x=ab"]);
    let text = b64::STANDARD.encode(token.as_bytes());
    let preimage = preimage().reveal_hex();
    assert!(text.ends_with("=="), "{text}");
    assert!(read(&[&format!("L402 {text}:{preimage}")], &[]).is_ok());
    let partial = format!("L402 {}:{preimage}", &text[..text.len() - 1]);
    assert_eq!(read(&[&partial], &[]).unwrap_err(), CredentialError::Base64);
}

#[test]
fn limits_are_checked_before_decoding() {
    let preimage = preimage().reveal_hex();
    let of_bytes = |len: usize| format!("L402 {}:{preimage}", b64::STANDARD_NO_PAD.encode(vec![2; len]));
    let fault = |line: &str| read(&[line], &[]).unwrap_err();
    assert_eq!(fault(&of_bytes(4096)), CredentialError::Token(DecodeError::Field(2)));
    assert_eq!(fault(&of_bytes(4097)), CredentialError::Token(LimitError::Token.into()));
    assert_eq!(fault(&format!("L402 {}", "!".repeat(8192))), CredentialError::Syntax);
    assert_eq!(fault(&format!("L402 {}", "!".repeat(8193))), CredentialError::TooLong);
    // Credentials of other schemes may be longer.
    assert!(read(&[&format!("Bearer {}", "a".repeat(9000))], &[]).is_ok_and(|found| found.is_none()));

    let mut caveats = vec!["services=weather:0"; 32];
    assert!(read(&[&line(&token(&caveats))], &[]).is_ok());
    caveats[0] = "";
    let signature_field_and_end = 35;
    let full = token(&caveats);
    let (head, end) = full.as_bytes().split_at(full.as_bytes().len() - signature_field_and_end);
    let one_more = [head, b"\x02\x01a\x00", end].concat();
    let text = format!("L402 {}:{preimage}", b64::STANDARD.encode(one_more));
    assert_eq!(fault(&text), CredentialError::Token(LimitError::Caveats.into()));
}

fn line(token: &Macaroon) -> String {
    authorization_value(OfferScheme::L402, token, &preimage())
}

#[test]
fn a_token_of_another_protocol_is_refused_by_name() {
    let with_identifier = |identifier: &[u8]| {
        let token = Macaroon::mint(&crate::scene::key(), "", identifier, ["services=weather:0"]).unwrap();
        read(&[&line(&token)], &[]).unwrap_err()
    };
    let bytes = identifier().to_bytes();
    assert_eq!(with_identifier(&bytes[1..]), CredentialError::Identifier(IdentifierError::Length));
    assert_eq!(
        with_identifier(&[&bytes[..], b"x"].concat()),
        CredentialError::Identifier(IdentifierError::Length)
    );
    let mut version_1 = bytes;
    version_1[1] = 1;
    assert_eq!(with_identifier(&version_1), CredentialError::Identifier(IdentifierError::Version(1)));
    let trailing = [sample().as_bytes(), b"\0"].concat();
    let text = format!("L402 {}:{}", b64::STANDARD.encode(trailing), preimage().reveal_hex());
    assert_eq!(read(&[&text], &[]).unwrap_err(), CredentialError::Token(DecodeError::Trailing));
}

#[test]
fn macaroon_headers_carry_the_preimage_inside() {
    let value = metadata_value(&sample(), &preimage()).unwrap();
    let header = Ok(Some(Scheme::MacaroonHeader));
    assert_eq!(found(&[], &[&value]), header);
    assert_eq!(found(&[], &[&value.to_uppercase()]), header);
    assert_eq!(found(&["Bearer abc"], &[&value]), header);
    assert_eq!(found(&[], &[&value, &value]), header);
    assert_eq!(found(&[], &[&hex(&sample())]), Err(CredentialError::PreimageMissing));
    assert_eq!(found(&[], &[&value[1..]]), Err(CredentialError::Hex));
    assert_eq!(found(&[], &["nonsense"]), Err(CredentialError::Hex));
    assert_eq!(found(&[], &[&"00".repeat(4097)]), Err(CredentialError::Token(LimitError::Token.into())));

    // The very same token and preimage may also be in an `Authorization` line; another may not.
    let with_caveat = Macaroon::parse(::hex::decode(&value).unwrap(), &l402::Limits::default()).unwrap();
    assert_eq!(found(&[&line(&with_caveat)], &[&value]), Ok(Some(Scheme::L402)));
    assert_eq!(found(&[&line(&sample())], &[&value]), Err(CredentialError::Several));
}

#[test]
fn preimage_caveats_have_to_agree() {
    let (right, wrong) = (preimage().reveal_hex(), "00".repeat(32));
    let with = |caveats: &[String]| {
        caveats.iter().fold(sample(), |token, caveat| token.attenuate(caveat.as_bytes()).unwrap())
    };
    let caveat = |hex: &str| format!("preimage={hex}");
    let both = |caveats: &[String]| {
        let token = with(caveats);
        (found(&[&line(&token)], &[]).map(|_| ()), found(&[], &[&hex(&token)]).map(|_| ()))
    };
    let disagrees = Err(CredentialError::PreimageDisagrees);
    let unreadable = Err(CredentialError::Preimage);
    assert_eq!(both(&[caveat(&right)]), (Ok(()), Ok(())));
    assert_eq!(both(&[caveat(&right), caveat(&right.to_uppercase())]), (Ok(()), Ok(())));
    assert_eq!(both(&[caveat(&right), caveat(&wrong)]), (disagrees, disagrees));
    assert_eq!(found(&[&line(&with(&[caveat(&wrong)]))], &[]), disagrees.map(|()| None));
    assert_eq!(both(&[caveat("")]), (unreadable, unreadable));
    assert_eq!(both(&[caveat(&right[2..])]), (unreadable, unreadable));
}

#[test]
fn two_different_credentials_are_refused() {
    let other = line(&token(&["services=maps:0"]));
    let ours = line(&sample());
    let other_preimage = authorization_value(OfferScheme::L402, &sample(), &Preimage::from_bytes([9; 32]));
    for other in [&other, &other_preimage] {
        assert_eq!(found(&[&ours, other], &[]), Err(CredentialError::Several));
        assert_eq!(found(&[&format!("{ours}, {other}")], &[]), Err(CredentialError::Several));
    }
    assert_eq!(found(&[&ours, "Bearer x", &ours], &[]), Ok(Some(Scheme::L402)));
    // One that cannot be read is not outweighed by one that can.
    assert_eq!(found(&[&ours, "L402 x"], &[]), Err(CredentialError::Syntax));
}

#[test]
fn the_applications_own_authorization_is_kept() {
    let ours = line(&sample());
    let kept = |value: &str| {
        application_authorization(value.as_bytes()).map(|kept| String::from_utf8(kept.into_owned()).unwrap())
    };
    assert_eq!(kept("Bearer abc").as_deref(), Some("Bearer abc"));
    assert_eq!(kept(r#"Digest a="b, c",d=e"#).as_deref(), Some(r#"Digest a="b, c",d=e"#));
    assert_eq!(kept(&ours), None);
    assert_eq!(kept("L402\tnonsense"), None);
    assert_eq!(kept(&format!("{ours},{ours}")), None);
    assert_eq!(kept(&format!("Bearer abc, {ours}")).as_deref(), Some("Bearer abc"));
    assert_eq!(kept(&format!(r#"{ours},Digest a="b, c",d=e"#)).as_deref(), Some(r#"Digest a="b, c", d=e"#));
}

#[test]
fn a_credential_proves_nothing_until_it_is_verified() {
    let verdict = |token: &Macaroon, preimage: &Preimage| {
        let line = authorization_value(OfferScheme::L402, token, preimage);
        verify(read(&[&line], &[]).unwrap().unwrap(), &OneKey).map(|token| token.identifier().to_owned())
    };
    let stranger = RootKey::from_bytes([7; 32]);
    let self_made =
        Macaroon::mint(&stranger, "lsat", &identifier().to_bytes(), ["services=weather:0"]).unwrap();
    assert_eq!(verdict(&sample(), &preimage()), Ok(identifier()));
    assert_eq!(verdict(&sample(), &Preimage::from_bytes([9; 32])), Err(VerifyError::Preimage));
    assert_eq!(verdict(&self_made, &preimage()), Err(VerifyError::Signature));
    assert_eq!(verdict(&self_made, &Preimage::from_bytes([9; 32])), Err(VerifyError::Preimage));

    let credential: Credential = read(&[&line(&sample())], &[]).unwrap().unwrap();
    assert_eq!(verify(credential, &NoKey).unwrap_err(), VerifyError::Signature);
}

struct NoKey;

impl l402::RootKeys for NoKey {
    fn root_key(&self, _id: &l402::Identifier) -> Option<RootKey> {
        None
    }
}

#[test]
fn no_secret_of_a_credential_is_in_debug_output() {
    let credential = read(&[], &[&metadata_value(&sample(), &preimage()).unwrap()]).unwrap().unwrap();
    let text = format!("{credential:?} {:?}", verify(credential.clone(), &OneKey).unwrap());
    assert!(text.contains("Preimage(..)"), "{text}");
    assert!(!text.contains("0202") && !text.contains("2, 2"), "{text}");
}
