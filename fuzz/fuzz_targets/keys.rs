//! Any text is refused as a key file, or holds its current epoch.

#![no_main]

use l402_paywall::{KeyFile, KeyRing};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|text: &str| {
    check(text);
    // Past the checksum that a fuzzer cannot guess.
    check(&format!("{text}checksum {}", hex::encode(&Sha256::digest(text.as_bytes())[..8])));
});

fn check(text: &str) {
    let Ok(keys) = KeyFile::parse(text) else { return };
    assert!(keys.epochs().iter().any(|epoch| epoch.id() == keys.current()));
    assert_eq!(KeyRing::new(&keys).current(), keys.current());
}
