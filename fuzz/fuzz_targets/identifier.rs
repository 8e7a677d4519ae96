//! Any bytes are an identifier or an error, and an identifier has one spelling.

#![no_main]

use l402::{EpochId, Identifier, Name, PaymentHash, Preimage, TokenId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(identifier) = Identifier::parse(data) {
        assert_eq!(identifier.to_bytes(), data);
        assert_eq!(identifier.token_id.to_string().parse(), Ok(identifier.token_id));
    }
    if let Ok(preimage) = Preimage::from_hex(data) {
        assert_eq!(preimage.reveal_hex().as_bytes(), data.to_ascii_lowercase());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let lower = text.to_ascii_lowercase();
        assert!(text.parse::<PaymentHash>().is_ok_and(|hash| hash.to_string() == lower) || text.len() != 64 || !is_hex(text));
        assert!(text.parse::<EpochId>().is_ok_and(|epoch| epoch.to_string() == lower) || text.len() != 8 || !is_hex(text));
        assert_eq!(text.parse::<TokenId>().is_ok(), text.len() == 64 && is_hex(text));
        if let Ok(name) = text.parse::<Name>() {
            assert_eq!(name.as_str(), text);
        }
    }
});

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
