//! What is asked for is in the token, or there is none.

use crate::scene::{NOW, access, identifier, key, name, satisfiers, verified};
use l402::{
    LimitError, Limits, MAX_MINTED_BYTES, Macaroon, MintError, Name, TokenSpec, clear, mint, minted_size,
};
use proptest::prelude::*;

fn spec() -> TokenSpec {
    TokenSpec {
        service: name("weather"),
        tier: 2,
        capabilities: vec![name("export"), name("history")],
        constraints: vec![(name("region"), "eu".to_owned()), (name("model"), "a=b,c:d".to_owned())],
        units: None,
        valid_until: Some(NOW + 60),
    }
}

fn minted(spec: &TokenSpec) -> Result<Macaroon, MintError> {
    mint(&key(), "lsat", &identifier(), spec)
}

fn caveats(token: &Macaroon) -> Vec<String> {
    token.view().caveats().map(|caveat| String::from_utf8(caveat.identifier.to_vec()).unwrap()).collect()
}

#[test]
fn caveats_come_in_their_fixed_order() {
    let token = minted(&spec()).unwrap();
    let expected = [
        "services=weather:2",
        "weather_capabilities=export,history",
        "weather_region=eu",
        "weather_model=a=b,c:d",
        "weather_valid_until=1700000060",
    ];
    assert_eq!(caveats(&token), expected);
    assert_eq!(token.view().location(), b"lsat");
    assert_eq!(token.view().identifier(), identifier().to_bytes());
}

#[test]
fn a_token_without_extras_still_says_that_it_has_no_capability() {
    let plain = TokenSpec { capabilities: vec![], constraints: vec![], valid_until: None, ..spec() };
    assert_eq!(caveats(&minted(&plain).unwrap()), ["services=weather:2", "weather_capabilities="]);
}

#[test]
fn the_token_is_cleared_by_the_service_it_was_minted_for() {
    let satisfiers =
        satisfiers().constraint(name("region"), "eu").constraint(name("model"), "a=b,c:d").build();
    let access = l402::Access { tier: 2, capability: Some("export"), ..access() };
    let permit = clear(&verified(&minted(&spec()).unwrap()), &satisfiers, &access).unwrap();
    assert_eq!((permit.service(), permit.tier(), permit.capability()), ("weather", 2, Some("export")));
    assert_eq!((permit.expires_at(), permit.unknown_caveats()), (Some(NOW + 60), 0));
    assert_eq!(
        (permit.token_id(), permit.payment_hash()),
        (identifier().token_id, identifier().payment_hash)
    );
}

#[test]
fn a_token_of_450_bytes_is_made_and_one_of_451_is_not() {
    let of_size = |value: usize| {
        let spec = TokenSpec { constraints: vec![(name("a"), "x".repeat(value))], ..spec() };
        (minted_size("lsat", &spec), minted(&spec).map(|token| token.as_bytes().len()))
    };
    let fitting = (0..512).find(|&value| of_size(value).0 == MAX_MINTED_BYTES).unwrap();
    assert_eq!(of_size(fitting).1, Ok(MAX_MINTED_BYTES));
    assert_eq!(of_size(fitting + 1).1, Err(MintError::TooLong(MAX_MINTED_BYTES + 1)));
}

#[test]
fn constraints_that_could_be_read_as_something_else_are_refused() {
    let with = |names: &[&str]| {
        let constraints = names.iter().map(|text| (name(text), "1".to_owned())).collect();
        minted(&TokenSpec { constraints, ..spec() }).map(|_| ())
    };
    for reserved in ["valid_until", "capabilities", "b_valid_until", "b_capabilities"] {
        assert_eq!(with(&[reserved]), Err(MintError::ReservedConstraint), "{reserved}");
    }
    assert_eq!(with(&["a", "b", "a"]), Err(MintError::RepeatedConstraint));
    assert_eq!(with(&["expires", "bvalid_until"]), Ok(()));
}

#[test]
fn more_caveats_than_are_accepted_back_are_not_minted() {
    let constraints = (0..30).map(|at| (name(&format!("c{at}")), String::new())).collect();
    let spec = TokenSpec { service: name("a"), capabilities: vec![], constraints, ..spec() };
    assert_eq!(minted(&spec), Err(MintError::Limit(LimitError::Caveats)));
}

/// Section "Caveats" of the wire contract, written down once more.
fn expected(spec: &TokenSpec) -> Vec<String> {
    let service = &spec.service;
    let names: Vec<&str> = spec.capabilities.iter().map(Name::as_str).collect();
    let standard =
        [format!("services={service}:{}", spec.tier), format!("{service}_capabilities={}", names.join(","))];
    let constraints = spec.constraints.iter().map(|(name, value)| format!("{service}_{name}={value}"));
    let expiry = spec.valid_until.map(|until| format!("{service}_valid_until={until}"));
    standard.into_iter().chain(constraints).chain(expiry).collect()
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9_-]{0,9}".prop_map(|text| name(&text))
}

proptest! {
    /// Whatever the configuration, the bytes hold all of it, or nothing is made.
    #[test]
    fn every_restriction_is_in_the_bytes(
        service in any_name(),
        tier: u64,
        capabilities in prop::collection::vec(any_name(), 0..5),
        constraints in prop::collection::vec((any_name(), "\\PC{0,12}"), 0..5),
        valid_until: Option<u64>,
    ) {
        let spec = TokenSpec { service, tier, capabilities, constraints, units: None,
valid_until };
        let size = minted_size("lsat", &spec);
        match minted(&spec) {
            Ok(token) => {
                prop_assert_eq!(token.as_bytes().len(), size);
                let read = Macaroon::parse(token.as_bytes().to_vec(), &Limits::default()).unwrap();
                let caveats = caveats(&read);
                prop_assert_eq!(&caveats, &expected(&spec));
            }
            Err(MintError::TooLong(found)) => prop_assert!(found == size && size > MAX_MINTED_BYTES),
            Err(MintError::RepeatedConstraint | MintError::ReservedConstraint) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
