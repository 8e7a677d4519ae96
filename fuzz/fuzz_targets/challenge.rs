//! Any `WWW-Authenticate` lines are offers and errors; an offer reads the same in our own spelling.

#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{Challenge, Offer, OfferScheme, read_challenges};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    // The same bytes as the token of a well-formed challenge.
    check(format!(r#"L402 macaroon="{}", invoice="lnbcrt1x""#, STANDARD.encode(data)).as_bytes());
});

fn check(data: &[u8]) {
    for offer in read_challenges(data.split(|&byte| byte == b'\n')).into_iter().flatten() {
        let challenge = Challenge { token: offer.token.clone(), invoice: offer.invoice.clone() };
        let lines = [challenge.lsat_value(), challenge.l402_value()];
        let again = read_challenges(lines.iter().map(String::as_bytes));
        let expected =
            [OfferScheme::Lsat, OfferScheme::L402].map(|scheme| Ok(Offer { scheme, ..offer.clone() }));
        assert_eq!(again, expected);
    }
}
