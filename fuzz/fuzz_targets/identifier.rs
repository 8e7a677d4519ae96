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
        let lower = |len| (text.len() == len && is_hex(text)).then(|| text.to_ascii_lowercase());
        assert_eq!(text.parse::<PaymentHash>().ok().map(|hash| hash.to_string()), lower(64));
        assert_eq!(text.parse::<TokenId>().ok().map(|id| id.to_string()), lower(64));
        assert_eq!(text.parse::<EpochId>().ok().map(|epoch| epoch.to_string()), lower(8));
        if let Ok(name) = text.parse::<Name>() {
            assert_eq!(name.as_str(), text);
        }
    }
});

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
