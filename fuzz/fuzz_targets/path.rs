//! Any request path is refused, or has a canonical form that is its own canonical form and holds no dot segment.

#![no_main]

use l402_paywall::CanonicalPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let again = CanonicalPath::parse(path.forward()).expect("a canonical path is accepted");
    assert_eq!(again.forward(), path.forward());
    assert_eq!((again.decoded(), again.oddities()), (path.decoded(), path.oddities()));
    for reading in [Some(path.decoded()), path.resolved()].into_iter().flatten() {
        assert!(reading.split('/').all(|segment| !matches!(segment, "." | "..")), "{reading}");
    }
});
