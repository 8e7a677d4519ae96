//! Caveats only narrow: held against a model of sets, for every request there could be.

use crate::scene::{NOW, name, satisfiers, token, verified};
use l402::{Access, ClearError, Permit};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One caveat, as the set of what it allows.
#[derive(Clone, Debug)]
enum Restriction {
    Services(BTreeSet<(&'static str, u64)>),
    Capabilities(BTreeSet<&'static str>),
    ValidUntil(u64),
    Region,
    Foreign,
}

impl Restriction {
    fn text(&self) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Services(set) => {
                format!(
                    "services={}",
                    join(set.iter().map(|(name, tier)| format!("{name}:{tier}")).collect())
                )
            }
            Self::Capabilities(set) => {
                format!("weather_capabilities={}", join(set.iter().map(ToString::to_string).collect()))
            }
            Self::ValidUntil(until) => format!("weather_valid_until={until}"),
            Self::Region => "weather_region=eu".to_owned(),
            Self::Foreign => "foreign=1".to_owned(),
        }
    }

    /// `None` for caveats of different conditions.
    fn narrows(&self, earlier: &Self) -> Option<bool> {
        match (earlier, self) {
            (Self::Services(earlier), Self::Services(this)) => Some(this.is_subset(earlier)),
            (Self::Capabilities(earlier), Self::Capabilities(this)) => Some(this.is_subset(earlier)),
            (Self::ValidUntil(earlier), Self::ValidUntil(this)) => Some(this <= earlier),
            _ => None,
        }
    }

    fn allows(&self, access: &Access<'_>) -> bool {
        match self {
            Self::Services(set) => set.contains(&(access.service, access.tier)),
            Self::Capabilities(set) => access.capability.is_none_or(|capability| set.contains(capability)),
            Self::ValidUntil(until) => access.now < *until,
            Self::Region | Self::Foreign => true,
        }
    }
}

/// What the protocol means, without a word about how it is computed.
fn is_allowed(restrictions: &[Restriction], access: &Access<'_>) -> bool {
    let is_there = |wanted: fn(&Restriction) -> bool| restrictions.iter().any(wanted);
    is_there(|restriction| matches!(restriction, Restriction::Services(_)))
        && is_there(|restriction| matches!(restriction, Restriction::Region))
        && (access.capability.is_none()
            || is_there(|restriction| matches!(restriction, Restriction::Capabilities(_))))
        && restrictions.iter().all(|restriction| restriction.allows(access))
        && restrictions.iter().enumerate().all(|(index, restriction)| {
            restrictions[..index].iter().all(|earlier| restriction.narrows(earlier) != Some(false))
        })
}

fn verdict(restrictions: &[Restriction], access: &Access<'_>) -> Result<Permit, ClearError> {
    let caveats: Vec<String> = restrictions.iter().map(Restriction::text).collect();
    let caveats: Vec<&str> = caveats.iter().map(String::as_str).collect();
    let satisfiers = satisfiers().constraint(name("region"), "eu").build();
    l402::clear(&verified(&token(&caveats)), &satisfiers, access)
}

fn any_restriction() -> impl Strategy<Value = Restriction> {
    let services = vec![("weather", 0), ("weather", 1), ("maps", 0)];
    let capabilities = vec!["export", "history", "alerts"];
    prop_oneof![
        4 => prop::sample::subsequence(services, 1..=3).prop_map(|list| Restriction::Services(list.into_iter().collect())),
        4 => prop::sample::subsequence(capabilities, 0..=3)
            .prop_map(|list| Restriction::Capabilities(list.into_iter().collect())),
        3 => (NOW - 2..NOW + 6).prop_map(Restriction::ValidUntil),
        3 => Just(Restriction::Region),
        1 => Just(Restriction::Foreign),
    ]
}

/// Tokens that are often good: one that a gateway would mint, then what holders added.
fn any_token() -> impl Strategy<Value = Vec<Restriction>> {
    let minted = vec![
        Restriction::Services([("weather", 0), ("weather", 1)].into()),
        Restriction::Capabilities(["export", "history"].into()),
        Restriction::Region,
        Restriction::ValidUntil(NOW + 5),
    ];
    let minted = prop::sample::subsequence(minted, 2..=4);
    (minted, prop::collection::vec(any_restriction(), 0..4))
        .prop_map(|(minted, added)| [minted, added].concat())
}

fn any_access() -> impl Strategy<Value = Access<'static>> {
    (0..2_u64, prop::option::of(prop::sample::select(vec!["export", "alerts"])), NOW - 1..NOW + 5)
        .prop_map(|(tier, capability, now)| Access { tier, capability, now, ..crate::scene::access() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_opens_what_the_intersection_of_its_caveats_allows(token in any_token(), access in any_access()) {
        let verdict = verdict(&token, &access);
        prop_assert_eq!(verdict.is_ok(), is_allowed(&token, &access), "{:?}", verdict);
    }

    #[test]
    fn a_further_caveat_never_opens_what_was_closed(
        token in any_token(),
        further in any_restriction(),
        access in any_access(),
    ) {
        // What a token lacks counts as a refusal too, so only tokens that lack nothing are compared.
        let required = [Restriction::Region, Restriction::Capabilities(["export", "alerts", "history"].into())];
        let token = [&token[..], &required].concat();
        let narrower = [&token[..], &[further]].concat();
        if verdict(&narrower, &access).is_ok() {
            prop_assert!(verdict(&token, &access).is_ok() || !has_services(&token));
        }
    }
}

fn has_services(token: &[Restriction]) -> bool {
    token.iter().any(|restriction| matches!(restriction, Restriction::Services(_)))
}
