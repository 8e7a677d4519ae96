//! Any bytes are a version 1 token or an error, and what is imported reads back as version 2.

#![no_main]

use l402_macaroon::{Limits, Macaroon};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(token) = Macaroon::from_v1(data, &limits) {
        assert_eq!(Macaroon::parse(token.as_bytes().to_vec(), &limits), Ok(token));
    }
});
