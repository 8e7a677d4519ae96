//! Any bytes are a token or an error, and a token has one spelling.

#![no_main]

use l402_macaroon::{Limits, Macaroon, MacaroonRef, RootKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(view) = MacaroonRef::parse(data, &limits) else { return };
    assert_eq!(view.as_bytes(), data);
    assert_eq!(view.caveats().count(), view.caveat_count());

    // A token of first-party caveats, minted anew from its parts, differs in nothing but the signature.
    let key = RootKey::from_bytes([1; 32]);
    let is_plain = view.caveats().all(|caveat| caveat.verification_id.is_none());
    if let (true, Ok(location)) = (is_plain, std::str::from_utf8(view.location())) {
        let caveats = view.caveats().map(|caveat| caveat.identifier);
        let minted =
            Macaroon::mint(&key, location, view.identifier(), caveats).expect("it was within the limits");
        let unsigned = data.len() - 32;
        assert_eq!(minted.as_bytes()[..unsigned], data[..unsigned]);
        assert_eq!(minted.view().verify(&key), Ok(()));
    }
    let _ = view.verify(&key);

    if let Ok(narrower) = view.to_owned().attenuate(b"a=b") {
        assert_eq!(narrower.view().caveat_count(), view.caveat_count() + 1);
        assert!(view.caveats().eq(narrower.view().caveats().take(view.caveat_count())));
    }
});
