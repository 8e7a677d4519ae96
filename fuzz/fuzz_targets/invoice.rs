//! Any text is an invoice or an error, and what is shown of an invoice never holds a control character.

#![no_main]

use l402_lightning::{Invoice, MilliSat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(amount) = text.parse::<MilliSat>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
    if let Ok(invoice) = Invoice::parse(text) {
        assert_eq!(Invoice::parse(invoice.text()).as_ref(), Ok(&invoice));
        assert!(invoice.expires_at() >= invoice.created_at());
        assert!(invoice.amount().is_none_or(|amount| amount > MilliSat::ZERO));
        if let Some(description) = invoice.description() {
            assert!(!description.to_string().chars().any(char::is_control));
        }
    }
});
