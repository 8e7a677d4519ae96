//! What each caveat allows, and by which name it refuses.

use crate::scene::{NOW, access, clear, name, satisfiers, token, verified};
use l402::{Access, CaveatFault, ClearError, Macaroon, Satisfier, Satisfiers, UnknownCaveats};

/// The verdict of `weather` without constraints on a token with these caveats.
fn verdict(caveats: &[&str]) -> Result<(), ClearError> {
    clear(caveats, &satisfiers().build(), &access()).map(|_| ())
}

/// The verdict on `services=weather:0` and these further caveats.
fn with(caveats: &[&str]) -> Result<(), ClearError> {
    verdict(&[&["services=weather:0"], caveats].concat())
}

#[test]
fn services_say_where_a_token_is_good() {
    use ClearError::{Undecodable, Widened, WrongService, WrongTier};
    let table: &[(&[&str], Result<(), ClearError>)] = &[
        (&["services=weather:0"], Ok(())),
        (&["services=maps:3,weather:0"], Ok(())),
        (&["services=weather:0", "services=weather:0"], Ok(())),
        (&["services=weather:0,maps:0", "services=weather:0"], Ok(())),
        (&["services=weather:0,weather:0"], Ok(())),
        (&[], Err(WrongService)),
        (&["weather_capabilities=", "foreign=1"], Err(WrongService)),
        (&["services=maps:0"], Err(WrongService)),
        (&["services=weather_pro:0"], Err(WrongService)),
        (&["services=weather:1"], Err(WrongTier)),
        (&["services=weather:0,maps:0", "services=maps:0"], Err(WrongService)),
        (&["services=weather:0", "services=maps:0"], Err(Widened)),
        (&["services=weather:0", "services=weather:0,maps:0"], Err(Widened)),
        (&["services=weather:0", "services=weather:1"], Err(Widened)),
        (&["services=weather:0,maps:0", "services=weather:0", "services=weather:0,maps:0"], Err(Widened)),
        (&["services="], Err(Undecodable)),
        (&["services=weather"], Err(Undecodable)),
        (&["services=weather:"], Err(Undecodable)),
        (&["services=:0"], Err(Undecodable)),
        (&["services=weather:0,"], Err(Undecodable)),
        (&["services=,weather:0"], Err(Undecodable)),
        (&["services=weather:0, maps:0"], Err(Undecodable)),
        (&["services=Weather:0"], Err(Undecodable)),
        (&["services=weather:0:0"], Err(Undecodable)),
        (&["services=weather:00"], Err(Undecodable)),
        (&["services=weather:0,maps:256x"], Err(Undecodable)),
        (&["services=weather:18446744073709551616"], Err(Undecodable)),
    ];
    for (caveats, expected) in table {
        assert_eq!(verdict(caveats), *expected, "{caveats:?}");
    }
}

#[test]
fn tiers_are_equal_or_not() {
    let at = |tier| clear(&["services=weather:5"], &satisfiers().build(), &Access { tier, ..access() });
    assert_eq!(at(5).map(|permit| permit.tier()), Ok(5));
    assert_eq!(at(4).unwrap_err(), ClearError::WrongTier);
    assert_eq!(at(6).unwrap_err(), ClearError::WrongTier);
    assert_eq!(at(5 + 256).unwrap_err(), ClearError::WrongTier);
}

#[test]
fn expiry_is_a_canonical_number_that_only_falls() {
    use ClearError::{Expired, Undecodable, Widened};
    let table: &[(&[&str], Result<(), ClearError>)] = &[
        (&["weather_valid_until=1700000001"], Ok(())),
        (&["weather_valid_until=18446744073709551615"], Ok(())),
        (&["weather_valid_until=1700000009", "weather_valid_until=1700000009"], Ok(())),
        (&["weather_valid_until=1700000009", "weather_valid_until=1700000001"], Ok(())),
        (&["weather_valid_until=1700000000"], Err(Expired)),
        (&["weather_valid_until=0"], Err(Expired)),
        (&["weather_valid_until=1700000001", "weather_valid_until=1700000002"], Err(Widened)),
        (&["weather_valid_until=1700000009", "weather_valid_until=5"], Err(Expired)),
    ];
    for (caveats, expected) in table {
        assert_eq!(with(caveats), *expected, "{caveats:?}");
    }
    let unreadable = [
        "",
        " ",
        "+5",
        "-5",
        "05",
        "00",
        "1e9",
        "1_000",
        "0x10",
        "1700000001 ",
        " 1700000001",
        "17e8",
        "NaN",
        "18446744073709551616",
        "99999999999999999999999",
        "2030-01-01",
        "2030-01-01T00:00:00Z",
        "١٧٠٠٠٠٠٠٠١",
    ];
    for value in unreadable {
        assert_eq!(with(&[&format!("weather_valid_until={value}")]), Err(Undecodable), "{value:?}");
    }
}

#[test]
fn the_permit_ends_with_the_earliest_expiry() {
    let caveats = ["services=weather:0", "weather_valid_until=1700000009", "weather_valid_until=1700000004"];
    let permit = clear(&caveats, &satisfiers().build(), &access()).unwrap();
    assert_eq!(permit.expires_at(), Some(NOW + 4));
    let forever = clear(&caveats[..1], &satisfiers().build(), &access()).unwrap();
    assert_eq!(forever.expires_at(), None);
}

#[test]
fn a_capability_has_to_be_there_and_stay_there() {
    use ClearError::{CapabilityMissing, Undecodable, Widened};
    let at_export = |caveats: &[&str]| {
        let access = Access { capability: Some("export"), ..access() };
        let caveats = [&["services=weather:0"], caveats].concat();
        clear(&caveats, &satisfiers().build(), &access).map(|permit| permit.capability().map(str::to_owned))
    };
    let export = || Ok(Some("export".to_owned()));
    assert_eq!(at_export(&["weather_capabilities=export"]), export());
    assert_eq!(at_export(&["weather_capabilities=history,export"]), export());
    assert_eq!(at_export(&["weather_capabilities=a,export", "weather_capabilities=export"]), export());
    assert_eq!(at_export(&[]), Err(CapabilityMissing));
    assert_eq!(at_export(&["weather_capabilities="]), Err(CapabilityMissing));
    assert_eq!(at_export(&["weather_capabilities=exports"]), Err(CapabilityMissing));
    assert_eq!(at_export(&["maps_capabilities=export"]), Err(CapabilityMissing));
    assert_eq!(
        at_export(&["weather_capabilities=export,a", "weather_capabilities=a"]),
        Err(CapabilityMissing)
    );
    assert_eq!(at_export(&["weather_capabilities=", "weather_capabilities=export"]), Err(CapabilityMissing));
    assert_eq!(at_export(&["weather_capabilities=export", "weather_capabilities=export,a"]), Err(Widened));
    for bad in ["export,", ",export", "export,,a", "Export", "export ", "export;a"] {
        assert_eq!(at_export(&[&format!("weather_capabilities={bad}")]), Err(Undecodable), "{bad}");
    }
    // A route that asks for none is not bothered by what there is, but by widening it is.
    assert_eq!(with(&["weather_capabilities="]), Ok(()));
    assert_eq!(with(&["weather_capabilities=", "weather_capabilities="]), Ok(()));
    assert_eq!(with(&["weather_capabilities=a", "weather_capabilities="]), Ok(()));
    assert_eq!(with(&["weather_capabilities=", "weather_capabilities=a"]), Err(Widened));
}

#[test]
fn a_configured_constraint_has_to_be_there_with_its_value() {
    use ClearError::{Constraint, Widened};
    let satisfiers = satisfiers().constraint(name("region"), "eu").constraint(name("model"), "small").build();
    let with = |caveats: &[&str]| {
        clear(&[&["services=weather:0"], caveats].concat(), &satisfiers, &access()).map(|_| ())
    };
    assert_eq!(with(&["weather_region=eu", "weather_model=small"]), Ok(()));
    assert_eq!(with(&["weather_model=small", "weather_region=eu", "weather_region=eu"]), Ok(()));
    assert_eq!(with(&[]), Err(Constraint));
    assert_eq!(with(&["weather_region=eu"]), Err(Constraint));
    assert_eq!(with(&["weather_region=eu", "weather_region=eu"]), Err(Constraint));
    assert_eq!(with(&["weather_region=us", "weather_model=small"]), Err(Constraint));
    assert_eq!(with(&["weather_region=EU", "weather_model=small"]), Err(Constraint));
    assert_eq!(with(&["weather_region=", "weather_model=small"]), Err(Constraint));
    assert_eq!(with(&["weather_region=eu", "weather_model=small", "weather_region=us"]), Err(Widened));
    assert_eq!(with(&["region=eu", "weather_model=small"]), Err(Constraint));
}

#[test]
fn unknown_conditions_are_skipped_only_where_they_are_foreign() {
    use ClearError::{Undecodable, UnknownCaveat};
    for foreign in ["max_sats=5", "loop_out=1", "weathervane=1", "ip=1.2.3.4", "x=", "weather-x=1"] {
        let permit =
            clear(&["services=weather:0", foreign, "y=1"], &satisfiers().build(), &access()).unwrap();
        assert_eq!(permit.unknown_caveats(), 2, "{foreign}");
        let strict = satisfiers().unknown(UnknownCaveats::Refuse).build();
        let refused = clear(&["services=weather:0", foreign], &strict, &access());
        assert_eq!(refused.unwrap_err(), UnknownCaveat, "{foreign}");
    }
    for ours in ["weather_max=5", "weather_=1", "weather_region=eu", "maps_region=eu", "weather_pro_x=1"] {
        assert_eq!(with(&[ours]), Err(UnknownCaveat), "{ours}");
    }
    for slip in ["valid_until=1", "expires=1", "valid_until=99999999999"] {
        assert_eq!(with(&[slip]), Err(Undecodable), "{slip}");
    }
    for unreadable in ["no separator", "Bad=1", "a b=1", "=1", ""] {
        assert_eq!(with(&[unreadable]), Err(Undecodable), "{unreadable}");
    }
}

#[test]
fn a_preimage_caveat_is_no_unknown_caveat() {
    let hex = crate::scene::preimage().reveal_hex();
    let strict = satisfiers().unknown(UnknownCaveats::Refuse).build();
    let permit = clear(&["services=weather:0", &format!("preimage={hex}")], &strict, &access()).unwrap();
    assert_eq!(permit.unknown_caveats(), 0);
}

#[test]
fn a_token_for_two_services_is_judged_by_the_one_that_is_used() {
    let caveats = ["services=weather:0,maps:0", "weather_valid_until=1700000009", "maps_valid_until=5"];
    assert!(clear(&caveats, &satisfiers().build(), &access()).is_ok());
    let maps = Satisfiers::builder(name("maps")).namespaces(vec![name("weather"), name("maps")]).build();
    let refused = clear(&caveats, &maps, &Access { service: "maps", ..access() });
    assert_eq!(refused.unwrap_err(), ClearError::Expired);
}

#[test]
fn a_condition_belongs_to_the_longest_service_name() {
    let names = || vec![name("a"), name("a_b")];
    let judge = |service: &str, caveats: &[&str]| {
        let satisfiers =
            Satisfiers::builder(name(service)).namespaces(names()).constraint(name("b_x"), "1").build();
        clear(caveats, &satisfiers, &Access { service, ..access() }).map(|permit| permit.expires_at())
    };
    // `a_b_x` is a condition of `a_b`, also where `a` has a constraint `b_x`: such a configuration opens nothing.
    assert_eq!(judge("a", &["services=a:0", "a_b_x=1"]), Err(ClearError::UnknownCaveat));
    assert_eq!(judge("a", &["services=a:0"]), Err(ClearError::Constraint));
    assert_eq!(
        judge("a_b", &["services=a_b:0", "a_b_valid_until=1700000005", "a_b_b_x=1"]),
        Ok(Some(NOW + 5))
    );
    // Without `a_b` among the services, it is a condition of `a`.
    let alone = Satisfiers::builder(name("a")).constraint(name("b_x"), "1").build();
    assert!(clear(&["services=a:0", "a_b_x=1"], &alone, &Access { service: "a", ..access() }).is_ok());
}

#[test]
fn satisfiers_of_another_service_open_nothing() {
    let maps = Satisfiers::builder(name("maps")).build();
    let refused = clear(&["services=weather:0,maps:0"], &maps, &access());
    assert_eq!(refused.unwrap_err(), ClearError::WrongService);
}

/// `methods=GET,POST`
struct Methods;

impl Satisfier for Methods {
    fn condition(&self) -> &'static str {
        "weather_methods"
    }

    fn narrows(&self, previous: &str, current: &str) -> Result<(), CaveatFault> {
        let is_narrower =
            current.split(',').all(|method| previous.split(',').any(|allowed| allowed == method));
        if is_narrower { Ok(()) } else { Err(CaveatFault::Widened) }
    }

    fn satisfies(&self, value: &str, access: &Access<'_>) -> Result<(), CaveatFault> {
        if value.is_empty() {
            return Err(CaveatFault::Undecodable);
        }
        if value.split(',').any(|method| method == access.method) { Ok(()) } else { Err(CaveatFault::Unmet) }
    }
}

#[test]
fn a_condition_of_ones_own_is_judged_like_the_others() {
    let satisfiers = satisfiers().custom(Box::new(Methods)).build();
    let with = |caveats: &[&str]| {
        clear(&[&["services=weather:0"], caveats].concat(), &satisfiers, &access()).map(|_| ())
    };
    assert_eq!(with(&[]), Ok(()));
    assert_eq!(with(&["weather_methods=GET"]), Ok(()));
    assert_eq!(with(&["weather_methods=GET,POST", "foreign=1", "weather_methods=GET"]), Ok(()));
    assert_eq!(with(&["weather_methods=POST"]), Err(ClearError::Constraint));
    assert_eq!(with(&["weather_methods="]), Err(ClearError::Undecodable));
    assert_eq!(with(&["weather_methods=GET", "weather_methods=GET,POST"]), Err(ClearError::Widened));
}

#[test]
fn a_caveat_that_is_not_text_is_refused() {
    let token = token(&["services=weather:0"]).attenuate(b"a=\xff").unwrap();
    let refused = l402::clear(&verified(&token), &satisfiers().build(), &access());
    assert_eq!(refused.unwrap_err(), ClearError::Undecodable);
}

#[test]
fn no_copy_of_a_caveat_that_is_wider_grows_the_right() {
    let minted = ["services=weather:0", "weather_capabilities=a", "weather_valid_until=1700000009"];
    let wider = [
        "services=weather:0,maps:0",
        "services=weather:0,weather:1",
        "weather_capabilities=a,b",
        "weather_valid_until=1700000010",
    ];
    let token: Macaroon = token(&minted);
    for caveat in wider {
        let token = token.attenuate(caveat.as_bytes()).unwrap();
        let refused = l402::clear(&verified(&token), &satisfiers().build(), &access());
        assert_eq!(refused.unwrap_err(), ClearError::Widened, "{caveat}");
    }
}
