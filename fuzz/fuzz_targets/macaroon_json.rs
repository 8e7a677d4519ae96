//! Any text is a token in JSON or an error, and what is read survives being written.

#![no_main]

use l402_macaroon::{Limits, Macaroon};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let limits = Limits::default();
    if let Ok(token) = Macaroon::from_json(text, &limits) {
        assert_eq!(Macaroon::parse(token.as_bytes().to_vec(), &limits), Ok(token.clone()));
        assert_eq!(Macaroon::from_json(&token.to_json(), &limits), Ok(token));
    }
});
