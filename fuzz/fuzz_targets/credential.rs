//! Any header lines hold one credential, none, or an error; what was read reads the same when it is written.

#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{
    Credential, OfferScheme, Preimage, application_authorization, authorization_value, is_l402_authorization,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Lines up to a NUL are `Authorization`, the others `Macaroon`.
    let (authorization, macaroon) = match data.iter().position(|&byte| byte == 0) {
        Some(nul) => (&data[..nul], &data[nul + 1..]),
        None => (data, &[][..]),
    };
    let lines = |text| <[u8]>::split(text, |&byte| byte == b'\n');
    check(Credential::read(lines(authorization), lines(macaroon)));
    for line in lines(authorization) {
        let own = application_authorization(line);
        assert_eq!(own.as_deref() == Some(line), !is_l402_authorization(line));
        assert!(own.is_none_or(|own| !is_l402_authorization(&own)), "a credential would go upstream");
    }

    // The same bytes as a token, past the base64 that a fuzzer cannot guess.
    let line = format!("L402 {}:{}", STANDARD.encode(data), "02".repeat(32));
    check(Credential::read([line.as_bytes()].into_iter(), std::iter::empty()));
    let line = hex::encode(data);
    check(Credential::read(std::iter::empty(), [line.as_bytes()].into_iter()));
});

fn check(read: Result<Option<Credential>, l402::CredentialError>) {
    let Ok(Some(credential)) = read else { return };
    let token = credential.macaroon().to_owned();
    let preimage = Preimage::from_bytes(*credential.preimage().as_bytes());
    let line = authorization_value(OfferScheme::L402, &token, &preimage);
    let again = Credential::read([line.as_bytes()].into_iter(), std::iter::empty());
    let again = again.expect("it was read before").expect("it is there");
    assert_eq!(again.macaroon().as_bytes(), token.as_bytes());
    assert_eq!(again.identifier(), credential.identifier());
    assert_eq!(again.preimage().as_bytes(), preimage.as_bytes());
}
